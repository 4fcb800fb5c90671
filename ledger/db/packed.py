"""Many rows of numbers and short texts at once: MariaDB sends them as one text, which is parted here.

PyMySQL reads a row field by field in Python, which takes longer than all the rest of a month's reductions.
One text of all rows is parted by two calls into C. What few rows differ in is one field, which is read once for all
that are alike.

What ends a field is a control character, which none of our texts should hold, and the server cuts a text that is
too long without an error. So the fields are counted, the last one must have its end, too (a cut could lie inside of
it), and unless there are as many as the rows that the server counted make, the rows are asked for one by one.

To sort what an index hands over in order costs the server a third of its time. So no order is asked for at first:
when the first number rises from row to row, theirs can be no other, and else they are asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Any

from sqlalchemy import Connection

from ledger.db.sqltext import for_driver

_END, _NEXT, _NULL = "\x1f", "\x1e", "\x1d"
BYTES_MAX = 64 * 2**20
"""How long the server lets such a text become; it cuts it at ``max_allowed_packet``, too."""


Column = Sequence[Any]


@dataclass(frozen=True)
class Many:
    """A query for many rows of one table.

    Parameters
    ----------
    numbers
        Columns of whole numbers, never null; they come first.
    texts
        Columns of texts that others choose, never null.
    alike_numbers, alike_words
        Columns of whole numbers, and of texts that we choose, null or not, in which few rows differ.
    rest
        ``FROM ...`` with the conditions, ``?`` for their values.
    order
        The order of the rows: by the first of the numbers, and what is to follow.
    """

    numbers: Sequence[str]
    texts: Sequence[str]
    alike_numbers: Sequence[str]
    alike_words: Sequence[str]
    rest: str
    order: str

    def plain(self, lock: str = "") -> str:
        """Return the statement that asks for the rows themselves."""
        columns = ", ".join((*self.numbers, *self.texts, *self.alike_numbers, *self.alike_words))
        return f"SELECT {columns} {self.rest} ORDER BY {self.order}{lock}"

    def packed(self, *, ordered: bool) -> str:
        """Return the statement that asks for how many there are, and for one text."""
        columns = ", ".join((*self.numbers, *self.texts))
        alike = ", ".join(
            f"COALESCE({each}, '{_NULL}')" for each in (*self.alike_numbers, *self.alike_words)
        )
        order = f"ORDER BY {self.order} " if ordered else ""
        return (
            f"SELECT COUNT(*), GROUP_CONCAT(CONCAT_WS('{_END}', {columns}, "
            f"CONCAT_WS('{_NEXT}', {alike}), '') {order}SEPARATOR '') {self.rest}"
        )


def fetch(
    connection: Connection, query: Many, values: Sequence[Any], *, share: bool = False
) -> list[Column]:
    """Return the rows of a query as columns of one length: numbers, texts, and what few rows differ in.

    Of the last, rows that are alike have the same tuple.

    Parameters
    ----------
    share
        Whether the rows are locked against changes until the unit of work ends, and are those that are
        committed now; SQLite's writer has the whole file.
    """
    dialect = connection.dialect.name
    if dialect != "sqlite" and not share:
        columns = _unpacked(connection, query, values)
        if columns is not None:
            return columns
    lock = " LOCK IN SHARE MODE" if share and dialect != "sqlite" else ""
    found = connection.exec_driver_sql(for_driver(query.plain(lock), dialect), tuple(values))
    own = len(query.numbers) + len(query.texts)
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    rows = [(*row[:own], known.setdefault(alike := tuple(row[own:]), alike)) for row in found]
    return list(zip(*rows, strict=True)) if rows else [()] * (own + 1)


def _unpacked(connection: Connection, query: Many, values: Sequence[Any]) -> list[Column] | None:
    columns = _columns(connection, query, values, ordered=False)
    if columns and not all(map(lt, columns[0], islice(columns[0], 1, None))):
        columns = _columns(connection, query, values, ordered=True)
    return columns


def _columns(
    connection: Connection, query: Many, values: Sequence[Any], *, ordered: bool
) -> list[Column] | None:
    """Return the columns of the rows; None when they cannot be told from one another."""
    sql = for_driver(query.packed(ordered=ordered), connection.dialect.name)
    ((count, text),) = connection.exec_driver_sql(sql, tuple(values))
    numbers, own = len(query.numbers), len(query.numbers) + len(query.texts)
    fields = str(text).split(_END) if count else [""]
    if fields.pop() or len(fields) != count * (own + 1):
        return None
    columns: list[Column] = [fields[place :: own + 1] for place in range(own + 1)]
    for place in range(numbers):
        columns[place] = list(map(int, columns[place]))
    known = {each: _alike(query, each) for each in set(columns[own])}
    columns[own] = [known[each] for each in columns[own]]
    return columns


def _alike(query: Many, field: str) -> tuple[Any, ...]:
    numbers = len(query.alike_numbers)
    return tuple(
        None if part == _NULL else int(part) if place < numbers else part
        for place, part in enumerate(field.split(_NEXT))
    )
