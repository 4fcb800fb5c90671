"""What a question about readings is of: which meters of a site, and which days."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db.tables import ends_among
from ledger.errors import BadInput, NotFound
from ledger.models import Device, ImportFile, Meter, MeterReading, Site
from ledger.naming import site_named
from ledger.readings.periods.period import FIRST_DAY, LAST_DAY
from ledger.reductions.zones import legal_day, utc_of, zone

YEARS_MAX = 50
"""Longest period that is looked at."""


def meters_of(
    session: Session, site_code: str, device_code: str | None
) -> tuple[Site, list[tuple[Meter, str]]]:
    """Return a site and its meters with their devices' codes, all or one.

    Raises
    ------
    NotFound
        There is no such site or device; the message names those that there are.
    """
    site = site_named(session, site_code)
    query = (
        select(Meter, Device.device_id)
        .join(Device, Device.id == Meter.device_id)
        .where(Meter.site_id == site.id)
        .order_by(Device.device_id)
    )
    meters = [(meter, code) for meter, code in session.execute(query).all()]
    if device_code is None and meters:
        return site, meters
    found = [item for item in meters if item[1] == device_code]
    if not found:
        known = ", ".join(code for _, code in meters) or "none"
        which = "no device with a meter" if device_code is None else f"no device {device_code!r}"
        raise NotFound(f"site {site_code!r} has {which}; it has: {known}")
    return site, found


def period_of(
    session: Session, site: Site, meter_ids: list[int], start: date | None, end: date | None
) -> tuple[date, date]:
    """Return the period that is meant: what is not given reaches as far as there are readings.

    Raises
    ------
    BadInput
        If there is no reading to go by, or the period is empty, too long, or too far off.
    """
    stated = start is not None and end is not None
    if start is None or end is None:
        of, at = MeterReading.meter_id, MeterReading.start_s
        known = ends_among(session, Meter.id, meter_ids, of, at).values()
        if not known:
            raise BadInput(
                f"site {site.code!r} has no reading of these devices; import their meter files, or "
                "give the period, from and to",
                code="no-readings",
            )
        where = zone(site.time_zone)
        start = start or legal_day(min(first_s for first_s, _ in known), where)
        end = end or legal_day(max(last_s for _, last_s in known), where) + timedelta(days=1)
    if start >= end:
        raise BadInput(
            f"the period from {start} to {end} is empty: the end is exclusive and comes later",
            code="empty-period",
        )
    if start < FIRST_DAY or end > LAST_DAY or (end - start).days > YEARS_MAX * 366:
        raise BadInput(
            f"the period from {start} to {end} must lie between {FIRST_DAY} and {LAST_DAY} and be no "
            f"longer than {YEARS_MAX} years{'' if stated else _far_off(session, site, meter_ids)}",
            code="period-too-long",
        )
    return start, end


def _far_off(session: Session, site: Site, meter_ids: list[int]) -> str:
    """Return how to go on when readings span too long a time, and which of them lies far off the others."""
    advice = "; give the period, from and to"
    found: list[tuple[int, MeterReading]] = []
    start_s = MeterReading.start_s
    for meter_id in meter_ids:
        for order, beyond in ((start_s.asc(), start_s.__gt__), (start_s.desc(), start_s.__lt__)):
            query = select(MeterReading).where(MeterReading.meter_id == meter_id).order_by(order)
            row = session.scalars(query.limit(1)).first()
            if row is None:
                continue
            next_ = session.scalars(query.where(beyond(row.start_s)).limit(1)).first()
            if next_ is not None:
                found.append((abs(next_.start_s - row.start_s), row))
    if not found:
        return advice
    _, far = max(found, key=lambda item: item[0])
    when = utc_of(far.start_s).astimezone(zone(site.time_zone)).isoformat()
    file = session.get(ImportFile, far.file_id)
    place = f" ({file.file_name} line {far.line})" if file is not None else ""
    return f"{advice}; far off from the others lies the reading of {when}{place}"
