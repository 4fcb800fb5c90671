"""The rows of ``register_readings``: looked up, compared and written in pieces.

Which of them count is judged afterwards, by ``counters.derive``, from all rows of the meter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import MeterSeries
from ledger.readings.files.sources import RawReading, Source
from ledger.readings.rows.counters import derive
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.received import ReceivedValues
from ledger.readings.rows.store import Slot, StoredRow, Tally, fetch
from ledger.reductions.numbers import METRICS
from ledger.reductions.quality import loaded, stored, without_value
from ledger.reductions.records import MISSING, Kind, Quality

_LOOKUP_KEYS = 500
_COLUMNS = "id, at_s, text, value_digits, value_scale, quality, reason, file_id, line"
_INSERT = (
    "INSERT INTO register_readings (meter_id, at_s, text, unit, value_digits, value_scale, quality, "
    "reason, file_id, line) VALUES (?,?,?,?,?,?,?,?,?,?)"
)


class RegisterWriter:
    """Writes the register readings of one file within one unit of work."""

    def __init__(self, db: Database, session: Session, source: Source, file_id: int) -> None:
        self._db = db
        self._session = session
        self._source = source
        self._file_id = file_id
        self._span: dict[int, tuple[int, int]] = {}
        """First and last new instant by meter."""
        self._received = ReceivedValues(db, session, METRICS[Kind.REGISTER])

    def write(self, meter: MeterState, rows: Sequence[RawReading], tally: Tally) -> None:
        """Store the rows of one meter; count what became of each."""
        known = self._known(meter.id, rows)
        new: list[tuple[RawReading, Quality]] = []
        for row in rows:
            slot = known.setdefault(row.start_s, Slot())
            if not slot.take(row, tally):
                continue
            quality = Quality.USED if row.digits is not None else without_value(row.text)
            if meter.is_issued(row.start_s):
                quality = Quality.LATE
                tally.late += 1
            first_s, last_s = self._span.get(meter.id, (row.start_s, row.start_s))
            self._span[meter.id] = (min(first_s, row.start_s), max(last_s, row.start_s))
            tally.missing += quality in MISSING
            new.append((row, quality))
        self._db.executemany(
            self._session, _INSERT, [self._row(meter, row, quality) for row, quality in new]
        )
        self._received.write(meter.device_id, (row for row, _ in new))

    def finish(self, meter: MeterState, tally: Tally) -> None:
        """Derive the intervals of a meter, after its last row."""
        span = self._span.pop(meter.id, None)
        if span is None:
            return
        self._session.flush()
        series = self._session.get_one(MeterSeries, meter.id)
        derived = derive(self._db, self._session, meter, series, *span)
        tally.intervals += derived.written
        tally.outliers += derived.outliers

    def _known(self, meter_id: int, rows: Sequence[RawReading]) -> dict[int, Slot]:
        instants = sorted({row.start_s for row in rows})
        known: dict[int, Slot] = {}
        for at in range(0, len(instants), _LOOKUP_KEYS):
            keys = instants[at : at + _LOOKUP_KEYS]
            places = ",".join("?" * len(keys))
            sql = f"SELECT {_COLUMNS} FROM register_readings WHERE meter_id = ? AND at_s IN ({places})"
            found = fetch(self._db, self._session, sql, (meter_id, *keys))
            for id_, at_s, text, digits, scale, quality, reason, file_id, line in found:
                value = None if digits is None else (digits, scale)
                judged = loaded(quality, reason)
                row = StoredRow(id_, text, value, judged, False, file_id, line)
                known.setdefault(at_s, Slot()).old.append(row)
        return known

    def _row(self, meter: MeterState, row: RawReading, quality: Quality) -> tuple[Any, ...]:
        return (
            meter.id,
            row.start_s,
            row.text,
            self._source.unit,
            row.digits,
            row.scale,
            *stored(quality),
            self._file_id,
            row.line,
        )
