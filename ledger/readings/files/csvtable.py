"""The rows of a CSV file."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from ledger.errors import BadInput
from ledger.readings.files.formats import ONLY, Format
from ledger.readings.files.lines import WithoutComments, limited
from ledger.readings.files.tables import ONE_ARRAY, BadRow, Cells, Table, empty_file
from ledger.spreadsheets import DELIMITERS

_CELL_MAX = 65_536
_TITLE_MAX = 50
"""Lines after the first in which a header is looked for."""
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_JSON_OBJECT = re.compile(r'\{\s*("|$)')
_JSON_ARRAY = re.compile(r"\[\s*([{\[]|$)")


class CsvTable(Table):
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
        header = next(self.guarded(self._lines()), None)
        if header is None or isinstance(header[1], BadRow):
            raise empty_file(path, "a header line with the names of the columns", self._passed + 1)
        self.header_line = header[0]
        self._first = header[1][0]
        self.columns = [_normal(name.strip().removeprefix("\ufeff")) for name in header[1]]
        self._trails = file_format.trailing_delimiter and bool(self.columns[-1])
        if self._trails:
            self.columns.append("")

    def _note_end(self) -> None:
        self._unfinished = True

    @property
    def line(self) -> int:
        """The last line that was read."""
        if self._counted is not None:
            return self._passed + self._counted.number
        return self._passed + self._reader.line_num

    def place_of(self, name: str, key: str = "") -> int:
        """Return the place of a column.

        Raises
        ------
        BadInput
            The header does not have it, or has it twice.
        """
        found = ", ".join(self.columns)[:200]
        if key in self.format.numbered:
            if int(name) <= len(self.columns):
                return int(name) - 1
            what = f"has {len(self.columns)} columns, and {key} = {name}"
            raise self._no_column(f"{what}, found: {found}", "missing-column", name)
        count = self.columns.count(_normal(name))
        if count == 1:
            return self.columns.index(_normal(name))
        # Keys in braces are texts, numbers too.
        if key == ONLY and not count and _NUMBER.fullmatch(name) and int(name) <= len(self.columns):
            return int(name) - 1
        called = f"named {name!r}" if name else "without a name"
        what = f"has {count} columns {called}"
        number = "{ 1 = ... }" if key == ONLY else "1"
        more = f"; or write its number, {key} = {number} for the first column" if key else ""
        hint = None
        if count == 0:
            what, more = f"has no column {name!r}" if name else "has no column without a name", ""
            hint = self._near_hint(name) or self._later_hint(name)
        hint = hint or self._delimiter_hint() or f"correct the header or the [[source]]{more}"
        code = "column-twice" if count else "missing-column"
        raise self._no_column(f"{what}, found: {found}; {hint}", code, name)

    def _no_column(self, what: str, code: str, name: str) -> BadInput:
        line = self.header_line
        return BadInput(
            f"{self.path.name}: line {line} {what}",
            code=code,
            details={"file": self.path.name, "line": line, "column": name},
        )

    def _near_hint(self, name: str) -> str | None:
        """Return the column that is meant, most likely, where no eye may see what it differs in."""
        alike = _letters(name)
        near = next((column for column in self.columns if alike and _letters(column) == alike), "")
        if not near:
            return None
        return f"{near!r} differs from it in case, width or blanks alone: write that in [[source]]"

    def _later_hint(self, name: str) -> str | None:
        """Return where the header is, if lines of a title stand before it: no more is read of the file."""
        with suppress(BadInput):
            for line, cells in islice(self.guarded(self._lines()), _TITLE_MAX):
                if isinstance(cells, list) and _normal(name) in map(_normal, cells):
                    begins = line - sum(cell.count("\n") for cell in cells)
                    return f"it stands in line {begins}: write header_line = {begins} in [[source]]"
        return None

    def _delimiter_hint(self) -> str | None:
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

    def header_again(self, cells: Sequence[str], time: int, places: Iterable[int]) -> str | None:
        """Return what is different where a row is a header once more, nothing where it is the same; else None.

        Upper and lower case say nothing there.
        """
        names = [_normal(cell.strip().removeprefix("\ufeff")) for cell in cells]
        folded, first_ones = ([name.casefold() for name in some] for some in (names, self.columns))
        again = folded[time] == first_ones[time] or sorted(folded) == sorted(first_ones)
        if not again or not self.columns[time]:
            return None
        for place in places:
            if folded[place] != first_ones[place]:
                found, first = names[place][:40], self.columns[place][:40]
                return f"column {place + 1} is {found!r}, and in line {self.header_line} it is {first!r}"
        return ""

    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield the line on which each row ends, and its cells; empty lines are passed over.

        Raises
        ------
        BadInput
            The file has no row at all, or cannot be read on.
        """
        found = self.guarded(self._lines())
        if self._trails:
            found = map(self._ended_so, found)
        return _with_rows(self.path, found, self.header_line + 1)

    def _ended_so(self, row: tuple[int, Cells]) -> tuple[int, Cells]:
        """Return a row; a bad one where more than its end follows the last delimiter, such as half of a number."""
        line, cells = row
        if isinstance(cells, BadRow) or len(cells) != len(self.columns) or not cells[-1].strip():
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


def _normal(name: str) -> str:
    """Return a name with accents and blanks written the one way, however its file writes them.

    In a spreadsheet a name may run over two lines of its cell, and nobody sees whether one blank stands in it or two.
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


def _letters(name: str) -> str:
    """Return the letters of a name, without what sets apart names that look alike."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


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


def _with_rows(
    path: Path, rows: Iterable[tuple[int, Cells]], line: int
) -> Iterator[tuple[int, Cells]]:
    """Yield rows, of which there must be one."""
    source = iter(rows)
    first = next(source, None)
    if first is None:
        raise BadInput(
            f"{path.name}: no row follows the header; is it the right file?",
            code="empty-file",
            details={"file": path.name, "line": line},
        )
    yield first
    yield from source
