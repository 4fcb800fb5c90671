"""CSV: its rows and what is wrong with one; texts that no spreadsheet takes for a formula, and back.

A text that begins with ``=``, ``+``, ``-``, ``@``, a tab, a line end or a NUL is written with an apostrophe before it;
signs of full width count, which a spreadsheet in Chinese or Japanese may take for the others. So is one that begins
with apostrophes and then such a sign: a reader takes one apostrophe away from either, and has each text as it was.
Numbers are no texts, and stay as they are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import BadInput

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What separates the columns of a file, and its name."""
_SIGN = r"[=+\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_SIGN}")
_GUARDED = re.compile(f"'+{_SIGN}")


class Wrong(Exception):
    """What is wrong with a value, and in which column; the column is empty where it is the row."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message


@dataclass(frozen=True)
class RowError:
    """What is wrong with one cell, and where."""

    line: int
    column: str
    message: str


def csv_rows(
    path: Path, text: str, columns: Iterable[str], *, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the names in the first line, then each row that is not empty; with the line that it begins in.

    Parameters
    ----------
    columns
        What an empty file is told to name.
    strict
        Whether a quoted cell must end where its quotes do.

    Raises
    ------
    BadInput
        If it is empty, or no CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=strict)
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num  # a quoted cell may run over several
            if line == 1:
                yield line, [name.strip() for name in cells]
            elif cells:
                yield line, cells
    except csv.Error as error:
        raise BadInput(
            f"{path}: line {reader.line_num}: not a CSV file ({error})",
            details={"line": reader.line_num},
        ) from error
    if not before:
        raise BadInput(f"{path}: empty; the first line must name the columns {', '.join(columns)}")


def commas_hint(header: Sequence[str]) -> str:
    """Return what to add where names of a first line are wrong: that no commas separate its columns; or nothing."""
    if len(header) == 1:
        for sign, name in DELIMITERS.items():
            if sign in header[0]:
                return f"; its columns are separated by {name}: write commas"
    return ""


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return "'" + text if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """Return the text that ``guarded`` made a cell of."""
    return cell[1:] if _GUARDED.match(cell) else cell


def wrong_count(surplus: int) -> str:
    """Say that a row has so many cells more than the first line has columns, or fewer (below zero).

    A row that ends early is no row with empty cells: a line that was cut off would be read as something else.
    """
    if surplus > 0:
        return f"{surplus} more cells than the first line has columns; quote what holds a comma"
    return f"{-surplus} fewer cells than the first line has columns; is the line cut off?"
