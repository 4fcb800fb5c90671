"""A site file as text: its tables, its keys, and the line on which each stands.

The TOML reader gives no positions, so that the line of a key is looked up in the text; a message
names it where it is found.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from ledger.codes import blank_around
from ledger.errors import BadInput, did_you_mean, in_words

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_-]+)\s*\]\]?\s*(#.*)?$")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


_TO_DO = {
    "Invalid value": "a text stands in quotes; true, false, whole numbers and days stand without",
    "Cannot overwrite": "a key stands once in its table, and a table always in the same brackets, [[name]] "
    "where there may be several",
    "Cannot declare": "a table of which there are several stands in double brackets, [[name]]",
}
"""What to do, by what the TOML reader says first where that alone does not tell."""


def _located(error: Exception) -> str:
    """Return what is wrong with a text that is not TOML, its place first as in every other message."""
    what, found, place = str(error).removesuffix(")").rpartition(" (at ")
    to_do = "".join(f"; {text}" for said, text in _TO_DO.items() if what.startswith(said))
    return (
        f"{place}: not valid TOML: {what}{to_do}" if found else f"not valid TOML: {in_words(error)}"
    )


def _as_written(value: Any) -> str:
    """Return a value for a message: truths and times as TOML writes them, all else as Python does."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, (date, time)) else repr(value)


class Table:
    """One table of a site file, whose keys are taken one by one.

    Parameters
    ----------
    document
        The file.
    name
        Name of the table, such as ``source``.
    place
        Which of the tables of that name, from 0.
    values
        Keys and values.

    Raises
    ------
    BadInput
        From every method that reads a key, if what is given for it cannot be used; with the line.
    """

    def __init__(
        self, document: Document, name: str, place: int, values: Mapping[str, Any]
    ) -> None:
        self._document = document
        self._name = name
        self._place = place
        self._values = values

    @property
    def values(self) -> Mapping[str, Any]:
        """The keys and values, as they were read."""
        return self._values

    def has(self, key: str) -> bool:
        """Return whether a key is given."""
        return key in self._values

    def value(self, key: str) -> Any:
        """Return what is given for a key, unchecked."""
        return self._values.get(key)

    def require_known(self, known: frozenset[str]) -> None:
        """Refuse keys that are not known.

        Raises
        ------
        BadInput
            With the nearest known key.
        """
        for key in self._values:
            if key not in known:
                hint = did_you_mean(key, known, f"known are {', '.join(sorted(known))}")
                raise self.wrong(key, f"unknown key {key!r}; {hint}", "unknown-key")

    def text(self, key: str, longest: int, hint: str = "", *, lines: bool = False) -> str:
        """Return a text that must be given and not be empty; of one line, unless ``lines`` allows more."""
        if key not in self._values:
            tail = f"; {hint}" if hint else ""
            raise self.wrong(None, f"{key!r} is missing{tail}", "missing-key")
        value = self._values[key]
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"{key} must be a text in quotes, found {_as_written(value)}")
        if len(value) > longest:
            raise self.wrong(key, f"{key} has {len(value)} characters, at most {longest}")
        unseen = next((sign for sign in value if unicodedata.category(sign) == "Cc"), None)
        if unseen is not None and not (lines and unseen in "\n\r\t"):
            raise self.wrong(
                key, f"{key} has a control character, U+{ord(unseen):04X}; take it out"
            )
        return value

    def name(self, key: str, longest: int) -> str:
        """Return a text by which people and files name something: without blanks around it, which nobody sees."""
        value = self.text(key, longest)
        if (why := blank_around(value)) is not None:
            raise self.wrong(key, f"{key} {why}")
        return value

    def optional(self, key: str, longest: int, *, lines: bool = False) -> str | None:
        """Return a text, or None when it is not given."""
        return self.text(key, longest, lines=lines) if key in self._values else None

    def code(self, key: str, longest: int = 50) -> str:
        """Return a code of letters, digits, points, dashes and underlines."""
        value = self.text(key, longest)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise self.wrong(
                key,
                f"{key} {value!r} may have letters, digits, points, dashes and underlines alone",
            )
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """Return one of the known words."""
        value = self.text(key, 100, f"use one of {', '.join(choices)}")
        if value not in choices:
            hint = did_you_mean(value, choices, f"use one of {', '.join(choices)}")
            raise self.wrong(key, f"unknown {key} {value!r}; {hint}")
        return value

    def decimal(self, key: str, hint: str = "") -> str:
        """Return a number as decimal text; a number with a point must be in quotes."""
        value = self._values.get(key)
        if isinstance(value, float):
            raise self.wrong(
                key, f'{key} must stand in quotes, as "{value}": a bare number is rounded'
            )
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        elif key not in self._values or not isinstance(value, str):
            value = self.text(key, 40, hint)
        if not _DECIMAL.fullmatch(value):
            raise self.wrong(
                key, f"{key} must be a plain decimal number such as 0.4329, found {value!r}"
            )
        return value

    def amount(self, key: str, decimals: int, below: int) -> Decimal:
        """Return a number that is not negative and fits its column."""
        text = self.decimal(key)
        value = Decimal(text)
        if value < 0 or value >= below or value != value.quantize(Decimal(1).scaleb(-decimals)):
            raise self.wrong(
                key,
                f"{key} must lie from 0 to below {below} with at most {decimals} decimals, found {text}",
            )
        return value

    def whole(self, key: str, choices: tuple[int, ...] | None = None) -> int:
        """Return a whole number, if need be one of the choices."""
        value = self._values.get(key)
        if key not in self._values:
            raise self.wrong(None, f"{key!r} is missing", "missing-key")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(
                key, f"{key} must be a whole number without quotes, found {_as_written(value)}"
            )
        if choices is not None and value not in choices:
            allowed = ", ".join(str(item) for item in choices)
            raise self.wrong(key, f"{key} must be one of {allowed}, found {value}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(
                key, f"{key} must be true or false without quotes, found {_as_written(value)}"
            )
        return value

    def day(self, key: str) -> date | None:
        """Return a date, or None when it is not given."""
        value = self._values.get(key)
        if value is None:
            return None
        if type(value) is date:
            return value
        try:
            if isinstance(value, str) and len(value) == 10:
                return date.fromisoformat(value)
        except ValueError:
            pass
        raise self.wrong(
            key, f"{key} must be a date such as 2013-01-31, found {_as_written(value)}"
        )

    def moment(self, key: str) -> datetime:
        """Return a time with its offset, in whole seconds."""
        value = self._values.get(key)
        if key not in self._values:
            raise self.wrong(None, f"{key!r} is missing", "missing-key")
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if not isinstance(value, datetime) or value.tzinfo is None or value.microsecond:
            raise self.wrong(
                key,
                f"{key} must be a time with its offset such as 2014-06-01T12:00:00+02:00, "
                f"found {_as_written(self._values[key])}",
            )
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; empty when it is not given."""
        value = self._values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, f"{key} must be a list of texts, found {_as_written(value)}")
        return tuple(value)

    def wrong(self, key: str | None, message: str, code: str = "bad-site-file") -> BadInput:
        """Return the error that says what is wrong with a key, and where."""
        return self._document.wrong(self._name, self._place, key, message, code)


class Document:
    """A site file.

    Parameters
    ----------
    text
        The TOML text.
    name
        Name of the file, for messages.
    tables
        Known tables: name, and whether it may stand several times (``[[name]]``).

    Raises
    ------
    BadInput
        Not TOML, an unknown table, or one in the wrong brackets.
    """

    def __init__(self, text: str, name: str, tables: Mapping[str, bool]) -> None:
        self._lines = text.split("\n")  # as TOML has them: other signs end no line there
        self.name = name
        try:
            self._values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name}: {_located(error)}", code="bad-site-file") from error
        for key, value in self._values.items():
            if key not in tables:
                hint = did_you_mean(key, tables, f"known are {', '.join(tables)}")
                raise self.wrong(key, 0, None, f"unknown table {key!r}; {hint}", "unknown-key")
            many = isinstance(value, list) and all(isinstance(item, dict) for item in value)
            if tables[key] and not many:
                raise self.wrong(key, 0, None, f"write it in double brackets: [[{key}]]")
            if not tables[key] and not isinstance(value, dict):
                raise self.wrong(key, 0, None, f"write it once, in single brackets: [{key}]")

    def one(self, name: str) -> Table | None:
        """Return the only table of a name, or None."""
        values = self._values.get(name)
        return None if values is None else Table(self, name, 0, values)

    def many(self, name: str) -> list[Table]:
        """Return all tables of a name, in order."""
        values = self._values.get(name, [])
        return [Table(self, name, place, item) for place, item in enumerate(values)]

    def wrong(
        self, table: str, place: int, key: str | None, message: str, code: str = "bad-site-file"
    ) -> BadInput:
        """Return an error with file, line and table."""
        line = self._line_of(table, place, key)
        where = f"line {line}, [{table}]" if line else f"[{table}]"
        details = {"file": self.name, "line": line, "table": table, "key": key}
        return BadInput(f"{self.name}: {where}: {message}", code=code, details=details)

    def _line_of(self, table: str, place: int, key: str | None) -> int | None:
        current, count, header = "", -1, None
        for number, line in enumerate(self._lines, start=1):
            match = _HEADER.match(line)
            if match:
                current = match[2]
                count += current == table
                if current == table and count == place:
                    header = number
            elif key is not None and current == table and count == place:
                if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                    return number
            elif not current and re.match(rf"\s*[\"']?{re.escape(table)}[\"']?\s*[.=]", line):
                return number
        return header
