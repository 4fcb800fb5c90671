"""Two mirrors, row by row and column by column: what one has that the other has not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Column
from sqlalchemy.dialects import sqlite

from indexer.tables import Mirrored
from ledger.db import Database
from ledger.jsontext import json_safe, once

Row = tuple[Any, ...]
_DIALECT = sqlite.dialect()
_UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
_SHOWN_MAX, _SHOWN_BEFORE = 300, 20
"""Characters of a value in a line: an ABI has tens of thousands, and so may have what somebody wrote in its place."""


@dataclass(frozen=True)
class Difference:
    """One column of one row that is not what the chain says; no column: the row as a whole."""

    table: str
    key: str
    column: str | None
    mirrored: Any
    """None when the row is missing from the mirror."""
    chain: Any
    """None when the chain knows no such row."""

    def as_json(self) -> dict[str, Any]:
        """Return what ``index verify --json`` prints."""
        return {
            "table": self.table,
            "key": self.key,
            "column": self.column,
            "mirrored": plain(self.mirrored),
            "chain": plain(self.chain),
        }

    def __str__(self) -> str:
        if isinstance(self.mirrored, str) and self.column is None:  # what a rule says, in words
            return f"{self.table}: {self.mirrored}"
        where = f"{self.table} {_shown(self.key, '')[0]}"
        if self.column is not None:
            held, says = _shown(self.mirrored, self.chain)
            return f"{where}: {self.column} is {held}, the chain says {says}"
        missing = self.mirrored is None
        return f"{where}: " + ("the row is missing" if missing else "no such thing on chain")


@dataclass(frozen=True)
class Pair:
    """A row of one mirror beside the row of the same key of the other; None where there is none."""

    key: Row
    mirrored: Row | None
    chain: Row | None


def pairs(
    item: Mirrored,
    mirrored: sqlite3.Connection,
    chain: sqlite3.Connection,
    blocks: tuple[int, int] | None = None,
) -> Iterator[Pair]:
    """Yield the rows of a table that differ between two files, as they are stored, by key.

    Parameters
    ----------
    blocks
        Only rows that blocks of this range brought, both ends included.
    """
    left, right = _rows(item, mirrored, blocks), _rows(item, chain, blocks)
    size = len(item.key)
    mine, theirs = next(left, None), next(right, None)
    while mine is not None or theirs is not None:
        order = _order(mine and mine[:size], theirs and theirs[:size])
        if order < 0:
            assert mine is not None
            yield Pair(mine[:size], mine, None)
        elif order > 0:
            assert theirs is not None
            yield Pair(theirs[:size], None, theirs)
        elif mine and theirs and mine != theirs and not _same(item, mine, theirs):
            yield Pair(mine[:size], mine, theirs)
        if order <= 0:
            mine = next(left, None)
        if order >= 0:
            theirs = next(right, None)


def differences(item: Mirrored, pair: Pair) -> Iterator[Difference]:
    """Yield what differs in a pair of rows, a column each."""
    key = "/".join(str(part) for part in pair.key)
    if pair.mirrored is None or pair.chain is None:
        yield Difference(
            item.name, key, None, _named(item, pair.mirrored), _named(item, pair.chain)
        )
        return
    for column, mine, theirs in zip(item.columns, pair.mirrored, pair.chain, strict=True):
        if _means(column, mine, theirs):
            continue
        held, says = typed(column, mine), typed(column, theirs)
        if held == says:  # to be told apart, as they are stored
            held, says = repr(mine), repr(theirs)
        yield Difference(item.name, key, column.name, held, says)


def connect(db: Database) -> sqlite3.Connection:
    """Open the file of a mirror of the workshop for reading."""
    file = Path(str(db.url.database)).absolute()
    return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)


def count(item: Mirrored, db: Database, blocks: tuple[int, int] | None = None) -> int:
    """Return how many rows of a table are compared."""
    where = _where(item, blocks)
    with closing(connect(db)) as link:
        return int(link.execute(f'SELECT COUNT(*) FROM "{item.name}"{where}').fetchone()[0])


def _shown(*values: Any) -> tuple[str, str]:
    """Return two values as a line has room for them: of long ones, a piece from shortly before where they part."""
    texts = [str(value) for value in values]
    if max(map(len, texts)) <= _SHOWN_MAX:
        return texts[0], texts[1]
    signs = enumerate(zip(*texts, strict=False))
    part = next((at for at, (one, other) in signs if one != other), min(map(len, texts)))
    begin = max(part - _SHOWN_BEFORE, 0)
    pieces = []
    for text in texts:
        piece = text[begin : begin + _SHOWN_MAX]
        cut = len(piece) < len(text)
        pieces.append(f"{'...' * bool(begin)}{piece}{f'... ({len(text)} characters)' * cut}")
    return pieces[0], pieces[1]


def typed(column: Column[Any], value: Any) -> Any:
    """Return a stored value as Python has it; as it is stored, where it cannot be read."""
    try:
        return _read(column, value)
    except _UNREADABLE:
        return f"{value!r} (cannot be read)"


def is_readable(column: Column[Any], value: Any) -> bool:
    """Return whether a stored value is one of its column."""
    try:
        _read(column, value)
    except _UNREADABLE:
        return False
    return True


def _read(column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    process = column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
    return process(value) if process is not None else value


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return json_safe(value)
    return value if isinstance(value, int) or value is None else str(value)


def _rows(
    item: Mirrored, link: sqlite3.Connection, blocks: tuple[int, int] | None
) -> Iterator[Row]:
    names = ", ".join(f'"{column.name}"' for column in item.columns)
    order = ", ".join(f'"{name}"' for name in item.key)
    return iter(
        link.execute(f'SELECT {names} FROM "{item.name}"{_where(item, blocks)} ORDER BY {order}')
    )


def _where(item: Mirrored, blocks: tuple[int, int] | None) -> str:
    conditions = [item.where] if item.where else []
    if blocks is not None:
        conditions.append(f'"{item.block_column}" BETWEEN {int(blocks[0])} AND {int(blocks[1])}')
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _order(mine: Row | None, theirs: Row | None) -> int:
    """Compare two keys as SQLite orders them: numbers before texts, texts by their bytes, and bytes that are none."""
    if mine is None or theirs is None:
        return (mine is None) - (theirs is None)
    left, right = _sortable(mine), _sortable(theirs)
    return (left > right) - (left < right)


def _sortable(key: Sequence[Any]) -> list[tuple[int, Any]]:
    return [_place(part) for part in key]


def _place(part: Any) -> tuple[int, Any]:
    if isinstance(part, (int, float)):
        return 0, part
    return (2, part) if isinstance(part, bytes) else (1, str(part).encode())


def _same(item: Mirrored, mine: Row, theirs: Row) -> bool:
    """Return whether rows that are stored differently mean the same, such as JSON with spaces."""
    return all(
        _means(column, held, says)
        for column, held, says in zip(item.columns, mine, theirs, strict=True)
    )


def _means(column: Column[Any], held: Any, says: Any) -> bool:
    """Return whether two stored values mean the same: only JSON may be written in several ways.

    Whoever looks for ``5`` finds no ``5.0``, and a time that is cut short stands in another place among the others.
    """
    if type(held) is type(says) and held == says:
        return True
    return isinstance(column.type, JSON) and _json(held) == _json(says) is not None


def _json(value: Any) -> str | None:
    """Return JSON as it is compared; None where it is none, or where readers differ about what it says.

    To Python, ``true``, 1 and 1.0 are equal.
    """
    if not isinstance(value, str):
        return None
    try:
        return json.dumps(json.loads(value, object_pairs_hook=once), sort_keys=True)
    except (ValueError, RecursionError):
        return None


def _named(item: Mirrored, row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        column.name: typed(column, value) for column, value in zip(item.columns, row, strict=True)
    }
