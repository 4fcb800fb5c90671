"""A project's readings and factor of one legal period, as the arithmetic wants them.

A monitoring period is ``[from, to)`` in legal dates of the site, inside one calendar year: one
vintage. A period over New Year is split. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy.orm import Session

from ledger import models
from ledger.errors import BadInput, Refused
from ledger.naming import project_named
from ledger.readings.periods.carry import (
    carried_into,
    factor_before,
    is_followed,
    left_by_last,
    owed_by,
    unissued_since,
)
from ledger.readings.periods.factor_rows import factor_record
from ledger.readings.periods.metered import project_meters, withdrawn_of
from ledger.reductions.arithmetic import compute, require_settled
from ledger.reductions.certificates import left_out_before
from ledger.reductions.factors import is_valid
from ledger.reductions.records import CarriedCorrection, Factor, ReductionInputs
from ledger.reductions.results import Reduction
from ledger.reductions.zones import TZDATA_VERSION, legal_day_start_s, zone
from ledger.units import plain

FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(2106, 1, 1)
"""What legal days there are in every zone: times are seconds since 1970, of which the contract keeps 32 bits."""


def check_days(start: date, end: date) -> None:
    """Require a period of legal days, the end exclusive, that has a day, and none beyond what times can say.

    Raises
    ------
    BadInput
        The period is empty, or does not lie between 1970 and 2106.
    """
    if start >= end:
        raise BadInput(
            f"the period from {start} to {end} is empty: the end is exclusive and comes later"
        )
    if start < FIRST_DAY or end > LAST_DAY:
        raise BadInput(
            f"the period from {start} to {end} must lie between {FIRST_DAY} and {LAST_DAY}"
        )


def split_by_vintage(start: date, end: date) -> list[tuple[date, date]]:
    """Return the parts of a period that lie in one calendar year each.

    Raises
    ------
    BadInput
        The period is empty, or does not lie between 1970 and 2106.
    """
    check_days(start, end)
    parts = []
    while start < end:
        part_end = min(end, date(start.year + 1, 1, 1))
        parts.append((start, part_end))
        start = part_end
    return parts


def reductions_for(session: Session, project_code: str, start: date, end: date) -> list[Reduction]:
    """Compute the reductions of a period, one for each vintage; write nothing.

    The first carry comes from the issuances before the period, unless a later one is issued: then it went there, and
    the period is a backfill. What one part leaves is carried into the next only when it is a deficit, as when each is
    issued: a positive carry ends with its vintage.

    Raises
    ------
    NotFound
        There is no such project.
    BadInput
        The period is empty.
    Refused
        A rule of the ledger forbids to issue for the period.
    """
    reductions: list[Reduction] = []
    for part_start, part_end in split_by_vintage(start, end):
        since_s, carry_in_kg = None, None
        if reductions:  # corrections have entered the part before
            since_s = reductions[0].inputs.from_s
            before = reductions[-1]
            carry_in_kg = Fraction(0)
            if not before.issued_kg:
                carry_in_kg = _left_after(before.inputs.carry_in_kg, before)
        inputs = load_period(
            session, project_code, part_start, part_end, carry_in_kg=carry_in_kg, since_s=since_s
        )
        if reductions:
            inputs = left_out_before(inputs, reductions)
        reductions.append(compute(inputs))
    return reductions


def _left_after(left_kg: Fraction, rest: Reduction) -> Fraction:
    """Return what is left after the end of a year that is not issued: what it has makes up for nothing.

    Parameters
    ----------
    left_kg
        What was left before it.
    """
    return min(left_kg + min(rest.reductions_kg, Fraction(0)), Fraction(0))


class Skipped(NamedTuple):
    """Days of one year before a period that no issuance has, and that have a deficit."""

    begin: date
    kg: Fraction
    """Below zero."""
    may_begin: bool
    """Whether a period that begins there may be issued: then it has to."""


def load_period(
    session: Session,
    project_code: str,
    start: date,
    end: date,
    *,
    enforce: bool = True,
    carry_in_kg: Fraction | None = None,
    backfill: bool | None = None,
    since_s: int | None = None,
    lock: bool = False,
    skipped: Callable[[], Skipped | None] | None = None,
) -> ReductionInputs:
    """Return all that a reduction depends on.

    Parameters
    ----------
    start, end
        Legal dates of the site within one calendar year; ``end`` is exclusive.
    enforce
        False for a look at a period that will not be issued, however empty it is.
    carry_in_kg
        None: what the issuances before the period left.
    backfill
        Whether what was left before the period has gone into a later one; None: where a later one is issued.
    since_s
        Where what is computed together with the period begins; None: with the period.
    lock
        Lock the project's meters until the unit of work ends, against an import.
    skipped
        Gives what ``skipped_before`` does, for a caller that wants to know it, too; None: it is computed here.

    Raises
    ------
    NotFound
        There is no such project.
    BadInput
        The period is empty or runs over New Year.
    Refused
        The project has no meter, or a meter that no source feeds.
    """
    if split_by_vintage(start, end) != [(start, end)]:
        raise BadInput(
            f"the period from {start} to {end} runs over New Year: one period, one vintage"
        )
    project = project_named(session, project_code)
    site = session.get_one(models.Site, project.site_id)
    factor = session.get_one(models.EmissionFactor, project.factor_id)
    where = zone(site.time_zone)
    from_s, to_s = legal_day_start_s(start, where), legal_day_start_s(end, where)

    def left() -> Fraction:
        followed = is_followed(session, project.id, to_s) if backfill is None else backfill
        if followed:  # then it has gone into a later period (decision 0102)
            return Fraction(0)
        kg = left_before(session, project, site.time_zone, start, from_s)
        out = skipped() if skipped else skipped_before(session, project, start, end)
        # Where a period may begin with the days that are left out, it has to, and nothing enters from them.
        return kg if out is None or out.may_begin else kg + out.kg

    corrections: tuple[CarriedCorrection, ...] = ()
    if carry_in_kg is None:
        carry_in_kg, corrections = carried_into(session, project, start, end, from_s, left)
    meters = project_meters(
        session,
        project,
        where,
        (from_s, to_s),
        since_s=from_s if since_s is None else since_s,
        lock=lock,
    )
    return ReductionInputs(
        program=project.program,
        project=project.code,
        site=site.code,
        methodology=project.methodology,
        methodology_version=project.methodology_version,
        vintage=start.year,
        zone=site.time_zone,
        tzdata=TZDATA_VERSION,
        from_date=start,
        to_date=end,
        from_s=from_s,
        to_s=to_s,
        factor=factor_record(factor),
        completeness_min=plain(project.completeness_min),
        meters=tuple(meters),
        carry_in_kg=carry_in_kg,
        corrections=corrections,
        withdrawn=withdrawn_of(session, project, from_s, to_s),
        enforce=enforce,
        leakage_share=project.leakage_share or "0",
        uncertainty_share=project.uncertainty_share or "0",
    )


def left_before(
    session: Session, project: models.Project, time_zone: str, start: date, from_s: int
) -> Fraction:
    """Return what the last issuance before a period left, less what the ends of the years since then lack.

    A period lies in one year. So days at the end of one that come to less than a kilogram can be issued with no others:
    a deficit of theirs enters the next year, or nothing could be issued ever again (decision 0104).
    """
    begun, year = unissued_since(session, project, time_zone, start), date(start.year, 1, 1)
    if begun is None or begun >= year:
        return left_by_last(session, project, start, from_s)
    rest = look_at(session, project, *split_by_vintage(begun, year)[-1])
    # Corrections enter this period by themselves.
    return _left_after(rest.inputs.carry_in_kg - owed_by(rest.inputs.corrections), rest)


def skipped_before(
    session: Session, project: models.Project, start: date, end: date
) -> Skipped | None:
    """Return the days of its own year that are left out before a period, where they have a deficit; else None.

    A period that begins with them takes them in. Where that one is refused (too little is known of a day of them, or no
    factor is of all its days), nothing of the year could be issued any more: their deficit enters the period as it is
    (decision 0106).
    """
    time_zone = session.get_one(models.Site, project.site_id).time_zone
    begun = unissued_since(session, project, time_zone, start)
    if begun is None:
        return None
    begun = max(begun, date(start.year, 1, 1))
    if begun >= start:
        return None
    kg = look_at(session, project, begun, start, Fraction(0)).reductions_kg
    if kg >= 0:
        return None
    whole = load_period(session, project.code, begun, end, carry_in_kg=Fraction(0), backfill=False)
    try:
        compute(whole)
    except Refused:
        return Skipped(begun, kg, may_begin=False)
    return Skipped(begun, kg, may_begin=True)


def look_at(
    session: Session,
    project: models.Project,
    start: date,
    end: date,
    carry_in_kg: Fraction | None = None,
) -> Reduction:
    """Compute days of one year that are not issued, for what they lack.

    What was withdrawn of what they have to deduct, and nothing counts in its place, is to be settled first: else a
    withdrawal would have them lack less.

    The factor is the project's, or where that is of other days only, that of the issuance before them: a new year has
    a new factor, and days of the old one, which are never issued, are to stop nothing.

    Parameters
    ----------
    carry_in_kg
        As ``load_period`` takes it.

    Raises
    ------
    NotFound, BadInput, Refused
        As ``load_period`` and ``compute`` do, but for days of which no factor is.
    """
    inputs = load_period(
        session,
        project.code,
        start,
        end,
        enforce=False,
        carry_in_kg=carry_in_kg,
        backfill=False,
    )
    require_settled(inputs)
    factor = inputs.factor
    if not is_valid(factor, start, end):
        before = factor_before(session, project, inputs.from_s)
        if before is not None and is_valid(before, start, end):
            factor = before
    meters = (
        meter if meter.fuel is None else replace(meter, fuel=_of_any_day(meter.fuel))
        for meter in inputs.meters
    )
    return compute(replace(inputs, factor=_of_any_day(factor), meters=tuple(meters)))


def _of_any_day(factor: Factor) -> Factor:
    return replace(factor, valid_from=None, valid_to=None)
