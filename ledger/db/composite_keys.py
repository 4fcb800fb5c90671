"""Rows whose key is two columns: many of them read, changed or removed at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.db import bulk, tables
from ledger.models import Base
from ledger.models.types import Hex

Pair = tuple[InstrumentedAttribute[Any], InstrumentedAttribute[Any]]
Key = tuple[Any, Any]
_PER_QUERY = 2_000
_NO_TEXT = "CAST(NULL AS CHAR(66) CHARACTER SET ascii) COLLATE ascii_bin"


def values(
    session: Session,
    pair: Pair,
    value: InstrumentedAttribute[Any],
    keys: Sequence[Key],
) -> dict[Key, Any]:
    """Return a third column of the rows whose two columns are one of the keys, by key."""
    if session.get_bind().dialect.name == "sqlite":
        query = select(*pair, value).where(_among(pair, keys))
        return {(one, other): found for one, other, found in session.execute(query)} if keys else {}
    asked = ", ".join(f"t.`{column.key}`" for column in (*pair, value))
    rows = _each(session, keys, lambda row, part: f"SELECT {asked} FROM {_joined(pair, row, part)}")
    return {(one, other): found for part in rows for one, other, found in part}


def put(
    session: Session,
    pair: Pair,
    value: InstrumentedAttribute[Any],
    amounts: Mapping[Key, Any],
) -> None:
    """Give a third column of rows that are there other values, by key."""
    if not amounts:
        return
    name, table = value.key, cast("type[Base]", value.class_)
    connection = session.connection()
    said = tables.writer(table, connection.dialect.name).encoded(name, list(amounts.values()))
    rows = [(*key, plain) for key, plain in zip(amounts, said, strict=True)]
    if connection.dialect.name == "sqlite":
        here = " AND ".join(
            f"{table.__tablename__}.{column.key} = ready.value ->> {place}"
            for place, column in enumerate(pair)
        )
        connection.exec_driver_sql(
            f"UPDATE {table.__tablename__} SET {name} = ready.value ->> 2 "
            f"FROM json_each(?) ready WHERE {here}",
            (msgspec.json.encode(rows).decode(),),
        )
        return
    columns = (*pair, value)
    _each(
        session,
        rows,
        lambda row, part: f"UPDATE {_joined(columns, row, part)} SET t.`{name}` = ready.`{name}`",
    )


def remove(session: Session, pair: Pair, keys: Sequence[Key]) -> None:
    """Delete the rows whose two columns are one of the keys."""
    if session.get_bind().dialect.name != "sqlite":
        _each(session, keys, lambda row, part: f"DELETE t FROM {_joined(pair, row, part)}")
    elif keys:
        gone = delete(pair[0].class_).where(_among(pair, keys))
        session.execute(gone.execution_options(synchronize_session=False))


def _among(pair: Pair, keys: Sequence[Key]) -> ColumnElement[bool]:
    listed = func.json_each(msgspec.json.encode(keys).decode()).table_valued("value").c.value
    pairs = select(func.json_extract(listed, "$[0]"), func.json_extract(listed, "$[1]"))
    return tuple_(*pair).in_(pairs)


def _each(
    session: Session,
    rows: Sequence[tuple[Any, ...]],
    statement: Callable[[str, Sequence[tuple[Any, ...]]], str],
) -> list[Sequence[Any]]:
    """Execute a statement of MariaDB or MySQL for so many rows at a time; return what each found, if it asked.

    It is given what begins a row, and the rows.
    """
    connection = session.connection()
    row, found = bulk.row_of(connection.dialect), []
    for start in range(0, len(rows), _PER_QUERY):
        sql = statement(row, rows[start : start + _PER_QUERY])
        outcome = connection.exec_driver_sql(sql.replace("%", "%%"))
        found.append(outcome.all() if outcome.returns_rows else ())
    return found


def _joined(
    columns: Sequence[InstrumentedAttribute[Any]], word: str, rows: Sequence[tuple[Any, ...]]
) -> str:
    """Return rows of these columns, joined by the first two to those of the table.

    MariaDB looks for pairs in a list fifteen times as long. Texts have the column's character set, without which no
    index would serve.
    """
    names = ", ".join(
        f"{_NO_TEXT if isinstance(column.type, Hex) else 'NULL'} `{column.key}`"
        for column in columns
    )
    marks = ["_ascii" if isinstance(column.type, Hex) else "" for column in columns]
    said = ", ".join(
        f"{word}("
        + ", ".join(
            mark + bulk.literal(plain, "mysql") for mark, plain in zip(marks, row, strict=True)
        )
        + ")"
        for row in rows
    )
    here = " AND ".join(f"t.`{column.key}` = ready.`{column.key}`" for column in columns[:2])
    return (
        f"(SELECT {names} WHERE 0 UNION ALL VALUES {said}) ready "
        f"STRAIGHT_JOIN {columns[0].class_.__tablename__} t ON {here}"
    )
