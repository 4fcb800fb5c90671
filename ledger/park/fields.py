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
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import JSON, Boolean, Column, Enum, Integer, Text

from ledger.errors import BadInput
from ledger.models.base import Base
from ledger.models.types import JSON_SAFE_INTEGER, ExactDecimal, UtcDateTime, ValueRefused, Varchar

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_YEAR_MIN, _YEAR_MAX = 1970, 2999
TEXT_MAX = 10_000
"""Characters of a text without a length of its own."""
JSON_MAX = 60_000
"""Characters of an object, as it is stored."""
DEPTH_MAX = 20
INTEGER_END = 2**31


class Wrong(Exception):
    """What is wrong with a value, and in which column; the column is empty where it is the row."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message


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


def time_text(value: datetime) -> str:
    """Return an aware time in UTC as ISO 8601 text that ends in ``Z``."""
    return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def read_object(column: str, raw: object) -> dict[str, Any]:
    """Return a JSON object, from its text or as it is.

    Raises
    ------
    Wrong
        If it is none, or too long, or names a member twice.
    """
    found = raw
    if isinstance(raw, str):
        try:
            found = loads(raw)
        except (ValueError, RecursionError) as error:
            raise Wrong(column, f"is not a JSON object ({error})") from None
    if not isinstance(found, dict):
        raise Wrong(column, f"{_short(raw)} is not a JSON object: write {{...}}")
    checked: dict[str, Any] = _plain(column, found, 0)
    if len(json.dumps(checked, ensure_ascii=False)) > JSON_MAX:
        raise Wrong(column, f"is longer than {JSON_MAX} characters")
    return checked


def loads(text: str) -> Any:
    """Return JSON; a number with a point or an exponent as its text, so that nothing is rounded.

    Raises
    ------
    ValueError
        If it is none, or names a member twice, or has a number that is none.
    """
    return json.loads(text, **DECODING)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


DECODING: dict[str, Any] = {
    "object_pairs_hook": _once,
    "parse_float": str,
    "parse_constant": _refuse,
}
"""How JSON is read, see ``loads``."""


def _plain(column: str, value: Any, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise Wrong(column, f"is nested deeper than {DEPTH_MAX}")
    if isinstance(value, dict):
        return {str(name): _plain(column, part, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(column, part, depth + 1) for part in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > JSON_SAFE_INTEGER:
        return str(value)
    if isinstance(value, str) and ("\0" in value or not value.isascii()):
        _check_characters(column, value)
    return value


def _check_characters(column: str, text: str) -> None:
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise Wrong(column, "has characters that no text has")


def _text(field: Field, raw: object) -> str:
    if not isinstance(raw, str):
        raise Wrong(field.name, f"{_short(raw)} is not text")
    text = raw.strip()
    _check_characters(field.name, text)
    kind = field.column.type
    longest = kind.length if isinstance(kind, Varchar) else TEXT_MAX
    if any(unicodedata.category(sign) == "Cc" for sign in text) and isinstance(kind, Varchar):
        raise Wrong(field.name, f"{_short(text)} has control characters")
    if field.refers is None and len(text) > longest:
        raise Wrong(field.name, f"{text[:40]!r}... has {len(text)} characters, at most {longest}")
    return text


def read_decimal(column: str, raw: object) -> Decimal:
    """Return a number from text or a whole number of JSON.

    Raises
    ------
    Wrong
        If it is none.
    """
    if isinstance(raw, int) and not isinstance(raw, bool):
        return Decimal(raw)
    if not isinstance(raw, str) or len(raw) > 60 or not _NUMBER.fullmatch(raw.strip()):
        raise Wrong(column, f"{_short(raw)} is not a number; write digits and a point")
    return Decimal(raw.strip())


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
        raise Wrong(field.name, f"{_short(raw)} is not a whole number")
    if not -INTEGER_END <= raw < INTEGER_END:
        raise Wrong(field.name, f"{raw} does not fit the column")
    if field.limit is not None:
        field.limit.check(field.name, raw)
    return raw


def _truth(field: Field, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if raw in ("true", "false"):
        return raw == "true"
    raise Wrong(field.name, f"{_short(raw)} is neither true nor false")


def read_time(column: str, raw: object) -> datetime:
    """Return an aware time in UTC from ISO 8601 text.

    Raises
    ------
    Wrong
        If it is none, has no offset, or lies outside of the calendar.
    """
    try:
        if not isinstance(raw, str) or len(raw.strip()) < len("2024-01-01T00:00"):
            raise ValueError
        moment = datetime.fromisoformat(raw.strip())
    except ValueError:
        raise Wrong(
            column, f"{_short(raw)} is not a time; write for example 2026-01-31T12:00:00Z"
        ) from None
    if moment.tzinfo is None:
        raise Wrong(column, f"{raw} has no offset; write for example {raw.strip()}+01:00")
    if not _YEAR_MIN < moment.year < _YEAR_MAX:
        raise Wrong(column, f"{raw} is not between the years {_YEAR_MIN} and {_YEAR_MAX}")
    return moment.astimezone(UTC)


def _choice(field: Field, raw: object) -> StrEnum:
    choices = field.choices
    assert choices is not None
    try:
        return choices(raw.strip() if isinstance(raw, str) else str(raw))
    except ValueError:
        known = ", ".join(choices)
        raise Wrong(field.name, f"{_short(raw)} is none of {known}") from None


def _short(raw: object) -> str:
    said = raw if isinstance(raw, str) else json.dumps(raw, default=str)
    return repr(said[:40]) + ("..." if len(said) > 40 else "")


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


def refused(place: str, wrong: Wrong) -> BadInput:
    """Return the error of one wrong value that was not in a file."""
    where = f"{place} {wrong.column}".strip()
    return BadInput(f"{where}: {wrong.message}", details={"column": wrong.column})
