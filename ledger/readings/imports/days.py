"""The interval readings of one file, stored day by day.

Rows are held back until their legal day is whole. A day of which the books know nothing is then judged
and stored from memory (``fresh``), every other one is compared with what is stored (``store``).
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

from ledger.db import Behind, Database
from ledger.models import Site
from ledger.readings.files.sources import RawReading, Source
from ledger.readings.imports.fresh import FreshDays
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.store import Tally, Writer
from ledger.reductions.zones import legal_day, legal_day_start_s, zone

HELD_ROWS_MAX = 100_000
"""Rows that wait for the rest of their day, over all devices."""
_start = itemgetter(RawReading._fields.index("start_s"))


class DayWriter:
    """Writes the interval readings of one file within one unit of work."""

    def __init__(
        self, db: Database, later: Behind, site: Site, source: Source, file_id: int
    ) -> None:
        self._later = later
        self._held = HeldDays(zone(site.time_zone))
        self._fresh = FreshDays(db, later, site, source, file_id)
        self._writer = Writer(db, later.session, source, file_id)
        self._meters: dict[str, MeterState] = {}

    def write(self, meter: MeterState, rows: list[RawReading], tally: Tally) -> None:
        """Take in rows of one meter, in the order of the file; count what becomes of each."""
        self._meters[meter.device_code] = meter
        self._store(meter, self._held.add(meter.device_code, rows), tally)
        if self._held.count > HELD_ROWS_MAX:
            for code in self._meters:
                self.finish(self._meters[code], tally)

    def finish(self, meter: MeterState, tally: Tally) -> None:
        """Store what is held of a meter."""
        for rows in self._held.rest(meter.device_code):
            self._store(meter, rows, tally)

    def _store(self, meter: MeterState, rows: list[RawReading], tally: Tally) -> None:
        if rows and not self._fresh.store(meter, rows, tally):
            self._later.wait()
            self._writer.write(meter, rows, tally)


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

    def rest(self, device: str) -> list[list[RawReading]]:
        """Return what is held of a device by day, and hold it no more."""
        rows = self._held.pop(device, [])
        if not rows:
            return []
        self.count -= len(rows)
        high = bisect_left(rows, self._last_day_s(rows), key=_start)
        return [part for part in (rows[:high], rows[high:]) if part]

    def _last_day_s(self, rows: list[RawReading]) -> int:
        return legal_day_start_s(legal_day(_start(rows[-1]), self._where), self._where)
