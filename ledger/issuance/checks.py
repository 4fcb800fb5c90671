"""When a period may be issued: it is over and not issued yet, skips no deficit, and comes after those on chain."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.errors import Refused
from ledger.models import ChainIntent, CreditSite, Issuance, Project, Site
from ledger.models.issuance import LIVE
from ledger.models.sending import IntentState
from ledger.readings.periods.period import load_period, split_by_vintage
from ledger.reductions.arithmetic import compute
from ledger.reductions.records import ReductionInputs
from ledger.reductions.zones import utc_of, zone
from ledger.registration import ChainSite
from ledger.units import decimal_floor


def check_ended(session: Session, project: Project, end: date, now: datetime) -> None:
    """Refuse a period that is not over: the contract refuses it too, and its readings can still change.

    Raises
    ------
    Refused
        If the period ends after today, in the legal time of its site.
    """
    site = session.get_one(Site, project.site_id)
    today = now.astimezone(zone(site.time_zone)).date()
    if end > today:
        raise Refused(
            f"the period ends on {end}, and today is {today} in {site.time_zone}: a period is issued once it "
            "is over; give an earlier --to",
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
    taken = session.scalars(query).first()
    if taken is not None:
        intent = session.get(ChainIntent, taken.key)
        final = intent is None or intent.state is IntentState.CONFIRMED
        goes_on = "" if final else "; an issuance of those very dates goes on with it"
        raise Refused(
            f"the period overlaps an issuance from {taken.from_date} to {taken.to_date} ({taken.state.value}); "
            f"a reading counts once{goes_on}",
            code="period-already-issued",
        )


def check_gap(session: Session, project: Project, start: date) -> None:
    """Refuse a period if days before it were skipped whose reductions are negative: a deficit has to be paid.

    Raises
    ------
    Refused
        If a deficit was left out.
    """
    ended = session.scalar(
        select(func.max(Issuance.to_date)).where(
            Issuance.project_id == project.id, Issuance.state.in_(LIVE), Issuance.from_date < start
        )
    )
    if ended is None or ended >= start:
        return
    for gap_start, gap_end in split_by_vintage(ended, start):
        skipped = compute(load_period(session, project.code, gap_start, gap_end, enforce=False))
        if skipped.reductions_kg < 0:
            raise Refused(
                f"the period from {gap_start} to {gap_end} was left out and has a deficit of "
                f"{decimal_floor(-skipped.reductions_kg, 9)} kg; begin at {ended}",
                code="deficit-left-out",
            )


def check_turn(
    session: Session, project: Project, site: ChainSite, inputs: ReductionInputs
) -> None:
    """Refuse a period that begins before the last one on chain ends: the contract takes periods in order (CC-15).

    Raises
    ------
    Refused
        If the site is issued until later than the period begins.
    """
    minted_s = session.scalar(
        select(CreditSite.minted_until_s).where(CreditSite.site_id == site.site_id)
    )
    if minted_s is None or inputs.from_s >= minted_s:
        return
    where = zone(session.get_one(Site, project.site_id).time_zone)
    until = utc_of(minted_s).astimezone(where)
    raise Refused(
        f"{project.code} is issued on chain until {until:%Y-%m-%d %H:%M} ({where}), and the contract takes no period "
        f"before one that it has: what is from {inputs.from_date} to {inputs.to_date} cannot be issued any more; "
        "issue periods in their order",
        code="period-overtaken",
    )
