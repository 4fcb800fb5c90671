"""Copies the rows of a table into a file of SQLite as they are stored: an altered one too, to be compared as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

from sqlalchemy import JSON, Column, Connection, String, Table, select, type_coerce
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType, TypeEngine

from indexer.tables import MIRRORED
from ledger.db import Database
from ledger.db.diagnoses import is_by_values
from ledger.models.types import Hex

_ROWS_AT_ONCE = 2_000


def copy_table(db: Database, session: Session, table: Table, target: sqlite3.Connection) -> None:
    """Copy the rows of a table; from SQLite as they are stored, so that no damage is in the way."""
    # Who altered a row may have done that, too.
    target.execute("PRAGMA ignore_check_constraints = ON")
    if db.dialect == "sqlite":
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        link = session.connection()
        try:
            _fill(target, table, link.exec_driver_sql(f'SELECT {names} FROM "{table.name}"'))
        except DBAPIError as error:
            if not is_by_values(error):
                raise
            target.execute(f'DELETE FROM "{table.name}"')
            _fill(target, table, _with_bytes(link, table))
        return
    encode = _sqlite_encoder(table)
    columns = [type_coerce(column, kind) for column, kind in _copied_as(table)]
    try:
        with closing(_selected(session, *columns)) as rows:
            _fill(target, table, (encode(tuple(row)) for row in rows))
    except (LookupError, ValueError):  # one of them is no value of its column
        if all(item.table is not table for item in MIRRORED):
            raise
        target.execute(f'DELETE FROM "{table.name}"')
        stored = (type_coerce(column, NullType()) for column in table.columns)
        with closing(_selected(session, *stored)) as rows:
            _fill(target, table, (_as_far_as_read(session, table, encode, row) for row in rows))


def _with_bytes(link: Connection, table: Table) -> Iterator[list[Any]]:
    """Read the rows of a table of SQLite with bytes for a text that is not UTF-8: no true row holds bytes."""
    both = ", ".join(
        f"typeof({name}) = 'text', CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in (f'"{column.name}"' for column in table.columns)
    )
    for row in link.exec_driver_sql(f'SELECT {both} FROM "{table.name}"'):
        yield [
            _text_or_bytes(value) if is_text else value
            for is_text, value in zip(row[::2], row[1::2], strict=True)
        ]


def _text_or_bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _copied_as(table: Table) -> list[tuple[Column[Any], TypeEngine[Any]]]:
    """Return the columns of a table of MariaDB, each with the type that it is copied as.

    A hash in capitals is an altered one, and so is JSON with a name that stands twice: as they are stored, and not as
    they would be.
    """
    return [
        (column, String() if isinstance(column.type, (Hex, JSON)) else column.type)
        for column in table.columns
    ]


def _selected(session: Session, *columns: Any) -> Any:
    link = session.connection().execution_options(yield_per=_ROWS_AT_ONCE)
    return link.execute(select(*columns))


def _as_far_as_read(session: Session, table: Table, encode: Any, row: Any) -> list[Any]:
    """Return what SQLite stores of a row; of what is no value of its column, the text."""
    dialect = session.connection().dialect
    typed: list[Any] = []
    odd: dict[int, str] = {}
    for place, ((_, kind), value) in enumerate(zip(_copied_as(table), row, strict=True)):
        read = kind.dialect_impl(dialect).result_processor(dialect, None)
        try:
            typed.append(read(value) if read is not None and value is not None else value)
        except (LookupError, ValueError):
            typed.append(None)
            odd[place] = str(value)
    return [odd.get(place, value) for place, value in enumerate(encode(tuple(typed)))]


def _fill(target: sqlite3.Connection, table: Table, rows: Iterable[Any]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    source = iter(rows)
    while piece := [tuple(row) for row in islice(source, _ROWS_AT_ONCE)]:
        target.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', piece)


def _sqlite_encoder(table: Table) -> Any:
    """Return a function from typed values of a table's columns to what SQLite stores."""
    database = Database("sqlite:///unused.db")
    encode = database.encoder(*(Column(item.name, kind) for item, kind in _copied_as(table)))
    database.close()
    return encode
