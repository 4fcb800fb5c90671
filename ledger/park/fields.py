"""A column of a kind of record: how its text is read, what it may hold, and how it is written again.

All of it comes from the model: a type that the column has is a parser here, a length a limit, an
enumeration a choice. A row number of another table is a code in files and answers.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import JSON, Boolean, Column, Enum, Integer, Text

from ledger.clock import time_text
from ledger.models.base import Base
from ledger.models.types import ExactDecimal, UtcDateTime, ValueRefused, Varchar
from ledger.park.reading import check_characters, read_decimal, read_object, read_time, short
from ledger.spreadsheets import Wrong

_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
TEXT_MAX = 10_000
"""Characters of a text without a length of its own."""
INTEGER_END = 2**31


class Sort(StrEnum):
    """What a column holds, for people and for the API."""

    TEXT = "text"
    NUMBER = "decimal number"
    WHOLE = "whole number"
    TRUTH = "true or false"
    TIME = "time"
    CHOICE = "one of"
    OBJECT = "JSON object"


@dataclass(frozen=True)
class Reference:
    """The parent that a column names.

    Parameters
    ----------
    model
        Table of the parent.
    code
        Attribute of the parent that files name it by.
    noun
        What a parent is called.
    kind
        Kind of record that the parent is; empty where it is none.
    by_code
        Whether the column itself holds the code, not the row number.
    """

    model: type[Base]
    code: str
    noun: str
    kind: str
    by_code: bool = False


@dataclass(frozen=True)
class Limit:
    """Least and greatest value of a number.

    Parameters
    ----------
    low, high
        Both may be reached; None: no limit.
    above_low
        Whether the least must be exceeded.
    """

    low: Decimal | None = None
    high: Decimal | None = None
    above_low: bool = False

    def check(self, column: str, value: Decimal | int) -> None:
        """Refuse a number outside.

        Raises
        ------
        Wrong
            If it is.
        """
        if self.low is not None and (value < self.low or (self.above_low and value == self.low)):
            raise Wrong(
                column, f"{value} is not {'above' if self.above_low else 'at least'} {self.low}"
            )
        if self.high is not None and value > self.high:
            raise Wrong(column, f"{value} is above {self.high}")

    def __str__(self) -> str:
        low = (
            f"{'above' if self.above_low else 'at least'} {self.low}"
            if self.low is not None
            else ""
        )
        high = f"at most {self.high}" if self.high is not None else ""
        return ", ".join(part for part in (low, high) if part)


@dataclass(frozen=True)
class Field:
    """One column of a kind, by the name that it has in files and answers."""

    name: str
    column: Column[Any]
    attribute: str
    refers: Reference | None = None
    limit: Limit | None = None

    @property
    def sort(self) -> Sort:
        """What it holds."""
        if self.refers is not None:
            return Sort.TEXT
        kind = self.column.type
        for types, sort in _SORTS:
            if isinstance(kind, types):
                return sort
        raise TypeError(f"{self.column}: no parser for {kind!r}")

    @property
    def required(self) -> bool:
        """Whether a row must have a value."""
        return not self.column.nullable

    @property
    def choices(self) -> type[StrEnum] | None:
        """The values that it may have, where they are few."""
        kind = self.column.type
        return cast("type[StrEnum]", kind.enum_class) if isinstance(kind, Enum) else None

    @property
    def what(self) -> str:
        """What it is, in a sentence."""
        if self.refers is not None:
            names = "Name" if self.refers.code.endswith("name") else "Code"
            return f"{names} of the {self.refers.noun}."
        return self.column.comment or ""

    def read(self, raw: object) -> Any:
        """Return a value from a file as the column holds it; None where there is none.

        Parameters
        ----------
        raw
            Text of a cell, or a value of JSON (numbers with a point as text).

        Raises
        ------
        Wrong
            If it cannot be read, or is beyond what the column holds.
        """
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            if self.required:
                raise Wrong(self.name, "is empty, and every row needs one")
            return None
        return _READERS[self.sort](self, raw)

    def written(self, value: Any) -> Any:
        """Return a stored value as JSON has it: numbers and times as text, a choice by its value."""
        if isinstance(value, Decimal):
            return format(value, "f")
        if isinstance(value, datetime):
            return time_text(value)
        if isinstance(value, StrEnum):
            return value.value
        return value

    def cell(self, value: Any) -> str:
        """Return a stored value as a cell of CSV."""
        said = self.written(value)
        if said is None:
            return ""
        if isinstance(said, bool):
            return "true" if said else "false"
        if isinstance(said, Mapping):
            return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        return str(said)


def _text(field: Field, raw: object) -> str:
    if not isinstance(raw, str):
        raise Wrong(field.name, f"{short(raw)} is not text")
    text = raw.strip()
    check_characters(field.name, text)
    kind = field.column.type
    longest = kind.length if isinstance(kind, Varchar) else TEXT_MAX
    if any(unicodedata.category(sign) == "Cc" for sign in text) and isinstance(kind, Varchar):
        raise Wrong(field.name, f"{short(text)} has control characters")
    if field.refers is None and len(text) > longest:
        raise Wrong(field.name, f"{text[:40]!r}... has {len(text)} characters, at most {longest}")
    return text


def _decimal(field: Field, raw: object) -> Decimal:
    number = read_decimal(field.name, raw)
    kind = field.column.type
    assert isinstance(kind, ExactDecimal)
    try:
        exact = kind.exact(number)
    except ValueRefused:
        raise Wrong(
            field.name,
            f"{raw} has more than {kind.scale} decimals or more than {kind.precision - kind.scale} "
            "digits before the point",
        ) from None
    if field.limit is not None:
        field.limit.check(field.name, exact)
    return exact


def _whole(field: Field, raw: object) -> int:
    if isinstance(raw, str) and _WHOLE.fullmatch(raw.strip()):
        raw = int(raw)
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise Wrong(field.name, f"{short(raw)} is not a whole number")
    if not -INTEGER_END <= raw < INTEGER_END:
        raise Wrong(field.name, f"{raw} does not fit the column")
    if field.limit is not None:
        field.limit.check(field.name, raw)
    return raw


def _truth(field: Field, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    said = raw.strip().lower() if isinstance(raw, str) else None
    if said in ("true", "false"):  # spreadsheets write capitals
        return said == "true"
    raise Wrong(field.name, f"{short(raw)} is neither true nor false")


def _choice(field: Field, raw: object) -> StrEnum:
    choices = field.choices
    assert choices is not None
    try:
        return choices(raw.strip() if isinstance(raw, str) else str(raw))
    except ValueError:
        known = ", ".join(choices)
        raise Wrong(field.name, f"{short(raw)} is none of {known}") from None


_SORTS: tuple[tuple[tuple[type[Any], ...], Sort], ...] = (
    ((ExactDecimal,), Sort.NUMBER),
    ((UtcDateTime,), Sort.TIME),
    ((JSON,), Sort.OBJECT),
    ((Enum,), Sort.CHOICE),
    ((Boolean,), Sort.TRUTH),
    ((Integer,), Sort.WHOLE),
    ((Varchar, Text), Sort.TEXT),
)
_READERS: Mapping[Sort, Any] = {
    Sort.TEXT: _text,
    Sort.NUMBER: _decimal,
    Sort.WHOLE: _whole,
    Sort.TRUTH: _truth,
    Sort.TIME: lambda field, raw: read_time(field.name, raw),
    Sort.CHOICE: _choice,
    Sort.OBJECT: lambda field, raw: read_object(field.name, raw),
}
