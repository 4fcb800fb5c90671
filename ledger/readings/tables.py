"""A meter file, plain or gzipped, as a stream of rows with their line numbers.

What is wrong with a file as a whole (not the declared encoding, no header, a missing column, a broken
gzip) is one ``BadInput`` with file, line, column and what to do. Memory stays flat whatever the
file's length. CSV is here, lines of JSON are in ``jsonlines``.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import unicodedata
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from ledger.errors import BadInput
from ledger.readings.formats import DELIMITERS, JSON_LINES, PLAIN, Format
from ledger.readings.lines import LINE_MAX, LongLine, WithoutComments, limited
from ledger.readings.marks import (
    GZIP,
    UTF8_MARK,
    check_encoding,
    check_text,
    first_undecodable,
)

_CELL_MAX = 65_536
_JSON_OBJECT = re.compile(r'\{\s*("|$)')
_JSON_ARRAY = re.compile(r"\[\s*([{\[]|$)")
ONE_ARRAY = "the file is one JSON array; write one object on each line"
Item = TypeVar("Item")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 digits.

    Raises
    ------
    BadInput
        The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


class BadRow(NamedTuple):
    """What stands in the place of a row's cells when it has none."""

    message: str
    column: str = ""


Cells = list[str] | BadRow


class Table(ABC):
    """The rows of an open file.

    Attributes
    ----------
    columns
        Names of the columns as far as they are known; every row has as many cells.
    """

    columns: list[str]

    def __init__(self, path: Path, file_format: Format) -> None:
        self.path = path
        self.format = file_format

    @abstractmethod
    def place_of(self, name: str, key: str = "") -> int:
        """Return the place of a column in each row.

        Parameters
        ----------
        name
            As the source has it: the header's text, or the number of the column.
        key
            The key of ``[[source]]`` that names it.

        Raises
        ------
        BadInput
            The file does not have it, or has it twice.
        """

    @abstractmethod
    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield the line on which each row ends, and its cells; empty lines are passed over.

        Raises
        ------
        BadInput
            The file has no row at all, or cannot be read on.
        """

    @property
    @abstractmethod
    def line(self) -> int:
        """The last line that was read."""

    def guarded(self, rows: Iterable[Item]) -> Iterator[Item]:
        """Yield rows; what breaks the reading of them is said in one line."""
        try:
            yield from rows
        except UnicodeDecodeError as error:
            encoding = self.format.encoding
            byte = error.object[error.start]
            hint = "save the file as UTF-8"
            if encoding == "utf-8":
                hint += (
                    ', or write its encoding in [[source]]: encoding = "windows-1252" (Western '
                    'Europe) or encoding = "gb18030" (Chinese)'
                )
            what = f"byte 0x{byte:02x} is not {encoding.upper()}; {hint}"
            self._broken(what, error, first_undecodable(self.path, encoding))
        except csv.Error as error:
            self._broken(*self._csv_wrong(error))
        except LongLine as error:
            what = f"a line of more than {LINE_MAX:,} characters; write one row on each line"
            self._broken(what, error, error.number)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self._broken("the gzip file is damaged or cut short; fetch it again", error)
        except OSError as error:
            self._broken(f"cannot be read on ({error.strerror})", error)

    def _csv_wrong(self, error: csv.Error) -> tuple[str, Exception, int]:
        """Return what is wrong with the CSV, and its line."""
        return f"not valid CSV ({error})", error, self.line

    def _broken(self, what: str, error: Exception, line: int | None = None) -> NoReturn:
        line = line or self.line + 1
        raise BadInput(
            f"{self.path.name}: line {line}: {what}; nothing was imported",
            code="file-unreadable",
            details={"file": self.path.name, "line": line},
        ) from error


class CsvTable(Table):
    """The rows of a CSV file: a header, and as many cells in each row."""

    def __init__(self, path: Path, text: io.TextIOWrapper, file_format: Format) -> None:
        super().__init__(path, file_format)
        self._passed = file_format.header_line - 1
        lines: Iterator[str] = islice(limited(text), self._passed, None)
        self._counted = None
        if file_format.comment is not None:
            lines = self._counted = WithoutComments(lines, file_format.comment)
        self._ended = 0
        self._header_line = self._passed + 1
        self._reader = csv.reader((), delimiter=file_format.delimiter, strict=True)
        start = list(self.guarded(islice(lines, 1)))
        _refuse_json(path, self._header_line, start)
        self._reader = csv.reader(chain(start, lines), delimiter=file_format.delimiter, strict=True)
        header = next(self.guarded(self._lines()), None)
        if header is None or isinstance(header[1], BadRow):
            raise empty_file(path, "a header line with the names of the columns", self._passed + 1)
        self._header_line = header[0]
        self.columns = [_normal(name.strip().removeprefix("\ufeff").strip()) for name in header[1]]

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
        called = f"named {name!r}" if name else "without a name"
        what = f"has {count} columns {called}"
        hint = f"; or write its number, {key} = 1 for the first column" if key else ""
        if count == 0:
            what = f"has no column {name!r}" if name else "has no column without a name"
            hint = ""
        hint = self._delimiter_hint() or f"correct the header or the [[source]]{hint}"
        code = "column-twice" if count else "missing-column"
        raise self._no_column(f"{what}, found: {found}; {hint}", code, name)

    def _no_column(self, what: str, code: str, name: str) -> BadInput:
        line = self._header_line
        return BadInput(
            f"{self.path.name}: line {line} {what}",
            code=code,
            details={"file": self.path.name, "line": line, "column": name},
        )

    def _delimiter_hint(self) -> str | None:
        """Return what to declare when the header holds together what should be apart."""
        if len(self.columns) > 1:
            return None
        for sign, name in DELIMITERS.items():
            if sign != self.format.delimiter and sign in self.columns[0]:
                written = "\\t" if sign == "\t" else sign
                return f'the columns are separated by {name}: write delimiter = "{written}" in [[source]]'
        return None

    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield the line on which each row ends, and its cells; empty lines are passed over.

        Raises
        ------
        BadInput
            The file has no row at all, or cannot be read on.
        """
        return with_rows(self.path, self.guarded(self._lines()), self._header_line + 1)

    def _lines(self) -> Iterator[tuple[int, Cells]]:
        reader, passed, counted = self._reader, self._passed, self._counted
        if counted is None:
            for cells in reader:
                self._ended = reader.line_num
                if cells:
                    yield passed + reader.line_num, cells
        else:
            for cells in reader:
                counted.first = 0
                if cells:
                    yield passed + counted.number, cells

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
    """Return a name with its accents written the one way, however its file writes them."""
    return unicodedata.normalize("NFC", name)


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


def with_rows(
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


def empty_file(path: Path, needs: str, line: int = 1) -> BadInput:
    """Return the error of a file in which nothing stands."""
    where = "the file is empty" if line == 1 else f"there is no line {line}"
    return BadInput(
        f"{path.name}: {where}; it needs {needs}",
        code="empty-file",
        details={"file": path.name, "line": line},
    )


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{path}: cannot be read ({error.strerror}); name an existing file", code="file-unreadable"
    )


@contextmanager
def opened(path: Path, file_format: Format = PLAIN) -> Iterator[Table]:
    """Open a meter file, gzipped or not; a byte order mark is passed over.

    Raises
    ------
    BadInput
        The file cannot be read, is empty, or is not in the encoding that its source declares.
    """
    with _unpacked(path) as binary:
        check_encoding(path, _beginning(path, binary), file_format.encoding)
        encoding = "utf-8-sig" if file_format.encoding == "utf-8" else file_format.encoding
        with io.TextIOWrapper(binary, encoding=encoding, newline="") as text:
            if file_format.format == JSON_LINES:
                from ledger.readings.jsonlines import JsonTable

                yield JsonTable(path, text, file_format)
            else:
                csv.field_size_limit(_CELL_MAX)
                yield CsvTable(path, text, file_format)


def check_bytes(path: Path) -> None:
    """Look at a file whose format is not known yet.

    Raises
    ------
    BadInput
        It cannot be read, or nothing stands in it.
    """
    with _unpacked(path) as binary:
        if not _beginning(path, binary).removeprefix(UTF8_MARK).strip():
            raise empty_file(path, "a header line with the names of the columns")


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    with raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        yield io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), 1 << 16)


def _beginning(path: Path, binary: io.BufferedReader) -> bytes:
    try:
        start = binary.peek(4)[:4096]
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{path.name}: line 1: the gzip file is damaged or cut short; fetch it again; "
            "nothing was imported",
            code="file-unreadable",
            details={"file": path.name, "line": 1},
        ) from error
    check_text(path, start)
    return start
