"""Values as files write them: numbers, times and objects, read exactly or refused with a reason."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger.clock import is_finer_than_micros
from ledger.errors import BadInput
from ledger.jsontext import JSON_SAFE_INTEGER, once
from ledger.settings.values import is_text
from ledger.spreadsheets import Wrong
from ledger.units import decimal_of

_YEAR_MIN, _YEAR_MAX = 1971, 2998
JSON_MAX = 60_000
"""Characters of an object, as it is stored."""
DEPTH_MAX = 20


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
        except RecursionError:
            raise Wrong(column, f"is nested deeper than {DEPTH_MAX}") from None
        except ValueError as error:
            raise Wrong(column, f"is not a JSON object ({error})") from None
    if not isinstance(found, dict):
        raise Wrong(column, f"{short(raw)} is not a JSON object: write {{...}}")
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


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


DECODING: dict[str, Any] = {
    "object_pairs_hook": once,
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
        check_characters(column, value)
    return value


def check_characters(column: str, text: str) -> None:
    """Refuse what no text has.

    Raises
    ------
    Wrong
        If it has.
    """
    if "\0" in text or not is_text(text):
        raise Wrong(column, "has characters that no text has")


def read_decimal(column: str, raw: object) -> Decimal:
    """Return a number from text or a whole number of JSON.

    Raises
    ------
    Wrong
        If it is none.
    """
    if isinstance(raw, int) and not isinstance(raw, bool):
        return Decimal(raw)
    if isinstance(raw, str) and len(raw) <= 60:
        with suppress(ValueError):
            return decimal_of(raw.strip())
    raise Wrong(column, f"{short(raw)} is not a number; write digits and a point")


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
            column, f"{short(raw)} is not a time; write for example 2026-01-31T12:00:00Z"
        ) from None
    if is_finer_than_micros(raw):
        raise Wrong(column, f"{raw} is finer than a microsecond")
    if moment.tzinfo is None:
        raise Wrong(column, f"{raw} has no offset; write for example {raw.strip()}+01:00")
    if not _YEAR_MIN <= moment.year <= _YEAR_MAX:
        raise Wrong(column, f"{raw} is not between the years {_YEAR_MIN} and {_YEAR_MAX}")
    return moment.astimezone(UTC)


def short(raw: object) -> str:
    """Return the beginning of a value, as an error shows it."""
    said = raw if isinstance(raw, str) else json.dumps(raw, default=str)
    return repr(said[:40]) + ("..." if len(said) > 40 else "")


def refused(place: str, wrong: Wrong) -> BadInput:
    """Return the error of one wrong value that was not in a file."""
    where = f"{place} {wrong.column}".strip()
    return BadInput(f"{where}: {wrong.message}", details={"column": wrong.column})
