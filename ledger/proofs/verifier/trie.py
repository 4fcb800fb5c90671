"""Merkle-Patricia tries: what stands under a key, by the nodes from the root down to it.

The trie is of the Ethereum Yellow Paper, appendix D. A proof has each node that is referred to by its
hash, once, in the order of the path, and nothing else: junk in it is an error.
"""

from __future__ import annotations

from collections.abc import Iterable

import sha3  # type: ignore[import-untyped]

from ledger.proofs.verifier import rlp
from ledger.proofs.verifier.errors import ProofError

EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""Root of a trie without any entry: keccak of the RLP of an empty string."""


def keccak256(data: bytes) -> bytes:
    """Return the keccak-256 of some bytes, as Ethereum defines it."""
    return bytes(sha3.keccak_256(data).digest())


def lookup(root: bytes, key: bytes, nodes: Iterable[bytes], what: str) -> bytes | None:
    """Return the value under a key, or None when the proof shows that there is none.

    Parameters
    ----------
    root
        Hash of the trie's root node.
    key
        The key as the trie has it (hashed already, where the trie hashes its keys).
    nodes
        The nodes of the proof.
    what
        Name of the check, for errors.

    Raises
    ------
    ProofError
        The nodes do not lead from the root to the key.
    """
    path = [digit for byte in key for digit in (byte >> 4, byte & 15)]
    rest = list(nodes)
    if root == EMPTY_ROOT and not rest:
        return None
    node: rlp.Item | None = _fetch(root, rest, what)
    value: bytes | None = None
    while node is not None:
        node, value = _step(node, path, what)
        if isinstance(node, bytes):
            node = _fetch(node, rest, what) if node else None
    if rest:
        raise ProofError(what, f"{what}: {len(rest)} nodes of the proof belong to no path")
    return value


def _step(node: rlp.Item, path: list[int], what: str) -> tuple[rlp.Item | None, bytes | None]:
    """Take the digits that a node stands for off the path; return where it leads, or its value."""
    if not isinstance(node, list):
        raise ProofError(what, f"{what}: a node of the proof is no list")
    if len(node) == 17:
        if not path:
            return None, rlp.bytes_item(node[16], what) or None
        return _child(node[path.pop(0)], what), None
    if len(node) != 2:
        raise ProofError(what, f"{what}: a node of the proof has {len(node)} parts")
    is_leaf, digits = _digits(rlp.bytes_item(node[0], what), what)
    if path[: len(digits)] != digits:
        return None, None
    del path[: len(digits)]
    if not is_leaf:
        child = _child(node[1], what)
        if child == b"":
            raise ProofError(what, f"{what}: an extension of the proof leads nowhere")
        return child, None
    if path:
        return None, None
    value = rlp.bytes_item(node[1], what)
    if not value:
        raise ProofError(what, f"{what}: a leaf of the proof is empty")
    return None, value


def _child(item: rlp.Item, what: str) -> rlp.Item:
    """Return a reference: a hash, nothing, or a node that is small enough to stand in its parent."""
    if isinstance(item, list):
        if len(rlp.encode(item)) >= 32:
            raise ProofError(what, f"{what}: a node stands in its parent that must be hashed")
    elif len(item) not in (0, 32):
        raise ProofError(what, f"{what}: a reference of the proof is no hash")
    return item


def _digits(packed: bytes, what: str) -> tuple[bool, list[int]]:
    """Return whether a node is a leaf, and its digits, from their packed form."""
    if not packed or packed[0] >> 4 > 3 or (not packed[0] >> 4 & 1 and packed[0] & 15):
        raise ProofError(what, f"{what}: a path of the proof is not in its one spelling")
    digits = [digit for byte in packed for digit in (byte >> 4, byte & 15)]
    flag = digits[0]
    digits = digits[1 if flag & 1 else 2 :]
    if flag < 2 and not digits:
        raise ProofError(what, f"{what}: an extension of the proof is empty")
    return flag >= 2, digits


def _fetch(reference: bytes, rest: list[bytes], what: str) -> rlp.Item:
    if not rest:
        raise ProofError(what, f"{what}: the proof ends before the key")
    node = rest.pop(0)
    if keccak256(node) != reference:
        raise ProofError(what, f"{what}: a node of the proof is not the one that is referred to")
    return rlp.decode_list(node, what)
