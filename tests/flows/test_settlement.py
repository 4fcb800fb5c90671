"""Trades to money: netted, proposed, finalised, executed; once each, whoever comes when."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import delete
from sqlalchemy.orm import Session

from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.contracts.roles import role_of
from ledger.chain.node.client import ChainClient
from ledger.chain.node.transports.opening import open_transport
from ledger.chain.sending import intents
from ledger.chain.sending.marks import mark_of
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, Refused
from ledger.models import (
    ChainIntent,
    SettlementBalance,
    VppSettlementAccount,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.settlement import confirm, escrow, netting, pending, planning, singles
from ledger.settlement.batches import plan_batches, submit_planned
from ledger.settlement.calls import FINALIZE
from ledger.settlement.cancel import plan_cancellation
from ledger.settlement.explain import story_of
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.money import currency_symbol
from ledger.settlement.pending import Scope
from ledger.settlement.words import Trade
from tests.support import acts, ticks
from tests.support.chain import (
    BOND_CENTS,
    CURRENCY,
    OPERATOR_ROLE,
    PARTIES,
    deploy_settlement,
    send,
    trade,
)
from tests.support.forms import few, long
from tests.support.park import (
    MARKET,
    PROPOSED,
    AfterMining,
    Park,
    keys_without,
    open_chain,
    running_park,
    states,
    statuses,
)
from tests.support.sending import Crash, automine, drop, opened
from tests.support.solidity import compiled

SHORT_ON_MARIADB = (
    "test_from_trades_to_money",
    "test_a_trade_is_planned_once_while_another_plans",
    "test_many_plan_and_submit_at_once",
)

PLANT, BUYER = PARTIES["owner"], PARTIES["market"]
# Of a kWh: 2.00, 0.05 at a price below zero, 1.00 bought.
TRADES = (("sell", 1000, 20_000), ("sell", 1000, -500), ("buy", 2000, 5_000))


@pytest.fixture
def funded(park: Park) -> Park:
    park.fund(BUYER, 100_00)
    return park


def balances(park: Park) -> dict[str, int]:
    """Return the mirrored escrow in cents (the test currency has two decimals), as the chain has it."""
    found = {row.account: int(row.balance) for row in park.rows(SettlementBalance)}
    accounts = list(found)
    assert park.chain.settlement.balances_of(accounts) == list(found.values())
    return found


def settle(park: Park) -> None:
    """Bring everything that is pending to its end."""
    plan_batches(park.chain)
    submit_planned(park.chain)
    for _ in range(6):
        park.mirror.run_until("head")
        park.node.pass_window()
        finalize_due(park.chain)
    park.mirror_final()


# ------------------------------------------------------------------------ the long way


def test_from_trades_to_money(both: Park) -> None:
    both.fund(BUYER, 100_00)
    both.trade(*TRADES)
    (planned,) = plan_batches(both.chain)
    # The plant sells for 2.00, pays 0.05 for the one below zero, and buys for 1.00.
    assert planned.nets == {PLANT: 95, BUYER: -95}
    assert (planned.market, planned.trades) == (MARKET, 3)
    (batch,) = both.rows(VppSettlementBatch)
    assert (batch.nets, batch.accounts) == (["95", "-95"], sorted([PLANT, BUYER]))
    assert both.intent(planned.key).state is IntentState.PLANNED
    assert [item.trade_id for item in both.rows(VppSettlementItem)] == [1, 2, 3]
    assert states(both) == ["planned"]

    submit_planned(both.chain)
    assert states(both) == ["planned"]  # sent, and only the mirror says more
    both.mirror.run_until("head")
    (batch,) = both.rows(VppSettlementBatch)
    assert (batch.state.value, batch.chain_batch_id) == ("proposed", 1)
    assert both.chain.settlement.trades_root_of(1) == batch.trades_root
    assert balances(both) == {BUYER: 100_00 - 95}

    assert finalize_due(both.chain) == []  # its window is open
    both.node.pass_window()
    assert len(finalize_due(both.chain)) == 1
    assert finalize_due(both.chain) == []
    both.mirror.run_until("head")
    assert (states(both), statuses(both)) == (["finalized"], ["pending"] * 3)
    assert balances(both) == {PLANT: 95, BUYER: 100_00 - 95}

    both.mirror_final()
    assert statuses(both) == ["executed"] * 3
    (batch,) = both.rows(VppSettlementBatch)
    block = both.node.client.block(batch.finalized_block)
    assert block is not None
    times = {row.settlement_time for row in both.rows(VppTradingRecord)}
    assert times == {datetime.fromtimestamp(block.timestamp, UTC)}
    taken = [int(both.node.ask(SETTLEMENT, "isSettled", [seq]), 16) for seq in (1, 2, 3, 4)]
    assert taken == [1, 1, 1, 0]
    assert plan_batches(both.chain) == []
    both.node.reorganise(1)  # what is below stays as it is
    assert both.mirror.run_until("head").tip == both.node.height()
    assert (states(both), statuses(both)) == (["finalized"], ["executed"] * 3)


SIX_DECIMALS = """
pragma solidity ^0.8.28;
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
contract Fine is ERC20("Fine", "FNE") {
    function mint(address to, uint256 amount) external { _mint(to, amount); }
    function decimals() public pure override returns (uint8) { return 6; }
}
"""


def with_six_decimals(park: Park) -> Park:
    """Return the park with another settlement, whose cent is 10,000 units of the currency."""
    node, known = park.node, park.node.deployment
    code = compiled(SIX_DECIMALS, "Fine")
    currency = replace(known.contracts[CURRENCY], code_hash="0x" + keccak(hexstr=code).hex())
    node.client.request("anvil_setCode", [currency.address, code])
    settlement = deploy_settlement(node.client, currency.address, known.credit.address)
    changed = {CURRENCY: currency, SETTLEMENT: settlement}
    deployment = replace(known, contracts={**known.contracts, **changed})
    node = replace(node, deployment=deployment)
    node.grant(SETTLEMENT)
    mirror = AfterMining(park.db, node.client, deployment)
    return Park(park.db, node, open_chain(park.db, node), mirror, park.folder)


@long
@pytest.mark.unmirrored
def test_in_a_currency_of_six_decimals_a_cent_is_ten_thousand_units(park: Park) -> None:
    fine = with_six_decimals(park)
    fine.node.act("admin", SETTLEMENT, "setFee", [100, PARTIES["admin"]])  # one in a hundred
    fine.node.later(acts.WEEK_S)
    fine.fund(BUYER, 10_00)
    fine.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    of_others = trade(9_000, "market", "owner", 1000, 10_000)
    acts.settle_one(fine.node, of_others, sender="spare")
    fine.mirror.run_until("head")
    fine.propose(("sell", 1000, 20_000))
    acts.dispute(fine.node, "market", 1, trade(1, "market", "owner", 1000, 20_000))
    fine.mirror.run_until("head")
    acts.reject_dispute(fine.node, 1)
    fine.pass_window()
    assert len(finalize_due(fine.chain)) == 1
    fine.mirror_final()
    fine.trade(("sell", 1000, 30_000), ("sell", 1000, 60_000), hour=1)
    key = fine.db.run(lambda session: singles.plan_single(session, fine.chain, 2))
    fine.chain.sender.submit(key, SETTLEMENT)
    fine.mirror_final()
    assert plan_batches(fine.chain) == []  # 6.00 are more than what is left
    (short,) = fine.rows(VppTradeShortfall)
    assert (short.trade_id, short.held) == (3, 3_80)
    assert statuses(fine) == ["executed", "executed", "pending"]
    escrow.withdraw(fine.chain, PLANT, PLANT, 1_00)
    fine.mirror_final()
    assert balances(fine) == {
        PLANT: (99 + 1_98 + 2_97 - 1_00) * 10_000,
        BUYER: (10_00 - 1_00 - 2_00 - 3_00 - BOND_CENTS) * 10_000,
        PARTIES["admin"]: (1 + 2 + 3 + BOND_CENTS) * 10_000,
    }
    assert fine.differences() == []


def test_a_currency_that_states_no_symbol_is_told_by_its_address(park: Park) -> None:
    currency = park.chain.settlement.currency()
    assert currency_symbol(park.chain) != currency
    for code in (
        "0x60006000fd",  # refuses
        "0x60ff60005260206000f3",  # answers with a number
        "0x602060005260406000f3",  # with no text
    ):
        park.node.client.request("anvil_setCode", [currency, code])
        assert currency_symbol(park.chain) == currency
    # 32 letters x: of what is long the beginning.
    many = "60206000526020602052" + "7f" + "78" * 32 + "60405260606000f3"
    park.node.client.request("anvil_setCode", [currency, f"0x{many}"])
    assert currency_symbol(park.chain) == "x" * 20


@long
def test_negative_prices_are_paid_by_the_seller(park: Park) -> None:
    park.fund(PLANT, 50_00)
    park.trade(("sell", 100_000, -1_000), ("buy", 1, -50_000))
    # 100 kWh at -0.1: the plant pays 10.00. 0.001 kWh bought at -5: half a cent to it, rounded to one.
    (planned,) = plan_batches(park.chain)
    assert planned.nets == {PLANT: -999, BUYER: 999}
    settle(park)
    assert statuses(park) == ["executed", "executed"]
    assert balances(park) == {PLANT: 40_01, BUYER: 9_99}


@long
def test_every_step_in_a_process_of_its_own(funded: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    funded.trade(*TRADES)
    crashes = []

    def crash(self: ChainClient, raw: str) -> str:
        crashes.append(raw)
        raise KeyboardInterrupt

    def step(work: Callable[[Park], object], *, crashing: bool = False) -> None:
        park = funded.again()
        try:
            if crashing:
                with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                    patch.setattr(ChainClient, "send_raw", crash)
                    work(park)
            else:
                work(park)
        finally:
            park.chain.close()
            park.db.close()

    def mirror(park: Park) -> None:
        park.mirror.run_until("head")

    step(lambda park: plan_batches(park.chain))
    step(lambda park: submit_planned(park.chain), crashing=True)
    step(mirror)
    assert states(funded) == ["planned"]
    step(lambda park: submit_planned(park.chain))
    step(lambda park: submit_planned(park.chain))
    step(mirror)
    assert states(funded) == ["proposed"]
    funded.node.pass_window()
    step(lambda park: finalize_due(park.chain), crashing=True)
    step(lambda park: finalize_due(park.chain))  # it is sent again, not signed again
    step(lambda park: park.chain.sender.rebroadcast())
    step(mirror)
    step(lambda park: park.mirror_final())
    assert len(crashes) == 2
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)
    assert funded.node.client.transaction_count(PARTIES["operator"]) == 2
    assert balances(funded) == {PLANT: 95, BUYER: 100_00 - 95}


@long
def test_many_trades_are_many_batches_in_order(
    funded: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netting, "TRADES_PER_BATCH_MAX", 2)
    funded.trade(*[("sell", 1000, 10_000)] * 5)
    planned = plan_batches(funded.chain)
    assert [item.trades for item in planned] == [2, 2, 1]
    submit_planned(funded.chain)
    settle(funded)
    assert (states(funded), statuses(funded)) == (["finalized"] * 3, ["executed"] * 5)
    assert [row.chain_batch_id for row in funded.rows(VppSettlementBatch)] == [1, 2, 3]
    assert balances(funded) == {PLANT: 5_00, BUYER: 95_00}
    for item in planned:  # books that forgot the sending would find each by its own key
        with funded.db.read() as session:
            intent = session.get_one(ChainIntent, item.key)
            mark = mark_of(session, intent)
            assert mark is not None and mark.tx_hash == intent.tx_hash


def test_a_proposal_takes_no_more_accounts_than_the_contract() -> None:
    trades = [Trade(n, f"0x{n:040x}", "0x" + "ff" * 20, 1, 1) for n in range(1, 402)]
    parts = list(netting.parts(trades))
    assert [len(part) for part in parts] == [199, 199, 3]
    assert [trade for part in parts for trade in part] == trades
    same = [replace(trades[0], seq=n) for n in range(1, 1202)]
    assert [len(part) for part in netting.parts(same)] == [1000, 201]
    assert list(netting.parts([])) == []


# ---------------------------------------------------------------------------- refusals


@long
def test_a_debtor_without_funds(both: Park) -> None:
    both.trade(*TRADES)
    assert plan_batches(both.chain) == []
    assert [row.account for row in both.rows(VppTradeShortfall)] == [BUYER] * 3
    assert statuses(both) == ["pending"] * 3
    both.fund(BUYER, 95)
    (planned,) = plan_batches(both.chain)
    assert both.count(VppTradeShortfall) == 0
    escrow.withdraw(both.chain, BUYER, BUYER, 95)
    assert submit_planned(both.chain) == []
    (batch,) = both.rows(VppSettlementBatch)
    assert batch.state.value == "failed"
    assert f"InsufficientBalance(account={BUYER}, asset=0, balance=0, needed=95)" in (
        batch.error or ""
    )
    assert both.count(VppSettlementItem) == 0
    assert statuses(both) == ["pending"] * 3
    assert both.intent(planned.key).state is IntentState.FAILED
    both.fund(BUYER, 95)
    settle(both)
    assert (states(both), statuses(both)) == (["failed", "finalized"], ["executed"] * 3)
    assert balances(both) == {PLANT: 95}


@long
def test_what_runs_all_day_does_not_fill_the_books_with_refusals(funded: Park) -> None:
    funded.node.act("pauser", SETTLEMENT, "pause", [])
    funded.trade(*TRADES)
    ticks.settle(funded.chain)
    for _ in range(5):  # and as long as its trades wait, the job says why
        with pytest.raises(
            Refused,
            match=r"^3 pending trades of day-ahead wait until .* is paused\. .*EnforcedPause",
        ):
            ticks.settle(funded.chain)
    assert states(funded) == ["failed"]
    with funded.db.write() as session:
        session.get_one(VppSettlementBatch, 1).updated_at = datetime.now(UTC) - timedelta(
            minutes=11
        )
    ticks.settle(funded.chain)
    assert states(funded) == ["failed", "failed"]
    assert len(plan_batches(funded.chain)) == 1  # a person is not made to wait


@long
def test_what_was_planned_is_sent_by_the_account_that_the_role_moved_to(funded: Park) -> None:
    """The former account's key is lost: what it was to send waited for it for ever."""
    funded.trade(*TRADES)
    plan_batches(funded.chain)
    role, _ = role_of("OPERATOR_ROLE", 1)
    former, spare = PARTIES["operator"], PARTIES["spare"]
    funded.node.act("admin", SETTLEMENT, "revokeRole", [role, former])
    funded.node.act("admin", SETTLEMENT, "grantRole", [role, spare])
    file = funded.node.deployment
    funded.node.deployment = replace(file, accounts={**file.accounts, "operator": spare})
    door = opened(funded, settling=PROPOSED, keyring=keys_without(former))
    assert len(submit_planned(door.chain)) == 1
    door.mirror_final()
    (batch,) = door.rows(VppSettlementBatch)
    assert door.intent(batch.batch_key).sender_address == spare
    door.node.pass_window()
    assert len(finalize_due(door.chain)) == 1
    door.mirror_final()
    assert statuses(door) == ["executed"] * 3


@long
def test_a_pause_leaves_no_refused_finalisation_of_each_round(funded: Park) -> None:
    """The job asks every ten seconds, and a pause may last for weeks."""
    funded.trade(*TRADES)
    plan_batches(funded.chain)
    submit_planned(funded.chain)
    funded.mirror_final()
    funded.node.pass_window()
    funded.node.act("pauser", SETTLEMENT, "pause", [])
    before = funded.count(ChainIntent)
    said = (
        r"^batches whose window is over wait to be finalised: The contract is paused\. Wait until .* "
        r"\(VppSettlement refuses finalizeBatch: EnforcedPause\(\)\)$"
    )
    for _ in range(3):
        with pytest.raises(Refused, match=said):
            finalize_due(funded.chain)
    assert funded.count(ChainIntent) == before
    funded.node.act("admin", SETTLEMENT, "unpause", [])
    assert len(finalize_due(funded.chain)) == 1
    funded.mirror_final()
    assert (finalize_due(funded.chain), statuses(funded)) == ([], ["executed"] * 3)


@long
def test_a_refused_step_keeps_no_later_one_from_its_work(funded: Park) -> None:
    funded.propose(*TRADES)
    funded.node.pass_window()
    funded.trade(("sell", 1, 1), hour=50)
    with funded.db.write() as session:
        session.execute(delete(VppSettlementAccount).where(VppSettlementAccount.market == MARKET))
    with pytest.raises(Refused, match="no settlement account"):
        ticks.settle(funded.chain)
    funded.mirror_final()
    assert statuses(funded) == ["executed"] * 3 + ["pending"]


@long
def test_a_proposal_that_fails_in_a_block_frees_its_trades(funded: Park) -> None:
    funded.trade(*TRADES)
    client = funded.node.client
    client.request("evm_setAutomine", [False])
    plan_batches(funded.chain)
    (tx_hash,) = submit_planned(funded.chain)
    client.request("anvil_dropAllTransactions")
    client.request("evm_setAutomine", [True])
    funded.node.act("pauser", SETTLEMENT, "pause", [])
    funded.chain.sender.rebroadcast()
    funded.mirror_final()
    receipt = client.receipt(tx_hash)
    assert receipt is not None and receipt.status == 0
    (batch,) = funded.rows(VppSettlementBatch)
    assert (batch.state.value, batch.error) == ("failed", "EnforcedPause()")
    assert funded.intent(batch.batch_key).error == "EnforcedPause()"
    assert funded.count(VppSettlementItem) == 0
    funded.node.act("admin", SETTLEMENT, "unpause", [])
    settle(funded)
    assert statuses(funded) == ["executed"] * 3


def cancel_on_chain(park: Park) -> None:
    """Cancel the only batch, past these books."""
    (batch,) = park.rows(VppSettlementBatch)
    words = [int(item.word, 16) for item in park.rows(VppSettlementItem)]
    outcome = batch.accounts, [int(net) for net in batch.nets], []
    park.node.act("admin", SETTLEMENT, "cancelBatch", [1, outcome, words, "wrong day"])


@long
def test_a_batch_that_was_cancelled(funded: Park) -> None:
    funded.propose(*TRADES)
    funded.node.pass_window()
    cancel_on_chain(funded)
    assert [finalize_due(funded.chain) for _ in range(3)] == [[]] * 3
    assert not any(row.kind == FINALIZE for row in funded.rows(ChainIntent))  # nor a refused call
    funded.mirror.run_until("head")
    assert (states(funded), statuses(funded)) == (["cancelled"], ["pending"] * 3)
    assert plan_batches(funded.chain) == []
    funded.mirror_final()
    assert statuses(funded) == ["cancelled"] * 3
    assert {row.settlement_time for row in funded.rows(VppTradingRecord)} == {None}
    assert balances(funded) == {BUYER: 100_00}


@long
@few(1)
@pytest.mark.parametrize("how", ["cancelled", "finalised"])
def test_a_call_that_was_never_sent_ends_with_its_batch(
    funded: Park, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whoever planned it was killed: it stood for ever as not sent yet, and its command was refused."""
    funded.propose(*TRADES)
    (batch,) = funded.rows(VppSettlementBatch)
    funded.node.pass_window()

    def killed(key: str, contract: str) -> str:
        raise Crash

    if how == "cancelled":
        with monkeypatch.context() as patched, pytest.raises(Crash):
            patched.setattr(funded.chain.sender, "submit", killed)
            finalize_due(funded.chain)
        cancel_on_chain(funded)
    else:
        funded.db.run(
            lambda session: plan_cancellation(session, funded.chain, batch.batch_key, "a slip")
        )
        assert len(finalize_due(funded.chain)) == 1
    (left,) = [row for row in funded.rows(ChainIntent) if row.state is IntentState.PLANNED]
    funded.mirror.run_until("head")
    assert finalize_due(funded.chain) == []
    assert funded.intent(left.key).state is IntentState.PLANNED  # a fork may open the batch again
    funded.mirror_final()
    assert finalize_due(funded.chain) == []
    ended = funded.intent(left.key)
    said = "finalized" if how == "finalised" else how
    assert ended.state is IntentState.FAILED
    assert ended.error == f"not sent: batch {batch.batch_key} is {said}"
    assert funded.differences() == []


@long
def test_a_batch_that_is_cancelled_in_the_middle_of_a_round(
    funded: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract says so to the call that is under way, once; the next rounds wait for the mirror."""
    funded.propose(*TRADES)
    funded.node.pass_window()
    submit = funded.chain.sender.submit

    def overtaken(key: str, contract: str) -> str:
        cancel_on_chain(funded)
        return submit(key, contract)

    monkeypatch.setattr(funded.chain.sender, "submit", overtaken)
    assert [finalize_due(funded.chain) for _ in range(3)] == [[]] * 3
    calls = [row for row in funded.rows(ChainIntent) if row.kind == FINALIZE]
    assert [row.state for row in calls] == [IntentState.FAILED]
    assert [row.finalize_key for row in funded.rows(VppSettlementBatch)] == [None]
    monkeypatch.undo()
    funded.mirror_final()
    assert statuses(funded) == ["cancelled"] * 3


@long
@long
def test_a_finalisation_that_the_books_forgot_to_have_sent_is_no_trouble(
    funded: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    funded.propose(*TRADES)
    funded.mirror_final()
    funded.node.pass_window()

    def crash(key: str, contract: str) -> str:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(funded.chain.sender, "submit", crash)
        finalize_due(funded.chain)
    (intent,) = (row for row in funded.rows(ChainIntent) if row.kind == FINALIZE)
    sent = send(funded.node.client, PARTIES["operator"], intent.contract_address, intent.call_data)
    assert sent.status == 1
    assert finalize_due(funded.chain) == []  # the mirror has not read it
    assert funded.intent(intent.key).state is IntentState.PLANNED
    funded.mirror_final()
    assert funded.intent(intent.key).state is IntentState.CONFIRMED
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)
    assert funded.differences() == []


def test_somebody_else_finalises(funded: Park) -> None:
    funded.propose(*TRADES)
    funded.node.pass_window()
    (batch,) = funded.rows(VppSettlementBatch)
    nets = [int(net) for net in batch.nets]
    funded.node.act("spare", SETTLEMENT, "finalizeBatch", [1, (batch.accounts, nets, [])])
    assert finalize_due(funded.chain) == []  # no trouble, though the books do not know it yet
    assert funded.node.client.transaction_count(PARTIES["operator"]) == 1
    funded.mirror_final()
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)


@long
def test_the_creditor_takes_the_money_out_before_the_mirror_looks(funded: Park) -> None:
    """What comes in and goes out again in one look leaves no balance to write; the batch has ended all the same."""
    funded.propose(("sell", 1000, 20_000))
    funded.node.pass_window()
    assert len(finalize_due(funded.chain)) == 1
    funded.node.withdraw("owner", 2_00)
    funded.mirror_final()
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"])
    assert balances(funded) == {BUYER: 98_00}


@long
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_ours_fails_in_a_block_and_somebody_else_finalises(funded: Park, first: str) -> None:
    """What was wanted is done, by theirs; our transaction failed, at the time of its own block."""
    funded.propose(*TRADES)
    funded.node.pass_window()
    client, node = funded.node.client, funded.node
    client.request("evm_setAutomine", [False])
    (tx_hash,) = finalize_due(funded.chain)
    client.request("anvil_dropAllTransactions")
    client.request("evm_setAutomine", [True])
    (batch,) = funded.rows(VppSettlementBatch)
    outcome = [1, (batch.accounts, [int(net) for net in batch.nets], [])]
    if first == "ours":
        node.act("pauser", SETTLEMENT, "pause", [])
        funded.chain.sender.rebroadcast()
        node.act("admin", SETTLEMENT, "unpause", [])
        node.later(10)
        node.act("spare", SETTLEMENT, "finalizeBatch", outcome)
    else:
        node.act("spare", SETTLEMENT, "finalizeBatch", outcome)
        node.later(10)
        funded.chain.sender.rebroadcast()
    funded.mirror_final()
    receipt = client.receipt(tx_hash)
    assert receipt is not None and receipt.status == 0
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)
    (batch,) = funded.rows(VppSettlementBatch)
    intent = funded.intent(batch.finalize_key or "")
    assert intent.state is IntentState.CONFIRMED
    assert intent.tx_hash != tx_hash
    assert funded.differences() == []


@long
def test_a_window_that_the_chain_finds_open(funded: Park) -> None:
    funded.propose(*TRADES)
    with funded.db.write() as session:  # a clock that runs ahead
        session.get_one(VppSettlementBatch, 1).finalizable_at = datetime(2000, 1, 1, tzinfo=UTC)
    funded.node.client.request("evm_setAutomine", [False])
    assert finalize_due(funded.chain) == []
    assert funded.rows(VppSettlementBatch)[0].finalize_key is None
    funded.node.client.request("evm_setAutomine", [True])
    funded.node.pass_window()
    assert len(finalize_due(funded.chain)) == 1


# ------------------------------------------------------------------------ many at once


def test_a_trade_is_planned_once_while_another_plans(both: Park) -> None:
    both.fund(BUYER, 100_00)
    both.trade(*TRADES)
    other = both.again()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(plan_batches(other.chain)))
    funds = planning.read_funds(both.chain)
    with both.db.write() as session:
        first = planning.plan(session, both.chain, funds, Scope()).batches
        thread.start()
        thread.join(0.4)
    thread.join()
    assert (len(first), found) == (1, [[]])
    assert both.count(VppSettlementItem) == 3
    other.db.close()


@long
@pytest.mark.mariadb
def test_a_plan_that_saw_old_rows_looks_again(
    mariadb_db: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its first look and its choice of trades, another process plans all of them."""
    with running_park(mariadb_db, tmp_path) as park:
        park.fund(BUYER, 100_00)
        park.trade(*TRADES)
        other = park.again()
        honest = pending.free_trades
        planned_by_other: list[Any] = []

        def overtaken(session: Session, chain: Any, **how: Any) -> Any:
            if not planned_by_other:
                planned_by_other.append(None)
                planned_by_other[0] = plan_batches(other.chain)
            return honest(session, chain, **how)

        monkeypatch.setattr(pending, "free_trades", overtaken)
        assert plan_batches(park.chain) == []
        assert len(planned_by_other[0]) == 1
        assert park.count(VppSettlementItem) == 3
        assert park.count(VppSettlementBatch) == 1
        other.db.close()


@long
def test_many_plan_and_submit_at_once(both: Park) -> None:
    both.fund(BUYER, 100_00)
    both.trade(*[("sell", 1000, 10_000)] * 12)
    doors = [both.again() for _ in range(3)]
    gate = threading.Barrier(3)
    troubles: list[Exception] = []

    def run(park: Park) -> None:
        gate.wait()
        try:
            plan_batches(park.chain)
            submit_planned(park.chain)
        except Exception as error:
            troubles.append(error)

    threads = [threading.Thread(target=run, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    settle(both)
    assert statuses(both) == ["executed"] * 12
    assert "failed" not in states(both)
    assert balances(both) == {PLANT: 12_00, BUYER: 88_00}
    for door in doors:
        door.db.close()


def test_a_call_that_is_asked_for_again_is_the_one_that_was_sent(funded: Park) -> None:
    """Tried anew, the contract would refuse it for what it has done itself."""
    funded.trade(*TRADES)
    (planned,) = plan_batches(funded.chain)
    (sent,) = submit_planned(funded.chain)
    funded.db.run(lambda session: intents.set_alarm(session, planned.key, "its fee is low"))
    with funded.db.read() as session:  # nor is it to be taken back
        assert story_of(session, planned.key).to_do.startswith("see truetonne chain intents")
    for _ in range(2):
        assert funded.chain.sender.submit(planned.key, SETTLEMENT) == sent
        funded.mirror_final()


# ------------------------------------------------------------- forks and restored books


def test_a_fork_takes_executed_trades_back(funded: Park) -> None:
    funded.mirror = AfterMining(funded.db, funded.node.client, funded.node.deployment, 0)
    funded.trade(*TRADES)
    settle(funded)
    assert statuses(funded) == ["executed"] * 3
    (batch,) = funded.rows(VppSettlementBatch)
    head = funded.node.height()

    funded.node.roll_back(head - batch.finalized_block + 1)
    funded.node.mine(head - batch.finalized_block + 2)
    funded.mirror.run_until("head")
    assert (states(funded), statuses(funded)) == (["proposed"], ["pending"] * 3)
    assert {row.settlement_time for row in funded.rows(VppTradingRecord)} == {None}
    assert plan_batches(funded.chain) == []  # it still stands in a live batch
    assert balances(funded) == {BUYER: 100_00 - 95}
    funded.chain.sender.rebroadcast()
    funded.node.mine(1)
    funded.mirror.run_until("head")
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)

    head = funded.node.height()
    funded.node.roll_back(head - batch.proposed_block + 1)
    funded.node.mine(head - batch.proposed_block + 2)
    funded.mirror.run_until("head")
    assert (states(funded), statuses(funded)) == (["planned"], ["pending"] * 3)
    assert plan_batches(funded.chain) == []
    for _ in range(3):
        funded.chain.sender.rebroadcast()
        funded.node.pass_window()
        funded.mirror.run_until("head")
        finalize_due(funded.chain)
    funded.mirror.run_until("head")
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)
    assert balances(funded) == {PLANT: 95, BUYER: 100_00 - 95}


@long
@pytest.mark.parametrize("number", [1, 2])
def test_a_fork_that_takes_proposal_and_end_back(funded: Park, number: int) -> None:
    """The call that ended the batch was on its way still, and a second one paid its gas for a refusal.

    Where others have its number by then, that call is of no use.
    """
    funded.mirror = AfterMining(funded.db, funded.node.client, funded.node.deployment, 0)
    funded.node.act("admin", SETTLEMENT, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]])
    funded.trade(*TRADES)
    settle(funded)
    (batch,) = funded.rows(VppSettlementBatch)
    head = funded.node.height()
    funded.node.roll_back(head - batch.proposed_block + 1)
    funded.node.mine(head - batch.proposed_block + 2)
    funded.mirror.run_until("head")
    assert states(funded) == ["planned"]
    if number == 2:
        theirs = [trade(900_001, "market", "buyer", 1000, 10_000)]
        packed, _ = funded.node.propose(theirs, sender="spare")
    funded.chain.sender.rebroadcast(batch.batch_key)
    funded.node.pass_window()
    if number == 2:
        arguments = [1, funded.node.outcome(1, packed)]
        funded.node.act("spare", SETTLEMENT, "finalizeBatch", arguments)
    funded.mirror.run_until("head")
    assert states(funded) == ["proposed"]
    sent = finalize_due(funded.chain)
    (again,) = funded.rows(VppSettlementBatch)
    assert (again.chain_batch_id, len(sent)) == (number, number - 1)
    assert (again.finalize_key == batch.finalize_key) == (number == 1)
    funded.chain.sender.tend()  # of the one that is of no use another took the effect: its nonce is filled
    funded.mirror.run_until("head")
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)
    ends = [row for row in funded.rows(ChainIntent) if row.kind == "finalize_batch"]
    assert {row.state.value for row in ends} == {"confirmed"}
    assert {row.key for row in ends} == {batch.finalize_key, again.finalize_key}
    assert balances(funded)[PLANT] == 95
    assert funded.differences() == []


@long
def test_books_from_before_the_proposal(funded: Park) -> None:
    funded.trade(*TRADES)
    (planned,) = plan_batches(funded.chain)
    intent = funded.intent(planned.key)
    sent = send(funded.node.client, PARTIES["operator"], intent.contract_address, intent.call_data)
    assert sent.status == 1
    with pytest.raises(
        DependencyDown, match="nothing is sent before it has; run truetonne index run"
    ):
        submit_planned(funded.chain)
    funded.mirror.run_until("head")
    assert submit_planned(funded.chain) == []
    assert states(funded) == ["proposed"]  # not failed: the chain has it
    assert funded.count(VppSettlementItem) == 3
    settle(funded)
    assert (states(funded), statuses(funded)) == (["finalized"], ["executed"] * 3)
    assert balances(funded) == {PLANT: 95, BUYER: 100_00 - 95}


def test_a_batch_that_was_proposed_is_not_failed(funded: Park) -> None:
    funded.trade(*TRADES)
    (planned,) = plan_batches(funded.chain)
    submit_planned(funded.chain)
    funded.mirror.run_until("head")
    funded.db.run(lambda session: confirm.fail(session, planned.key, "too late"))
    assert states(funded) == ["proposed"]
    assert funded.count(VppSettlementItem) == 3


# ------------------------------------------------------------------------------ escrow


@long
def test_a_batch_that_stands_on_chain_is_failed_by_no_call_of_it(funded: Park) -> None:
    """Its trades would be free, and paid a second time."""
    funded.trade(*TRADES)
    (batch,) = plan_batches(funded.chain)
    submit_planned(funded.chain)
    funded.mirror_final()
    funded.db.run(lambda session: confirm.fail(session, batch.key, "another call of it failed"))
    assert (states(funded), funded.count(VppSettlementItem)) == (["proposed"], 3)


STRICT = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
contract Strict is ERC20("Strict", "STR") {
    function mint(address to, uint256 amount) external { _mint(to, amount); }
    function decimals() public pure override returns (uint8) { return 2; }
    function approve(address spender, uint256 amount) public override returns (bool) {
        require(amount == 0 || allowance(msg.sender, spender) == 0, "from zero, or to zero");
        return super.approve(spender, amount);
    }
}
"""


@long
def test_a_deposit_goes_by_what_is_approved_already(park: Park) -> None:
    """After one that was refused, or killed, a currency that takes no second approval refused every other."""
    node, known = park.node, park.node.deployment
    code = compiled(STRICT, "Strict")
    currency = replace(known.contracts[CURRENCY], code_hash="0x" + keccak(hexstr=code).hex())
    node.client.request("anvil_setCode", [currency.address, code])
    deployment = replace(known, contracts={**known.contracts, CURRENCY: currency})
    strict = replace(park, chain=open_chain(park.db, replace(node, deployment=deployment)))
    escrow.mint_test_currency(strict.chain, BUYER, 50_00)

    def approved() -> int:
        return strict.chain.settlement.approved(BUYER)

    def deposit(cents: int, *, approve: int) -> None:
        assert escrow.deposit(strict.chain, BUYER, BUYER, cents, dry_run=True) == []
        keys = escrow.deposit(strict.chain, BUYER, BUYER, cents)
        called = [strict.intent(key).function_name for key in keys]
        assert called == ["approve"] * approve + ["deposit"]

    for left in (5_00, 7_00):  # of as much as the next one, and of more
        node.act("pauser", SETTLEMENT, "pause", [])
        with pytest.raises(Refused, match="EnforcedPause"):
            escrow.deposit(strict.chain, BUYER, BUYER, left)
        node.act("admin", SETTLEMENT, "unpause", [])
        deposit(5_00, approve=0)
        assert approved() == left - 5_00
    deposit(20_00, approve=2)  # more than the 2.00 that are left of it
    assert approved() == 0
    deposit(1_00, approve=1)
    park.mirror_final()
    assert balances(park) == {BUYER: 31_00}


@long
def test_a_deposit_waits_for_its_approval(park: Park) -> None:
    """On a chain with block times the approval is not there yet when the deposit is tried."""
    escrow.mint_test_currency(park.chain, BUYER, 500)
    park.node.client.request("evm_setAutomine", [False])
    park.node.client.request("evm_setIntervalMining", [1])
    escrow.deposit(park.chain, BUYER, PLANT, 500)
    park.node.client.request("evm_setIntervalMining", [0])
    park.node.mine(1)
    park.mirror_final()
    assert balances(park) == {PLANT: 500}


@long
def test_a_deposit_says_for_what_it_waits(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a chain with blocks of many seconds it was silent for up to three minutes."""
    monkeypatch.setattr("ledger.chain.sending.sender._POLLS_PER_TENDING", 1)
    monkeypatch.setattr("ledger.chain.sending.sender._INCLUSION_POLL_SECONDS", 0.01)
    escrow.mint_test_currency(park.chain, BUYER, 10_00)
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        park.node.mine(1)

    automine(park, False)
    for _ in range(2):
        escrow.deposit(park.chain, BUYER, BUYER, 5_00, tell=tell)
    automine(park, True)
    park.node.mine(1)
    rows = sorted(park.rows(ChainIntent), key=lambda row: row.nonce)
    _, first, paid, second, _ = (row.tx_hash for row in rows)
    assert told == [
        f"the deposit is not sent yet: {what} is in no block (transaction {tx_hash}); this waits for up to 180 s"
        for what, tx_hash in (
            ("the approval that it uses", first),
            ("an earlier one of this account", paid),
            ("the approval that it uses", second),
        )
    ]
    park.mirror_final()
    assert balances(park) == {BUYER: 10_00}


def test_withdrawals(funded: Park) -> None:
    escrow.withdraw(funded.chain, BUYER, PARTIES["spare"], 40_00)
    funded.mirror.run_until("head")
    assert balances(funded) == {BUYER: 60_00}
    with pytest.raises(Refused, match="InsufficientBalance"):
        escrow.withdraw(funded.chain, BUYER, PARTIES["spare"], 60_01)
    escrow.withdraw(funded.chain, BUYER, BUYER, 60_00)
    funded.mirror.run_until("head")
    assert balances(funded) == {}
    assert funded.chain.settlement.custody() == 0
    outside = [
        int(funded.node.ask(CURRENCY, "balanceOf", [account]), 16)
        for account in (PARTIES["spare"], BUYER)
    ]
    assert outside == [40_00, 60_00]


def test_amounts_that_are_none_and_money_that_is_not_ours_to_make(park: Park) -> None:
    before = park.count(ChainIntent)
    for cents in (0, -1):
        with pytest.raises(BadInput, match="above zero"):
            escrow.deposit(park.chain, BUYER, BUYER, cents)
        with pytest.raises(BadInput, match="above zero"):
            escrow.withdraw(park.chain, BUYER, BUYER, cents)
    elsewhere = replace(park.chain, deployment=replace(park.node.deployment, chain_id=1))
    with pytest.raises(BadInput, match="local chain alone"):
        escrow.mint_test_currency(elsewhere, BUYER, 5)
    assert park.count(ChainIntent) == before
    with pytest.raises(Refused):
        escrow.deposit(park.chain, BUYER, BUYER, 5)  # no money


def test_a_node_that_is_down_changes_nothing(funded: Park) -> None:
    funded.trade(*TRADES)
    plan_batches(funded.chain)
    down = funded.again()
    down.chain.client.go_by(open_transport("http://127.0.0.1:1"))
    with pytest.raises(DependencyDown):
        submit_planned(down.chain)
    with pytest.raises(DependencyDown):
        finalize_due(down.chain)
    assert states(funded) == ["planned"]
    assert funded.count(VppSettlementItem) == 3
    down.db.close()


@long
def test_a_finalisation_that_failed_on_chain_is_planned_anew(park: Park) -> None:
    """The contract was paused when it came into a block."""
    park.fund(BUYER, 100_00)
    park.propose(("sell", 1000, 20_000))
    park.pass_window()
    automine(park, False)
    (first,) = finalize_due(park.chain)
    drop(park, first)
    automine(park, True)
    park.node.act("pauser", SETTLEMENT, "pause", [])
    park.chain.sender.rebroadcast()
    park.mirror_final()
    assert (states(park), statuses(park)) == (["proposed"], ["pending"])
    park.node.act("admin", SETTLEMENT, "unpause", [])
    (second,) = finalize_due(park.chain)
    park.mirror_final()
    assert second != first and (states(park), statuses(park)) == (["finalized"], ["executed"])
    assert park.differences() == []


@long
def test_a_fork_right_above_a_batch_takes_nothing_of_it_back(park: Park) -> None:
    """What stands in the last block that both forks have is read no second time."""
    park.fund(BUYER, 100_00)
    park.propose(("sell", 1000, 20_000))
    park.node.mine(1)
    park.mirror.run_until("head")
    (batch,) = park.rows(VppSettlementBatch)
    park.fork_at(batch.proposed_block)
    assert park.rows(VppSettlementBatch)[0].chain_batch_id == 1
    park.pass_window()
    finalize_due(park.chain)
    park.node.mine(1)
    park.mirror.run_until("head")
    (batch,) = park.rows(VppSettlementBatch)
    park.fork_at(batch.finalized_block)
    assert (states(park), statuses(park)) == (["finalized"], ["pending"])
    park.node.mine(1)
    # The last final block is that of its end: after the fork nothing new becomes final.
    park.mirror.run_until("head")
    for _ in range(2):
        assert (states(park), statuses(park)) == (["finalized"], ["executed"])
        park.fork_at(batch.finalized_block)
    park.mirror_final()
    assert park.differences() == []


@long
def test_a_proposal_that_meets_a_pause_fails_and_frees_its_trades(park: Park) -> None:
    """What its parties have signed would wait: that is their work. This is planned anew."""
    park.fund(BUYER, 100_00)
    park.trade(("sell", 1000, 20_000))
    plan_batches(park.chain)
    park.node.act("pauser", SETTLEMENT, "pause", [])
    assert submit_planned(park.chain) == []
    assert (states(park), statuses(park)) == (["failed"], ["pending"])
    park.node.act("admin", SETTLEMENT, "unpause", [])
    plan_batches(park.chain)
    assert len(submit_planned(park.chain)) == 1
    park.mirror_final()
    assert (states(park), park.differences()) == (["failed", "proposed"], [])


@long
def test_a_deposit_right_after_another_has_an_approval_of_its_own(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first was in no block, what it was about to use up seemed to be approved for the second."""
    escrow.mint_test_currency(park.chain, BUYER, 50_00)
    wait, waited = park.chain.sender.wait_until_included, []

    def included(tx_hash: str, on_long: Callable[[float], None]) -> None:
        waited.append(tx_hash)
        automine(park, True)
        park.node.mine(1)
        wait(tx_hash, on_long)
        if len(waited) == 1:  # the first deposit stays in the pool
            automine(park, False)

    monkeypatch.setattr(park.chain.sender, "wait_until_included", included)
    for cents, steps in ((20_00, 2), (5_00, 2)):
        assert len(escrow.deposit(park.chain, BUYER, BUYER, cents)) == steps
    monkeypatch.undo()
    park.mirror_final()
    assert balances(park) == {BUYER: 25_00}
    assert park.chain.settlement.approved(BUYER) == 0
