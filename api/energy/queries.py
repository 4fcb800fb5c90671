"""What meters counted, by hour, day or month of legal time. Reads only.

A reading belongs to the period in which it begins. Sums are exact: whole digits are added, by scale and
length, and divided once at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import case, func, literal, select
from sqlalchemy.orm import Session

from api.energy.schemas import (
    EnergyItem,
    EnergyPage,
    EnergyParameters,
    EnergyPeriod,
    ReadingCounts,
)
from api.finality import ChainView
from api.pagination import CURSOR_SECONDS_MAX, Order
from api.sites.periods import (
    LegalPeriod,
    clipped,
    ends_of,
    first_second,
    hours_of,
    legal_days,
    legal_hours,
    legal_months,
    site_and_devices,
)
from ledger.models import (
    EnergyConsumption,
    EnergyProduction,
    Meter,
    MeterReading,
    MeterSeries,
)
from ledger.models.readings import ReadingKind, ReadingQuality
from ledger.models.sites import SourceKind
from ledger.reductions.zones import legal_day, legal_day_start_s, utc_of, zone
from ledger.units import DAY_S, HOUR_S, decimal_floor

DECIMALS = 9
_PERIODS = {
    EnergyPeriod.HOUR: legal_hours,
    EnergyPeriod.DAY: legal_days,
    EnergyPeriod.MONTH: legal_months,
}
_UNITS = {ReadingKind.FUEL_MASS: "kg", ReadingKind.FUEL_VOLUME: "l"}
_HALF = 10**9
"""On SQLite digits are added in two halves: the sum of many 18-digit numbers fits no integer of its.
MariaDB adds whole numbers as decimals."""


@dataclass(frozen=True)
class _Metered:
    """A meter with its device and its series."""

    meter: Meter
    device: str
    series: MeterSeries | None


def list_energy(session: Session, view: ChainView, parameters: EnergyParameters) -> EnergyPage:
    """Return one page of what the meters of a site counted.

    Raises
    ------
    NotFound
        If there is no such site or device.
    BadInput
        If the period is empty, or the cursor cannot be used.
    """
    site, devices = site_and_devices(session, parameters.site, parameters.device)
    where = zone(site.time_zone)
    meters = _meters(session, devices)
    after = parameters.after_key(2, CURSOR_SECONDS_MAX)
    newest_first = parameters.order is Order.DESC
    until_s = None if parameters.end is not None else int(time.time()) + DAY_S
    days = clipped(parameters.start, parameters.end, _ends(session, meters, until_s), where)
    if after is not None and days is not None and parameters.by is not EnergyPeriod.MONTH:
        day = legal_day(after[0], where)  # what was seen is not counted through again
        low, high = days
        days = (low, min(high, day + timedelta(days=1))) if newest_first else (max(low, day), high)
    wanted: list[tuple[LegalPeriod, _Metered]] = []
    for period in _PERIODS[parameters.by](days, where, newest_first=newest_first):
        for metered in reversed(meters) if newest_first else meters:
            place = _start_s(parameters.by, period, where), metered.meter.id
            if after is None or (place < after if newest_first else place > after):
                wanted.append((period, metered))
        if len(wanted) > parameters.limit:
            break
    more = len(wanted) > parameters.limit
    wanted = wanted[: parameters.limit]
    last = (_start_s(parameters.by, wanted[-1][0], where), wanted[-1][1].meter.id) if more else None
    return EnergyPage(
        site=site.code,
        time_zone=site.time_zone,
        items=[_item(session, parameters.by, where, *each) for each in wanted],
        next_cursor=parameters.cursor_after(*last) if last is not None else None,
        **view.fields(),
    )


def waits_for_time(session: Session, parameters: EnergyParameters) -> bool:
    """Return whether the answer becomes another one by the clock alone: what lies in the future is left out.

    Raises
    ------
    NotFound
        If there is no such site or device.
    """
    if parameters.end is not None:
        return False
    _, devices = site_and_devices(session, parameters.site, parameters.device)
    until_s = int(time.time()) + DAY_S
    at = select(func.max(MeterReading.start_s))
    each = (at.where(MeterReading.meter_id == of.meter.id) for of in _meters(session, devices))
    return any((session.scalar(query) or 0) >= until_s for query in each)


def _start_s(by: EnergyPeriod, period: LegalPeriod, where: ZoneInfo) -> int:
    """Return what places a period in the list, seconds since 1970.

    A month that is cut to the first reading is placed as a whole one: an earlier reading may come between two pages.
    """
    if by is EnergyPeriod.MONTH:
        return max(0, legal_day_start_s(period.day.replace(day=1), where))
    return period.from_s


def _meters(session: Session, devices: dict[int, str]) -> list[_Metered]:
    query = (
        select(Meter, MeterSeries)
        .outerjoin(MeterSeries, MeterSeries.meter_id == Meter.id)
        .where(Meter.device_id.in_(devices))
        .order_by(Meter.id)
    )
    return [
        _Metered(meter, devices[meter.device_id], series)
        for meter, series in session.execute(query)
    ]


def _ends(session: Session, meters: Sequence[_Metered], until_s: int | None) -> Iterator[int]:
    """Yield the seconds of the first and of the last reading of each meter; of those until a time, where there is one.

    One mistyped year in a meter file would otherwise make decades of periods without a reading.
    """
    for metered in meters:
        at = MeterReading.start_s
        query = select(at).where(MeterReading.meter_id == metered.meter.id)
        if until_s is not None:
            query = query.where(at < until_s)
        yield from ends_of(session, query, at)


def _item(
    session: Session, by: EnergyPeriod, where: ZoneInfo, period: LegalPeriod, metered: _Metered
) -> EnergyItem:
    sums = {True: Fraction(0), False: Fraction(0)}
    counts = dict.fromkeys(ReadingQuality, 0)
    conflicts, unit = 0, "kWh"
    for row in session.execute(_readings(session, metered.meter.id, period)):
        counts[row.quality] += row.rows
        if row.quality is not ReadingQuality.USED:
            continue
        conflicts += row.rows if row.conflict else 0
        unit = _UNITS.get(row.kind, unit)
        if row.value_scale is not None:
            factor = Fraction(1, 10**row.value_scale)
            if row.kind is ReadingKind.POWER:
                factor *= Fraction(row.duration_s, HOUR_S)
            for positive, high, low in (
                (True, row.high, row.low),
                (False, row.high_below, row.low_below),
            ):
                sums[positive] += (int(high or 0) * _HALF + int(low or 0)) * factor
    return EnergyItem(
        period=_name(by, where, period),
        start=utc_of(period.from_s),
        end=utc_of(period.to_s),
        device=metered.device,
        role=metered.meter.role,
        unit=unit,
        positive=decimal_floor(sums[True], DECIMALS),
        negative=decimal_floor(sums[False], DECIMALS),
        production_kwh=_stored(session, EnergyProduction, metered, period),
        consumption_kwh=_stored(session, EnergyConsumption, metered, period),
        readings=ReadingCounts(
            expected=_expected(metered.series, period),
            used=counts[ReadingQuality.USED],
            conflict=conflicts,
            missing=counts[ReadingQuality.MISSING],
            outlier=counts[ReadingQuality.OUTLIER],
            superseded=counts[ReadingQuality.SUPERSEDED],
            late=counts[ReadingQuality.LATE],
        ),
    )


def _readings(session: Session, meter_id: int, period: LegalPeriod) -> Any:
    """Return the query of sums of digits, by what they are of."""
    row = MeterReading
    kinds = (row.quality, row.conflict, row.kind, row.duration_s, row.value_scale)
    digits = row.value_digits
    sqlite = session.get_bind().dialect.name == "sqlite"

    def halves(sign: int, name: str) -> tuple[Any, Any]:
        value = digits if sign > 0 else -digits
        high, low = (value // _HALF, value % _HALF) if sqlite else (literal(0), value)
        return tuple(  # type: ignore[return-value]
            func.sum(case((value > 0, part), else_=0)).label(label + name)
            for part, label in ((high, "high"), (low, "low"))
        )

    return (
        select(*kinds, func.count().label("rows"), *halves(1, ""), *halves(-1, "_below"))
        .where(row.meter_id == meter_id, row.start_s >= period.from_s, row.start_s < period.to_s)
        .group_by(*kinds)
    )


def _stored(session: Session, table: Any, metered: _Metered, period: LegalPeriod) -> Decimal:
    value = table.production if table is EnergyProduction else table.consumption
    from_s, to_s = period.from_s, period.to_s
    if from_s % HOUR_S or to_s % HOUR_S:
        from_s, to_s = hours_of((from_s, to_s), first_second(session, metered.meter.id))
    query = select(func.sum(value)).where(
        table.device_id == metered.meter.device_id,
        table.recorded_at >= utc_of(from_s),
        table.recorded_at < utc_of(to_s),
    )
    return session.scalar(query) or Decimal("0.000")


def _expected(series: MeterSeries | None, period: LegalPeriod) -> int | None:
    if series is None or series.kind == SourceKind.COUNTER.value:
        return None
    length = period.to_s - period.from_s
    return length // series.interval_s if length >= series.interval_s else None


def _name(by: EnergyPeriod, where: ZoneInfo, period: LegalPeriod) -> str:
    if by is EnergyPeriod.HOUR:
        return utc_of(period.from_s).astimezone(where).isoformat(timespec="minutes")
    text = period.day.isoformat()
    return text[:7] if by is EnergyPeriod.MONTH else text
