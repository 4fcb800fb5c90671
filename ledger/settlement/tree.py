"""The Merkle tree over the trades of a batch, as the settlement contract computes it: its root, and proofs.

A leaf is ``keccak(keccak(abi.encode(key, seq, buyer, seller, quantity, price, cents)))``; pairs are
sorted before they are hashed; the two nodes at the head of a queue become one at its end, until one
is left. The contract does the same on chain, and the reconciliation compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiny_keccak import keccak256

from ledger.chain.contracts.abi_values import encoded
from ledger.settlement.words import unpack

_LEAF = ["bytes32", "uint64", "address", "address", "uint48", "int48", "int64"]


def leaf(key: str, accounts: Sequence[str], word: int) -> bytes:
    """Return the leaf of one trade of the batch with this key."""
    content = encoded(_LEAF, [bytes.fromhex(key[2:]), *fields(accounts, word)])
    return keccak256(keccak256(content))


def fields(accounts: Sequence[str], word: int) -> tuple[Any, ...]:
    """Return a trade of a batch in the order of the contract's struct."""
    trade = unpack(word)
    parties = accounts[trade.buyer], accounts[trade.seller]
    return trade.seq, *parties, trade.quantity_milli, trade.price_e4, trade.cents


def trades_root(key: str, accounts: Sequence[str], words: Sequence[int]) -> str:
    """Return the root over the trades of a batch, as hexadecimal text.

    Raises
    ------
    ValueError
        If there is no trade: no tree has no leaf.
    """
    if not words:
        raise ValueError("a batch has at least one trade")
    return "0x" + _nodes(key, accounts, words)[-1].hex()


def proof_of(key: str, accounts: Sequence[str], words: Sequence[int], place: int) -> list[bytes]:
    """Return the siblings from the leaf of a trade up to the root, by its place among the words."""
    nodes = _nodes(key, accounts, words)
    siblings = []
    while place < len(nodes) - 1:
        siblings.append(nodes[place ^ 1])
        place = len(words) + place // 2
    return siblings


def _nodes(key: str, accounts: Sequence[str], words: Sequence[int]) -> list[bytes]:
    """Return the leaves and what is above them, in the order in which the queue has them; the root is the last."""
    nodes = [leaf(key, accounts, word) for word in words]
    for at in range(0, 2 * len(words) - 2, 2):
        first, second = nodes[at : at + 2]
        nodes.append(keccak256(min(first, second) + max(first, second)))
    return nodes
