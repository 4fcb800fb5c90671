"""The rows of ``meter_readings`` and ``device_data``: looked up, judged and written in pieces.

``Writer`` takes the rows of one meter in one piece of a file (some ten thousand), compares them with
what is stored, and writes the new ones. Nothing is kept from piece to piece but the meter's touched
days, so memory does not grow with the file.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy import Column, select
from sqlalchemy.orm import Session

from ledger.db import Database, tables
from ledger.db.sqltext import for_driver
from ledger.models import DeviceData, Meter, MeterReading, Site
from ledger.models.readings import ReadingQuality
from ledger.models.types import ExactDecimal
from ledger.readings.files.sources import RawReading, Source
from ledger.reductions.numbers import METRICS
from ledger.reductions.quality import Limits, judge_one, judge_slot, loaded, stored
from ledger.reductions.records import MISSING, OUTLIER, SUPERSEDED, Quality, Role
from ledger.reductions.zones import utc_of
from ledger.units import DAY_S

MICROS_MAX = 10**15 - 1
"""Largest value of ``device_data`` in millionths: what is under 1e9 and rounds up to it is this."""
_LOOKUP_KEYS = 500
_DENSE = 4
"""Up to so many stored slots for each row of a piece are read as one range."""

CONTRADICTIONS_MAX = 100
"""Rows that contradict another value and are named; the rest is counted."""

_COLUMNS = "id, start_s, text, value_digits, value_scale, quality, conflict, reason, file_id, line"
INSERT = (
    "INSERT INTO meter_readings (meter_id, start_s, duration_s, kind, text, unit, value_digits, "
    "value_scale, quality, conflict, reason, file_id, line) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
INSERT_DATA = (
    "INSERT INTO device_data (device_id, metric_name, value, unit, recorded_at, created_at) "
    "VALUES (?,?,?,?,?,?)"
)


Judged = tuple[str, bool, str | None, int]
"""What became of a stored row: quality, conflict and reason; and its number."""


@dataclass
class MeterState:
    """What an import knows of one meter."""

    id: int
    device_id: int
    device_code: str
    role: Role
    limits: Limits
    stuck_hours: int
    """How long one value makes a flat line, see ``reductions.flatlines``; 0: none is looked for."""
    issued: list[tuple[int, int]]
    """Periods of live issuances, ``[from_s, to_s)``, in order."""
    touched_days: set[int] = field(default_factory=set)
    """Days of UTC since 1970 in which something changed."""
    left_out: set[tuple[str, int]] = field(default_factory=set)
    """Hours and days too large for the tables that are for looking at: column and first second."""

    def touch(self, start_s: int, duration_s: int) -> None:
        """Note that something changed in an interval."""
        first, last = start_s // DAY_S, (start_s + max(duration_s, 1) - 1) // DAY_S
        if first == last:
            self.touched_days.add(first)
        else:
            self.touched_days.update(range(first, last + 1))

    def fits(self, column: Column[Any], start_s: int, number: int) -> bool:
        """Return whether a number of a decimal column's smallest unit fits; note it where it does not.

        Without a rated power nothing bounds the sum of an hour or a day, and an import does not fail for
        a table from which nothing is credited.
        """
        assert isinstance(column.type, ExactDecimal)
        key = f"{column.table.name}.{column.name}", start_s
        if abs(number) < 10**column.type.precision:
            self.left_out.discard(key)
            return True
        self.left_out.add(key)
        return False

    def is_issued(self, start_s: int) -> bool:
        """Return whether a slot lies in a period that was issued."""
        place = bisect_right(self.issued, (start_s, 2**63)) - 1
        return place >= 0 and start_s < self.issued[place][1]

    def is_inside_issued(self, start_s: int, end_s: int) -> bool:
        """Return whether an interval lies wholly in a period that was issued."""
        return any(from_s <= start_s and end_s <= to_s for from_s, to_s in self.issued)


class Contradiction(NamedTuple):
    """A row of a file that says another value than one that was there."""

    row: RawReading
    text: str
    """What the other says."""
    file_id: int | None
    """Where it stands: the row number of its file; None: in the same one."""
    line: int


@dataclass
class Tally:
    """What became of rows."""

    new: int = 0
    unchanged: int = 0
    without_value: int = 0
    """Unchanged, with a value that the stored row does not have."""
    conflicts: int = 0
    late: int = 0
    missing: int = 0
    outliers: int = 0
    stuck: int = 0
    intervals: int = 0
    """Derived from registers, new or changed."""
    _first: list[tuple[int, int, Contradiction]] = field(default_factory=list)

    def contradicts(self, found: Contradiction) -> None:
        """Count a row that contradicts another; those of the lowest lines are named."""
        self.conflicts += 1
        # Rows come by device and day, not as they stand in the file: the highest line goes first.
        heapq.heappush(self._first, (-found.row.line, -self.conflicts, found))
        if len(self._first) > CONTRADICTIONS_MAX:
            heapq.heappop(self._first)

    @property
    def contradictions(self) -> list[Contradiction]:
        """The first ``CONTRADICTIONS_MAX`` of them, as they stand in the file."""
        return [found for _, _, found in sorted(self._first, reverse=True)]


@dataclass
class StoredRow:
    """A row that is in the table already."""

    id: int
    text: str
    value: tuple[int, int] | None
    quality: Quality
    conflict: bool
    file_id: int
    line: int


@dataclass
class Slot:
    """All rows of one meter and start that a piece has to do with."""

    old: list[StoredRow] = field(default_factory=list)
    new: list[RawReading] = field(default_factory=list)
    # A clock that stands still brings all rows of a file here: none is compared with each.
    _texts: set[str] | None = None
    _without: set[str] | None = None
    _values: set[Fraction] | None = None
    _before: tuple[str, int | None, int] | None = None

    def take(self, row: RawReading, tally: Tally) -> bool:
        """Count a row, and take it in; return False where its text is there already.

        It contradicts the others when it has a value that none of theirs equals.
        """
        if self._texts is None:
            self._texts = {old.text for old in self.old}
        if row.text in self._texts:
            tally.unchanged += 1
            tally.without_value += row.digits is not None and row.text in self._empty()
            return False
        if self._contradicts(row):
            tally.contradicts(Contradiction(row, *self._there()))
        else:
            tally.new += 1
        self._texts.add(row.text)
        self.new.append(row)
        return True

    def _empty(self) -> set[str]:
        """Return the stored texts that have no value."""
        if self._without is None:
            self._without = {old.text for old in self.old if old.value is None}
        return self._without

    def _there(self) -> tuple[str, int | None, int]:
        """Return text, file and line of the value that counted before this file, or else stands first in it."""
        if self._before is None:
            stored = [old for old in self.old if old.value is not None]
            if stored:
                counted = min(stored, key=_counts)
                self._before = counted.text, counted.file_id, counted.line
            else:
                first = next(new for new in self.new if new.digits is not None)
                self._before = first.text, None, first.line
        return self._before

    def _contradicts(self, row: RawReading) -> bool:
        if row.digits is None:
            return False
        if self._values is None:
            there = (old.value for old in self.old if old.value is not None)
            self._values = {Fraction(digits, 10**scale) for digits, scale in there}
        value = Fraction(row.digits, 10 ** (row.scale or 0))
        if value in self._values:
            return False
        self._values.add(value)
        return len(self._values) > 1


def _counts(row: StoredRow) -> tuple[bool, bool, int]:
    """Return what puts the row that counts before those that do not."""
    return row.quality in SUPERSEDED, row.quality is Quality.LATE, row.id


class Writer:
    """Writes the readings of one file within one unit of work."""

    def __init__(self, db: Database, session: Session, source: Source, file_id: int) -> None:
        self._db = db
        self._session = session
        self._source = source
        self._file_id = file_id
        self._received = ReceivedValues(db, session, METRICS[source.kind])

    def write(self, meter: MeterState, rows: Sequence[RawReading], tally: Tally) -> None:
        """Store the rows of one meter; count what became of each."""
        slots = self._compared(meter, rows, tally)
        inserts: list[tuple[Any, ...]] = []
        updates: list[Judged] = []
        for start_s, slot in slots.items():
            if meter.is_issued(start_s):
                qualities, conflict = [Quality.LATE] * len(slot.new), False
                tally.late += len(slot.new)
                meter.touch(start_s, slot.new[0].duration_s)
            elif len(slot.new) == 1 and not slot.old:
                row = slot.new[0]
                value = None if row.digits is None else (row.digits, row.scale or 0)
                judged = judge_one(row.text, value, meter.limits, row.duration_s)
                qualities, conflict = [judged], False
                meter.touch(start_s, row.duration_s)
            else:
                qualities, conflict = self._judged(meter, slot, updates)
                meter.touch(start_s, slot.new[0].duration_s)
            for row, quality in zip(slot.new, qualities, strict=True):
                inserts.append(self._row(meter, row, quality, conflict))
                tally.missing += quality in MISSING
                tally.outliers += quality in OUTLIER
        self._db.executemany(self._session, INSERT, inserts)
        judge_anew(self._session, updates)
        self._received.write(meter.device_id, [row for slot in slots.values() for row in slot.new])

    def finish(self, meter: MeterState, tally: Tally) -> None:
        """Do what is left after the last row of a meter: nothing."""

    def _compared(
        self, meter: MeterState, rows: Sequence[RawReading], tally: Tally
    ) -> dict[int, Slot]:
        """Return the slots that get a new row, with the rows that they have already."""
        known = self._known(meter.id, rows)
        slots: dict[int, Slot] = {}
        for row in rows:
            slot = slots.get(row.start_s)
            if slot is None:
                slot = slots[row.start_s] = Slot(known.get(row.start_s, []))
            slot.take(row, tally)
        return {start_s: slot for start_s, slot in slots.items() if slot.new}

    def _known(self, meter_id: int, rows: Sequence[RawReading]) -> dict[int, list[StoredRow]]:
        starts = sorted({row.start_s for row in rows})
        span = (starts[-1] - starts[0]) // self._source.interval_s
        known: dict[int, list[StoredRow]] = {}
        if span <= _DENSE * len(starts):
            where = "start_s BETWEEN ? AND ?"
            self._fetch(known, where, (meter_id, starts[0], starts[-1]))
            return known
        for at in range(0, len(starts), _LOOKUP_KEYS):
            keys = starts[at : at + _LOOKUP_KEYS]
            where = f"start_s IN ({','.join('?' * len(keys))})"
            self._fetch(known, where, (meter_id, *keys))
        return known

    def _fetch(
        self, known: dict[int, list[StoredRow]], where: str, values: tuple[int, ...]
    ) -> None:
        sql = f"SELECT {_COLUMNS} FROM meter_readings WHERE meter_id = ? AND {where}"
        found = fetch(self._db, self._session, sql, values)
        for id_, start_s, text, digits, scale, quality, conflict, reason, file_id, line in found:
            value = None if digits is None else (digits, scale)
            judged = loaded(quality, reason)
            row = StoredRow(id_, text, value, judged, bool(conflict), file_id, line)
            known.setdefault(start_s, []).append(row)

    def _judged(
        self, meter: MeterState, slot: Slot, updates: list[Judged]
    ) -> tuple[list[Quality], bool]:
        """Judge a slot with several rows anew; note which stored rows change."""
        old = [row for row in slot.old if row.quality is not Quality.LATE]
        everything = [(row.text, row.value) for row in old]
        for new in slot.new:
            value = None if new.digits is None else (new.digits, new.scale or 0)
            everything.append((new.text, value))
        qualities, conflict = judge_slot(
            everything, meter.role, meter.limits, slot.new[0].duration_s
        )
        for row, quality in zip(old, qualities, strict=False):
            if quality is not row.quality or conflict is not row.conflict:
                name, reason = stored(quality)
                updates.append((name, conflict and row.value is not None, reason, row.id))
        return qualities[len(old) :], conflict

    def _row(
        self, meter: MeterState, row: RawReading, quality: Quality, conflict: bool
    ) -> tuple[Any, ...]:
        name, reason = stored(quality)
        source = self._source
        return (
            meter.id,
            row.start_s,
            row.duration_s,
            source.kind.name.lower(),
            row.text,
            source.unit,
            row.digits,
            row.scale,
            name,
            conflict and row.digits is not None,
            reason,
            self._file_id,
            row.line,
        )


class ReceivedValues:
    """Writes values as they were received into ``device_data``, rounded half away from zero to 1e-6.

    Parameters
    ----------
    metric
        What they are called there, and their unit.
    """

    def __init__(self, db: Database, session: Session, metric: tuple[str, str]) -> None:
        self._db = db
        self._session = session
        self._metric = metric
        self._now = datetime.now(UTC)
        self._encode = db.encoder(
            DeviceData.device_id,
            DeviceData.metric_name,
            DeviceData.value,
            DeviceData.unit,
            DeviceData.recorded_at,
            DeviceData.created_at,
        )

    def write(self, device_id: int, rows: Iterable[RawReading]) -> None:
        """Store the rows of one device that have a value."""
        name, unit = self._metric
        self._db.executemany(
            self._session,
            INSERT_DATA,
            (
                self._encode(
                    (
                        device_id,
                        name,
                        micro(row.digits, row.scale or 0),
                        unit,
                        utc_of(row.start_s),
                        self._now,
                    )
                )
                for row in rows
                if row.digits is not None
            ),
        )


def lock_meters(session: Session, site_code: str) -> None:
    """Lock a site's meters, before anything is read: against an import, an issuance, and another site file.

    MariaDB takes its snapshot at the first read that locks nothing: after this one, it holds all
    that those who had the lock before have written.
    """
    query = select(Meter.id).join(Site, Site.id == Meter.site_id).where(Site.code == site_code)
    session.execute(query.order_by(Meter.id).with_for_update()).all()


def judge_anew(session: Session, judged: Iterable[Judged]) -> None:
    """Write what became of stored rows, many by one statement."""
    session.flush()
    rows = [
        {
            "id": number,
            "quality": ReadingQuality(quality),
            "conflict": bool(conflict),
            "reason": reason,
        }
        for quality, conflict, reason, number in judged
    ]
    # By a join, not by a list of numbers: for a long one MariaDB reads a small table whole, and locks others' rows.
    tables.change(session, MeterReading, "id", rows)


def fetch(db: Database, session: Session, sql: str, values: tuple[Any, ...]) -> Sequence[Any]:
    """Return all rows of a query written with ``?``, without the ORM."""
    result = session.connection().exec_driver_sql(for_driver(sql, db.dialect), values)
    return result.fetchall()


def micro(digits: int, scale: int) -> Decimal:
    """Return a value rounded half away from zero to 1e-6, as ``device_data`` holds it."""
    if scale <= 6:
        return Decimal(digits).scaleb(-scale)
    unit = 10 ** (scale - 6)
    rounded = min((2 * abs(digits) + unit) // (2 * unit), MICROS_MAX)
    return Decimal(-rounded if digits < 0 else rounded).scaleb(-6)
