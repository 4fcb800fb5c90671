"""What the readings of a meter come to, permissible error deducted where the meter's error is.

::

    E [kWh]       interval meter: the value; power meter: P x seconds / 3600
    EG_export     sum of max(E, 0)
    EG_import     sum of max(-E, 0), and what a separate import meter counts
    certified     what certificates take of EG_export, see ``certificates``; it is not in it any more
    self-use      sum of min(load, PV) by interval; export: sum of max(PV - load, 0)

CCER-01-002, 7.3.4: a meter that is calibrated and out of its class loses the error that was found, one
that is not calibrated the maximum permissible error of its class; export x (1 - e), import x (1 + e).
The calculation splits where each calibration begins and ends.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import lcm

from ledger.errors import BadInput, Refused
from ledger.reductions.certificates import Segment, left_out, require_sound, segment_of
from ledger.reductions.factors import fraction_of_decimal, fuel_kg, fuel_t
from ledger.reductions.records import (
    USED,
    Calibration,
    CalibrationSpan,
    EnergyCertificate,
    Kind,
    Meter,
    Role,
)
from ledger.reductions.results import MeterResult, SelfConsumption
from ledger.reductions.runs import Reading, Readings, Run
from ledger.units import HOUR_S

_CLASS = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?)S?", re.ASCII)


def permissible_error(calibration: Calibration, serial: str) -> Fraction:
    """Return the maximum permissible error of a meter's class as a share of the reading.

    Raises
    ------
    Refused
        No accuracy class is declared, so that nothing conservative can be said.
    """
    match = _CLASS.fullmatch(calibration.accuracy_class or "")
    if not match:
        raise Refused(
            f"meter {serial} has readings outside its calibration and no accuracy_class; "
            "declare accuracy_class in [[device]] so that the permissible error can be deducted",
            code="no-accuracy-class",
            details={"meter": serial},
        )
    return Fraction(match.group(1)) / 100


def measured_error(calibration: Calibration, serial: str) -> Fraction:
    """Return the size of the error that a calibration found, as a share of the reading; else 0.

    Raises
    ------
    BadInput
        It is no decimal.
    """
    if calibration.measured_error is None:
        return Fraction(0)
    return abs(fraction_of_decimal(calibration.measured_error, f"meter {serial}: error")) / 100


def error_within(calibration: Calibration, serial: str) -> Fraction:
    """Return what is deducted within a calibration: the measured error where it is out of class."""
    measured = measured_error(calibration, serial)
    if measured == 0 or calibration.accuracy_class is None:
        return measured
    return measured if measured > permissible_error(calibration, serial) else Fraction(0)


def error_outside(calibration: Calibration, serial: str) -> Fraction:
    """Return what is deducted outside a calibration: the class's error, or a larger measured one.

    Raises
    ------
    Refused
        No accuracy class is declared.
    """
    return max(permissible_error(calibration, serial), measured_error(calibration, serial))


def is_calibrated(calibration: Calibration, reading: Reading) -> bool:
    """Return whether the meter was within its calibration over the whole reading."""
    if not calibration.calibrated:
        return False
    if calibration.from_s is not None and reading.start_s < calibration.from_s:
        return False
    return calibration.to_s is None or reading.end_s <= calibration.to_s


def _signed_sums(runs: Iterable[Run]) -> tuple[Fraction, Fraction]:
    """Return the sums of max(E, 0) and of max(-E, 0), in kWh, kg or litres.

    Integers of one scale are added first: a fraction per reading would cost a greatest common
    divisor each and give the same number.
    """
    sums: dict[tuple[int, int], list[int]] = {}
    for (length_s, kind, _, scale), _, digits, _ in runs:
        seconds = length_s if kind == Kind.POWER else HOUR_S
        both = sums.setdefault((scale, seconds), [0, 0])
        minus = -sum(value for value in digits if value < 0) if min(digits) < 0 else 0
        both[0] += sum(digits) + minus
        both[1] += minus
    positive = negative = Fraction(0)
    for (scale, seconds), (plus, minus) in sums.items():
        unit = Fraction(seconds, HOUR_S * 10**scale)
        positive += plus * unit
        negative += minus * unit
    return positive, negative


def each_calibration(calibration: Calibration, serial: str) -> tuple[Calibration, ...]:
    """Return the calibrations of a meter one by one; the only one where there are no spans.

    Raises
    ------
    BadInput
        They are not in order, or two have time in common: which error counts would be anybody's choice.
    """
    _require_apart(calibration.spans, serial)
    return tuple(
        replace(
            calibration,
            from_s=span.from_s,
            to_s=span.to_s,
            measured_error=span.measured_error,
            spans=(),
        )
        for span in calibration.spans
    ) or (calibration,)


def _require_apart(spans: Sequence[CalibrationSpan], serial: str) -> None:
    for one, other in pairwise(spans):
        if one.to_s is None or other.from_s is None or other.from_s < one.to_s:
            raise BadInput(
                f"meter {serial}: its calibrations are not one after the other: each begins where the one before it "
                "has ended, or later"
            )


def _by_error(meter: Meter) -> list[tuple[list[Run], Fraction]]:
    """Return the used readings of a meter in parts, each with the error that is deducted from it.

    Outside of several calibrations it is the largest that any of them allows or has found.
    """
    rest = _used(meter)
    parts = []
    known = each_calibration(meter.calibration, meter.serial)
    for calibration in known:
        good, rest = _parted(rest, calibration)
        if good:
            parts.append((good, error_within(calibration, meter.serial)))
        if not rest:
            return parts
    return [*parts, (rest, max(error_outside(one, meter.serial) for one in known))]


def _used(meter: Meter) -> list[Run]:
    return [run for run in meter.runs if run.shape.quality in USED]


def _parted(runs: Iterable[Run], calibration: Calibration) -> tuple[list[Run], list[Run]]:
    """Return the readings that ``is_calibrated``, and the others."""
    good: list[Run] = []
    rest: list[Run] = []
    least_s, most_s = calibration.from_s, calibration.to_s
    for run in runs:
        if not calibration.calibrated:
            rest.append(run)
        elif (least_s is None or min(run.starts) >= least_s) and (
            most_s is None or max(run.starts) + run.shape.seconds <= most_s
        ):
            good.append(run)
        else:
            inside, outside = run.parted(
                [is_calibrated(calibration, reading) for reading in run.readings()]
            )
            good += inside
            rest += outside
    return good, rest


def result_of(meter: Meter) -> MeterResult:
    """Return the energy, or the fuel, that the readings of a meter add up to.

    An import meter and a fuel meter add their positive values, raised by the error; their negative
    ones claim nothing. Loads and storage are shown as measured, and are part of no balance.

    Raises
    ------
    Refused
        Its error cannot be bounded, its fuel has no factor, or a certificate can be none.
    BadInput
        What a fuel's factor needs is missing, or what the meter is judged by makes no sense.
    """
    _check_meter(meter)
    if not meter.role.counts:
        plus, minus = _signed_sums(_used(meter))
        if meter.role is Role.LOAD:
            return MeterResult(meter.serial, load_kwh=plus)
        return MeterResult(meter.serial, discharged_kwh=plus, charged_kwh=minus)
    supplied = drawn = Fraction(0)
    certified: defaultdict[Segment, Fraction] = defaultdict(Fraction)
    for runs, error in _by_error(meter):
        plus, minus = _signed_sums(runs)
        if meter.role.supplies:
            supplied += plus * (1 - error)
            drawn += minus * (1 + error)
            for segment, kwh in _of_certificates(runs, meter.certificates):
                certified[segment] += kwh * (1 - error)
        else:
            drawn += plus * (1 + error)
    if meter.role is not Role.FUEL:
        taken = left_out(certified, meter.certificates)
        return MeterResult(
            meter.serial,
            export_kwh=supplied - sum(taken),
            import_kwh=drawn,
            certified_kwh=taken,
        )
    if meter.fuel is None:
        raise Refused(
            f"meter {meter.serial} counts fuel and has no factor: name one with purpose fuel as "
            "fuel_factor in its [[device]]",
            code="no-fuel-factor",
            details={"meter": meter.serial},
        )
    return MeterResult(
        meter.serial,
        fuel_kg=fuel_kg(drawn, meter.kind, meter.fuel, meter.density_kg_per_l),
        fuel_t=fuel_t(drawn, meter.kind, meter.fuel, meter.density_kg_per_l),
    )


def _check_meter(meter: Meter) -> None:
    """Refuse a meter that says of itself what cannot be: its kind, its rated power or its certificates."""
    if meter.kind.is_fuel != (meter.role is Role.FUEL):
        counted = "no fuel" if meter.role is Role.FUEL else "fuel"
        raise Refused(
            f"meter {meter.serial} has the role {meter.role.value} and counts {counted} "
            f"({meter.kind.name.lower()}): a source of kind fuel feeds the role fuel, and no other",
            code="wrong-kind",
            details={"meter": meter.serial},
        )
    if meter.rated_kw is not None and Fraction(meter.rated_kw) < 0:
        raise BadInput(f"meter {meter.serial}: rated_kw is not below 0, found {meter.rated_kw}")
    require_sound(meter.certificates, meter.serial, meter.role)


def _of_certificates(
    runs: Iterable[Run], certificates: Sequence[EnergyCertificate]
) -> Iterator[tuple[Segment, Fraction]]:
    """Yield the energy supplied in each segment that certificates are of, kWh."""
    if not certificates:
        return
    by_segment: defaultdict[Segment, list[Reading]] = defaultdict(list)
    for run in runs:
        for reading in run.readings():
            segment = segment_of(reading, certificates)
            if segment is not None:
                by_segment[segment].append(reading)
    for segment, part in by_segment.items():
        yield segment, _signed_sums(Readings.of(part).runs)[0]


def self_consumption(meters: Sequence[Meter], from_s: int) -> SelfConsumption | None:
    """Return how much of the generated energy was used on the spot, and how much went out.

    Meters of different intervals are compared over the shortest interval that all of them divide.
    A load that is missing counts as none. As measured: no error is deducted from information.

    Parameters
    ----------
    meters
        All meters of the project.
    from_s
        Start of the period, where the intervals are counted from.

    Returns
    -------
    SelfConsumption or None
        None unless generation and load are both metered, in intervals that can be compared.
    """
    sides = {
        role: [meter for meter in meters if meter.role is role]
        for role in (Role.GENERATION, Role.LOAD)
    }
    if not all(sides.values()):
        return None
    grid_s = lcm(*(meter.interval_s for side in sides.values() for meter in side))
    used = [
        (place, reading)
        for place, side in enumerate(sides.values())
        for meter in side
        for reading in meter.readings
        if reading.quality in USED
    ]
    # Whole numbers of the smallest unit that any reading needs: a fraction each would cost too much.
    top = max((reading.scale for _, reading in used), default=0)
    cells: dict[int, list[int]] = {}
    for place, reading in used:
        cell, beginning = divmod(reading.start_s - from_s, grid_s)
        if beginning + reading.end_s - reading.start_s > grid_s:
            return None
        if reading.digits > 0:
            power = reading.kind == Kind.POWER
            seconds = reading.end_s - reading.start_s if power else HOUR_S
            energy = reading.digits * 10 ** (top - reading.scale) * seconds
            cells.setdefault(cell, [0, 0])[place] += energy
    unit = Fraction(1, HOUR_S * 10**top)
    own = sum(min(both) for both in cells.values()) * unit
    generated = sum(both[0] for both in cells.values()) * unit
    return SelfConsumption(own, generated - own, grid_s)
