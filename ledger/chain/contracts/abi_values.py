"""Values as the ABI lays them out, by their types: for whatever has no generated decoder.

eth_abi brings a grammar of types and a validator of models with it, an eighth of a second and 15 MiB. Who follows a
chain reads values of one word each, be they a view's or an error's, and needs none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

_READS_PER_BYTE = 4
"""How often eth_abi may read each byte, on average. Of what an encoder wrote it reads offsets twice, the rest once."""


def encoded(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return values as the arguments of a call are laid out.

    Raises
    ------
    ValueError
        A value is none of its type, such as a number below zero.
    """
    if not types and not values:
        return b""
    from eth_abi.abi import encode
    from eth_abi.exceptions import EncodingError

    try:
        return encode(types, values)
    except EncodingError as error:
        raise ValueError(str(error)) from error


def decoded(types: Sequence[str], content: bytes) -> tuple[Any, ...]:
    """Return the values that were laid out.

    Raises
    ------
    Exception
        As eth_abi does, of many kinds, if the bytes are no such values, or come to many times what they are.
    """
    plain = _plain(types, content)
    return _decoder().decode(types, content) if plain is None else plain


@cache
def _decoder() -> Any:
    """Return eth_abi's decoder, which reads so much and no more: any number of offsets may lead to the same bytes.

    Of 115 kB that a stranger sends for a few cents it would make 100 MB otherwise.
    """
    from eth_abi.codec import ABIDecoder
    from eth_abi.decoding import ContextFramesBytesIO
    from eth_abi.registry import registry

    class Frugal(ContextFramesBytesIO):
        def __init__(self, content: bytes) -> None:
            super().__init__(content)  # type: ignore[no-untyped-call]
            self._left = _READS_PER_BYTE * len(content)

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            self._left -= len(found)
            if self._left < 0:
                raise ValueError("it leads to the same bytes again and again")
            return found

    class Decoder(ABIDecoder):
        stream_class = Frugal

    return Decoder(registry)


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
