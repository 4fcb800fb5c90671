"""The interval rows of ``meter_readings``: compared with what is stored, judged, and written.

``Writer`` takes the rows of one meter in one piece of a file (some ten thousand). It groups them with the
stored ones into slots, says which of a slot counts, and writes the new rows. Nothing is kept from piece to
piece but the days that changed (``MeterState``), so memory does not grow with the file.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from ledger.db import Database, tables
from ledger.db.sqltext import for_driver
from ledger.models import MeterReading
from ledger.models.readings import ReadingQuality
from ledger.readings.files.sources import RawReading, Source
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.received import ReceivedValues
from ledger.reductions.numbers import METRICS
from ledger.reductions.quality import judge_one, judge_slot, loaded, stored
from ledger.reductions.records import MISSING, OUTLIER, SUPERSEDED, Quality

_LOOKUP_KEYS = 500
_DENSE = 4
"""Up to so many stored slots for each row of a piece are read as one range."""

CONTRADICTIONS_MAX = 100
"""Of the rows that contradict another value, so many are named; the rest is only counted."""

_COLUMNS = "id, start_s, text, value_digits, value_scale, quality, conflict, reason, file_id, line"
INSERT = (
    "INSERT INTO meter_readings (meter_id, start_s, duration_s, kind, text, unit, value_digits, "
    "value_scale, quality, conflict, reason, file_id, line) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
Judged = tuple[str, bool, str | None, int]
"""What a stored row becomes: quality, conflict, reason, and the number of the row."""


class Contradiction(NamedTuple):
    """A row of a file whose value differs from one that was there before."""

    row: RawReading
    text: str
    """What the other says."""
    file_id: int | None
    """Where it stands: the row number of its file; None: in the same one."""
    line: int


@dataclass
class Tally:
    """Counts what became of the rows of a file."""

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
    # Where a clock stands still, all rows of a file come into one slot. So sets: not each row against each other.
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
    """Return a sort key that puts the row that counts first."""
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
