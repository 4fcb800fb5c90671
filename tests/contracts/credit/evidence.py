"""Readings and the tree over them, made from docs/evidence.md alone."""

from typing import NamedTuple

from eth_utils.crypto import keccak

from tests.contracts.park import merkle_proof, merkle_tree

POWER, ENERGY = 1, 2
USED = 100
Proven = tuple[bytes, "Reading", list[bytes]]


class Reading(NamedTuple):
    """One leaf: ICreditOversight.Reading, field by field."""

    meter: bytes
    start: int
    end: int
    digits: int
    scale: int
    kind: int
    quality: int
    text: bytes

    @property
    def leaf(self) -> bytes:
        """The leaf's hash, from eight words of 32 bytes."""
        words = (
            value if isinstance(value, bytes) else (value % 2**256).to_bytes(32, "big")
            for value in self
        )
        data = b"".join(words)
        assert len(data) == 256
        return keccak(keccak(data))


def reading(
    start: int, end: int, text: str = "457.76", meter: str = "T1", quality: int = USED
) -> Reading:
    """Return a reading of mean power in kW, its number as received."""
    digits, scale = 0, 0
    if text:
        whole, _, decimals = text.partition(".")
        digits, scale = int(whole + decimals), len(decimals)
    return Reading(keccak(text=meter), start, end, digits, scale, POWER, quality, keccak(text=text))


class Evidence:
    """Readings under one root."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = sorted(readings, key=lambda each: each.leaf)
        self.leaves = [each.leaf for each in self.readings]
        self.root = merkle_tree(self.leaves)[0]

    def proven(self, one: Reading) -> Proven:
        """Return a reading with its proof, as the contract takes it."""
        return self.root, one, merkle_proof(self.leaves, self.leaves.index(one.leaf))
