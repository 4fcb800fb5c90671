"""Many rows into one table, as fast as the driver allows.

The rows carry what the database stores and nothing else: whole numbers, text and None. Decimals and
times are made ready by ``decimals`` and ``time_texts``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import repeat
from types import NoneType
from typing import Any, cast

from pymysql.converters import escape_string
from sqlalchemy import Column, Connection
from sqlalchemy.orm import InstrumentedAttribute

from ledger.models.types import SQLITE_INTEGER_DIGITS, ExactDecimal

Plain = int | str | None
"""What a bulk insert takes."""
Decimals = Callable[[Sequence[int]], Sequence[Plain]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86400


def insert(
    connection: Connection,
    table: str,
    columns: Mapping[str, Sequence[Plain]],
    constants: Mapping[str, Plain],
) -> None:
    """Insert rows, given by column; ``constants`` are columns that have the same value in all of them."""
    dialect = connection.dialect
    if dialect.name == "sqlite":
        names = ", ".join((*constants, *columns))
        said = [literal(value, "sqlite") for value in constants.values()]
        places = ", ".join([*said, *"?" * len(columns)])
        rows = list(zip(*columns.values(), strict=True))
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
        return
    # ``key`` is a word of MariaDB's.
    fixed = {f"`{name}`": literal(value, "mysql") for name, value in constants.items()}
    literals = {}
    for name, column in columns.items():
        if column[0] == column[-1] and column.count(column[0]) == len(column):
            fixed[f"`{name}`"] = literal(column[0], "mysql")
        else:
            literals[f"`{name}`"] = _literals(column)
    # MySQL has other words for rows that are selected from.
    once = bool(literals) and getattr(dialect, "is_mariadb", False)
    count = len(next(iter(columns.values())))
    statement = _selected(literals, fixed) if once else _values(literals, fixed, count)
    # The driver takes a % for a place: all of these are meant as such.
    connection.exec_driver_sql(f"INSERT INTO {table} {statement}".replace("%", "%%"))


def _selected(columns: Mapping[str, Sequence[object]], fixed: Mapping[str, str]) -> str:
    """Return rows as a SELECT that says what they share once.

    To read the numbers and texts of a statement is a third of what an insert costs the server, and
    PyMySQL's own ``executemany`` would take as long again to write them.
    """
    row = f"({','.join(['%s'] * len(columns))})"
    rows = ",".join(map(row.__mod__, zip(*columns.values(), strict=True)))
    # The empty SELECT names the columns; their types are those of all rows together.
    named = ", ".join(f"NULL {name}" for name in columns)
    return (
        f"({', '.join((*fixed, *columns))}) SELECT {', '.join((*fixed.values(), *columns))} "
        f"FROM (SELECT {named} WHERE 0 UNION ALL VALUES {rows}) ready"
    )


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
    return [_DAYS[seconds // _DAY_S] + _CLOCKS[seconds % _DAY_S] for seconds in times]


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
