"""The scheduler: one process leads and runs the jobs when they are due, another stands by and takes over.

When a job is due is read from its row, and written there (``rows``). APScheduler is given one date for each job
at a time, waits for it, and calls: two runs of a job cannot meet, dates that passed while nobody ran are one
date that has passed, and none is dropped for being late. The leader looks at the rows every second, and so
hears of what a person asks for, pauses or resumes in another process, and of a clock that was set.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from ledger.db import NewerTables
from ledger.errors import DependencyDown
from ledger.jobs import rows
from ledger.jobs.catalogue import LANES, Job
from ledger.jobs.rows import NAME
from ledger.jobs.running import Runner
from ledger.jobs.schedules import Schedule
from ledger.jobs.work import Tools
from ledger.leases import LEASE_S, Holder, Lease, stand_by_s
from ledger.models import ScheduledJob

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the leader looks at the rows."""
TELL_S = 2.0
"""Who waits so long for runs that are to be finished is told of them."""
_TROUBLE_S = 2.0
"""How long to wait after the database did not answer."""


@dataclass
class Listeners:
    """Who is told of what happens; each is optional."""

    on_lead: Callable[[Holder | None, Sequence[str]], None] | None = None
    """Called when this process leads, with who led before, if one stood by for it, and what that one left."""
    on_stand_by: Callable[[Holder], None] | None = None
    on_finish: Callable[[Sequence[str]], None] | None = None
    """Called when this process is to end and waits for runs, with their jobs."""


class Scheduler:
    """Runs jobs while it holds the lease, and stands by while another does.

    Parameters
    ----------
    jobs, schedules
        What there is to run, and when each is due, by name.
    lease_s
        After this time without a sign of life another process takes over, in seconds.
    """

    def __init__(
        self,
        tools: Tools,
        jobs: Sequence[Job],
        schedules: Mapping[str, Schedule],
        listeners: Listeners | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._schedules = schedules
        self._lease = Lease(tools.chain.db, NAME, lease_s)
        self._runner = Runner(tools, self._lease, schedules)
        self._listeners = listeners or Listeners()
        self._before: Holder | None = None
        self._lock = threading.Lock()
        self._armed: dict[str, datetime] = {}
        self._running: set[str] = set()
        self._told: dict[str, str] = {}
        self._timer: BackgroundScheduler | None = None
        self._after: futures.Executor | None = None
        self._ends = False

    def run(self, stop: threading.Event) -> None:
        """Lead or stand by until told to stop; a run that goes on is finished first.

        Raises
        ------
        NewerTables
            A newer version has upgraded the tables.
        """
        trouble = ""
        try:
            while not stop.is_set():
                try:
                    stop.wait(self._step())
                    trouble = ""
                except NewerTables:  # waiting would not help
                    raise
                except DependencyDown as error:
                    if error.message != trouble:
                        log.warning("%s; trying again", error.message)
                    trouble = error.message
                    stop.wait(_TROUBLE_S)
        finally:
            telling = threading.Timer(TELL_S, self._tell_of_runs)
            telling.daemon = True
            telling.start()
            self._disarm()
            telling.cancel()
            with suppress(DependencyDown):
                self._lease.release()

    # ------------------------------------------------------------------- steps

    def _step(self) -> float:
        """Do what is to be done now; return after how many seconds to look again."""
        if not self._lease.held:
            self._disarm()
            other = self._lease.take()
            if other is not None:
                if self._before is None or self._before.holder != other.holder:
                    self._before = other
                    if self._listeners.on_stand_by is not None:
                        self._listeners.on_stand_by(other)
                return stand_by_s(other)
        if self._timer is None:  # the lease may be ours since a step that the database cut short
            self._lead()
        self._look()
        return LOOK_S

    def _lead(self) -> None:
        """Begin to lead: close what the leader before left open, and start the timer."""
        lost = self._runner.lead()
        self._ends = False
        timer = BackgroundScheduler(
            timezone="UTC",
            executors={lane: ThreadPoolExecutor(1) for lane in LANES},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._after = futures.ThreadPoolExecutor(1, "after")
        timer.add_listener(self._ended, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        timer.start()
        self._timer = timer  # one that did not start has no end either
        if self._listeners.on_lead is not None:
            self._listeners.on_lead(self._before, lost)
        self._before = None

    def _disarm(self) -> None:
        """Begin no run any more, and wait for those that go on."""
        with self._lock:  # who arms a job just now is waited for: the timer, once it ends, lets nobody in any more
            timer, self._timer = self._timer, None
            self._ends = True
        if timer is not None:
            timer.remove_all_jobs()
            timer.shutdown(wait=True)
        after, self._after = self._after, None
        if after is not None:
            after.shutdown()
        self._armed.clear()
        self._running.clear()

    def _tell_of_runs(self) -> None:
        with self._lock:
            names = sorted(self._running)
        if names and self._listeners.on_finish is not None:
            self._listeners.on_finish(names)

    def _look(self) -> None:
        """Arm every job as its row says; put right rows that cannot be."""
        holder = self._lease.holder
        with self._runner.db.read() as session:
            found = rows.jobs(session, list(self._jobs))
        if len(found) < len(self._jobs):
            # An older version, say, took away what its settings do not have.
            at = self._runner.tools.now()
            self._runner.db.run(lambda session: rows.register(session, self._schedules, at))
            with self._runner.db.read() as session:
                found = rows.jobs(session, list(self._jobs))
        now = self._runner.tools.now()  # after the rows: runs may have ended before they came
        # After the rows: what began before they were read is among these, or has ended.
        with self._lock:
            running = set(self._running)
        # A run of ours that is not under way here could not note its end: the database was down.
        adrift = {
            row.name: row.running_since
            for row in found
            if row.running_since is not None
            and (row.run_holder != holder or row.name not in running)
        }
        if adrift:
            self._runner.db.run(lambda session: rows.close_lost(session, self._lease, adrift, now))
        if any(self._schedules[row.name].kept(row.due_at, now) != row.due_at for row in found):
            keep = self._runner.tools.now
            self._runner.db.run(lambda session: rows.keep_due(session, self._schedules, keep))
        for row in found:
            self._arm(row, now)
        if self._timer is not None:
            self._timer.wakeup()  # it counts seconds, and the clock may have been set

    def _arm(self, row: ScheduledJob, now: datetime) -> None:
        """Give the timer the date of a job, unless it has that or the job runs."""
        due = self._schedules[row.name].kept(row.due_at, now)
        due = now if row.asked_at is not None else due
        with self._lock:
            timer = self._timer
            if timer is None or row.name in self._running or row.running_since is not None:
                return
            if row.paused_at is not None:
                if self._armed.pop(row.name, None) is not None:
                    with suppress(JobLookupError):  # it has just been called, and begins nothing
                        timer.remove_job(row.name)
                return
            armed = self._armed.get(row.name)
            if armed == due or (armed is not None and max(armed, due) <= now):
                return  # about to begin, if it has not
            self._armed[row.name] = due
            job = self._jobs[row.name]
            timer.add_job(
                self._run,
                "date",
                run_date=due,
                args=[job],
                id=job.name,
                executor=job.lane,
                replace_existing=True,
            )

    # -------------------------------------------------- in the timer's own threads

    def _run(self, job: Job) -> None:
        with self._lock:
            self._armed.pop(job.name, None)
            if self._ends:  # what has waited for its turn is due still
                return
            self._running.add(job.name)
        try:
            begun = self._runner.run(job, when_due=True) is not None
        except DependencyDown as error:  # it could not begin, or note its end
            with self._lock:
                known = self._told.get(job.name) == error.message
                self._told[job.name] = error.message
            if not known:
                log.warning("job %s: %s", job.name, error.message)
        else:
            with self._lock:
                if begun:
                    self._told.pop(job.name, None)
                else:  # the clock was set, say: the lease is not renewed yet, or it is not due any more
                    self._told[job.name] = ""

    def _ended(self, event: JobExecutionEvent) -> None:
        """Have a job that has just run armed again, in a thread of its own.

        A job that is over at once is told of by the timer's own thread, which holds the timer's locks and will
        forget the job's date next: what was armed here would be forgotten with it, and the job never run again.
        """
        if self._after is not None:
            self._after.submit(self._again, event.job_id)

    def _again(self, name: str) -> None:
        with self._lock:
            self._running.discard(name)
            failed = name in self._told
        if failed:  # and is due still: it would be tried without a pause; the next look arms it
            return
        with suppress(DependencyDown):
            with self._runner.db.read() as session:
                found = rows.jobs(session, [name])
            for row in found:
                self._arm(row, self._runner.tools.now())
