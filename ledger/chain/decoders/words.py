"""Reading ABI-encoded bytes word by word, and believing none of them.

A *body* is what was encoded: for an event its topics and then its data, for a call its arguments. Every
reader takes the body and the place (in bytes) of the value's head; a reader of something that has no
fixed length also takes the place that its offset counts from (the *frame*) and the place where its bytes
must begin (the *tail*), and returns the value with the place where its bytes end. Values lie one behind
the other, with nothing between, padding of zeros and nothing after the last: the encoder of the contracts
writes nothing else, and whatever differs raises ``Malformed``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ledger.chain.layout import JSON_SAFE_INTEGER

_T = TypeVar("_T")
_NOTHING = bytes(32)
_WORD_HEX = 66
"""Characters of a word in hexadecimal, with ``0x``."""

Decoded = tuple[Any, bytes | None]
"""Of an event: its struct, and what its record in the credit log is the hash of."""


class Malformed(ValueError):
    """The bytes are not what the encoder would have written."""


def event_body(topics: Sequence[str], data: str) -> bytes:
    """Return the bytes of a log: its topics, and then its data."""
    for topic in topics:
        if len(topic) != _WORD_HEX:
            raise Malformed(f"a topic of {len(topic)} characters")
    text = "".join([topic[2:] for topic in topics]) + data[2:]
    return of_hex(text)


def of_hex(text: str) -> bytes:
    """Return the bytes of hexadecimal digits."""
    body = bytes.fromhex(text)
    if 2 * len(body) != len(text):  # fromhex overlooks blanks
        raise Malformed("blanks between the digits")
    return body


# ------------------------------------------------------------------------- lengths


def fixed(body: bytes, length: int) -> None:
    """Require so many bytes."""
    if len(body) != length:
        raise Malformed(f"{len(body)} bytes instead of {length}")


def at_least(body: bytes, length: int) -> None:
    """Require so many bytes or more."""
    if len(body) < length:
        raise Malformed(f"{len(body)} bytes, {length} at least")


def ends(body: bytes, end: int) -> None:
    """Require that nothing follows."""
    if len(body) != end:
        raise Malformed(f"{len(body) - end} bytes after the last value")


def tail(body: bytes, head: int, frame: int, begin: int) -> int:
    """Require that the offset at ``head`` points where the value must begin; return that place."""
    if int.from_bytes(body[head : head + 32]) != begin - frame:
        raise Malformed("a value does not begin where the one before it ends")
    return begin


def moved(body: bytes, head: int, by: int) -> bytes:
    """Return the offset at ``head``, counted from a frame that begins ``by`` bytes earlier."""
    return (int.from_bytes(body[head : head + 32]) + by).to_bytes(32)


# --------------------------------------------------------- values of one word


def uint256(body: bytes, at: int) -> int:
    """Return an unsigned number of a whole word."""
    return int.from_bytes(body[at : at + 32])


def uint(body: bytes, at: int, bits: int) -> int:
    """Return an unsigned number of fewer bits."""
    value = int.from_bytes(body[at : at + 32])
    if value >> bits:
        raise Malformed(f"{value} has more than {bits} bits")
    return value


def sint(body: bytes, at: int, bits: int) -> int:
    """Return a signed number."""
    value = int.from_bytes(body[at : at + 32], signed=True)
    if not -1 <= value >> (bits - 1) <= 0:
        raise Malformed(f"{value} has more than {bits} bits")
    return value


def uint64(body: bytes, at: int) -> int:
    """Return an unsigned number of 64 bits."""
    return uint(body, at, 64)


def int256(body: bytes, at: int) -> int:
    """Return a signed number of a whole word."""
    return int.from_bytes(body[at : at + 32], signed=True)


def boolean(body: bytes, at: int) -> bool:
    """Return a truth value: 0 or 1, nothing else."""
    value = int.from_bytes(body[at : at + 32])
    if value > 1:
        raise Malformed(f"{value} is neither true nor false")
    return bool(value)


def address(body: bytes, at: int) -> str:
    """Return an address as lower-case text."""
    if body[at : at + 12] != _NOTHING[:12]:
        raise Malformed("an address of more than 20 bytes")
    return "0x" + body[at + 12 : at + 32].hex()


def bytes32(body: bytes, at: int) -> str:
    """Return a word as hexadecimal text."""
    return "0x" + body[at : at + 32].hex()


def short_bytes(body: bytes, at: int, size: int) -> str:
    """Return the first bytes of a word as hexadecimal text; the rest must be zeros."""
    if any(body[at + size : at + 32]):
        raise Malformed(f"more than {size} bytes")
    return "0x" + body[at : at + size].hex()


def country(body: bytes, at: int) -> str:
    """Return an ISO 3166 code as text; empty when none was given; hexadecimal when it is no text."""
    if body[at + 2 : at + 32] != _NOTHING[2:]:
        raise Malformed("more than 2 bytes")
    text = body[at : at + 2].rstrip(b"\0")
    if not text or (text.isascii() and text.isalnum()):
        return text.decode()
    return "0x" + body[at : at + 2].hex()


# ------------------------------------------------------- values of any length


def octets(body: bytes, head: int, frame: int, begin: int) -> tuple[bytes, int]:
    """Return bytes of any number, and where they end."""
    return _octets(body, tail(body, head, frame, begin))


def _octets(body: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(body[at : at + 32])
    end = at + 32 + (size + 31) // 32 * 32
    at_least(body, end)
    value = body[at + 32 : at + 32 + size]
    if body[at + 32 + size : end] != _NOTHING[: end - at - 32 - size]:
        raise Malformed("bytes are not padded with zeros")
    return value, end


def hex_bytes(body: bytes, head: int, frame: int, begin: int) -> tuple[str, int]:
    """Return bytes as hexadecimal text, and where they end."""
    value, end = octets(body, head, frame, begin)
    return "0x" + value.hex(), end


def text(body: bytes, head: int, frame: int, begin: int) -> tuple[str, int]:
    r"""Return a text, and where it ends.

    A contract bounds the length of a text and not its content: bytes that are no UTF-8 are shown as
    ``\xff``, and stop nobody.
    """
    value, end = octets(body, head, frame, begin)
    return value.decode("utf-8", errors="backslashreplace"), end


def strict_text(body: bytes, head: int, frame: int, begin: int) -> tuple[str, int]:
    """Return a text that is UTF-8, and where it ends."""
    value, end = octets(body, head, frame, begin)
    return value.decode("utf-8"), end


def array(
    body: bytes, head: int, frame: int, begin: int, reader: Callable[[bytes, int], _T]
) -> tuple[list[_T], int]:
    """Return the values of an array, one word each, and where they end."""
    at = tail(body, head, frame, begin)
    count = int.from_bytes(body[at : at + 32])
    end = at + 32 + 32 * count
    at_least(body, end)
    return [reader(body, place) for place in range(at + 32, end, 32)], end


def hex_bytes_array(body: bytes, head: int, frame: int, begin: int) -> tuple[list[str], int]:
    """Return an array of byte strings as hexadecimal texts, and where they end."""
    at = tail(body, head, frame, begin)
    count = int.from_bytes(body[at : at + 32])
    frame = at + 32
    end = frame + 32 * count
    at_least(body, end)
    values = []
    for place in range(frame, end, 32):
        value, end = hex_bytes(body, place, frame, end)
        values.append(value)
    return values, end


# ------------------------------------------------------------------------- JSON


def number(value: int) -> int | str:
    """Return a number as JSON can hold it: as text where readers with floating point would spoil it."""
    return value if -JSON_SAFE_INTEGER <= value <= JSON_SAFE_INTEGER else str(value)
