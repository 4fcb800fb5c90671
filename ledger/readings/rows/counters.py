"""Cumulative registers in the tables: readings as received, and the intervals derived from them.

An import stores the rows of its file first (``RegisterWriter``). Then ``derive`` goes once through the
readings of the meter in order of time and brings ``meter_readings`` to their chain (``chains``), of which
readings that came late are a part: a finer one splits an interval. What stands in an issued period is never
touched; what it should have been is for a correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import CorrectionReading, MeterSeries, RegisterReading
from ledger.models.readings import ReadingQuality
from ledger.readings.rows.asking import asked_together
from ledger.readings.rows.chains import FOREVER_S, PIECE_ROWS, LeftOut, RegisterChain, Row
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.store import INSERT, Judged, fetch, judge_anew
from ledger.reductions.quality import loaded, stored
from ledger.reductions.records import OUTLIER, Kind, Quality
from ledger.reductions.registers import Interval
from ledger.reductions.runs import Reading

_STORED = (
    "SELECT id, start_s, duration_s, text, quality, reason FROM meter_readings "
    "WHERE meter_id = ? AND start_s >= ? AND start_s < ? ORDER BY start_s, text"
)
_JUDGE = "UPDATE register_readings SET quality = ?, reason = ? WHERE id = ?"
_DELETE = "DELETE FROM meter_readings WHERE id = ?"


@dataclass(frozen=True)
class Derived:
    """What a derivation changed."""

    written: int = 0
    """Intervals that are new, or judged otherwise."""
    taken_out: int = 0
    """Intervals that others took the place of."""
    outliers: int = 0
    """Of the written ones: those beyond what the device can do, or below zero."""


def derive(
    db: Database,
    session: Session,
    meter: MeterState,
    series: MeterSeries,
    from_s: int = 0,
    to_s: int = FOREVER_S,
    *,
    left_out: LeftOut | None = None,
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
    left_out
        Readings that the chain shall not have.
    """
    return _Derivation(db, session, meter, series, left_out).run(from_s, to_s)


def excluded_registers(
    session: Session, meter_ids: Sequence[int], from_s: int, to_s: int, *, lock: bool
) -> dict[int, list[Reading]]:
    """Return the readings of registers in a period that stand in no interval, each with its reason.

    They are leaves of the evidence without a length: nothing can be left out quietly. A meter that has
    none is not named.
    """
    table = RegisterReading
    kept = (ReadingQuality.USED, ReadingQuality.LATE)
    found: dict[int, list[Reading]] = {}
    for together in asked_together(meter_ids, lock=lock):
        query = select(table).where(
            table.meter_id.in_(together),
            table.at_s >= from_s,
            table.at_s < to_s,
            table.quality.not_in(kept),
        )
        for row in session.scalars(query.with_for_update(read=True) if lock else query):
            found.setdefault(row.meter_id, []).append(
                Reading(
                    row.at_s,
                    row.at_s,
                    int(Kind.REGISTER),
                    int(loaded(row.quality.value, row.reason)),
                    row.value_digits or 0,
                    row.value_scale or 0,
                    row.text,
                )
            )
    return found


class _Derivation:
    """One pass over the readings of one register."""

    def __init__(
        self,
        db: Database,
        session: Session,
        meter: MeterState,
        series: MeterSeries,
        left_out: LeftOut | None,
    ) -> None:
        self._db, self._session, self._meter = db, session, meter
        # On MariaDB this unit of work may be older than the last import: read what is committed now.
        self._lock = "" if db.dialect == "sqlite" else " LOCK IN SHARE MODE"
        self._unit = series.unit
        self._chain = RegisterChain(
            db, session, series, meter.limits, meter.issued, lock=True, left_out=left_out
        )
        self._judged: list[tuple[Any, ...]] = []

    def run(self, from_s: int, to_s: int) -> Derived:
        """Derive, and write what differs."""
        chain = self._chain
        first_s = place_s = chain.first_s(from_s)
        done = Derived()
        last_s = FOREVER_S
        piece: list[Interval] = []
        for interval in chain.walk(first_s, self._judge):
            piece.append(interval)
            # What follows a reading that was used before is the same. Of rows in an issued period
            # nothing can be said, since they are never judged anew.
            same = chain.ends_as_before and not self._meter.is_issued(interval.end_s)
            if interval.end_s > to_s and same:
                last_s = interval.end_s
                break
            if len(piece) >= PIECE_ROWS:
                done = _sum(done, self._write(piece, place_s, interval.end_s))
                place_s, piece = interval.end_s, []
        done = _sum(done, self._write(piece, place_s, last_s))
        for row in chain.rest(last_s):
            self._judge(row, Quality.USED)
        self._flush()
        return done

    def _judge(self, row: Row, quality: Quality) -> None:
        if quality is not row.quality and not self._meter.is_issued(row.at_s):
            self._judged.append((*stored(quality), row.id))
            if len(self._judged) >= PIECE_ROWS:
                self._flush()

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
        updates: list[Judged] = []
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
            outliers += quality in OUTLIER
            self._meter.touch(interval.start_s, interval.end_s - interval.start_s)
        gone = self._gone(known.values())
        for row in gone:
            self._meter.touch(row[1], row[2])
        self._db.executemany(self._session, _DELETE, [(row[0],) for row in gone])
        self._db.executemany(self._session, INSERT, inserts)
        judge_anew(self._session, updates)
        brought = self._chain.brought
        for at_s in [at_s for at_s in brought if at_s < to_s]:
            del brought[at_s]
        return Derived(len(inserts) + len(updates), len(gone), outliers)

    def _gone(self, others: Iterable[Any]) -> list[Any]:
        """Return the stored intervals that the chain does not have: to be taken out.

        What was issued stays, and what came late and a correction has counted.
        """
        gone = []
        for row in others:
            inside = self._meter.is_inside_issued(row[1], row[1] + row[2])
            if inside and (row[4] != "late" or self._is_counted(row[0])):
                continue
            gone.append(row)
        return gone

    def _is_counted(self, reading_id: int) -> bool:
        return self._session.get(CorrectionReading, reading_id) is not None

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
            if at_s in self._chain.brought:
                return self._chain.brought[at_s]
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
