"""The jobs' rows: when each is due, whether it runs, is paused or asked for, and what its runs came to.

A job's ``due_at`` moves on when a run has ended, in the commit that notes the run. So a run whose process was
killed is due still, and whoever leads next makes up for it, once, however long nobody ran.

Every function works in the unit of work that it is given; nothing here commits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Update, or_, select, update
from sqlalchemy.orm import Session

from ledger import audit
from ledger.clock import utc_now
from ledger.db import tables
from ledger.errors import BadInput, NotFound, Refused
from ledger.jobs.schedules import Schedule
from ledger.leases import Lease, holder_of
from ledger.models import JobRun, ScheduledJob
from ledger.models.jobs import RunOutcome

NAME = "jobs"
"""Name of the lease under which jobs run."""
LOST = "its process ended, or was silent for longer than its lease; it is due still"
AHEAD_MAX = timedelta(minutes=5)
"""How far the clock of whoever runs the jobs may be ahead of ours; a run that ended later has a wrong time."""
_SAID_MAX = 2_000
"""Characters that are kept of what a run said."""
_FORGOTTEN_AT_ONCE = 10_000


@dataclass(frozen=True)
class Begun:
    """A run that goes on."""

    job: str
    started_at: datetime


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    outcome: RunOutcome
    said: str | None
    duration_ms: int
    again_at: datetime | None = None
    """When it is to be tried again; None: by its schedule."""


def register(session: Session, schedules: Mapping[str, Schedule], now: datetime) -> None:
    """Make a row for each new job, and give a job the schedule that it has now: both are due by their schedule.

    Rows of jobs that do not exist any more are deleted. Only for the process that leads: its settings say which jobs
    there are.
    """
    known = _with_all_of(session, schedules, now)
    for name, schedule in schedules.items():
        row = known.get(name)
        if row is not None and row.schedule != schedule.text:
            row.schedule, row.due_at = schedule.text, schedule.first(now)
    for name in known.keys() - schedules.keys():
        session.delete(known[name])
    session.flush()


def have_rows(session: Session, schedules: Mapping[str, Schedule], now: datetime) -> None:
    """Make the rows that are missing while nobody leads; those that are there are left as they are.

    A process that leads makes them by its own settings, which may have other jobs: of backups, for instance.
    """
    leader = holder_of(session, NAME)
    none = session.scalars(select(ScheduledJob.name).limit(1)).first() is None
    if none or leader is None or not leader.live:
        _with_all_of(session, schedules, now)
        session.flush()


def _with_all_of(
    session: Session, schedules: Mapping[str, Schedule], now: datetime
) -> dict[str, ScheduledJob]:
    """Add the rows that are lacking; return those that were there, locked, by name."""
    known = {row.name: row for row in session.scalars(select(ScheduledJob).with_for_update())}
    session.add_all(
        ScheduledJob(name=name, schedule=schedule.text, due_at=schedule.first(now))
        for name, schedule in schedules.items()
        if name not in known
    )
    return known


def jobs(session: Session, names: Sequence[str]) -> list[ScheduledJob]:
    """Return the rows of the jobs that are there, in the order of the names."""
    found = {
        row.name: row
        for row in session.scalars(select(ScheduledJob).where(ScheduledJob.name.in_(names)))
    }
    return [found[name] for name in names if name in found]


def begin(lease: Lease, name: str, now: datetime, *, when_due: bool) -> Update:
    """Return the statement that notes that a run begins; it finds no row where none may.

    That is so when the lease is not ours, or the job runs or is paused. The database decides all of it in the
    one statement: whoever lost the lease without knowing begins nothing.

    Parameters
    ----------
    when_due
        Whether one may only when its job is due, or was asked for. Whoever read that from the row may have been
        overtaken by a run since, and would have it run twice.
    """
    due = or_(ScheduledJob.due_at <= now, ScheduledJob.asked_at.is_not(None))
    return (
        update(ScheduledJob)
        .where(
            ScheduledJob.name == name,
            ScheduledJob.paused_at.is_(None),
            ScheduledJob.running_since.is_(None),
            lease.in_force(),
            *([due] if when_due else ()),
        )
        .values(asked_at=None, running_since=now, run_holder=lease.holder, run_place=lease.place)
        .execution_options(synchronize_session=False)
    )


def end(
    session: Session,
    lease: Lease,
    begun: Begun,
    result: Result,
    schedule: Schedule,
    now: datetime,
) -> None:
    """Note what a run came to, and when its job is due next.

    When another leader has taken the job over meanwhile, its row is left alone: only the run is noted.
    """
    row = session.get(ScheduledJob, begun.job, with_for_update=True)
    was_due = begun.started_at
    if row is not None and (row.run_holder, row.running_since) == (lease.holder, begun.started_at):
        was_due = min(was_due, row.due_at)  # earlier than it was due: a person asked for it
        due = schedule.next(now)
        row.due_at = due if result.again_at is None else min(due, result.again_at)
        row.running_since = row.run_holder = row.run_place = None
    _note(session, begun, was_due, result, lease.place, now)


def close_lost(
    session: Session, lease: Lease, left: Mapping[str, datetime], now: datetime
) -> list[str]:
    """Note runs that nobody goes on with as lost, and free their jobs; return the names.

    None is, when the lease is not ours: whoever lost it without knowing would take the runs of the next leader for
    runs that nobody goes on with.

    Parameters
    ----------
    left
        The jobs, and when the run of each began: one that has ended since is left alone.
    """
    query = select(ScheduledJob).where(ScheduledJob.name.in_(left)).with_for_update()
    found = session.scalars(query).all()
    # After the rows are locked, for which whoever leads next has to wait before a run of its begins.
    if not session.scalar(select(lease.in_force())):
        return []
    lost = []
    for row in found:
        if row.running_since is None or row.running_since != left[row.name]:
            continue
        ran_ms = max(int((now - row.running_since) / timedelta(milliseconds=1)), 0)
        begun, place = Begun(row.name, row.running_since), row.run_place or ""
        was_due = min(row.due_at, row.running_since)
        _note(session, begun, was_due, Result(RunOutcome.LOST, LOST, ran_ms), place, now)
        row.running_since = row.run_holder = row.run_place = None
        lost.append(row.name)
    session.flush()
    return lost


def keep_due(
    session: Session, schedules: Mapping[str, Schedule], now: Callable[[], datetime]
) -> None:
    """Bring nearer what is due too far ahead: the clock was set back since.

    Parameters
    ----------
    now
        Asked when the rows are locked: by an earlier time, what a run has just set would be too far ahead.
    """
    found = session.scalars(select(ScheduledJob).with_for_update()).all()
    at = now()
    for row in found:
        if row.name in schedules:
            row.due_at = schedules[row.name].kept(row.due_at, at)
    session.flush()


def ask(session: Session, name: str, now: datetime) -> None:
    """Ask whoever leads for a run of a job, at once.

    Raises
    ------
    NotFound
        If there is no such job.
    Refused
        If it is paused.
    """
    row = row_named(session, name, lock=True)
    check_runs(row)
    row.asked_at = now
    session.flush()


def pause(session: Session, name: str, now: datetime) -> ScheduledJob:
    """Let a job rest until it is resumed; a run that goes on is not stopped.

    Raises
    ------
    NotFound
        If there is no such job.
    """
    row = row_named(session, name, lock=True)
    if row.paused_at is None:
        row.paused_at = now
        audit.record(session, "jobs.pause", f"{ScheduledJob.__tablename__}/{name}", {}, {})
    row.asked_at = None
    session.flush()
    return row


def resume(session: Session, name: str) -> ScheduledJob:
    """Let a job be due again; what fell due while it was paused is made up for by one run.

    Raises
    ------
    NotFound
        If there is no such job.
    BadInput
        If it is not paused.
    """
    row = row_named(session, name, lock=True)
    if row.paused_at is None:
        raise BadInput(f"job {name} is not paused", code="not-paused")
    row.paused_at = None
    audit.record(session, "jobs.resume", f"{ScheduledJob.__tablename__}/{name}", {}, {})
    session.flush()
    return row


def check_runs(row: ScheduledJob) -> None:
    """Check that a job is not paused.

    Raises
    ------
    Refused
        If it is.
    """
    if row.paused_at is not None:
        raise Refused(
            f"job {row.name} is paused since {row.paused_at:%Y-%m-%d %H:%M:%S} UTC; "
            f"first: truetonne jobs resume {row.name}",
            code="job-paused",
        )


def last_run(session: Session, name: str) -> JobRun | None:
    """Return the last run of a job that has ended."""
    query = select(JobRun).where(JobRun.job == name).order_by(JobRun.id.desc()).limit(1)
    return session.scalars(query).first()


def history(
    session: Session, name: str | None, limit: int, now: datetime | None = None
) -> Sequence[JobRun]:
    """Return the last runs of a job, or of all, the latest first.

    Those noted by a clock that was ahead come last: they would stand before all others until their time comes.

    Parameters
    ----------
    now
        The present time, aware; None: by the clock of this machine.
    """
    query = select(JobRun).order_by(JobRun.ended_at.desc(), JobRun.id.desc())
    if name is not None:
        query = query.where(JobRun.job == name)
    latest = (now or utc_now()) + AHEAD_MAX
    found = list(session.scalars(query.where(JobRun.ended_at <= latest).limit(limit)))
    ahead = query.where(JobRun.ended_at > latest).limit(limit - len(found))
    return found + list(session.scalars(ahead))


def forget_before(session: Session, before: datetime) -> int:
    """Delete some of the runs that ended before a time, each job's last aside; return how many, 0 at the end."""
    kept = [row.id for row in _lasts(session)]
    old = select(JobRun.id).where(JobRun.ended_at < before, JobRun.id.not_in(kept))
    numbers = session.scalars(old.limit(_FORGOTTEN_AT_ONCE)).all()
    tables.delete_among(session, JobRun.id, numbers)
    return len(numbers)


def _lasts(session: Session) -> list[JobRun]:
    names = session.scalars(select(ScheduledJob.name)).all()
    return [row for row in (last_run(session, name) for name in names) if row is not None]


def row_named(session: Session, name: str, *, lock: bool = False) -> ScheduledJob:
    """Return the row of a job.

    Raises
    ------
    NotFound
        If there is no such job: those that there are, are by the settings of whoever leads.
    """
    row = session.get(ScheduledJob, name, with_for_update=True if lock else None)
    if row is None:
        known = ", ".join(session.scalars(select(ScheduledJob.name).order_by(ScheduledJob.name)))
        raise NotFound(
            f"there is no job {name!r}; known to whoever runs the jobs are {known}, by its settings",
            code="no-such-job",
        )
    return row


def _storable(text: str) -> str:
    """Return a text as every database takes it: the name of a file may hold bytes that are no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _note(
    session: Session, begun: Begun, was_due: datetime, result: Result, place: str, now: datetime
) -> None:
    """Write a run down; one that tells nothing new is counted on the row before it."""
    said = _storable(result.said)[:_SAID_MAX] if result.said is not None else None
    last = last_run(session, begun.job)
    told_before = last is not None and (last.outcome, last.said) == (result.outcome, said)
    if last is not None and told_before and result.outcome in (RunOutcome.IDLE, RunOutcome.FAILED):
        last.repeats += 1
        last.ended_at, last.duration_ms, last.place = now, result.duration_ms, place
    else:
        session.add(
            JobRun(
                job=begun.job,
                due_at=was_due,
                started_at=begun.started_at,
                ended_at=now,
                duration_ms=result.duration_ms,
                outcome=result.outcome,
                repeats=1,
                said=said,
                place=place,
            )
        )
    session.flush()
