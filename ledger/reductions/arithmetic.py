"""From readings and a factor to kilograms: exact, pure, without a float. ``compute`` does all of it.

The methodology (``methodologies``) says which roles meters may have, and has the equations from energies to
tonnes. ``energies`` adds up a meter, ``factors`` reads a factor. What is here are the rules of the ledger that hold
for every methodology: which periods are refused, the counts of readings, the carry, and the one rounding
(``issued_of``).
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from zoneinfo import ZoneInfo

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


def counts_of(meter: Meter, from_s: int, to_s: int, where: ZoneInfo) -> Counts:
    """Return how many slots of the period a meter should have, and what became of them.

    It should have those of the time in which it is in service. A reading fills one slot. A difference
    of a register may be longer than a slot, and need not begin where one does: all differences
    together fill as many slots as their lengths add up to, rounded down.
    """
    from_s, to_s = meter.in_service(from_s, to_s)
    expected = slots_of(from_s, to_s, meter.interval_s, where) if from_s < to_s else 0
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
    """Return the whole kilograms to issue, and the rest that is carried on: the ledger's one rounding, down.

    Of a deficit (below zero) nothing is issued; it is carried on whole until it is paid.
    """
    issued = available_kg.numerator // available_kg.denominator if available_kg > 0 else 0
    return issued, available_kg - issued


def compute(inputs: ReductionInputs) -> Reduction:
    """Compute the reductions of a project in one period.

    Parameters
    ----------
    inputs
        Readings, factor and period. With ``enforce`` off, nothing is refused for being incomplete or unknown.

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
    ValueError
        A reading outside the period: a mistake of the caller.
    """
    # A factor of the inventory is the first thing to say, whatever else is wrong.
    require_crediting(inputs.factor)
    find = methodologies.find if inputs.enforce else methodologies.known
    methodology = find(inputs.methodology, inputs.methodology_version) or methodologies.DEFAULT
    methodology.check(inputs)
    _require_each_once(inputs)
    counted = [meter for meter in inputs.meters if meter.role.counts]
    _check_readings(inputs, counted)
    _require_in_service(inputs)
    balance = [meter for meter in counted if meter.role is not Role.FUEL]
    span = inputs.from_s, inputs.to_s, zone(inputs.zone)
    counts = sum((counts_of(meter, *span) for meter in balance), Counts())
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
    """Refuse one meter that stands there twice. No site file can have that, but a manifest that somebody wrote can."""
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
    """Refuse a value other than 0 of a time when its meter is not in service: one of the two must be wrong.

    A storage is checked as well: only while it is out of service can a project do without an import meter.
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

    A slot that is missing on a meter of generation or export claims nothing, so a share of them may be missing
    (``completeness_min``). On an import or fuel meter it deducts nothing, and the claim would be too large: if the
    project asks for any completeness at all, none of these may be missing.
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
        lacking = _undeducted(meter, inputs.from_s, inputs.to_s, zone(inputs.zone))
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
    """Refuse a period in which a value that is deducted was withdrawn, and no other one counts in its place.

    This holds however little completeness the project asks for: else a withdrawal would make its claim larger.

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
    """Return the slots of a meter, by start, with an impossible value that outranks any other that is imported."""
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
    """Return a meter, not of fuel, that should have readings of the period and has none at all."""
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


def _undeducted(meter: Meter, from_s: int, to_s: int, where: ZoneInfo) -> int:
    """Return how many slots of an import or fuel meter are not deducted because their value is not known.

    An import meter must have every slot. Fuel is recorded when it is delivered or burnt: a time that its
    file leaves out means no fuel. Not known is a record without a usable value, or a period without any record.
    """
    if meter.role is Role.IMPORT:
        counts = counts_of(meter, from_s, to_s, where)
        return counts.expected - counts.used
    if meter.role is Role.FUEL and meter.is_there(from_s, to_s):
        runs = meter.runs_in_service()
        starts = {start_s for run in runs for start_s in run.starts}
        used = {start_s for run in runs if run.shape.quality in USED for start_s in run.starts}
        return len(starts - used) if starts else 1
    return 0
