"""Signatures outlive a batch that failed: until they are over, no trade of it is cancelled or edited into another."""

from decimal import Decimal

import pytest

from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.node.client import RpcError
from ledger.errors import Refused
from ledger.models import (
    AuditLog,
    ChainIntent,
    VppSettlementBatch,
    VppTradeCredit,
    VppTradingRecord,
)
from ledger.models.trading import TradeStatus
from ledger.settings.settling import Way
from ledger.settlement.batches import plan_batches, plan_round, submit_planned
from ledger.settlement.cancel import cancel_trade, plan_cancellation
from ledger.settlement.explain import story_of
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.outlook import preview
from ledger.settlement.pending import Scope
from ledger.settlement.signatures import WITHDRAWN
from ledger.settlement.words import pack
from tests.flows.test_changed_accounts import edit
from tests.flows.test_cosign import (
    PLANT,
    apart_of,
    balances,
    given_up,
    send,
    signed,
    states,
    statuses,
    written,
)
from tests.support import acts
from tests.support.chain import PARTIES, trade
from tests.support.forms import long
from tests.support.park import Park

SHORT_ON_MARIADB = ("test_a_trade_is_not_cancelled_while_its_signatures_hold",)


def with_signatures(park: Park) -> tuple[Park, str]:
    """Return a park with a co-signed batch of its two trades that the contract refused, and the call of it."""
    park = apart_of(park)
    call = given_up(park)
    park.mirror_final()
    return park, call


def cancel(park: Park, number: int) -> None:
    park.db.run(lambda session: cancel_trade(session, number, "an error"))


def pass_deadline(park: Park) -> None:
    park.node.later(3 * 3600)
    park.node.mine(1)
    park.mirror_final()


def said_of(park: Park, number: int) -> tuple[str, ...]:
    with park.db.read() as session:
        return story_of(session, f"trade:{number}").happened


@long
def test_a_trade_is_not_cancelled_while_its_signatures_hold(both: Park) -> None:
    park, call = with_signatures(both)
    (batch,) = park.rows(VppSettlementBatch)
    until = f"hold until {batch.signed_until:%Y-%m-%d %H:%M:%S} UTC by the chain's clock"
    with pytest.raises(Refused, match="trade 1 may still be settled by who has its sign") as caught:
        cancel(park, 1)
    assert caught.value.code == "trade-signed"
    assert until in caught.value.message and batch.batch_key in caught.value.message
    assert said_of(park, 1)[-1].endswith(until)
    send(park, call)
    park.mirror_final()
    assert (states(park), statuses(park)) == (["finalized"], ["executed"] * 2)
    assert balances(park)[PLANT] == 2_31
    assert park.differences() == []


@long
def test_a_trade_that_failed_for_want_of_funds_is_executed_when_its_signatures_are_used(
    both: Park,
) -> None:
    park, call = with_signatures(both)
    for number in (1, 2):
        edit(park, number, status=TradeStatus.FAILED)  # as `debtor_hours` does, which may be fewer
    send(park, call)
    park.mirror_final()
    assert (states(park), statuses(park)) == (["finalized"], ["executed"] * 2)
    assert park.differences() == []


@long
def test_a_trade_is_cancelled_when_its_signatures_are_over(park: Park) -> None:
    park, call = with_signatures(park)
    park.node.later(3 * 3600)
    park.node.mine(1)
    park.mirror.run_until("head")
    with pytest.raises(Refused, match="may still be settled"):
        cancel(park, 1)  # a fork could be earlier
    park.mirror_final()
    cancel(park, 1)
    message = {
        "from": PARTIES["operator"],
        "to": park.node.deployment.settlement.address,
        "data": call,
    }
    with pytest.raises(RpcError, match="revert"):  # the contract agrees
        park.node.client.request("eth_call", [message, "latest"])
    assert statuses(park) == ["cancelled", "pending"]


@long
def test_a_trade_that_is_edited_waits_until_its_signatures_are_over(both: Park) -> None:
    park, _ = with_signatures(both)
    edit(park, 1, quantity=Decimal(5), total_value=Decimal(10))
    (waiting,) = plan_round(park.chain, Scope(way=Way.PROPOSED), dry_run=True).waiting
    assert waiting.trades == (1,)
    assert waiting.unfit.why.startswith("it was signed with other figures: signatures for batch 0x")
    assert [item.trades for item in preview(park.chain).waiting] == [(1,)]
    assert plan_batches(park.chain)[0].trades == 1  # the other one goes on
    edit(park, 1, quantity=Decimal(1), total_value=Decimal(2))
    assert plan_round(park.chain, Scope(way=Way.PROPOSED), dry_run=True).waiting == ()
    edit(park, 1, quantity=Decimal(5), total_value=Decimal(10))
    pass_deadline(park)
    assert plan_round(park.chain, dry_run=True).waiting == ()


@long
def test_an_edited_trade_is_not_paid_twice_when_the_first_batch_is_sent_after_all(
    both: Park,
) -> None:
    """It was planned again as it was, edited then, and a member was faster: it keeps its number, and is done."""
    park, call = with_signatures(both)
    plan_round(park.chain, Scope(way=Way.PROPOSED))
    assert states(park) == ["failed", "planned"]
    edit(park, 1, quantity=Decimal(5), total_value=Decimal(10))
    send(park, call)
    for _ in range(2):
        park.mirror_final()
        plan_round(park.chain, Scope(way=Way.PROPOSED))
        submit_planned(park.chain)
        park.mirror_final()
        park.node.pass_window()
        park.mirror_final()
        finalize_due(park.chain)
    assert [row.id for row in park.rows(VppTradingRecord)] == [1, 2]
    assert balances(park)[PLANT] == 2_31
    assert (states(park), statuses(park)) == (["finalized", "failed"], ["executed"] * 2)
    assert park.differences() == [
        "trade 1: quantity is 5.000, the chain says 1",
        "trade 1: total_value is 10.00, the chain says 2.00",
    ]


@long
def test_a_trade_is_free_when_another_of_its_batch_is_settled_for_good(park: Park) -> None:
    """The contract takes a number once: the whole batch is refused from then on."""
    park, _ = with_signatures(park)
    acts.settle_one(park.node, trade(2, "owner", "market", 2500, -1_234))
    park.mirror.run_until("head")
    with pytest.raises(Refused, match="trade 1 may still be settled"):
        cancel(park, 1)
    park.mirror_final()
    cancel(park, 1)
    assert statuses(park) == ["cancelled", "executed"]
    assert park.differences() == []


@long
def test_a_batch_that_was_withdrawn_before_all_had_signed(both: Park) -> None:
    """There is no call of it; its parties may have signed their files all the same."""
    park = apart_of(both)
    path = written(park)
    signed(path)  # and the market's signature is in the books: the plant could send the two
    (batch,) = park.rows(VppSettlementBatch)
    acts.settle_one(park.node, trade(2, "owner", "market", 2500, -1_234))
    park.mirror.run_until("head")
    plan_round(park.chain)
    assert states(park) == ["failed"]
    with park.db.read() as session:
        assert session.get(ChainIntent, batch.batch_key) is None
    assert [row.action for row in park.rows(AuditLog)].count(WITHDRAWN) == 1
    with pytest.raises(Refused, match="trade 1 may still be settled"):
        cancel(park, 1)
    park.mirror_final()
    cancel(park, 1)
    assert statuses(park) == ["cancelled", "executed"]


@long
def test_a_proposed_batch_is_not_cancelled_while_signatures_for_a_trade_hold(park: Park) -> None:
    park, _ = with_signatures(park)
    plan_round(park.chain, Scope(way=Way.PROPOSED))
    submit_planned(park.chain)
    park.mirror_final()
    assert states(park) == ["failed", "proposed"]

    def plan() -> str:
        return park.db.run(
            lambda session: plan_cancellation(session, park.chain, "batch:2", "an error")
        )

    with pytest.raises(Refused, match="trade 1 may still be settled"):
        plan()
    pass_deadline(park)
    assert plan()


@long
def test_a_trade_that_failed_or_was_taken_out_uses_no_signatures_up(park: Park) -> None:
    """The contract knows nothing of that: it takes the batch as long as no trade of it is settled."""
    park, call = with_signatures(park)
    for ended in (TradeStatus.FAILED, TradeStatus.CANCELLED):
        edit(park, 1, status=ended)
        with pytest.raises(Refused, match="trade 2 may still be settled"):
            cancel(park, 2)
    send(park, call)
    park.mirror_final()
    assert statuses(park) == ["executed"] * 2


@long
def test_a_key_is_used_up_when_that_is_final(park: Park) -> None:
    """Another operator has used it for other trades; a fork could take that back, and let the signatures be used."""
    park, call = with_signatures(park)
    (batch,) = park.rows(VppSettlementBatch)
    theirs = pack([trade(900_001, "market", "buyer", 1000, 10_000)])
    key = bytes.fromhex(batch.batch_key[2:])
    before = park.node.height()
    park.node.act(
        "operator", SETTLEMENT, "proposeBatch", [key, 0, list(theirs.accounts), list(theirs.words)]
    )
    park.mirror.run_until("head")
    with pytest.raises(Refused, match="trade 1 may still be settled"):
        cancel(park, 1)
    park.node.roll_back(park.node.height() - before)
    park.node.mine(1)
    park.mirror.run_until("head")
    send(park, call)
    park.mirror_final()
    assert statuses(park) == ["executed"] * 2
    assert park.differences() == []


@long
def test_a_key_that_is_used_up_for_good_frees_the_trades(park: Park) -> None:
    park, _ = with_signatures(park)
    (batch,) = park.rows(VppSettlementBatch)
    theirs = pack([trade(900_001, "market", "buyer", 1000, 10_000)])
    key = bytes.fromhex(batch.batch_key[2:])
    park.node.act(
        "operator", SETTLEMENT, "proposeBatch", [key, 0, list(theirs.accounts), list(theirs.words)]
    )
    park.mirror_final()
    cancel(park, 1)
    assert statuses(park) == ["cancelled", "pending"]


@long
def test_a_trade_that_is_of_something_else_than_was_signed_waits(park: Park) -> None:
    park, _ = with_signatures(park)
    with park.db.write() as session:
        session.add(VppTradeCredit(trade_id=1, asset=2**32 + 1))
    (waiting,) = plan_round(park.chain, Scope(way=Way.PROPOSED)).waiting
    assert waiting.trades == (1,)
    assert waiting.unfit.why.startswith("it was signed with other figures")
