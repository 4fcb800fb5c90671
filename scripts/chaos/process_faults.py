"""Real processes of the command, and a real ``kill -9`` of them."""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from scripts.chaos.strikes import Fault, Work
from tests.support.nursery import Child
from tests.support.proxy import FaultyNode

if TYPE_CHECKING:
    from scripts.chaos.scenario import Scenario

LEASE_S = 1
PATIENCE_S = 180.0
LEADS = "this process runs the jobs now"


class _Schedulers(Fault):
    """What starts ``truetonne jobs run``."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.children: list[Child] = []

    def start(self, proxy: FaultyNode) -> Child:
        stage, plan = self.on.on, self.on.plan
        settings = {
            "TRUETONNE_DATABASE_URL": self.on.url,
            "TRUETONNE_RPC_URL": proxy.rpc_url,
            "TRUETONNE_DEPLOYMENT": str(stage.folder / "deployment.json"),
            "TRUETONNE_HOME": str(stage.folder / "home"),
            "TRUETONNE_NETWORK": stage.node.deployment.network,
            "TRUETONNE_FINALITY": str(plan.finality),
            "TRUETONNE_SETTLEMENT_WAY": "auto" if plan.cosigned else "proposed",
            "TRUETONNE_NETTING_HOURS": str(plan.netting_hours),
            "TRUETONNE_JOB_SCHEDULES": "settle=1s; finalise=1s; send=1s",
        }
        log = stage.folder / f"jobs-{len(self.children)}.log"
        log.unlink(missing_ok=True)
        child = stage.nursery.start(["jobs", "run", "--lease", str(LEASE_S)], settings, log)
        self.children.append(child)
        return child

    def until_killed(self, proxy: FaultyNode, child: Child) -> None:
        """Let the chain and its mirror go on until the process is killed at one of its questions."""
        until = time.monotonic() + PATIENCE_S
        while child.alive():
            assert time.monotonic() < until, f"nobody killed it: {child.said()}"
            self.on.process.do(self.on.process.read)
            self.on.mine(1)
            time.sleep(0.05)
        assert child.pid in proxy.killed and child.code == -signal.SIGKILL, child.said()

    def end(self) -> None:
        for child in self.children:
            with suppress(ProcessLookupError):
                child.kill()


class KilledProcess(_Schedulers):
    """``kill -9`` of the scheduler at one of its questions to the node, or a moment later."""

    name = "kill -9 of jobs run"

    def strike(self, work: Work) -> None:
        self.on.process.do(self.on.import_all)
        self.on.process.do(self.on.process.read)
        with _proxy(self) as proxy:
            child = self.start(proxy)
            proxy.kill_after(child.pid, self.chance.randint(1, 25), self.chance.choice((0.0, 0.01)))
            self.until_killed(proxy, child)
            self.struck += 1
        work()


class TwoSchedulers(_Schedulers):
    """Two schedulers on one database: the one that works is killed, and the other takes over."""

    name = "two schedulers, the leader killed"

    def strike(self, work: Work) -> None:
        self.on.process.do(self.on.import_all)
        self.on.process.do(self.on.process.read)
        with _proxy(self) as proxy:
            leader = self.start(proxy)
            self._until(leader, LEADS)
            other = self.start(proxy)
            self._until(other, "stands by")
            proxy.kill_after(
                leader.pid, self.chance.randint(1, 25), self.chance.choice((0.0, 0.01))
            )
            self.until_killed(proxy, leader)
            self._until(other, LEADS)
            time.sleep(self.chance.uniform(0.2, 1.5))
            self.on.process.do(self.on.process.read)
            work()  # beside it: a person's commands do not ask for the lease
            assert other.stop() == 0, other.said()
            self.struck += 1

    def _until(self, child: Child, words: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while words not in child.said():
            assert child.alive() and time.monotonic() < until, (
                f"it does not say {words!r}: {child.said()}"
            )
            time.sleep(0.02)


def _proxy(fault: Fault) -> FaultyNode:
    return FaultyNode(fault.on.on.node.rpc_url, random.Random(fault.on.plan.seed))
