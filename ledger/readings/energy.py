"""What the customer's tables show of the readings: energy by the hour, emissions by the day.

Both are derived, and computed anew from ``meter_readings`` for every day that an import touched.
Hours are of UTC, days are legal days of the site. A reading of an hour or less belongs to the hour and the
day in which it begins; a longer one is spread over them evenly, since nothing says when in it the
energy came. Energy is rounded half away from zero to 0.001 kWh
and emissions to 0.000001 t: these tables are for looking at, and nothing is credited from them.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, Table, delete, insert
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.bulk import decimals, time_text, time_texts
from ledger.models import (
    CarbonEmission,
    EmissionFactor,
    EnergyConsumption,
    EnergyProduction,
    MeterSeries,
    Site,
)
from ledger.models.evidence import SourceKind
from ledger.readings.store import MeterState, fetch
from ledger.readings.times import legal_day, legal_day_start_s, utc_of, zone
from ledger.reductions.arithmetic import FACTOR_UNITS
from ledger.units import decimal_half_up

UNIT = "kWh"
METHOD = "location_based"
_DAY_S, _HOUR_S = 86400, 3600
_RUN_DAYS = 31
"""Days that are read at once, so that memory stays flat over years."""
SCALE = 36
_KWH = _HOUR_S * 10**SCALE
"""Energy is summed in units of 1/_KWH kWh: a whole number for every reading that can be stored."""

_SELECT = (
    "SELECT start_s, duration_s, kind, value_digits, value_scale FROM meter_readings "
    "WHERE meter_id = ? AND start_s >= ? AND start_s < ? AND quality = 'used' ORDER BY start_s"
)
Sums = dict[int, list[int | Fraction]]
"""Positive and negative energy by hour or day, in units of 1/_KWH kWh."""


def refresh(db: Database, session: Session, site: Site, meter: MeterState) -> None:
    """Compute energy and emissions of a meter anew for the days that were touched."""
    where = zone(site.time_zone)
    factor = inventory_factor(session, site)
    longest_s = _longest_s(db, session, meter.id)
    for first, end in runs_of_days(meter.touched_days):
        from_s, to_s = first * _DAY_S, end * _DAY_S
        days = legal_days(from_s, to_s, where)
        hours, by_day = _summed(db, session, meter.id, (from_s, to_s), days, longest_s)
        _write_energy(db, session, meter, hours, from_s, to_s)
        _write_emissions(session, meter, factor, days, by_day)
    meter.touched_days.clear()


def inventory_factor(session: Session, site: Site) -> EmissionFactor | None:
    """Return the factor of the site's inventory, if it has one."""
    if site.inventory_factor_id is None:
        return None
    return session.get(EmissionFactor, site.inventory_factor_id)


def write_days(
    db: Database,
    session: Session,
    meter: MeterState,
    factor: EmissionFactor | None,
    days: list[tuple[date, int]],
    hours: Sums,
) -> None:
    """Write energy and emissions of whole legal days that begin with an hour.

    Parameters
    ----------
    days
        The days in order and the day after the last, each with its first second.
    hours
        All energy of these days.
    """
    starts = [start for _, start in days]
    by_day: Sums = {}
    for hour, sums in hours.items():
        day = bisect_right(starts, hour * _HOUR_S) - 1
        total = by_day.setdefault(day, [0, 0])
        total[0] += sums[0]
        total[1] += sums[1]
    _write_energy(db, session, meter, hours, starts[0], starts[-1])
    _write_emissions(session, meter, factor, days, by_day)


def runs_of_days(days: set[int]) -> Iterator[tuple[int, int]]:
    """Yield runs of consecutive days, the end exclusive, of a length that is read at once."""
    first = last = None
    for day in sorted(days):
        if first is None or last is None:
            first = day
        elif day > last + 1 or day - first >= _RUN_DAYS:
            yield first, last + 1
            first = day
        last = day
    if first is not None and last is not None:
        yield first, last + 1


def legal_days(from_s: int, to_s: int, where: ZoneInfo) -> list[tuple[date, int]]:
    """Return the legal days that a range touches and one more, each with its first second."""
    day, last = legal_day(from_s, where), legal_day(to_s - 1, where)
    days = []
    while day <= last + timedelta(days=1):
        days.append((day, legal_day_start_s(day, where)))
        day += timedelta(days=1)
    return days


def _longest_s(db: Database, session: Session, meter_id: int) -> int:
    """Return how long a reading of the meter may be; 0 when none is longer than an hour."""
    series = session.get(MeterSeries, meter_id)
    if series is None or (series.kind != SourceKind.COUNTER and series.interval_s <= _HOUR_S):
        return 0
    sql = "SELECT MAX(duration_s) FROM meter_readings WHERE meter_id = ?"
    ((longest_s,),) = fetch(db, session, sql, (meter_id,))
    return longest_s or 0


def _summed(
    db: Database,
    session: Session,
    meter_id: int,
    hours_range: tuple[int, int],
    days: list[tuple[date, int]],
    longest_s: int,
) -> tuple[Sums, Sums]:
    starts = [start for _, start in days]
    from_s, to_s = min(hours_range[0], starts[0]), max(hours_range[1], starts[-1])
    hours: Sums = {}
    by_day: Sums = {}
    unit: dict[tuple[int, str, int], int] = {}
    for start_s, duration_s, kind, digits, scale in fetch(
        db, session, _SELECT, (meter_id, from_s - longest_s, to_s)
    ):
        factor = unit.get((scale, kind, duration_s))
        if factor is None:
            seconds = duration_s if kind == "power" else _HOUR_S
            factor = unit[scale, kind, duration_s] = 10 ** (SCALE - scale) * seconds
        energy = digits * factor
        if duration_s > _HOUR_S:
            _spread(energy, (start_s, start_s + duration_s), hours, hours_range, by_day, starts)
            continue
        if hours_range[0] <= start_s < hours_range[1]:
            hours.setdefault(start_s // _HOUR_S, [0, 0])[energy < 0] += abs(energy)
        if starts[0] <= start_s < starts[-1]:
            day = bisect_right(starts, start_s) - 1
            by_day.setdefault(day, [0, 0])[energy < 0] += abs(energy)
    return hours, by_day


def _spread(
    energy: int,
    interval: tuple[int, int],
    hours: Sums,
    hours_range: tuple[int, int],
    by_day: Sums,
    starts: list[int],
) -> None:
    """Share the energy of a long interval out over its hours and days, in proportion to time."""
    start_s, end_s = interval
    sign, share = energy < 0, Fraction(abs(energy), end_s - start_s)
    first, last = max(start_s, hours_range[0]), min(end_s, hours_range[1])
    for hour in range(first // _HOUR_S, -(-last // _HOUR_S)):
        seconds = min(last, (hour + 1) * _HOUR_S) - max(first, hour * _HOUR_S)
        hours.setdefault(hour, [0, 0])[sign] += share * seconds
    for day in range(len(starts) - 1):
        seconds = min(end_s, starts[day + 1]) - max(start_s, starts[day])
        if seconds > 0:
            by_day.setdefault(day, [0, 0])[sign] += share * seconds


def _write_energy(
    db: Database, session: Session, meter: MeterState, hours: Sums, from_s: int, to_s: int
) -> None:
    """Replace the hours of a range. A supplying meter consumes what it draws."""
    tables: list[tuple[Any, Any, int, bool]] = [(EnergyConsumption, "consumption", 0, True)]
    if meter.role.supplies:
        tables = [
            (EnergyProduction, "production", 0, True),
            (EnergyConsumption, "consumption", 1, False),
        ]
    now = time_text(int(time.time()))
    for model, column, sign, zeros in tables:
        table = model.__table__
        _clear(session, table, meter.device_id, from_s, to_s)
        chosen = {hour: sums[sign] for hour, sums in hours.items() if zeros or sums[sign]}
        values = decimals(db.dialect, table.c[column])(list(map(_watt_hours, chosen.values())))
        times = time_texts(hour * _HOUR_S for hour in chosen)
        db.insert_many(
            session,
            table.name,
            (column, "recorded_at"),
            zip(values, times, strict=True),
            {"device_id": meter.device_id, "unit": UNIT, "created_at": now},
        )


def _write_emissions(
    session: Session,
    meter: MeterState,
    factor: EmissionFactor | None,
    days: list[tuple[date, int]],
    by_day: Sums,
) -> None:
    """Replace the emissions of the energy that a device drew, by legal day."""
    table = CarbonEmission.__table__
    assert isinstance(table, Table)
    _clear(session, table, meter.device_id, days[0][1], days[-1][1])
    if factor is None:
        return
    kg_per_kwh = Fraction(factor.value) * FACTOR_UNITS[factor.unit]
    sign = 1 if meter.role.supplies else 0
    now = datetime.now(UTC)
    rows = []
    for place, sums in by_day.items():
        if not sums[sign]:
            continue
        kwh = Fraction(sums[sign], _KWH)
        rows.append(
            {
                "device_id": meter.device_id,
                "emissions": decimal_half_up(kwh * kg_per_kwh / 1000, 6),
                "calculation_method": METHOD,
                "factors": {
                    "factor": factor.code,
                    "version": factor.version,
                    "value": factor.value,
                    "unit": factor.unit,
                    "consumption_kwh": str(decimal_half_up(kwh, 9)),
                },
                "recorded_at": utc_of(days[place][1]),
                "created_at": now,
            }
        )
    if rows:
        session.execute(insert(table), rows)


def _clear(session: Session, table: Table, device_id: int, from_s: int, to_s: int) -> None:
    recorded_at: Column[datetime] = table.c.recorded_at
    session.execute(
        delete(table).where(
            table.c.device_id == device_id,
            recorded_at >= utc_of(from_s),
            recorded_at < utc_of(to_s),
        )
    )


def _watt_hours(energy: int | Fraction) -> int:
    """Return a sum in thousandths of a kWh, rounded half away from zero; sums are never negative."""
    unit = _KWH // 1000
    return int((2 * energy + unit) // (2 * unit))
