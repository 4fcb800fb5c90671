"""Many rows of numbers and short texts at once: MariaDB sends them as two texts, which are parted here.

PyMySQL reads a row field by field in Python, which takes longer than all the rest of a month's reductions.
The numbers of all rows are one text that one call into C reads, all other fields are another that one call parts. What
few rows differ in is one field, which is read once for all that are alike.

What ends a field is a control character, which none of our texts should hold, and the server cuts a text that is
too long without an error. So the fields are counted, the last ones must have their ends, too (a cut could lie inside of
one), and unless there are as many as the rows that the server counted make, the rows are asked for one by one.

To sort what an index hands over in order costs the server a third of its time. So no order is asked for at first:
when the first number rises from row to row, theirs can be no other, and else they are asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Any

import msgspec
from sqlalchemy import Connection

from ledger.db.sqltext import for_driver

_END, _NEXT, _NULL = "\x1f", "\x1e", "\x1d"
_decode = msgspec.json.Decoder(list[int]).decode
BYTES_MAX = 64 * 2**20
"""How long the server lets such a text become; it cuts it at ``max_allowed_packet``, too."""


Column = Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Many:
    """A query for many rows of one table.

    Parameters
    ----------
    numbers
        Columns of whole numbers, never null; they come first.
    texts
        Columns of texts that others choose, never null.
    alike_numbers, alike_words
        Columns of whole numbers, and of texts that we choose, null or not, in which few rows differ; one
        of them at least.
    rest
        ``FROM ...`` with the conditions, ``?`` for their values.
    order
        The order of the rows: by the first of the numbers, and what is to follow.
    """

    numbers: Sequence[str]
    texts: Sequence[str] = ()
    alike_numbers: Sequence[str] = ()
    alike_words: Sequence[str] = ()
    rest: str
    order: str

    def plain(self, lock: str = "") -> str:
        """Return the statement that asks for the rows themselves."""
        columns = ", ".join((*self.numbers, *self.texts, *self.alike_numbers, *self.alike_words))
        return f"SELECT {columns} {self.rest} ORDER BY {self.order}{lock}"

    def packed(self, *, ordered: bool) -> str:
        """Return the statement that asks for how many there are, for their numbers and for the other fields."""
        alike = ", ".join(
            f"COALESCE({each}, '{_NULL}')" for each in (*self.alike_numbers, *self.alike_words)
        )
        order = f"ORDER BY {self.order} " if ordered else ""
        fields = (
            f"',', {', '.join(self.numbers)}",
            f"'{_END}', {', '.join((*self.texts, ''))}CONCAT_WS('{_NEXT}', {alike})",
        )
        texts = (f"GROUP_CONCAT(CONCAT_WS({each}, '') {order}SEPARATOR '')" for each in fields)
        return f"SELECT COUNT(*), {', '.join(texts)} {self.rest}"


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
    ((count, *both),) = connection.exec_driver_sql(sql, tuple(values))
    if not count:
        return [[] for _ in range(len(query.numbers) + len(query.texts) + 1)]
    width, own = len(query.numbers), len(query.texts)
    numbers, fields = _integers(str(both[0])), str(both[1]).split(_END)
    if fields.pop() or len(numbers) != count * width or len(fields) != count * (own + 1):
        return None
    columns: list[Column] = [numbers[place::width] for place in range(width)]
    columns += [fields[place :: own + 1] for place in range(own + 1)]
    known = {each: _alike(query, each) for each in set(columns[-1])}
    if None in known.values():
        return None
    columns[-1] = [known[each] for each in columns[-1]]
    return columns


def _integers(text: str) -> list[int]:
    """Return numbers with a comma after each; none when the last has lost its own."""
    return _decode(f"[{text[:-1]}]") if text.endswith(",") else []


def _alike(query: Many, field: str) -> tuple[Any, ...] | None:
    """Return what rows have in common; None when it is not as the server writes it."""
    parts = [None if part == _NULL else part for part in field.split(_NEXT)]
    numbers = len(query.alike_numbers)
    if len(parts) != numbers + len(query.alike_words):
        return None
    try:
        whole = [None if part is None else int(part) for part in parts[:numbers]]
    except ValueError:
        return None
    return (*whole, *parts[numbers:])
