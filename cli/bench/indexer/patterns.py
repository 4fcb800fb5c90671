"""Encodings of events and calls of ``CarbonCredit`` made once, with holes for the words that differ each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from tiny_keccak import keccak256

from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.layout import canonical_type

Item = Mapping[str, Any]
_LOG_END = ("seq", "head")


def word(value: int | str) -> bytes:
    """Return a number, or an address as text, as the 32 bytes that it is encoded in."""
    number = int(value, 16) if isinstance(value, str) else value
    return number.to_bytes(32, "big")


@dataclass(frozen=True)
class Pattern:
    """Bytes with holes of a word each: what stands between the holes."""

    pieces: tuple[bytes, ...]

    def fill(self, words: Sequence[bytes]) -> bytes:
        """Return the bytes with a word in every hole."""
        parts = [self.pieces[0]]
        for each, piece in zip(words, self.pieces[1:], strict=True):
            parts += (each, piece)
        return b"".join(parts)

    def text(self, words: Sequence[bytes]) -> str:
        """Return the same as hexadecimal text."""
        return "0x" + self.fill(words).hex()


@dataclass(frozen=True)
class EventPattern:
    """An event: its first topic, its data, and what the credit log hashes of it.

    The words are those of the arguments that are not given, in declared order.
    """

    topic: bytes
    data: Pattern
    preimage: Pattern | None
    """Of the first topic, the indexed arguments and those before ``seq``; None outside the credit log."""

    def log(self, topics: Sequence[bytes], words: Sequence[bytes]) -> tuple[str, str]:
        """Return topics, as a JSON list holds them, and data."""
        shown = ",".join(f'"0x{each.hex()}"' for each in (self.topic, *topics))
        return shown, self.data.text(words)

    def record(self, topics: Sequence[bytes], words: Sequence[bytes]) -> bytes:
        """Return the hash that the credit log seals; the words end before ``seq``."""
        assert self.preimage is not None
        return keccak256(self.preimage.fill([*topics, *words]))


def event_pattern(name: str, given: Mapping[str, Any]) -> EventPattern:
    """Return an event whose named arguments are given, and whose others are holes.

    Indexed arguments stand first in all events of the credit log.
    """
    item = _entry("event", name)
    inputs: list[Item] = item["inputs"]
    signature = f"{name}({','.join(canonical_type(part) for part in inputs)})"
    topic = keccak(text=signature)
    body = [part for part in inputs if not part["indexed"]]
    preimage = None
    if tuple(part["name"] for part in inputs[-2:]) == _LOG_END:
        first: Item = {"name": "", "type": "bytes32"}
        preimage = _pattern([first, *inputs[:-2]], {**given, "": topic}, b"")
    return EventPattern(topic, _pattern(body, given, b""), preimage)


def call_pattern(name: str, given: Mapping[str, Any]) -> Pattern:
    """Return the call data of a function whose named arguments are given, and whose others are holes."""
    inputs: list[Item] = _entry("function", name)["inputs"]
    signature = f"{name}({','.join(canonical_type(part) for part in inputs)})"
    return _pattern(inputs, given, keccak(text=signature)[:4])


def _entry(kind: str, name: str) -> dict[str, Any]:
    (found,) = (
        item for item in artifact(CREDIT).abi if (item["type"], item.get("name")) == (kind, name)
    )
    return found


def _pattern(inputs: Sequence[Item], given: Mapping[str, Any], prefix: bytes) -> Pattern:
    """Encode the given values, noughts in place of the others, and cut at the noughts."""
    types = [canonical_type(part) for part in inputs]
    values = [given.get(part["name"], _nought(part)) for part in inputs]
    encoded = prefix + abi_encode(types, values)
    pieces, at, before = [], len(prefix), 0
    for part in inputs:
        words = 1 if _is_dynamic(part) else _words(part)
        if part["name"] not in given:
            for hole in range(at, at + 32 * words, 32):
                pieces.append(encoded[before:hole])
                before = hole + 32
        at += 32 * words
    return Pattern((*pieces, encoded[before:]))


def _nought(part: Item) -> Any:
    kind = part["type"]
    if kind == "tuple":
        return tuple(_nought(each) for each in part["components"])
    if kind.startswith("bytes"):
        return bytes(int(kind.removeprefix("bytes") or 0))
    return "0x" + "0" * 40 if kind == "address" else 0


def _is_dynamic(part: Item) -> bool:
    kind = part["type"]
    if kind == "tuple":
        return any(_is_dynamic(each) for each in part["components"])
    return kind in ("string", "bytes") or kind.endswith("]")


def _words(part: Item) -> int:
    if part["type"] == "tuple":
        return sum(_words(each) for each in part["components"])
    return 1
