"""A CSV file, plain or gzipped, as a stream of rows with their line numbers.

What is wrong with a file as a whole (not UTF-8, no header, a missing column, a broken gzip) is one
``BadInput`` with file, line, column and what to do. Memory stays flat whatever the file's length.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

from ledger.errors import BadInput

_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
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
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing file",
            code="file-unreadable",
        ) from error


class Table:
    """The rows of an open file.

    Attributes
    ----------
    columns
        Names in the header, without blanks around them.
    """

    def __init__(self, path: Path, text: io.TextIOWrapper) -> None:
        self.path = path
        self._reader = csv.reader(text, strict=True)
        header = next(self._lines(), None)
        if header is None:
            raise BadInput(
                f"{path.name}: the file is empty; it needs a header line with the names of the columns",
                code="empty-file",
                details={"file": path.name, "line": 1},
            )
        self.columns = [name.strip() for name in header[1]]

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
        hint = "correct the header or the [[source]]"
        if len(self.columns) == 1 and ";" in found:
            hint = "the columns are separated by semicolons; separate them by commas"
        elif len(self.columns) == 1 and "\t" in found:
            hint = "the columns are separated by tabs; separate them by commas"
        raise BadInput(
            f"{self.path.name}: line 1 {what} {name!r}, found: {found[:200]}; {hint}",
            code="missing-column" if count == 0 else "column-twice",
            details={"file": self.path.name, "line": 1, "column": name},
        )

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line on which each row ends, and its cells; empty lines are passed over.

        Raises
        ------
        BadInput
            The file has no row at all, or cannot be read on.
        """
        any_row = False
        for item in self._lines():
            any_row = True
            yield item
        if not any_row:
            raise BadInput(
                f"{self.path.name}: no row follows the header; is it the right file?",
                code="empty-file",
                details={"file": self.path.name, "line": 2},
            )

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        reader = self._reader
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            what = f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
            self._broken(what, error, _first_undecodable(self.path))
        except csv.Error as error:
            self._broken(f"not valid CSV ({error})", error)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self._broken("the gzip file is damaged or cut short; fetch it again", error)
        except OSError as error:
            self._broken(f"cannot be read on ({error.strerror})", error)

    def _broken(self, what: str, error: Exception, line: int | None = None) -> NoReturn:
        line = line or self._reader.line_num + 1
        raise BadInput(
            f"{self.path.name}: line {line}: {what}; nothing was imported",
            code="file-unreadable",
            details={"file": self.path.name, "line": line},
        ) from error


def _first_undecodable(path: Path) -> int:
    """Return the first line that is not UTF-8; the decoder reads ahead and cannot say."""
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
    with gzip.open(path) if packed else path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


@contextmanager
def opened(path: Path) -> Iterator[Table]:
    """Open a CSV file, gzipped or not; a byte order mark is passed over.

    Raises
    ------
    BadInput
        The file cannot be read, is empty, or is not UTF-8.
    """
    csv.field_size_limit(_CELL_MAX)
    try:
        raw = path.open("rb")
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing file",
            code="file-unreadable",
        ) from error
    with raw:
        start = raw.read(2)
        raw.seek(0)
        if start in _UTF16:
            raise BadInput(
                f"{path.name}: line 1 is UTF-16; save the file as UTF-8",
                code="file-unreadable",
                details={"file": path.name, "line": 1},
            )
        binary: BinaryIO = raw
        if start == _GZIP:
            binary = gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[assignment]
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            yield Table(path, text)


def cell(cells: Sequence[str], place: int) -> str:
    """Return a cell without blanks around it."""
    return cells[place].strip()
