"""Two mirrors, row by row and column by column: what one has that the other has not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Column
from sqlalchemy.dialects import sqlite

from indexer.tables import Mirrored
from ledger.db import Database
from ledger.jsontext import json_safe
from ledger.models.types import ExactDecimal

Row = tuple[Any, ...]
_DIALECT = sqlite.dialect()


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
        where = f"{self.table} {self.key}"
        if self.column is not None:
            return f"{where}: {self.column} is {self.mirrored}, the chain says {self.chain}"
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
    return sqlite3.connect(f"file:{db.url.database}?mode=ro", uri=True)


def count(item: Mirrored, db: Database, blocks: tuple[int, int] | None = None) -> int:
    """Return how many rows of a table are compared."""
    where = _where(item, blocks)
    with closing(connect(db)) as link:
        return int(link.execute(f'SELECT COUNT(*) FROM "{item.name}"{where}').fetchone()[0])


def typed(column: Column[Any], value: Any) -> Any:
    """Return a stored value as Python has it; as it is stored, where it cannot be read."""
    if value is None:
        return None
    kind = column.type.dialect_impl(_DIALECT)
    try:
        process = kind.result_processor(_DIALECT, None)
        return process(value) if process is not None else value
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return f"{value!r} (cannot be read)"


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
    """Compare two keys as SQLite orders them: numbers before texts, texts by their bytes."""
    if mine is None or theirs is None:
        return (mine is None) - (theirs is None)
    left, right = _sortable(mine), _sortable(theirs)
    return (left > right) - (left < right)


def _sortable(key: Sequence[Any]) -> list[tuple[int, Any]]:
    return [
        (0, part) if isinstance(part, (int, float)) else (1, str(part).encode()) for part in key
    ]


def _same(item: Mirrored, mine: Row, theirs: Row) -> bool:
    """Return whether rows that are stored differently mean the same, such as JSON with spaces."""
    return all(
        _means(column, held, says)
        for column, held, says in zip(item.columns, mine, theirs, strict=True)
    )


def _means(column: Column[Any], held: Any, says: Any) -> bool:
    """Return whether two stored values mean the same.

    A decimal does only where it is stored alike: where it is text, ``5`` is not found where ``5 `` or ``5.0`` stands.
    """
    if held == says:
        return True
    return not isinstance(column.type, ExactDecimal) and typed(column, held) == typed(column, says)


def _named(item: Mirrored, row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        column.name: typed(column, value) for column, value in zip(item.columns, row, strict=True)
    }
