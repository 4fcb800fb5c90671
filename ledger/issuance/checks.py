"""When a period may be issued: it is over, not issued yet, and leaves no deficit out.

Periods come in the order of time (``check_turn``, ``check_gap``). One that was left out, before a period that is
issued, is a backfill and has rules of its own (``check_backfill``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import NoReturn

from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from ledger.chain.sending.issued import batch_of
from ledger.errors import Refused
from ledger.models import ChainIntent, CreditBatch, CreditSite, Issuance, Project, Site
from ledger.models.issuance import LIVE, IssuanceState, claimed_before
from ledger.models.sending import IntentState
from ledger.naming import of_site
from ledger.readings.periods.carry import entered, owed_by
from ledger.readings.periods.period import (
    Skipped,
    left_before,
    split_by_vintage,
    unissued_reduction,
)
from ledger.reductions.records import ReductionInputs
from ledger.reductions.zones import legal_day, legal_day_start_s, utc_of, zone
from ledger.registration import ChainSite
from ledger.serials import batch_name
from ledger.units import decimal_floor


def check_ended(
    session: Session, project: Project, end: date, now: datetime, newest_s: int
) -> None:
    """Refuse a period that is not over by our clock, as its readings can still change, or by the chain's.

    The contract takes no other by the chain's: what was planned before would be refused, and void.

    Parameters
    ----------
    newest_s
        Time of the newest block, epoch seconds.

    Raises
    ------
    Refused
        If the period ends after today, or after the newest block, in the legal time of its site.
    """
    where = zone(session.get_one(Site, project.site_id).time_zone)
    today = now.astimezone(where).date()
    if end > today:
        raise Refused(
            f"the period ends on {end}, and today is {today} in {where}: a period is issued once it is over; give an "
            "earlier --to",
            code="period-not-over",
        )
    if legal_day_start_s(end, where) > newest_s:
        newest = utc_of(newest_s).astimezone(where)
        raise Refused(
            f"the period ends on {end}, and the newest block is of {newest:%Y-%m-%d %H:%M:%S} in {where}: the contract "
            "takes a period once it is over by the chain's clock; wait for a later block",
            code="period-not-over",
        )


def check_free(session: Session, project_id: int, from_s: int, to_s: int) -> None:
    """Refuse a period that overlaps one that is issued, or about to be; seconds since 1970, the end exclusive.

    Raises
    ------
    Refused
        If it overlaps one.
    """
    query = select(Issuance).where(
        Issuance.project_id == project_id,
        Issuance.state.in_(LIVE),
        Issuance.from_s < to_s,
        Issuance.to_s > from_s,
    )
    taken = session.scalars(query.order_by(Issuance.from_s)).first()
    if taken is not None:
        raise Refused(
            f"the period overlaps an issuance from {taken.from_date} to {taken.to_date} "
            f"{_said_of(session, taken, same=(taken.from_s, taken.to_s) == (from_s, to_s))}",
            code="period-already-issued",
        )


def _said_of(session: Session, taken: Issuance, *, same: bool) -> str:
    """Say how far an issuance is, and what to do of its days, or of others that overlap them."""
    once = f"({taken.state.value}); a reading counts once"
    intent = session.get(ChainIntent, taken.key)
    if intent is not None and intent.state is not IntentState.CONFIRMED:
        return f"{once}; an issuance of those very dates goes on with it"
    batch = batch_of(session, taken.key)
    if batch is None:
        return once
    name = batch_name(session.get_one(Project, taken.project_id).code, batch.vintage, batch.ordinal)
    way = "of those very dates nothing is left to do" if same else "give dates outside of it"
    return (
        f"(issued as {name}, {batch.issued_kg} kg, in transaction {batch.tx_hash}); a reading counts once: {way}; "
        f"truetonne credits show {name} shows it"
    )


def check_gap(skipped: Skipped | None, start: date) -> None:
    """Refuse a period if days right before it, in its year, were left out and have a deficit: they have to be in it.

    A deficit of earlier years enters the period by itself, and so does one of days with which no period can begin: see
    ``load_period``.

    Raises
    ------
    Refused
        If a deficit was left out.
    """
    if skipped is not None and skipped.may_begin:
        _refuse_left_out(skipped.begin, start, skipped.kg, f"begin at {skipped.begin}")


def _minted_until_s(session: Session, site: ChainSite) -> int | None:
    """Return until when a site is issued on chain; 0: nothing is, None: the mirror has no such site."""
    query = select(CreditSite.minted_until_s).where(CreditSite.site_id == site.site_id)
    return session.scalar(query)


def _check_left_out(session: Session, project: Project, start: date, end: date, way: str) -> None:
    """Refuse to leave days out that have a deficit, year by year; ``way`` says how they can be taken in."""
    if start >= end:
        return
    for gap_start, gap_end in split_by_vintage(start, end):
        skipped = unissued_reduction(session, project, gap_start, gap_end, Fraction(0))
        if skipped.reductions_kg < 0:
            _refuse_left_out(gap_start, gap_end, skipped.reductions_kg, way)


def _refuse_left_out(start: date, end: date, kg: Fraction, way: str) -> NoReturn:
    raise Refused(
        f"the period from {start} to {end} was left out and has a deficit of {decimal_floor(-kg, 9)} kg; {way}",
        code="deficit-left-out",
    )


def check_turn(
    session: Session, project: Project, site: ChainSite, inputs: ReductionInputs
) -> None:
    """Refuse a period, called no backfill, that comes before one that is issued or about to be.

    The contract takes other periods in order alone (CC-15), and what was left before this one is in the later one.

    Raises
    ------
    Refused
        If the site is issued until later than the period begins, or a later period of the project is planned.
    """
    days = f"what is from {inputs.from_date} to {inputs.to_date}"
    minted_s = _minted_until_s(session, site)
    if minted_s is not None and inputs.from_s < minted_s:
        raise Refused(
            f"{project.code} is issued on chain until {_moment(session, project, minted_s)}, and the contract takes no "
            f"period before one that it has: {days} can be issued as a backfill alone, with --backfill, if it was "
            "left out; what is left there of a kilogram is then not carried on",
            code="period-overtaken",
        )
    later = _later(session, project, inputs)
    if later is not None:
        raise Refused(
            f"{project.code} from {later.from_date} to {later.to_date} is {later.state.value}, and carries what was "
            f"left before it: {days} can be issued as a backfill alone, with --backfill, once that is final",
            code="period-overtaken",
        )


@dataclass(frozen=True)
class Gap:
    """The days around a backfill, its own included, that are not issued."""

    before: int
    """Ordinal of the batch that comes after it."""
    start: date | None
    """Its first legal day that is free; None: nothing is issued before it."""
    end: date
    """The legal day after its last."""

    def way_to_more(self, inputs: ReductionInputs) -> str:
        """Say how a backfill of less than a kilogram comes to more: by what else is free of its vintage, if any is."""
        first, end = (date(inputs.vintage + more, 1, 1) for more in (0, 1))
        first, end = max(self.start or first, first), min(self.end, end)
        if (first, end) == (inputs.from_date, inputs.to_date):
            return f"no more days of {inputs.vintage} were left out there, and it stays unissued"
        return f"extend the period within what was left out of {inputs.vintage} there, {first} to {end}"


def check_backfill(
    session: Session, project: Project, site: ChainSite, inputs: ReductionInputs
) -> Gap:
    """Refuse a backfill that picks the good days out of its gap; return the gap, which people left out (CC-22).

    What stays of the gap must have no deficit. That is looked at year by year:

    - the days of the backfill's own year, before it and after it;
    - the days of the last year of the gap, if that is a later one;
    - the days of other years, which no claim over New Year could take in: their deficit has entered the batch after the
      gap (decision 0104), so they are looked at only if it has grown since, or if nothing was issued before the gap:
      then none of it has entered.

    Of days before a backfill that comes before everything else nothing is asked, as before a first issuance.

    Raises
    ------
    Refused
        If no batch follows it, if the one that follows is not final, if it overlaps one, or if it leaves a deficit of
        the gap out.
    """
    gap = _gap(session, project, _following(session, project, site, inputs), inputs)
    own, after, last = (
        date(year, 1, 1) for year in (inputs.vintage, inputs.vintage + 1, gap.end.year)
    )
    beside = [(inputs.to_date, min(gap.end, after), f"end at {min(gap.end, after)}")]
    if after < gap.end:
        beside.append((last, gap.end, f"end at {gap.end}"))
    if gap.start is not None:
        begun = max(gap.start, own)
        beside.insert(0, (begun, inputs.from_date, f"begin at {begun}"))
    if gap.start is None or not _is_taken_in(session, project, last, inputs.to_s):
        way = "it is of another year than the period, and no issuance has taken it in"
        beside += [(gap.start or own, own, way), (after, last, way)]
    for start, end, way in beside:
        _check_left_out(session, project, start, end, way)
    return gap


def _is_taken_in(session: Session, project: Project, year: date, to_s: int) -> bool:
    """Return whether the issuance after a gap has taken in all of the deficit of the days before a year."""
    query = (
        select(Issuance, ChainIntent.parameters)
        .outerjoin(ChainIntent, ChainIntent.key == Issuance.key)
        .where(
            Issuance.project_id == project.id,
            Issuance.state.in_(LIVE),
            Issuance.from_s >= to_s,
        )
        .order_by(Issuance.from_s)
    )
    regular = (row.Issuance for row in session.execute(query) if not claimed_before(row.parameters))
    after = next(regular, None)
    if after is None:
        return False
    entered_kg, corrections = entered(after)
    time_zone = session.get_one(Site, project.site_id).time_zone
    year_s = legal_day_start_s(year, zone(time_zone))
    lacking = left_before(session, project, time_zone, year, year_s)
    return entered_kg - owed_by(corrections) <= lacking


def _following(
    session: Session, project: Project, site: ChainSite, inputs: ReductionInputs
) -> CreditBatch:
    """Return the batch that comes after the gap in which a period lies; refuse a period that lies in none."""
    days = f"{inputs.from_date} to {inputs.to_date}"
    later = _later(session, project, inputs)
    if later is not None and later.state is IssuanceState.PLANNED:
        raise Refused(
            f"the period from {later.from_date} to {later.to_date} is on its way, and {days} comes before it: give the "
            "command again once that one is final",
            code="not-final",
        )
    following = session.scalars(
        select(CreditBatch)
        .where(
            of_site(CreditBatch.batch_id, site.site_id), CreditBatch.period_end_s > inputs.from_s
        )
        .order_by(CreditBatch.period_start_s)
        .limit(1)
    ).first()
    if following is None:
        raise Refused(
            f"{days} is no backfill: nothing of {project.code} is issued after it; leave --backfill out",
            code="no-backfill",
        )
    starts_s, gap_s = following.period_start_s, following.gap_start_s
    if inputs.from_s < gap_s or inputs.to_s > starts_s:
        ends, starts = (
            _moment(session, project, at_s) for at_s in (following.period_end_s, starts_s)
        )
        raise Refused(
            f"{days} overlaps batch {following.ordinal} of {project.code}, which is issued on chain from {starts} to "
            f"{ends}; a backfill lies wholly in time that was left out",
            code="period-already-issued",
        )
    return following


def _gap(
    session: Session, project: Project, following: CreditBatch, inputs: ReductionInputs
) -> Gap:
    """Return the gap before a batch, around a period in it."""
    # Of what is after it all is on chain; before it another backfill may be on its way.
    ends_s = session.scalar(
        select(func.max(Issuance.to_s)).where(
            Issuance.project_id == project.id,
            Issuance.state.in_(LIVE),
            Issuance.to_s <= inputs.from_s,
        )
    )
    start_s = max(following.gap_start_s, ends_s or 0)
    where = zone(session.get_one(Site, project.site_id).time_zone)
    start = legal_day(start_s, where) if start_s else None
    return Gap(following.ordinal, start, legal_day(following.period_start_s, where))


def _later(session: Session, project: Project, inputs: ReductionInputs) -> Issuance | None:
    """Return an issuance after a period, planned or issued: the first planned one, or else the first issued one."""
    query = (
        select(Issuance)
        .where(
            Issuance.project_id == project.id,
            Issuance.state.in_(LIVE),
            Issuance.from_s >= inputs.to_s,
        )
        .order_by(Issuance.state != IssuanceState.PLANNED, Issuance.from_s)
        .limit(1)
        .options(defer(Issuance.manifest))  # long, and of no use here
    )
    return session.scalars(query).first()


def _moment(session: Session, project: Project, at_s: int) -> str:
    where = zone(session.get_one(Site, project.site_id).time_zone)
    return f"{utc_of(at_s).astimezone(where):%Y-%m-%d %H:%M} ({where})"
