"""The meters of a project with their readings of a period, as the arithmetic wants them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import models
from ledger.errors import Refused
from ledger.models.readings import ReadingQuality
from ledger.models.sites import MeterRole
from ledger.readings.periods.certificates import certificates_of
from ledger.readings.periods.factor_rows import factor_record
from ledger.readings.periods.in_service import in_service_s
from ledger.readings.rows.stored import readings_of_meters
from ledger.readings.rows.withdrawals import deducts, ends_it
from ledger.reductions.certificates import marked
from ledger.reductions.numbers import COUNTER, kind_of
from ledger.reductions.records import (
    Calibration,
    CalibrationSpan,
    EnergyCertificate,
    Factor,
    Kind,
    Meter,
    Role,
)
from ledger.reductions.runs import Readings
from ledger.reductions.zones import legal_day_end_s, legal_day_start_s
from ledger.units import plain


def project_meters(
    session: Session,
    project: models.Project,
    where: ZoneInfo,
    period: tuple[int, int],
    *,
    since_s: int,
    lock: bool,
) -> Iterator[Meter]:
    """Yield the meters of a project that are read, in the order of their serials.

    Parameters
    ----------
    period
        First second, and first second after it.
    since_s, lock
        As ``period.load_period`` has them.

    Raises
    ------
    Refused
        The project has no meter, or one that counts and that no source feeds.
    """
    from_s, to_s = period
    rows = _rows(session, project, lock=lock)
    sources = session.scalars(
        select(models.MeterSource).where(models.MeterSource.site_id == project.site_id)
    ).all()
    meter_ids = [row.id for row, _ in rows]
    readings = readings_of_meters(session, meter_ids, from_s, to_s, lock=lock)
    certificates = certificates_of(
        session, [row for row, _ in rows], where, period, since_s=since_s, lock=lock
    )
    table = models.MeterSeries
    series = {
        row.meter_id: row
        for row in session.scalars(select(table).where(table.meter_id.in_(meter_ids)))
    }
    for row, device_code in rows:
        measured = _measured(row, series.get(row.id), device_code, sources)
        if measured is None:
            if not Role(row.role.value).counts:  # a load or a battery without a file is not missed
                continue
            raise Refused(
                f"meter {row.serial} has no reading and no [[source]] that feeds it; declare one or "
                f"take device {device_code} out of the project",
                code="no-source",
            )
        fuel = None
        if row.fuel_factor_id is not None:
            fuel = factor_record(session.get_one(models.EmissionFactor, row.fuel_factor_id))
        found = readings[row.id], certificates[row.id]
        yield _meter(row, device_code, measured, *found, fuel, where)


def withdrawn_of(
    session: Session, project: models.Project, from_s: int, to_s: int
) -> dict[str, frozenset[int]]:
    """Return where readings of a period begin that are withdrawn and whose values are deducted, of each meter."""
    table = models.MeterReading
    query = (
        select(
            models.Meter.serial,
            models.Meter.role,
            table.start_s,
            table.kind,
            table.unit,
            table.text,
        )
        .select_from(models.ReadingWithdrawal)
        .outerjoin(models.ReadingRestoration, ends_it())
        .join(table, table.id == models.ReadingWithdrawal.reading_id)
        .join(models.Meter, models.Meter.id == table.meter_id)
        .where(
            models.Meter.project_id == project.id,
            table.start_s >= from_s,
            table.start_s < to_s,
            table.value_digits.is_(None),
            table.quality != ReadingQuality.LATE,
            models.ReadingRestoration.turn.is_(None),
        )
    )
    found: dict[str, set[int]] = {}
    for serial, role, start_s, kind, unit, text in session.execute(query):
        if deducts(role, kind, unit, text):
            found.setdefault(serial, set()).add(start_s)
    return {serial: frozenset(starts) for serial, starts in found.items()}


def _rows(
    session: Session, project: models.Project, *, lock: bool
) -> Sequence[tuple[models.Meter, str]]:
    """Return the meters of a project with the codes of their devices; refuse a project that has none."""
    query = (
        select(models.Meter, models.Device.device_id)
        .join(models.Device, models.Device.id == models.Meter.device_id)
        .where(models.Meter.project_id == project.id)
        .order_by(models.Meter.serial)
    )
    found = session.execute(query.with_for_update() if lock else query)
    rows = [(meter, device_code) for meter, device_code in found]
    if not rows:
        raise Refused(
            f"project {project.code} has no meter; declare a [[device]] with role generation, "
            "import or export in its site file",
            code="no-meter",
        )
    return rows


class _Measured(NamedTuple):
    """What the readings of a meter are."""

    kind: Kind
    unit: str
    interval_s: int
    register: bool
    """Whether they are values of a cumulative register."""


def _measured(
    meter: models.Meter,
    series: models.MeterSeries | None,
    device_code: str,
    sources: Iterable[models.MeterSource],
) -> _Measured | None:
    """Return what the readings of a meter are: by those it has, else by the source that feeds it; None: it has neither.

    A source that names no device feeds all meters: one of fuel those of fuel, any other one all others.
    """
    if series is not None:
        kind = kind_of(series.kind, series.unit)
        return _Measured(kind, series.unit, series.interval_s, series.kind == COUNTER)
    for source in sources:
        kind = kind_of(source.kind.value, source.unit)
        fits = kind.is_fuel == (meter.role is MeterRole.FUEL)
        if source.device_code == device_code or (source.device_code is None and fits):
            register = source.kind.value == COUNTER
            return _Measured(kind, source.unit, source.interval_minutes * 60, register)
    return None


def _meter(
    row: models.Meter,
    device_code: str,
    measured: _Measured,
    readings: Readings,
    certificates: tuple[EnergyCertificate, ...],
    fuel: Factor | None,
    where: ZoneInfo,
) -> Meter:
    role = Role(row.role.value)
    in_service_from_s, in_service_to_s = in_service_s(row, where)
    return Meter(
        serial=row.serial,
        device_code=device_code,
        role=role,
        kind=measured.kind,
        unit=measured.unit,
        interval_s=measured.interval_s,
        rated_kw=None if row.rated_kw is None else plain(row.rated_kw),
        calibration=_calibration(row, where),
        readings=marked(readings, certificates, role),
        certificates=certificates,
        fuel=fuel,
        density_kg_per_l=row.density_kg_per_l,
        stuck_hours=0 if measured.register else row.stuck_hours or 0,
        register=measured.register,
        in_service_from_s=in_service_from_s,
        in_service_to_s=in_service_to_s,
    )


def _calibration(row: models.Meter, where: ZoneInfo) -> Calibration:
    """Return a meter's calibration; the file's days are legal days, the last one included."""
    return Calibration(
        accuracy_class=row.accuracy_class,
        calibrated=row.calibrated,
        from_s=None
        if row.calibrated_from is None
        else legal_day_start_s(row.calibrated_from, where),
        to_s=None if row.calibrated_to is None else legal_day_end_s(row.calibrated_to, where),
        measured_error=row.measured_error,
        spans=tuple(_span(stored, where) for stored in row.calibrations or ()),
    )


def _span(stored: Mapping[str, Any], where: ZoneInfo) -> CalibrationSpan:
    """Return one of several calibrations, as ``sites`` has stored it."""
    last = stored["calibrated_to"]
    return CalibrationSpan(
        from_s=legal_day_start_s(date.fromisoformat(stored["calibrated_from"]), where),
        to_s=None if last is None else legal_day_end_s(date.fromisoformat(last), where),
        measured_error=stored["measured_error"],
        certificate_sha256=stored["certificate_sha256"],
    )


def meter_ids(session: Session, serials: Iterable[str]) -> dict[str, int]:
    """Return the row numbers of meters by serial."""
    query = select(models.Meter.serial, models.Meter.id).where(
        models.Meter.serial.in_(list(serials))
    )
    return {serial: id_ for serial, id_ in session.execute(query).all()}
