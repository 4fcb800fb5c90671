"""From readings and a factor to kilograms: exact, pure, and in the order of the equations.

::

    E [kWh]       interval meter: the value; power meter: P x seconds / 3600
    EG_export     sum of max(E, 0)
    EG_import     sum of max(-E, 0), and what a separate import meter counts
    EG_PJ [kWh]   EG_export - EG_import                     CCER-01-002, equation (2)
    BE [t]        EG_PJ / 1000 x EF_CM                      CCER-01-002, equation (1)
    PE [t]        0 for wind and PV                         CCER-01-001, equations (4), (5)
    LE [t]        0 for new wind and PV
    ER [t]        BE - PE - LE

A meter outside its calibration loses the maximum permissible error of its class (CCER-01-002,
7.3.4): export x (1 - e), import x (1 + e). No float occurs between the text and the kilogram, and
the one rounding is ``issued_of``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from ledger.errors import BadInput, Refused
from ledger.reductions.evidence import evidence_root
from ledger.reductions.records import (
    OUTLIER,
    USED,
    Calibration,
    Counts,
    Factor,
    Kind,
    Meter,
    Purpose,
    Quality,
    Reading,
    Reduction,
    ReductionInputs,
    Role,
)
from ledger.reductions.registers import TO

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86400
KG_PER_TONNE = 1000

FACTOR_UNITS: dict[str, Fraction] = {
    "t/MWh": Fraction(1),
    "kg/kWh": Fraction(1),
    "kg/MWh": Fraction(1, 1000),
    "g/kWh": Fraction(1, 1000),
    "lb/MWh": Fraction(45359237, 10**11),
}
"""Kilograms per kilowatt-hour of one unit of a factor. A pound is 0.45359237 kg by definition."""

_CONFLICT = frozenset({Quality.SUPERSEDED_IN_CONFLICT, Quality.REGISTER_CONFLICT})
_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_CLASS = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?)S?", re.ASCII)


def fraction_of_decimal(text: str, what: str) -> Fraction:
    """Return plain decimal text as an exact fraction.

    Raises
    ------
    BadInput
        The text is not digits with at most one point.
    """
    if not _DECIMAL.fullmatch(text):
        raise BadInput(f"{what} must be a plain decimal number such as 0.4329, found {text!r}")
    return Fraction(text)


def factor_kg_per_kwh(factor: Factor) -> Fraction:
    """Return a factor in kg CO2e per kWh.

    Raises
    ------
    BadInput
        Its value is not a decimal, or its unit is not one of ``FACTOR_UNITS``.
    """
    if factor.unit not in FACTOR_UNITS:
        known = ", ".join(FACTOR_UNITS)
        raise BadInput(f"factor {factor.code}: unknown unit {factor.unit!r}; use one of {known}")
    value = fraction_of_decimal(factor.value, f"factor {factor.code}: value")
    return value * FACTOR_UNITS[factor.unit]


def require_crediting(factor: Factor) -> None:
    """Refuse a factor of the inventory where credits are made.

    Raises
    ------
    Refused
        The factor's purpose is not ``crediting_cm``.
    """
    if factor.purpose is not Purpose.CREDITING:
        raise Refused(
            f"factor {factor.code} {factor.version} is for {factor.purpose.value} and cannot mint: "
            "name a factor with purpose crediting_cm in [project]",
            code="wrong-purpose",
            details={"factor": factor.code, "purpose": factor.purpose.value},
        )


def energy_kwh(reading: Reading) -> Fraction:
    """Return the energy of one reading over its interval, kWh, with its sign."""
    value = Fraction(reading.digits, 10**reading.scale)
    if reading.kind == Kind.ENERGY:
        return value
    return value * (reading.end_s - reading.start_s) / SECONDS_PER_HOUR


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


def is_calibrated(calibration: Calibration, reading: Reading) -> bool:
    """Return whether the meter was within its calibration over the whole reading."""
    if not calibration.calibrated:
        return False
    if calibration.from_s is not None and reading.start_s < calibration.from_s:
        return False
    return calibration.to_s is None or reading.end_s <= calibration.to_s


def _signed_sums(readings: Iterable[Reading]) -> tuple[Fraction, Fraction]:
    """Return the sums of max(E, 0) and of max(-E, 0), kWh.

    Integers of one scale are added first: a fraction per reading would cost a greatest common
    divisor each and give the same number.
    """
    sums: dict[tuple[int, int], list[int]] = {}
    for reading in readings:
        power = reading.kind == Kind.POWER
        seconds = reading.end_s - reading.start_s if power else SECONDS_PER_HOUR
        both = sums.setdefault((reading.scale, seconds), [0, 0])
        both[reading.digits < 0] += abs(reading.digits)
    positive = negative = Fraction(0)
    for (scale, seconds), (plus, minus) in sums.items():
        unit = Fraction(seconds, SECONDS_PER_HOUR * 10**scale)
        positive += plus * unit
        negative += minus * unit
    return positive, negative


def export_import_kwh(meter: Meter) -> tuple[Fraction, Fraction]:
    """Return what a meter adds to export and to import, kWh, permissible error deducted.

    An import meter adds its positive values to import; its negative ones claim nothing. Loads are
    not part of the balance at the grid.
    """
    used = [reading for reading in meter.readings if reading.quality in USED]
    good = [reading for reading in used if is_calibrated(meter.calibration, reading)]
    parts = [(good, Fraction(0))]
    if len(good) < len(used):
        rest = [reading for reading in used if not is_calibrated(meter.calibration, reading)]
        parts.append((rest, permissible_error(meter.calibration, meter.serial)))
    export = imported = Fraction(0)
    for readings, error in parts:
        positive, negative = _signed_sums(readings)
        if meter.role.supplies:
            export += positive * (1 - error)
            imported += negative * (1 + error)
        elif meter.role is Role.IMPORT:
            imported += positive * (1 + error)
    return export, imported


def slots_of(from_s: int, to_s: int, interval_s: int) -> int:
    """Return how many intervals a period of whole legal days has.

    Up to an hour they have one length. Longer ones are counted on the clock, so that each day has as
    many, of 23, 24 or 25 hours.
    """
    if interval_s <= SECONDS_PER_HOUR:
        return (to_s - from_s) // interval_s
    days = (to_s - from_s + SECONDS_PER_DAY // 2) // SECONDS_PER_DAY
    return days * (SECONDS_PER_DAY // interval_s)


def counts_of(meter: Meter, from_s: int, to_s: int) -> Counts:
    """Return how many slots of the period a meter should have, and what became of them.

    The difference of a register spans as many slots as go into its length; of all of them together,
    rounded down, for they need not lie on the grid.
    """
    expected = slots_of(from_s, to_s, meter.interval_s)
    slots = [0, 0]
    seconds = [0, 0]
    conflicts: set[int] = set()
    for reading in meter.readings:
        if reading.quality in USED or reading.quality in OUTLIER:
            which = int(reading.quality in OUTLIER)
            if TO in reading.text:
                seconds[which] += reading.end_s - reading.start_s
            else:
                slots[which] += 1
        elif reading.quality in _CONFLICT:
            conflicts.add(reading.start_s)
    for which, spanned_s in enumerate(seconds):
        if spanned_s:
            free = expected - sum(slots)
            slots[which] += min(free, max(1, spanned_s // meter.interval_s))
    used, outlier = slots
    return Counts(expected, used, expected - used - outlier, outlier, len(conflicts))


def issued_of(available_kg: Fraction) -> tuple[int, Fraction]:
    """Return whole kilograms to issue, and what is carried on: the ledger's one rounding, down.

    A deficit issues nothing and is carried whole until it is paid.
    """
    issued = available_kg.numerator // available_kg.denominator if available_kg > 0 else 0
    return issued, available_kg - issued


def compute(inputs: ReductionInputs) -> Reduction:
    """Compute the reductions of a project in one period.

    Parameters
    ----------
    inputs
        Readings, factor and period; readings outside the period are a mistake of the caller.

    Raises
    ------
    Refused
        A factor of the wrong purpose, no reading at all, a period under the completeness threshold,
        or a meter whose error cannot be bounded.
    BadInput
        A factor or a threshold that is no number.
    """
    require_crediting(inputs.factor)
    meters = [meter for meter in inputs.meters if meter.role is not Role.LOAD]
    _check(inputs, meters)
    counts = sum((counts_of(meter, inputs.from_s, inputs.to_s) for meter in meters), Counts())
    _require_complete(inputs, counts)
    export = imported = Fraction(0)
    for meter in meters:
        plus, minus = export_import_kwh(meter)
        export += plus
        imported += minus
    # kg per kWh is t per MWh, so that kWh/1000 x factor is tonnes.
    baseline_t = (export - imported) / KG_PER_TONNE * factor_kg_per_kwh(inputs.factor)
    available_kg = baseline_t * KG_PER_TONNE + inputs.carry_in_kg
    issued_kg, carry_out_kg = issued_of(available_kg)
    empty = not any(meter.readings for meter in inputs.meters)
    root, leaves = ("", 0) if empty else evidence_root(inputs.meters)
    return Reduction(
        inputs=inputs,
        counts=counts,
        export_kwh=export,
        import_kwh=imported,
        baseline_t=baseline_t,
        project_t=Fraction(0),
        leakage_t=Fraction(0),
        issued_kg=issued_kg,
        carry_out_kg=carry_out_kg,
        evidence_root=root,
        leaves=leaves,
    )


def _check(inputs: ReductionInputs, meters: list[Meter]) -> None:
    roles = {meter.role for meter in meters}
    if Role.GENERATION in roles and Role.EXPORT in roles:
        raise Refused(
            f"project {inputs.project} has generation and export meters: the exported energy would "
            "count twice; keep the one that is credited",
            code="counted-twice",
        )
    if Role.FUEL in roles:
        raise Refused(
            f"project {inputs.project} has a fuel meter: this release computes no emissions of fuel",
            code="not-supported",
        )
    if inputs.enforce and not any(meter.readings for meter in meters):
        raise Refused(
            f"project {inputs.project} has no reading between {inputs.from_date} and "
            f"{inputs.to_date}; import the meter files first",
            code="no-readings",
        )
    for meter in meters:
        for reading in meter.readings:
            if reading.start_s < inputs.from_s or reading.end_s > inputs.to_s:
                raise ValueError(f"{meter.serial} at {reading.start_s} lies outside the period")


def _require_complete(inputs: ReductionInputs, counts: Counts) -> None:
    least = fraction_of_decimal(inputs.completeness_min, "completeness_min")
    if inputs.enforce and counts.used < least * counts.expected:
        raise Refused(
            f"project {inputs.project}: of {counts.expected} readings expected between "
            f"{inputs.from_date} and {inputs.to_date} {counts.used} can be used, the project requires "
            f"a share of {inputs.completeness_min}; import what is missing or choose another period",
            code="incomplete",
            details={
                "used": counts.used,
                "expected": counts.expected,
                "completeness_min": inputs.completeness_min,
            },
        )
