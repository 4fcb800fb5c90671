"""Rows as the text that ``LOAD DATA`` reads, and whether columns hold their values as they are.

A load is lenient where an INSERT is strict. So it is tried only with values of which the table's own
description says beforehand that they fit; whatever is not plainly so is left to an INSERT, which has its
own words for what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any, cast

from sqlalchemy import BigInteger, Boolean, Column, Enum, Integer, SmallInteger, String, Text

from ledger.models import Base
from ledger.models.types import ExactDecimal, Hex, Varchar

Plain = int | str | None
"""What a bulk insert takes."""
Fits = Callable[[Sequence[Plain]], bool]

FORMAT = (
    "CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n'"
)
"""How ``text_of`` writes, in the words of LOAD DATA."""
_NULL = "\\N"
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
"""How a cell writes what ends one, or begins an escape; that itself comes first."""
_BITS = ((SmallInteger, 15), (BigInteger, 63), (Integer, 31))


def text_of(columns: Iterable[Sequence[Plain]]) -> bytes:
    """Return rows, given by column, as lines of cells with tabs between them.

    Raises
    ------
    UnicodeEncodeError
        A text is none: it has half of a character.
    """
    rows = map("\t".join, zip(*map(_cells, columns), strict=True))
    return ("\n".join(rows) + "\n").encode("utf-8")


def _cells(column: Sequence[Plain]) -> Sequence[str]:
    kinds = set(map(type, column))
    if NoneType in kinds:
        there = iter(_cells([value for value in column if value is not None]))
        return [_NULL if value is None else next(there) for value in column]
    if kinds == {int}:
        return list(map(str, column))
    if kinds <= {str}:
        return _escaped(cast("Sequence[str]", column))
    return _escaped([str(value) for value in column])


def _escaped(texts: Sequence[str]) -> Sequence[str]:
    together = "".join(texts)
    for special, written in _ESCAPES.items():
        if special in together:  # hardly ever, and then in few of them
            texts = [text.replace(special, written) for text in texts]
    return texts


def fit(table: str, columns: Mapping[str, Sequence[Plain]]) -> bool:
    """Return whether a table holds all of these values exactly, and lacks no other column.

    Columns may stand in the quotes that MariaDB wants around ``key``. False is no more than a doubt: the table
    may not be known here.
    """
    checks, required = _checks_of(table)
    plain = {name.strip("`"): column for name, column in columns.items()}
    if not required <= plain.keys() <= checks.keys():
        return False
    return all(checks[name](column) for name, column in plain.items())


@lru_cache(maxsize=128)
def _checks_of(table: str) -> tuple[dict[str, Fits], frozenset[str]]:
    """Return a check for each column of a table, and the columns that every row must say."""
    found = Base.metadata.tables.get(table)
    if found is None:
        return {}, frozenset({""})
    checks = {column.name: _check_of(column) for column in found.columns}
    numbered = found.autoincrement_column
    required = frozenset(
        column.name
        for column in found.columns
        if not column.nullable and column.server_default is None and column is not numbered
    )
    return checks, required


def _check_of(column: Column[Any]) -> Fits:
    """Return a function that says whether a column holds all of some values."""
    if isinstance(column.type, ExactDecimal):
        return _check_of_decimals(column.type, column.nullable)
    takes, holds = _of_type(column.type)
    allowed = {takes, NoneType} if column.nullable else {takes}

    def fits(values: Sequence[Plain]) -> bool:
        kinds = set(map(type, values))
        if not kinds <= allowed:
            return False
        if NoneType in kinds:
            return holds([value for value in values if value is not None])
        return holds(values)

    return fits


def _check_of_decimals(kind: ExactDecimal, nullable: bool | None) -> Fits:
    """Return a check of decimals, which come as text, or as whole numbers where all of them are whole."""
    digits = max(kind.precision - kind.scale, 1)
    written, whole = _of_text(kind), _within(1 - 10**digits, 10**digits - 1)

    def fits(values: Sequence[Plain]) -> bool:
        said: list[Any] = [value for value in values if value is not None]
        if len(said) < len(values) and not nullable:
            return False
        kinds = set(map(type, said))
        if kinds <= {int}:
            return whole(said)
        return kinds == {str} and written(said)

    return fits


def _of_type(kind: Any) -> tuple[type, Callable[[Sequence[Any]], bool]]:
    """Return which Python type a column's values have, and a check of many of them."""
    if isinstance(kind, Boolean):
        return int, _within(0, 1)
    for type_, bits in _BITS:
        if isinstance(kind, type_):
            return int, _within(-(2**bits), 2**bits - 1)
    return str, _of_text(kind)


def _of_text(kind: Any) -> Callable[[Sequence[str]], bool]:
    """Return a check of many texts for a column's type."""
    if isinstance(kind, ExactDecimal):
        whole, scale = max(kind.precision - kind.scale, 1), kind.scale
        decimals = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
        written = re.compile(rf"-?[0-9]{{1,{whole}}}{decimals}", re.ASCII).fullmatch
        return lambda values: all(map(written, values))
    if isinstance(kind, Enum):
        return frozenset(kind.enums).issuperset
    if isinstance(kind, Hex):
        longest = kind.length
        return lambda values: _at_most(values, longest) and "".join(values).isascii()
    if isinstance(kind, Varchar) or (isinstance(kind, String) and not isinstance(kind, Text)):
        limit = kind.length or 0
        return lambda values: _at_most(values, limit)
    # Times, JSON, long texts: what of them does not fit is warned of, and a warning ends the load.
    return lambda _values: True


def _within(first: int, last: int) -> Callable[[Sequence[int]], bool]:
    return lambda values: not values or first <= min(values) <= max(values) <= last


def _at_most(values: Sequence[str], length: int) -> bool:
    return not values or max(map(len, values)) <= length
