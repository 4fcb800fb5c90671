"""Rows as the binary array that MariaDB takes beside a prepared INSERT, see ``arrays``.

A row is the cells of its columns, one after the other: a byte that says whether there is a value, and the value. Whole
numbers are eight bytes, texts stand behind their length. Columns are made ready as texts of which each character is one
byte: then all rows of a column are encoded by few calls, and a row is one template with its cells put in.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import cast

Plain = int | str | None
"""What a bulk insert takes."""
NUMBER, ASCII, TEXT = 8, 252, 253
"""MariaDB's types LONGLONG, BLOB and VAR_STRING: a text in ASCII alone is no text to it, so that it need not be converted."""
_HERE, _NULL = "\0", "\1"
_NUMBERS_END = 2**63
_NUMBER_BYTES = 8
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
    types, templates, cells = zip(*map(_column, columns), strict=True)
    row = "".join(templates)
    text = "".join(map(row.__mod__, zip(*cells, strict=True)))
    return Array(types, text.encode("latin-1"), len(columns[0]))


def _column(column: Sequence[Plain]) -> tuple[int, str, Sequence[str]]:
    """Return the type of a column, what of a row's template is its own, and what comes in there."""
    kinds = set(map(type, column))
    if not kinds <= {int, str, NoneType}:
        raise TypeError(f"a bulk insert takes int, str and None, found {kinds}")
    if NoneType in kinds:
        kind, template, there = _column([value for value in column if value is not None])
        each = map(template.__mod__, there)
        return kind, "%s", [_NULL if value is None else next(each) for value in column]
    if kinds == {int}:
        numbers = cast("Sequence[int]", column)
        if -_NUMBERS_END <= min(numbers) <= max(numbers) < _NUMBERS_END:
            return NUMBER, f"{_HERE}%s", _bytes_of(numbers)
    texts = cast("Sequence[str]", column if kinds == {str} else list(map(str, column)))
    return _texts(texts)


def _bytes_of(numbers: Sequence[int]) -> Sequence[str]:
    packed = struct.pack(f"<{len(numbers)}q", *numbers).decode("latin-1")
    return [packed[at : at + _NUMBER_BYTES] for at in range(0, len(packed), _NUMBER_BYTES)]


def _texts(texts: Sequence[str]) -> tuple[int, str, Sequence[str]]:
    kind = ASCII
    if not all(map(str.isascii, texts)):
        kind, texts = TEXT, [text.encode().decode("latin-1") for text in texts]
    lengths = set(map(len, texts))
    before = {length: _HERE + _length(length) for length in lengths}
    if len(lengths) == 1:  # hashes and addresses: the template has all but themselves
        (shared,) = before.values()
        return kind, shared.replace("%", "%%") + "%s", texts
    return kind, "%s", [before[len(text)] + text for text in texts]


def _length(length: int) -> str:
    """Return a length as it stands before a text."""
    size, mark = next(said for end, said in _LENGTHS.items() if length < end)
    return (mark + length.to_bytes(size, "little")).decode("latin-1")
