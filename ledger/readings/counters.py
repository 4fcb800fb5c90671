"""Cumulative registers in the tables: readings as received, and the intervals derived from them.

An import stores the rows of its file first (``RegisterWriter``). Then ``derive`` goes once through the
readings of the meter in order of time and brings ``meter_readings`` to what follows from all of them:
a late finer reading splits an interval. What stands in an issued period is never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import MeterChange, MeterSeries, MeterSource, RegisterReading
from ledger.models.evidence import ReadingQuality
from ledger.readings.formats import Format
from ledger.readings.store import INSERT, UPDATE, MeterState, fetch
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import loaded, stored
from ledger.reductions.records import Kind, Quality, Reading
from ledger.reductions.registers import (
    DIP_S,
    Change,
    Interval,
    Point,
    Rules,
    intervals,
    judge_instant,
)

PIECE_ROWS = 20_000
_ROWS = (
    "SELECT id, at_s, text, value_digits, value_scale, quality, reason, file_id, line "
    "FROM register_readings WHERE meter_id = ? AND at_s >= ? ORDER BY at_s, text LIMIT ?"
)
_STORED = (
    "SELECT id, start_s, duration_s, text, quality, reason FROM meter_readings "
    "WHERE meter_id = ? AND start_s >= ? AND start_s < ? ORDER BY start_s, text"
)
_JUDGE = "UPDATE register_readings SET quality = ?, reason = ? WHERE id = ?"
_DELETE = "DELETE FROM meter_readings WHERE id = ?"
_FOREVER_S = 2**33


@dataclass(frozen=True)
class Derived:
    """What a derivation changed."""

    written: int = 0
    """Intervals that are new, or judged otherwise."""
    taken_out: int = 0
    """Intervals that others took the place of."""
    outliers: int = 0
    """Of the written ones: those beyond what the device can do, or below zero."""


class _Row:
    """A stored reading of a register."""

    __slots__ = ("at_s", "file_id", "id", "line", "quality", "text", "value")

    def __init__(self, found: Sequence[Any]) -> None:
        self.id, self.at_s, self.text, digits, scale, quality, reason, self.file_id, self.line = (
            found
        )
        self.value = None if digits is None else (digits, scale)
        self.quality = loaded(quality, reason)


def derive(
    db: Database,
    session: Session,
    meter: MeterState,
    series: MeterSeries,
    from_s: int = 0,
    to_s: int = _FOREVER_S,
) -> Derived:
    """Bring the intervals of a meter to what follows from all readings of its register.

    Parameters
    ----------
    db, session
        The unit of work, which holds the lock of the meter.
    meter, series
        The meter.
    from_s, to_s
        First and last instant whose readings are new.
    """
    return _Derivation(db, session, meter, series).run(from_s, to_s)


def excluded_registers(
    session: Session, meter_id: int, from_s: int, to_s: int, *, lock: bool
) -> list[Reading]:
    """Return the readings of a register in a period that stand in no interval, each with its reason.

    They are leaves of the evidence without a length: nothing can be left out quietly.
    """
    table = RegisterReading
    kept = (ReadingQuality.USED, ReadingQuality.LATE)
    query = select(table).where(
        table.meter_id == meter_id,
        table.at_s >= from_s,
        table.at_s < to_s,
        table.quality.not_in(kept),
    )
    if lock:
        query = query.with_for_update(read=True)
    return [
        Reading(
            row.at_s,
            row.at_s,
            int(Kind.REGISTER),
            int(loaded(row.quality.value, row.reason)),
            row.value_digits or 0,
            row.value_scale or 0,
            row.text,
        )
        for row in session.scalars(query)
    ]


class _Derivation:
    """One pass over the readings of one register."""

    def __init__(
        self, db: Database, session: Session, meter: MeterState, series: MeterSeries
    ) -> None:
        self._db, self._session, self._meter = db, session, meter
        # On MariaDB this unit of work may be older than the last import: read what is committed now.
        self._lock = "" if db.dialect == "sqlite" else " LOCK IN SHARE MODE"
        self._unit = series.unit
        scale = UNITS[Kind.ENERGY][series.unit]
        source = session.get_one(MeterSource, series.source_id)
        width = Format.of(source.format_options).rollover
        self._rules = Rules(meter.limits, scale, width)
        query = select(MeterChange).where(MeterChange.meter_id == meter.id)
        rows = session.scalars(query.order_by(MeterChange.at_s)).all()
        self._changes = [
            Change(
                row.at_s,
                Point(row.at_s, row.closing, *parse_value(row.closing, scale)),
                Point(row.at_s, row.opening, *parse_value(row.opening, scale)),
            )
            for row in rows
        ]
        self._brought: dict[int, tuple[int, int]] = {}
        """File and line of the reading at which an interval ends, or after which it ends."""
        self._chosen: dict[int, _Row] = {}
        """Rows that stand for their instants, and of which it is not yet known whether they are used."""
        self._judged: list[tuple[Any, ...]] = []

    def run(self, from_s: int, to_s: int) -> Derived:
        """Derive, and write what differs."""
        first_s = self._first_s(from_s)
        changes = [change for change in self._changes if change.at_s >= first_s]
        points = self._points(first_s, {change.at_s: change for change in self._changes})
        done = Derived()
        place_s = first_s
        last_s = _FOREVER_S
        piece: list[Interval] = []
        for interval in intervals(points, changes, self._rules):
            piece.append(interval)
            same = interval.end_s > to_s and self._is_as_before(interval.end_s)
            self._judge_ends(interval)
            if same:
                last_s = interval.end_s
                break
            if len(piece) >= PIECE_ROWS:
                done = _sum(done, self._write(piece, place_s, interval.end_s))
                place_s, piece = interval.end_s, []
        done = _sum(done, self._write(piece, place_s, last_s))
        for row in [row for at_s, row in self._chosen.items() if at_s < last_s]:
            self._judge(row, Quality.USED)
        self._flush()
        return done

    def _first_s(self, from_s: int) -> int:
        """Return an instant before which no new reading changes anything: in use, or a change.

        A reading within ``DIP_S`` before a new one can become part of a dip. Nor does the end of an
        issued period tell, where rows stay as they were when it was issued.
        """
        before_s = from_s - DIP_S
        for _, to_s in reversed(self._meter.issued):
            if to_s - DIP_S < before_s < to_s:
                before_s = to_s - DIP_S
        sql = (
            "SELECT at_s FROM register_readings WHERE meter_id = ? AND at_s <= ? "
            "AND quality = 'used' ORDER BY at_s DESC LIMIT 1"
        )
        found = fetch(self._db, self._session, sql, (self._meter.id, before_s))
        if not found:
            return 0
        changes = (change.at_s for change in self._changes if change.at_s < from_s)
        return max(int(found[0][0]), *changes, 0)

    def _is_as_before(self, at_s: int) -> bool:
        """Return whether an interval ended with a reading before too: what follows it is the same.

        Of rows in an issued period nothing can be said, since they are never judged anew.
        """
        row = self._chosen.get(at_s)
        used = row is not None and row.quality is Quality.USED
        return used and not self._meter.is_issued(at_s)

    def _judge_ends(self, interval: Interval) -> None:
        for point in interval.over:
            self._judge(self._chosen.pop(point.at_s), Quality.REGISTER_DIP)
        for at_s in (interval.start_s, interval.end_s):
            row = self._chosen.pop(at_s, None)
            if row is not None:
                self._judge(row, Quality.USED)

    def _judge(self, row: _Row, quality: Quality) -> None:
        if quality is not row.quality and not self._meter.is_issued(row.at_s):
            self._judged.append((*stored(quality), row.id))
            if len(self._judged) >= PIECE_ROWS:
                self._flush()

    def _points(self, first_s: int, changes: dict[int, Change]) -> Iterator[Point]:
        """Yield the readings that count, and note how the other rows are judged."""
        for at_s, group in groupby(self._rows(first_s), key=lambda row: row.at_s):
            rows = [row for row in group if not self._stays_late(row)]
            if not rows:
                continue
            qualities, chosen = judge_instant(
                [(row.text, row.value) for row in rows], changes.get(at_s)
            )
            for place, (row, quality) in enumerate(zip(rows, qualities, strict=True)):
                if place != chosen:
                    self._judge(row, quality)
            row = rows[chosen or 0]
            self._brought[at_s] = (row.file_id, row.line)
            if chosen is not None:
                assert row.value is not None
                self._chosen[at_s] = row
                yield Point(at_s, row.text, *row.value)

    def _rows(self, first_s: int) -> Iterator[_Row]:
        """Yield the stored rows from an instant on in order, some ten thousand read at once."""
        while True:
            values = (self._meter.id, first_s, PIECE_ROWS)
            found = fetch(self._db, self._session, _ROWS + self._lock, values)
            whole = len(found) < PIECE_ROWS
            end_s = _FOREVER_S if whole else found[-1][1]  # the last instant may have more rows
            for item in found:
                if item[1] < end_s:
                    yield _Row(item)
            if whole:
                return
            first_s = end_s

    def _stays_late(self, row: _Row) -> bool:
        return row.quality is Quality.LATE and self._meter.borders_issued(row.at_s)

    def _write(self, derived: list[Interval], from_s: int, to_s: int) -> Derived:
        """Bring the stored intervals that begin in a range to those that were derived."""
        values = (self._meter.id, from_s, to_s)
        old = fetch(self._db, self._session, _STORED + self._lock, values)
        known: dict[tuple[int, int, str], Any] = {(row[1], row[2], row[3]): row for row in old}
        issued = [
            (row[1], row[1] + row[2])
            for row in old
            if row[4] != "late" and self._meter.is_inside_issued(row[1], row[1] + row[2])
        ]
        inserts: list[tuple[Any, ...]] = []
        updates: list[tuple[Any, ...]] = []
        outliers = 0
        for interval in derived:
            row = known.pop(
                (interval.start_s, interval.end_s - interval.start_s, interval.text), None
            )
            late = self._meter.is_inside_issued(interval.start_s, interval.end_s)
            if (late and row is not None) or (row is None and _touches(issued, interval)):
                continue
            quality = Quality.LATE if late else interval.quality
            if row is None:
                inserts.append(self._row(interval, quality))
            elif (row[4], row[5]) != stored(quality):
                name, reason = stored(quality)
                updates.append((name, False, reason, row[0]))
            else:
                continue
            outliers += quality // 100 == 3
            self._meter.touch(interval.start_s, interval.end_s - interval.start_s)
        gone = [
            row
            for row in known.values()
            if not self._meter.is_inside_issued(row[1], row[1] + row[2])
        ]
        for row in gone:
            self._meter.touch(row[1], row[2])
        self._db.executemany(self._session, _DELETE, [(row[0],) for row in gone])
        self._db.executemany(self._session, INSERT, inserts)
        self._db.executemany(self._session, UPDATE, updates)
        for at_s in [at_s for at_s in self._brought if at_s < to_s]:
            del self._brought[at_s]
        return Derived(len(inserts) + len(updates), len(gone), outliers)

    def _row(self, interval: Interval, quality: Quality) -> tuple[Any, ...]:
        name, reason = stored(quality)
        file_id, line = self._origin(interval)
        return (
            self._meter.id,
            interval.start_s,
            interval.end_s - interval.start_s,
            Kind.ENERGY.name.lower(),
            interval.text,
            self._unit,
            interval.digits,
            interval.scale,
            name,
            False,
            reason,
            file_id,
            line,
        )

    def _origin(self, interval: Interval) -> tuple[int, int]:
        """Return file and line of the reading that closes an interval; of one near it for a change."""
        for at_s in (interval.end_s, interval.start_s):
            if at_s in self._brought:
                return self._brought[at_s]
        sql = (
            "SELECT file_id, line FROM register_readings WHERE meter_id = ? "
            "ORDER BY ABS(at_s - ?) LIMIT 1"
        )
        ((file_id, line),) = fetch(self._db, self._session, sql, (self._meter.id, interval.end_s))
        return file_id, line

    def _flush(self) -> None:
        self._db.executemany(self._session, _JUDGE, self._judged)
        self._judged = []


def _touches(taken: list[tuple[int, int]], interval: Interval) -> bool:
    return any(start < interval.end_s and interval.start_s < end for start, end in taken)


def _sum(one: Derived, other: Derived) -> Derived:
    return Derived(
        one.written + other.written, one.taken_out + other.taken_out, one.outliers + other.outliers
    )
