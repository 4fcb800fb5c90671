"""Values as the ABI lays them out, by their types: for whatever has no generated decoder.

eth_abi brings a grammar of types and a validator of models with it, an eighth of a second and 15 MiB. Who follows a
chain reads values of one word each, be they a view's or an error's, and needs none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def encoded(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return values as the arguments of a call are laid out."""
    if not types and not values:
        return b""
    from eth_abi.abi import encode

    return encode(types, values)


def decoded(types: Sequence[str], content: bytes) -> tuple[Any, ...]:
    """Return the values that were laid out.

    Raises
    ------
    Exception
        As eth_abi does, of many kinds, if the bytes are no such values.
    """
    plain = _plain(types, content)
    if plain is not None:
        return plain
    from eth_abi.abi import decode

    return decode(types, content)


def _plain(types: Sequence[str], content: bytes) -> tuple[Any, ...] | None:
    """Return values that are a word each; None where there is anything else, or more, or less."""
    if len(content) != 32 * len(types):
        return None
    words = [content[place : place + 32] for place in range(0, len(content), 32)]
    try:
        return tuple(map(_value, types, words))
    except ValueError:
        return None


def _value(kind: str, word: bytes) -> Any:
    """Return the value of a word; `ValueError` where its type has no such value, or takes more than a word."""
    name = kind.rstrip("0123456789")
    number = int.from_bytes(word, signed=name == "int")
    if name == "bytes" and name != kind:
        size = int(kind.removeprefix(name))
        if not any(word[size:]):
            return word[:size]
    elif name in ("uint", "int"):
        bits = int(kind.removeprefix(name)) - (name == "int")  # the sign has one of them
        if number >> bits in (0, -1):
            return number
    elif kind == "address" and not number >> 160:
        return "0x" + word[12:].hex()
    elif kind == "bool" and number in (0, 1):
        return bool(number)
    raise ValueError(kind)
