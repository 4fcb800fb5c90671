"""RLP, read strictly: every value has one spelling, and no other is accepted.

The encoding is of the Ethereum Yellow Paper, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ledger.proofs.verifier.errors import ProofError

Item: TypeAlias = "bytes | list[Item]"

_DEPTH_MAX = 16
"""Nothing that is proven here nests deeper: a log in a receipt has four levels."""


def decode(data: bytes, what: str) -> Item:
    """Return the one item that some bytes are.

    Raises
    ------
    ProofError
        They are not RLP, not in its one spelling, or more follows.
    """
    item, end = _item(data, 0, what, 0)
    if end != len(data):
        raise ProofError(what, f"{what}: {len(data) - end} bytes follow the RLP")
    return item


def decode_list(data: bytes, what: str) -> list[Item]:
    """Return the items of a list; see ``decode``."""
    item = decode(data, what)
    if not isinstance(item, list):
        raise ProofError(what, f"{what}: a list is expected")
    return item


def _item(data: bytes, at: int, what: str, depth: int) -> tuple[Item, int]:
    if at >= len(data) or depth > _DEPTH_MAX:
        raise ProofError(what, f"{what}: the RLP is cut short or nested too deep")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    length = first - (0xC0 if is_list else 0x80)
    start = at + 1
    if length > 55:
        size = length - 55
        digits = data[start : start + size]
        start += size
        length = int.from_bytes(digits, "big")
        if len(digits) < size or digits[0] == 0 or length <= 55:
            raise ProofError(what, f"{what}: a length in RLP is not in its one spelling")
    end = start + length
    if end > len(data):
        raise ProofError(what, f"{what}: the RLP is cut short")
    if not is_list:
        if length == 1 and data[start] < 0x80:
            raise ProofError(what, f"{what}: a byte in RLP is not in its one spelling")
        return data[start:end], end
    items: list[Item] = []
    while start < end:
        item, start = _item(data[:end], start, what, depth + 1)
        items.append(item)
    return items, end


def encode(item: bytes | Sequence[object]) -> bytes:
    """Return the RLP of bytes, or of a sequence of such.

    Raises
    ------
    TypeError
        Something else stands in it.
    """
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _head(len(item), 0x80) + item
    if not isinstance(item, (list, tuple)):
        raise TypeError(f"RLP has no {type(item).__name__}")
    body = b"".join(encode(part) for part in item)
    return _head(len(body), 0xC0) + body


def _head(length: int, base: int) -> bytes:
    if length <= 55:
        return bytes([base + length])
    digits = bytes_of(length)
    return bytes([base + 55 + len(digits)]) + digits


def bytes_of(number: int) -> bytes:
    """Return a number as RLP stores it: big-endian, without zeros in front; zero is empty."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def number_of(item: Item, what: str, bytes_max: int = 32) -> int:
    """Return a number from its RLP item.

    Raises
    ------
    ProofError
        It is a list, too long, or has zeros in front.
    """
    if isinstance(item, list) or len(item) > bytes_max or item[:1] == b"\0":
        raise ProofError(what, f"{what}: a number is not in its one spelling")
    return int.from_bytes(item, "big")


def bytes_item(item: Item, what: str, length: int | None = None) -> bytes:
    """Return an item that is bytes, of a length where one is given.

    Raises
    ------
    ProofError
        It is a list or has another length.
    """
    if isinstance(item, list) or (length is not None and len(item) != length):
        raise ProofError(what, f"{what}: {length or 'some'} bytes are expected")
    return item
