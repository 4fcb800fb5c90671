"""disputeTrade, rejectDispute, and the cancellation of a disputed batch."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.park import (
    ASSET,
    BOND,
    CANCELLED,
    DISPUTED,
    FINALIZED,
    NONE,
    PROPOSED,
    TIMEOUT_S,
    WINDOW_S,
    ZERO,
    Batch,
    Park,
    TradeOf,
    event,
    merkle_proof,
    missing_role,
    refusal,
)

pytestmark = pytest.mark.usefixtures("three_with_money")

KEY = b"\x01" * 32
NO_DISPUTE = (ZERO, 0, 0)


@pytest.fixture(scope="module", autouse=True)
def credits_(park: Park) -> None:
    """The owner has 1,000 kg in escrow."""
    park.deposit_credits(park.owner, 1000)


@pytest.fixture
def batch(park: Park) -> Batch:
    """Three trades of credits; the market is a party of the last two."""
    buyer, owner, market = (each.address for each in (park.buyer, park.owner, park.market))
    return Batch(
        [
            TradeOf(1, buyer, owner, 500, 200_000),
            TradeOf(2, market, owner, 400, 50_000),
            TradeOf(3, market, buyer, 100, 100_000),
        ],
        asset=ASSET,
    )


def proof_of(batch: Batch, position: int, key: bytes = KEY) -> list[bytes]:
    return merkle_proof(batch.leaves(key), position)


def refused(park: Park, *arguments: Any, by: Any) -> tuple[Any, ...]:
    return refusal(park.settlement.disputeTrade, *arguments, sender=by)


# -------------------------------------------------------------------------- disputeTrade


def test_only_a_party_disputes(park: Park, batch: Batch) -> None:
    """VS-50: of that trade, not of another; not the operator, nor the arbiter."""
    park.propose(batch, KEY)
    trade = batch.trades[0].values
    for sender in (park.market, park.operator, park.verifier, park.stranger):
        error = refused(park, 1, trade, proof_of(batch, 0), by=sender)
        assert error == ("NotAParty", sender.address, 1)


def test_the_trade_is_one_of_the_batch(park: Park, batch: Batch) -> None:
    """VS-50: as it is, with its own proof."""
    park.propose(batch, KEY)
    trade = batch.trades[0]
    wrong = ("WrongTrades", 1)
    other = replace(trade, price=1)
    assert refused(park, 1, other.values, proof_of(batch, 0), by=park.buyer) == wrong
    mine = replace(trade, buyer=park.stranger.address)
    assert refused(park, 1, mine.values, proof_of(batch, 0), by=park.stranger) == wrong
    assert refused(park, 1, trade.values, proof_of(batch, 1), by=park.buyer) == wrong
    assert refused(park, 1, trade.values, [], by=park.buyer) == wrong


def test_a_batch_is_proposed(park: Park, batch: Batch) -> None:
    """VS-50: not one that is not there, or cancelled, or disputed already."""
    arguments = (1, batch.trades[0].values, proof_of(batch, 0))
    assert refused(park, *arguments, by=park.buyer) == ("BatchNotProposed", 1, NONE)
    park.propose(batch, KEY)
    park.dispute(1, batch, 1, by=park.market)
    assert refused(park, *arguments, by=park.buyer) == ("BatchNotProposed", 1, DISPUTED)
    park.cancel_batch(1, batch)
    assert refused(park, *arguments, by=park.buyer) == ("BatchNotProposed", 1, CANCELLED)


def test_a_window_is_open(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-50: in its last second, not in the next."""
    park.propose(batch, KEY)
    until = settlement.finalizableAt(1)
    arguments = (1, batch.trades[0].values, proof_of(batch, 0))
    park.mine_at(until)
    assert refused(park, *arguments, by=park.buyer) == ("WindowOver", 1, until)


def test_the_last_second_of_a_window(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-50, VS-51: a second is left of it afterwards."""
    park.propose(batch, KEY)
    park.mine_at(settlement.finalizableAt(1) - 2)
    settlement.disputeTrade(1, batch.trades[0].values, proof_of(batch, 0), {"from": park.buyer})
    assert settlement.disputeOf(1)[2] == settlement.finalizableAt(1) - park.now


def test_a_bond_is_there(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-50: to the cent, of what is not locked."""
    park.propose(batch, KEY)
    settlement.withdraw(
        park.buyer, settlement.balanceOf(park.buyer) - BOND + 1, {"from": park.buyer}
    )
    arguments = (1, batch.trades[0].values, proof_of(batch, 0))
    error = refused(park, *arguments, by=park.buyer)
    assert error == ("InsufficientBalance", park.buyer.address, 0, BOND - 1, BOND)
    park.deposit(park.buyer, 1)
    park.dispute(1, batch, 0, by=park.buyer)
    assert settlement.balanceOf(park.buyer) == 0


def test_a_party_disputes_a_batch_once(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-50: no matter of which trade; another party and another batch are another matter."""
    park.propose(batch, KEY)
    park.dispute(1, batch, 1, by=park.market)
    settlement.rejectDispute(1, {"from": park.verifier})
    for position in (1, 2):
        arguments = (1, batch.trades[position].values, proof_of(batch, position))
        error = refused(park, *arguments, by=park.market)
        assert error == ("DisputedBefore", 1, park.market.address)
    park.dispute(1, batch, 1, by=park.owner)
    again = Batch([TradeOf(9, park.market.address, park.owner.address, 1, 0)])
    park.propose(again)
    park.dispute(2, again, 0, by=park.market)


def test_dispute_trade(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-50, VS-51: event, status, bond and every balance; by a buyer and by a seller."""
    park.propose(batch, KEY)
    before, credits_before = park.escrow(), park.credit_escrow()
    tx = park.dispute(1, batch, 0, by=park.owner)
    assert [each.name for each in tx.events] == ["TradeDisputed"]
    published = event(tx, "TradeDisputed")
    assert {**published, "key": bytes(published["key"])} == {
        "key": KEY,
        "batchId": 1,
        "account": park.owner,
        "seq": 1,
        "bond": BOND,
        "timeoutAt": tx.timestamp + TIMEOUT_S,
    }
    left = settlement.finalizableAt(1) - tx.timestamp
    assert settlement.batchStatus(1) == DISPUTED
    assert settlement.disputeOf(1) == (park.owner, tx.timestamp + TIMEOUT_S, left)
    assert settlement.isSettled(1)
    assert park.escrow() == {
        **before,
        park.owner: before[park.owner] - BOND,
        "locked": before["locked"] + BOND,
    }
    assert park.credit_escrow() == credits_before


def test_a_pause_does_not_stop_disputes(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-30: nor their ends; the window goes on meanwhile."""
    park.propose(batch, KEY)
    settlement.pause({"from": park.pauser})
    park.dispute(1, batch, 0, by=park.buyer)
    settlement.rejectDispute(1, {"from": park.verifier})
    park.dispute(1, batch, 0, by=park.owner)
    park.mine_at(park.now + TIMEOUT_S)
    park.cancel_batch(1, batch, by=park.stranger)


# ------------------------------------------------------------------ while it is disputed


def test_a_disputed_batch_waits(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-21, VS-51: and so do those after it, until it is cancelled."""
    park.propose(batch, KEY)
    other = Batch([TradeOf(9, park.market.address, park.owner.address, 1000, 100)])
    park.propose(other)
    park.dispute(1, batch, 0, by=park.buyer)
    park.mine_at(park.now + WINDOW_S)
    error = refusal(settlement.finalizeBatch, 1, batch.outcome, sender=park.stranger)
    assert error == ("BatchNotProposed", 1, DISPUTED)
    error = refusal(settlement.finalizeBatch, 2, other.outcome, sender=park.stranger)
    assert error == ("OutOfOrder", 2, 1)
    settlement.skipClosed(9, {"from": park.stranger})
    assert settlement.nextToFinalize() == 1
    park.mine_at(park.now + TIMEOUT_S)
    park.cancel_batch(1, batch, by=park.stranger)
    park.finalize(2, other)


# ------------------------------------------------------------------------- rejectDispute


def test_only_an_arbiter_rejects(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-51: not an operator, not the admin, not a party."""
    park.propose(batch, KEY)
    park.dispute(1, batch, 0, by=park.buyer)
    for sender in (park.admin, park.operator, park.buyer, park.stranger):
        denied = missing_role(sender, settlement.ARBITER_ROLE())
        assert refusal(settlement.rejectDispute, 1, sender=sender) == denied


def test_there_is_a_dispute(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-51: of a batch that is there and is disputed, and once."""
    arbiter = park.verifier

    def error() -> tuple[Any, ...]:
        return refusal(settlement.rejectDispute, 1, sender=arbiter)

    assert error() == ("BatchNotDisputed", 1, NONE)
    park.propose(batch, KEY)
    assert error() == ("BatchNotDisputed", 1, PROPOSED)
    park.dispute(1, batch, 0, by=park.buyer)
    settlement.rejectDispute(1, {"from": arbiter})
    assert error() == ("BatchNotDisputed", 1, PROPOSED)
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, batch)
    assert error() == ("BatchNotDisputed", 1, FINALIZED)


def test_a_dispute_times_out(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-52: in the last second it can be rejected, in the next it cannot."""
    park.propose(batch, KEY)
    tx = park.dispute(1, batch, 0, by=park.buyer)
    until = tx.timestamp + TIMEOUT_S
    park.mine_at(until - 1)
    settlement.rejectDispute.call(1, {"from": park.verifier})
    park.mine_at(until)
    error = refusal(settlement.rejectDispute, 1, sender=park.verifier)
    assert error == ("DisputeTimedOut", 1, until)


def test_reject_dispute(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-51, VS-53: event, window, bond and every balance; then it is finalized as it was."""
    park.propose(batch, KEY)
    before = park.escrow()
    park.mine_at(park.now + 100)
    disputed = park.dispute(1, batch, 0, by=park.buyer)
    left = settlement.finalizableAt(1) - disputed.timestamp
    assert 0 < left < WINDOW_S
    park.mine_at(park.now + 2 * WINDOW_S)

    tx = settlement.rejectDispute(1, {"from": park.verifier})

    assert [each.name for each in tx.events] == ["DisputeResolved"]
    published = event(tx, "DisputeResolved")
    assert {**published, "key": bytes(published["key"])} == {
        "key": KEY,
        "batchId": 1,
        "account": park.buyer,
        "upheld": False,
        "bondTo": park.issuer,
        "bond": BOND,
        "finalizableAt": tx.timestamp + left,
    }
    assert settlement.batchStatus(1) == PROPOSED
    assert settlement.finalizableAt(1) == tx.timestamp + left
    assert settlement.disputeOf(1) == NO_DISPUTE
    after = {**before, park.buyer: before[park.buyer] - BOND, park.issuer: BOND}
    assert park.escrow() == after
    park.mine_at(tx.timestamp + left - 1)
    error = refusal(settlement.finalizeBatch, 1, batch.outcome, sender=park.stranger)
    assert error == ("WindowOpen", 1, tx.timestamp + left)
    park.mine_at(tx.timestamp + left)
    park.finalize(1, batch)
    assert settlement.totalLocked() == 0
    settlement.withdraw(park.issuer, BOND, {"from": park.issuer})


# ------------------------------------------------------- cancelBatch of a disputed batch


def test_not_everybody_cancels(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-10, VS-52: before the time-out neither the party, the admin nor a stranger."""
    park.propose(batch, KEY)
    tx = park.dispute(1, batch, 0, by=park.buyer)
    park.mine_at(tx.timestamp + TIMEOUT_S - 1)
    arguments = (1, batch.outcome, batch.words, "")
    for sender in (park.admin, park.buyer, park.pauser, park.stranger):
        error = refusal(settlement.cancelBatch, *arguments, sender=sender)
        assert error == ("MayNotCancel", 1, sender.address)
    park.mine_at(tx.timestamp + TIMEOUT_S)
    settlement.cancelBatch.call(*arguments, {"from": park.stranger})


def test_an_old_dispute_cancels_nothing(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-10, VS-52: after a rejection the batch is no matter of the parties and of strangers any more."""
    park.propose(batch, KEY)
    park.dispute(1, batch, 0, by=park.buyer)
    settlement.rejectDispute(1, {"from": park.verifier})
    park.mine_at(park.now + 2 * TIMEOUT_S)
    arguments = (1, batch.outcome, batch.words, "")
    for sender in (park.buyer, park.owner, park.stranger):
        error = refusal(settlement.cancelBatch, *arguments, sender=sender)
        assert error == ("MayNotCancel", 1, sender.address)


@pytest.mark.parametrize("who", ["operator", "verifier", "stranger"])
def test_cancel_a_disputed_batch(park: Park, settlement: Any, batch: Batch, who: str) -> None:
    """VS-22, VS-52, VS-53: the operator concedes, the arbiter upholds, time runs out."""
    before, credits_before = park.escrow(), park.credit_escrow()
    park.propose(batch, KEY)
    park.dispute(1, batch, 0, by=park.buyer)
    if who == "stranger":
        park.mine_at(park.now + TIMEOUT_S)

    tx = park.cancel_batch(1, batch, "no such trade", by=getattr(park, who))

    assert [each.name for each in tx.events] == ["DisputeResolved", "BatchCancelled"]
    published = event(tx, "DisputeResolved")
    assert {**published, "key": bytes(published["key"])} == {
        "key": KEY,
        "batchId": 1,
        "account": park.buyer,
        "upheld": True,
        "bondTo": park.buyer,
        "bond": BOND,
        "finalizableAt": 0,
    }
    assert event(tx, "BatchCancelled")["account"] == getattr(park, who)
    assert settlement.batchStatus(1) == CANCELLED
    assert settlement.disputeOf(1) == NO_DISPUTE
    assert (park.escrow(), park.credit_escrow()) == (before, credits_before)
    assert not any(settlement.isSettled(trade.seq) for trade in batch.trades)
    assert settlement.nextToFinalize() == 2


def test_frozen_credits_end_a_dispute(park: Park, batch: Batch) -> None:
    """VS-25, VS-53: anyone cancels, at once, and the bond goes back."""
    before = park.escrow()
    park.propose(batch, KEY)
    park.dispute(1, batch, 0, by=park.buyer)
    park.credits.freeze(ASSET, True, {"from": park.stranger})
    park.cancel_batch(1, batch, by=park.stranger)
    assert park.escrow() == before
