"""The readings of one legal day behind an issuance, each as a row of a table with the way to its proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import literal, null, select
from sqlalchemy.orm import Session

from api.pages.readings import UNITS, touching, value_of
from api.projects.queries import device_names
from ledger.errors import NotFound
from ledger.models import (
    ImportFile,
    Issuance,
    MeterReading,
    ReadingRestoration,
    ReadingWithdrawal,
    RegisterReading,
)
from ledger.models.issuance import LIVE
from ledger.readings.periods.evidence_files import meter_ids_of, stated_by
from ledger.readings.rows.withdrawals import ends_it, is_latest
from ledger.reductions.records import USED, Kind
from ledger.reductions.runs import Reading
from ledger.reductions.zones import legal_day_start_s, utc_of, zone


class Place(NamedTuple):
    """Where a reading came from, and its row."""

    file: str
    line: int
    number: int | None
    """Of its row, by which its proof is asked for; None: a register's value, which stands in no row of its own."""
    withdrawn: str | None
    """Why its value was taken back; None: it was not."""
    restored: str | None = None
    """Why that value was given back; None: it was not."""


@dataclass(frozen=True)
class DayReading:
    """One reading as a row of a table."""

    start: datetime
    value: str | None
    unit: str
    text: str
    quality: int
    counts: bool
    place: Place | None
    """None: the books no longer have its row."""


@dataclass(frozen=True)
class DayReadings:
    """The readings of one meter on one legal day."""

    device: str
    name: str | None
    """Of the device, today; None: the books have it no more."""
    serial: str
    zone: str
    text_unit: str
    """Unit of the numbers as received."""
    items: list[DayReading]

    @property
    def files(self) -> list[str]:
        """Names of the files that brought them."""
        return sorted({item.place.file for item in self.items if item.place})

    @property
    def as_received(self) -> bool:
        """Whether the values are the texts that were received, so that they need no column of their own."""
        return all(
            item.value in (item.text, None) and item.unit == self.text_unit for item in self.items
        )


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
    names = device_names(session, [table.device for table in stated.meters])
    # Its readings are as when it was planned; those of one that is void are as now.
    moment = issuance.created_at if issuance.state in LIVE else None
    found = []
    for table in stated.meters:
        meter_id = ids.get(table.serial)
        rows = touching(session, issuance, table, meter_id, (from_s, to_s))
        places = _places(session, meter_id, rows, moment)
        items = [
            DayReading(
                start=utc_of(row.start_s).astimezone(where),
                value=value_of(row),
                unit=UNITS[Kind(row.kind)],
                text=row.text,
                quality=row.quality,
                counts=row.quality in USED,
                place=places.get((row.start_s, row.end_s, row.text)),
            )
            for row in rows
        ]
        name, zone_name = names.get(table.device), stated.period.zone
        found.append(DayReadings(table.device, name, table.serial, zone_name, table.unit, items))
    return found


def days_beside(issuance: Issuance, day: date) -> list[date]:
    """Return a day of an issuance's period between the one before it and the one after, where the period has them."""
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    return [each for each in (before, day, after) if issuance.from_date <= each < issuance.to_date]


def _places(
    session: Session, meter_id: int | None, readings: Sequence[Reading], moment: datetime | None
) -> dict[tuple[int, int, str], Place]:
    """Return where a meter's readings came from, by their start, end and text.

    Parameters
    ----------
    moment
        What was withdrawn or restored after it is not said; None: all is.
    """
    if not readings:
        return {}
    span = readings[0].start_s, readings[-1].start_s
    row, value, file = MeterReading, RegisterReading, ImportFile
    taken, given = ReadingWithdrawal, ReadingRestoration
    intervals = (
        select(
            row.start_s,
            row.duration_s,
            row.text,
            file.file_name,
            row.line,
            row.id,
            taken.reason,
            given.reason,
        )
        .join(file, file.id == row.file_id)
        .outerjoin(taken, is_latest(moment))
        .outerjoin(given, ends_it(moment))
        .where(row.meter_id == meter_id, row.start_s.between(*span))
    )
    values = (
        select(
            value.at_s,
            literal(0),
            value.text,
            file.file_name,
            value.line,
            *(null() for _ in ("number", "withdrawn", "restored")),
        )
        .join(file, file.id == value.file_id)
        .where(value.meter_id == meter_id, value.at_s.between(*span))
    )
    return {
        (start_s, start_s + duration_s, text): Place(*place)
        for query in (intervals, values)
        for start_s, duration_s, text, *place in session.execute(query)
    }
