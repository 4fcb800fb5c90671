"""The Merkle root over trades: against a recursive tree of our own, and against the contract."""

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain.contracts.wrappers import encode_call
from ledger.settlement.tree import fields, leaf, proof_of, trades_root
from ledger.settlement.words import Trade, pack, unpack
from tests.support.chain import PARTIES, TestChain

KEY = "0x" + "5a" * 32
A, B = "0x" + "aa" * 20, "0x" + "bb" * 20


def trades(count: int) -> list[Trade]:
    return [
        Trade(seq, A if seq % 3 else B, B if seq % 3 else A, 1000 + seq * 7, seq * 31 - 200)
        for seq in range(1, count + 1)
    ]


def leaf_by_hand(key: str, accounts: tuple[str, ...], word: int) -> bytes:
    """Return a leaf by the field layout of the ABI, written out: 32 bytes for each value."""
    trade = unpack(word)
    numbers = (
        int(key, 16),
        trade.seq,
        int(accounts[trade.buyer], 16),
        int(accounts[trade.seller], 16),
        trade.quantity_milli,
        trade.price_e4 % 2**256,
        trade.cents % 2**256,
    )
    return keccak(keccak(b"".join(number.to_bytes(32, "big") for number in numbers)))


def recursive_root(leaves: list[bytes]) -> bytes:
    """Return OpenZeppelin's root of unsorted leaves: a complete binary tree laid out in an array.

    Node i has the children 2i+1 and 2i+2, and leaf n stands at the end of the array minus n.
    """
    size = 2 * len(leaves) - 1

    def node(index: int) -> bytes:
        if index >= len(leaves) - 1:
            return leaves[size - 1 - index]
        return keccak(b"".join(sorted((node(2 * index + 1), node(2 * index + 2)))))

    return node(0)


@pytest.mark.parametrize("count", [*range(1, 18), 31, 32, 33, 100])
def test_the_root_is_that_of_the_standard_merkle_tree(count: int) -> None:
    batch = pack(trades(count))
    leaves = [leaf_by_hand(KEY, batch.accounts, word) for word in batch.words]
    expected = "0x" + recursive_root(leaves).hex()
    assert trades_root(KEY, batch.accounts, batch.words) == expected


@given(
    st.integers(1, 2**64 - 1), st.integers(0, 2**40), st.integers(-(2**39), 2**39), st.booleans()
)
def test_a_leaf_covers_every_field(seq: int, quantity: int, price: int, turned: bool) -> None:
    buyer, seller = (B, A) if turned else (A, B)
    batch = pack([Trade(seq, buyer, seller, quantity, price)])
    expected = leaf_by_hand(KEY, batch.accounts, batch.words[0])
    assert leaf(KEY, batch.accounts, batch.words[0]) == expected
    assert leaf("0x" + "5b" * 32, batch.accounts, batch.words[0]) != expected


def test_no_trade_has_no_root() -> None:
    with pytest.raises(ValueError, match="at least one trade"):
        trades_root(KEY, [], [])


# ------------------------------------------------------------------------ the contract


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_the_contract_computes_the_same_root(chain: TestChain, count: int) -> None:
    first = 100 * count
    batch = pack(
        Trade(
            first + number,
            PARTIES["buyer" if number % 2 else "owner"],
            PARTIES["market"],
            1_000_000 + number,
            0 if number == 1 else number - 2,
        )
        for number in range(count)
    )
    chain.deposit("buyer", 10_000)
    chain.deposit("owner", 10_000)
    chain.deposit("market", 10_000)
    key = chain.new_key()
    arguments = [bytes.fromhex(key[2:]), 0, list(batch.accounts), list(batch.words)]
    chain.act("operator", "VppSettlement", "proposeBatch", arguments)
    address = chain.deployment.settlement.address
    call = encode_call("VppSettlement", "batchOfKey", [bytes.fromhex(key[2:])])
    batch_id = int(chain.client.call(address, call), 16)
    root = chain.client.call(address, encode_call("VppSettlement", "tradesRootOf", [batch_id]))
    assert root == trades_root(key, batch.accounts, batch.words)
    for place, word in enumerate(batch.words):
        proof = proof_of(key, batch.accounts, batch.words, place)
        for one, takes in ((word, True), (word ^ 1 << 112, False)):
            asked = [batch_id, fields(batch.accounts, one), proof]
            said = chain.client.call(address, encode_call("VppSettlement", "verifyTrade", asked))
            assert bool(int(said, 16)) is takes
