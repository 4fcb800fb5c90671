"""The stored readings of a meter as the arithmetic wants them: in time, or late."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from ledger import models
from ledger.models.evidence import ReadingQuality
from ledger.readings.counters import excluded_registers
from ledger.reductions.quality import loaded
from ledger.reductions.records import Kind, Reading


def readings_of(
    session: Session, meter_id: int, from_s: int, to_s: int, *, lock: bool = False
) -> tuple[Reading, ...]:
    """Return the readings of a meter from one second to another, all but those that came late."""
    # What came late belongs to a correction, never into a root.
    in_time = models.MeterReading.quality != ReadingQuality.LATE
    readings = _stored(session, meter_id, from_s, to_s, in_time, lock=lock)
    excluded = excluded_registers(session, meter_id, from_s, to_s, lock=lock)
    if not excluded:
        return readings
    return tuple(sorted((*readings, *excluded), key=lambda item: (item.start_s, item.text)))


def late_readings_of(
    session: Session, meter_id: int, from_s: int, to_s: int
) -> tuple[Reading, ...]:
    """Return the readings of a meter that came after their period was issued."""
    late = models.MeterReading.quality == ReadingQuality.LATE
    return _stored(session, meter_id, from_s, to_s, late, lock=False)


def texts_without_value(session: Session, meter_id: int, from_s: int, to_s: int) -> set[str]:
    """Return the texts of a meter that its source declared to mean that there is no value."""
    intervals, instants = models.MeterReading, models.RegisterReading
    found: set[str] = set()
    for table, at_s in ((intervals, intervals.start_s), (instants, instants.at_s)):
        query = select(table.text).where(
            table.meter_id == meter_id,
            at_s >= from_s,
            at_s < to_s,
            table.value_digits.is_(None),
            table.text != "",
        )
        found.update(session.scalars(query.distinct()).all())
    return found


def _stored(
    session: Session,
    meter_id: int,
    from_s: int,
    to_s: int,
    which: ColumnElement[bool],
    *,
    lock: bool,
) -> tuple[Reading, ...]:
    table = models.MeterReading
    query = (
        select(
            table.start_s,
            table.duration_s,
            table.kind,
            table.text,
            table.value_digits,
            table.value_scale,
            table.quality,
            table.reason,
        )
        .where(
            table.meter_id == meter_id,
            table.start_s >= from_s,
            table.start_s < to_s,
            # The difference of a register over the end of a period belongs to none.
            table.start_s + table.duration_s <= to_s,
            which,
        )
        .order_by(table.start_s, table.text)
    )
    if lock:  # what is committed now, and not when this unit of work first read something
        query = query.with_for_update(read=True)
    return tuple(
        Reading(
            start_s,
            start_s + duration_s,
            int(Kind[kind.name]),
            int(loaded(quality.value, reason)),
            digits or 0,
            scale or 0,
            text,
        )
        for start_s, duration_s, kind, text, digits, scale, quality, reason in session.execute(
            query
        )
    )
