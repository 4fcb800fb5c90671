"""Two processes of ``truetonne jobs run`` on the same books: one is stopped, one is killed, in the middle of a batch.

Both times it is at the worst moment: the node has the transaction, and the sender has not heard so.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from ledger.db import Database
from ledger.jobs import rows
from ledger.jobs.rows import NAME
from ledger.models import (
    BlockchainTransaction,
    ChainIntent,
    HeldLease,
    JobRun,
    SettlementBalance,
    VppSettlementBatch,
    VppTradingRecord,
)
from ledger.models.escrow import CURRENCY
from ledger.models.jobs import RunOutcome
from tests.support.chain import PARTIES, WINDOW_S
from tests.support.nursery import Child, shared
from tests.support.park import Park, running_park
from tests.support.proxy import LyingNode

SHORT_ON_MARIADB = ("test_one_is_stopped_another_is_killed_and_every_trade_is_settled_once",)

LEASE_S = 20
"""On a busy machine no lease ends under its holder: that of a leader that hangs is ended by hand."""
LONG_LEASE_S = 600
DEADLINE_S = 300.0
STANDS_BY = re.compile(
    r"stands by: \S+, process \d+ runs the jobs; takes over when its lease ends, in \d+ s unless it is renewed"
)
SCHEDULES = "settle=1s; finalise=1s; send=1s"


class Trap(LyingNode):
    """A node that sends a signal to a process as soon as it has a transaction of its."""

    def __init__(self, rpc_url: str, db: Database) -> None:
        super().__init__(rpc_url)
        self._db = db
        self._armed: tuple[int, signal.Signals] | None = None
        self.sprung = False
        self.tamper = self._watch

    def set(self, child: Child, number: signal.Signals) -> None:
        self.sprung = False
        self._armed = child.pid, number

    def _watch(self, method: str, parameters: list[Any], result: Any) -> Any:
        armed = self._armed
        if method == "eth_sendRawTransaction" and armed is not None:
            self._armed = None
            os.kill(*armed)
            while armed[1] is signal.SIGSTOP and (_runs(armed[0]) or self._is_held()):
                os.kill(armed[0], signal.SIGCONT)  # it was in a commit of another thread
                time.sleep(0.05)
                os.kill(*armed)
            self.sprung = True
        return result

    def _is_held(self) -> bool:
        """Return whether anything is locked in the books: by a process that is stopped it is for long."""
        if self._db.dialect != "sqlite":
            with self._db.server() as link:
                held = (
                    "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_lock_structs > 0"
                )
                return bool(link.exec_driver_sql(held).scalar_one())
        file = self._db.url.database or ""
        with closing(sqlite3.connect(file, timeout=0.5, isolation_level=None)) as link:
            try:
                link.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            link.execute("ROLLBACK")
        return False


def _runs(pid: int) -> bool:
    """Return whether a thread of a process goes on for longer than a moment after it was told to stop.

    One that was in a system call ends that first, on a busy machine a while later: it may be about to have a lock.
    """
    end = time.monotonic() + 1
    while any(_state(each) != "T" for each in Path(f"/proc/{pid}/task").glob("*/stat")):
        if time.monotonic() > end:
            return True
        time.sleep(0.001)
    return False


def _state(stat: Path) -> str:
    with suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0]
    return "T"  # it has ended


class Fleet:
    """Schedulers, and a mirror in this process that goes on meanwhile."""

    def __init__(self, park: Park, proxy: Trap) -> None:
        self.park = park
        self.trap = proxy
        self._count = 0
        self.children: list[Child] = []
        (park.folder / "deployment.json").write_text(park.node.deployment_text())
        self._settings = {
            "TRUETONNE_DATABASE_URL": park.db.url.render_as_string(hide_password=False),
            "TRUETONNE_RPC_URL": proxy.rpc_url,
            "TRUETONNE_DEPLOYMENT": str(park.folder / "deployment.json"),
            "TRUETONNE_HOME": str(park.folder / "home"),
            "TRUETONNE_NETWORK": park.node.deployment.network,
            "TRUETONNE_JOB_SCHEDULES": SCHEDULES,
            "TRUETONNE_SETTLEMENT_WAY": "proposed",
            "TRUETONNE_NETTING_HOURS": "24",
        }

    def start(self, lease_s: int = LEASE_S) -> Child:
        self._count += 1
        words = ["jobs", "run", "--lease", str(lease_s)]
        log = self.park.folder / f"log-{self._count}"
        self.children.append(shared().start(words, self._settings, log))
        return self.children[-1]

    def until(self, holds: Callable[[], object], *, grow: bool = False) -> None:
        """Wait until something holds; the chain grows meanwhile where that is wanted."""
        end = time.monotonic() + DEADLINE_S
        while not holds():
            said = [child.said() for child in self.children]
            assert time.monotonic() < end, f"it did not come about: {said}"
            if grow:
                self.park.node.mine(1)
            self.park.mirror.run_until("head")
            time.sleep(0.02)

    def holder(self) -> str:
        """Return who leads, as the lease names it."""
        with self.park.db.read() as session:
            return session.scalars(select(HeldLease.holder).where(HeldLease.name == NAME)).one()

    def expire(self, holder: str) -> None:
        """End a lease, as time does that of a process which does not renew it."""
        with self.park.db.write() as session:
            its = update(HeldLease).where(HeldLease.holder == holder)
            session.execute(its.values(until_ms=1))

    def settled(self, trades: int) -> None:
        """Wait until so many trades are executed; the window of each batch passes."""

        def proposed() -> bool:
            states = [row.state.value for row in self.park.rows(VppSettlementBatch)]
            return "planned" not in states and bool(states)

        self.until(proposed, grow=True)
        self.park.node.later(WINDOW_S + 1)

        def executed() -> bool:
            done = [row.status.value for row in self.park.rows(VppTradingRecord)]
            return done.count("executed") == trades

        self.until(executed, grow=True)

    def end(self) -> None:
        for child in self.children:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGCONT)
            child.kill()


@pytest.fixture
def fleet(db: Database, tmp_path: Path) -> Iterator[Fleet]:
    with running_park(db, tmp_path) as park, Trap(park.node.rpc_url, db) as proxy:
        park.fund(PARTIES["market"], 100_00)
        park.mirror_final()
        made = Fleet(park, proxy)
        try:
            yield made
        finally:
            made.end()


def lost(park: Park) -> list[str]:
    """Return the lost runs of jobs that send, which are done one at a time; others may have gone on beside them."""
    with park.db.read() as session:
        query = select(JobRun.job).where(
            JobRun.outcome == RunOutcome.LOST, JobRun.job.in_(("settle", "finalise", "send"))
        )
        return list(session.scalars(query.order_by(JobRun.id)))


def test_one_is_stopped_another_is_killed_and_every_trade_is_settled_once(fleet: Fleet) -> None:
    park, trap = fleet.park, fleet.trap
    first = fleet.start()
    fleet.until(lambda: "this process runs the jobs now" in first.said())
    second = fleet.start(LONG_LEASE_S)
    fleet.until(lambda: STANDS_BY.search(second.said()))
    hangs = fleet.holder()

    # The leader hangs, its transaction is out; nothing tells that from a machine that died.
    trap.set(first, signal.SIGSTOP)
    park.trade(("sell", 1000, 10_000), ("sell", 500, 20_000))
    fleet.until(lambda: trap.sprung)
    assert "this process runs the jobs now" not in second.said()
    fleet.until(lambda: fleet.expire(hangs) or "this process runs the jobs now" in second.said())
    fleet.until(lambda: re.search(r"left open, and made up for: .*\bsettle\b", second.said()))
    fleet.settled(2)

    # It wakes after its lease, in the middle of a run: it does no harm, and stands by.
    os.kill(first.pid, signal.SIGCONT)
    fleet.until(lambda: "stands by" in first.said())
    assert lost(park) == ["settle"]
    assert len(park.rows(VppSettlementBatch)) == 1

    # The new leader is killed where the old one was stopped. It is known to be dead, long before its lease ends.
    trap.set(second, signal.SIGKILL)
    park.trade(("sell", 2000, 10_000), hour=5)
    fleet.until(lambda: trap.sprung)
    fleet.until(lambda: first.said().count("this process runs the jobs now") == 2)
    fleet.settled(3)
    assert lost(park) == ["settle", "settle"]

    # Two batches, each proposed and finalised by one transaction; every cent where it belongs.
    calls = [row.function_name for row in park.rows(BlockchainTransaction)]
    assert (calls.count("proposeBatch"), calls.count("finalizeBatch")) == (2, 2)
    assert {row.state.value for row in park.rows(ChainIntent)} == {"confirmed"}
    money = {
        row.account: int(row.balance)
        for row in park.rows(SettlementBalance)
        if row.asset == CURRENCY
    }
    unit = park.chain.settlement.units_per_cent()
    assert money[PARTIES["owner"]] == 4_00 * unit  # 1.0 x 1.00 + 0.5 x 2.00 + 2.0 x 1.00
    assert money[PARTIES["market"]] == 96_00 * unit
    assert park.differences() == []

    # In order, at last: it says 0, and nobody need wait for the lease.
    assert first.stop() == 0
    with park.db.read() as session:
        found = rows.jobs(session, ["settle", "finalise", "send"])
        assert [row.running_since for row in found] == [None] * 3
    third = fleet.start()
    fleet.until(lambda: "this process runs the jobs now" in third.said())
    assert "stands by" not in third.said()
