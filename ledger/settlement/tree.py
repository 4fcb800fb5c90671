"""The Merkle root over the trades of a batch, as the settlement contract computes it.

A leaf is ``keccak(keccak(abi.encode(key, seq, buyer, seller, quantity, price, cents)))``; pairs are
sorted before they are hashed; the two nodes at the head of a queue become one at its end, until one
is left. The contract does the same on chain, and the reconciliation compares.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from tiny_keccak import keccak256

from ledger.chain.contracts.abi_values import encoded
from ledger.settlement.words import unpack

_LEAF = ["bytes32", "uint64", "address", "address", "uint48", "int48", "int64"]


def leaf(key: str, accounts: Sequence[str], word: int) -> bytes:
    """Return the leaf of one trade of the batch with this key."""
    trade = unpack(word)
    content = encoded(
        _LEAF,
        [
            bytes.fromhex(key[2:]),
            trade.seq,
            accounts[trade.buyer],
            accounts[trade.seller],
            trade.quantity_milli,
            trade.price_e4,
            trade.cents,
        ],
    )
    return keccak256(keccak256(content))


def trades_root(key: str, accounts: Sequence[str], words: Sequence[int]) -> str:
    """Return the root over the trades of a batch, as hexadecimal text.

    Raises
    ------
    ValueError
        If there is no trade: no tree has no leaf.
    """
    if not words:
        raise ValueError("a batch has at least one trade")
    queue = deque(leaf(key, accounts, word) for word in words)
    while len(queue) > 1:
        first, second = queue.popleft(), queue.popleft()
        queue.append(keccak256(min(first, second) + max(first, second)))
    return "0x" + queue[0].hex()
