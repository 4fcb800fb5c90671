"""The readings of one legal day behind an issuance, each as a row of a table with the way to its proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.pages.readings import UNITS, touching, value_of
from ledger.errors import NotFound
from ledger.models import Issuance, MeterReading
from ledger.readings.periods.evidence_files import meter_ids_of, stated_by
from ledger.reductions.records import USED, Kind
from ledger.reductions.zones import legal_day_start_s, utc_of, zone


@dataclass(frozen=True)
class DayReading:
    """One reading as a row of a table."""

    start: datetime
    value: str | None
    unit: str
    text: str
    quality: int
    counts: bool
    number: int | None
    """Of its row, by which its proof is asked for; None: a register's value, which stands in no row of its own."""


@dataclass(frozen=True)
class DayReadings:
    """The readings of one meter on one legal day."""

    device: str
    serial: str
    zone: str
    text_unit: str
    """Unit of the numbers as received."""
    items: list[DayReading]


def day_of(session: Session, issuance: Issuance, day: date) -> list[DayReadings]:
    """Return every reading of one legal day, by meter.

    Raises
    ------
    NotFound
        The day is none of the period's.
    """
    if not issuance.from_date <= day < issuance.to_date:
        raise NotFound(
            f"{day} is not a day of the period from {issuance.from_date} to before {issuance.to_date}"
        )
    stated = stated_by(issuance)
    where = zone(stated.period.zone)
    from_s, to_s = legal_day_start_s(day, where), legal_day_start_s(day + timedelta(days=1), where)
    ids = meter_ids_of(session, issuance)
    found = []
    for table in stated.meters:
        meter_id = ids.get(table.serial)
        rows = touching(session, issuance, table, meter_id, (from_s, to_s))
        numbers = _numbers(session, meter_id, [row.start_s for row in rows])
        items = [
            DayReading(
                start=utc_of(row.start_s).astimezone(where),
                value=value_of(row),
                unit=UNITS[Kind(row.kind)],
                text=row.text,
                quality=row.quality,
                counts=row.quality in USED,
                number=numbers.get((row.start_s, row.text)) if row.end_s > row.start_s else None,
            )
            for row in rows
        ]
        found.append(DayReadings(table.device, table.serial, stated.period.zone, table.unit, items))
    return found


def _numbers(
    session: Session, meter_id: int | None, starts: Sequence[int]
) -> dict[tuple[int, str], int]:
    """Return the row numbers of a meter's readings, by their start and text."""
    if not starts:
        return {}
    row = MeterReading
    query = select(row.id, row.start_s, row.text).where(
        row.meter_id == meter_id, row.start_s >= min(starts), row.start_s <= max(starts)
    )
    return {(start_s, text): number for number, start_s, text in session.execute(query)}
