"""RLP (Yellow Paper, appendix B): bytes, and lists of items, in one encoding each.

What was read is encoded again and has to give the same bytes: so no other spelling ever passes.
"""

from typing import TypeAlias

from ledger.proofs.verifier.errors import ProofError, require

Item: TypeAlias = "bytes | list[Item]"


def encode(item: Item) -> bytes:
    """Return the encoding of an item."""
    if isinstance(item, list):
        base, body = 0xC0, b"".join([encode(part) for part in item])
    elif len(item) == 1 and item[0] < 0x80:
        return item
    else:
        base, body = 0x80, item
    if len(body) <= 55:
        return bytes([base + len(body)]) + body
    size = digits_of(len(body))
    return bytes([base + 55 + len(size)]) + size + body


def decode(data: bytes) -> Item:
    """Return the item that some bytes are.

    Raises
    ------
    ProofError
        If they are none, not in the one spelling of it, or lists are nested more than 100 deep.
    """
    try:
        item, _ = _read(data, 0, 100)
        require(encode(item) == data, "its RLP is not in its one spelling")
    except IndexError:
        raise ProofError("its RLP is cut short") from None
    return item


def _read(data: bytes, at: int, left: int) -> tuple[Item, int]:
    """Return the item at a place, and the place after it; ``left`` lists may still stand in each other."""
    first, start = data[at], at + 1
    if first < 0x80:
        return data[at:start], start
    base = 0xC0 if first >= 0xC0 else 0x80
    length = first - base
    if length > 55:
        size = data[start : start + length - 55]
        start, length = start + length - 55, int.from_bytes(size)
    end = start + length
    if base == 0x80:
        return data[start:end], end
    items: list[Item] = []
    require(left, "its RLP is nested too deep")
    while start < end:
        item, start = _read(data, start, left - 1)
        items.append(item)
    return items, start


def digits_of(number: int) -> bytes:
    """Return a number as RLP has it: big-endian, without zeros in front; zero is empty."""
    return number.to_bytes((number.bit_length() + 7) // 8)


def number_of(item: Item) -> int:
    """Return the number that an item is.

    Raises
    ------
    ProofError
        If it is none of 32 bytes at most, or has zeros in front.
    """
    data = bytes_of(item)
    require(len(data) <= 32 and data[:1] != b"\0", "a number in its RLP is not in its one spelling")
    return int.from_bytes(data)


def bytes_of(item: Item, length: int | None = None) -> bytes:
    """Return an item that is bytes, of a length where one is given.

    Raises
    ------
    ProofError
        If it is none.
    """
    if isinstance(item, list) or length not in (None, len(item)):
        raise ProofError(f"{length or 'some'} bytes are expected in its RLP")
    return item


def list_of(item: Item, *lengths: int) -> list[Item]:
    """Return an item that is a list, of one of the lengths where any are given.

    Raises
    ------
    ProofError
        If it is none.
    """
    if isinstance(item, bytes) or (lengths and len(item) not in lengths):
        raise ProofError(f"a list of {' or '.join(map(str, lengths))} is expected in its RLP")
    return item
