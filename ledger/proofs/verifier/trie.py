"""Merkle-Patricia tries (Yellow Paper, appendix D): what stands under a key.

A proof has the nodes that are met on the way from the root, each that is referred to by its hash, once,
in order. A node under 32 bytes stands in its parent instead.
"""

import sha3  # type: ignore[import-untyped]

from ledger.proofs.verifier import rlp
from ledger.proofs.verifier.errors import require


def keccak256(data: bytes) -> bytes:
    """Return the keccak-256 of some bytes, as Ethereum has it."""
    return bytes(sha3.keccak_256(data).digest())


EMPTY_ROOT = keccak256(rlp.encode(b""))


def lookup(root: bytes, key: bytes, nodes: list[bytes]) -> bytes:
    """Return the value under a key; it is empty where the proof shows that there is none.

    The key is as the trie has it: hashed already, where it hashes its keys.
    """
    reference: rlp.Item = b"" if root == EMPTY_ROOT else root
    path, met, value = key.hex(), 0, b""  # each digit of the path leads one branch down
    while reference != b"":  # an empty list is no reference
        if isinstance(reference, bytes):
            require(met < len(nodes), "its proof ends before the key")
            require(keccak256(nodes[met]) == reference, "a node of its proof has another hash")
            reference, met = rlp.decode(nodes[met]), met + 1
        else:
            require(len(rlp.encode(reference)) < 32, "a node of its proof is not hashed")
        node = rlp.list_of(reference, 2, 17)
        if len(node) == 17:  # a branch: a reference for each digit, then a value
            value = b"" if path else rlp.bytes_of(node[16])
            reference, path = node[int(path[0], 16)] if path else b"", path[1:]
            continue
        is_leaf, digits = _unpacked(rlp.bytes_of(node[0]))
        require(node[1] and (is_leaf or digits), "a node of its proof leads nowhere")
        follows, path = path.startswith(digits), path[len(digits) :]
        value = rlp.bytes_of(node[1]) if is_leaf and follows and not path else b""
        reference = node[1] if follows and not is_leaf else b""
    require(met == len(nodes), "nodes of its proof belong to no path")
    return value


def _unpacked(packed: bytes) -> tuple[bool, str]:
    """Return whether a node is a leaf, and its digits, whose number may be odd."""
    digits = packed.hex()
    require(digits[:1] in ("1", "3") or digits[:2] in ("00", "20"), "a path of its proof is none")
    return digits[0] in "23", digits[1 if digits[0] in "13" else 2 :]
