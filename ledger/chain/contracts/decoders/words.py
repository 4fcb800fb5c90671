"""Reading ABI-encoded bytes, and believing none of them.

A *body* is what was encoded: for an event its topics and then its data, for a call its arguments. Words at
places that are known before anything is read make a ``Layout``: they are read at once, and so is checked
that each holds no more than its type can. A reader of something that has no fixed length takes the body and
the place (in bytes) where it begins, and returns the value with the place where its bytes end. Values lie one
behind the other, with nothing between, padding of zeros and nothing after the last: the encoder of the contracts
writes nothing else, and whatever differs raises ``Malformed``.
"""

from __future__ import annotations

import struct
from binascii import unhexlify
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from ledger.jsontext import JSON_SAFE_INTEGER

_T = TypeVar("_T")
_ALL_BITS = (1 << 256) - 1
_WORD_HEX = 66
"""Characters of a word in hexadecimal, with ``0x``."""
_NUMBERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""How ``struct`` names unsigned numbers of so many bytes."""

Decoded = tuple[Any, bytes | None]
"""Of an event: its struct, and what its record in the credit log is the hash of."""


class Malformed(ValueError):
    """The bytes are not what the encoder would have written."""


def event_body(topics: Sequence[str], data: str) -> bytes:
    """Return the bytes of a log: its topics, and then its data."""
    for topic in topics:
        if len(topic) != _WORD_HEX:
            raise Malformed(f"a topic of {len(topic)} characters")
    return unhexlify("".join([topic[2:] for topic in topics]) + data[2:])


# ------------------------------------------------------------------------- layouts


class Layout:
    """Words that stand one behind the other, and what each holds.

    Parameters
    ----------
    kinds
        Types of the ABI, with a blank between them; and of words that are no value of their own ``topic``, the
        first of an event; ``offset``, to be held against where the value begins; ``at:N``, an offset
        that is N or wrong.

    Notes
    -----
    Unsigned numbers of up to 64 bits and truth values are read as such. Of the others the bytes are read that
    may be other than zero: ``integer``, ``sint``, ``country`` or ``bytes.hex`` make values of them.
    """

    def __init__(self, kinds: str) -> None:
        self._kinds = kinds.split()
        self._size = 32 * len(self._kinds)
        layouts = [_of_word(kind) for kind in self._kinds]
        self._unpack = struct.Struct(">" + "".join([code for code, _, _ in layouts])).unpack
        self._fixed = _joined(fixed for _, fixed, _ in layouts)
        self._expected = _joined(expected for _, _, expected in layouts)

    def whole(self, body: bytes) -> tuple[Any, ...]:
        """Read a body that ends with these words."""
        if len(body) != self._size:
            raise Malformed(f"{len(body)} bytes instead of {self._size}")
        if int.from_bytes(body) & self._fixed != self._expected:
            raise self._refused(body)
        return self._unpack(body)

    def begin(self, body: bytes) -> tuple[Any, ...]:
        """Read a body that begins with these words."""
        begun = body[: self._size]
        at_least(begun, self._size)
        if int.from_bytes(begun) & self._fixed != self._expected:
            raise self._refused(begun)
        return self._unpack(begun)

    def at(self, body: bytes, place: int) -> tuple[Any, ...]:
        """Read the words at a place of a body."""
        return self.begin(body[place:])

    def _refused(self, body: bytes) -> Malformed:
        """Return what is wrong: the first word that is not what it may be."""
        for number, kind in enumerate(self._kinds):
            _, fixed, expected = _of_word(kind)
            found = body[32 * number : 32 * (number + 1)]
            if int.from_bytes(found) & fixed != expected:
                break
        if kind.startswith("at:"):
            return Malformed("a value does not begin where the one before it ends")
        return Malformed(f"word {number} is no {kind}: {found.hex()}")


def _joined(words: Iterable[int]) -> int:
    return int.from_bytes(b"".join(map(word, words)))


def _of_word(kind: str) -> tuple[str, int, int]:
    """Return how ``struct`` reads a word; which of its bits the type fixes, and to what."""
    if kind.startswith("at:"):
        return "32x", _ALL_BITS, int(kind.removeprefix("at:"))
    name = kind.rstrip("0123456789")
    if name == "topic":
        return "32x", 0, 0
    if name == "bool":
        return "31x?", _ALL_BITS - 1, 0
    if name == "int":  # before a negative number stand ones
        return "32s", 0, 0
    number = int(kind.removeprefix(name) or {"address": 160, "offset": 64}[name])
    if name == "bytes":
        return f"{number}s{32 - number}x", _ALL_BITS >> 8 * number, 0
    size = next((size for size in _NUMBERS if 8 * size >= number), number // 8)
    return f"{32 - size}x{_NUMBERS.get(size, f'{size}s')}", _ALL_BITS - (1 << number) + 1, 0


# --------------------------------------------------------------------------- places


def at_least(body: bytes, length: int) -> None:
    """Require so many bytes or more."""
    if len(body) < length:
        raise Malformed(f"{len(body)} bytes, {length} at least")


def ends(body: bytes, end: int) -> None:
    """Require that nothing follows."""
    if len(body) != end:
        raise Malformed(f"{len(body) - end} bytes after the last value")


def tail(offset: int, frame: int, begin: int) -> int:
    """Require that an offset, counted from ``frame``, is that of where a value must begin; return the place."""
    if offset != begin - frame:
        raise Malformed("a value does not begin where the one before it ends")
    return begin


@lru_cache(1024)
def word(number: int) -> bytes:
    """Return a number as a word."""
    return number.to_bytes(32)


# --------------------------------------------------------- values of one word

integer = int.from_bytes
"""An unsigned number."""


def sint(found: bytes, bits: int) -> int:
    """Return a signed number."""
    value = int.from_bytes(found, signed=True)
    if not -1 <= value >> (bits - 1) <= 0:
        raise Malformed(f"{value} has more than {bits} bits")
    return value


@lru_cache(1024)
def country(code: bytes) -> str:
    """Return an ISO 3166 code as text; empty when none was given; hexadecimal when it is no text."""
    letters = code.rstrip(b"\0")
    if not letters or (letters.isascii() and letters.isalnum()):
        return letters.decode()
    return "0x" + code.hex()


# -------------------------------------------------------------- values in arrays


def uint256(body: bytes, at: int) -> int:
    """Return an unsigned number of a whole word."""
    return int.from_bytes(body[at : at + 32])


def int256(body: bytes, at: int) -> int:
    """Return a signed number of a whole word."""
    return int.from_bytes(body[at : at + 32], signed=True)


def uint64(body: bytes, at: int) -> int:
    """Return an unsigned number of 64 bits."""
    value = int.from_bytes(body[at : at + 32])
    if value >> 64:
        raise Malformed(f"{value} has more than 64 bits")
    return value


def address(body: bytes, at: int) -> str:
    """Return an address as lower-case text."""
    if any(body[at : at + 12]):
        raise Malformed("an address of more than 20 bytes")
    return "0x" + body[at + 12 : at + 32].hex()


def bytes32(body: bytes, at: int) -> str:
    """Return a word as hexadecimal text."""
    return "0x" + body[at : at + 32].hex()


# ------------------------------------------------------- values of any length


def octets(body: bytes, at: int) -> tuple[bytes, int]:
    """Return bytes of any number, and where they end."""
    begin = at + 32
    after = begin + int.from_bytes(body[at:begin])
    end = after + (begin - after) % 32
    if body[after:end].strip(b"\0") or len(body) < end:
        at_least(body, end)
        raise Malformed("bytes are not padded with zeros")
    return body[begin:after], end


def hex_bytes(body: bytes, at: int) -> tuple[str, int]:
    """Return bytes as hexadecimal text, and where they end."""
    value, end = octets(body, at)
    return "0x" + value.hex(), end


def text(body: bytes, at: int) -> tuple[str, int]:
    r"""Return a text, and where it ends.

    A contract bounds the length of a text and not its content: bytes that are no UTF-8 are shown as
    ``\xff``, and stop nobody.
    """
    value, end = octets(body, at)
    return value.decode("utf-8", "backslashreplace"), end


def strict_text(body: bytes, at: int) -> tuple[str, int]:
    """Return a text that is UTF-8, and where it ends."""
    value, end = octets(body, at)
    return value.decode(), end


def array(body: bytes, at: int, reader: Callable[[bytes, int], _T]) -> tuple[list[_T], int]:
    """Return the values of an array, one word each, and where they end."""
    begin = at + 32
    end = begin + 32 * int.from_bytes(body[at:begin])
    at_least(body, end)
    return [reader(body, place) for place in range(begin, end, 32)], end


def hex_bytes_array(body: bytes, at: int) -> tuple[list[str], int]:
    """Return an array of byte strings as hexadecimal texts, and where they end."""
    frame = at + 32
    end = heads_end = frame + 32 * int.from_bytes(body[at:frame])
    at_least(body, end)
    values = []
    for place in range(frame, heads_end, 32):
        value, end = hex_bytes(body, tail(uint256(body, place), frame, end))
        values.append(value)
    return values, end


# ------------------------------------------------------------------------- JSON


def number(value: int) -> int | str:
    """Return a number as JSON can hold it: as text where readers with floating point would spoil it."""
    return value if -JSON_SAFE_INTEGER <= value <= JSON_SAFE_INTEGER else str(value)
