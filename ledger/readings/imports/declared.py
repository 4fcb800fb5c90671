"""The source and the meters of an import, as the site file declared them and the books have them."""

from __future__ import annotations

from fractions import Fraction

from sqlalchemy.orm import Session

from ledger.models import Device, Meter, MeterSource, Site
from ledger.models.sites import SourceKind, SourceLabel
from ledger.readings.files.formats import Format
from ledger.readings.files.sources import Source
from ledger.readings.periods.issued import issued_periods
from ledger.readings.rows.asking import meters_with_devices
from ledger.readings.rows.meter_state import MeterState
from ledger.reductions.numbers import kind_of
from ledger.reductions.quality import limits_of
from ledger.reductions.records import Kind, Role


def source_of(row: MeterSource) -> Source:
    """Return a stored source as the reader wants it."""
    return Source(
        name=row.name,
        kind=kind_of(row.kind.value, row.unit),
        unit=row.unit,
        interval_minutes=row.interval_minutes,
        label_is_end=row.label is SourceLabel.END,
        device_code=row.device_code,
        device_column=row.device_column,
        time_column=row.time_column,
        value_column=row.value_column,
        time_zone=row.time_zone,
        file_format=Format.of(row.format_options),
        counter=row.kind is SourceKind.COUNTER,
    )


def meters_of(session: Session, site: Site, source: Source) -> dict[str, MeterState]:
    """Return the meters of a site that a source may feed, by device code."""
    meters = {}
    for meter, device in meters_with_devices(session, site):
        if source.device_code is not None and device.device_id != source.device_code:
            continue
        meters[device.device_id] = meter_state(
            session, meter, device, source.kind, source.interval_s
        )
    return meters


def meter_state(
    session: Session, meter: Meter, device: Device, kind: Kind, interval_s: int
) -> MeterState:
    """Return what an import must know of a meter."""
    rated = None if meter.rated_kw is None else Fraction(meter.rated_kw)
    role = Role(meter.role.value)
    return MeterState(
        id=meter.id,
        device_id=device.id,
        device_code=device.device_id,
        role=role,
        limits=limits_of(role, rated, kind, interval_s),
        stuck_hours=meter.stuck_hours or 0,
        issued=issued_periods(session, meter.id, meter.project_id),
    )
