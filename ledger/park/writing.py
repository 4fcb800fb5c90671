"""Records as a file that ``park import`` takes, and finds all unchanged: CSV, or JSON lines.

In CSV a text that a spreadsheet would take for a formula has an apostrophe before it (``ledger.spreadsheets``): what
reads the file takes it away.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice

from ledger.jsontext import one_line
from ledger.park.fields import Sort
from ledger.park.kinds import Kind
from ledger.park.records import Record
from ledger.spreadsheets import guarded

ROWS_AT_ONCE = 1_000
"""Records that are held at once."""
_TEXTS = (Sort.TEXT, Sort.OBJECT)


class _Rows(io.StringIO):
    """Rows as ``csv`` writes them, ending in a line feed.

    Before Python 3.13 it quotes, of the line ends in a cell, those alone that end its rows: a bare carriage return in
    a text would be the end of a row for whoever reads the file. So its rows end in both.
    """

    END = "\r\n"

    def write(self, row: str, /) -> int:
        """Write one row."""
        return super().write(row.removesuffix(self.END) + "\n")


def csv_pieces(kind: Kind, records: Iterable[Record]) -> Iterator[str]:
    """Yield a CSV file piece by piece: its first line names the columns."""
    text = _Rows()
    writer = csv.writer(text, lineterminator=_Rows.END)
    writer.writerow(kind.columns)
    cells = [
        (name, kind.field(name).cell, kind.field(name).sort in _TEXTS) for name in kind.columns
    ]
    for some in _in_pieces(records):
        writer.writerows(
            [
                guarded(cell(record[name])) if is_text else cell(record[name])
                for name, cell, is_text in cells
            ]
            for record in some
        )
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()  # the first line, where there are no records


def json_pieces(kind: Kind, records: Iterable[Record]) -> Iterator[str]:
    """Yield JSON lines piece by piece: an object for each record."""
    parts = [(name, kind.field(name).written) for name in kind.columns]
    for some in _in_pieces(records):
        texts = (
            json.dumps({name: written(record[name]) for name, written in parts}, ensure_ascii=False)
            for record in some
        )
        yield "".join(one_line(text) + "\n" for text in texts)


def _in_pieces(records: Iterable[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while some := list(islice(source, ROWS_AT_ONCE)):
        yield some
