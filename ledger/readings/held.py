"""Rows of a file held back until their legal day is whole, so that days are stored one after another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

from ledger.readings.sources import RawReading
from ledger.readings.times import legal_day, legal_day_start_s

_start = itemgetter(RawReading._fields.index("start_s"))


class HeldDays:
    """The earliest and the latest day of each device: the next piece may bring more of them.

    Of which of the two depends on whether the file runs forward or backward. Rows of one time keep the
    order of the file.

    Parameters
    ----------
    where
        The site's legal zone.
    """

    def __init__(self, where: ZoneInfo) -> None:
        self._where = where
        self._held: dict[str, list[RawReading]] = {}
        self.count = 0
        """Rows held back."""

    def add(self, device: str, rows: list[RawReading]) -> list[RawReading]:
        """Take in rows of a device; return those between its first and its last day, in order of time."""
        held = self._held.pop(device, [])
        self.count -= len(held)
        rows = sorted(held + rows, key=_start)
        first = legal_day(_start(rows[0]), self._where)
        second_s = legal_day_start_s(first + timedelta(days=1), self._where)
        low = bisect_left(rows, second_s, key=_start)
        high = max(low, bisect_left(rows, self._last_day_s(rows), key=_start))
        self._held[device] = rows[:low] + rows[high:]
        self.count += len(self._held[device])
        return rows[low:high]

    def rest(self) -> Iterator[tuple[str, list[RawReading]]]:
        """Yield what is held, by device and day, and hold nothing any more."""
        for device, rows in self._held.items():
            high = bisect_left(rows, self._last_day_s(rows), key=_start)
            for part in (rows[:high], rows[high:]):
                if part:
                    yield device, part
        self._held.clear()
        self.count = 0

    def _last_day_s(self, rows: list[RawReading]) -> int:
        return legal_day_start_s(legal_day(_start(rows[-1]), self._where), self._where)
