"""Whole legal days of which the books know nothing yet: judged, stored and summed from memory.

Nearly all of a first import is such days, and none of it has to be looked up or read again. Whatever
is not that simple (a day with stored rows, two rows of one time, an issued period) is left to
``store.Writer``, which comes to the same: what a day holds does not depend on how it came.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from operator import itemgetter

from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.bulk import micro_value, time_text
from ledger.models import EmissionFactor, Site
from ledger.readings.energy import SCALE, Sums, inventory_factor, legal_days, write_days
from ledger.readings.sources import RawReading, Source
from ledger.readings.store import METRIC, MeterState, Tally, fetch, micro
from ledger.readings.times import zone
from ledger.reductions.flatlines import Level, can_stick, stuck_places
from ledger.reductions.quality import stored, without_value
from ledger.reductions.records import Kind, Quality

_HOUR_S = 3600
_ANY = "SELECT 1 FROM meter_readings WHERE meter_id = ? AND start_s >= ? AND start_s < ? LIMIT 1"
_STORED = {quality: stored(quality) for quality in Quality}
_EMPTY = (Quality.MISSING, Quality.MISSING_SENTINEL)
_OUTLIERS = (Quality.OUTLIER_ABOVE, Quality.OUTLIER_BELOW)
_start = itemgetter(RawReading._fields.index("start_s"))
_duration = itemgetter(RawReading._fields.index("duration_s"))


class FreshDays:
    """Stores the days of one file that nothing is known of, within one unit of work."""

    def __init__(
        self, db: Database, session: Session, site: Site, source: Source, file_id: int
    ) -> None:
        self._db = db
        self._session = session
        self._source = source
        self._file_id = file_id
        self._now = time_text(int(time.time()))
        self._where = zone(site.time_zone)
        self._factor: EmissionFactor | None = inventory_factor(session, site)
        self._value = micro_value(db.dialect)

    def store(self, meter: MeterState, rows: Sequence[RawReading], tally: Tally) -> bool:
        """Store all rows that a file has of some days, in order of time.

        Returns
        -------
        bool
            False when the days are not fresh; nothing was done then.
        """
        days = legal_days(_start(rows[0]), _start(rows[-1]) + 1, self._where)
        if not self._are_fresh(meter, rows, [start for _, start in days]):
            return False
        qualities = self._judged(meter, rows, days)
        self._write_readings(meter, rows, qualities)
        self._write_data(meter, rows)
        write_days(
            self._db,
            self._session,
            meter,
            self._factor,
            days,
            self._hours(rows, qualities),
        )
        tally.new += len(rows)
        tally.missing += sum(qualities.count(quality) for quality in _EMPTY)
        tally.outliers += sum(qualities.count(quality) for quality in _OUTLIERS)
        tally.stuck += qualities.count(Quality.STUCK)
        return True

    def _are_fresh(
        self, meter: MeterState, rows: Sequence[RawReading], starts: Sequence[int]
    ) -> bool:
        from_s, to_s = starts[0], starts[-1]
        if self._source.interval_s > _HOUR_S or any(start % _HOUR_S for start in starts):
            return False  # an hour would have energy of days that are not looked at
        if set(map(_duration, rows)) != {self._source.interval_s}:
            return False
        if any(first < to_s and from_s < end for first, end in meter.issued):
            return False
        if len(set(map(_start, rows))) < len(rows):
            return False
        return not fetch(self._db, self._session, _ANY, (meter.id, from_s, to_s))

    def _judged(
        self, meter: MeterState, rows: Sequence[RawReading], days: Sequence[tuple[date, int]]
    ) -> list[Quality]:
        judge, length_s = meter.limits.judge, self._source.interval_s
        qualities = [
            without_value(row.text)
            if row.digits is None
            else judge(row.digits, row.scale or 0, length_s)
            for row in rows
        ]
        if can_stick(meter.role, meter.stuck_hours):
            levels: list[Level] = []
            places: list[int] = []
            for place, row in enumerate(rows):
                if row.digits is not None:
                    places.append(place)
                    levels.append(
                        (row.start_s, row.start_s + length_s, row.digits, row.scale or 0)
                    )
            for level in stuck_places(levels, [start for _, start in days], meter.stuck_hours):
                if qualities[places[level]] is Quality.USED:
                    qualities[places[level]] = Quality.STUCK
        return qualities

    def _write_readings(
        self, meter: MeterState, rows: Sequence[RawReading], qualities: Sequence[Quality]
    ) -> None:
        source = self._source
        self._db.insert_many(
            self._session,
            "meter_readings",
            ("start_s", "text", "value_digits", "value_scale", "line", "quality", "reason"),
            [
                (start_s, text, digits, scale, line, *_STORED[quality])
                for (_, start_s, text, digits, scale, line, _), quality in zip(
                    rows, qualities, strict=True
                )
            ],
            {
                "meter_id": meter.id,
                "duration_s": source.interval_s,
                "kind": source.kind.name.lower(),
                "unit": source.unit,
                "conflict": 0,
                "file_id": self._file_id,
            },
        )

    def _write_data(self, meter: MeterState, rows: Sequence[RawReading]) -> None:
        metric, unit = METRIC[self._source.kind]
        value = self._value
        self._db.insert_many(
            self._session,
            "device_data",
            ("value", "recorded_at"),
            [
                (value(micro(row.digits, row.scale or 0)), time_text(row.start_s))
                for row in rows
                if row.digits is not None
            ],
            {
                "device_id": meter.device_id,
                "metric_name": metric,
                "unit": unit,
                "created_at": self._now,
            },
        )

    def _hours(self, rows: Sequence[RawReading], qualities: Sequence[Quality]) -> Sums:
        """Return the energy of each hour, supplied and drawn, in the unit of ``energy``."""
        seconds = self._source.interval_s if self._source.kind is Kind.POWER else _HOUR_S
        # Sums are made in the smallest decimal of these rows: the numbers stay small.
        top = max((row.scale or 0 for row in rows), default=0)
        units = [10 ** (top - scale) for scale in range(top + 1)]
        hours: Sums = {}
        for row, quality in zip(rows, qualities, strict=True):
            if quality is not Quality.USED:
                continue
            assert row.digits is not None
            sums = hours.get(row.start_s // _HOUR_S)
            if sums is None:
                sums = hours[row.start_s // _HOUR_S] = [0, 0]
            if row.digits >= 0:
                sums[0] += row.digits * units[row.scale or 0]
            else:
                sums[1] -= row.digits * units[row.scale or 0]
        factor = 10 ** (SCALE - top) * seconds
        return {
            hour: [supplied * factor, drawn * factor] for hour, (supplied, drawn) in hours.items()
        }
