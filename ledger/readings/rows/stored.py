"""The stored readings of a meter as the arithmetic wants them: in time, or late."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import models
from ledger.db import Database, Many
from ledger.models.readings import ReadingKind
from ledger.readings.rows.counters import excluded_registers
from ledger.reductions.quality import stored
from ledger.reductions.records import Kind, Quality
from ledger.reductions.runs import Readings, Shape


def readings_of(session: Session, meter_id: int, from_s: int, to_s: int) -> Readings:
    """Return the readings of a meter from one second to another, all but those that came late."""
    return readings_of_meters(session, [meter_id], from_s, to_s)[meter_id]


def readings_of_meters(
    session: Session, meter_ids: Sequence[int], from_s: int, to_s: int, *, lock: bool = False
) -> dict[int, Readings]:
    """Return the readings of meters from one second to another, all but those that came late."""
    excluded = excluded_registers(session, meter_ids, from_s, to_s, lock=lock)
    found = {}
    for meter_id in meter_ids:
        # What came late belongs to a correction, never into a root.
        readings = _stored(session, meter_id, from_s, to_s, late=False, lock=lock)
        if meter_id in excluded:
            together = (*readings, *excluded[meter_id])
            readings = Readings.of(sorted(together, key=lambda item: (item.start_s, item.text)))
        found[meter_id] = readings
    return found


def late_readings_of(session: Session, meter_id: int, from_s: int, to_s: int) -> Readings:
    """Return the readings of a meter that came after their period was issued."""
    return _stored(session, meter_id, from_s, to_s, late=True, lock=False)


def rows_without_value(
    session: Session, meter_id: int, from_s: int, to_s: int
) -> set[tuple[int, str]]:
    """Return starts and texts of a meter's rows whose source declared the text to mean that there is no value."""
    intervals, instants = models.MeterReading, models.RegisterReading
    found: set[tuple[int, str]] = set()
    for table, at_s in ((intervals, intervals.start_s), (instants, instants.at_s)):
        query = select(at_s, table.text).where(
            table.meter_id == meter_id,
            at_s >= from_s,
            at_s < to_s,
            table.value_digits.is_(None),
            table.text != "",
        )
        found.update((start_s, text) for start_s, text in session.execute(query))
    return found


_STORED: dict[bool, Many] = {
    late: Many(
        numbers=("start_s", "COALESCE(value_digits, 0)"),
        texts=("text",),
        alike_numbers=("duration_s", "COALESCE(value_scale, 0)"),
        alike_words=("kind", "quality", "reason"),
        # The difference of a register over the end of a period belongs to none.
        rest="FROM meter_readings WHERE meter_id = ? AND start_s >= ? AND start_s < ? "
        f"AND start_s + duration_s <= ? AND quality {'=' if late else '<>'} 'late'",
        order="start_s, text",
    )
    for late in (False, True)
}
_KINDS = {kind.value: int(Kind[kind.name]) for kind in ReadingKind}
_QUALITIES = {stored(quality): int(quality) for quality in Quality}


def _stored(
    session: Session, meter_id: int, from_s: int, to_s: int, *, late: bool, lock: bool
) -> Readings:
    db: Database = session.info["database"]
    # Locked, they are what is committed now, and not when this unit of work first read something.
    starts, digits, texts, alike = db.many(
        session, _STORED[late], (meter_id, from_s, to_s, to_s), share=lock
    )
    shapes = {each: _shape(*each) for each in set(alike)}
    # Eight bytes a number in place of forty: a month of hundreds of meters is millions of readings.
    numbers = array("q", starts), array("q", digits)
    return Readings.of_columns([shapes[each] for each in alike], *numbers, texts)


def _shape(seconds: int, scale: int, kind: str, quality: str, reason: str | None) -> Shape:
    return Shape(seconds, _KINDS[kind], _QUALITIES[quality, reason], scale)
