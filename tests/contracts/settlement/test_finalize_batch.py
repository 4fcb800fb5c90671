"""finalizeBatch and skipClosed."""

from typing import Any

import pytest

from tests.contracts.park import (
    ASSET,
    CANCELLED,
    FINALIZED,
    NONE,
    WINDOW_S,
    Batch,
    Park,
    TradeOf,
    event,
    refusal,
)
from tests.support.forms import long

pytestmark = pytest.mark.usefixtures("three_with_money")

KEY = b"\x01" * 32


def trade_of(park: Park, seq: int, cents: int = 100) -> Batch:
    """Return a batch in which the buyer owes the owner some cents."""
    return Batch([TradeOf(seq, park.buyer.address, park.owner.address, cents * 1000, 100)])


@pytest.fixture
def batch(park: Park) -> Batch:
    """A batch in which two pay one."""
    return Batch(
        [
            TradeOf(1, park.buyer.address, park.owner.address, 1_000_000, 200),
            TradeOf(2, park.market.address, park.owner.address, 1_000_000, 50),
        ]
    )


def refused(park: Park, batch_id: int, batch: Batch, **changes: Any) -> tuple[Any, ...]:
    given = {"accounts": batch.accounts, "nets": batch.nets, "credit_nets": batch.credit_nets}
    outcome = tuple({**given, **changes}.values())
    return refusal(park.settlement.finalizeBatch, batch_id, outcome, sender=park.stranger)


def test_a_batch_is_proposed(park: Park, batch: Batch) -> None:
    """VS-20: none that is not there, no final one again, no cancelled one."""
    assert refused(park, 1, batch) == ("BatchNotProposed", 1, NONE)
    assert refused(park, 0, batch) == ("BatchNotProposed", 0, NONE)
    park.propose(batch)
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, batch)
    assert refused(park, 1, batch) == ("BatchNotProposed", 1, FINALIZED)
    other = trade_of(park, 3)
    park.propose(other)
    park.cancel_batch(2, other)
    assert refused(park, 2, other) == ("BatchNotProposed", 2, CANCELLED)


def test_accounts_and_nets_are_those_of_the_proposal(park: Park, batch: Batch) -> None:
    """VS-20: nobody is paid what is not theirs."""
    park.propose(batch)
    park.mine_at(park.now + WINDOW_S)
    wrong = ("WrongNets", 1)
    accounts, nets = batch.accounts, batch.nets
    stranger = park.stranger.address
    for index in range(3):
        other = [*accounts[:index], stranger, *accounts[index + 1 :]]
        assert refused(park, 1, batch, accounts=other) == wrong
        more = [*nets[:index], nets[index] + 1, *nets[index + 1 :]]
        assert refused(park, 1, batch, nets=more) == wrong
    assert refused(park, 1, batch, accounts=accounts[:-1], nets=nets[:-1]) == wrong
    assert refused(park, 1, batch, credit_nets=[0, 0, 0]) == wrong
    assert refused(park, 1, batch, accounts=[], nets=[]) == wrong
    assert refused(park, 1, batch, nets=[-net for net in nets]) == wrong
    assert refused(park, 1, batch, accounts=[*accounts, stranger], nets=[*nets, 5]) == wrong


def test_a_window_is_over(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-20: in its last second it is open, in the next it is not."""
    park.propose(batch)
    until = settlement.finalizableAt(1)
    assert until == park.now + WINDOW_S
    park.mine_at(until - 1)
    assert refused(park, 1, batch) == ("WindowOpen", 1, until)
    park.mine_at(until)
    settlement.finalizeBatch.call(1, batch.outcome, {"from": park.stranger})


def test_batches_are_finalized_in_order(park: Park, settlement: Any) -> None:
    """VS-21: one that waits for none, and none before it."""
    batches = [trade_of(park, seq) for seq in (1, 2, 3)]
    for each in batches:
        park.propose(each)
    park.mine_at(park.now + WINDOW_S)
    assert refused(park, 2, batches[1]) == ("OutOfOrder", 2, 1)
    assert refused(park, 3, batches[2]) == ("OutOfOrder", 3, 1)
    park.finalize(1, batches[0])
    assert settlement.nextToFinalize() == 2
    assert refused(park, 3, batches[2]) == ("OutOfOrder", 3, 2)
    park.finalize(2, batches[1])
    park.finalize(3, batches[2])
    assert settlement.nextToFinalize() == 4


def test_cancelled_batches_are_left_out(park: Park, settlement: Any) -> None:
    """VS-21: at the front, in the middle, several in a row."""
    batches = {number: trade_of(park, number) for number in range(1, 8)}
    for each in batches.values():
        park.propose(each)
    for number in (5, 2, 3, 1, 6):
        park.cancel_batch(number, batches[number])
    park.mine_at(park.now + WINDOW_S)
    assert settlement.nextToFinalize() == 4
    assert refused(park, 7, batches[7]) == ("OutOfOrder", 7, 4)
    park.finalize(4, batches[4])
    assert settlement.nextToFinalize() == 7
    park.finalize(7, batches[7])
    assert settlement.nextToFinalize() == 8


def test_skip_cancelled(park: Park, settlement: Any) -> None:
    """VS-21, VS-23: anyone moves the order on, past cancelled batches alone."""
    batches = {number: trade_of(park, number) for number in range(1, 6)}
    for each in batches.values():
        park.propose(each)
    for number in (1, 2, 3, 5):
        park.cancel_batch(number, batches[number])
    settlement.skipClosed(2, {"from": park.stranger})
    assert settlement.nextToFinalize() == 4
    settlement.skipClosed(100, {"from": park.stranger})
    settlement.skipClosed(100, {"from": park.stranger})
    park.mine_at(park.now + WINDOW_S)
    park.finalize(4, batches[4])
    settlement.skipClosed(100, {"from": park.stranger})
    assert settlement.nextToFinalize() == 6


@long
def test_many_cancelled_batches(park: Park, settlement: Any) -> None:
    """VS-21, VS-23: more than a finalization passes by itself wait for nobody in particular."""
    for number in range(1, 34):
        each = trade_of(park, number)
        park.propose(each)
        park.cancel_batch(number, each)
    last = trade_of(park, 1)
    assert park.propose(last) == 34
    park.mine_at(park.now + WINDOW_S)
    assert refused(park, 34, last) == ("OutOfOrder", 34, 33)
    settlement.skipClosed(1, {"from": park.stranger})
    tx = park.finalize(34, last)
    assert tx.gas_used < 300_000


def test_a_pause_stops_finalization(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-30: until the admin resumes."""
    park.propose(batch)
    park.mine_at(park.now + WINDOW_S)
    settlement.pause({"from": park.pauser})
    assert refused(park, 1, batch) == ("EnforcedPause",)
    settlement.unpause({"from": park.admin})
    park.finalize(1, batch)


def test_finalize_batch(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-17, VS-20: by a stranger; event, status and every balance."""
    park.propose(batch, KEY)
    proposed = {park.buyer: 8000, park.owner: 10_000, park.market: 9500, "locked": 2500}
    assert park.escrow() == proposed
    park.mine_at(park.now + WINDOW_S)

    tx = park.finalize(1, batch)

    assert tx.sender == park.stranger
    assert [each.name for each in tx.events] == ["BatchFinalized"]
    published = event(tx, "BatchFinalized")
    assert published["batchId"] == 1
    assert bytes(published["key"]) == KEY
    assert bytes(published["tradesRoot"]) == batch.root(KEY)
    assert (published["fee"], published["feeCollector"]) == (0, park.issuer)
    assert settlement.batchStatus(1) == FINALIZED
    assert bytes(settlement.tradesRootOf(1)) == batch.root(KEY)
    assert settlement.isSettled(1)
    assert park.escrow() == {park.buyer: 8000, park.owner: 12_500, park.market: 9500}


def test_credits_are_transferable(park: Park) -> None:
    """VS-25: at finalization too; a batch of cash does not mind."""
    park.deposit_credits(park.owner, 1000)
    trade = TradeOf(1, park.buyer.address, park.owner.address, 1000, 10)
    dvp = Batch([trade], asset=ASSET)
    park.propose(dvp)
    park.mine_at(park.now + WINDOW_S)
    park.credits.freeze(ASSET, True, {"from": park.stranger})
    assert refused(park, 1, dvp) == ("AssetNotTransferable", ASSET)
    park.credits.freeze(ASSET, False, {"from": park.stranger})
    park.finalize(1, dvp)


def test_finalize_batch_of_credits(park: Park, settlement: Any) -> None:
    """VS-24: cash one way and credits the other, in one call; all of it can leave."""
    park.deposit_credits(park.owner, 5000)
    buyer, owner, market = (each.address for each in (park.buyer, park.owner, park.market))
    trades = [
        TradeOf(1, buyer, owner, 3000, 5_000),
        TradeOf(2, market, buyer, 1000, 6_000),
        TradeOf(3, market, owner, 500, -1_000),
    ]
    dvp = Batch(trades, asset=ASSET)
    park.propose(dvp)
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, dvp)
    assert park.escrow() == {
        park.buyer: 10_000 - 150 + 60,
        park.owner: 10_000 + 150 - 5,
        park.market: 10_000 - 60 + 5,
    }
    assert park.credit_escrow() == {park.buyer: 2000, park.owner: 1500, park.market: 1500}
    settlement.withdrawCredits(park.stranger, ASSET, 2000, {"from": park.buyer})
    assert park.credits.balanceOf(park.stranger, ASSET) == 2000
