"""The rows of a CSV file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from ledger.errors import BadInput
from ledger.readings.files.formats import Format
from ledger.readings.files.headed import HeadedTable
from ledger.readings.files.lines import WithoutComments, limited
from ledger.readings.files.tables import ONE_ARRAY, BadRow, Cells
from ledger.spreadsheets import DELIMITERS

_CELL_MAX = 65_536
_JSON_OBJECT = re.compile(r'\{\s*("|$)')
_JSON_ARRAY = re.compile(r"\[\s*([{\[]|$)")


class CsvTable(HeadedTable):
    """The rows of a CSV file: a header, and as many cells in each row."""

    def __init__(self, path: Path, text: io.TextIOWrapper, file_format: Format) -> None:
        super().__init__(path, file_format)
        self._passed = file_format.header_line - 1
        lines: Iterator[str] = islice(limited(text, self._note_end), self._passed, None)
        self._counted = None
        if file_format.comment is not None:
            lines = self._counted = WithoutComments(lines, file_format.comment)
        self._ended = 0
        self._unfinished = False
        self.header_line = self._passed + 1
        self.columns = []  # until there is a header: the file may end before it
        csv.field_size_limit(_CELL_MAX)
        self._reader = csv.reader((), delimiter=file_format.delimiter, strict=True)
        start = list(self.guarded(islice(lines, 1)))
        _refuse_json(path, self.header_line, start)
        self._reader = csv.reader(chain(start, lines), delimiter=file_format.delimiter, strict=True)
        self._first = self._header()[0]
        self._trails = file_format.trailing_delimiter
        if self._trails and self.columns[-1]:
            self.columns.append("")

    def _note_end(self) -> None:
        self._unfinished = True

    @property
    def line(self) -> int:
        """The last line that was read."""
        if self._counted is not None:
            return self._passed + self._counted.number
        return self._passed + self._reader.line_num

    def _beginning(self, line: int, cells: Sequence[str]) -> int:
        """Return the line on which a row begins: a quoted cell may run over several."""
        return line - sum(cell.count("\n") for cell in cells)

    def _written_hint(self) -> str | None:
        """Return what to declare when the header holds together what should be apart."""
        if self.columns[0].lower().startswith("sep=") and not any(self.columns[1:]):
            line = self.header_line + 1
            return f"that line tells a spreadsheet what separates the columns: write header_line = {line} in [[source]]"
        if len(self.columns) > 1:
            return None
        if self.format.delimiter in self._first:
            return (
                "that line stands in quotes as a whole: if it is a title, write header_line in [[source]]; if all "
                "lines do, take the quotes away, and write two that follow each other as one"
            )
        for sign, name in DELIMITERS.items():
            if sign in self._first.strip():
                written = "\\t" if sign == "\t" else sign
                return f'the columns are separated by {name}: write delimiter = "{written}" in [[source]]'
        return None

    def _body(self) -> Iterator[tuple[int, Cells]]:
        return map(self._ended_so, self._lines()) if self._trails else self._lines()

    def _ended_so(self, row: tuple[int, Cells]) -> tuple[int, Cells]:
        """Return a row without the delimiters that end it; a bad one where something follows, say half a number."""
        line, cells = row
        width = len(self.columns)
        if isinstance(cells, BadRow) or len(cells) < width:
            return row
        if not any(cell.strip() for cell in cells[width - 1 :]):
            return line, cells[:width]
        if len(cells) > width:
            return row
        message = (
            f"{cells[-1].strip()[:40]!r} follows the delimiter at the end of the row; with trailing_delimiter = true "
            "nothing may, and a decimal comma needs quotes"
        )
        return line, BadRow(message)

    def _lines(self) -> Iterator[tuple[int, Cells]]:
        reader, passed, counted = self._reader, self._passed, self._counted
        cells: list[str] = []
        ended = 0
        if counted is None:
            for cells in reader:
                self._ended = ended = reader.line_num
                if cells:
                    yield passed + ended, cells
        else:
            for cells in reader:
                counted.first, ended = 0, counted.number
                if cells:
                    yield passed + ended, cells
        # The last line may be a comment.
        if self._unfinished and len(cells) == len(self.columns) and self.line == passed + ended:
            self.unfinished_line = self.line

    def _csv_wrong(self, error: csv.Error) -> tuple[str, Exception, int]:
        counted = self._counted
        first = self._passed + (self._ended + 1 if counted is None else counted.first)
        if "field larger" in str(error):
            what = f"a cell of more than {_CELL_MAX:,} characters"
            return f"{what}; a quote that opens on this line may not be closed", error, first
        opens = "a quote opens in the row that begins on this line and"
        if "unexpected end" in str(error):
            return f"{opens} is never closed", error, first
        if first < self.line:
            return f"{opens} closes only on line {self.line}", error, first
        what = f"not valid CSV ({error}); a quote within a quoted cell is written twice"
        return what, error, self.line


def _refuse_json(path: Path, line: int, start: list[str]) -> None:
    """Refuse JSON where CSV was declared, before the quotes in it are taken for those of CSV."""
    text = start[0].lstrip("\ufeff \t") if start else ""
    if _JSON_ARRAY.match(text):
        hint = f'{ONE_ARRAY}, and format = "jsonl" in [[source]]'
    elif _JSON_OBJECT.match(text):
        hint = 'the lines are of JSON: write format = "jsonl" in [[source]]'
    else:
        return
    raise BadInput(
        f"{path.name}: line {line}: {hint}",
        code="file-unreadable",
        details={"file": path.name, "line": line},
    )
