"""The marks of settled trades, 256 to a storage word."""

from typing import Any

import pytest

from tests.contracts.park import CASH, Batch, Park, TradeOf, refusal
from tests.support.forms import long

KEY = b"\x01" * 32
START = 1_000_000 * 256


@pytest.fixture(scope="module", autouse=True)
def money(park: Park) -> None:
    """Enough for every batch here."""
    park.deposit(park.buyer, 10**9)


def batch_of(park: Park, seqs: list[int]) -> Batch:
    """Return a batch of trades of a cent each."""
    buyer, owner = park.buyer.address, park.owner.address
    return Batch([TradeOf(seq, buyer, owner, 1000, 100) for seq in seqs])


THREE_WORDS = [
    *range(START + 250, START + 256),  # the end of one
    *range(START + 256, START + 512, 5),  # a part of the next, its first and last bit too
    *range(START + 512, START + 520),  # the start of a third
]


@long
def test_each_trade_of_three_mark_words(park: Park, settlement: Any) -> None:
    """VS-16: each of them replayed singly is refused, and their neighbours are not."""
    park.propose(batch_of(park, THREE_WORDS))
    for seq in range(START + 245, START + 525):
        assert settlement.isSettled(seq) == (seq in THREE_WORDS)
        single = batch_of(park, [seq])
        arguments = (KEY, CASH, single.accounts, single.words)
        if seq in THREE_WORDS:
            error = refusal(settlement.proposeBatch, *arguments, sender=park.operator)
            assert error == ("AlreadySettled", seq)
        else:
            settlement.proposeBatch.call(*arguments, {"from": park.operator})


def test_a_mark_word_that_is_passed_over(park: Park, settlement: Any) -> None:
    """VS-16: two mark words that are not neighbours."""
    seqs = [3, 255, 10_000 * 256, 10_000 * 256 + 255, 2**64 - 1]
    park.propose(batch_of(park, seqs))
    for seq in seqs:
        assert settlement.isSettled(seq)
    for seq in (0, 2, 4, 254, 256, 10_000 * 256 + 1, 2**64 - 2):
        assert not settlement.isSettled(seq)


def test_batches_that_share_a_mark_word(park: Park, settlement: Any) -> None:
    """VS-16, VS-22: one is cancelled, the marks of the other stay."""
    odd = batch_of(park, [seq for seq in THREE_WORDS if seq % 2])
    even = batch_of(park, [seq for seq in THREE_WORDS if not seq % 2])
    park.propose(odd)
    park.propose(even)
    park.cancel_batch(1, odd)
    assert {seq for seq in THREE_WORDS if settlement.isSettled(seq)} == {
        seq for seq in THREE_WORDS if not seq % 2
    }
    mixed = batch_of(park, THREE_WORDS)
    arguments = (KEY, CASH, mixed.accounts, mixed.words)
    error = refusal(settlement.proposeBatch, *arguments, sender=park.operator)
    assert error == ("AlreadySettled", START + 250)
    park.propose(odd)
    assert all(settlement.isSettled(seq) for seq in THREE_WORDS)


def test_a_refused_batch_leaves_no_marks(park: Park, settlement: Any) -> None:
    """VS-16: neither before nor after the trade that was refused."""
    park.propose(batch_of(park, [START + 300]))
    batch = batch_of(park, [*THREE_WORDS[:4], START + 300, START + 600])
    arguments = (KEY, CASH, batch.accounts, batch.words, {"from": park.operator})
    from brownie.exceptions import VirtualMachineError

    with pytest.raises(VirtualMachineError, match="AlreadySettled"):
        settlement.proposeBatch(*arguments)
    marked = {seq for seq in range(START + 240, START + 610) if settlement.isSettled(seq)}
    assert marked == {START + 300}
    assert settlement.batchCount() == 1
