"""The three forms of a file, each written piece by piece.

CSV is RFC 4180 in UTF-8 with a header line. A text that a spreadsheet would take for a formula gets an apostrophe
before it (``ledger.spreadsheets``); numbers never do. JSON lines are the items of the list as the API answers them.
Parquet has types: decimals are decimals.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from api.exports.columns import Column, Kind, json_text
from ledger.clock import time_text
from ledger.jsontext import one_line
from ledger.spreadsheets import guarded

ROW_GROUP = 10_000
"""Rows of a row group of Parquet: what a reader takes in at once, and what is held here."""


class Format(StrEnum):
    """The form of a file."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.JSONL: "application/jsonl",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class Writer(Protocol):
    """Writes a file; each step returns what is ready of it."""

    def rows(self, items: Sequence[Any]) -> bytes:
        """Take in items of the list."""

    def end(self) -> bytes:
        """End the file."""


def writer_of(form: Format, columns: Sequence[Column], about: Mapping[str, str]) -> Writer:
    """Return a writer of a file.

    Parameters
    ----------
    columns
        Its columns.
    about
        What the file is of; Parquet keeps it as metadata.
    """
    if form is Format.CSV:
        return CsvWriter(columns)
    if form is Format.JSONL:
        return JsonLinesWriter()
    from api.exports.parquet import ParquetWriter

    return ParquetWriter(columns, about, ROW_GROUP)


class CsvWriter:
    """CSV."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = [(column, _CELLS[column.kind]) for column in columns]
        self._text = io.StringIO()
        self._csv = csv.writer(self._text, lineterminator="\r\n")
        self._csv.writerow([column.name for column in columns])

    def rows(self, items: Sequence[Any]) -> bytes:
        """Take in items of the list."""
        self._csv.writerows(
            [
                "" if (value := column.value(item)) is None else cell(value)
                for column, cell in self._columns
            ]
            for item in items
        )
        return self._taken()

    def end(self) -> bytes:
        """End the file."""
        return self._taken()

    def _taken(self) -> bytes:
        found = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return found


class JsonLinesWriter:
    """JSON lines."""

    def rows(self, items: Sequence[Any]) -> bytes:
        """Take in items of the list."""
        return b"".join(one_line(item.model_dump_json()).encode() + b"\n" for item in items)

    def end(self) -> bytes:
        """End the file."""
        return b""


def _decimal(value: Decimal) -> str:
    return format(value, "f")


_CELLS: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: guarded,
    Kind.JSON: lambda value: guarded(json_text(value)),
    Kind.INTEGER: str,
    Kind.DECIMAL: _decimal,
    Kind.TIME: time_text,
    Kind.FLAG: lambda value: "true" if value else "false",
}
