"""Many rows of numbers and short texts at once: MariaDB sends them as one text, which is parted here.

PyMySQL reads a row field by field in Python, which takes longer than all the rest of a month's reductions.
One text of all rows is parted by two calls into C.

What ends a field is a control character, which none of our texts should hold, and the server cuts a text that is
too long without an error. So the fields are counted, the last one must have its end, too (a cut could lie inside of
it), and unless there are as many as the rows that the server counted make, the rows are asked for one by one.

To sort what an index hands over in order costs the server a third of its time. So no order is asked for at first:
when the first number rises from row to row, theirs can be no other, and else they are asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Any

from sqlalchemy import Connection

from ledger.db.sqltext import for_driver

_END, _NULL = "\x1f", "\x1d"
BYTES_MAX = 64 * 2**20
"""How long the server lets such a text become; it cuts it at ``max_allowed_packet``, too."""


@dataclass(frozen=True)
class Many:
    """A query for many rows of one table.

    Parameters
    ----------
    numbers
        Columns of whole numbers, null or not; they come first. The first is never null.
    words
        Columns of texts that we choose, null or not.
    texts
        Columns of texts that others choose, which are never null.
    rest
        ``FROM ...`` with the conditions, ``?`` for their values.
    order
        The order of the rows: by the first of the numbers, and what is to follow.
    """

    numbers: Sequence[str]
    words: Sequence[str]
    texts: Sequence[str]
    rest: str
    order: str

    def plain(self, lock: str = "") -> str:
        """Return the statement that asks for the rows themselves."""
        columns = ", ".join((*self.numbers, *self.words, *self.texts))
        return f"SELECT {columns} {self.rest} ORDER BY {self.order}{lock}"

    def packed(self, *, ordered: bool) -> str:
        """Return the statement that asks for how many there are, and for one text."""
        known = [f"COALESCE({each}, '{_NULL}')" for each in (*self.numbers, *self.words)]
        columns = ", ".join((*known, *self.texts))
        order = f"ORDER BY {self.order} " if ordered else ""
        return (
            f"SELECT COUNT(*), GROUP_CONCAT(CONCAT_WS('{_END}', {columns}, '') "
            f"{order}SEPARATOR '') {self.rest}"
        )


def fetch(
    connection: Connection, query: Many, values: Sequence[Any], *, share: bool = False
) -> Iterable[tuple[Any, ...]]:
    """Return the rows of a query, numbers first.

    Parameters
    ----------
    share
        Whether the rows are locked against changes until the unit of work ends, and are those that are
        committed now; SQLite's writer has the whole file.
    """
    dialect = connection.dialect.name
    if dialect != "sqlite" and not share:
        rows = _unpacked(connection, query, values)
        if rows is not None:
            return rows
    lock = " LOCK IN SHARE MODE" if share and dialect != "sqlite" else ""
    found = connection.exec_driver_sql(for_driver(query.plain(lock), dialect), tuple(values))
    return [tuple(row) for row in found]


def _unpacked(
    connection: Connection, query: Many, values: Sequence[Any]
) -> Iterable[tuple[Any, ...]] | None:
    columns = _columns(connection, query, values, ordered=False)
    if columns and not all(map(lt, columns[0], islice(columns[0], 1, None))):
        columns = _columns(connection, query, values, ordered=True)
    return None if columns is None else zip(*columns, strict=True)


def _columns(
    connection: Connection, query: Many, values: Sequence[Any], *, ordered: bool
) -> list[Sequence[Any]] | None:
    """Return the columns of the rows; None when they cannot be told from one another."""
    sql = for_driver(query.packed(ordered=ordered), connection.dialect.name)
    ((count, text),) = connection.exec_driver_sql(sql, tuple(values))
    if not count:
        return []
    numbers, known = len(query.numbers), len(query.numbers) + len(query.words)
    width = known + len(query.texts)
    fields = str(text).split(_END)
    if fields.pop() or len(fields) != count * width:
        return None
    columns: list[Sequence[Any]] = []
    for place in range(width):
        column = fields[place::width]
        if place >= known or _NULL not in column:
            columns.append(list(map(int, column)) if place < numbers else column)
        elif place < numbers:
            columns.append([None if each == _NULL else int(each) for each in column])
        else:
            columns.append([None if each == _NULL else each for each in column])
    return columns
