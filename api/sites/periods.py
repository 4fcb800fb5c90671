"""Legal hours, days and months of a site, and whose meters are asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, func, literal_column, select, union_all
from sqlalchemy.orm import Session

from ledger.db.tables import ends_among
from ledger.errors import BadInput, NotFound
from ledger.models import Device, EnergyProduction, Meter, MeterReading, Site
from ledger.reductions.zones import legal_day, legal_day_end_s, legal_day_start_s, utc_of
from ledger.units import HOUR_S


@dataclass(frozen=True)
class LegalPeriod:
    """A period of legal time: the day that it begins in, and its seconds since 1970, the end exclusive."""

    day: date
    from_s: int
    to_s: int


def site_and_devices(
    session: Session, site_code: str, device_code: str | None
) -> tuple[Site, dict[int, str]]:
    """Return a site and the codes of its devices by row number, or of the one that is named.

    Raises
    ------
    NotFound
        If there is no such site, or it has no such device.
    """
    site = session.scalars(select(Site).where(Site.code == site_code)).first()
    if site is None:
        raise NotFound(f"there is no site {site_code[:100]!r}; /v1/sites has all of them")
    query = (
        select(Device.id, Device.device_id)
        .join(Meter, Meter.device_id == Device.id)
        .where(Meter.site_id == site.id)
        .order_by(Device.id)
    )
    devices = {number: code for number, code in session.execute(query)}
    if device_code is not None:
        devices = {number: code for number, code in devices.items() if code == device_code}
        if not devices:
            raise NotFound(f"site {site.code!r} has no device {device_code[:100]!r}")
    return site, devices


def first_seconds(session: Session, device_ids: Collection[int]) -> dict[int, int]:
    """Return when the first reading of each device begins, in seconds since 1970, by row number; none without any."""
    query = select(Meter.id, Meter.device_id).where(Meter.device_id.in_(device_ids))
    devices = {meter_id: device_id for meter_id, device_id in session.execute(query)}
    of, at = MeterReading.meter_id, MeterReading.start_s
    found = ends_among(session, Meter.id, devices, of, at)
    return {devices[meter_id]: first_s for meter_id, (first_s, _) in found.items()}


def hours_of(period_s: tuple[int, int], first_s: int | None) -> tuple[int, int]:
    """Return from and before which second the hours of UTC begin that count in a period.

    An hour counts where it begins. Where legal time is not whole hours from UTC, the hour with the meter's first
    reading may begin before the reading's period: it counts there all the same, as nothing else is in it.

    Parameters
    ----------
    period_s
        The period's seconds since 1970, the end exclusive.
    first_s
        When the meter's first reading begins; None: not known.
    """
    from_s, to_s = period_s
    if first_s is None or first_s < from_s:
        return from_s, to_s
    if first_s >= to_s:
        return from_s, from_s
    return min(from_s, first_s - first_s % HOUR_S), to_s


def hours_together(
    period_s: tuple[int, int], device_ids: Iterable[int], firsts: Mapping[int, int]
) -> dict[tuple[int, int], list[int]]:
    """Return devices by the hours that count in a period, as ``hours_of`` has them; without those of no hour.

    Parameters
    ----------
    period_s
        The period's seconds since 1970, the end exclusive.
    firsts
        When the first reading of devices begins; where a device is not among them, it is not known.
    """
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for device_id in device_ids:
        from_s, to_s = hours_of(period_s, firsts.get(device_id))
        if from_s < to_s:
            found[from_s, to_s].append(device_id)
    return found


def kwh_of(table: Any) -> Any:
    """Return the column of a table of hours, ``EnergyProduction`` or ``EnergyConsumption``, that has their kWh."""
    return table.production if table is EnergyProduction else table.consumption


@cache
def sums_of_hours(table: Any, periods: int, *, by_device: bool) -> Any:
    """Return the query of the kWh that ``device_ids`` have in periods: the place of each, the device, and the sum.

    Each period is looked for by itself, as one range of an index. To make the statement takes longer than to ask it.

    Parameters
    ----------
    periods
        How many; ``bounds_of`` has the values of their bounds.
    by_device
        Whether each device has a sum of its own; without it there is no column of devices either.
    """
    ids: Any = bindparam("device_ids", expanding=True)
    by = (table.device_id,) if by_device else ()
    return union_all(
        *(
            select(literal_column(str(place)), *by, func.sum(kwh_of(table)))
            .where(
                table.device_id.in_(ids),
                table.recorded_at >= bindparam(f"since_{place}"),
                table.recorded_at < bindparam(f"before_{place}"),
            )
            .group_by(*by)
            for place in range(periods)
        )
    )


def bounds_of(periods_s: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """Return the bounds of periods, in seconds since 1970, the end exclusive, as ``sums_of_hours`` takes them."""
    bounds: dict[str, Any] = {}
    for place, (from_s, to_s) in enumerate(periods_s):
        bounds |= {f"since_{place}": utc_of(from_s), f"before_{place}": utc_of(to_s)}
    return bounds


def clipped(
    start: date | None, end: date | None, ends_s: Iterable[int], where: ZoneInfo
) -> tuple[date, date] | None:
    """Return the legal days that are asked for and hold anything, the end exclusive; None: none do.

    Parameters
    ----------
    start, end
        What was asked for; None is open.
    ends_s
        Seconds of what there is: the first and the last are among them.

    Raises
    ------
    BadInput
        If the end is not after the start.
    """
    if start is not None and end is not None and start >= end:
        raise BadInput(
            f"the period from {start} to {end} is empty: the end is exclusive and comes later",
            code="empty-period",
        )
    days = [legal_day(second, where) for second in ends_s]
    if not days:
        return None
    first, last = min(days), max(days) + timedelta(days=1)
    first, last = max(start or first, first), min(end or last, last)
    return (first, last) if first < last else None


def legal_days(
    days: tuple[date, date] | None, where: ZoneInfo, *, newest_first: bool
) -> Iterator[LegalPeriod]:
    """Yield legal days; a date that the zone left out (Samoa's 30 December 2011) is none."""
    if days is None:
        return
    count = (days[1] - days[0]).days
    for number in reversed(range(count)) if newest_first else range(count):
        day = days[0] + timedelta(days=number)
        from_s, to_s = legal_day_start_s(day, where), legal_day_end_s(day, where)
        if from_s < to_s:
            yield LegalPeriod(day, from_s, to_s)


def legal_months(
    days: tuple[date, date] | None, where: ZoneInfo, *, newest_first: bool
) -> Iterator[LegalPeriod]:
    """Yield legal months, the first and the last cut to the days."""
    if days is None:
        return
    low, high = month_number(days[0]), month_number(days[1] - timedelta(days=1))
    months = range(low, high + 1)
    for number in reversed(months) if newest_first else months:
        first, following = (max(first_day(number), days[0]), min(first_day(number + 1), days[1]))
        yield LegalPeriod(
            first, legal_day_start_s(first, where), legal_day_start_s(following, where)
        )


def legal_hours(
    days: tuple[date, date] | None, where: ZoneInfo, *, newest_first: bool
) -> Iterator[LegalPeriod]:
    """Yield the hours of legal days, counted from midnight: 23 or 25 when the clocks change."""
    for day in legal_days(days, where, newest_first=newest_first):
        starts = range(day.from_s, day.to_s, HOUR_S)
        for start in reversed(starts) if newest_first else starts:
            yield LegalPeriod(day.day, start, min(start + HOUR_S, day.to_s))


def month_number(day: date) -> int:
    """Return the month of a day, counted from the year 0."""
    return 12 * day.year + day.month - 1


def first_day(month: int) -> date:
    """Return the first day of a month, by its number."""
    return date(month // 12, month % 12 + 1, 1)
