"""The scheduler with jobs that count: leases, missed runs, pauses, clocks, failures, an end in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from ledger.clock import utc_now
from ledger.db import Database, NewerTables
from ledger.db.grants import Account
from ledger.errors import BadInput, ContractRefused, DependencyDown, NotFound, ProblemFound, Refused
from ledger.jobs import asking, overview, rows, running, scheduler
from ledger.jobs.catalogue import BOOKS, CHAIN, Job
from ledger.jobs.rows import NAME, Result
from ledger.jobs.running import RETRY, Runner
from ledger.jobs.scheduler import Listeners, Scheduler
from ledger.jobs.schedules import Schedule, read
from ledger.jobs.work import Tools
from ledger.leases import Holder, Lease, holder_of
from ledger.models import HeldLease, JobRun, ScheduledJob
from ledger.models.jobs import RunOutcome
from tests.support.accounts import made_account
from tests.support.forms import long
from tests.support.mariadb import MariaDbServer
from tests.support.newer import upgraded_by_a_newer_version
from tests.support.waiting import DEADLINE_S, until

SHORT_ON_MARIADB = ("test_another_stands_by_and_makes_up_for_what_was_lost",)

YEAR = timedelta(days=365)


@pytest.fixture(autouse=True)
def often_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the rows often: the tests wait for that."""
    monkeypatch.setattr(scheduler, "LOOK_S", 0.1)
    monkeypatch.setattr(scheduler, "_TROUBLE_S", 0.2)


@dataclass
class Counting:
    """A job that counts its runs, and does what it is told to."""

    name: str = "count"
    every: str = "1d"
    lane: str = BOOKS
    work: Callable[[], str | None] = lambda: None
    runs: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, tools: Tools) -> str | None:
        self.runs += 1
        self.begun.set()
        return self.work()

    @property
    def job(self) -> Job:
        return Job(self.name, "counts", self.every, self, self.lane)

    @property
    def schedule(self) -> dict[str, Schedule]:
        return {self.name: read(self.every)}

    def wait(self) -> str:
        """Be a work that takes as long as the test wants."""
        assert self.go_on.wait(DEADLINE_S)
        return "waited"


def tools_of(db: Database, now: Callable[[], datetime] = utc_now) -> Tools:
    chain: Any = SimpleNamespace(db=db)  # none of these jobs asks a chain
    return Tools(chain, settings=SimpleNamespace(), now=now)  # type: ignore[arg-type]


@contextmanager
def working(
    db: Database, *jobs: Counting, lease_s: float = 10.0, **listeners: Any
) -> Iterator[threading.Event]:
    """Run a scheduler; it ends in order."""
    stop = threading.Event()
    schedules = {name: item for job in jobs for name, item in job.schedule.items()}
    made = Scheduler(
        tools_of(db), [job.job for job in jobs], schedules, Listeners(**listeners), lease_s
    )
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def leading(db: Database, *jobs: Counting) -> Runner:
    """Return a runner that holds the lease, without a scheduler: runs are begun by hand."""
    lease = Lease(db, NAME, DEADLINE_S)
    assert lease.take() is None
    lease.stop_renewing()
    schedules = {name: item for job in jobs for name, item in job.schedule.items()}
    runner = Runner(tools_of(db), lease, schedules)
    runner.lead()
    return runner


def row_of(db: Database, name: str = "count") -> ScheduledJob:
    with db.read() as session:
        return session.get_one(ScheduledJob, name)


def far_from_now() -> str:
    """Return a schedule of once a day, at an hour that does not come while a test runs."""
    return f"1 {(utc_now().hour + 12) % 24} * * *"


def history(db: Database, name: str | None = None) -> list[tuple[str, int]]:
    """Return outcomes and repeats, the oldest first."""
    with db.read() as session:
        found = rows.history(session, name, 100)
    return [(run.outcome.value, run.repeats) for run in sorted(found, key=lambda run: run.id)]


def set_due(db: Database, due: datetime, name: str = "count") -> None:
    with db.write() as session:
        session.get_one(ScheduledJob, name).due_at = due


# -------------------------------------------------------------------------------- rows


def test_a_job_is_due_until_a_run_has_ended(db: Database) -> None:
    runner = leading(db, Counting())
    due = utc_now() - YEAR
    set_due(db, due)
    begun = runner.begin("count")
    assert begun is not None
    assert row_of(db).due_at == due  # a kill now loses nothing
    assert runner.begin("count") is None  # one at a time
    now = utc_now()
    result = Result(RunOutcome.DONE, "did it", 7)
    schedule = runner.schedules["count"]
    db.run(lambda session: rows.end(session, runner.lease, begun, result, schedule, now))
    row = row_of(db)
    assert (row.running_since, row.run_holder, row.run_place) == (None, None, None)
    assert row.due_at == now + timedelta(days=1)
    assert history(db) == [("done", 1)]
    with db.read() as session:
        last = rows.last_run(session, "count")
    assert last is not None and last.due_at == due


def test_whoever_has_lost_the_lease_begins_nothing_and_spoils_nothing(db: Database) -> None:
    """The leader is silent for longer than its lease, and wakes in the middle of a run."""
    counting = Counting()
    first = leading(db, counting)
    begun = first.begin("count")
    assert begun is not None
    with db.write() as session:  # its time passes
        session.execute(update(HeldLease).values(until_ms=1))
    second = leading(db, counting)
    assert history(db) == [("lost", 1)]
    assert first.begin("count") is None
    again = second.run(counting.job)
    assert again is not None and again.outcome is RunOutcome.IDLE
    due = row_of(db).due_at
    other = second.begin("count")
    result = Result(RunOutcome.DONE, "late", 5)
    schedule = first.schedules["count"]
    db.run(lambda s: rows.end(s, first.lease, begun, result, schedule, utc_now() + YEAR))
    row = row_of(db)
    assert other is not None
    assert (row.due_at, row.running_since) == (due, other.started_at)  # the second one's alone
    assert history(db) == [("lost", 1), ("idle", 1), ("done", 1)]


def test_a_run_that_was_given_up_ends_no_other_one_of_its_process(db: Database) -> None:
    """Nor does a clock that was set back make a run shorter than nothing."""
    counting = Counting()
    runner = leading(db, counting)
    lost = runner.begin("count")
    assert lost is not None
    left, back = {"count": lost.started_at}, lost.started_at - timedelta(seconds=5)
    set_due(db, lost.started_at - YEAR)
    assert db.run(lambda s: rows.close_lost(s, runner.lease, left, back)) == ["count"]
    again = runner.begin("count")
    assert again is not None and again.started_at != lost.started_at
    result = Result(RunOutcome.DONE, "x" * 2_001, 5)
    schedule = runner.schedules["count"]
    db.run(lambda s: rows.end(s, runner.lease, lost, result, schedule, utc_now()))
    assert row_of(db).running_since == again.started_at
    with db.read() as session:
        late, early = rows.history(session, "count", 2)
    assert (early.outcome, early.duration_ms) == (RunOutcome.LOST, 0)
    assert early.due_at == lost.started_at - YEAR
    assert late.said == "x" * 2_000


def test_runs_are_told_in_the_order_in_which_they_ended(db: Database) -> None:
    """Of those that ended at one time the one that was noted last is told first, and forgotten is what is older."""
    runner = leading(db, Counting())
    begun = runner.begin("count")
    assert begun is not None
    schedule, ended = runner.schedules["count"], utc_now()
    set_due(db, ended + YEAR)  # a person asked for it before
    for said, seconds in (("b", 2), ("c", 2), ("a", 1), ("d", 3)):
        result, at = Result(RunOutcome.DONE, said, 5), ended + timedelta(seconds=seconds)
        with db.write() as session:
            rows.end(session, runner.lease, begun, result, schedule, at)
    with db.read() as session:
        assert [run.said for run in rows.history(session, None, 9)] == ["d", "c", "b", "a"]
        assert {run.due_at for run in rows.history(session, None, 9)} == {begun.started_at}
    assert db.run(lambda s: rows.forget_before(s, ended + timedelta(seconds=2))) == 1
    with db.read() as session:
        assert [run.said for run in rows.history(session, None, 9)] == ["d", "c", "b"]


def test_runs_of_a_clock_that_was_ahead_hide_none_of_those_since(db: Database) -> None:
    """They stood before all others until their time came: fifty of them were all that was told."""
    runner = leading(db, Counting())
    begun = runner.begin("count")
    assert begun is not None
    schedule, moment = runner.schedules["count"], utc_now()
    for said, since in (("a", -YEAR), ("b", YEAR), ("c", 2 * YEAR), ("d", timedelta(minutes=1))):
        result = Result(RunOutcome.DONE, said, 5)
        with db.write() as session:
            rows.end(session, runner.lease, begun, result, schedule, moment + since)
    with db.read() as session:
        assert [run.said for run in rows.history(session, None, 9)] == ["d", "a", "c", "b"]
        assert [run.said for run in rows.history(session, "count", 3)] == ["d", "a", "c"]
        assert [run.said for run in rows.history(session, None, 2)] == ["d", "a"]
        at = moment + YEAR
        assert [run.said for run in rows.history(session, None, 3, at)] == ["b", "d", "a"]


def test_of_runs_that_tell_nothing_new_the_last_one_s_time_is_told(db: Database) -> None:
    runner = leading(db, Counting())
    begun = runner.begin("count")
    assert begun is not None
    for took_ms in (5, 7):
        result, schedule = Result(RunOutcome.IDLE, None, took_ms), runner.schedules["count"]
        with db.write() as session:
            rows.end(session, runner.lease, begun, result, schedule, begun.started_at + YEAR)
    with db.read() as session:
        (run,) = rows.history(session, None, 9)
    assert (run.repeats, run.duration_ms) == (2, 7)
    assert run.ended_at == begun.started_at + YEAR


def test_whoever_has_lost_the_lease_takes_no_run_of_the_next_leader_for_lost(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears of it when it renews the lease next, and looks at the rows before that."""
    looks: list[None] = []
    look = Scheduler._look

    def counted(self: Scheduler) -> None:
        look(self)
        looks.append(None)

    monkeypatch.setattr(Scheduler, "_look", counted)
    with working(db, Counting(), lease_s=DEADLINE_S):  # it renews after a quarter of that
        until(lambda: history(db) == [("idle", 1)])
        with db.write() as session:  # its time passes
            session.execute(update(HeldLease).values(until_ms=1, process=None))
        begun = leading(db, Counting()).begin("count")
        assert begun is not None
        seen = len(looks)
        until(lambda: len(looks) >= seen + 3)
    assert row_of(db).running_since == begun.started_at
    assert history(db) == [("idle", 1)]


def test_runs_of_no_news_are_one_row(db: Database) -> None:
    """So is a failure that goes on; what was done is told each time."""
    counting = Counting()
    runner = leading(db, counting)
    said: list[Any] = [None, None, "x", "x", BadInput("a"), BadInput("a"), BadInput("b"), None]

    def work() -> str | None:
        item = said[counting.runs - 1]
        if isinstance(item, Exception):
            raise item
        return item  # type: ignore[no-any-return]

    counting.work = work
    for _ in said:
        runner.run(counting.job)
    assert history(db) == [
        ("idle", 2),
        ("done", 1),
        ("done", 1),
        ("failed", 2),
        ("failed", 1),
        ("idle", 1),
    ]


def test_what_a_dependency_held_up_is_tried_again_soon(db: Database) -> None:
    counting, often = Counting(), Counting("often", "10s")
    runner = leading(db, counting, often)

    def down() -> str:
        raise DependencyDown("no node\nanswers")

    counting.work = often.work = down
    before = utc_now()
    for job in (counting, often):
        result = runner.run(job.job)
        assert result is not None
        assert (result.outcome, result.said) == (RunOutcome.FAILED, "no node answers")
    assert before + RETRY <= row_of(db).due_at <= utc_now() + RETRY
    assert row_of(db, "often").due_at <= utc_now() + timedelta(seconds=10)
    counting.work = lambda: None
    runner.run(counting.job)
    assert row_of(db).due_at > utc_now() + timedelta(hours=23)


def test_a_defect_is_a_line_and_no_end(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    counting = Counting(work=lambda: str(1 // 0))
    runner = leading(db, counting)
    for _ in range(3):
        result = runner.run(counting.job)
    assert result is not None and result.said is not None
    assert result.said.startswith("internal error: ZeroDivisionError")
    assert history(db) == [("failed", 3)]
    (line,) = [record for record in caplog.records if record.name == "ledger.jobs.running"]
    assert line.getMessage().startswith("job count: internal error: ZeroDivisionError")
    assert line.exc_info is not None and line.exc_info[0] is ZeroDivisionError  # where it is


def test_a_paused_job_rests_and_says_how_to_go_on(db: Database) -> None:
    counting = Counting()
    runner = leading(db, counting)
    db.run(lambda session: rows.pause(session, "count", utc_now()))
    since = row_of(db).paused_at
    db.run(lambda session: rows.pause(session, "count", utc_now() + YEAR))
    assert row_of(db).paused_at == since  # it was already
    assert runner.run(counting.job) is None
    with pytest.raises(
        Refused, match=r"job count is paused since .* UTC; first: truetonne jobs resume count"
    ):
        db.run(lambda session: rows.ask(session, "count", utc_now()))
    db.run(lambda session: rows.resume(session, "count"))
    with pytest.raises(BadInput, match="job count is not paused"):
        db.run(lambda session: rows.resume(session, "count"))
    with pytest.raises(NotFound, match="there is no job 'cuont'"):
        db.run(lambda session: rows.pause(session, "cuont", utc_now()))
    assert runner.run(counting.job) is not None


def test_another_schedule_holds_at_once_and_a_job_that_is_no_more_goes(db: Database) -> None:
    leading(db, Counting(), Counting("old"))
    set_due(db, utc_now() + timedelta(hours=20))
    leading_again = {"count": read("1h")}
    now = utc_now()
    db.run(lambda session: rows.register(session, leading_again, now))
    with db.read() as session:
        assert [view.row.name for view in overview.views(session)] == ["count"]
    assert (row_of(db).schedule, row_of(db).due_at) == ("1h", now)


def test_who_does_not_lead_leaves_the_jobs_as_the_leader_wants_them(db: Database) -> None:
    """A command with other settings took the leader's jobs away: its backups ended, and nobody heard of it."""
    here = {"other": read("1h"), "count": read("1h")}

    def names() -> list[tuple[str, str]]:
        with db.read() as session:
            return [(view.row.name, view.row.schedule) for view in overview.views(session)]

    runner = leading(db, Counting(), Counting("backup"))
    db.run(lambda session: rows.have_rows(session, here, utc_now()))
    assert names() == [("backup", "1d"), ("count", "1d")]
    run = asking.run_now  # what it does not know it is not asked for
    with pytest.raises(
        NotFound, match="known to whoever runs the jobs are backup, count, by its settings"
    ):
        run(db, Lease(db, NAME), here, "other", pytest.fail, utc_now)
    runner.lease.release()
    db.run(lambda session: rows.have_rows(session, here, utc_now()))
    assert names() == [("backup", "1d"), ("count", "1d"), ("other", "1h")]
    counting = Counting("backup")
    with working(db, counting):
        until(lambda: counting.runs == 1)
        # As an older version did. The run may still note its end: what it changed meanwhile is tried again.
        db.run(lambda session: session.delete(session.get_one(ScheduledJob, "backup")))
        until(lambda: names() == [("backup", "1d")])


def test_old_runs_are_forgotten_but_for_the_last(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some at a time: a year of runs, deleted by one statement, would keep others waiting."""
    monkeypatch.setattr(rows, "_FORGOTTEN_AT_ONCE", 2)
    counting = Counting(work=lambda: "did")
    runner = leading(db, counting)
    for _ in range(4):
        runner.run(counting.job)
    assert db.run(lambda session: rows.forget_before(session, utc_now() - YEAR)) == 0
    later = utc_now() + YEAR
    gone = [db.run(lambda session: rows.forget_before(session, later)) for _ in range(3)]
    assert gone == [2, 1, 0]
    assert history(db) == [("done", 1)]


def said_of_late(db: Database, leader_ms: int) -> str | None:
    """Return what is said of jobs that are late, with the leader's beginning moved; after a job that failed."""
    with db.write() as session:
        moved = {"taken_ms": HeldLease.taken_ms + leader_ms}
        session.execute(update(HeldLease).where(HeldLease.name == NAME).values(moved))
    with db.read() as session:
        first, *late = overview.alarms(session)
    assert first == "job count failed: books and chain differ"
    assert len(late) <= 1
    return late[0] if late else None


def test_that_nobody_runs_the_jobs_is_told_though_a_clock_that_was_ahead_noted_when_they_are_due(
    db: Database,
) -> None:
    """Until that time came nothing was said: for as long as the clock had been ahead."""
    runner = leading(db, Counting(), Counting("nightly", far_from_now()), Counting("resting"))
    db.run(lambda session: rows.pause(session, "resting", utc_now()))

    def said() -> list[str]:
        with db.read() as session:
            return overview.alarms(session)

    set_due(db, utc_now() + timedelta(hours=1))
    runner.lease.release()
    with db.write() as session:
        session.execute(update(HeldLease).values(until_ms=HeldLease.until_ms - 601_000))
    assert said() == []
    due = utc_now() + YEAR
    set_due(db, due)
    set_due(db, due, "resting")
    assert said() == [
        f"nobody runs the jobs, and count are noted as due from {due:%Y-%m-%d %H:%M:%S} UTC on, by a clock that was "
        "ahead; start truetonne up, or truetonne jobs run"
    ]
    with db.write() as session:  # a restart takes a while
        session.execute(update(HeldLease).values(until_ms=HeldLease.until_ms + 300_000))
    assert said() == []
    # Whoever ran them ended by that clock, which was the database's, too.
    with db.write() as session:
        session.execute(update(HeldLease).values(until_ms=HeldLease.until_ms + 31_536_000_000))
    (line,) = said()
    assert line.startswith("nobody runs the jobs, and count are noted as due from ")
    set_due(db, utc_now() - timedelta(hours=1))
    (line,) = said()
    assert line.startswith("nobody runs the jobs: count are due since ")


def test_what_a_person_should_look_at(db: Database) -> None:
    counting, other = Counting(), Counting("other")
    runner = leading(db, counting, other)
    with db.read() as session:
        assert overview.alarms(session) == []

    def wrong() -> str:
        raise ProblemFound("books and chain differ")

    counting.work = wrong
    runner.run(counting.job)
    set_due(db, utc_now() - timedelta(minutes=11), "other")
    assert said_of_late(db, leader_ms=0) is None  # it has just begun, and comes to it
    behind = said_of_late(db, leader_ms=-11 * 60_000)
    assert behind is not None and behind.startswith("the jobs are behind: other are due since")
    assert "nobody" not in behind and runner.lease.place in behind
    runner.lease.release()
    alone = said_of_late(db, leader_ms=0)
    assert alone is not None and alone.startswith("nobody runs the jobs: other are due since")
    db.run(lambda session: rows.pause(session, "count", utc_now()))
    db.run(lambda session: rows.pause(session, "other", utc_now()))
    with db.read() as session:
        assert overview.alarms(session) == []


# --------------------------------------------------------------------------- scheduler


def test_what_fell_due_while_nobody_ran_is_done_once(db: Database) -> None:
    """Four jobs: due every second for a year, once a day, not yet, and paused."""
    often = Counting("often", "1s", work=lambda: "x")
    daily = Counting("daily", far_from_now(), work=lambda: "x")
    later, resting = Counting("later"), Counting("resting")
    leading(db, often, daily, later, resting).lease.release()
    for name in ("often", "daily", "resting"):
        set_due(db, utc_now() - YEAR, name)
    set_due(db, utc_now() + timedelta(hours=1), "later")
    db.run(lambda session: rows.pause(session, "resting", utc_now()))
    started = utc_now()
    with working(db, often, daily, later, resting):
        until(lambda: daily.runs and often.runs >= 2)
    assert (daily.runs, later.runs, resting.runs) == (1, 0, 0)
    assert often.runs <= 1 + (utc_now() - started).total_seconds()
    assert row_of(db, "daily").due_at > started
    with db.read() as session:
        (run,) = rows.history(session, "daily", 10)
    assert run.due_at < started - timedelta(days=364)  # as it was due
    assert run.started_at >= started


def test_a_long_job_holds_up_no_other_lane(db: Database) -> None:
    slow, quick = Counting("slow", lane=BOOKS), Counting("quick", "1s", lane=CHAIN)
    slow.work = slow.wait
    with working(db, slow, quick):
        until(lambda: slow.runs and quick.runs >= 2)
        assert slow.runs == 1
        slow.go_on.set()
    assert history(db, "slow") == [("done", 1)]


@long
def test_a_job_that_is_armed_as_all_is_to_end_does_not_hold_up_the_end(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who armed it held our lock and waited for the timer's; the timer waited for a run, and the run for our lock."""
    slow, quick = Counting("slow", lane=BOOKS), Counting("quick", "1s", lane=CHAIN)
    slow.work = slow.wait
    arming, ending = threading.Event(), threading.Event()
    timers = scheduler.BackgroundScheduler
    add_job, shutdown = timers.add_job, timers.shutdown

    def armed(timer: Any, *arguments: Any, **options: Any) -> Any:
        again = threading.current_thread().name.startswith("after")
        if again and slow.begun.is_set():
            arming.set()
            ending.wait(2)
            time.sleep(0.2)  # by now the timer waits for what runs
        return add_job(timer, *arguments, **options)

    def ended(timer: Any, *arguments: Any, **options: Any) -> None:
        ending.set()
        shutdown(timer, *arguments, **options)

    monkeypatch.setattr(timers, "add_job", armed)
    monkeypatch.setattr(timers, "shutdown", ended)
    with working(db, slow, quick) as stop:
        until(arming.is_set)
        stop.set()
        ending.wait(4)
        slow.go_on.set()
    assert history(db, "slow") == [("done", 1)]


def test_it_ends_in_order(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on is finished and noted; the lease is let go. It was waited for without a word, hours long."""
    monkeypatch.setattr(scheduler, "TELL_S", 0.1)
    told: list[Sequence[str]] = []
    slow, other = Counting(work=lambda: ""), Counting("other", lane=CHAIN)
    slow.work = slow.wait
    with working(db, slow, other, on_finish=told.append) as stop:
        until(slow.begun.is_set)
        until(lambda: history(db, "other"))
        stop.set()
        until(lambda: told)
        assert row_of(db).running_since is not None
        slow.go_on.set()
    assert told == [["count"]]
    assert history(db, "count") == [("done", 1)]
    assert row_of(db).running_since is None
    assert Lease(db, NAME).take() is None


@long
def test_what_waits_for_its_turn_does_not_begin_when_it_is_to_end(db: Database) -> None:
    """After days without jobs a dozen are due in one lane: all of them were run first, an hour long."""
    one, other, often = Counting("one"), Counting("other"), Counting("often", "1s", CHAIN)
    one.work = other.work = one.wait
    with working(db, one, other, often) as stop:
        until(lambda: one.runs + other.runs and often.runs >= 2)  # a second on, all are called
        stop.set()
        until(lambda: row_of(db, "often").due_at < utc_now() - timedelta(seconds=1))
        one.go_on.set()
    assert one.runs + other.runs == 1
    waited = row_of(db, "other" if one.runs else "one")
    assert waited.running_since is None
    assert waited.due_at < utc_now()


def test_another_stands_by_and_makes_up_for_what_was_lost(db: Database) -> None:
    """The first one hangs, as a machine that sleeps does; its run is made up for by the second."""
    first, second = Counting("count"), Counting("count")
    first.work = first.wait
    stood_by: list[Holder] = []
    leads: list[Sequence[str]] = []

    def led(before: Holder | None, lost: Sequence[str]) -> None:
        assert before is not None and before.holder == stood_by[0].holder
        leads.append(lost)

    with working(db, first, lease_s=DEADLINE_S):
        until(first.begun.is_set)
        with working(db, second, lease_s=DEADLINE_S, on_stand_by=stood_by.append, on_lead=led):
            until(lambda: stood_by)
            assert second.runs == 0
            with db.write() as session:  # the first one is not heard of any more
                session.execute(update(HeldLease).values(until_ms=1, holder="asleep", process=None))
            until(lambda: second.runs)
            until(lambda: row_of(db).running_since is None)
            assert leads == [["count"]]
            due = row_of(db).due_at
            first.go_on.set()  # it wakes, and ends its run
            until(lambda: len(history(db)) == 3)
            assert row_of(db).due_at == due
    assert sorted(history(db)) == [("done", 1), ("idle", 1), ("lost", 1)]
    assert (first.runs, second.runs) == (1, 1)


def test_a_person_pauses_resumes_and_asks_from_elsewhere(db: Database) -> None:
    counting = Counting(work=lambda: "did")
    with working(db, counting):
        until(lambda: counting.runs == 1)
        lease = Lease(db, NAME)
        run = asking.run_now(db, lease, counting.schedule, "count", pytest.fail, utc_now)
        assert (run.outcome, run.said, counting.runs) == (RunOutcome.DONE, "did", 2)
        db.run(lambda session: rows.pause(session, "count", utc_now()))
        set_due(db, utc_now() - YEAR)
        time.sleep(1.5 * scheduler.LOOK_S)
        assert counting.runs == 2
        db.run(lambda session: rows.resume(session, "count"))
        until(lambda: counting.runs == 3)


def test_where_nobody_leads_it_is_done_here(db: Database) -> None:
    counting = Counting(work=lambda: "did")
    lease = Lease(db, NAME)
    runner = Runner(tools_of(db), lease, counting.schedule)

    def do_it() -> None:
        runner.lead(once=True)
        runner.run(counting.job)

    run = asking.run_now(db, lease, counting.schedule, "count", do_it, utc_now)
    assert (run.outcome, counting.runs) == (RunOutcome.DONE, 1)
    other = Lease(db, NAME)
    assert other.take() is None  # released
    other.release()


def test_what_a_contract_refuses_is_noted_with_what_it_means(sqlite_db: Database) -> None:
    def refused() -> str:
        raise ContractRefused("VppSettlement refuses finalizeBatch: EnforcedPause()")

    counting = Counting(work=refused)
    runner = leading(sqlite_db, counting)
    result = runner.run(counting.job)
    assert result is not None and result.said == (
        "The contract is paused. Wait until the administrator unpauses it, and send it again. "
        "(VppSettlement refuses finalizeBatch: EnforcedPause())"
    )


def test_the_database_that_goes_away_is_waited_for(
    sqlite_db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a run cannot be noted: it is lost, and made up for."""
    counting = Counting()

    def spoil() -> str:
        if counting.runs == 1:
            with sqlite_db.write() as session:
                session.execute(text("ALTER TABLE job_runs RENAME TO hidden"))
        return "did"

    counting.work = spoil
    with working(sqlite_db, counting):
        until(lambda: [line for line in caplog.messages if line.startswith("job count: ")])
        until(lambda: [line for line in caplog.messages if line.endswith("trying again")])
        assert counting.runs == 1
        with sqlite_db.write() as session:
            session.execute(text("ALTER TABLE hidden RENAME TO job_runs"))
        until(lambda: counting.runs == 2)
        until(lambda: len(history(sqlite_db)) == 2)
    assert history(sqlite_db) == [("lost", 1), ("done", 1)]


@long
def test_who_takes_the_lease_and_is_then_failed_by_the_database_leads_when_it_is_back(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It held the lease, kept everybody else from it, and began nothing ever after."""
    count = Counting(every="1s")
    with db.write() as session:
        session.execute(text("ALTER TABLE scheduled_jobs RENAME TO scheduled_elsewhere"))
    with working(db, count):
        until(lambda: "scheduled_jobs" in caplog.text and "trying again" in caplog.text)
        with db.read() as session:
            holder = holder_of(session, NAME)
        assert holder is not None and holder.live and count.runs == 0
        with db.write() as session:
            session.execute(text("ALTER TABLE scheduled_elsewhere RENAME TO scheduled_jobs"))
        until(lambda: count.runs > 1)


def test_jobs_under_which_a_newer_version_upgrades_the_tables_end(db: Database) -> None:
    job = Counting(every=far_from_now())
    made = Scheduler(tools_of(db), [job.job], job.schedule, lease_s=1)
    with futures.ThreadPoolExecutor(1) as beside:
        run = beside.submit(made.run, threading.Event())
        until(lambda: db_holds(db))
        with upgraded_by_a_newer_version(db):
            with pytest.raises(NewerTables, match="a newer version upgraded it while this one ran"):
                run.result(DEADLINE_S)
            assert job.runs == 0


def db_holds(db: Database) -> bool:
    """Return whether the one job has its row: somebody leads."""
    with db.read() as session:
        return session.get(ScheduledJob, "count") is not None


@long
@pytest.mark.mariadb
def test_a_server_that_takes_no_writes_is_asked_with_pauses_and_told_of_once(
    mariadb_db: Database, mariadb_server: MariaDbServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is read: what is due is known, and cannot begin."""
    counting = Counting(every="1s")
    with made_account(mariadb_server, Account.WRITE) as url:
        database = Database(url.render_as_string(hide_password=False))
        try:
            with working(database, counting):
                until(lambda: counting.runs > 0)
                mariadb_server.execute("SET GLOBAL read_only = 1")
                until(lambda: "job count: " in caplog.text)
                time.sleep(2)
                told = [line for line in caplog.messages if line.startswith("job count: ")]
                runs = counting.runs
                mariadb_server.execute("SET GLOBAL read_only = 0")
                until(lambda: counting.runs > runs + 1)
        finally:
            mariadb_server.execute("SET GLOBAL read_only = 0")
            database.close()
    assert 1 <= len(told) <= 2, told  # one of a run, another of a beginning
    assert "read-only" in told[0]


# ------------------------------------------------------------------------ clocks that are set


class Clock:
    """The clock of the machine, for the scheduler and for what waits inside of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta(0)
        outer = self

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + outer.ahead

        monkeypatch.setattr("apscheduler.schedulers.base.datetime", Shifted)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@long
def test_a_clock_that_jumps_runs_nothing_twice_and_keeps_nobody_waiting(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    often, daily = Counting("often", "1s", work=lambda: "x"), Counting("daily", far_from_now())
    jobs = (often, daily)
    schedules = {**often.schedule, **daily.schedule}
    made = Scheduler(tools_of(sqlite_db, clock.now), [job.job for job in jobs], schedules)
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()

    def more_of(counting: Counting, count: int) -> None:
        runs = counting.runs
        until(lambda: counting.runs >= runs + count)

    try:
        more_of(often, 1)
        assert daily.runs == 0
        began = time.monotonic()
        clock.ahead = timedelta(days=3)  # three days are one run
        until(lambda: daily.runs == 1)
        more_of(often, 1)
        assert often.runs <= 4 + (time.monotonic() - began)
        clock.ahead = timedelta(days=2)  # back, before the run of today: it was done already
        more_of(often, 2)
        assert daily.runs == 1
        clock.ahead = timedelta(0)  # and far back
        more_of(often, 2)
        assert daily.runs == 1
        assert row_of(sqlite_db, "daily").due_at <= clock.now() + timedelta(days=2)
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_while_the_lease_is_not_in_force_jobs_are_tried_with_pauses(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database's clock went past its end: until it is renewed, what is due was tried without a pause."""
    counting = Counting()
    tried = looks = 0
    begin, look = Runner.begin, Scheduler._look

    def trying(runner: Runner, name: str, **more: Any) -> Any:
        nonlocal tried
        tried += 1
        return begin(runner, name, **more)

    def looking(found: Scheduler) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            with sqlite_db.write() as session:
                session.execute(update(HeldLease).values(until_ms=0))
        look(found)

    monkeypatch.setattr(Runner, "begin", trying)
    monkeypatch.setattr(Scheduler, "_look", looking)
    with working(sqlite_db, counting, lease_s=600):
        until(lambda: tried and looks > 5)
        assert tried <= looks and counting.runs == 0
        with sqlite_db.write() as session:
            session.execute(update(HeldLease).values(until_ms=2**45))
        until(lambda: counting.runs == 1)


def test_a_look_that_a_run_overtakes_runs_nothing_twice(db: Database) -> None:
    """The leader read that a job is due, was slow, and gave the timer that date when the job had run meanwhile."""
    counting = Counting()
    made = Scheduler(tools_of(db), [counting.job], counting.schedule)
    made._runner = leading(db, counting)
    set_due(db, utc_now() - timedelta(hours=1))
    made._run(counting.job)
    made._run(counting.job)
    assert counting.runs == 1
    db.run(lambda session: rows.ask(session, "count", utc_now()))
    made._run(counting.job)
    assert counting.runs == 2


def test_a_run_that_ends_while_the_rows_are_read_is_due_when_it_said(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader's look is slow: by the time at which it began, the run would have set its job too far ahead."""
    at = [utc_now()]
    counting = Counting()
    tools = tools_of(db, lambda: at[0])
    runner = leading(db, counting)
    made = Scheduler(tools, [counting.job], counting.schedule)
    read_rows = rows.jobs

    def slowly(_: Session, names: Sequence[str]) -> list[ScheduledJob]:
        at[0] += timedelta(seconds=5)
        Runner(tools, runner.lease, runner.schedules).run(counting.job)
        with db.read() as later:
            return read_rows(later, names)

    monkeypatch.setattr(rows, "jobs", slowly)
    made._look()
    assert row_of(db).due_at == at[0] + timedelta(days=1)


@long
def test_a_job_that_is_over_before_the_timer_looks_runs_again(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer is told of its end while it holds its locks, and forgets the date that the job had."""
    submit = futures.ThreadPoolExecutor.submit

    def at_once(self: Any, work: Any, *args: Any, **more: Any) -> Any:
        future = submit(self, work, *args, **more)
        if work.__name__ == "run_job":
            futures.wait([future], DEADLINE_S)
        return future

    monkeypatch.setattr(futures.ThreadPoolExecutor, "submit", at_once)
    often = Counting("often", "1s", work=lambda: "x")
    made = Scheduler(tools_of(sqlite_db, utc_now), [often.job], often.schedule)
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        until(lambda: often.runs >= 3)
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_runs_are_told_as_they_are_kept(db: Database) -> None:
    runner = leading(db, Counting(work=lambda: "did"))
    runner.run(Counting(work=lambda: "did").job)
    with db.read() as session:
        (view,) = overview.views(session)
        (run,) = session.query(JobRun).all()
    assert view.as_json()["last_run"] == overview.run_as_json(run)
    assert (view.state, view.as_json()["last_run"]["outcome"]) == ("waiting", "done")


def test_a_job_that_says_what_no_database_takes(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a file is any bytes: a run that could not be noted was begun again every second."""
    # Standard error takes it; a report of this test that another process is to print does not.
    monkeypatch.setattr(running.log, "disabled", True)

    def spoil() -> str:
        raise ProblemFound("nothing in b\udcff.csv")

    counting = Counting(work=spoil)
    with working(db, counting):
        until(lambda: history(db))
    assert (history(db), counting.runs) == ([("failed", 1)], 1)
    with db.read() as session:
        last = rows.last_run(session, "count")
    assert last is not None and last.said == r"nothing in b\udcff.csv"


def test_a_job_that_is_no_more_while_it_is_waited_for(sqlite_db: Database) -> None:
    """Whoever leads by now has other jobs: for the command that was a defect of the program."""
    counting = Counting()
    lease = Lease(sqlite_db, NAME)

    def another_leads() -> None:
        other = {"other": read("1d")}
        sqlite_db.run(lambda session: rows.register(session, other, utc_now()))

    with pytest.raises(NotFound, match="no job 'count'; known to whoever runs the jobs are other"):
        asking.run_now(sqlite_db, lease, counting.schedule, "count", another_leads, utc_now)
