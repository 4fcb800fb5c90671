"""The lease: one run mirrors, another stands by and takes over; waits that know their reason."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import select, text, update

from indexer import Indexer, TickReport, backoff, status
from indexer import follow as follow_module
from indexer.backoff import (
    DATABASE,
    DOWN,
    FORKS,
    LAGS,
    LIMITS,
    PRUNED,
    REFUSES,
    SLOW,
    pause_s,
    trouble_of,
)
from indexer.follow import Follower, Listeners
from indexer.lease import Lease, Rate, holder_of
from ledger.chain.addresses.book import Deployment
from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.heads import Heads
from ledger.chain.node.transports.errors import NodeDown, NodeLimits, NodeSlow
from ledger.db import Database, DatabaseBusy, NewerTables
from ledger.db.sqltext import clock_ms
from ledger.errors import DependencyDown
from ledger.leases import Holder, process_identity
from ledger.models import ChainCursor, HeldLease
from ledger.models.types import ValueUnreadable
from tests.support.chain import TestChain, deploy_contracts
from tests.support.forked import FORKED
from tests.support.forms import long, rest
from tests.support.mirror import running_chain
from tests.support.newer import upgraded_by_a_newer_version
from tests.support.waiting import DEADLINE_S, until

SHORT_ON_MARIADB = (
    "test_many_at_once_and_one_wins",
    "test_the_leader_is_killed_and_another_goes_on_within_the_lease",
)

LONG_S = 60
"""A lease that does not end under its holder, however busy the machine is."""
NETWORK = "local"


def found(db: Database) -> Holder:
    with db.read() as session:
        holder = holder_of(session, NETWORK)
    assert holder is not None
    return holder


def holding(lease: Lease) -> bool:
    return lease.held


# --------------------------------------------------------------------------- the row


def test_one_holds_and_another_is_told_who(db: Database) -> None:
    first, second = Lease(db, NETWORK, LONG_S), Lease(db, NETWORK, LONG_S)
    assert first.take() is None
    assert holding(first)
    other = second.take()
    assert other is not None
    assert other.holder == first.holder
    assert other.live and 0 < other.remaining_ms <= LONG_S * 1000
    assert f"process {os.getpid()}" in other.place
    assert not holding(second)
    first.release()
    assert not holding(first)
    assert second.take() is None
    second.release()
    assert not found(db).live


def test_who_held_it_last_takes_it_again_at_once(db: Database) -> None:
    """As after a moment in which the database did not answer: nobody stands by for himself."""
    lease = Lease(db, NETWORK, LONG_S)
    assert lease.take() is None
    lease.stop_renewing()
    assert not lease.held and found(db).live
    assert lease.take() is None and lease.held
    lease.release()


def test_who_renews_at_the_last_moment_keeps_it(db: Database) -> None:
    """What was seen of a silent holder is of no moment once it is heard of again."""
    one, two = Lease(db, NETWORK, LONG_S), Lease(db, NETWORK, LONG_S)
    one.take()
    one.stop_renewing()
    seen = found(db)
    until(lambda: one.renew() and found(db).until_ms > seen.until_ms)
    assert not two._overtake(seen, silent=True)
    assert two._overtake(found(db), silent=True)
    assert not one.renew()


def test_networks_have_leases_of_their_own(db: Database) -> None:
    here, there = Lease(db, NETWORK, LONG_S), Lease(db, "sepolia", LONG_S)
    assert here.take() is None
    assert there.take() is None
    here.release()
    there.release()


def ends_ms(db: Database) -> int:
    """Return when the lease ends, counted from when it was taken."""
    holder = found(db)
    return holder.held_ms + holder.remaining_ms


def test_it_is_renewed_while_its_holder_lives_and_no_longer(db: Database) -> None:
    lease, rival = Lease(db, NETWORK, 1), Lease(db, NETWORK, LONG_S)
    assert lease.take() is None
    taken = found(db)
    until(lambda: ends_ms(db) > 2500)  # one and a half leases later than it would have ended
    lease.lease_s = LONG_S  # from its next renewal on
    until(lambda: ends_ms(db) > LONG_S * 1000)
    other = rival.take()
    assert other is not None and other.holder == taken.holder
    lease.stop_renewing()  # as if it hung
    lease.lease_s = 1
    assert lease.renew()  # for the last time
    until(lambda: rival.take() is None)
    assert found(db).holder == rival.holder
    rival.release()


def test_whoever_lost_it_learns_that(db: Database) -> None:
    lease = Lease(db, NETWORK, 1)
    assert lease.take() is None
    with db.write() as session:
        ends = HeldLease.until_ms + LONG_S * 1000
        session.execute(update(HeldLease).values(holder="somebody else", until_ms=ends))
    until(lambda: not lease.held)
    assert not lease.renew()
    lease.release()
    assert found(db).holder == "somebody else"
    assert found(db).live


@long
def test_whoever_cannot_renew_it_for_a_reason_of_whatever_kind_learns_that(
    sqlite_db: Database,
) -> None:
    """What is no trouble that we know ended the thread that renews: its run took the lease for its own for ever."""
    lease, engine = Lease(sqlite_db, NETWORK, 1), sqlite_db._engine
    assert lease.take() is None
    refuses = "BEFORE UPDATE ON held_leases BEGIN SELECT RAISE(ABORT, 'not today'); END"
    with engine.begin() as link:
        link.exec_driver_sql(f"CREATE TRIGGER refuses {refuses}")
    until(lambda: not lease.held)
    with engine.begin() as link:
        link.exec_driver_sql("DROP TRIGGER refuses")
    assert lease.take() is None
    assert holding(lease)
    lease.release()


@long
def test_a_lease_from_before_the_clock_was_set_back_is_waited_for_no_longer_than_it_is_long(
    db: Database,
) -> None:
    """Its holder, of another machine, died; by the database's clock it would end in a day."""
    dead, successor = Lease(db, NETWORK, 1), Lease(db, NETWORK, LONG_S)
    assert dead.take() is None
    dead.stop_renewing()
    with db.write() as session:
        a_day_later = HeldLease.until_ms + 86_400_000
        session.execute(update(HeldLease).values(process=None, until_ms=a_day_later))
    other = successor.take()
    assert other is not None and other.outlasts  # who lives may renew it yet
    until(lambda: successor.take() is None)
    assert found(db).holder == successor.holder and not found(db).outlasts
    successor.release()


def test_who_lives_when_the_clock_is_set_back_keeps_the_lease(db: Database) -> None:
    leader, rival = Lease(db, NETWORK, LONG_S), Lease(db, NETWORK, LONG_S)
    assert leader.take() is None
    with db.write() as session:
        a_day_later = HeldLease.until_ms + 86_400_000
        taken_ms = HeldLease.taken_ms + 86_400_000
        later = {"until_ms": a_day_later, "taken_ms": taken_ms}
        session.execute(update(HeldLease).values(process=None, **later))
    other = rival.take()
    assert other is not None and other.outlasts
    assert other.as_json()["since_s"] == 0  # not the seconds until it will have been taken
    assert leader.renew()
    other = rival.take()
    assert other is not None and other.holder == leader.holder and not other.outlasts
    assert holding(leader)
    leader.release()


def test_many_at_once_and_one_wins(db: Database) -> None:
    leases = [Lease(db, NETWORK, LONG_S) for _ in range(6)]
    start = threading.Barrier(len(leases))

    def race(lease: Lease) -> None:
        start.wait()
        with suppress(DatabaseBusy):  # the loop tries again
            lease.take()

    threads = [threading.Thread(target=race, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lease.holder for lease in leases if lease.held] == [found(db).holder]
    for lease in leases:
        lease.stop_renewing()


def test_the_clock_is_the_database_s(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is a year ahead takes nothing over."""
    now = (
        "CAST(strftime('%s', 'now') AS INTEGER)"
        if db.dialect == "sqlite"
        else "TIMESTAMPDIFF(SECOND, '1970-01-01', UTC_TIMESTAMP())"
    )

    def database_s() -> int:
        with db.read() as session:
            return int(session.execute(text(f"SELECT {now}")).scalar_one())

    before_s = database_s()
    lease = Lease(db, NETWORK, LONG_S)
    assert lease.take() is None
    monkeypatch.setattr(time, "time", lambda: 4e9)
    other = Lease(db, NETWORK, LONG_S).take()
    assert other is not None and other.holder == lease.holder
    with db.read() as session:
        until_ms = session.scalar(select(HeldLease.until_ms))
    assert until_ms is not None
    assert before_s <= until_ms / 1000 - LONG_S < database_s() + 1
    lease.release()


def test_the_dead_of_this_machine_are_not_waited_for(db: Database) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = process_identity(child.pid)
    assert identity is not None
    dead, successor = Lease(db, NETWORK, 500), Lease(db, NETWORK, LONG_S)
    assert dead.take() is None
    dead.stop_renewing()
    with db.write() as session:
        session.execute(update(HeldLease).values(process=identity))
    assert successor.take() is not None  # it lives
    child.kill()
    child.wait()
    assert not found(db).live
    assert successor.take() is None
    with db.write() as session:  # one of another machine is waited for, whatever its number
        session.execute(update(HeldLease).values(process="other-boot " + identity.split(" ", 1)[1]))
    assert found(db).live
    successor.stop_renewing()


def test_a_rate_is_of_the_last_minute() -> None:
    now = [1000.0]
    rate = Rate(lambda: now[0])
    rate.add(10, 100)
    now[0] += 20
    assert rate.lately() == (10, 100, 20_000)
    rate.add(5, 7)
    now[0] += 50
    assert rate.lately() == (5, 7, 60_000)
    now[0] += 50
    assert rate.lately() == (0, 0, 60_000)


def test_a_tick_is_idle_that_changed_nothing() -> None:
    report = TickReport(head=9, tip=9, final=5)
    assert report.idle
    for change in ({"blocks": 1}, {"rewound_to": 0}, {"overtaken": True}):
        assert not replace(report, **change).idle


# -------------------------------------------------------------------------- the loop


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with running_chain() as made:
        yield made


@contextmanager
def following(indexer: Indexer, **listeners: Any) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=indexer.follow, args=(stop,), kwargs=listeners)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def tip(db: Database) -> int:
    with db.read() as session:
        return session.scalar(select(ChainCursor.block_number)) or 0


def test_a_second_run_stands_by_and_takes_over_when_the_first_stops(
    chain: TestChain, db: Database
) -> None:
    first = Indexer(db, chain.client, chain.deployment, 64)
    second = Indexer(db, chain.client, chain.deployment, 64)
    ticks: list[TickReport] = []
    leads: list[Holder | None] = []
    stood_by: list[Holder] = []
    with following(first, lease_s=LONG_S) as stop:
        until(lambda: tip(db) == chain.client.block_number())
        leader = found(db)
        with following(
            second,
            on_tick=ticks.append,
            on_lead=leads.append,
            on_stand_by=stood_by.append,
            lease_s=LONG_S,
        ):
            until(lambda: stood_by)
            chain.mine(3)
            until(lambda: tip(db) == chain.client.block_number())
            assert ticks == []  # whoever stands by reads nothing
            assert [item.holder for item in stood_by] == [leader.holder]
            stop.set()
            until(lambda: leads)
            assert [item.holder for item in leads if item] == [leader.holder]
            chain.mine(2)
            until(lambda: tip(db) == chain.client.block_number())
            # A block shows before its tick has ended: what is final by it is confirmed after it.
            until(lambda: sum(report.blocks for report in ticks) >= 2)
            assert sum(report.blocks for report in ticks) == 2
            assert found(db).live
    assert not found(db).live  # released at the end: nobody need wait


@long
def test_who_had_trouble_while_it_stood_by_still_says_that_it_leads(
    chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database does not answer once, to whoever stands by."""
    real, asked = Lease.take, []
    leads: list[Holder | None] = []
    stood_by: list[Holder] = []
    troubles: list[Exception] = []

    def take(lease: Lease) -> Holder | None:
        asked.append(lease)
        if len(asked) == 2:
            raise DatabaseBusy("another writer was in the way")
        return real(lease)

    first = Indexer(sqlite_db, chain.client, chain.deployment, 64)
    second = Indexer(sqlite_db, chain.client, chain.deployment, 64)
    with following(first, lease_s=LONG_S) as stop:
        until(lambda: tip(sqlite_db) == chain.client.block_number())
        leader = found(sqlite_db)
        monkeypatch.setattr(Lease, "take", take)
        with following(
            second,
            on_lead=leads.append,
            on_stand_by=stood_by.append,
            on_trouble=lambda error, pause_s: troubles.append(error),
            lease_s=LONG_S,
        ):
            until(lambda: troubles)
            stop.set()
            until(lambda: leads)
    assert [item.holder for item in leads if item] == [leader.holder]
    assert len(stood_by) == len(troubles) == 1


def test_whoever_listens_is_told_once(
    chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stands in the way, when that is another, and when the lease is ours; not what a trouble of ours let go."""
    monkeypatch.setattr(follow_module, "stand_by_s", lambda other: 0)
    monkeypatch.setattr(follow_module, "pause_s", lambda error, failures: 0)
    told: list[tuple[str, str | None]] = []
    rests: list[bool] = []
    one, two, ours = (Lease(sqlite_db, NETWORK, LONG_S) for _ in range(3))
    heads = Heads(chain.client.transport, 0)
    monkeypatch.setattr(heads, "wait", lambda stopped: rests.append(stopped()))
    listeners = Listeners(
        on_lead=lambda before: told.append(("leads", before and before.holder)),
        on_stand_by=lambda other: told.append(("stands by", other.holder)),
    )
    idle = TickReport(head=5, tip=5, final=1)
    reports = [idle, idle, replace(idle, blocks=1), idle]
    follower, stop = Follower(lambda: reports.pop(0), ours, heads, listeners), threading.Event()

    def steps(*expected: tuple[str, str | None], times: int = 1) -> None:
        told.clear()
        for _ in range(times):
            follower._step(stop)
        assert told == list(expected)

    one.take()
    steps(("stands by", one.holder), times=3)
    one.release()
    two.take()
    steps(("stands by", two.holder), times=2)
    two.release()
    steps(("leads", two.holder), times=3)
    assert rests == [False, False]  # after what found nothing, and not after a range
    assert ours.rate.lately()[:2] == (1, 0)
    ours.release()
    two.take()
    steps(("stands by", two.holder), times=2)
    two.release()
    follower._rest(DependencyDown("the database does not answer"), stop)  # at a look for the lease
    steps(("leads", two.holder))
    assert ours.rate.lately()[:2] == (0, 0)  # counted anew
    follower._rest(DependencyDown("no node answers"), stop)
    ours.release()
    reports.append(idle)
    steps()
    ours.release()


@long
def test_forks_that_take_turns_are_waited_for(chain: TestChain, sqlite_db: Database) -> None:
    """As behind an address that leads to two nodes: each was believed at once, and the same rows written each time."""
    troubles: list[tuple[Exception, float]] = []
    over: list[float] = []
    turned: list[TickReport] = []

    def turn(report: TickReport) -> None:
        if not troubles and len(turned) < 6:
            turned.extend([report] if report.rewound_to is not None else [])
            if report.idle or report.blocks:
                chain.reorganise(2)

    chain.mine(4)
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 64)
    with following(
        mirror,
        on_tick=turn,
        on_trouble=lambda error, pause_s: troubles.append((error, pause_s)),
        on_recovery=over.append,
    ):
        until(lambda: troubles or len(turned) == 6)
        assert len(turned) == 3
        ((error, pause_s),) = troubles
        assert (trouble_of(error), pause_s >= 0.25) == (FORKS, True)
        assert f"the blocks above {turned[0].rewound_to} were taken back again" in str(error)
        until(lambda: tip(sqlite_db) == chain.client.block_number())
    assert not over  # the next look may be the other's again


def test_rewinds_of_one_chain_are_no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(backoff, "time", SimpleNamespace(monotonic=lambda: now))
    turns = backoff.Turns()
    assert not any(turns.note(number) for number in (7, 7, 8, 8, 7, 7))
    assert turns.note(7) and turns.lasts
    now = 61.0
    assert not turns.lasts and not turns.note(7)


@long
def test_the_end_of_a_trouble_is_told_once(
    chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = Indexer.tick, [DependencyDown("no node answers", code="node-down")] * 2
    over: list[float] = []
    asked: list[float] = []

    def tick(mirror: Indexer, up_to: int | None = None) -> TickReport:
        asked.append(time.monotonic())
        if left:
            time.sleep(0.5)  # the node hangs, and is given up
            raise left.pop()
        return real(mirror, up_to)

    monkeypatch.setattr(Indexer, "tick", tick)
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 64)
    with following(mirror, on_recovery=over.append):
        until(lambda: over)
        until(lambda: tip(sqlite_db) == chain.client.block_number())
    (seconds,) = over
    assert seconds >= asked[2] - asked[0] and not left  # what it hung for is among them


def follow(url: str, rpc_url: str, book: str) -> None:
    mirror = Indexer(Database(url), ChainClient(rpc_url), Deployment.load(Path(book)), 64)
    mirror.follow(threading.Event(), lease_s=LONG_S)


def test_the_leader_is_killed_and_another_goes_on_within_the_lease(
    chain: TestChain, db: Database, tmp_path: Path
) -> None:
    """kill -9 of a process; its successor is made to believe that it ran on another machine.

    Of its lease, which lasts however busy the machine is, two seconds are left: the rest is taken from the row.
    """
    book = tmp_path / "deployment.json"
    book.write_text(chain.deployment_text())
    url = db.url.render_as_string(hide_password=False)
    leader = FORKED.Process(target=follow, args=(url, chain.rpc_url, str(book)))
    leader.start()
    try:
        until(lambda: tip(db) == chain.client.block_number())
        with db.write() as session:
            session.execute(update(HeldLease).values(process=None))
        leads: list[Holder | None] = []
        stood_by: list[Holder] = []
        second = Indexer(db, chain.client, chain.deployment, 64)
        with following(second, on_lead=leads.append, on_stand_by=stood_by.append, lease_s=LONG_S):
            until(lambda: stood_by)
            leader.kill()
            leader.join()
            chain.mine(2)
            with db.write() as session:
                now_ms = session.execute(select(clock_ms(db.dialect))).scalar_one()
                left = update(HeldLease).where(HeldLease.holder == stood_by[0].holder)
                session.execute(left.values(until_ms=now_ms + 2000))
            until(lambda: leads)
            with db.read() as session:
                taken_ms = session.scalar(select(HeldLease.taken_ms)) or 0
            assert now_ms + 2000 <= taken_ms  # not before it ended, by the database's clock
            assert leads[0] is not None and leads[0].holder == stood_by[0].holder
            until(lambda: tip(db) == chain.client.block_number())
    finally:
        leader.kill()
        leader.join()


def test_a_run_under_which_a_newer_version_upgrades_the_tables_ends(
    chain: TestChain, db: Database
) -> None:
    """It does so when it has a block to write, and when it has none: by then its lease is to be renewed.

    A lease that cannot be given back is waited for, so the short one comes first.
    """
    for something_to_write in (False, True):
        mirror = Indexer(db, chain.client, chain.deployment, 64)
        with futures.ThreadPoolExecutor(1) as beside:
            run = beside.submit(
                mirror.follow, threading.Event(), lease_s=LONG_S if something_to_write else 1
            )
            until(lambda: tip(db) == chain.client.block_number())
            with upgraded_by_a_newer_version(db):
                before = tip(db)
                if something_to_write:
                    chain.mine(1)
                with pytest.raises(NewerTables, match="a newer version upgraded it while this one"):
                    run.result(DEADLINE_S)
                assert tip(db) == before


@long
def test_whoever_is_in_trouble_lets_another_try(chain: TestChain, sqlite_db: Database) -> None:
    """The leader's node is gone: after a lease's time it lets go, and a run with another node mirrors.

    When that one ends, the first takes the lease again, and its trouble begins anew: it was as if it had never
    ended, so that the lease was let go at the first failure, and the next attempt came after many seconds.
    """
    dead = ChainClient("http://127.0.0.1:9")
    troubles: list[tuple[Exception, float]] = []
    stood_by: list[Holder] = []
    first = Indexer(sqlite_db, dead, chain.deployment, 64)
    second = Indexer(sqlite_db, chain.client, chain.deployment, 64)

    def trouble(error: Exception, pause_s: float) -> None:
        troubles.append((error, pause_s))

    with following(first, on_trouble=trouble, on_stand_by=stood_by.append, lease_s=0.4):
        until(lambda: len(troubles) > 1)
        with following(second, lease_s=LONG_S):
            until(lambda: tip(sqlite_db) == chain.client.block_number() and stood_by)
            before = len(troubles)
        until(lambda: len(troubles) > before)
    assert troubles[before][1] <= 0.5
    assert all(isinstance(error, NodeDown) for error, _ in troubles)
    dead.close()


# ------------------------------------------------------------------- seen soon enough


@pytest.mark.parametrize("kind", rest(["http", "ws", "ipc"], "ws"))
def test_a_block_is_seen_when_it_is_mined(kind: str, sqlite_db: Database) -> None:
    """Over WebSocket and IPC a poll would come after the deadline: the announcement is what counts."""
    with (
        tempfile.TemporaryDirectory(prefix="tt-") as folder,
        LocalNode(find_anvil(None), ipc=Path(folder) / "a.ipc") as node,
    ):
        writer = ChainClient(node.rpc_url)
        chain = TestChain(writer, deploy_contracts(writer))
        address = {
            "http": node.rpc_url,
            "ws": node.rpc_url.replace("http", "ws"),
            "ipc": f"{folder}/a.ipc",
        }[kind]
        client = ChainClient(address)
        poll_s = 0.1 if kind == "http" else 10 * DEADLINE_S
        mirror = Indexer(sqlite_db, client, chain.deployment, 64, poll_s=poll_s)

        def heard() -> bool:
            chain.mine(1)
            time.sleep(0.1)
            return tip(sqlite_db) == writer.block_number()

        with following(mirror):
            until(lambda: tip(sqlite_db) == writer.block_number())
            until(heard)  # the subscription stands
            for _ in range(5):
                chain.mine(1)
                until(lambda: tip(sqlite_db) == writer.block_number())
        client.close()
        writer.close()


def test_the_rate_is_of_a_second() -> None:
    told = {"window_ms": 4_000, "blocks": 10, "events": 25}
    assert status._rate(cast(Holder, SimpleNamespace(live=True, told=told))) == {
        "blocks_per_s": "2.5",
        "events_per_s": "6.2",  # 6.25, cut
        "over_s": 4,
    }


# ------------------------------------------------------------------------ the back-off


def rpc(code: int, message: str) -> RpcError:
    return RpcError("eth_getLogs", code, message, None)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (NodeDown("x"), DOWN),
        (NodeSlow("x"), SLOW),
        (NodeLimits("n", 5), LIMITS),
        (DependencyDown("x", code="node-behind"), LAGS),
        (DependencyDown("x", code="database-down"), DATABASE),
        (ValueUnreadable("a time", "soon", "UTC"), DATABASE),
        (rpc(-32005, "query returned more than 10000 results"), LIMITS),
        (rpc(-32000, "Too Many Requests"), LIMITS),
        (rpc(-32000, "your app has exceeded its compute units per second capacity"), LIMITS),
        (rpc(-32000, "rate limit reached for the free tier"), LIMITS),
        (rpc(-32000, "daily request limit is used up"), LIMITS),
        (rpc(-32000, "monthly quota exceeded"), LIMITS),
        (rpc(-32000, "your requests are throttled"), LIMITS),
        (rpc(429, "slow down"), LIMITS),
        (rpc(-32029, "slow down"), LIMITS),
        (rpc(-32097, "slow down"), LIMITS),
        (rpc(-32000, "required historical state unavailable (reexec=128)"), PRUNED),
        (rpc(-32000, "block needs an archive node"), PRUNED),
        (rpc(-32000, "old data not available due to pruning"), PRUNED),
        (rpc(-32000, "missing trie node 8f3a (path ) state 0x8f3a is not available"), PRUNED),
        (rpc(-32000, "pruned history unavailable"), PRUNED),
        (rpc(4444, "pruned history unavailable"), PRUNED),
        (rpc(-32002, "No state available for block 0x8f3a"), PRUNED),
        (rpc(-32000, "World state unavailable"), PRUNED),
        (rpc(-32000, "header not found"), LAGS),
        (rpc(-32000, "Block not found"), LAGS),
        (rpc(-39001, "Unknown block"), LAGS),
        (rpc(-32601, "the method does not exist"), REFUSES),
    ],
)
def test_troubles_are_told_apart(error: Exception, trouble: Any) -> None:
    assert trouble_of(error) is trouble


def test_waits_grow_to_a_bound_and_differ() -> None:
    waits = [pause_s(NodeDown("x"), failures) for failures in range(1, 60)]
    assert all(0.25 <= wait <= 15.0 for wait in waits)
    assert min(waits[10:]) >= 7.5
    assert len(set(waits)) > 50
    assert max(pause_s(NodeDown("x"), 1) for _ in range(50)) <= 0.5


def test_a_rest_that_is_asked_for_is_kept() -> None:
    assert all(pause_s(NodeLimits("n", 90.0), failures) >= 90 for failures in (1, 2, 30))
