"""The root of a batch, and verifyTrade."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.park import Batch, Park, TradeOf, merkle_proof, merkle_tree

KEY = b"\x01" * 32
OPENZEPPELIN_ROOT = "0x568e190ad96c5f9763dea23f8523c0e570e23927b949689d326c95bb626483b9"


@pytest.fixture(scope="module", autouse=True)
def money(park: Park) -> None:
    """Enough for every batch here."""
    for account in (park.buyer, park.owner, park.market):
        park.deposit(account, 10**9)


def batch_of(park: Park, count: int) -> Batch:
    """Return a batch of a number of trades among three accounts, prices of either sign."""
    parties = [park.buyer.address, park.owner.address, park.market.address]
    return Batch(
        [
            TradeOf(n * 7, parties[n % 3], parties[(n + 1) % 3], 1000 + n, (-1) ** n * (500 + n))
            for n in range(count)
        ]
    )


def test_one_trade(park: Park, settlement: Any) -> None:
    """VS-19: its leaf is the root, and the proof is empty."""
    batch = batch_of(park, 1)
    park.propose(batch, KEY)
    assert bytes(settlement.tradesRootOf(1)) == batch.leaves(KEY)[0]
    assert settlement.verifyTrade(1, batch.trades[0].values, [])


def test_a_root_from_openzeppelin() -> None:
    """VS-19: literals of StandardMerkleTree.of(trades, types, {sortLeaves: false}), version 1.0.8."""
    parties = [f"0x{n:040x}" for n in (0x11, 0x22, 0x33)]
    trades = [
        TradeOf(1, parties[0], parties[1], 1_000, 2_000_000),
        TradeOf(2, parties[1], parties[2], 250_000, -1_234),
        TradeOf(2**63, parties[2], parties[0], 7, 5),
    ]
    assert "0x" + Batch(trades).root(KEY).hex() == OPENZEPPELIN_ROOT


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 13, 64])
def test_every_trade_is_provable(park: Park, settlement: Any, count: int) -> None:
    """VS-19: the contract's root is that of the model, and each leaf has its proof."""
    batch = batch_of(park, count)
    park.propose(batch, KEY)
    leaves = batch.leaves(KEY)
    assert bytes(settlement.tradesRootOf(1)) == merkle_tree(leaves)[0]
    for position, trade in enumerate(batch.trades):
        assert settlement.verifyTrade(1, trade.values, merkle_proof(leaves, position))


def test_an_altered_trade_is_not_provable(park: Park, settlement: Any) -> None:
    """VS-19: with any of its fields changed, or with another's proof, or of another batch."""
    batch = batch_of(park, 6)
    park.propose(batch, KEY)
    leaves = batch.leaves(KEY)
    trade, proof = batch.trades[2], merkle_proof(leaves, 2)
    assert settlement.verifyTrade(1, trade.values, proof)
    for name, value in vars(trade).items():
        other = park.stranger.address if isinstance(value, str) else value + 1
        changed = list(replace(trade, **{name: other}).values)
        changed[5] = trade.cents
        assert not settlement.verifyTrade(1, changed, proof), name
    assert not settlement.verifyTrade(1, [*trade.values[:5], trade.cents + 1], proof)
    assert not settlement.verifyTrade(1, trade.values, merkle_proof(leaves, 3))
    assert not settlement.verifyTrade(1, trade.values, proof[:-1])
    assert not settlement.verifyTrade(2, trade.values, proof)
    again = Batch([replace(each, seq=each.seq + 1000) for each in batch.trades])
    park.propose(again)
    assert not settlement.verifyTrade(2, trade.values, proof)


def test_the_key_is_in_every_leaf(park: Park, settlement: Any) -> None:
    """VS-19: the same trades under another key have another root."""
    batch = batch_of(park, 3)
    park.propose(batch, KEY)
    park.cancel_batch(1, batch)
    other = park.new_key()
    park.propose(batch, other)
    assert bytes(settlement.tradesRootOf(1)) == batch.root(KEY)
    assert bytes(settlement.tradesRootOf(2)) == batch.root(other) != batch.root(KEY)
    assert not settlement.verifyTrade(2, batch.trades[0].values, merkle_proof(batch.leaves(KEY), 0))


def test_an_inner_node_is_no_trade(park: Park, settlement: Any) -> None:
    """VS-19: nothing is provable of a batch that is not there, nor a node as a leaf."""
    trade = batch_of(park, 1).trades[0]
    assert not settlement.verifyTrade(1, trade.values, [])
    batch = batch_of(park, 4)
    park.propose(batch, KEY)
    tree = merkle_tree(batch.leaves(KEY))
    assert not settlement.verifyTrade(1, trade.values, [])
    assert not settlement.verifyTrade(1, trade.values, [tree[1]])
    assert not settlement.verifyTrade(1, trade.values, [tree[2]])
