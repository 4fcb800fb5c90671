"""Whole legal days of which the books know nothing yet: judged, stored and summed from memory.

Nearly all of a first import is such days, and none of it has to be looked up or read again. Whatever
is not that simple (a day with stored rows, two rows of one time, an issued period) is left to
``store.Writer``, which comes to the same: what a day holds does not depend on how it came.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ledger.db import Behind, Database
from ledger.db.behind import Work
from ledger.db.bulk import decimals, time_text, time_texts
from ledger.models import DeviceData, Site
from ledger.readings.energy import SCALE, Sums, write_days
from ledger.readings.files.sources import RawReading, Source
from ledger.readings.inventory import Inventory
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.received import MICROS_MAX
from ledger.readings.rows.store import Tally, fetch
from ledger.reductions.flatlines import Level, can_stick, stuck_places
from ledger.reductions.numbers import METRICS
from ledger.reductions.quality import stored, without_value
from ledger.reductions.records import MISSING, Kind, Quality
from ledger.reductions.zones import legal_days, zone
from ledger.units import HOUR_S

_ANY = "SELECT 1 FROM meter_readings WHERE meter_id = ? AND start_s >= ? AND start_s < ? LIMIT 1"
_STORED = {quality: stored(quality) for quality in Quality}
_OUTLIERS = (Quality.OUTLIER_BELOW, Quality.OUTLIER_ABOVE)


class FreshDays:
    """Stores the days of one file that nothing is known of, within one unit of work."""

    def __init__(
        self, db: Database, later: Behind, site: Site, source: Source, file_id: int
    ) -> None:
        self._db = db
        self._later = later
        self._source = source
        self._file_id = file_id
        self._now = time_text(int(time.time()))
        self._where = zone(site.time_zone)
        self._site = site
        self._books: dict[int, Inventory] = {}
        self._doubted: set[int] = set()
        self._values = decimals(db.dialect, DeviceData.value)

    def store(self, meter: MeterState, rows: Sequence[RawReading], tally: Tally) -> bool:
        """Store all rows that a file has of some days, in order of time.

        Returns
        -------
        bool
            False when the days are not fresh; nothing was done then.
        """
        columns = Columns(rows)
        days = legal_days(columns.starts[0], columns.starts[-1] + 1, self._where)
        starts = [start for _, start in days]
        if not self._are_plain(meter, columns, starts):
            return False
        # Before the books are asked, which waits for all writes: the server stores those meanwhile.
        # A meter of which they knew some days already is asked about first.
        doubted = meter.id in self._doubted
        if doubted and not self._are_unknown(meter, starts):
            return False
        qualities = self._judged(meter, columns, starts)
        hours = self._hours(columns, qualities)
        inserts = [self._readings(meter, columns, qualities), self._data(meter, columns)]
        if not doubted and not self._are_unknown(meter, starts):
            self._doubted.add(meter.id)
            return False
        book = self._book(meter)
        for insert in inserts:
            self._later.run(insert)
        self._later.run(lambda: write_days(self._db, book.session, book, meter, days, hours))
        tally.new += len(rows)
        tally.missing += sum(qualities.count(quality) for quality in MISSING)
        tally.outliers += sum(qualities.count(quality) for quality in _OUTLIERS)
        tally.stuck += qualities.count(Quality.STUCK)
        return True

    def _book(self, meter: MeterState) -> Inventory:
        book = self._books.get(meter.id)
        if book is None:
            book = self._books[meter.id] = Inventory(self._later.session, self._site, meter)
        return book

    def _are_plain(self, meter: MeterState, columns: Columns, starts: Sequence[int]) -> bool:
        """Return whether days can be stored from memory, if the books know nothing of them."""
        from_s, to_s = starts[0], starts[-1]
        if self._source.interval_s > HOUR_S or any(start % HOUR_S for start in starts):
            return False  # an hour would have energy of days that are not looked at
        if set(columns.durations) != {self._source.interval_s}:
            return False
        if len(set(columns.starts)) < len(columns.starts):
            return False
        return not any(first < to_s and from_s < end for first, end in meter.issued)

    def _are_unknown(self, meter: MeterState, starts: Sequence[int]) -> bool:
        """Return whether the books have no reading of the meter in these days."""
        values = (meter.id, starts[0], starts[-1])
        return not fetch(self._db, self._later.session, _ANY, values)

    def _judged(
        self, meter: MeterState, columns: Columns, day_starts: Sequence[int]
    ) -> list[Quality]:
        low, high = meter.limits.bounds(columns.scale, self._source.interval_s)
        used, below, above = Quality.USED, *_OUTLIERS
        qualities = [
            without_value(text)
            if value is None
            else used
            if low <= value <= high
            else (below if value < low else above)
            for text, value in zip(columns.texts, columns.values, strict=True)
        ]
        # Two equal values after each other are the least that a flat line has; empty slots do not part them.
        there = (value for value in columns.values if value is not None)
        if can_stick(meter.role, meter.stuck_hours) and any(
            one == other and one for one, other in pairwise(there)
        ):
            for place in self._stuck(columns, day_starts, meter.stuck_hours):
                if qualities[place] is used:
                    qualities[place] = Quality.STUCK
        return qualities

    def _stuck(self, columns: Columns, day_starts: Sequence[int], hours: int) -> list[int]:
        length_s, scale = self._source.interval_s, columns.scale
        places = [place for place, value in enumerate(columns.values) if value is not None]
        levels: list[Level] = [
            (start_s, start_s + length_s, value, scale)
            for start_s, value in zip(columns.starts, columns.values, strict=True)
            if value is not None
        ]
        return [places[level] for level in stuck_places(levels, day_starts, hours)]

    def _readings(self, meter: MeterState, columns: Columns, qualities: Sequence[Quality]) -> Work:
        """Return what stores the rows."""
        source = self._source
        names, reasons = zip(*map(_STORED.__getitem__, qualities), strict=True)
        return self._later.prepared(
            "meter_readings",
            {
                "start_s": columns.starts,
                "text": columns.texts,
                "value_digits": columns.digits,
                "value_scale": columns.scales,
                "line": columns.lines,
                "quality": names,
                "reason": reasons,
            },
            {
                "meter_id": meter.id,
                "duration_s": source.interval_s,
                "kind": source.kind.name.lower(),
                "unit": source.unit,
                "conflict": 0,
                "file_id": self._file_id,
            },
        )

    def _data(self, meter: MeterState, columns: Columns) -> Work:
        """Return what stores the values in ``device_data``, rounded half away from zero to 1e-6."""
        metric, unit = METRICS[self._source.kind]
        there = micros([value for value in columns.values if value is not None], columns.scale)
        if there and not -MICROS_MAX <= min(there) <= max(there) <= MICROS_MAX:
            there = [min(max(value, -MICROS_MAX), MICROS_MAX) for value in there]
        times = [
            start_s
            for start_s, value in zip(columns.starts, columns.values, strict=True)
            if value is not None
        ]
        return self._later.prepared(
            "device_data",
            {
                "value": self._values(there),
                "recorded_at": time_texts(times),
            },
            {
                "device_id": meter.device_id,
                "metric_name": metric,
                "unit": unit,
                "created_at": self._now,
            },
        )

    def _hours(self, columns: Columns, qualities: Sequence[Quality]) -> Sums:
        """Return the energy of each hour, supplied and drawn, in the unit of ``energy``."""
        used = Quality.USED
        hours: dict[int, list[int]] = {}
        for start_s, value, quality in zip(columns.starts, columns.values, qualities, strict=True):
            if quality is not used or value is None:
                continue
            hour = start_s // HOUR_S
            if hour not in hours:
                hours[hour] = [0, 0]
            if value >= 0:
                hours[hour][0] += value
            else:
                hours[hour][1] -= value
        seconds = self._source.interval_s if self._source.kind is Kind.POWER else HOUR_S
        factor = 10 ** (SCALE - columns.scale) * seconds
        return {
            hour: [supplied * factor, drawn * factor] for hour, (supplied, drawn) in hours.items()
        }


class Columns:
    """The rows of a meter by column, and their values as whole numbers of one scale.

    Attributes
    ----------
    values
        Value times 10^``scale``, None where there is none.
    scale
        Decimals of the row that has most.
    """

    def __init__(self, rows: Sequence[RawReading]) -> None:
        columns: Any = zip(*rows, strict=True)
        _, self.starts, self.texts, self.digits, self.scales, self.lines, self.durations = columns
        self.scale: int = max((scale for scale in set(self.scales) if scale is not None), default=0)
        units = [10 ** (self.scale - scale) for scale in range(self.scale + 1)]
        self.values: list[int | None] = [
            None if digits is None else digits * units[scale]
            for digits, scale in zip(self.digits, self.scales, strict=True)
        ]


def micros(values: Sequence[int], scale: int) -> list[int]:
    """Return values times 10^``scale`` in millionths, rounded half away from zero."""
    if scale <= 6:
        unit = 10 ** (6 - scale)
        return [value * unit for value in values]
    unit = 10 ** (scale - 6)
    half, unit = unit, 2 * unit
    return [
        (2 * value + half) // unit if value >= 0 else -((half - 2 * value) // unit)
        for value in values
    ]
