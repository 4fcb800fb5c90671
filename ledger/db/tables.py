"""Many rows into one table: SQL and encoders are made once, values are checked and encoded by column.

A row passes the same rules as through the mapper (length, form and size of a value, see
``ledger.models.types``), but a whole column at once: a thousand hashes are looked at as one text (``encoders``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import Any, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.db import bulk
from ledger.db.behind import Behind, Work
from ledger.db.encoders import encoder
from ledger.models import Base

_KEYS_PER_QUERY = 400
CHANGED_ROWS_MAX = 4_000
"""Rows that one statement changes."""
_PIECES = (500, 50)
"""Rows of one INSERT on SQLite, which runs outside of the interpreter's lock; the rest is one of its own."""
_PLACES_MAX = 32_000
"""SQLite takes 32,766 values in one statement."""
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
        self._table, self._name = table, table.name
        self._dialect = dialect
        self._encoders = {column.name: encoder(column, dialect) for column in table.columns}
        self._statements: dict[tuple[tuple[str, ...], int], str] = {}

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows; all of them name the same columns.

        Raises
        ------
        ValueRefused
            If a column cannot hold a value exactly.
        """
        if rows:
            self.insert_columns(connection, by_column(rows))

    def insert_columns(
        self,
        connection: Connection,
        columns: Mapping[str, Sequence[Any]],
        units: Collection[str] = (),
        ready: Collection[str] = (),
    ) -> None:
        """Insert rows, given by column; see ``insertion``."""
        self.insertion(connection, columns, units, ready)()

    def insertion(
        self,
        connection: Connection,
        columns: Mapping[str, Sequence[Any]],
        units: Collection[str] = (),
        ready: Collection[str] = (),
    ) -> Work:
        """Check and encode rows, given by column, and return what inserts them: nearly all of that is the database's.

        Parameters
        ----------
        units
            Columns of decimals that are given as whole numbers of their smallest unit.
        ready
            Columns that are given as the database stores them: JSON as text, by ``json_texts``.

        Raises
        ------
        ValueRefused
            If a column cannot hold a value exactly.
        """
        encoded = {
            name: values
            if name in ready
            else bulk.decimals(self._dialect, self._table.c[name])(values)
            if name in units
            else self.encoded(name, values)
            for name, values in columns.items()
        }
        if self._dialect == "sqlite":
            return partial(self._insert_sqlite, connection, encoded)
        quoted = {f"`{name}`": column for name, column in encoded.items()}
        return bulk.prepared(connection, self._name, quoted, {})

    def change(self, connection: Connection, key: str, rows: Sequence[Mapping[str, Any]]) -> Work:
        """Check and encode changes of rows, and return what makes them by one statement.

        All rows name the key and the same other columns.

        Raises
        ------
        ValueRefused
            If a column cannot hold a value exactly.
        """
        names = list(rows[0])
        encoded = {name: self.encoded(name, [row[name] for row in rows]) for name in names}
        others = [name for name in names if name != key]
        if self._dialect == "sqlite":
            value = {name: f"ready.value ->> {position}" for position, name in enumerate(names)}
            changes = ", ".join(f"{name} = {value[name]}" for name in others)
            statement = (
                f"UPDATE {self._name} SET {changes} FROM json_each(?) ready "
                f"WHERE {self._name}.{key} = {value[key]}"
            )
            ready = _json.encode(list(zip(*encoded.values(), strict=True))).decode()
            return partial(connection.exec_driver_sql, statement, (ready,))
        changes = ", ".join(f"t.`{name}` = ready.`{name}`" for name in others)
        selected = bulk.selection(
            {f"`{name}`": column for name, column in encoded.items()}, connection.dialect
        )
        # In this order: of a table that MariaDB takes for a small one it would read all rows, and lock them.
        statement = (
            f"UPDATE {selected} ready STRAIGHT_JOIN {self._name} t ON t.{key} = ready.{key} "
            f"SET {changes}"
        )
        return partial(connection.exec_driver_sql, statement.replace("%", "%%"))

    def encoded(self, name: str, values: Sequence[Any]) -> Sequence[bulk.Plain]:
        """Return values of a column as the database stores them.

        Raises
        ------
        ValueRefused
            If the column cannot hold one exactly.
        """
        return self._encoders[name](values)

    def _insert_sqlite(
        self, connection: Connection, columns: Mapping[str, Sequence[bulk.Plain]]
    ) -> None:
        names, values = tuple(columns), list(columns.values())
        sizes = [size for size in _PIECES if size * len(names) <= _PLACES_MAX]
        (left,) = set(map(len, values))  # all of one length, or an error
        while left:
            size = next((size for size in sizes if size <= left), left)
            flat = _row_by_row(values, len(values[0]) - left, size)
            connection.exec_driver_sql(self._statement_for(names, size), flat)
            left -= size

    def _statement_for(self, names: tuple[str, ...], size: int) -> str:
        """Return the INSERT for so many rows at once; those of the usual lengths are kept."""
        found = self._statements.get((names, size))
        if found is None:
            row = f"({', '.join('?' * len(names))})"
            head = f"INSERT INTO {self._name} ({', '.join(names)}) VALUES "
            found = head + ", ".join([row] * size)
            if size in _PIECES:
                self._statements[names, size] = found
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


def change(
    session: Session, table: type[Base], key: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Change rows of a table in a unit of work; see ``TableWriter.change``."""
    connection = session.connection()
    for start in range(0, len(rows), CHANGED_ROWS_MAX):
        piece = rows[start : start + CHANGED_ROWS_MAX]
        writer(table, connection.dialect.name).change(connection, key, piece)()


def insert_behind(
    later: Behind,
    table: type[Base],
    columns: Mapping[str, Sequence[Any]],
    units: Collection[str] = (),
    ready: Collection[str] = (),
) -> None:
    """Check and encode rows now, and have the database store them while their author goes on.

    See ``TableWriter.insertion``, whose errors come at once, and ``Behind``, whose errors come later.
    """
    if any(map(len, columns.values())):
        connection = later.connection
        work = writer(table, connection.dialect.name).insertion(connection, columns, units, ready)
        later.run(work)


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """Return rows, all of which name the same columns, by column."""
    names = tuple(rows[0]) if rows else ()
    if len(names) < 2:
        return {name: [row[name] for row in rows] for name in names}
    # The values of a row by one call, in the order of the first: a quarter less than column by column.
    return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))


def among(
    session: Session, column: InstrumentedAttribute[Any], keys: Collection[Any]
) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that together hold for the rows whose column is one of the keys.

    SQLite takes any number as one value, so that one statement serves; MariaDB gets lists of a length
    that it looks up in an index.
    """
    ordered = sorted(keys)
    if not ordered:
        return
    if session.get_bind().dialect.name == "sqlite":
        listed = func.json_each(_json.encode(ordered).decode()).table_valued("value")
        yield column.in_(select(listed.c.value))
        return
    for start in range(0, len(ordered), _KEYS_PER_QUERY):
        yield column.in_(ordered[start : start + _KEYS_PER_QUERY])


def delete_among(
    session: Session, column: InstrumentedAttribute[Any], keys: Collection[Any]
) -> None:
    """Delete the rows whose column is one of the keys; the session is not told which of its own these are."""
    for some in among(session, column, keys):
        gone = delete(column.class_).where(some)
        session.execute(gone.execution_options(synchronize_session=False))


def ends_among(
    session: Session,
    key: InstrumentedAttribute[Any],
    keys: Collection[Any],
    of: InstrumentedAttribute[Any],
    column: InstrumentedAttribute[Any],
    *where: ColumnElement[bool],
) -> dict[Any, tuple[Any, Any]]:
    """Return the first and the last value of a column among the rows of each key that has any, by key.

    Each is one look at an end of an index, and one statement asks for many. By ``min`` and ``max`` SQLite would read
    all of the index where it is asked for both, and MariaDB where it is asked for several keys.

    Parameters
    ----------
    key, keys
        Column of the table that has a row for each key, such as ``Device.id``, and which of them are asked about.
    of, column
        The first two columns of an index of the other table: what refers to the key, and what is asked for.
    where
        What its rows must satisfy besides.
    """
    rows = select(column).where(of == key, *where).limit(1).correlate(key.class_)
    first, last = (rows.order_by(order).scalar_subquery() for order in (column, column.desc()))
    return {
        number: (low, high)
        for some in among(session, key, keys)
        for number, low, high in session.execute(select(key, first, last).where(some))
        if low is not None
    }


def read_first(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """Return a text column in a form in which no index is of it: a join with what equals it begins at its table.

    For a table of which few rows are wanted, those of the last blocks, beside one with an index that SQLite prefers to
    a range of blocks, though all that was ever done is in it.
    """
    return column.concat(literal_column("''"))


def _row_by_row(
    columns: Sequence[Sequence[bulk.Plain]], start: int, count: int
) -> tuple[bulk.Plain, ...]:
    """Return the values of so many rows, one row after the other."""
    values: list[bulk.Plain] = [None] * (count * len(columns))
    for place, column in enumerate(columns):
        values[place :: len(columns)] = column[start : start + count]  # all or an error
    return tuple(values)
