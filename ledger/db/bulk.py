"""Many rows into one table, as fast as the database allows.

The rows carry what the database stores and nothing else: whole numbers, text and None. Decimals and
times are made ready by ``decimals`` and ``time_texts``.

SQLite takes them by ``executemany``. MariaDB takes them as an array beside a prepared INSERT (``arrays``), and few
rows as the text of an INSERT, as does a server that does not know how, such as MySQL. Both store the same, and raise
the same when they cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import repeat
from types import NoneType
from typing import Any, cast

from pymysql.constants import ER
from pymysql.converters import escape_string
from sqlalchemy import Column, Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute

from ledger.db import cells
from ledger.db.arrays import NOT_ALLOWED, ArrayConnection
from ledger.db.sqltext import is_mariadb
from ledger.models.types import SQLITE_INTEGER_DIGITS, ExactDecimal
from ledger.units import DAY_S

Plain = cells.Plain
"""What a bulk insert takes."""
_ROWS_MAX = 4_000
"""Rows of one statement."""
_BYTES_MAX = 4_000_000
"""Of one statement: MariaDB takes 16 MB unless told otherwise."""
ARRAY_ROWS = 20
"""Rows for which an array is worth a further round trip."""
Decimals = Callable[[Sequence[int]], Sequence[Plain]]
Store = Callable[[], object]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def insert(
    connection: Connection,
    table: str,
    columns: Mapping[str, Sequence[Plain]],
    constants: Mapping[str, Plain],
) -> None:
    """Insert rows, given by column; ``constants`` are columns that have the same value in all of them.

    On MariaDB all are stored or none is, also when the error is caught and the unit of work goes on.

    Raises
    ------
    TypeError
        A value is neither a whole number nor text nor None.
    """
    prepared(connection, table, columns, constants)()


def prepared(
    connection: Connection,
    table: str,
    columns: Mapping[str, Sequence[Plain]],
    constants: Mapping[str, Plain],
) -> Store:
    """Return what does the rest of ``insert``: nearly all of it is to wait for the database."""
    count = max(map(len, columns.values()), default=0)
    if not count:
        return lambda: None
    if connection.dialect.name == "sqlite":
        names = ", ".join((*constants, *columns))
        said = [literal(value, "sqlite") for value in constants.values()]
        places = ", ".join([*said, *"?" * len(columns)])
        rows = list(zip(*columns.values(), strict=True))
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
        return lambda: connection.exec_driver_sql(statement, rows)
    pieces = [
        {name: column[at : at + _ROWS_MAX] for name, column in columns.items()}
        for at in range(0, count, _ROWS_MAX)
    ]
    stores = [store for each in pieces for store in _stores(connection, table, each, constants)]
    return stores[0] if len(stores) == 1 else partial(_together, connection, stores)


def _stores(
    connection: Connection,
    table: str,
    columns: Mapping[str, Sequence[Plain]],
    constants: Mapping[str, Plain],
) -> list[Store]:
    """Make rows ready for MariaDB, and return what stores them: one each for as many as a statement takes."""
    count = max(map(len, columns.values()))
    array = None
    if count >= ARRAY_ROWS and _takes_arrays(connection):
        array = cells.array_of(list(columns.values()))
    length = sum(map(_length, columns.values())) if array is None else len(array.values)
    if length > _BYTES_MAX and count > 1:
        half = count // 2
        parts = [
            {name: column[start:end] for name, column in columns.items()}
            for start, end in ((0, half), (half, count))
        ]
        return [store for part in parts for store in _stores(connection, table, part, constants)]

    def store() -> None:
        if array is None or not _stored(connection, table, columns, constants, array):
            _insert(connection, table, columns, constants)

    return [store]


def _together(connection: Connection, stores: Sequence[Store]) -> None:
    with _as_one(connection):
        for store in stores:
            store()


def _length(column: Sequence[Plain]) -> int:
    """Return about how long a column is as the text of a statement."""
    kinds = set(map(type, column))
    if kinds <= {str}:
        return sum(map(len, cast("Sequence[str]", column))) + 3 * len(column)
    if kinds <= {int, NoneType}:
        return 12 * len(column)
    return sum(len(value) + 3 if isinstance(value, str) else 12 for value in column)


def _takes_arrays(connection: Connection) -> bool:
    link = connection.connection.driver_connection
    return isinstance(link, ArrayConnection) and link.takes_arrays


def _stored(
    connection: Connection,
    table: str,
    columns: Iterable[str],
    constants: Mapping[str, Plain],
    array: cells.Array,
) -> bool:
    """Insert rows; return whether the server takes arrays. Nothing was stored when it does not."""
    link = connection.connection.driver_connection
    assert isinstance(link, ArrayConnection)
    if not link.takes_arrays:  # it has just refused one
        return False
    fixed = {name: literal(value, "mysql") for name, value in constants.items()}
    names = ", ".join((*fixed, *columns))
    places = ", ".join((*fixed.values(), *"?" * len(array.types)))
    statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
    try:
        with link.offering(array):
            connection.exec_driver_sql(statement.replace("%", "%%"))
    except DBAPIError as error:
        if _number_of(error) not in NOT_ALLOWED:
            raise
        link.turned_away()
        return False
    return True


@contextmanager
def _as_one(connection: Connection) -> Iterator[None]:
    """Take back what a block has stored when it raises: each statement is all or nothing, and so are they together."""
    connection.exec_driver_sql("SAVEPOINT truetonne_bulk")
    try:
        yield
    except BaseException:
        if not connection.invalidated:
            try:
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT truetonne_bulk")
            except DBAPIError as error:
                # After a deadlock the whole transaction is gone, and its savepoints with it.
                if _number_of(error) != ER.SP_DOES_NOT_EXIST:
                    raise
        raise


def _number_of(error: DBAPIError) -> int | None:
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments else None


def _insert(
    connection: Connection,
    table: str,
    columns: Mapping[str, Sequence[Plain]],
    constants: Mapping[str, Plain],
) -> None:
    """Insert the rows into MariaDB or MySQL by one statement."""
    fixed = {name: literal(value, "mysql") for name, value in constants.items()}
    literals = {}
    for name, column in columns.items():
        if column[0] == column[-1] and column.count(column[0]) == len(column):
            fixed[name] = literal(column[0], "mysql")
        else:
            literals[name] = _literals(column)
    count = len(next(iter(columns.values())))
    row = row_of(connection.dialect)
    statement = _selected(literals, fixed, row) if literals else _values({}, fixed, count)
    # The driver takes a % for a place: all of these are meant as such.
    connection.exec_driver_sql(f"INSERT INTO {table} {statement}".replace("%", "%%"))


def row_of(dialect: Dialect) -> str:
    """Return what begins each row that is selected from: MySQL has a word for it, MariaDB none."""
    return "" if is_mariadb(dialect) else "ROW"


def _selected(columns: Mapping[str, Sequence[object]], fixed: Mapping[str, str], row: str) -> str:
    """Return rows as a SELECT that says what they share once.

    To read the numbers and texts of a statement is a third of what an insert costs the server, and
    PyMySQL's own ``executemany`` would take as long again to write them.
    """
    return (
        f"({', '.join((*fixed, *columns))}) SELECT {', '.join((*fixed.values(), *columns))} "
        f"FROM {_table_of(columns, row)} ready"
    )


def selection(columns: Mapping[str, Sequence[Plain]], dialect: Dialect) -> str:
    """Return rows as a table that a statement of MariaDB or MySQL may join, with these names of columns."""
    said = {name: _literals(column) for name, column in columns.items()}
    return _table_of(said, row_of(dialect))


def _table_of(columns: Mapping[str, Sequence[object]], word: str) -> str:
    row = f"{word}({','.join(['%s'] * len(columns))})"
    rows = ",".join(map(row.__mod__, zip(*columns.values(), strict=True)))
    # The empty SELECT names the columns; their types are those of all rows together.
    named = ", ".join(f"NULL {name}" for name in columns)
    return f"(SELECT {named} WHERE 0 UNION ALL VALUES {rows})"


def _values(columns: Mapping[str, Sequence[object]], fixed: Mapping[str, str], count: int) -> str:
    """Return so many rows as VALUES."""
    said = [text.replace("%", "%%") for text in fixed.values()]
    row = f"({','.join([*said, *['%s'] * len(columns)])})"
    each = zip(*columns.values(), strict=True) if columns else repeat((), count)
    rows = ",".join(map(row.__mod__, each))
    return f"({', '.join((*fixed, *columns))}) VALUES {rows}"


def literal(value: Plain, dialect: str) -> str:
    """Return a value as it stands in the dialect's SQL.

    Raises
    ------
    TypeError
        It is neither a whole number nor text nor None.
    """
    if type(value) is str:
        if dialect == "sqlite":
            return "'" + value.replace("'", "''") + "'"
        return "'" + escape_string(value) + "'"
    if value is None:
        return "NULL"
    if type(value) is int:
        return str(value)
    raise TypeError(f"a bulk insert takes int, str and None, found {type(value).__name__}")


def _literals(column: Sequence[Plain]) -> Sequence[object]:
    """Return the values of one column as they stand in MariaDB's SQL; the usual columns all at once."""
    kinds = set(map(type, column))
    if kinds == {int}:
        return column
    if kinds == {int, NoneType}:
        return ["NULL" if value is None else value for value in column]
    if kinds == {str}:
        together = "".join(cast("Sequence[str]", column))
        if escape_string(together) == together:
            return [f"'{value}'" for value in column]
    return [literal(value, "mysql") for value in column]


class _Days(dict[int, str]):
    """Dates of days since 1970, each made once."""

    def __missing__(self, day: int) -> str:
        self[day] = text = f"{_EPOCH + timedelta(days=day):%Y-%m-%d }"
        return text


class _Clocks(dict[int, str]):
    """Times of day by their second, each made once."""

    def __missing__(self, second: int) -> str:
        self[second] = text = f"{_EPOCH + timedelta(seconds=second):%H:%M:%S}.000000"
        return text


_DAYS, _CLOCKS = _Days(), _Clocks()


def time_text(seconds: int) -> str:
    """Return a time, seconds since 1970, as a column of UTC time is written on both databases."""
    return time_texts((seconds,))[0]


def time_texts(times: Iterable[int]) -> list[str]:
    """Return each of many times as ``time_text`` does."""
    return [_DAYS[seconds // DAY_S] + _CLOCKS[seconds % DAY_S] for seconds in times]


def decimals(dialect: str, column: Column[Any] | InstrumentedAttribute[Any]) -> Decimals:
    """Return a function that makes numbers of a decimal column's smallest unit what it stores.

    Raises
    ------
    ValueRefused
        By the function: a number has more digits than the column.
    """
    kind = column.type
    assert isinstance(kind, ExactDecimal)
    assert kind.precision <= SQLITE_INTEGER_DIGITS
    end, unit, places = 10**kind.precision, 10**kind.scale, kind.scale

    def made(numbers: Sequence[int]) -> Sequence[Plain]:
        if numbers and not -end < min(numbers) <= max(numbers) < end:
            beyond = next(number for number in numbers if not -end < number < end)
            kind.exact(Decimal(beyond).scaleb(-places))
        if dialect == "sqlite":
            return numbers
        return [
            f"{'-' if number < 0 else ''}{abs(number) // unit}.{abs(number) % unit:0{places}d}"
            for number in numbers
        ]

    return made
