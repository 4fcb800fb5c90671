"""The evidence tree: one root over every reading of a period, and a proof for each of them.

A leaf is ``keccak(keccak(abi.encode(...)))`` over eight words of fixed width, so that an inner node
(the hash of 64 bytes) never passes as a reading::

    bytes32 meter      keccak of the meter's serial, UTF-8
    uint64  start      first second of the interval, UTC since 1970
    uint64  end        first second after it
    int256  digits     value = digits / 10^scale, in kW or kWh; 0 when missing
    uint8   scale
    uint8   kind       1 power in kW, 2 energy in kWh
    uint16  quality    what became of it and why, see ``records.Quality``
    bytes32 text       keccak of the number's text as received, empty when missing

The tree is OpenZeppelin's ``StandardMerkleTree``: leaves sorted by hash, a complete binary tree in
an array with the root first, each inner node the hash of its two children in ascending order. A
contract verifies its proofs with ``MerkleProof.verify``.

A month of four turbines is 71,000 hashes, most of the time that its reductions take: ``tiny_keccak`` makes one in
0.4 us, where all else has a library that needs 0.7 (decision 0059).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from operator import eq
from struct import Struct

from tiny_keccak import keccak256

from ledger.errors import BadInput, Refused
from ledger.reductions.records import Meter
from ledger.reductions.runs import Reading

# Start, end and digits, each in a word of 32 bytes; a negative number is filled up with ones.
_FRONT = Struct(">24xQ24xQ24xQ")
_FRONT_NEGATIVE = Struct(">24xQ24xQ24sq")
_MINUS = b"\xff" * 24
_LEAF_BYTES = 32


def meter_hash(serial: str) -> bytes:
    """Return what names a meter in the evidence: the hash of its serial."""
    return keccak256(serial.encode("utf-8"))


def leaf_data(meter: bytes, reading: Reading) -> bytes:
    """Return the 256 bytes of a reading.

    ``abi.encode(bytes32,uint64,uint64,int256,uint8,uint8,uint16,bytes32)``, as the module says.
    """
    return b"".join(
        (
            meter,
            reading.start_s.to_bytes(32, "big"),
            reading.end_s.to_bytes(32, "big"),
            reading.digits.to_bytes(32, "big", signed=True),
            reading.scale.to_bytes(32, "big"),
            reading.kind.to_bytes(32, "big"),
            reading.quality.to_bytes(32, "big"),
            keccak256(reading.text.encode("utf-8")),
        )
    )


def leaf_hash(meter: bytes, reading: Reading) -> bytes:
    """Return the leaf of a reading: its data, hashed twice."""
    return keccak256(keccak256(leaf_data(meter, reading)))


def leaves_of(meters: Iterable[Meter]) -> list[bytes]:
    """Return the leaves of every reading, in the order of the meters and their readings.

    The same as ``leaf_hash`` one by one, with the calls drawn together and the words that repeat
    made once for a run: a meter-year is some fifty thousand leaves.
    """
    return [leaf for leaves in _leaves_by_run(meters) for leaf in leaves]


def _leaves_by_run(meters: Iterable[Meter]) -> Iterator[list[bytes]]:
    for meter in meters:
        name = meter_hash(meter.serial)
        for (seconds, kind, quality, scale), starts, digits, texts in meter.runs:
            middle = b"".join(number.to_bytes(32, "big") for number in (scale, kind, quality))
            pack = _FRONT.pack if min(digits) >= 0 else _front_of_any_sign
            yield [
                keccak256(
                    keccak256(
                        name
                        + pack(start_s, start_s + seconds, value)
                        + middle
                        + keccak256(text.encode())
                    )
                )
                for start_s, value, text in zip(starts, digits, texts, strict=True)
            ]


def _front_of_any_sign(start_s: int, end_s: int, digits: int) -> bytes:
    if digits >= 0:
        return _FRONT.pack(start_s, end_s, digits)
    return _FRONT_NEGATIVE.pack(start_s, end_s, _MINUS, digits)


def evidence_root(meters: Iterable[Meter]) -> tuple[str, int]:
    """Return the root over every reading as ``0x`` and 64 digits, and the number of leaves.

    Raises
    ------
    BadInput
        There is no reading.
    Refused
        A reading stands twice.
    """
    leaves = _Ordered()
    for of_run in _leaves_by_run(meters):
        leaves.add(of_run)
    count = len(leaves)
    return "0x" + _root_of(leaves).hex(), count


def hash_pair(left: bytes, right: bytes) -> bytes:
    """Return the parent of two nodes; their order does not matter."""
    return keccak256(left + right if left < right else right + left)


def merkle_tree(leaves: Sequence[bytes]) -> list[bytes]:
    """Return the whole tree: the root first, the children of node i at 2i+1 and 2i+2.

    Parameters
    ----------
    leaves
        Leaf hashes of 32 bytes, in any order.

    Raises
    ------
    BadInput
        There is no leaf: an empty tree proves nothing.
    Refused
        A leaf stands twice.
    """
    if not leaves:
        raise _without_reading()
    ordered = _sorted(leaves)
    inner = len(ordered) - 1
    tree = [b""] * inner + ordered
    # From the last level up: the children of a level are all there when it is made.
    end = inner
    while end > 0:
        first = end // 2
        tree[first:end] = [
            keccak256(left + right if left < right else right + left)
            for left, right in zip(
                tree[2 * first + 1 : 2 * end + 1 : 2],
                tree[2 * first + 2 : 2 * end + 2 : 2],
                strict=True,
            )
        ]
        end = first
    return tree


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes in any order: the first node of ``merkle_tree``, in less memory."""
    ordered = _Ordered()
    ordered.add(leaves)
    return _root_of(ordered)


class _Ordered:
    """Leaves in the order of a tree. A million of them as bytes of their own are 72 MB, and here 32.

    They lie in parts by their first byte, of which one at a time is sorted.
    """

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(256)]

    def add(self, leaves: Iterable[bytes]) -> None:
        parts = self._parts
        for leaf in leaves:
            parts[leaf[0]] += leaf

    def __len__(self) -> int:
        return sum(map(len, self._parts)) // _LEAF_BYTES

    def taken(self) -> Iterator[bytes]:
        """Yield them in order; what was yielded is not kept."""
        while self._parts:
            whole = bytes(self._parts.pop())
            yield from _sorted(
                [whole[at : at + _LEAF_BYTES] for at in range(0, len(whole), _LEAF_BYTES)]
            )


def _root_of(leaves: _Ordered) -> bytes:
    """Return the root of the tree, level by level from the last one up; each is gone when the next one is made."""
    count = len(leaves)
    if not count:
        raise _without_reading()
    level: Iterable[bytes] = leaves.taken()
    while count > 1:
        nodes = iter(level)
        # Of an odd number, the first has its sibling a level further up: it is the last one there.
        first = list(islice(nodes, count % 2))
        level = [
            keccak256(left + right if left < right else right + left)
            for left, right in zip(nodes, nodes, strict=True)
        ] + first
        count = len(level)
    return next(iter(level))


def _sorted(leaves: Iterable[bytes]) -> list[bytes]:
    """Return leaves in the order of a tree.

    Raises
    ------
    Refused
        One stands twice.
    """
    ordered = sorted(leaves, reverse=True)
    if any(map(eq, ordered, islice(ordered, 1, None))):
        twice = next(one for one, other in pairwise(ordered) if one == other)
        raise Refused(f"the reading with leaf 0x{twice.hex()} stands twice", code="reading-twice")
    return ordered


def _without_reading() -> BadInput:
    return BadInput("an evidence tree needs at least one reading", code="empty-evidence")


def proof_of(tree: Sequence[bytes], leaf: bytes) -> list[bytes]:
    """Return the siblings from a leaf up to the root.

    Raises
    ------
    BadInput
        The leaf does not stand in the tree.
    """
    try:
        place = tree.index(leaf, len(tree) // 2)
    except ValueError:
        raise BadInput(f"0x{leaf.hex()} is no leaf of this tree", code="no-such-leaf") from None
    proof = []
    while place > 0:
        proof.append(tree[place - 1 if place % 2 == 0 else place + 1])
        place = (place - 1) // 2
    return proof
