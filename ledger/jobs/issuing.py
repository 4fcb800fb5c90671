"""Issuing closed periods of the projects that want it: what a person would do with ``credits issue``, in order.

A project's site file says how long a period is and how many days it waits for late readings. The next period
begins where the last issuance ended, or with the first reading. One with less than a kilogram is joined to the
one after it of its year, and at the end of a year left out: a deficit of it enters the next one. One that is
refused stops its project, and no other, until a person has seen to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.chain.access import Chain
from ledger.chain.failures.explanations import with_meaning
from ledger.db.sqltext import clock_of
from ledger.db.tables import ends_among
from ledger.errors import DependencyDown, ProblemFound, Refused, TruetonneError
from ledger.models import Issuance, Meter, MeterReading, Project, RegisterReading, Site
from ledger.models.issuance import LIVE
from ledger.reductions.zones import zone

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True)
class Terms:
    """What the site file says of one project, and where its next period begins."""

    code: str
    every: str
    start: date
    last: date
    """Legal day up to which periods are closed."""


def issue_closed(chain: Chain, now: datetime) -> str | None:
    """Plan and send the issuance of every closed period; say which, None when there was none.

    Raises
    ------
    ProblemFound
        If periods were refused; the others are issued all the same.
    DependencyDown
        If database or node do not answer; the next run goes on from there.
    """
    done: list[str] = []
    refused: list[str] = []
    with chain.db.read() as session:
        # By a clock that is ahead late readings would not be waited for: what is issued stays so.
        projects = _projects(session, min(now, clock_of(session)))
    for terms in projects:
        try:
            issuance.submit_planned(chain, terms.code)  # of a run that was cut short
            for start, end in _issue(chain, terms, now):
                done.append(f"{terms.code} from {start} to {end}")
        except DependencyDown:
            raise
        except TruetonneError as error:
            refused.append(f"{terms.code}: {with_meaning(error.message)}")
    if refused:
        also = f"; issued: {', '.join(done)}" if done else ""
        raise ProblemFound("not issued: " + "; ".join(refused) + also, code="not-issued")
    return f"issued {', '.join(done)}" if done else None


def _issue(chain: Chain, terms: Terms, now: datetime) -> Iterator[tuple[date, date]]:
    start, end = terms.start, period_end(terms.start, terms.every)
    while end <= terms.last:
        try:
            issuance.plan_issuance(chain, terms.code, start, end, now=now)
        except Refused as refusal:
            if refusal.code == "period-not-over":  # by the chain's clock, which is behind ours
                return
            if refusal.code != "nothing-to-issue":
                raise
            if end.year > start.year:  # a period over New Year would be this one, and another
                start = end
            end = period_end(end, terms.every)
            continue
        issuance.submit_planned(chain, terms.code)
        yield start, end
        start, end = end, period_end(end, terms.every)


def period_end(day: date, every: str) -> date:
    """Return the first day after the period (``month``, ``quarter`` or ``year``) that a day lies in."""
    months = _MONTHS[every]
    number = day.year * 12 + (day.month - 1) // months * months + months
    return date(number // 12, number % 12 + 1, 1)


def _projects(session: Session, now: datetime) -> list[Terms]:
    query = (
        select(Project, Site.time_zone)
        .join(Site, Site.id == Project.site_id)
        .order_by(Project.code)
    )
    found = []
    for project, time_zone in session.execute(query).all():
        if project.issue_every is None:
            continue
        start = _begins(session, project.id, time_zone)
        today = now.astimezone(zone(time_zone)).date()
        if start is not None:
            last = today - timedelta(days=project.issue_after_days or 0)
            found.append(Terms(project.code, project.issue_every, start, last))
    return found


def _begins(session: Session, project_id: int, time_zone: str) -> date | None:
    """Return the legal day on which a project's next period begins; None while it has no reading."""
    ended = session.scalar(
        select(func.max(Issuance.to_date)).where(
            Issuance.project_id == project_id, Issuance.state.in_(LIVE)
        )
    )
    if ended is not None:
        return ended
    meters = session.scalars(select(Meter.id).where(Meter.project_id == project_id)).all()
    firsts = [
        first
        for meter, time in (
            (MeterReading.meter_id, MeterReading.start_s),
            (RegisterReading.meter_id, RegisterReading.at_s),
        )
        for first, _ in ends_among(session, Meter.id, meters, meter, time).values()
    ]
    if not firsts:
        return None
    return datetime.fromtimestamp(min(firsts), UTC).astimezone(zone(time_zone)).date()
