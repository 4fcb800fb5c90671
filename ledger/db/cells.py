"""Rows as the binary array that MariaDB takes beside a prepared INSERT, see ``arrays``.

A row is the cells of its columns, one after the other: a byte that says whether there is a value, and the value. Whole
numbers are eight bytes, texts stand behind their length. Cells are made ready a column at once, and all rows are put
together by one call.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import cast

Plain = int | str | None
"""What a bulk insert takes."""
NUMBER, ASCII, TEXT = 8, 252, 253
"""MariaDB's LONGLONG, BLOB and VAR_STRING: a text of ASCII alone is sent as bytes, so that it is not converted."""
_HERE, _NULL = b"\0", b"\1"
_LENGTHS = {251: (1, b""), 2**16: (2, b"\xfc"), 2**24: (3, b"\xfd"), 2**64: (8, b"\xfe")}
"""How lengths below a bound are written: in so many bytes, after a mark."""


@dataclass(frozen=True)
class Array:
    """The values of many rows.

    Parameters
    ----------
    types
        MariaDB's type of each column.
    values
        The rows' cells, row by row.
    rows
        How many rows.
    """

    types: Sequence[int]
    values: bytes
    rows: int


def array_of(columns: Sequence[Sequence[Plain]]) -> Array:
    """Return rows, given by column.

    Raises
    ------
    TypeError
        A value is neither a whole number nor text nor None.
    UnicodeEncodeError
        A text is none: it has half of a character.
    """
    made = [_column(column) for column in columns]
    parts = itertools.chain.from_iterable(parts for _, parts in made)
    rows = zip(*parts, strict=False)  # what all rows have in common has no end
    values = b"".join(itertools.chain.from_iterable(rows))
    return Array([kind for kind, _ in made], values, len(columns[0]))


def _column(column: Sequence[Plain]) -> tuple[int, Sequence[Iterable[bytes]]]:
    """Return the type of a column, and the parts that its cells are put together from."""
    kinds = set(map(type, column))
    if not kinds <= {int, str, NoneType}:
        raise TypeError(f"a bulk insert takes int, str and None, found {kinds}")
    if NoneType in kinds:
        kind, parts = _column([value for value in column if value is not None])
        there = map(b"".join, zip(*parts, strict=False))
        return kind, ([_NULL if value is None else next(there) for value in column],)
    if kinds == {int}:
        with suppress(struct.error):  # beyond 64 bits: the server will say so
            return NUMBER, (_numbers(cast("Sequence[int]", column)),)
    return _texts(cast("Sequence[str]", column if kinds == {str} else list(map(str, column))))


def _numbers(numbers: Sequence[int]) -> Sequence[bytes]:
    count = len(numbers)
    # "x" is a zero byte: there is a value
    return struct.unpack("9s" * count, struct.pack("<" + "xq" * count, *numbers))


def _texts(texts: Sequence[str]) -> tuple[int, Sequence[Iterable[bytes]]]:
    kind = ASCII if "".join(texts).isascii() else TEXT
    encoded = [text.encode() for text in texts]
    lengths = list(map(len, encoded))
    before = {length: _before(length) for length in set(lengths)}
    if len(before) == 1:  # hashes and addresses
        return kind, (itertools.repeat(*before.values()), encoded)
    return kind, (map(before.__getitem__, lengths), encoded)


@lru_cache(maxsize=2**10)
def _before(length: int) -> bytes:
    """Return what stands before a text of so many bytes."""
    size, mark = next(said for end, said in _LENGTHS.items() if length < end)
    return _HERE + mark + length.to_bytes(size, "little")
