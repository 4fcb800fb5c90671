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
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple, NoReturn

from ledger.errors import BadInput
from ledger.readings.formats import DELIMITERS, JSON_LINES, PLAIN, Format

_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"
_CELL_MAX = 65_536


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
    def place_of(self, name: str) -> int:
        """Return the place of a column in each row.

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

    def guarded(self, rows: Iterable[tuple[int, Cells]]) -> Iterator[tuple[int, Cells]]:
        """Yield rows; what breaks the reading of them is said in one line."""
        try:
            yield from rows
        except UnicodeDecodeError as error:
            encoding = self.format.encoding
            byte = error.object[error.start]
            hint = "save the file as UTF-8"
            if encoding == "utf-8":
                hint += ', or write its encoding in [[source]], such as encoding = "windows-1252"'
            what = f"byte 0x{byte:02x} is not {encoding.upper()}; {hint}"
            self._broken(what, error, _first_undecodable(self.path, encoding))
        except csv.Error as error:
            self._broken(f"not valid CSV ({error})", error)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self._broken("the gzip file is damaged or cut short; fetch it again", error)
        except OSError as error:
            self._broken(f"cannot be read on ({error.strerror})", error)

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
        lines: Iterable[str] = islice(text, self._passed, None) if self._passed else text
        self._counted = None
        if file_format.comment is not None:
            lines = self._counted = _WithoutComments(lines, file_format.comment)
        self._reader = csv.reader(lines, delimiter=file_format.delimiter, strict=True)
        header = next(self.guarded(self._lines()), None)
        if header is None or isinstance(header[1], BadRow):
            raise empty_file(path, "a header line with the names of the columns", self._passed + 1)
        self._header_line = header[0]
        self.columns = [name.strip().removeprefix("\ufeff").strip() for name in header[1]]

    @property
    def line(self) -> int:
        """The last line that was read."""
        if self._counted is not None:
            return self._passed + self._counted.number
        return self._passed + self._reader.line_num

    def place_of(self, name: str) -> int:
        """Return the place of a column.

        Raises
        ------
        BadInput
            The header does not have it, or has it twice.
        """
        count = self.columns.count(name)
        if count == 1:
            return self.columns.index(name)
        found = ", ".join(self.columns)
        what = "has no column" if count == 0 else f"has {count} columns named"
        hint = self._delimiter_hint() or "correct the header or the [[source]]"
        line = self._header_line
        raise BadInput(
            f"{self.path.name}: line {line} {what} {name!r}, found: {found[:200]}; {hint}",
            code="missing-column" if count == 0 else "column-twice",
            details={"file": self.path.name, "line": line, "column": name},
        )

    def _delimiter_hint(self) -> str | None:
        """Return what to declare when the header holds together what should be apart."""
        if self.columns[0].startswith("{"):
            return 'the lines are of JSON: write format = "jsonl" in [[source]]'
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
                if cells:
                    yield passed + reader.line_num, cells
        else:
            for cells in reader:
                if cells:
                    yield passed + counted.number, cells


class _WithoutComments:
    """Lines of a file without those that begin with a prefix; counts all of them."""

    def __init__(self, lines: Iterable[str], prefix: str) -> None:
        self._lines = iter(lines)
        self._prefix = prefix
        self.number = 0

    def __iter__(self) -> _WithoutComments:
        return self

    def __next__(self) -> str:
        while True:
            line = next(self._lines)
            self.number += 1
            if not line.lstrip("\ufeff \t").startswith(self._prefix):
                return line


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


def _first_undecodable(path: Path, encoding: str) -> int:
    """Return the first line that cannot be decoded; the decoder reads ahead and cannot say."""
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
    with gzip.open(path) if packed else path.open("rb") as lines:
        if encoding == "utf-16":
            try:
                lines.read().decode(encoding)
            except UnicodeDecodeError as error:
                return error.object[: error.start].replace(b"\x00", b"").count(b"\n") + 1
        for number, line in enumerate(lines, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number
    return 1


@contextmanager
def opened(path: Path, file_format: Format = PLAIN) -> Iterator[Table]:
    """Open a meter file, gzipped or not; a byte order mark is passed over.

    Raises
    ------
    BadInput
        The file cannot be read, is empty, or is not in the encoding that its source declares.
    """
    with _unpacked(path) as binary:
        _check_marks(path, _beginning(path, binary), file_format.encoding)
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
        if not _beginning(path, binary).removeprefix(_UTF8_MARK).strip():
            raise empty_file(path, "a header line with the names of the columns")


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    with raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        yield io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), 1 << 16)


def _beginning(path: Path, binary: io.BufferedReader) -> bytes:
    try:
        return binary.peek(4)[:4096]
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{path.name}: line 1: the gzip file is damaged or cut short; fetch it again; "
            "nothing was imported",
            code="file-unreadable",
            details={"file": path.name, "line": 1},
        ) from error


def _check_marks(path: Path, start: bytes, encoding: str) -> None:
    """Refuse a file whose byte order mark names another encoding than its source."""
    marked = None
    if start.startswith(_UTF16):
        marked = "utf-16"
    elif start.startswith(_UTF8_MARK):
        marked = "utf-8"
    what = None
    if marked is not None and marked != encoding:
        what = f'line 1 is {marked.upper()}; write encoding = "{marked}" in [[source]]'
    elif encoding == "utf-16" and marked is None and start:
        what = "line 1 has no byte order mark, so that it is not UTF-16; write another encoding"
    if what is not None:
        raise BadInput(
            f"{path.name}: {what}",
            code="file-unreadable",
            details={"file": path.name, "line": 1},
        )
