"""What meters counted, by hour, day or month of legal time. Reads only.

A reading belongs to the period in which it begins. Sums are exact: whole digits are added, by scale and
length, and divided once at the end.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import chain, islice
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, bindparam, case, exists, func, literal, select, union_all
from sqlalchemy.orm import Session

from api.energy.schemas import EnergyItem, EnergyPage, EnergyParameters, EnergyPeriod, ReadingCounts
from api.finality import ChainView
from api.pagination import CURSOR_SECONDS_MAX, Order
from api.sites.periods import (
    LegalPeriod,
    bounds_of,
    clipped,
    first_seconds,
    hours_together,
    kwh_of,
    legal_days,
    legal_hours,
    legal_months,
    site_and_devices,
    sums_of_hours,
)
from ledger.db.tables import ends_among
from ledger.models import EnergyConsumption, EnergyProduction, Meter, MeterReading, MeterSeries
from ledger.models.readings import ReadingKind, ReadingQuality
from ledger.models.sites import SourceKind
from ledger.readings.periods.in_service import in_service_s
from ledger.reductions.grids import slots_of
from ledger.reductions.zones import legal_day, legal_day_start_s, utc_of, zone
from ledger.units import DAY_S, HOUR_S, decimal_floor

DECIMALS = 9
_PERIODS = {
    EnergyPeriod.HOUR: legal_hours,
    EnergyPeriod.DAY: legal_days,
    EnergyPeriod.MONTH: legal_months,
}
_UNITS = {ReadingKind.FUEL_MASS: "kg", ReadingKind.FUEL_VOLUME: "L"}
_HALF = 10**9
"""On SQLite digits are added in two halves: the sum of many 18-digit numbers fits no integer of its.
MariaDB adds whole numbers as decimals."""
_NOTHING = Decimal("0.000")
_METERS_AT_ONCE = 400
_RUNS_AT_ONCE = 24
"""Of periods, in one statement. With so many meters each it has a third of the values that SQLite takes."""
_DAYS_MAX_S = 2 * DAY_S
"""Beyond which the hours of a period are added up by the database, also where the next one is as long: months."""


@dataclass(frozen=True)
class _Metered:
    """A meter with its device and its series."""

    meter: Meter
    device: str
    series: MeterSeries | None


@dataclass
class _Found:
    """What the books have for one period of one meter."""

    readings: list[Any] = field(default_factory=list)
    """Sums of digits, by what they are of."""
    kwh: dict[Any, Decimal] = field(default_factory=lambda: defaultdict(lambda: _NOTHING))
    """The hours that a table has, together, by the table."""


_Place = tuple[int, int]


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
    until_s = None if parameters.end is not None else int(time.time()) + DAY_S
    days = clipped(parameters.start, parameters.end, _ends(session, meters, until_s), where)
    wanted = list(islice(_behind(after, parameters, days, where, meters), parameters.limit + 1))
    more = len(wanted) > parameters.limit
    wanted = wanted[: parameters.limit]
    last = _place(parameters.by, *wanted[-1], where) if more else None
    found = _found(session, wanted)
    return EnergyPage(
        site=site.code,
        time_zone=site.time_zone,
        items=[
            _item(found[metered.meter.id, period.from_s], parameters.by, where, period, metered)
            for period, metered in wanted
        ],
        next_cursor=parameters.cursor_after(*last) if last is not None else None,
        **view.fields(),
    )


def _behind(
    after: tuple[int, ...] | None,
    parameters: EnergyParameters,
    days: tuple[date, date] | None,
    where: ZoneInfo,
    meters: Sequence[_Metered],
) -> Iterator[tuple[LegalPeriod, _Metered]]:
    """Yield what comes after a place in the list, in the order that is asked for."""
    newest_first = parameters.order is Order.DESC
    if after is not None and days is not None and parameters.by is not EnergyPeriod.MONTH:
        day = legal_day(after[0], where)  # what was seen is not counted through again
        low, high = days
        days = (low, min(high, day + timedelta(days=1))) if newest_first else (max(low, day), high)
    for period in _PERIODS[parameters.by](days, where, newest_first=newest_first):
        for metered in reversed(meters) if newest_first else meters:
            place = _place(parameters.by, period, metered, where)
            if after is None or (place < after if newest_first else place > after):
                yield period, metered


def waits_for_time(session: Session, site_code: str, device_code: str | None = None) -> bool:
    """Return whether what ends with today changes by the clock alone: readings of days to come are left out.

    Parameters
    ----------
    site_code, device_code
        Whose readings; None: those of all devices of the site.

    Raises
    ------
    NotFound
        If there is no such site or device.
    """
    _, devices = site_and_devices(session, site_code, device_code)
    until_s = int(time.time()) + DAY_S
    meters = [of.meter.id for of in _meters(session, devices)]
    to_come = exists().where(MeterReading.meter_id.in_(meters), MeterReading.start_s >= until_s)
    return bool(session.scalar(select(to_come)))


def _place(
    by: EnergyPeriod, period: LegalPeriod, metered: _Metered, where: ZoneInfo
) -> tuple[int, int]:
    """Return what places a period of a meter in the list: seconds since 1970, number of the meter.

    A month that is cut to the first reading is placed as a whole one: an earlier reading may come between two pages.
    """
    if by is EnergyPeriod.MONTH:
        return max(0, legal_day_start_s(period.day.replace(day=1), where)), metered.meter.id
    return period.from_s, metered.meter.id


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
    at = MeterReading.start_s
    before = [] if until_s is None else [at < until_s]
    numbers = {metered.meter.id for metered in meters}
    found = ends_among(session, Meter.id, numbers, MeterReading.meter_id, at, *before)
    yield from chain.from_iterable(found.values())


def _found(
    session: Session, wanted: Sequence[tuple[LegalPeriod, _Metered]]
) -> dict[_Place, _Found]:
    """Return what the books have for periods of meters, by the meter's number and the second that the period begins in.

    Runs of periods of one length are asked for together, and of many meters: a file of hours has thousands of both, and
    hardly a month is as long as the one before.
    """
    found: dict[_Place, _Found] = defaultdict(_Found)
    dialect = session.get_bind().dialect.name
    firsts = cache(lambda: first_seconds(session, {of.meter.device_id for _, of in wanted}))
    for runs, meters in _runs(wanted):
        numbers = {meter.device_id: meter.id for meter in meters}
        here: dict[str, Any] = {"meter_ids": list(numbers.values())}
        for place, run in enumerate(runs):
            here |= {f"from_s_{place}": run[0].from_s, f"to_s_{place}": run[-1].to_s}
            here[f"length_s_{place}"] = _length_s(run)
        for row in session.execute(_readings(dialect, len(runs)), here):
            found[row.meter_id, row.begin_s].readings.append(row)
        parted = any(run[0].from_s % HOUR_S or _length_s(run) % HOUR_S for run in runs)
        known = firsts() if parted else {}
        for table in (EnergyProduction, EnergyConsumption):
            for device_id, begin_s, kwh in _stored(session, table, runs, numbers, known):
                found[numbers[device_id], begin_s].kwh[table] += kwh
    return found


def _length_s(run: Sequence[LegalPeriod]) -> int:
    return run[0].to_s - run[0].from_s


def _stored(
    session: Session,
    table: Any,
    runs: Sequence[Sequence[LegalPeriod]],
    device_ids: Collection[int],
    firsts: dict[int, int],
) -> Iterator[tuple[int, int, Decimal]]:
    """Yield what a table has of runs of periods: the device, when the period begins, and hours or their sum.

    Parameters
    ----------
    firsts
        As ``hours_together`` takes it.
    """
    alone = defaultdict[tuple[int, ...], list[tuple[int, tuple[int, int]]]](list)
    for run in runs:
        together = hours_together((run[0].from_s, run[-1].to_s), device_ids, firsts)
        for hours_s, some in together.items():
            if len(run) == 1:
                alone[tuple(some)].append((run[0].from_s, hours_s))
            else:
                yield from _by_hour(session, table, run, some, hours_s, firsts)
    for numbers, periods in alone.items():
        here = {"device_ids": numbers} | bounds_of(hours_s for _, hours_s in periods)
        query = sums_of_hours(table, len(periods), by_device=True)
        for place, device_id, kwh in session.execute(query, here):
            yield device_id, periods[place][0], kwh


def _by_hour(
    session: Session,
    table: Any,
    run: Sequence[LegalPeriod],
    device_ids: Sequence[int],
    hours_s: tuple[int, int],
    firsts: dict[int, int],
) -> Iterator[tuple[int, int, Decimal]]:
    from_s, length_s = run[0].from_s, _length_s(run)

    def begin_of(second: int) -> int:
        return second - (second - from_s) % length_s

    here = {"device_ids": device_ids, "since": utc_of(hours_s[0]), "before": utc_of(hours_s[1])}
    for device_id, at, kwh in session.execute(_hours(table), here):
        second, first_s = int(at.timestamp()), firsts.get(device_id, 0)
        if second <= first_s < second + HOUR_S:
            yield device_id, begin_of(first_s), kwh
        elif second >= begin_of(first_s):
            yield device_id, begin_of(second), kwh


_Run = tuple[LegalPeriod, ...]


def _runs(
    wanted: Sequence[tuple[LegalPeriod, _Metered]],
) -> Iterator[tuple[list[_Run], list[Meter]]]:
    """Yield runs of periods that follow each other with one length, and meters of which all of these are wanted."""
    of_meters: dict[int, tuple[Meter, list[LegalPeriod]]] = {}
    for period, metered in wanted:
        of_meters.setdefault(metered.meter.id, (metered.meter, []))[1].append(period)
    together: dict[_Run, list[Meter]] = defaultdict(list)
    for meter, periods in of_meters.values():
        run: list[LegalPeriod] = []
        for period in sorted(periods, key=lambda each: each.from_s):
            follows = (
                run and run[-1].to_s == period.from_s and _length_s(run) == _length_s([period])
            )
            if run and (not follows or _length_s(run) > _DAYS_MAX_S):
                together[tuple(run)].append(meter)
                run = []
            run.append(period)
        together[tuple(run)].append(meter)
    alike: dict[tuple[int, ...], tuple[list[Meter], list[_Run]]] = {}
    for whole, meters in together.items():
        numbers = tuple(meter.id for meter in meters)
        alike.setdefault(numbers, (meters, []))[1].append(whole)
    for meters, runs in alike.values():
        for start in range(0, len(meters), _METERS_AT_ONCE):
            for begin in range(0, len(runs), _RUNS_AT_ONCE):
                yield runs[begin : begin + _RUNS_AT_ONCE], meters[start : start + _METERS_AT_ONCE]


def _item(
    found: _Found, by: EnergyPeriod, where: ZoneInfo, period: LegalPeriod, metered: _Metered
) -> EnergyItem:
    sums = {True: Fraction(0), False: Fraction(0)}
    counts = dict.fromkeys(ReadingQuality, 0)
    conflicts, unit = 0, "kWh"
    for row in found.readings:
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
        production_kwh=found.kwh[EnergyProduction],
        consumption_kwh=found.kwh[EnergyConsumption],
        readings=ReadingCounts(
            expected=_expected(metered, by, where, period),
            used=counts[ReadingQuality.USED],
            conflict=conflicts,
            missing=counts[ReadingQuality.MISSING],
            outlier=counts[ReadingQuality.OUTLIER],
            superseded=counts[ReadingQuality.SUPERSEDED],
            late=counts[ReadingQuality.LATE],
        ),
    )


# Each statement is made once: to make it takes ten times as long as to ask it.


@cache
def _readings(dialect: str, runs: int) -> Any:
    """Return the query of sums of digits, by what they are of and by the period of ``length_s_N`` that they begin in.

    For ``meter_ids`` from ``from_s_N`` to before ``to_s_N``, where N is the place of each run, from 0 on.
    """
    row = MeterReading
    kinds = (row.meter_id, row.quality, row.conflict, row.kind, row.duration_s, row.value_scale)
    digits = row.value_digits
    sqlite = dialect == "sqlite"
    meter_ids: Any = bindparam("meter_ids", expanding=True)

    def halves(sign: int, name: str) -> tuple[Any, Any]:
        value = digits if sign > 0 else -digits
        high, low = (value // _HALF, value % _HALF) if sqlite else (literal(0), value)
        return tuple(  # type: ignore[return-value]
            func.sum(case((value > 0, part), else_=0)).label(label + name)
            for part, label in ((high, "high"), (low, "low"))
        )

    def of_run(place: int) -> Any:
        from_s: Any = bindparam(f"from_s_{place}", type_=Integer)
        length_s: Any = bindparam(f"length_s_{place}", type_=Integer)
        begin_s = (row.start_s - (row.start_s - from_s) % length_s).label("begin_s")
        return (
            select(begin_s, *kinds, *sums)
            .where(
                row.meter_id.in_(meter_ids),
                row.start_s >= from_s,
                row.start_s < bindparam(f"to_s_{place}"),
            )
            .group_by(begin_s, *kinds)
        )

    sums = (func.count().label("rows"), *halves(1, ""), *halves(-1, "_below"))
    return union_all(*map(of_run, range(runs)))


@cache
def _hours(table: Any) -> Any:
    """Return the query of the hours of a table for ``device_ids`` from ``since`` to before ``before``."""
    return select(table.device_id, table.recorded_at, kwh_of(table)).where(
        table.device_id.in_(bindparam("device_ids", expanding=True)),
        table.recorded_at >= bindparam("since"),
        table.recorded_at < bindparam("before"),
    )


def _expected(
    metered: _Metered, by: EnergyPeriod, where: ZoneInfo, period: LegalPeriod
) -> int | None:
    """Return how many slots a period has, as a reduction counts them; None where none begins in each."""
    series = metered.series
    if series is None or series.kind == SourceKind.COUNTER.value:
        return None
    if by is EnergyPeriod.HOUR and period.to_s - period.from_s < series.interval_s:
        return None
    since_s, until_s = in_service_s(metered.meter, where)
    from_s = max(period.from_s, since_s or 0)
    to_s = period.to_s if until_s is None else min(period.to_s, until_s)
    return slots_of(from_s, to_s, series.interval_s, where) if from_s < to_s else 0


def _name(by: EnergyPeriod, where: ZoneInfo, period: LegalPeriod) -> str:
    if by is EnergyPeriod.HOUR:
        return utc_of(period.from_s).astimezone(where).isoformat(timespec="minutes")
    text = period.day.isoformat()
    return text[:7] if by is EnergyPeriod.MONTH else text
