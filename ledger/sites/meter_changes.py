"""Declared changes of instruments into the database, and the intervals of a register derived anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.codes import blank_around
from ledger.errors import BadInput
from ledger.models import Device, Meter, MeterChange, MeterSeries, RegisterReading
from ledger.models.readings import ReadingQuality
from ledger.models.sites import SourceKind
from ledger.readings.imports.requalify import requalify
from ledger.readings.periods.issued import issued_periods
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import REASONS
from ledger.reductions.records import Kind, Quality
from ledger.reductions.zones import epoch_s, utc_of
from ledger.sites.changes import SiteChanges, note_change, note_removal
from ledger.sites.specs import MeterChangeSpec, SiteFile


def apply_meter_changes(
    session: Session, file: SiteFile, devices: Mapping[str, Device], changes: SiteChanges
) -> None:
    """Bring the changes of each device's instrument to those of the file.

    Raises
    ------
    BadInput
        One of them lies within a period that was issued.
    """
    for code, device in devices.items():
        meter = session.scalars(select(Meter).filter_by(device_id=device.id)).one()
        wanted = {epoch_s(item.at): item for item in file.meter_changes if item.device == code}
        rows = session.scalars(select(MeterChange).filter_by(meter_id=meter.id)).all()
        known = {row.at_s: row for row in rows}
        differing = []
        for at_s in sorted({*wanted, *known}):
            label = f"meter change {code} {time_text(utc_of(at_s))}"
            _require_no_blank(file, label, known.get(at_s), wanted.get(at_s))
            if _applied(session, meter, at_s, known.get(at_s), wanted.get(at_s)):
                differing.append(at_s)
                (changes.updated if at_s in known else changes.created).append(label)
            else:
                changes.unchanged.append(label)
        for at_s in differing:
            _require_open(session, file, code, meter, at_s)
        if differing:
            derive_anew(session, [meter.id], changes)
        changes.warnings += _against_readings(session, code, meter.id, wanted)


def _require_no_blank(
    file: SiteFile, label: str, row: MeterChange | None, spec: MeterChangeSpec | None
) -> None:
    """Refuse blanks around the new instrument's serial number; one that is stored so stays."""
    serial = None if spec is None else spec.meter_serial
    if serial is None or (row is not None and row.instrument == serial):
        return
    if (why := blank_around(serial)) is not None:
        raise BadInput(f"{file.name}: {label}: meter_serial {why}", code="bad-site-file")


def _applied(
    session: Session,
    meter: Meter,
    at_s: int,
    row: MeterChange | None,
    spec: MeterChangeSpec | None,
) -> bool:
    """Make, change or take out one row; return whether there was anything to do."""
    if spec is None:
        assert row is not None
        note_removal(session, row, ("meter_id", "at_s", "closing", "opening", "instrument"))
        session.delete(row)
        return True
    values = {"closing": spec.closing, "opening": spec.opening, "instrument": spec.meter_serial}
    if row is None:
        session.add(MeterChange(meter_id=meter.id, at_s=at_s, **values))
        return True
    if all(getattr(row, name) == value for name, value in values.items()):
        return False
    for name, value in values.items():
        setattr(row, name, value)
    note_change(session, row)
    return True


def _require_open(session: Session, file: SiteFile, code: str, meter: Meter, at_s: int) -> None:
    for from_s, to_s in issued_periods(session, meter.id, meter.project_id):
        if from_s <= at_s < to_s:
            raise BadInput(
                f"{file.name}: [[meter_change]] of device {code}: {time_text(utc_of(at_s))} lies in a "
                "period that was issued; what issued credits rest on does not change",
                code="period-already-issued",
            )


def _against_readings(
    session: Session, code: str, meter_id: int, wanted: Mapping[int, MeterChangeSpec]
) -> list[str]:
    """Return which readings of changes the stored ones beside them contradict."""
    series = session.get(MeterSeries, meter_id)
    if series is None or series.kind != SourceKind.COUNTER:
        return []
    scale = UNITS[Kind.ENERGY][series.unit]
    found = []
    for at_s in sorted(wanted):
        spec = wanted[at_s]
        earliest_s = max((other for other in wanted if other < at_s), default=-(2**62))
        latest_s = min((other for other in wanted if other > at_s), default=2**62)
        where = f"meter change {code} {time_text(utc_of(at_s))}"
        before = _reading(session, meter_id, earliest_s, at_s, last=True)
        if before is not None and _kwh(spec.closing, scale) < _stored_kwh(before):
            found.append(
                f"{where}: closing {spec.closing} is below {before.text}, read before at "
                f"{time_text(utc_of(before.at_s))}; nothing counts between them"
            )
        after = _reading(session, meter_id, at_s, latest_s, last=False)
        if after is not None and _kwh(spec.opening, scale) > _stored_kwh(after):
            found.append(
                f"{where}: opening {spec.opening} is above {after.text}, read after at "
                f"{time_text(utc_of(after.at_s))}; nothing counts between them"
            )
    return found


def _reading(
    session: Session, meter_id: int, from_s: int, to_s: int, *, last: bool
) -> RegisterReading | None:
    """Return the last or first reading between two instants that has a value of its own."""
    table = RegisterReading
    query = select(table).where(
        table.meter_id == meter_id,
        table.at_s > from_s,
        table.at_s < to_s,
        or_(
            table.quality == ReadingQuality.USED,
            table.reason == REASONS[Quality.REGISTER_DIP],
        ),
    )
    order = table.at_s.desc() if last else table.at_s
    return session.scalars(query.order_by(order).limit(1)).first()


def _kwh(text: str, unit_scale: int) -> Fraction:
    digits, scale = parse_value(text, unit_scale)
    return Fraction(digits, 10**scale)


def _stored_kwh(row: RegisterReading) -> Fraction:
    return Fraction(row.value_digits or 0, 10 ** (row.value_scale or 0))


def meters_of_source(session: Session, source_id: int) -> list[int]:
    """Return the meters whose series began with a source."""
    query = select(MeterSeries.meter_id).where(MeterSeries.source_id == source_id)
    return list(session.scalars(query.order_by(MeterSeries.meter_id)).all())


def derive_anew(session: Session, meter_ids: Iterable[int], changes: SiteChanges) -> None:
    """Derive the intervals of registers anew, after what they are derived by has changed."""
    session.flush()
    for meter_id in meter_ids:
        series = session.get(MeterSeries, meter_id)
        if series is not None and series.kind == SourceKind.COUNTER:
            count = requalify(session, meter_id)
            serial = session.get_one(Meter, meter_id).serial
            changes.warnings.append(f"meter {serial}: {count} intervals derived anew")
