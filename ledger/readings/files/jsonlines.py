"""A file of JSON lines as rows: one object on each line, its keys are the columns.

Numbers are taken by their text, so that no float ever stands between the file and the ledger.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledger.errors import BadInput
from ledger.readings.files.formats import Format
from ledger.readings.files.lines import LINE_MAX
from ledger.readings.files.tables import ONE_ARRAY, BadRow, Cells, Table, empty_file

_MISSING = object()


class JsonTable(Table):
    """The rows of a file of JSON lines.

    A column is a key of the object, or a path through nested objects with points between:
    ``data.P``. The whole name is looked for first.
    """

    def __init__(self, path: Path, text: io.TextIOWrapper, file_format: Format) -> None:
        super().__init__(path, file_format)
        self.columns = []
        self._text = text
        self._line = 0

    @property
    def line(self) -> int:
        """The last line that was read."""
        return self._line

    def place_of(self, name: str, key: str = "") -> int:
        """Return the place of a column; whether a line has it shows when it is read."""
        if name not in self.columns:
            self.columns.append(name)
        return self.columns.index(name)

    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield each line that is not empty, and the texts of the columns; null is empty.

        Raises
        ------
        BadInput
            The file has no line at all, or cannot be read on.
        """
        first = True
        for item in self.guarded(self._lines()):
            first = False
            yield item
        if first:
            raise empty_file(self.path, "a JSON object on each line")

    def _require_object(self, line: str) -> None:
        """Refuse a file whose first line is no JSON object: it is not what its source says."""
        text = line.lstrip("\ufeff \t")
        if text.startswith("{"):
            return
        what = 'not one JSON object; if the file is CSV, take format = "jsonl" out of [[source]]'
        if text.startswith("["):
            what = ONE_ARRAY
        raise BadInput(
            f"{self.path.name}: line {self._line}: {what}; nothing was imported",
            code="file-unreadable",
            details={"file": self.path.name, "line": self._line},
        )

    def _lines(self) -> Iterator[tuple[int, Cells]]:
        first = True
        while line := self._text.readline(LINE_MAX):
            self._line += 1
            if first and line.strip():
                self._require_object(line)
                first = False
            if len(line) == LINE_MAX and not line.endswith("\n"):
                while not line.endswith("\n") and (line := self._text.readline(LINE_MAX)):
                    pass
                yield self._line, BadRow(f"a line of more than {LINE_MAX} characters")
            elif line.strip():
                yield self._line, self._cells(line)

    def _cells(self, line: str) -> Cells:
        try:
            found = json.loads(
                line.strip("\ufeff\r\n"),  # an error at the end is of this line, not of the next
                parse_float=str,
                parse_int=str,
                parse_constant=str,
                object_pairs_hook=_object,
            )
        except (ValueError, RecursionError) as error:
            return BadRow(f"not one JSON object on a line ({_reason(error)})")
        if not isinstance(found, dict):
            return BadRow(f"not a JSON object, but {_kind(found)}")
        cells: list[str] = []
        for column in self.columns:
            value = _at(found, column)
            if value is _MISSING:
                what = f"the object has no key {column!r}, found: {_near(found, column)}"
                return BadRow(what, column, tuple(cells))
            if value is None:
                value = ""
            if not isinstance(value, str):
                what = f"{column!r} is {_kind(value)}, not a text or a number"
                return BadRow(what, column, tuple(cells))
            cells.append(value)
        return cells


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _at(found: dict[str, Any], column: str) -> Any:
    if column in found:
        return found[column]
    value: Any = found
    for part in column.split("."):
        if not isinstance(value, dict) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _near(found: dict[str, Any], column: str) -> str:
    """Return the keys of an object, or of the innermost one in it that a column leads to, each in full."""
    value, path = found, ""
    for part in column.split("."):
        inner = value.get(part)
        if not isinstance(inner, dict):
            break
        value, path = inner, f"{path}{part}."
    return ", ".join(f"{path}{key}" for key in value)[:200]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "null" if value is None else "a text or a number"


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return str(error)[:100] if isinstance(error, ValueError) else "too deeply nested"
