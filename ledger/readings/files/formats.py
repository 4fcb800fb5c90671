"""How the text of a meter file is written: what a ``[[source]]`` says beyond columns and units.

Every key has the default of the plainest file: CSV in UTF-8 with a header, commas between the
columns, a point before the decimals, ISO 8601 for times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

CSV, JSON_LINES = "csv", "jsonl"
FORMATS = (CSV, JSON_LINES)
DECIMALS = (".", ",")
THOUSANDS = (".", ",", " ", "'")
ENCODINGS = ("utf-8", "utf-16", "latin-1", "windows-1252", "gb18030", "big5")
_CODECS = {"utf-8": "utf-8-sig", "big5": "cp950"}
"""Those that Python calls otherwise: a byte order mark is no text, and what Windows writes as Big5 has more signs."""
REFUSE, IN_ORDER = "refuse", "in_order"
CLOCK_CHANGES = (REFUSE, IN_ORDER)
UNIX, UNIX_MS, UNIX_US, UNIX_NS = "unix", "unix_ms", "unix_us", "unix_ns"
COUNTS = {UNIX: 1, UNIX_MS: 10**3, UNIX_US: 10**6, UNIX_NS: 10**9}
"""What is counted since 1970: so many make a second."""
ONLY = "only"
"""Key of ``[[source]]`` that says which rows of a file are meant."""
_LISTS = {"missing", "numbered"}


COMMENT_MAX = 10
"""Characters that begin a line which is no row."""


@dataclass(frozen=True, slots=True)
class Format:
    """How the files of a source are written. The fields are keys of ``[[source]]``."""

    format: str = CSV
    delimiter: str = ","
    decimal: str = "."
    thousands: str | None = None
    encoding: str = "utf-8"
    header_line: int = 1
    """Line of the header, counted from 1; the lines before it are passed over."""
    trailing_delimiter: bool = False
    """Rows end with a delimiter that the header does not have."""
    comment: str | None = None
    """Lines that begin with it are passed over."""
    time_format: str | None = None
    """Pattern for ``timeformats.parser_of``, or one of ``COUNTS``; None is ISO 8601."""
    date_column: str | None = None
    """Column whose text stands before that of the time, with one blank between."""
    last_value_column: str | None = None
    """Where a row is a day: the values stand from the column of the value to this one, under the time of each."""
    missing: tuple[str, ...] = ()
    """Texts that say that there is no value."""
    register: str | None = None
    """Name of the register, where a file has several; for people."""
    clock_change: str = REFUSE
    """What becomes of a local hour that comes twice."""
    tolerance_seconds: int = 0
    """How far, in seconds, a time may lie beside the grid: it is then taken to the nearest time of the grid."""
    rollover: str | None = None
    """Value at which a cumulative register begins anew at 0, in the unit of the source."""
    unit_column: str | None = None
    """Column with the unit of each row, which must be that of the source."""
    only: tuple[tuple[str, str], ...] = ()
    """Columns with a text each: rows that have all of them are read, the others are passed over."""
    numbered: tuple[str, ...] = ()
    """Keys of ``[[source]]`` that give the number of a column, from 1, in place of its name."""
    sheet: str | None = None
    """Name of the sheet that is meant, where a workbook has several."""

    @property
    def codec(self) -> str:
        """What Python calls the encoding."""
        return _CODECS.get(self.encoding, self.encoding)

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> Format:
        """Return a format from what ``options`` once returned."""
        known = dict(options or {})
        for name in _LISTS & known.keys():
            known[name] = tuple(known[name])
        if ONLY in known:
            known[ONLY] = tuple(known[ONLY].items())
        return cls(**known)

    def options(self) -> dict[str, Any] | None:
        """Return the keys that differ from their defaults, for JSON; None when none does."""
        differing = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != item.default
        }
        for name in _LISTS & differing.keys():
            differing[name] = list(differing[name])
        if ONLY in differing:
            differing[ONLY] = dict(differing[ONLY])
        return differing or None


PLAIN = Format()
