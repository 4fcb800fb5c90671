"""Hints that a source may be declared wrongly, seen only from all rows of a file together.

Nothing is rejected for them, and nothing is read in another way: a person is told, and decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ledger.readings.files.sources import RawReading, Source
from ledger.readings.files.times import OFFSET, clock_of
from ledger.units import HOUR_S

_THREE_DECIMALS = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_MANY = 10
"""Numbers with three decimals by which they are taken for thousands."""
_LOOKED_AT = 20_000
"""Rows of each device that are looked at: a number that has no thousands apart comes early."""


class _Signs:
    """The numbers of one device, as long as all of them may be written with thousands apart."""

    def __init__(self) -> None:
        self.rows = self.grouped = 0
        self.example: str | None = None
        self.hundreds = False
        """There is a whole number from 100 to 999 as well: one with decimals would have them."""

    def takes(self, text: str) -> bool:
        """Take in a number; return False where thousands are not apart in it."""
        if "." in text:
            self.grouped += 1
            self.example = self.example or text
            return _THREE_DECIMALS.fullmatch(text) is not None
        if _WHOLE.fullmatch(text):
            digits = len(text.lstrip("+-0"))
            self.hundreds = self.hundreds or digits == 3
            return digits <= 3
        return not text  # an exponent, or a text under ``missing``, which may be anything


class Groups:
    """Looks for thousands that stand apart by the sign which the source takes for that of decimals.

    ``990``, ``1.005`` and ``1.020`` are numbers either way: of one unit, or of three digits more. A file whose numbers
    have three decimals writes ``990.000``.
    """

    def __init__(self, source: Source) -> None:
        self._sign = source.file_format.decimal
        self._declared = source.file_format.thousands is not None
        self._signs: dict[str, _Signs | None] = {}

    def look(self, device: str, rows: Sequence[RawReading]) -> None:
        """Take in rows of a device."""
        signs = self._signs.setdefault(device, None if self._declared else _Signs())
        if signs is None or signs.rows >= _LOOKED_AT:
            return
        signs.rows += len(rows)
        if not all(signs.takes(row.text) for row in rows):
            self._signs[device] = None

    def doubts(self) -> list[str]:
        """Return a hint for the first device whose numbers are so."""
        other = "," if self._sign == "." else "."
        for device, signs in self._signs.items():
            if signs is None or signs.grouped < _MANY or not signs.hundreds or not signs.example:
                continue
            shown = signs.example.replace(".", self._sign)
            return [
                f"warning: numbers of device {device} may have their thousands apart: {shown!r} is read as one below "
                f"1000, and numbers up to 999 have no decimals there; if it is one of thousands, write "
                f'thousands = "{self._sign}" and decimal = "{other}" in [[source]]'
            ]
        return []


def label_doubt(
    source: Source, spans: Collection[tuple[datetime, datetime]], where: ZoneInfo
) -> list[str]:
    """Return a hint where times that are said to be starts run from after midnight until midnight, as ends do.

    The other way round nothing can be told: who asks a data base for a day gets ends from midnight on, too.

    Parameters
    ----------
    source
        That of the file.
    spans
        For each device the first and the last time of its rows, in UTC.
    where
        The zone of the site, for times with an offset.
    """
    if source.counter or source.label_is_end or source.interval_s > HOUR_S or not spans:
        return []
    clock = where if source.time_zone == OFFSET else clock_of(source.time_zone)
    step = timedelta(seconds=source.interval_s)

    def is_midnight(moment: datetime) -> bool:
        local = moment.astimezone(UTC).astimezone(clock)
        return local.hour == local.minute == 0

    if not all(is_midnight(first - step) and is_midnight(last) for first, last in spans):
        return []
    return [
        f"warning: the times run from {source.interval_minutes} minutes after midnight until a midnight, as those that "
        'close their intervals do, and the source says label = "start": if they are ends, each value stands too late '
        'by an interval; write label = "end" in [[source]]'
    ]
