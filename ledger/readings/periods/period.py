"""A project's readings and factor of one legal period, as the arithmetic wants them; nothing here writes.

A monitoring period is ``[from, to)`` in legal dates of the site, inside one calendar year: one
vintage. A period over New Year is split.

Most of this module is about the **carry**: what enters a period from the time before it. That is what the last
issuance left (``carry``) and the deficits of days that nobody has issued or can issue: those at the end of earlier
years (``left_before``) and those of its own year (``skipped_before``). Both compute such days like a period, so they
call ``load_period`` again, for earlier days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from sqlalchemy.orm import Session

from ledger import models
from ledger.errors import BadInput, Refused
from ledger.naming import project_named
from ledger.readings.periods.carry import (
    entered,
    factor_before,
    is_followed,
    issued_exactly,
    left_by_last,
    owed_by,
    unissued_since,
    unpaid_corrections,
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

    The first part takes its carry from the issuances before the period. Where a later period is issued already, the
    carry went into that one, and this period is a backfill. Each further part takes what the part before it left, if
    that is a deficit: a positive carry ends with its vintage.

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
    """Return the deficit that goes on after days at the end of a year that are not issued, kg; 0: there is none.

    Their own deficit is added. Reductions that they have are never issued, and pay nothing.

    Parameters
    ----------
    left_kg
        What was left before them.
    """
    return min(left_kg + min(rest.reductions_kg, Fraction(0)), Fraction(0))


class Skipped(NamedTuple):
    """Days before a period, in its year, that were left out of all issuances and have a deficit."""

    begin: date
    kg: Fraction
    """Below zero."""
    may_begin: bool
    """Whether a period that begins with these days can be issued: then it has to begin there (``check_gap``)."""


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
    """Return everything that the reduction of a period is computed from.

    Parameters
    ----------
    start, end
        Legal dates of the site within one calendar year; ``end`` is exclusive.
    enforce
        False for a period that is only looked at and never issued: it is not refused for what it lacks (``compute``).
    carry_in_kg
        What enters the period, kg; None: what the books say, the deficits of corrections included.
    backfill
        Whether the period gets no carry, because that went into a later one; None: if a later one is issued.
    since_s
        First second of all that is computed together, of which the period is a part; None: it is computed alone.
    lock
        Lock the project's meters until the unit of work ends, so that no import changes them.
    skipped
        Called instead of ``skipped_before``, for a caller that needs its answer as well; None: it is computed here.

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

    corrections: tuple[CarriedCorrection, ...] = ()
    if carry_in_kg is None:
        if backfill is None:
            backfill = is_followed(session, project.id, to_s)
        if skipped is None:
            skipped = partial(skipped_before, session, project, start, end)
        carry_in_kg, corrections = _entering(
            session, project, site.time_zone, (start, end), from_s, None if backfill else skipped
        )
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


def _entering(
    session: Session,
    project: models.Project,
    time_zone: str,
    period: tuple[date, date],
    from_s: int,
    skipped: Callable[[], Skipped | None] | None,
) -> tuple[Fraction, tuple[CarriedCorrection, ...]]:
    """Return what enters a period from before it, in kg, and the corrections among it.

    Where exactly this period is issued already, it is what entered it then. Else it is the deficits of corrections that
    nobody has paid yet, and what was left before the period. A backfill gets nothing of the latter: it went into a
    later period, which was issued before it (decision 0102).

    Parameters
    ----------
    skipped
        As for ``load_period``; None: the period is a backfill.
    """
    start, end = period
    issued = issued_exactly(session, project.id, start, end)
    if issued is not None:
        return entered(issued)
    corrections = unpaid_corrections(session, project.id, from_s)
    kg = owed_by(corrections)
    if skipped is None:
        return kg, corrections
    kg += left_before(session, project, time_zone, start, from_s)
    days = skipped()
    # Where a period may begin with the days that are left out, it has to (``check_gap``): nothing enters from them.
    if days is not None and not days.may_begin:
        kg += days.kg
    return kg, corrections


def left_before(
    session: Session, project: models.Project, time_zone: str, start: date, from_s: int
) -> Fraction:
    """Return what was left before a period, in kg: by the last issuance, and by the ends of years that followed it.

    A period lies in one year. So days at the end of a year that come to less than a kilogram can never be issued. If
    they have a deficit it enters the next year; else nothing could be issued ever again (decision 0104).
    """
    begun, year = unissued_since(session, project, time_zone, start), date(start.year, 1, 1)
    if begun is None or begun >= year:
        return left_by_last(session, project, start, from_s)
    rest = unissued_reduction(session, project, *split_by_vintage(begun, year)[-1])
    # Corrections enter this period by themselves.
    return _left_after(rest.inputs.carry_in_kg - owed_by(rest.inputs.corrections), rest)


def skipped_before(
    session: Session, project: models.Project, start: date, end: date
) -> Skipped | None:
    """Return the days right before a period, in its year, that no issuance has; None unless they have a deficit.

    Usually the period can begin with them instead (``may_begin``). Sometimes that longer period is refused: too little
    is known of one of the days, or no factor is valid on all of them. Then their deficit enters the period as it is;
    else nothing of the year could be issued any more (decision 0106).
    """
    time_zone = session.get_one(models.Site, project.site_id).time_zone
    begun = unissued_since(session, project, time_zone, start)
    if begun is None:
        return None
    begun = max(begun, date(start.year, 1, 1))
    if begun >= start:
        return None
    kg = unissued_reduction(session, project, begun, start, Fraction(0)).reductions_kg
    if kg >= 0:
        return None
    whole = load_period(session, project.code, begun, end, carry_in_kg=Fraction(0), backfill=False)
    try:
        compute(whole)
    except Refused:
        return Skipped(begun, kg, may_begin=False)
    return Skipped(begun, kg, may_begin=True)


def unissued_reduction(
    session: Session,
    project: models.Project,
    start: date,
    end: date,
    carry_in_kg: Fraction | None = None,
) -> Reduction:
    """Compute the reductions of days, within one year, that are not issued: a deficit of theirs counts all the same.

    A factor is not refused for being of other days. It is the project's; where that is not valid on these days, and
    that of the issuance before them is, it is the latter: a new year brings a new factor, and days of the old year that
    are never issued must stop nothing.

    A value that they have to deduct may be withdrawn with none in its place. Then they are refused: else a withdrawal
    would make their deficit smaller.

    Parameters
    ----------
    carry_in_kg
        As ``load_period`` takes it.

    Raises
    ------
    NotFound, BadInput, Refused
        As ``load_period``, ``require_settled`` and ``compute``.
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
