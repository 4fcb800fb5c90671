"""The verdict: chain, books and model, to the cent and the kilogram, and every intent once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak
from sqlalchemy import select

from indexer import Indexer
from ledger.chain.contracts.wrappers import encode_call
from ledger.db import Database
from ledger.models import ChainAttempt, ChainIntent, VppTradeShortfall, VppTradingRecord
from ledger.models.sending import UNDER_WAY, IntentState
from ledger.models.trading import TradeStatus
from ledger.reconcile import reconcile
from scripts.chaos.differs import Wrong
from tests.support.chain import CURRENCY, PARTIES

if TYPE_CHECKING:
    from scripts.chaos.model import Deed
    from scripts.chaos.scenario import Scenario

TRANSFER = "0x" + keccak(text="TransferSingle(address,address,address,uint256,uint256)").hex()
ZERO = "0x" + "0" * 40


def judge(scenario: Scenario) -> None:
    """Compare everything.

    Raises
    ------
    Wrong
        With all that differs.
    """
    found = [
        *_trades_and_money(scenario),
        *_credits(scenario),
        *_intents(scenario),
        *_reconciled(scenario),
    ]
    if found:
        raise Wrong("; ".join(found))


def _equal(what: str, expected: object, found: object) -> list[str]:
    return [] if expected == found else [f"{what}: should be {expected}, is {found}"]


def _trades_and_money(scenario: Scenario) -> list[str]:
    """Each trade is executed, or failed with a reason; the escrow has what the executed ones come to."""
    park, model = scenario.process.park, scenario.model
    with park.db.read() as session:
        records = {row.trade_time: row for row in session.scalars(select(VppTradingRecord))}
        reasons = {
            row.trade_id: row.reason
            for row in session.scalars(select(VppTradeShortfall))
            if row.failed_at is not None
        }
    found = _equal("trades in the books", {sold.moment for sold in model.sold}, set(records))
    if found:
        return found
    executed = set()
    for sold in model.sold:
        row = records[sold.moment]
        if row.status is TradeStatus.EXECUTED and row.settlement_time is not None:
            executed.add(sold.number)
        elif row.status is TradeStatus.FAILED and reasons.get(row.id):
            scenario.outcome.counts["trades failed, with the reason"] += 1
        else:
            found.append(f"trade {row.id} is {row.status.value} without a reason")
    scenario.outcome.counts["trades executed"] += len(executed)
    expected = model.money(executed)
    accounts = list(expected)
    held = dict(zip(accounts, scenario.direct_settlement().balances_of(accounts), strict=True))
    found += _equal("cents in escrow", expected, held)
    custody = _number(scenario, CURRENCY, "balanceOf", [park.node.deployment.settlement.address])
    return found + _equal("cents that the contract has", sum(expected.values()), custody)


def _credits(scenario: Scenario) -> list[str]:
    """Each day is issued once, each act is done once, and each hand holds what that comes to."""
    model, node = scenario.model, scenario.on.node
    address = node.deployment.credit.address
    query = {
        "address": address,
        "fromBlock": hex(node.deployment.deployed_block),
        "topics": [TRANSFER],
    }
    issued, moved = [], Counter[tuple[str, str, int]]()
    for log in node.client.request("eth_getLogs", [query]):
        giver, taker = ("0x" + topic[-40:] for topic in log["topics"][2:4])
        kg = int(log["data"][-64:], 16)
        if giver == ZERO:
            issued.append(kg)
        else:
            moved[giver, taker, kg] += 1
    found = _equal("kilograms issued, day by day", model.issued_kg(), issued)
    owner = PARTIES["owner"]
    left = {owner: issued[0], PARTIES["buyer"]: 0}
    for deed in model.deeds:
        taker = PARTIES["buyer"] if deed.kind == "transfer" else ZERO
        times = moved.pop((owner, taker, deed.kg), 0)
        if times not in _times(scenario, deed):
            found.append(f"{deed.name}, {deed.kind} of {deed.kg} kg: happened {times} times")
        scenario.outcome.counts[f"acts, {deed.kind}"] += times
        left[owner] -= deed.kg * times
        if deed.kind == "transfer":
            left[taker] += deed.kg * times
    found += _equal("movements of credits that nobody asked for", {}, dict(moved))
    for holder, kg in left.items():
        data = "0x00fdd58e" + f"{int(holder, 16):064x}" + f"{scenario.on.batch_id:064x}"
        found += _equal(f"kilograms of {holder}", kg, int(node.client.call(address, data), 16))
    return found


def _times(scenario: Scenario, deed: Deed) -> set[int]:
    """Return how often an act may have happened: one without a name as often as the books say."""
    if deed.named:
        return {1}
    if scenario.forgetful:
        return {0, 1}
    query = select(ChainIntent).where(
        ChainIntent.kind == deed.kind, ChainIntent.state == IntentState.CONFIRMED
    )
    with scenario.process.park.db.read() as session:
        done = [
            row
            for row in session.scalars(query)
            if deed.kg == int(row.parameters["value" if deed.kind == "transfer" else "amount"])
        ]
    scenario.outcome.counts["acts without a name"] += 1
    return {len(done)} if len(done) < 2 else set()


def _intents(scenario: Scenario) -> list[str]:
    """Every intent is at its end; on chain there is one transaction for each, and no other of ours."""
    park, client = scenario.process.park, scenario.on.node.client
    with park.db.read() as session:
        intents = list(session.scalars(select(ChainIntent)))
        own: dict[str, set[str]] = {}
        for attempt in session.scalars(select(ChainAttempt)):
            own.setdefault(attempt.intent_key, set()).add(attempt.tx_hash)
    calls = _calls(scenario, {intent.sender_address for intent in intents})
    found = [
        f"the call {call[1][:10]} was made {times} times"
        for call, times in calls.items()
        if times > 1
    ]
    confirmed = Counter[tuple[str, str]]()
    for intent in intents:
        call = intent.sender_address, intent.call_data
        name = f"{intent.kind} {intent.key[:10]}"
        if intent.state in UNDER_WAY:
            found.append(f"{name} is {intent.state.value}")
        if intent.state is IntentState.FAILED and not intent.error:
            found.append(f"{name} failed without a reason")
        if intent.state is IntentState.CONFIRMED and intent.key not in scenario.known_before:
            receipt = client.receipt(str(intent.tx_hash))
            if receipt is None or receipt.status != 1:
                found.append(f"{name} is confirmed by {intent.tx_hash}, which is not on chain")
            if intent.tx_hash in own.get(intent.key, ()):
                confirmed[call] += 1  # else another transaction did what it wanted
            else:
                scenario.outcome.counts["intents that another transaction did"] += 1
    for call, times in confirmed.items():
        # Restored books may do with one call what the chain had done with another.
        if calls[call] != times and not scenario.forgetful:
            found.append(f"{times} intents are confirmed by {calls[call]} calls {call[1][:10]}")
        calls.pop(call, None)
    if not scenario.forgetful:
        found += [
            f"a transaction of ours without an intent: {call[1][:10]} of {call[0]}"
            for call in calls
        ]
    return found


def _calls(scenario: Scenario, ours: set[str]) -> Counter[tuple[str, str]]:
    """Return how often each call of ours succeeded on chain since the beginning: sender and call data."""
    client = scenario.on.node.client
    calls = Counter[tuple[str, str]]()
    for number in range(scenario.first_block, client.block_number() + 1):
        block = client.request("eth_getBlockByNumber", [hex(number), True])
        receipts = client.request("eth_getBlockReceipts", [hex(number)])
        for each, receipt in zip(block["transactions"], receipts, strict=True):
            foreign = each["hash"] in scenario.foreign or each["from"] not in ours
            if not foreign and receipt["status"] == "0x1":
                calls[each["from"], each["input"]] += 1
    return calls


def _reconciled(scenario: Scenario) -> list[str]:
    """Ask the product's own comparison, over books and a node without faults."""
    db = Database(scenario.url)
    node = scenario.on.node
    try:
        Indexer(db, node.client, node.deployment, scenario.plan.finality).run_until("head")
        report = reconcile(db, node.client, node.deployment)
    finally:
        db.close()
    return [
        f"reconcile, {rule.name}: {', '.join(rule.differences[:3])}"
        for rule in report.rules
        if not rule.ok
    ]


def _number(scenario: Scenario, contract: str, function: str, arguments: list[Any]) -> int:
    address = scenario.on.node.deployment.contracts[contract].address
    return int(
        scenario.on.node.client.call(address, encode_call(contract, function, arguments)), 16
    )
