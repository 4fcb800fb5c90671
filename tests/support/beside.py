"""Other books on the same contracts: another installation, with plants, market, operator and jobs of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from ledger.chain.keys.signers import anvil_address
from ledger.db import Database
from ledger.errors import TruetonneError
from ledger.jobs.released import submit_released
from ledger.models import ChainIntent, VppSettlementBatch, VppTradingRecord
from ledger.models.sending import UNDER_WAY
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settings.settling import SettlementPolicy
from ledger.settlement.batches import plan_round, submit_planned
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.pending import Scope
from ledger.sites import apply_site
from tests.support.chain import PARTIES, TestChain
from tests.support.park import TRADING, AfterMining, Park, open_chain
from tests.support.plant import SITE

PLANT, MARKET, OPERATOR = "verifier", "pauser", "registrar"
"""Who else is there and has no money in escrow; whose keys are Anvil's numbers 3, 8 and 1."""
PAID_IN = 1_000_000


def open_beside(
    node: TestChain, template: Path, folder: Path, policy: SettlementPolicy, finality: int
) -> Park:
    """Open new books with a plant and a market, the operator of which has another account."""
    file = folder / "walk.db.beside"
    shutil.copyfile(template, file)
    db = Database(f"sqlite:///{file}")
    accounts = node.deployment.accounts | {"operator": PARTIES[OPERATOR]}
    theirs = replace(node, deployment=replace(node.deployment, accounts=accounts))
    site = TRADING.replace("anvil:4", "anvil:3").replace("anvil:6", "anvil:8")
    with db.write() as session:
        apply_site(
            session,
            SITE + site,
            resolve_account=lambda text: anvil_address(int(text.removeprefix("anvil:"))),
        )
    return _park(db, theirs, folder, policy, finality)


def opened(park: Park, finality: int) -> Park:
    """Open their books again, as processes do that begin."""
    return _park(park.db, park.node, park.folder, park.chain.settling, finality)


def _park(
    db: Database, node: TestChain, folder: Path, policy: SettlementPolicy, finality: int
) -> Park:
    chain = open_chain(db, node, settling=policy, finality=finality)
    return Park(db, node, chain, AfterMining(db, node.client, node.deployment, finality), folder)


def trade(park: Park, chance: Random, hour: int) -> int:
    """Import trades of energy, in hours of their own; return how many."""
    rows = [
        (chance.choice(("sell", "buy")), chance.randint(1, 3000), chance.randint(1, 90_000))
        for _ in range(chance.randint(1, 3))
    ]
    return park.trade(*rows, hour=hour).new


def work(park: Park) -> list[str]:
    """Run the jobs once; return what was refused."""
    chain = park.chain
    park.mirror.run_until("head")
    steps: tuple[Callable[[], object], ...] = (
        chain.sender.recheck_final,
        chain.sender.tend,
        lambda: submit_released(chain),
        lambda: plan_round(chain, Scope()),
        lambda: submit_planned(chain),
        lambda: finalize_due(chain),
    )
    refused = []
    for step in steps:
        try:
            step()
        except TruetonneError as error:
            refused.append(error.message[:150])
    return refused


def left_of(park: Park) -> list[str]:
    """Return what is not at its end."""
    open_ = (BatchState.PLANNED, BatchState.PROPOSED)
    left = [
        f"{row.kind} {row.key[:10]} is {row.state.value} ({row.alarm or 'without a reason'})"
        for row in park.rows(ChainIntent)
        if row.state in UNDER_WAY
    ]
    left += [
        f"trade {row.id} is pending"
        for row in park.rows(VppTradingRecord)
        if row.status is TradeStatus.PENDING
    ]
    left += [
        f"batch {row.batch_key[:10]} is {row.state.value}"
        for row in park.rows(VppSettlementBatch)
        if row.state in open_
    ]
    return [f"beside: {each}" for each in left]


def owed_to_plant(park: Park) -> int:
    """Return what the executed trades come to for the plant, in cents: half a cent is rounded away from nought."""
    total = 0
    for row in park.rows(VppTradingRecord):
        if row.status is TradeStatus.EXECUTED:
            product = int(row.quantity * 1000) * int(row.price * 10_000)
            cents = (product * 2 + 100_000) // 200_000
            total += cents if row.trade_type.value == "sell" else -cents
    return total
