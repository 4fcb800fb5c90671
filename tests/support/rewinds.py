"""Books before everything of a chain is taken back, and the chain after it: for rewinds that lack a step.

The history before is the same for each of them: it is played once, and the books are copied.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from indexer import Indexer
from ledger.db import Database
from tests.support.chain import go_back
from tests.support.mirror import Dump, dump, fresh
from tests.support.plans import Plan, Step
from tests.support.proxy import FaultyNode
from tests.support.scenario import FINAL_BELOW_HEAD, Scenario
from tests.support.stages import Stage


@dataclass(frozen=True)
class BeforeRewind:
    """Books that stand on a fork, and the chain that took its place.

    Parameters
    ----------
    books
        An SQLite file of the mirror, as it was before.
    expected
        What a new mirror of the chain holds.
    """

    on: Stage
    scenario: Scenario
    books: Path
    expected: Dump

    def differs(self) -> bool:
        """Let a mirror take back what is gone, and say whether it breaks down or holds anything else."""
        file = self.on.folder / "rewound.db"
        shutil.copyfile(self.books, file)
        chain, history = self.on.chain, self.scenario.history
        finality = self.scenario.plan.finality
        db = Database(f"sqlite:///{file}")
        try:
            Indexer(db, chain.client, chain.deployment, finality).run_until("head")
            final_max = history.highest - FINAL_BELOW_HEAD[finality]
            return bool(history.record.differences(db, final_max)) or dump(db) != self.expected
        except Exception:  # a mirror that breaks down is noticed as well
            return True
        finally:
            db.close()


@contextmanager
def before_rewind(on: Stage, before: Sequence[Step], after: Step) -> Iterator[BeforeRewind]:
    """Play some steps, keep the books, let the chain go another way, and leave the stage as it was after."""
    client = on.chain.client
    snapshot, record = client.request("evm_snapshot"), on.record.fork()
    plan = Plan(1, tuple(before))
    try:
        with FaultyNode(on.chain.rpc_url, random.Random(plan.seed)) as proxy:
            scenario = Scenario(on, plan, record, proxy)
            try:
                for step in plan.steps:
                    scenario.step(step)
            finally:
                scenario.end()
            books = on.folder / "before.db"
            shutil.copyfile(on.folder / "mirror.db", books)
            scenario.step(after)
            expected = fresh(on.template, on.folder, on.chain, plan.finality)
            yield BeforeRewind(on, scenario, books, expected)
    finally:
        record.close()
        go_back(client, snapshot)
