"""A trade that nobody can pay: seen beforehand, said with names and money, taken out, tried again."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from ledger.errors import BadInput, NotFound, Refused
from ledger.models import AuditLog, VppSettlementBatch, VppSettlementItem, VppTradingRecord
from ledger.settlement import batches, escrow
from ledger.settlement.batches import plan_batches, submit_planned
from ledger.settlement.cancel import cancel_trade
from ledger.settlement.outlook import market_to_retry, preview
from tests.support.chain import PARTIES
from tests.support.park import MARKET, Park

PLANT, BUYER = PARTIES["owner"], PARTIES["market"]


def fund(park: Park, account: str, cents: int) -> None:
    escrow.mint_test_currency(park.chain, account, cents)
    escrow.deposit(park.chain, account, account, cents)
    park.mirror.run_until("head")


def states(park: Park) -> list[str]:
    return [row.state.value for row in park.rows(VppSettlementBatch)]


def statuses(park: Park) -> list[str]:
    return [row.status.value for row in park.rows(VppTradingRecord)]


def test_a_preview_says_who_cannot_pay_and_keeps_nothing(both: Park) -> None:
    both.mirror.run_until("head")
    fund(both, BUYER, 150)
    both.trade(("sell", 1000, 20_000), ("buy", 1000, 1_000))  # 2.00 to the plant, 0.10 back
    found = preview(both.chain)
    assert (found.symbol, found.names) == ("tEUR", {PLANT: "plant", BUYER: MARKET})
    (batch,) = found.batches
    assert (batch.market, batch.trades, batch.stored) == (MARKET, 2, False)
    assert batch.nets == {PLANT: 190, BUYER: -190}
    assert batch.escrow == {PLANT: 0, BUYER: 150}
    (missing,) = batch.missing
    assert missing.sentence() == (
        "day-ahead has 1.50 tEUR in escrow and owes 1.90 tEUR: truetonne settle deposit day-ahead 0.40"
    )
    assert (states(both), both.count(VppSettlementItem)) == ([], 0)
    fund(both, BUYER, 40)
    assert preview(both.chain).batches[0].missing == ()


def test_money_is_promised_once(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.settlement.batches.TRADES_PER_BATCH_MAX", 1)
    park.mirror.run_until("head")
    fund(park, BUYER, 100)
    park.trade(("sell", 1000, 8_000), ("sell", 1000, 3_000), ("sell", 1000, 2_000))
    found = preview(park.chain).batches
    assert [(item.escrow[BUYER], bool(item.missing)) for item in found] == [
        (100, False),  # owes 0.80
        (20, True),  # owes 0.30
        (20, False),  # owes 0.20
    ]
    plan_batches(park.chain)
    assert [item.stored for item in preview(park.chain).batches] == [True] * 3
    assert len(submit_planned(park.chain)) == 2
    assert states(park) == ["planned", "failed", "planned"]


def test_the_way_out_of_a_market_that_is_blocked(both: Park) -> None:
    both.mirror.run_until("head")
    both.trade(("sell", 1000, 50_000), ("sell", 1000, 500))  # 5.00, and 0.05
    fund(both, BUYER, 5)
    plan_batches(both.chain)
    submit_planned(both.chain)
    (batch,) = both.rows(VppSettlementBatch)
    assert batch.error is not None
    assert batch.error.startswith(
        "day-ahead has 0.05 tEUR in escrow and owes 5.05 tEUR: "
        "truetonne settle deposit day-ahead 5.00 (VppSettlement refuses proposeBatch: Insufficient"
    )
    for name in (batch.batch_key, str(batch.id)):
        with pytest.raises(Refused, match=r"truetonne settle deposit day-ahead 5\.00"):
            market_to_retry(both.chain, name)
    assert states(both) == ["failed"]
    dear, _ = (row.id for row in both.rows(VppTradingRecord))
    both.db.run(lambda session: cancel_trade(session, dear, " entered twice "))
    assert market_to_retry(both.chain, batch.batch_key) == MARKET
    plan_batches(both.chain, market=MARKET)
    assert len(submit_planned(both.chain)) == 1
    assert (states(both), statuses(both)) == (["failed", "planned"], ["cancelled", "pending"])
    with both.db.read() as session:
        (entry,) = session.scalars(select(AuditLog))
    assert (entry.action, entry.resource) == ("trades.cancel", f"vpp_trading_records/{dear}")
    assert entry.new_values == {"status": "cancelled", "reason": "entered twice"}
    with pytest.raises(Refused, match="only a failed one is tried again"):
        market_to_retry(both.chain, str(both.rows(VppSettlementBatch)[1].id))
    for name in ("77", "0x0123", "0x" + "ab" * 32, "", "x"):
        with pytest.raises(NotFound, match="there is no settlement batch"):
            market_to_retry(both.chain, name)


def test_only_one_market_is_planned_when_one_is_named(park: Park) -> None:
    park.trade(("sell", 1000, 500))
    assert plan_batches(park.chain, market="other") == []
    assert len(plan_batches(park.chain, market=MARKET)) == 1


def test_what_cannot_be_cancelled(both: Park) -> None:
    both.mirror.run_until("head")
    both.trade(("sell", 1000, 500), ("sell", 1000, 500))
    first, second = (row.id for row in both.rows(VppTradingRecord))
    cancel = cancel_trade
    for reason in ("", "  ", "x" * 1001):
        with pytest.raises(BadInput, match="names its reason"):
            both.db.run(lambda session, reason=reason: cancel(session, first, reason))
    with pytest.raises(NotFound, match="there is no trade 99"):
        both.db.run(lambda session: cancel(session, 99, "x"))
    both.db.run(lambda session: cancel(session, first, "x"))
    with pytest.raises(Refused, match=f"trade {first} is cancelled"):
        both.db.run(lambda session: cancel(session, first, "x"))
    plan_batches(both.chain)
    with pytest.raises(Refused, match=f"trade {second} stands in the settlement batch 0x"):
        both.db.run(lambda session: cancel(session, second, "x"))
    assert statuses(both) == ["cancelled", "pending"]
    assert both.count(AuditLog) == 1


def test_a_token_that_refuses_is_understood(park: Park) -> None:
    with pytest.raises(Refused, match=f"ERC20InsufficientBalance.sender={BUYER}, balance=0, "):
        escrow.deposit(park.chain, BUYER, BUYER, 5)


def test_a_trade_is_planned_or_cancelled_and_never_both(both: Park) -> None:
    both.trade(("sell", 1000, 500))
    (number,) = (row.id for row in both.rows(VppTradingRecord))
    other = both.again()
    found: list[object] = []

    def cancel() -> None:
        try:
            found.append(other.db.run(lambda session: cancel_trade(session, number, "x")).status)
        except Refused as error:
            found.append(error.code)

    thread = threading.Thread(target=cancel)
    with both.db.write() as session:
        assert len(batches._plan(session, both.chain, timedelta(0))) == 1
        thread.start()
        thread.join(0.4)
        assert thread.is_alive(), "the cancellation did not wait for the planner"
    thread.join()
    assert found == ["trade-in-batch"]
    assert statuses(both) == ["pending"]
    other.db.close()
