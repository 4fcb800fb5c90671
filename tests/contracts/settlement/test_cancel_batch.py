"""cancelBatch."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.park import (
    ASSET,
    CANCELLED,
    FINALIZED,
    NONE,
    TIMEOUT_S,
    WINDOW_S,
    Batch,
    Park,
    TradeOf,
    event,
    refusal,
)

pytestmark = pytest.mark.usefixtures("three_with_money")

KEY = b"\x01" * 32


@pytest.fixture
def batch(park: Park) -> Batch:
    """Four trades among three accounts, over two mark words."""
    buyer, owner, market = (each.address for each in (park.buyer, park.owner, park.market))
    return Batch(
        [
            TradeOf(250, buyer, owner, 1_000_000, 200),
            TradeOf(255, owner, market, 1_000_000, -50),
            TradeOf(256, market, buyer, 750_000, 100),
            TradeOf(300, market, owner, 1_000, 100_000),
        ]
    )


def refused(park: Park, batch_id: int, batch: Batch, **changes: Any) -> tuple[Any, ...]:
    given = {"accounts": batch.accounts, "nets": batch.nets, "credit_nets": batch.credit_nets}
    given |= {"words": batch.words, "reason": "", "sender": park.operator} | changes
    *outcome, words, reason, sender = given.values()
    arguments = (batch_id, tuple(outcome), words, reason)
    return refusal(park.settlement.cancelBatch, *arguments, sender=sender)


def test_only_an_operator_or_an_arbiter_cancels(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-10: not the admin, nor a party of the trades."""
    park.propose(batch)
    for sender in (park.admin, park.pauser, park.buyer, park.stranger):
        assert refused(park, 1, batch, sender=sender) == ("MayNotCancel", 1, sender.address)
    park.cancel_batch(1, batch, by=park.verifier)  # the arbiter, though nobody has disputed it
    assert settlement.batchStatus(1) == CANCELLED
    for account in (park.buyer, park.owner, park.market):
        assert settlement.balanceOf(account) == 10_000


def test_a_pause_does_not_lock_for_ever(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-34: anyone gives the money back, when the time-out of a dispute has passed in vain."""
    park.propose(batch)
    settlement.pause({"from": park.pauser})
    finalizable_at = settlement.finalizableAt(1)
    park.mine_at(finalizable_at + TIMEOUT_S - 2)
    assert refused(park, 1, batch, sender=park.stranger) == (
        "MayNotCancel",
        1,
        park.stranger.address,
    )
    park.mine_at(finalizable_at + TIMEOUT_S)
    settlement.unpause({"from": park.admin})
    assert refused(park, 1, batch, sender=park.stranger)[0] == "MayNotCancel"
    settlement.pause({"from": park.pauser})
    park.cancel_batch(1, batch, by=park.stranger)
    assert settlement.batchStatus(1) == CANCELLED
    for account in (park.buyer, park.owner, park.market):
        assert settlement.balanceOf(account) == 10_000


def test_a_pause_of_a_moment_frees_nothing(park: Park, settlement: Any) -> None:
    """VS-34: what a dispute of the batch before held is no debtor's to cancel, until the pause has held as long."""
    buyer, owner = park.buyer.address, park.owner.address
    first = Batch([TradeOf(1, buyer, owner, 1000, 100_000)])
    second = Batch([TradeOf(2, buyer, owner, 1000, 200_000)])
    park.propose(first)
    park.propose(second)
    park.dispute(1, first, 0, by=park.buyer)
    park.mine_at(settlement.finalizableAt(2) + TIMEOUT_S)
    error = refusal(settlement.finalizeBatch, 2, second.outcome, sender=park.stranger)
    assert error == ("OutOfOrder", 2, 1)
    denied = ("MayNotCancel", 2, buyer)
    assert refused(park, 2, second, sender=park.buyer) == denied
    settlement.pause({"from": park.pauser})
    paused_at = park.now
    assert refused(park, 2, second, sender=park.buyer) == denied
    park.mine_at(paused_at + TIMEOUT_S - 1)
    assert refused(park, 2, second, sender=park.buyer) == denied
    park.next_block_at(paused_at + TIMEOUT_S)
    park.cancel_batch(2, second, by=park.buyer)
    assert settlement.batchStatus(2) == CANCELLED
    assert not settlement.isSettled(2)


def test_pauses_add_up(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-34: who resumes for a moment does not begin anew; a pause before the proposal does not count."""

    def pause_for(seconds: int) -> None:
        settlement.pause({"from": park.pauser})
        park.next_block_at(park.now + seconds)
        settlement.unpause({"from": park.admin})

    pause_for(2 * TIMEOUT_S)
    park.propose(batch)
    park.mine_at(settlement.finalizableAt(1) + TIMEOUT_S)
    pause_for(TIMEOUT_S // 2)
    assert refused(park, 1, batch, sender=park.buyer) == ("MayNotCancel", 1, park.buyer.address)
    settlement.pause({"from": park.pauser})
    half_at = park.now + TIMEOUT_S // 2
    park.mine_at(half_at - 1)
    assert refused(park, 1, batch, sender=park.buyer) == ("MayNotCancel", 1, park.buyer.address)
    park.next_block_at(half_at)
    park.cancel_batch(1, batch, by=park.buyer)
    assert settlement.batchStatus(1) == CANCELLED


def test_a_pause_within_a_long_window(park: Park, batch: Batch) -> None:
    """VS-34: however long a pause holds, the window is over for the time-out first."""
    long = park.settlement_in(park.currency, window=3 * TIMEOUT_S)
    for account in (park.buyer, park.owner, park.market):
        park.deposit(account, 10_000, long)
    arguments = (park.new_key(), batch.asset, batch.accounts, batch.words)
    long.proposeBatch(*arguments, {"from": park.operator})
    long.pause({"from": park.pauser})
    over_at = long.finalizableAt(1) + TIMEOUT_S
    park.mine_at(over_at - 1)
    call = (1, batch.outcome, batch.words, "")
    error = refusal(long.cancelBatch, *call, sender=park.buyer)
    assert error == ("MayNotCancel", 1, park.buyer.address)
    park.next_block_at(over_at)
    long.cancelBatch(*call, {"from": park.buyer})
    assert long.batchStatus(1) == CANCELLED


def test_anyone_cancels_what_cannot_be_finalized(park: Park, settlement: Any) -> None:
    """VS-25: a batch of credits that are not transferable, so that it does not hold the order."""
    park.deposit_credits(park.owner, 1000)
    before = (park.escrow(), park.credit_escrow())
    trade = TradeOf(1, park.buyer.address, park.owner.address, 1000, 10)
    dvp = Batch([trade], asset=ASSET)
    park.propose(dvp)
    park.credits.freeze(ASSET, True, {"from": park.stranger})
    tx = park.cancel_batch(1, dvp, by=park.stranger)
    assert event(tx, "BatchCancelled")["account"] == park.stranger
    assert (park.escrow(), park.credit_escrow()) == before
    assert not settlement.isSettled(1)
    assert settlement.nextToFinalize() == 2


def test_a_batch_is_proposed(park: Park, batch: Batch) -> None:
    """VS-22: none that is not there, no final one, no cancelled one again."""
    assert refused(park, 1, batch) == ("BatchNotOpen", 1, NONE)
    park.propose(batch)
    park.cancel_batch(1, batch)
    assert refused(park, 1, batch) == ("BatchNotOpen", 1, CANCELLED)
    park.propose(batch)
    park.mine_at(park.now + WINDOW_S)
    park.finalize(2, batch)
    assert refused(park, 2, batch) == ("BatchNotOpen", 2, FINALIZED)


def test_accounts_and_nets_are_those_of_the_proposal(park: Park, batch: Batch) -> None:
    """VS-22: nobody gets back what was not theirs."""
    park.propose(batch)
    nets = [net - 1 for net in batch.nets]
    assert refused(park, 1, batch, nets=nets) == ("WrongNets", 1)
    accounts = [*batch.accounts[:-1], park.stranger.address]
    assert refused(park, 1, batch, accounts=accounts) == ("WrongNets", 1)


def test_trades_are_those_of_the_proposal(park: Park, batch: Batch) -> None:
    """VS-22: no mark is taken from a trade of another batch, and none is left."""
    park.propose(batch)
    words = batch.words
    other = batch.word(replace(batch.trades[3], seq=301))
    wrong = ("WrongTrades", 1)
    assert refused(park, 1, batch, words=words[:-1]) == wrong
    assert refused(park, 1, batch, words=[*words, other]) == wrong
    assert refused(park, 1, batch, words=[*words[:-1], other]) == wrong
    middle = [words[0], words[2], words[1], words[3]]
    assert refused(park, 1, batch, words=middle) == ("SeqOutOfOrder", 255)
    # Pairs are sorted before they are hashed: the root is the same, the order is not.
    swapped = [words[1], words[0], *words[2:]]
    assert refused(park, 1, batch, words=swapped) == ("SeqOutOfOrder", 250)
    assert refused(park, 1, batch, words=[]) == ("EmptyBatch",)


def test_a_reason_is_bounded(park: Park, batch: Batch) -> None:
    """VS-22: 1,024 bytes are good, one more is not."""
    park.propose(batch)
    assert refused(park, 1, batch, reason="x" * 1025) == ("TextTooLong", 1025, 1024)
    tx = park.cancel_batch(1, batch, "x" * 1024)
    assert event(tx, "BatchCancelled")["reason"] == "x" * 1024


def test_a_pause_does_not_stop_cancellation(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-30: the way back stays open."""
    park.propose(batch)
    settlement.pause({"from": park.pauser})
    park.cancel_batch(1, batch)
    assert settlement.totalLocked() == 0


def test_cancel_batch(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-22: event, status, marks and every balance; after the window too."""
    neighbours = Batch(
        [TradeOf(seq, park.buyer.address, park.owner.address, 1, 0) for seq in (249, 254, 257)]
    )
    park.propose(neighbours)
    before = park.escrow()
    park.propose(batch, KEY)
    assert park.escrow() != before
    park.mine_at(park.now + WINDOW_S)

    tx = park.cancel_batch(2, batch, "prices were wrong")

    assert [each.name for each in tx.events] == ["BatchCancelled"]
    published = event(tx, "BatchCancelled")
    assert {**published, "key": bytes(published["key"])} == {
        "key": KEY,
        "batchId": 2,
        "account": park.operator,
        "reason": "prices were wrong",
    }
    assert settlement.batchStatus(2) == CANCELLED
    assert settlement.batchOfKey(KEY) == 2
    assert park.escrow() == before
    assert {seq for seq in range(600) if settlement.isSettled(seq)} == {249, 254, 257}


def test_a_cancelled_batch_may_come_again(park: Park, batch: Batch) -> None:
    """VS-16, VS-22: under another key, as if it had never been there."""
    park.propose(batch)
    first = park.escrow()
    park.cancel_batch(1, batch)
    assert park.propose(batch) == 2
    assert park.escrow() == first
    park.mine_at(park.now + WINDOW_S)
    park.finalize(2, batch)
    gains = dict(zip(batch.accounts, batch.nets, strict=True))
    expected = {account: 10_000 + gains[account.address] for account in park.accounts[4:7]}
    assert park.escrow() == expected


def test_cancel_batch_of_credits(park: Park, batch: Batch) -> None:
    """VS-22, VS-24: both legs, exactly."""
    park.deposit_credits(park.owner, 2_000_000)
    park.deposit_credits(park.market, 2_000_000)
    before = (park.escrow(), park.credit_escrow())
    dvp = Batch(batch.trades, asset=ASSET)
    park.propose(dvp)
    assert (park.escrow(), park.credit_escrow()) != before
    park.cancel_batch(1, dvp)
    assert (park.escrow(), park.credit_escrow()) == before
