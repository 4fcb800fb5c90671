"""From readings and a factor to kilograms: exact, pure, and in the order of the equations.

Which roles a project may have, and the equations from energies to tonnes, are the methodology's
(``methodologies``); what a meter comes to stands in ``energies``, what a factor is in ``factors``.
Here the rules of the ledger meet them: counts, completeness, the carry, and the one rounding,
``issued_of``. No float occurs between the text and the kilogram.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from ledger.errors import Refused
from ledger.reductions import methodologies
from ledger.reductions.energies import result_of, self_consumption
from ledger.reductions.evidence import evidence_root
from ledger.reductions.factors import fraction_of_decimal, require_crediting
from ledger.reductions.grids import slots_of
from ledger.reductions.records import OUTLIER, USED, Meter, Quality, ReductionInputs, Role
from ledger.reductions.registers import TO
from ledger.reductions.results import Counts, Reduction
from ledger.reductions.serial_numbers import twins
from ledger.reductions.zones import legal_day, utc_of, zone
from ledger.units import KG_PER_TONNE

_CONFLICT = frozenset({Quality.SUPERSEDED_IN_CONFLICT, Quality.REGISTER_CONFLICT})


def counts_of(meter: Meter, from_s: int, to_s: int) -> Counts:
    """Return how many slots of the period a meter should have, and what became of them.

    It should have those of the time that it is in service, and no other.

    The difference of a register spans as many slots as go into its length; of all of them together,
    rounded down, for they need not lie on the grid.
    """
    from_s, to_s = meter.in_service(from_s, to_s)
    expected = slots_of(from_s, to_s, meter.interval_s) if from_s < to_s else 0
    slots = [0, 0]
    seconds = [0, 0]
    conflicts: set[int] = set()
    for run in meter.runs_in_service():
        quality = run.shape.quality
        if quality in USED or quality in OUTLIER:
            which = int(quality in OUTLIER)
            differences = sum(TO in text for text in run.texts)
            seconds[which] += differences * run.shape.seconds
            slots[which] += len(run.texts) - differences
        elif quality in _CONFLICT:
            conflicts.update(run.starts)
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

    Returns
    -------
    Reduction
        ER = BE - PE - LE - U by the methodology's equations, cut to whole kilograms with the carry.

    Raises
    ------
    Refused
        A methodology that is not known or does not apply, a factor of the wrong purpose or of other
        days, what may be one meter twice, no reading at all, one of a time when its meter is not there, a
        period under the completeness threshold, or a meter whose error cannot be bounded.
    BadInput
        A factor or a threshold that is no number.
    """
    # A factor of the inventory is the first thing to say, whatever else is wrong.
    require_crediting(inputs.factor)
    methodology = methodologies.known(inputs.methodology, inputs.methodology_version)
    if methodology is None and inputs.enforce:
        methodology = methodologies.find(inputs.methodology, inputs.methodology_version)
    methodology = methodology or methodologies.DEFAULT
    methodology.check(inputs)
    _require_each_once(inputs)
    counted = [meter for meter in inputs.meters if meter.role.counts]
    _check_readings(inputs, counted)
    _require_in_service(inputs)
    balance = [meter for meter in counted if meter.role is not Role.FUEL]
    counts = sum((counts_of(meter, inputs.from_s, inputs.to_s) for meter in balance), Counts())
    _require_complete(inputs, counts, counted)
    results = tuple(result_of(meter) for meter in inputs.meters)
    sums = methodologies.Sums(
        export_kwh=sum((result.export_kwh for result in results), Fraction(0)),
        import_kwh=sum((result.import_kwh for result in results), Fraction(0)),
        fuel_t=sum((result.fuel_t for result in results), Fraction(0)),
    )
    masses = methodology.emissions(inputs, sums)
    reductions_t = masses.baseline_t - masses.project_t - masses.leakage_t - masses.uncertainty_t
    issued_kg, carry_out_kg = issued_of(reductions_t * KG_PER_TONNE + inputs.carry_in_kg)
    empty = not any(meter.readings for meter in inputs.meters)
    root, leaves = ("", 0) if empty else evidence_root(inputs.meters)
    return Reduction(
        inputs=inputs,
        counts=counts,
        export_kwh=sums.export_kwh,
        import_kwh=sums.import_kwh,
        baseline_t=masses.baseline_t,
        project_t=masses.project_t,
        leakage_t=masses.leakage_t,
        issued_kg=issued_kg,
        carry_out_kg=carry_out_kg,
        evidence_root=root,
        leaves=leaves,
        uncertainty_t=masses.uncertainty_t,
        meters=results,
        self_consumption=self_consumption(inputs.meters, inputs.from_s),
    )


def _require_each_once(inputs: ReductionInputs) -> None:
    """Refuse what no site file has, but a manifest that somebody writes may: one meter that stands there twice."""
    if not inputs.enforce:
        return
    devices: dict[str, str] = {}
    same = [
        (meter.serial, devices.setdefault(meter.device_code, meter.serial))
        for meter in inputs.meters
    ]
    of_one = [("are of one device", *pair) for pair in same if pair[0] != pair[1]]
    alike = "read the same but for case, width, blanks or signs that do not show"
    of_one += [(alike, *pair) for pair in twins(meter.serial for meter in inputs.meters)]
    for why, serial, first in of_one:
        raise Refused(
            f"project {inputs.project}: the meters {first!r} and {serial!r} {why}: what one meter counts would count "
            "twice; keep one of them in the project (inventory_only = true for the other)",
            code="counted-twice",
            details={"meters": [first, serial]},
        )


def _check_readings(inputs: ReductionInputs, counted: Iterable[Meter]) -> None:
    if inputs.enforce and not any(meter.readings for meter in counted):
        raise Refused(
            f"project {inputs.project} has no reading between {inputs.from_date} and "
            f"{inputs.to_date}; import the meter files first",
            code="no-readings",
        )
    for meter in inputs.meters:
        for run in meter.runs:
            first_s, last_s = min(run.starts), max(run.starts)
            if first_s < inputs.from_s or last_s + run.shape.seconds > inputs.to_s:
                raise ValueError(f"{meter.serial}: {first_s} to {last_s} lies outside the period")


def _require_in_service(inputs: ReductionInputs) -> None:
    """Refuse what a meter counted before it was there, or after: one of the two is not so.

    Of a storage, too: that it is not there is what spares a project the import meter.
    """
    if not inputs.enforce:
        return
    for meter in inputs.meters:
        for start_s in meter.counted_out_of_service():
            day = legal_day(start_s, zone(inputs.zone))
            raise Refused(
                f"project {inputs.project}: the meter {meter.serial} has a reading of {day} that is not 0, and "
                "is not in service for all of its time; correct in_service_from or in_service_to of device "
                f"{meter.device_code}",
                code="not-in-service",
                details={"meter": meter.serial, "day": day.isoformat()},
            )


def _require_complete(inputs: ReductionInputs, counts: Counts, counted: Iterable[Meter]) -> None:
    """Refuse a period of which too little is known.

    A missing slot of supply claims nothing, and is conservative by itself. One of an import meter or
    of a fuel meter deducts nothing, and is not: where a project asks for completeness at all, it
    asks for every one of them.
    """
    least = fraction_of_decimal(inputs.completeness_min, "completeness_min")
    if not inputs.enforce:
        return
    require_settled(inputs)
    if least <= 0:
        return
    if counts.used < least * counts.expected:
        silent = _silent(inputs, counted)
        raise Refused(
            f"project {inputs.project}: of {counts.expected} readings expected between "
            f"{inputs.from_date} and {inputs.to_date} {counts.used} can be used, the project requires "
            f"a share of {inputs.completeness_min}; import what is missing or choose another period"
            + (f"; {_gone(silent)}" if silent else ""),
            code="incomplete",
            details={
                "used": counts.used,
                "expected": counts.expected,
                "completeness_min": inputs.completeness_min,
            },
        )
    for meter in counted:
        lacking = _undeducted(meter, inputs.from_s, inputs.to_s)
        if lacking:
            raise Refused(
                f"project {inputs.project}: {lacking} readings of the {meter.role.value} meter "
                f"{meter.serial} between {inputs.from_date} and {inputs.to_date} are missing or "
                "impossible, and what they hold could not be deducted; import them or choose another "
                f"period{'' if meter.readings else f'; {_gone(meter)}'}"
                + _to_withdraw(0 if meter.register else len(_impossible(meter)), "first"),
                code="incomplete",
                details={"meter": meter.serial, "role": meter.role.value, "lacking": lacking},
            )


def require_settled(inputs: ReductionInputs) -> None:
    """Refuse a period in which a value was withdrawn that is deducted, and none counts in its place.

    However little completeness a project asks for: else a withdrawal would make its claim larger.

    Raises
    ------
    Refused
        There is such a value.
    """
    for meter in inputs.meters:
        _require_settled(inputs, meter)


def _require_settled(inputs: ReductionInputs, meter: Meter) -> None:
    taken = inputs.withdrawn.get(meter.serial)
    if not taken:
        return
    runs = meter.runs_in_service()
    there = {start_s for run in runs for start_s in run.starts}
    used = {start_s for run in runs if run.shape.quality in USED for start_s in run.starts}
    lacking = sorted((taken & there) - used)
    if lacking:
        beside = _impossible(meter).intersection(lacking)
        first = utc_of(lacking[0]).astimezone(zone(inputs.zone)).isoformat(timespec="minutes")
        raise Refused(
            f"project {inputs.project}: readings of the {meter.role.value} meter {meter.serial} between "
            f"{inputs.from_date} and {inputs.to_date} were withdrawn ({len(lacking)}, the first of {first}), and "
            "nothing counts in their place: what they hold could not be deducted; import the right values, a 0 where "
            "there was nothing, or restore them (truetonne readings restore)"
            + _to_withdraw(len(beside), "too"),
            code="incomplete",
            details={"meter": meter.serial, "role": meter.role.value, "lacking": len(lacking)},
        )


def _impossible(meter: Meter) -> set[int]:
    """Return the starts of the slots of a meter with an impossible value that goes before whatever is brought."""
    before_all = Quality.OUTLIER_BELOW if meter.role.supplies else Quality.OUTLIER_ABOVE
    return {
        start_s
        for run in meter.runs_in_service()
        if run.shape.quality == before_all
        for start_s in run.starts
    }


def _to_withdraw(count: int, more: str) -> str:
    return (
        f"; in {count} of these slots stands an impossible value, beside which no other counts: withdraw it {more} "
        "(truetonne readings withdraw)"
        if count
        else ""
    )


def _silent(inputs: ReductionInputs, counted: Iterable[Meter]) -> Meter | None:
    """Return a meter that should have readings of a period, and of which nothing is known."""
    return next(
        (
            meter
            for meter in counted
            if meter.role is not Role.FUEL
            and not meter.readings
            and meter.is_there(inputs.from_s, inputs.to_s)
        ),
        None,
    )


def _gone(meter: Meter) -> str:
    nothing = "bring it a 0 if it burnt nothing; " if meter.role is Role.FUEL else ""
    return (
        f"of {meter.serial} there is nothing: {nothing}if it was not there, write in_service_from or in_service_to "
        f"into the [[device]] {meter.device_code}"
    )


def _undeducted(meter: Meter, from_s: int, to_s: int) -> int:
    """Return how many slots of a meter of consumption deduct nothing because nobody knows them.

    Fuel is recorded when it is delivered or burnt: a time that its file leaves out is no fuel, one
    without a usable value is not known, and so is a period without any record.
    """
    if meter.role is Role.IMPORT:
        counts = counts_of(meter, from_s, to_s)
        return counts.expected - counts.used
    if meter.role is Role.FUEL and meter.is_there(from_s, to_s):
        runs = meter.runs_in_service()
        starts = {start_s for run in runs for start_s in run.starts}
        used = {start_s for run in runs if run.shape.quality in USED for start_s in run.starts}
        return len(starts - used) if starts else 1
    return 0
