"""Many rows into one table: SQL and encoders are made once, values are checked and encoded by column.

A row passes the same rules as through the mapper (length, form and size of a value, see
``ledger.models.types``), but a whole column at once: a thousand hashes are one regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from itertools import chain
from typing import Any, cast

import msgspec
from sqlalchemy import JSON, BigInteger, Column, Connection, Enum, Integer, String, Table
from sqlalchemy.orm import Session

from ledger.db import bulk
from ledger.models import Base
from ledger.models.types import ExactDecimal, Hex, UtcDateTime, ValueRefused, Varchar

Encode = Callable[[Sequence[Any]], Sequence[bulk.Plain]]
_JSON_SAFE_INTEGER = 2**53
_INTEGERS = {True: 2**63, False: 2**31}
"""What a column of whole numbers ends before, by whether it is a wide one."""
_PIECES = (1_000, 100)
"""Rows of one INSERT on SQLite. One statement runs outside of the interpreter's lock; the rest is few."""
_PLACES_MAX = 32_000
"""SQLite takes 32,766 values in one statement."""
_ROWS_MAX = 4_000
_BYTES_MAX = 4_000_000
"""MariaDB takes 16 MB in one statement unless told otherwise."""
_json = msgspec.json.Encoder()


class TableWriter:
    """Inserts into one table.

    Parameters
    ----------
    table
        The table.
    dialect
        ``sqlite`` or ``mysql``.
    """

    def __init__(self, table: Table, dialect: str) -> None:
        self._name = table.name
        self._dialect = dialect
        self._encoders = {column.name: _encoder(column, dialect) for column in table.columns}
        self._statements: dict[tuple[str, ...], dict[int, str]] = {}

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; all of them name the same columns.

        Raises
        ------
        ValueRefused
            If a column cannot hold a value exactly.
        """
        if rows:
            names = list(rows[0])
            self.insert_columns(connection, {name: [row[name] for row in rows] for name in names})

    def insert_columns(self, connection: Connection, columns: Mapping[str, Sequence[Any]]) -> None:
        """Insert rows, given by column.

        Raises
        ------
        ValueRefused
            If a column cannot hold a value exactly.
        """
        encoded = {name: self._encoders[name](values) for name, values in columns.items()}
        if self._dialect == "sqlite":
            self._insert_sqlite(connection, encoded)
            return
        rows = len(next(iter(encoded.values())))
        step = _rows_per_statement(encoded, rows)
        for at in range(0, rows, step):
            piece = {name: column[at : at + step] for name, column in encoded.items()}
            bulk.insert(connection, self._name, piece, {})

    def _insert_sqlite(
        self, connection: Connection, columns: Mapping[str, Sequence[bulk.Plain]]
    ) -> None:
        statements = self._statements_for(tuple(columns))
        rows = list(zip(*columns.values(), strict=True))
        at = 0
        for size, statement in statements.items():
            if size == 1:
                if at < len(rows):
                    connection.exec_driver_sql(statement, rows[at:])
                return
            while at + size <= len(rows):
                values = tuple(chain.from_iterable(rows[at : at + size]))
                connection.exec_driver_sql(statement, values)
                at += size

    def _statements_for(self, names: tuple[str, ...]) -> dict[int, str]:
        """Return the INSERT for so many rows at once, the longest first."""
        found = self._statements.get(names)
        if found is None:
            row = f"({', '.join('?' * len(names))})"
            head = f"INSERT INTO {self._name} ({', '.join(names)}) VALUES "
            sizes = [size for size in _PIECES if size * len(names) <= _PLACES_MAX]
            found = {size: head + ", ".join([row] * size) for size in (*sizes, 1)}
            self._statements[names] = found
        return found


@cache
def writer(table: type[Base], dialect: str) -> TableWriter:
    """Return the writer of a table, the same one every time."""
    return TableWriter(cast("Table", table.__table__), dialect)


def insert(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows of a table in a unit of work; see ``TableWriter.insert``."""
    if rows:
        connection = session.connection()
        writer(table, connection.dialect.name).insert(connection, rows)


def json_text(value: Any) -> str:
    """Return a value as JSON, with every integer that JSON readers would spoil as text."""
    return _json.encode(_safe(value)).decode()


def _safe(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value
    if kind is dict:
        for part in value.values():
            if type(part) is not str and (
                type(part) is not int or not -_JSON_SAFE_INTEGER <= part <= _JSON_SAFE_INTEGER
            ):
                return {name: _safe(each) for name, each in value.items()}
        return value
    if kind in (list, tuple):
        return [_safe(part) for part in value]
    if kind is int and not -_JSON_SAFE_INTEGER <= value <= _JSON_SAFE_INTEGER:
        return str(value)
    return value


# ----------------------------------------------------------------------- encoders


def _encoder(column: Column[Any], dialect: str) -> Encode:
    """Return what checks and encodes the values of a column."""
    encode = _encoder_of(column.type, dialect)

    def checked(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        if None not in values:
            return encode(values)
        if not column.nullable:
            raise ValueRefused(f"{column.table.name}.{column.name} takes no null")
        there = iter(encode([value for value in values if value is not None]))
        return [None if value is None else next(there) for value in values]

    return checked


def _encoder_of(kind: Any, dialect: str) -> Encode:
    if isinstance(kind, Hex):
        return _hex_encoder(kind)
    if isinstance(kind, Varchar):
        return _text_encoder(kind)
    if isinstance(kind, ExactDecimal):
        return _decimal_encoder(kind, dialect)
    if isinstance(kind, UtcDateTime):
        return _times
    if isinstance(kind, JSON):
        return lambda values: [json_text(value) for value in values]
    if isinstance(kind, Enum):
        return _choice_encoder(kind)
    if isinstance(kind, Integer):
        return _integer_encoder(_INTEGERS[isinstance(kind, BigInteger)])
    if isinstance(kind, String):
        return lambda values: values
    raise TypeError(f"no encoder for {kind!r}")


def _hex_encoder(kind: Hex) -> Encode:
    form = re.compile(f"(?:{kind.prefix}[0-9a-f]{{{2 * kind.octets}}})*")
    each = cast("Callable[[str, Any], str]", kind.process_bind_param)

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        try:
            if {kind.length}.issuperset(map(len, values)) and form.fullmatch("".join(values)):
                return values
        except TypeError:  # something that is no text is among them
            pass
        return [each(value, None) for value in values]

    return encode


def _text_encoder(kind: Varchar) -> Encode:
    each = cast("Callable[[str, Any], str]", kind.process_bind_param)

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        if {str}.issuperset(map(type, values)) and max(map(len, values), default=0) <= kind.length:
            return values
        return [each(value, None) for value in values]

    return encode


def _decimal_encoder(kind: ExactDecimal, dialect: str) -> Encode:
    end = 10**kind.precision
    as_text = dialect == "sqlite" and kind.precision > 18

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        if kind.scale == 0 and {int}.issuperset(map(type, values)):
            if not values or -end < min(values) <= max(values) < end:
                return list(map(str, values)) if as_text else values
        exact = [kind.exact(value) for value in values]
        if dialect == "sqlite" and not as_text:
            return [int(value.scaleb(kind.scale)) for value in exact]
        return [format(value, "f") for value in exact]

    return encode


def _integer_encoder(end: int) -> Encode:
    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        if values and not -end <= min(values) <= max(values) < end:
            beyond = next(value for value in values if not -end <= value < end)
            raise ValueRefused(f"{beyond} does not fit a whole number of {end.bit_length()} bits")
        return values

    return encode


def _choice_encoder(kind: Enum) -> Encode:
    known = {member: member.value for member in cast("type[StrEnum]", kind.enum_class)}

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        try:
            return [known[value] for value in values]
        except KeyError as error:
            raise ValueRefused(f"{error.args[0]!r} is none of {list(known.values())}") from error

    return encode


def _times(values: Sequence[Any]) -> Sequence[bulk.Plain]:
    texts: dict[datetime, str] = {}
    for value in set(values):
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise ValueRefused(f"a time must carry its zone, found {value!r}")
        naive = value.astimezone(UTC).replace(tzinfo=None)
        texts[value] = naive.isoformat(" ", "microseconds")
    return [texts[value] for value in values]


def _rows_per_statement(columns: Mapping[str, Sequence[bulk.Plain]], rows: int) -> int:
    """Return how many rows a statement of MariaDB takes, by the length of their texts."""
    length = sum(_length(column) for column in columns.values())
    return max(1, min(_ROWS_MAX, rows * _BYTES_MAX // max(length, 1)))


def _length(column: Iterable[bulk.Plain]) -> int:
    return sum(len(value) + 3 if isinstance(value, str) else 12 for value in column)
