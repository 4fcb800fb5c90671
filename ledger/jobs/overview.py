"""How the jobs stand, for people: states, last runs, and what somebody should look at. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.jobs.rows import NAME
from ledger.leases import Holder, holder_of
from ledger.models import JobRun, ScheduledJob
from ledger.models.jobs import RunOutcome

OVERDUE = timedelta(minutes=10)
"""A job that is due for longer, and does not run, is a sign that nobody runs the jobs, or that they are stuck."""


@dataclass(frozen=True)
class JobView:
    """One job and its last run."""

    row: ScheduledJob
    last: JobRun | None

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``asked`` (a person wants a run at once), or ``waiting``."""
        if self.row.running_since is not None:
            return "running"
        if self.row.paused_at is not None:
            return "paused"
        return "asked" if self.row.asked_at is not None else "waiting"

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` and the API print it."""
        row = self.row
        return {
            "name": row.name,
            "schedule": row.schedule,
            "state": self.state,
            "due_at": row.due_at,
            "paused_at": row.paused_at,
            "running_since": row.running_since,
            "last_run": None if self.last is None else run_as_json(self.last),
        }


def run_as_json(run: JobRun) -> dict[str, Any]:
    """Return a run as ``--json`` and the API print it."""
    return {
        "job": run.job,
        "due_at": run.due_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration_ms": run.duration_ms,
        "outcome": run.outcome.value,
        "repeats": run.repeats,
        "said": run.said,
        "place": run.place,
    }


def views(session: Session) -> list[JobView]:
    """Return the jobs that have a row, by name, each with its last run."""
    # The end of an index for each job: its runs of a year are many.
    newest = (
        select(JobRun.id)
        .where(JobRun.job == ScheduledJob.name)
        .order_by(JobRun.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    found = session.execute(select(ScheduledJob, newest).order_by(ScheduledJob.name)).all()
    runs = select(JobRun).where(JobRun.id.in_([number for _, number in found if number]))
    last = {run.job: run for run in session.scalars(runs)}
    return [JobView(row, last.get(row.name)) for row, _ in found]


def leader_of(session: Session) -> Holder | None:
    """Return who runs the jobs, or ran them last; None when nobody ever did."""
    return holder_of(session, NAME)


def alarms(session: Session) -> list[str]:
    """Return a sentence for each job that failed last, and one when nobody runs what is due, or comes to it."""
    now = datetime.now(UTC)
    found, overdue = [], []
    for view in views(session):
        row, last = view.row, view.last
        if last is not None and last.outcome is RunOutcome.FAILED and row.paused_at is None:
            found.append(f"job {row.name} failed: {last.said}")
        if view.state in ("waiting", "asked") and row.due_at < now - OVERDUE:
            overdue.append(row)
    late = _late(session, overdue) if overdue else _left(session, now)
    if late is not None:
        found.append(late)
    return found


def _left(session: Session, now: datetime) -> str | None:
    """Return what to say where nobody runs the jobs, and a clock that was ahead noted when they are due."""
    leader = leader_of(session)
    if leader is None or not leader.away_for(OVERDUE):
        return None
    from ledger.jobs.schedules import read  # with what this alarm alone needs

    waiting = select(ScheduledJob).where(ScheduledJob.paused_at.is_(None))
    ahead = [
        row
        for row in session.scalars(waiting.order_by(ScheduledJob.name))
        if read(row.schedule).kept(row.due_at, now) != row.due_at
    ]
    if not ahead:
        return None
    first = min(row.due_at for row in ahead)
    return (
        f"nobody runs the jobs, and {', '.join(row.name for row in ahead)} are noted as due from "
        f"{first:%Y-%m-%d %H:%M:%S} UTC on, by a clock that was ahead; start truetonne up, or truetonne jobs run"
    )


def _late(session: Session, overdue: Sequence[ScheduledJob]) -> str | None:
    """Return what to say of jobs that are long due; None while who has just begun to run them comes to them."""
    leader = leader_of(session)
    first = min(row.due_at for row in overdue)
    names = ", ".join(row.name for row in overdue)
    since = f"{names} are due since {first:%Y-%m-%d %H:%M:%S} UTC"
    if leader is None or not leader.leads:
        return f"nobody runs the jobs: {since}; start truetonne up, or truetonne jobs run"
    if timedelta(milliseconds=leader.held_ms) < OVERDUE:
        return None
    return (
        f"the jobs are behind: {since}, and {leader.place}, which runs the jobs, has not come to them; "
        "they wait for a run that goes on, or for the database (see its log), or its clock is behind the one here"
    )
