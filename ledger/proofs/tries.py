"""Tries for a prover: built from what a block holds, or gathered from what a node sends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.proofs.verifier import rlp
from ledger.proofs.verifier.trie import EMPTY_ROOT, keccak256

Entry = tuple[bytes, bytes]
"""Digits of the key, one in each byte, and the value."""


class Trie:
    """The trie over a list, as blocks keep their transactions and receipts: keyed by the place.

    Parameters
    ----------
    values
        What stands in the list, in its order; none is empty.
    """

    def __init__(self, values: Sequence[bytes]) -> None:
        self._nodes: dict[bytes, bytes] = {}
        entries = sorted((digits_of(place_key(at)), value) for at, value in enumerate(values))
        self.root = EMPTY_ROOT
        if entries:
            top = rlp.encode(self._node(entries, 0))
            self.root = keccak256(top)
            self._nodes[self.root] = top

    def proof(self, place: int) -> list[bytes]:
        """Return the nodes from the root down to an entry, or to where it is missing."""
        return path(self.root, place_key(place), self._nodes.values())

    def _node(self, entries: Sequence[Entry], depth: int) -> list[rlp.Item]:
        first = entries[0][0]
        if len(entries) == 1:
            return [packed_path(first[depth:], leaf=True), entries[0][1]]
        shared = shared_digits(first, entries[-1][0], depth)
        if shared:
            below = self._reference(self._node(entries, depth + shared))
            return [packed_path(first[depth : depth + shared], leaf=False), below]
        branch: list[rlp.Item] = [b""] * 17
        for digit in range(16):
            part = [entry for entry in entries if entry[0][depth : depth + 1] == bytes([digit])]
            if part:
                branch[digit] = self._reference(self._node(part, depth + 1))
        return branch

    def _reference(self, node: list[rlp.Item]) -> rlp.Item:
        """Return what stands for a node in its parent: itself when it is short, else its hash."""
        data = rlp.encode(node)
        if len(data) < 32:
            return node
        digest = keccak256(data)
        self._nodes[digest] = data
        return digest


def place_key(place: int) -> bytes:
    """Return the key of a place in a list."""
    return rlp.encode(rlp.digits_of(place))


def path(root: bytes, key: bytes, nodes: Iterable[bytes]) -> list[bytes]:
    """Return those nodes that lead from a root towards a key, in order.

    Nodes differ in what they send: some list short nodes beside the parents that hold them already, some
    repeat. What is missing here, the verifier will say.
    """
    known = {keccak256(node): node for node in nodes}
    digits, found = digits_of(key), []
    reference: rlp.Item = root
    while reference:
        if isinstance(reference, bytes):
            if reference not in known:
                break
            found.append(known[reference])
            node = rlp.list_of(rlp.decode(known[reference]))
        else:
            node = reference
        if len(node) == 17:
            reference, digits = (node[digits[0]] if digits else b""), digits[1:]
            continue
        packed = node[0] if isinstance(node[0], bytes) else b""
        part = digits_of(packed)[1 if packed[0] & 16 else 2 :]
        is_leaf = bool(packed[0] & 32)
        reference = b"" if is_leaf or digits[: len(part)] != part else node[1]
        digits = digits[len(part) :]
    return found


def digits_of(key: bytes) -> bytes:
    """Return the digits of a key, one in each byte."""
    return bytes(digit for byte in key for digit in (byte >> 4, byte & 15))


def shared_digits(one: bytes, other: bytes, depth: int) -> int:
    """Return how many digits two keys share from a depth on."""
    at = depth
    while at < min(len(one), len(other)) and one[at] == other[at]:
        at += 1
    return at - depth


def packed_path(digits: bytes, *, leaf: bool) -> bytes:
    """Return digits as a node keeps them: whether it is a leaf, and whether they are odd, in front."""
    flag = 2 * leaf + len(digits) % 2
    full = bytes([flag]) + digits if len(digits) % 2 else bytes([flag, 0]) + digits
    return bytes(full[at] << 4 | full[at + 1] for at in range(0, len(full), 2))
