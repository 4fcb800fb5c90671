"""Values as the ABI lays them out, by their types: for whatever has no generated decoder.

eth_abi brings a grammar of types and a validator of models with it, a quarter of a second of CPU. Who follows a
chain asks for functions without arguments and meets what the contracts' own encoder wrote, and needs none of it.
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
    from eth_abi.abi import decode

    return decode(types, content)
