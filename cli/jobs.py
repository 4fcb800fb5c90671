"""``truetonne jobs``: run the periodic jobs, or one of them now; see how they stand; pause and resume them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.output import Table
from cli.service import beside, log_to_stderr, stay, stop_on_signal
from ledger.clock import second_text
from ledger.errors import ProblemFound, TruetonneError
from ledger.settings import Settings
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.orm import Session

    from ledger.chain.access import Chain
    from ledger.db import Database
    from ledger.jobs.scheduler import Listeners, Scheduler
    from ledger.jobs.work import Tools
    from ledger.leases import Holder
    from ledger.models import JobRun

_T = TypeVar("_T")
LEASE_S = 10.0
"""As ``ledger.leases`` has it, which whoever asks for help need not import."""
RUNS_SHOWN = 50
SAID_SHOWN = 100
"""Characters of what a run said that a table shows; --json has all of it."""
log = logging.getLogger("truetonne.jobs")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The job.")]
SomeName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The job; without it: all, as they are due.")
]
OfName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The job; without it: all of them.")
]
Lease = Annotated[
    float,
    typer.Option(
        "--lease",
        metavar="SECONDS",
        help="A process that is killed is replaced by one that stands by after this time.",
        min=1,
        max=600,
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many runs.")]


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Run the periodic jobs, and see what came of them.")
    command(group, "run")(run_jobs)
    command(group, "list")(list_jobs)
    command(group, "history")(show_history)
    command(group, "pause")(pause_job)
    command(group, "resume")(resume_job)
    root.add_typer(group, name="jobs")


def scheduler_of(settings: Settings, chain: Chain, lease_s: float = LEASE_S) -> Scheduler:
    """Return the scheduler of all jobs, which logs who leads.

    Raises
    ------
    BadInput
        If the setting ``job_schedules`` cannot be used.
    """
    from ledger.jobs.catalogue import jobs_of, schedules_of
    from ledger.jobs.scheduler import Scheduler

    found = schedules_of(settings)
    return Scheduler(_tools(chain, settings), jobs_of(settings), found, _watched(), lease_s)


def _tools(chain: Chain, settings: Settings) -> Tools:
    from indexer.verified import verify_new
    from ledger.jobs.work import Tools

    return Tools(chain, settings, verify=verify_new)


def run_jobs(run: Invocation, name: SomeName = None, lease_s: Lease = LEASE_S) -> int:
    """Run the jobs as they are due, until Ctrl-C; or one of them now, whether or not it is due."""
    from ledger.jobs.catalogue import job_named, schedules_of

    schedules_of(run.settings)  # what cannot be read is said before anything is started
    if name is not None:
        job_named(run.settings, name)
        return _run_one(run, name, lease_s)

    log_to_stderr()
    stop = stop_on_signal()
    with run.flow() as flow:
        working = Working(scheduler_of(run.settings, flow.chain, lease_s), stop)
        names = list(schedules_of(run.settings))
        with beside(working, stop):
            run.output.result({"jobs": names}, f"{counted(len(names), 'job')}; Ctrl-C ends them.")
            sys.stdout.flush()
            trouble = stay(run.settings, stop)
    trouble = trouble or working.trouble
    if trouble is not None:
        raise trouble
    return 0


def list_jobs(run: Invocation) -> int:
    """Show every job: when it is due, whether it runs, and what its last run came to; exit 1 on an alarm."""
    from ledger.jobs.catalogue import jobs_of
    from ledger.jobs.overview import alarms, leader_of, views

    what = {job.name: job.what for job in jobs_of(run.settings)}
    with _rows_of(run) as db, db.read() as session:
        found = views(session)
        wrong = alarms(session)
        leader = leader_of(session)
    document = {
        "leader": leader.as_json() if leader is not None else None,
        "alarms": wrong,
        "jobs": [{**view.as_json(), "what": what.get(view.row.name, "")} for view in found],
    }
    shown = [
        (
            view.row.name,
            view.row.schedule,
            view.state,
            None if view.row.paused_at else second_text(view.row.due_at),
            _outcome(view.last),
            second_text(view.last.ended_at) if view.last else None,
            _short(view.last.said) if view.last else None,
        )
        for view in found
    ]
    columns = ("job", "schedule", "state", "due", "last run", "ended", "said")
    who = f"led by {leader.place}" if leader and leader.leads else "nobody runs them now"
    run.output.result(document, Table(columns, shown), who, *(f"alarm: {item}" for item in wrong))
    return ProblemFound.exit_code if wrong else 0


def show_history(run: Invocation, name: OfName = None, limit: Limit = RUNS_SHOWN) -> None:
    """Show the last runs of a job, or of all: when, how long, what came of it; the latest first."""
    from ledger.jobs import rows
    from ledger.jobs.catalogue import job_named
    from ledger.jobs.overview import run_as_json

    if name is not None:
        job_named(run.settings, name)
    with _rows_of(run) as db, db.read() as session:
        found = rows.history(session, name, limit)
    columns = ("job", "began", "ended", "ms", "outcome", "times", "said", "by")
    run.output.result(
        {"runs": [run_as_json(item) for item in found]},
        Table(
            columns,
            [
                (
                    item.job,
                    second_text(item.started_at),
                    second_text(item.ended_at),
                    item.duration_ms,
                    item.outcome.value,
                    item.repeats,
                    _short(item.said),
                    item.place,
                )
                for item in found
            ],
            right=frozenset({"ms", "times"}),
        ),
        *([] if found else ["no job has run yet"]),
    )


def pause_job(run: Invocation, name: Name, dry_run: DryRun = False) -> None:
    """Let a job rest until it is resumed; a run that goes on is not stopped."""
    from ledger.clock import utc_now
    from ledger.jobs import rows

    paused_at = _changed(
        run, dry_run, lambda session: rows.pause(session, name, utc_now()).paused_at
    )
    run.output.result(
        {"job": name, "paused_at": paused_at},
        f"{name} would rest"
        if dry_run
        else f"{name} rests; truetonne jobs resume {name} lets it run again",
    )


def resume_job(run: Invocation, name: Name, dry_run: DryRun = False) -> None:
    """Let a job run again; what fell due meanwhile is made up for by one run."""
    from ledger.jobs import rows

    due_at = _changed(run, dry_run, lambda session: rows.resume(session, name).due_at)
    run.output.result(
        {"job": name, "due_at": due_at},
        f"{name} {'would be' if dry_run else 'is'} due at {second_text(due_at)}",
    )


def _changed(run: Invocation, dry_run: bool, change: Callable[[Session], _T]) -> _T:
    """Change the row of a job, and keep it unless this is a dry run; return what became of it."""
    from ledger.clock import utc_now
    from ledger.jobs import rows
    from ledger.jobs.catalogue import schedules_of

    def tried(session: Session) -> _T:
        rows.have_rows(session, schedules_of(run.settings), utc_now())
        return change(session)

    if not dry_run:
        with _rows_of(run) as db:
            return db.run(change)
    with run.books() as db:
        return db.run(tried, keep=False)


class Working(threading.Thread):
    """The scheduler in a thread; what ends it ends everything, with its reason."""

    def __init__(self, scheduler: Scheduler, stop: threading.Event) -> None:
        super().__init__(name="jobs", daemon=True)
        self._scheduler = scheduler
        self._stop_event = stop
        self.trouble: TruetonneError | None = None

    def run(self) -> None:
        """Run the jobs until told to stop."""
        try:
            self._scheduler.run(self._stop_event)
        except TruetonneError as error:
            self.trouble = error
        except Exception as error:
            log.exception("the jobs ended")
            self.trouble = TruetonneError(f"the jobs ended: {type(error).__name__}: {error}")
        finally:
            self._stop_event.set()


def _run_one(run: Invocation, name: str, lease_s: float) -> int:
    """Have a job run once: by the leader, where there is one."""
    from ledger.clock import utc_now
    from ledger.jobs.asking import run_now
    from ledger.jobs.catalogue import job_named, schedules_of
    from ledger.jobs.overview import run_as_json
    from ledger.jobs.rows import NAME
    from ledger.jobs.running import Runner
    from ledger.leases import Lease as JobsLease
    from ledger.models.jobs import RunOutcome

    settings = run.settings
    found = schedules_of(settings)
    with _rows_of(run) as db:
        lease = JobsLease(db, NAME, lease_s)

        def do_it() -> None:
            from cli.flow import open_flow

            with open_flow(settings) as flow:
                runner = Runner(_tools(flow.chain, settings), lease, found)
                runner.lead(once=True)
                runner.run(job_named(settings, name))

        ended = run_now(db, lease, found, name, do_it, utc_now)
    said = f": {ended.said}" if ended.said else ""
    run.output.result(
        run_as_json(ended), f"{name} {ended.outcome.value} in {ended.duration_ms} ms{said}"
    )
    good = ended.outcome in (RunOutcome.DONE, RunOutcome.IDLE)
    return 0 if good else ProblemFound.exit_code


@contextmanager
def _rows_of(run: Invocation) -> Iterator[Database]:
    """Open the books, with a row for each job where nobody has run them yet."""
    from ledger.clock import utc_now
    from ledger.jobs import rows
    from ledger.jobs.catalogue import schedules_of

    found = schedules_of(run.settings)
    with run.books() as db:
        db.run(lambda session: rows.have_rows(session, found, utc_now()))
        yield db


def _watched() -> Listeners:
    from ledger.jobs.scheduler import Listeners

    def leads(before: Holder | None, lost: Sequence[str]) -> None:
        after = "" if before is None else f", after {before.place}"
        left = f"; left open, and made up for: {', '.join(lost)}" if lost else ""
        log.warning("this process runs the jobs now%s%s", after, left)

    def stands_by(other: Holder) -> None:
        log.warning(
            "stands by: %s runs the jobs; takes over when its lease ends, in %.0f s unless it is renewed",
            other.place,
            other.ends_in_ms / 1000,
        )

    def finishes(names: Sequence[str]) -> None:
        log.warning(
            "finishes what runs before it ends: %s; another Ctrl-C ends it at once, as if killed",
            ", ".join(names),
        )

    return Listeners(leads, stands_by, finishes)


def _outcome(run: JobRun | None) -> str | None:
    if run is None:
        return None
    return run.outcome.value if run.repeats == 1 else f"{run.outcome.value} x {run.repeats}"


def _short(said: str | None) -> str | None:
    if said is None or len(said) <= SAID_SHOWN:
        return said
    return said[: SAID_SHOWN - 3] + "..."
