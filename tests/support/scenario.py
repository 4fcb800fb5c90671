"""A random history from beginning to end: chain, mirrors, faults, and what they are compared with.

After each look, and at the end, the mirror must hold what the chain held up to the block where it stands,
by the record and by the model; at the end it must equal a fresh one, row for row in all tables.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import select

from indexer import Indexer
from ledger.chain.local.anvil import FINALITY_LAG_BLOCKS
from ledger.chain.node.client import ChainClient
from ledger.chain.node.transports.errors import NodeSlow
from ledger.db import Database
from ledger.errors import DependencyDown, TruetonneError, WrongChain
from ledger.models import Base
from ledger.reconcile import reconcile
from tests.support.ahead import small_if
from tests.support.chain import TestChain, go_back
from tests.support.chronicle import Chronicle
from tests.support.differs import HistoryDiffers
from tests.support.faults import HANG_S, KINDS
from tests.support.fleet import Fleet
from tests.support.histories import History
from tests.support.mirror import dump, fresh
from tests.support.plans import Plan, Step
from tests.support.proxy import ENDLESS, FaultyNode
from tests.support.stages import Stage

PATIENCE_S = 180.0
"""After that a mirror that does not reach the head is a difference; it usually takes a moment."""
RESTART_S = 4.0
"""After a trouble a mirror waits, longer each time; one that waited so long is started anew, then after twice that."""
FINAL_BELOW_HEAD = {"64": 64, "5": 5, "finalized": FINALITY_LAG_BLOCKS}
"""Blocks that stand on one that is final."""


@dataclass
class Outcome:
    """What a history did. ``counts`` has kills, second indexers and so on by name."""

    blocks: int = 0
    failed_transactions: int = 0
    events: int = 0
    depths: list[int] = field(default_factory=list)
    strikes: Counter[str] = field(default_factory=Counter)
    troubled: Counter[str] = field(default_factory=Counter)
    """How often the mirror waited or stopped under a fault, by its name."""
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def run(on: Stage, what: Plan) -> Outcome:
    """Run one history on a stage and leave the stage as it was.

    Raises
    ------
    HistoryDiffers, ModelDiffers
        With the first difference.
    """
    client = on.chain.client
    snapshot = client.request("evm_snapshot")
    record = on.record.fork()
    started = time.monotonic()
    try:
        with (
            small_if(what.ahead),
            FaultyNode(on.chain.rpc_url, random.Random(what.seed)) as proxy,
        ):
            scenario = Scenario(on, what, record, proxy)
            try:
                scenario.play()
            finally:
                scenario.end()
        outcome = scenario.outcome
        outcome.seconds = time.monotonic() - started
        return outcome
    finally:
        record.close()
        go_back(client, snapshot)


class Scenario:
    """One history while it runs."""

    def __init__(self, on: Stage, what: Plan, record: Chronicle, proxy: FaultyNode) -> None:
        self.plan = what
        self.outcome = Outcome()
        self._on = on
        self._proxy = proxy
        self._chance = random.Random(what.seed + 1)
        chain = TestChain(on.chain.client, on.chain.deployment, http=on.chain.http)
        self.history = History(chain, record)
        if what.store == "mariadb":
            assert on.mariadb is not None
            self.db = on.mariadb()
        else:
            file = on.folder / "mirror.db"
            for old in on.folder.glob("mirror.db*"):
                old.unlink()
            shutil.copyfile(on.template, file)
            self.db = Database(f"sqlite:///{file}")
        self._impatient = "time-out" in what.faults
        self._client = ChainClient(proxy.rpc_url, timeout_s=HANG_S / 3 if self._impatient else 30)
        self._mirror = Indexer(self.db, self._client, chain.deployment, what.finality)
        self._moved = False
        if what.processes:
            assert on.nursery is not None
            log_folder, counts = on.folder, self.outcome.counts
            self._fleet = Fleet(
                on.nursery, proxy, self._settings(), log_folder, counts, ahead=what.ahead
            )

    def _settings(self) -> dict[str, str]:
        return {
            "TRUETONNE_DATABASE_URL": self.db.url.render_as_string(hide_password=False),
            "TRUETONNE_RPC_URL": self._proxy.rpc_url,
            "TRUETONNE_DEPLOYMENT": str(self._on.folder / "deployment.json"),
            "TRUETONNE_FINALITY": self.plan.finality,
            "TRUETONNE_HOME": str(self._on.folder / "home"),
        }

    # ------------------------------------------------------------------ the frame

    def play(self) -> None:
        """Do all steps, then compare everything."""
        for step in self.plan.steps:
            self.step(step)
        self._proxy.disarm()
        # Final is what was final once: a head that stays lower would make a fresh mirror say less.
        self._grow()
        self._catch_up()
        if self.plan.processes:
            self._fleet.stop_all()
        self._look()
        self._compare()
        for name in self.plan.faults:
            if not self._proxy.strikes[name]:
                raise HistoryDiffers(f"the fault {name!r} did not strike")
        outcome, history = self.outcome, self.history
        outcome.blocks, outcome.depths = history.blocks, history.depths
        outcome.failed_transactions = history.failed
        outcome.strikes = self._proxy.strikes
        outcome.counts["killed at a request"] = len(self._proxy.killed)

    def end(self) -> None:
        """End processes and connections."""
        self._proxy.spare()
        if self.plan.processes:
            self._fleet.end()
        self._client.close()
        self.db.close()

    def step(self, step: Step) -> None:
        """Do one step of a plan."""
        match step:
            case ("act", name, kg, choice, who):
                self.history.play(name, kg, choice, who)
            case ("mine", blocks):
                self.history.mine(blocks)
            case ("reorganise", depth, steps):
                self.history.reorganise(depth, steps)
            case ("roll_back", depth):
                self.history.roll_back(depth)
            case ("mirror",):
                self._catch_up()
                self._look()
            case ("look",):
                self._tick()
                self._look()
            case ("during", requests, inner):
                self._during(requests, inner)
            case ("fault", name, strikes):
                self._fault(name, strikes)
            case ("honest",):
                self._proxy.disarm()
            case ("start",) | ("second",) | ("stop",) | ("kill", _, _):
                self._process(step)
            case _:
                raise AssertionError(step)

    # ------------------------------------------------------------------- mirroring

    def _tick(self) -> None:
        """One tick of the mirror in this process; the command's own need no telling."""
        if self.plan.processes:
            return
        self._bear(self._mirror.tick)

    def _bear(self, work: Callable[[], object]) -> bool:
        """Do something that may end with a reason where it was struck; say whether it went through."""
        before = self._proxy.strikes.copy()
        try:
            work()
            return True
        except TruetonneError as error:
            self.outcome.counts[f"waited or stopped: {error.code}"] += 1
            struck = self._proxy.strikes - before
            self.outcome.troubled.update(set(struck))
            if not self._is_excused(error, struck):
                raise HistoryDiffers(f"without a cause: {type(error).__name__}: {error}") from error
            return False

    def _is_excused(self, error: TruetonneError, struck: Counter[str]) -> bool:
        """Accept an error only where it is the right answer to what was done to the mirror."""
        if isinstance(error, WrongChain):
            return struck["wrong chain id"] > 0
        if error.code == "node-behind" and self._is_behind():
            return True
        if error.code in ("node-moving", "node-behind", "rpc-error") and self._moved:
            return True  # a node refuses what is asked of a block that it left
        if self._impatient and isinstance(error, NodeSlow):  # or the machine is
            return True
        waits = error.exit_code == DependencyDown.exit_code
        return waits and bool(struck) and bool(error.message)

    def _is_behind(self) -> bool:
        final = self._cursor("final_number")
        return final is not None and self.history.head < final

    def _cursor(self, column: str) -> object:
        table = Base.metadata.tables["chain_cursor"]
        with self.db.read() as session:
            return session.execute(select(table.c[column])).scalar_one_or_none()

    def _grow(self) -> None:
        """Let the chain reach the height that it once had."""
        missing = self.history.highest - self.history.head
        if missing > 0:
            self.history.mine(missing)

    def _catch_up(self) -> None:
        """Let the mirror reach the head; under a fault it may end with a reason instead."""
        if self._is_behind():
            self._grow()
        if self.plan.processes:
            self._wait_for_head()
            return
        while not self._bear(lambda: self._mirror.run_until("head")):
            if self._proxy.endless:
                return

    def _wait_for_head(self) -> None:
        """Wait for the command to reach the head; start it where none runs, or one sleeps long.

        The clock runs while it stands still: on a busy machine a start takes seconds.
        """
        began = restarted = time.monotonic()
        before, restart_s = None, RESTART_S
        while self._cursor("block_hash") != self.history.record.canonical[self.history.head]:
            now = time.monotonic()
            reached = self._cursor("block_number"), self._cursor("final_number")
            if reached != before:
                before, began, restarted = reached, now, now
            if now - began > PATIENCE_S:
                said = self._fleet.said()
                raise HistoryDiffers(f"the head was not reached in {PATIENCE_S} s: {said}")
            child = self._fleet.one()
            if now - restarted > restart_s:
                self._fleet.stop(child)
                restarted, restart_s = now, 2 * restart_s
                if self._is_behind():  # it was still reading when the head moved back
                    self._grow()
            time.sleep(0.01)

    def _during(self, requests: int, inner: Step) -> None:
        """Do something at a request of the mirror's next tick: the chain, or another mirror, moves under it."""
        self.history.play("deposit", 1 + requests, 0, requests % 3)
        failures: list[Exception] = []

        def work() -> None:
            try:
                if inner == ("second",):
                    self._second_mirror()
                else:
                    self.step(inner)
            except Exception as error:
                failures.append(error)

        self._moved = True
        self._proxy.interrupt(requests, work)
        self._tick()
        self._proxy.spare()
        self._moved = False
        self.outcome.counts["moved during a tick"] += 1
        if failures:
            raise failures[0]
        self._look()

    def _second_mirror(self) -> None:
        """Another mirror of the same books, which reads all that there is."""
        db = Database(self.db.url.render_as_string(hide_password=False))
        chain = self.history.chain
        try:
            Indexer(db, chain.client, chain.deployment, self.plan.finality).run_until("head")
            self.outcome.counts["second indexers"] += 1
        finally:
            db.close()

    def _process(self, step: Step) -> None:
        match step:
            case ("start",):
                self._fleet.one()
            case ("second",):
                self._fleet.one()
                self._fleet.start()
                self.outcome.counts["second indexers"] += 1
            case ("stop",):
                for child in self._fleet.running()[:1]:
                    self._fleet.stop(child)
                    self.outcome.counts["stopped"] += 1
            case ("kill", requests, delay_s):
                if self._fleet.kill(requests, delay_s, self._go_on):
                    self._look()

    def _go_on(self) -> None:
        """Let the chain go on for a moment."""
        self.history.play("deposit", self._chance.randint(1, 9), 0, self._chance.randint(0, 2))
        time.sleep(self._chance.uniform(0, 0.05))

    # --------------------------------------------------------------------- faults

    def _fault(self, name: str, strikes: int) -> None:
        """Arm a fault, give it something to strike, and see that it does."""
        fault = KINDS[name](self._chance, self.history.record)
        before = self._proxy.strikes[name]
        odds = self._chance.choice((1.0, 0.5)) if strikes < ENDLESS else 1.0
        self._proxy.arm(fault, strikes, odds)
        until = time.monotonic() + PATIENCE_S
        while self._proxy.strikes[name] == before:
            if time.monotonic() > until:
                raise HistoryDiffers(f"the fault {name!r} did not strike")
            # Nothing would move: a fault of transfers finds none.
            if self.history.acts.model.paused:
                self.history.play("pause", 1, 0, 0)
            self.history.play("issue", 9, 0, 0)
            self.history.play("deposit", self._chance.randint(1, 9), 0, self._chance.randint(0, 2))
            self.history.play("share", self._chance.randint(1, 9), 0, 0)
            self.history.play("issue_again", 1, 0, 0)  # refused, where there was one
            self.history.play("retire", 1, self._chance.randint(0, 5), self._chance.randint(0, 2))
            if self._is_behind():
                self._grow()
            if self.plan.processes:
                self._fleet.one()
                time.sleep(0.1)
            else:
                self._tick()
            self._look()
        if strikes < ENDLESS and self._chance.random() < 0.5:  # else it goes on during later steps
            self._proxy.disarm()

    # ----------------------------------------------------------------- comparison

    def _look(self) -> None:
        """Compare the mirror with the chain up to where it stands: at any instant they must agree."""
        self.outcome.counts["looks"] += 1
        final_max = self.history.highest - FINAL_BELOW_HEAD[self.plan.finality]
        found = self.history.record.differences(self.db, final_max)
        if found:
            raise HistoryDiffers("\n".join(found))

    def _compare(self) -> None:
        """Compare the mirror with a fresh one, and the books with the contracts' storage."""
        mine = dump(self.db)
        new = fresh(self._on.template, self._on.folder, self.history.chain, self.plan.finality)
        for table, expected in new.items():
            if mine[table] != expected:
                lacking = [row for row in expected if row not in mine[table]]
                beyond = [row for row in mine[table] if row not in expected]
                raise HistoryDiffers(f"{table}: lacks {lacking[:3]}, has instead {beyond[:3]}")
        self.outcome.events = len(new["chain_events"])
        if self.plan.seed % 4 == 0:
            report = reconcile(self.db, self.history.chain.client, self.history.chain.deployment)
            broken = [rule.name for rule in report.rules if not rule.ok]
            if broken:
                raise HistoryDiffers(f"reconcile: {', '.join(broken)}")
            self.outcome.counts["reconciled"] += 1
