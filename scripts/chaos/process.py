"""The product as one process of it: jobs, sender and mirror of its own, which may end at any boundary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from indexer import Indexer
from ledger import issuance
from ledger.chain.contracts.events import CREDIT
from ledger.errors import TruetonneError
from ledger.holdings import (
    cancellation_call,
    details_of,
    holding_of,
    plan_call,
    plan_once,
    retirement_call,
    transfer_call,
)
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.serials import Act
from ledger.settings import load_settings
from ledger.settings.settling import SettlementPolicy, Way
from scripts.chaos.model import Deed, Model
from scripts.chaos.rows import days_planned
from scripts.chaos.stage import Stage
from scripts.chaos.watch import Watch, WatchedBooks, watched_client
from tests.support.chain import PARTIES
from tests.support.park import PROJECT, Park, open_chain
from tests.support.sending import Crash

if TYPE_CHECKING:
    from scripts.chaos.plans import Plan

log = logging.getLogger(__name__)
REPLACE_SECONDS = 0
MAX_FEE_GWEI = 200


class Process:
    """What a person or the scheduler starts.

    ``said`` counts the reasons with which the product ended a step: each is an error of its own with a code; any
    other exception is a defect, and passes.
    """

    def __init__(self, on: Stage, plan: Plan, url: str, watch: Watch) -> None:
        self._on, self._plan, self._url, self._watch = on, plan, url, watch
        self.said: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.trouble: TruetonneError | None = None
        self.full = 0
        """How often the disk was full."""
        self.park = self._opened()

    def _opened(self) -> Park:
        node = self._on.node
        db = WatchedBooks(self._url, self._watch)
        client = watched_client(node.client.rpc_url, self._watch)
        chain = open_chain(
            db,
            node,
            client,
            max_fee_gwei=MAX_FEE_GWEI,
            replace_seconds=REPLACE_SECONDS,
            finality=self._plan.finality,
            settling=self._policy,
        )
        mirror = Indexer(db, client, node.deployment, self._plan.finality)
        return Park(db, node, chain, mirror, self._on.folder / "play")

    @property
    def _policy(self) -> SettlementPolicy:
        way = Way.AUTO if self._plan.cosigned else Way.PROPOSED
        return SettlementPolicy(way, netting_hours=self._plan.netting_hours)

    def reopen(self) -> None:
        """End this process, and start another."""
        self.close()
        self.park = self._opened()

    def close(self) -> None:
        """Close books and connections."""
        self.park.chain.client.close()
        self.park.db.close()

    def do(self, step: Callable[[], object]) -> bool:
        """Do one step as a process does; say whether it went through."""
        try:
            step()
            return True
        except Crash as crash:
            self.crashes[str(crash)] += 1
            self.reopen()
        except TruetonneError as error:
            self.said[error.code] += 1
            self.trouble = error
            self.full += "disk is full" in error.message
        return False

    # ------------------------------------------------------------------------ the steps

    def read(self) -> None:
        """Mirror up to the head."""
        self.park.mirror.run_until("head")

    def jobs(self) -> list[Callable[[], object]]:
        """Return what the scheduler runs, in its order."""
        return [
            lambda: work.settle(self.tools),
            lambda: work.finalise(self.tools),
            lambda: work.send(self.tools),
        ]

    @property
    def tools(self) -> Tools:
        """What jobs work with."""
        return Tools(self.park.chain, load_settings(None, {}))

    def issue(self, model: Model) -> None:
        """Issue every day that was asked for and is not planned yet, and send what is."""
        chain = self.park.chain
        issuance.submit_planned(chain, PROJECT)
        for number in range(days_planned(self.park), model.days):
            start = model.day(number)
            issuance.plan_issuance(chain, PROJECT, start, start + timedelta(1))
            issuance.submit_planned(chain, PROJECT)

    def ask_for(self, deed: Deed) -> None:
        """Ask for an act with credits, as the command does: again under the same name is no second one."""
        chain, owner = self.park.chain, PARTIES["owner"]
        deed.asked = True
        name = deed.name if deed.named else None
        with self.park.db.read() as session:
            text = str(self._on.batch_id)
            holding = holding_of(session, chain, text, deed.kg, owner, Act(deed.kind), name)
        if deed.kind == "transfer":
            call = transfer_call(chain, holding, PARTIES["buyer"])
        elif deed.kind == "retire":
            call = retirement_call(chain, holding, details_of("Town", "2014"))
        else:
            call = cancellation_call(chain, holding, "meter replaced")
        if not deed.named:
            chain.sender.submit_new(call)
            return
        key = plan_once(chain, lambda session: plan_call(session, chain, call))
        chain.sender.submit(key, CREDIT)
