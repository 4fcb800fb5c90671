"""A meter file as rows of cells with their line numbers: what CSV, lines of JSON and workbooks have in common.

What is wrong with a file as a whole (not the declared encoding, no header, a missing column, a broken
gzip) is one ``BadInput`` with file, line, column and what to do. CSV is in ``csvtable``, lines of JSON are in
``jsonlines``, sheets in ``sheettable``; ``opening`` opens any.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from ledger.errors import BadInput
from ledger.readings.files.formats import Format
from ledger.readings.files.lines import LINE_MAX, LongLine
from ledger.readings.files.marks import first_undecodable

ONE_ARRAY = "the file is one JSON array; write one object on each line"
Item = TypeVar("Item")


class BadRow(NamedTuple):
    """What stands in the place of a row's cells when it has none."""

    message: str
    column: str = ""
    before: tuple[str, ...] = ()
    """Its cells before the one that is wrong, where they are known."""


Cells = list[str] | BadRow


class Table(ABC):
    """The rows of an open file.

    Attributes
    ----------
    columns
        Names of the columns as far as they are known; every row has as many cells.
    header_line
        The line of these names.
    unfinished_line
        At the end, the last line, when it has no line end and all its cells: a cut within the last one does not show.
        Else 0.
    """

    columns: list[str]
    header_line = 1
    unfinished_line = 0

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

    def header_again(self, cells: Sequence[str], time: int, places: Iterable[int]) -> str | None:
        """Return what is different where a row is a header once more, nothing where it is the same; else None.

        Parameters
        ----------
        cells
            Of the row.
        time, places
            Of the column of times, and of all columns that are read.
        """
        return None

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
                    'Europe), encoding = "gb18030" (Chinese) or encoding = "big5" (Chinese, traditional)'
                )
            what = f"byte 0x{byte:02x} is not {encoding.upper()}; {hint}"
            self._broken(what, error, first_undecodable(self.path, self.format.codec))
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


def empty_file(path: Path, needs: str, line: int = 1) -> BadInput:
    """Return the error of a file in which nothing stands."""
    where = "the file is empty" if line == 1 else f"there is no line {line}"
    return BadInput(
        f"{path.name}: {where}; it needs {needs}",
        code="empty-file",
        details={"file": path.name, "line": line},
    )
