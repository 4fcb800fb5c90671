"""What the customer's tables show of the readings: energy by the hour, emissions by the day.

Both are derived, and computed anew from ``meter_readings`` for every day that an import touched.
Hours are of UTC, days are legal days of the site. A reading of an hour or less belongs to the hour and the
day in which it begins; a longer one is spread over them evenly, since nothing says when in it the
energy came. Energy is rounded half away from zero to 0.001 kWh and emissions to 0.000001 t: these tables are
for looking at, and nothing is credited from them. What is emitted, and by which factor, stands in ``inventory``.

What came after its period was issued counts here all the same, judged with all rows of its slot: these books are
never issued, and an import meter whose file comes late has been drawing.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Any, cast

from sqlalchemy import Column, Table
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.bulk import decimals, time_text, time_texts
from ledger.models import EnergyConsumption, EnergyProduction, MeterSeries, Site
from ledger.models.sites import SourceKind
from ledger.readings.inventory import Inventory, clear, replace_rows
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.store import fetch
from ledger.reductions.quality import judge_slot, stored
from ledger.reductions.records import USED, Quality, Role
from ledger.reductions.registers import judge_interval
from ledger.reductions.zones import legal_days, zone
from ledger.units import DAY_S, HOUR_S

UNIT = "kWh"
_RUN_DAYS = 31
"""Days that are read at once, so that memory stays flat over years."""
SCALE = 36
_KWH = HOUR_S * 10**SCALE
"""Energy is summed in units of 1/_KWH kWh: a whole number for every reading that can be stored."""

_SELECT = (
    "SELECT start_s, duration_s, kind, value_digits, value_scale FROM meter_readings "
    "WHERE meter_id = ? AND start_s >= ? AND start_s < ? AND quality = 'used' ORDER BY start_s"
)
_LATE = (
    "SELECT start_s, duration_s, kind, value_digits, value_scale, text, quality, reason FROM meter_readings "
    "WHERE meter_id = ? AND start_s IN (SELECT start_s FROM meter_readings WHERE meter_id = ? AND start_s >= ? "
    "AND start_s < ? AND quality = 'late') ORDER BY start_s, duration_s, text"
)
_STUCK = stored(Quality.STUCK)
Counted = tuple[int, int, str, int, int]
"""Start, length in seconds, kind, digits and scale of a reading."""
Sums = dict[int, list[int | Fraction]]
"""Positive and negative energy by hour or day, in units of 1/_KWH kWh."""


@dataclass(frozen=True)
class Shown:
    """What the tables hold of one meter for some days, as its readings give it.

    Parameters
    ----------
    hours, days
        The time that hours, and that whole legal days are of: seconds since 1970, the end exclusive.
    energy
        For each column of energy: by the first second of the hour, thousandths of a kWh.
    emissions
        Rows of ``carbon_emissions``.
    """

    hours: tuple[int, int]
    days: tuple[int, int]
    energy: Sequence[tuple[Column[Decimal], Mapping[int, int]]]
    emissions: Sequence[Mapping[str, Any]]


def refresh(db: Database, session: Session, site: Site, meter: MeterState) -> None:
    """Compute energy and emissions of a meter anew for the days that were touched."""
    for shown in shown_by_readings(db, session, site, meter):
        _write(db, session, meter, shown)
    meter.touched_days.clear()


def shown_by_readings(
    db: Database, session: Session, site: Site, meter: MeterState
) -> Iterator[Shown]:
    """Yield what the tables should hold of a meter for the days that were touched, a month at a time.

    Legal days begin at other hours than days of UTC: where one month ends and the next begins, both have the legal day
    between them, whole.
    """
    where = zone(site.time_zone)
    book = Inventory(session, site, meter)
    series = session.get(MeterSeries, meter.id)
    longest_s = _longest_s(db, session, series)
    register = series is not None and series.kind == SourceKind.COUNTER
    for first, end in runs_of_days(meter.touched_days):
        from_s, to_s = first * DAY_S, end * DAY_S
        days = legal_days(from_s, to_s, where)
        least_s, most_s = min(from_s, days[0][1]) - longest_s, max(to_s, days[-1][1])
        rows = _counted(db, session, meter, (least_s, most_s), register=register)
        hours, by_day = _summed(rows, (from_s, to_s), [start for _, start in days])
        yield _shown(book, meter, (from_s, to_s), hours, days, by_day)


def write_days(
    db: Database,
    session: Session,
    book: Inventory,
    meter: MeterState,
    days: list[tuple[date, int]],
    hours: Sums,
) -> None:
    """Write energy and emissions of whole legal days that begin with an hour.

    Parameters
    ----------
    book
        The meter's inventory.
    days
        The days in order and the day after the last, each with its first second.
    hours
        All energy of these days.
    """
    starts = [start for _, start in days]
    by_day: Sums = {}
    for hour, sums in hours.items():
        total = by_day.setdefault(bisect_right(starts, hour * HOUR_S) - 1, [0, 0])
        total[0] += sums[0]
        total[1] += sums[1]
    _write(db, session, meter, _shown(book, meter, (starts[0], starts[-1]), hours, days, by_day))


def _shown(
    book: Inventory,
    meter: MeterState,
    hours_range: tuple[int, int],
    hours: Sums,
    days: list[tuple[date, int]],
    by_day: Sums,
) -> Shown:
    quantities = {
        days[place][1]: (Fraction(sums[0], _KWH), Fraction(sums[1], _KWH))
        for place, sums in by_day.items()
    }
    days_range = days[0][1], days[-1][1]
    return Shown(hours_range, days_range, _energy(meter, hours), book.rows(quantities))


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


def _longest_s(db: Database, session: Session, series: MeterSeries | None) -> int:
    """Return how long a reading of a meter may be; 0 when none is longer than an hour."""
    if series is None or (series.kind != SourceKind.COUNTER and series.interval_s <= HOUR_S):
        return 0
    sql = "SELECT MAX(duration_s) FROM meter_readings WHERE meter_id = ?"
    ((longest_s,),) = fetch(db, session, sql, (series.meter_id,))
    return longest_s or 0


def _counted(
    db: Database,
    session: Session,
    meter: MeterState,
    period: tuple[int, int],
    *,
    register: bool,
) -> Iterator[Counted]:
    """Yield the readings that count and begin in a time: those in use, and what came late in their place."""
    late: dict[int, list[Counted]] = {}
    if any(first_s < period[1] and period[0] < end_s for first_s, end_s in meter.issued):
        rows = fetch(db, session, _LATE, (meter.id, meter.id, *period))
        late = _late_differences(rows, meter) if register else _late_slots(rows, meter)
    for row in fetch(db, session, _SELECT, (meter.id, *period)):
        if register or row[0] not in late:
            yield row
    for chosen in late.values():
        yield from chosen


def _late_slots(rows: Iterable[Sequence[Any]], meter: MeterState) -> dict[int, list[Counted]]:
    """Return what counts in each slot of which a row came late, as if all its rows had come together."""
    found: dict[int, list[Counted]] = {}
    for start_s, group in groupby(rows, key=lambda row: row[0]):
        slot = list(group)
        values = [(row[5], None if row[3] is None else (row[3], row[4])) for row in slot]
        qualities, _ = judge_slot(values, meter.role, meter.limits, slot[0][1])
        found[start_s] = [
            (row[0], row[1], row[2], row[3], row[4])
            for row, quality in zip(slot, qualities, strict=True)
            if quality in USED and (row[6], row[7]) != _STUCK
        ]
    return found


def _late_differences(rows: Iterable[Sequence[Any]], meter: MeterState) -> dict[int, list[Counted]]:
    """Return the differences of a register that came late, the finest that there are: none lies over another.

    None lies over one that was in time either: that is not split any more.
    """
    found: dict[int, list[Counted]] = {}
    known_until = 0
    for start_s, duration_s, kind, digits, scale, _, quality, _ in rows:
        if quality != "late" or digits is None or start_s < known_until:
            continue
        known_until = start_s + duration_s
        if judge_interval(digits, scale, meter.limits, duration_s) is Quality.USED:
            found[start_s] = [(start_s, duration_s, kind, digits, scale)]
    return found


def _summed(
    rows: Iterable[Counted], hours_range: tuple[int, int], starts: list[int]
) -> tuple[Sums, Sums]:
    """Return the sums by hour and by day; ``starts`` are the first seconds of the days, and of the day after."""
    hours: Sums = {}
    by_day: Sums = {}
    unit: dict[tuple[int, str, int], int] = {}
    for start_s, duration_s, kind, digits, scale in rows:
        factor = unit.get((scale, kind, duration_s))
        if factor is None:
            seconds = duration_s if kind == "power" else HOUR_S
            factor = unit[scale, kind, duration_s] = 10 ** (SCALE - scale) * seconds
        energy = digits * factor
        if duration_s > HOUR_S:
            _spread(energy, (start_s, start_s + duration_s), hours, hours_range, by_day, starts)
            continue
        if hours_range[0] <= start_s < hours_range[1]:
            hours.setdefault(start_s // HOUR_S, [0, 0])[energy < 0] += abs(energy)
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
    for hour in range(first // HOUR_S, -(-last // HOUR_S)):
        seconds = min(last, (hour + 1) * HOUR_S) - max(first, hour * HOUR_S)
        hours.setdefault(hour, [0, 0])[sign] += share * seconds
    for day in range(len(starts) - 1):
        seconds = min(end_s, starts[day + 1]) - max(start_s, starts[day])
        if seconds > 0:
            by_day.setdefault(day, [0, 0])[sign] += share * seconds


def energy_columns(role: Role) -> list[tuple[Column[Decimal], int, bool]]:
    """Return the columns of energy that meters of a role fill.

    Returns
    -------
    list
        Each with the sums that it shows (0: the positive ones, 1: the negative ones), and whether hours without
        any have a row. A supplying meter consumes what it draws. Fuel is no energy of a meter, and what a battery gives
        back was produced before.
    """
    production = cast("Table", EnergyProduction.__table__).c.production
    consumption = cast("Table", EnergyConsumption.__table__).c.consumption
    if role in (Role.FUEL, Role.STORAGE):
        return []
    if role.supplies:
        return [(production, 0, True), (consumption, 1, False)]
    return [(consumption, 0, True)]


def _energy(meter: MeterState, hours: Sums) -> list[tuple[Column[Decimal], Mapping[int, int]]]:
    shown: list[tuple[Column[Decimal], Mapping[int, int]]] = []
    for column, sign, zeros in energy_columns(meter.role):
        chosen = {
            hour * HOUR_S: _watt_hours(sums[sign])
            for hour, sums in hours.items()
            if zeros or sums[sign]
        }
        chosen = {
            at_s: number for at_s, number in chosen.items() if meter.fits(column, at_s, number)
        }
        shown.append((column, chosen))
    return shown


def _write(db: Database, session: Session, meter: MeterState, shown: Shown) -> None:
    """Replace what the tables hold of some days."""
    now = time_text(int(time.time()))
    for column, hours in shown.energy:
        clear(session, column.table, meter.device_id, *shown.hours)
        if hours:
            db.insert_columns(
                session,
                column.table.name,
                {
                    column.name: decimals(db.dialect, column)(list(hours.values())),
                    "recorded_at": time_texts(hours),
                },
                {"device_id": meter.device_id, "unit": UNIT, "created_at": now},
            )
    replace_rows(session, meter.device_id, shown.days, shown.emissions)


def _watt_hours(energy: int | Fraction) -> int:
    """Return a sum in thousandths of a kWh, rounded half away from zero; sums are never negative."""
    unit = _KWH // 1000
    return int((2 * energy + unit) // (2 * unit))
