"""Values as the ABI lays them out, by their types: for whatever has no generated decoder.

eth_abi brings a grammar of types and a validator of models with it, an eighth of a second and 15 MiB. Who follows a
chain asks for functions without arguments that return numbers and hashes, and needs none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_HASH = "bytes32"
_BITS = {f"uint{bits}": bits for bits in range(8, 257, 8)}


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


def _plain(types: Sequence[str], content: bytes) -> tuple[int | bytes, ...] | None:
    """Return numbers and hashes, each of which is a word; None where there is anything else, or more, or less."""
    if len(content) != 32 * len(types):
        return None
    found: list[int | bytes] = []
    for place, kind in enumerate(types):
        word = content[32 * place :][:32]
        number = int.from_bytes(word)
        if kind == _HASH:
            found.append(bytes(word))
        elif kind in _BITS and not number >> _BITS[kind]:
            found.append(number)
        else:
            return None
    return tuple(found)
