"""The readings behind an issuance, month by month: what counts, what does not, and why; for a chart and for tables.

Readings have the quality with which they stand in the evidence. Numbers are exact; only the browser, which draws
them, makes floating-point numbers of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session

from api.projects.queries import device_names
from ledger.errors import BadInput
from ledger.models import Issuance
from ledger.readings.periods.evidence_files import meter_ids_of, stated_by
from ledger.readings.rows.stored import readings_of
from ledger.reductions.grids import slots_of_day
from ledger.reductions.manifest_shapes import MeterTable1
from ledger.reductions.records import USED, WITHOUT_VALUE, Kind
from ledger.reductions.runs import Reading
from ledger.reductions.zones import legal_day, legal_day_start_s, utc_of, zone
from ledger.units import HOUR_S, decimal_half_up

ABSENT = 0
"""Stands for a slot that no file has, beside the numbers of ``Quality``."""
RUNS_MAX = 200
"""Most rows of the table of what does not count."""
UNITS = {
    Kind.POWER: "kW",
    Kind.ENERGY: "kWh",
    Kind.REGISTER: "kWh",
    Kind.FUEL_MASS: "kg",
    Kind.FUEL_VOLUME: "L",
}


@dataclass(frozen=True)
class Run:
    """Readings of one quality that follow each other; times are seconds since 1970, the end is exclusive."""

    from_s: int
    to_s: int
    quality: int
    count: int
    text: str
    """The number as received, of the first of them."""

    def start(self, zone_name: str) -> str:
        """Return when it begins, in a zone."""
        return _local(self.from_s, zone_name)

    def end(self, zone_name: str) -> str:
        """Return when it ends, in a zone."""
        return _local(self.to_s, zone_name)


@dataclass(frozen=True)
class DayTotal:
    """One legal day of a meter."""

    day: date
    used: int
    excluded: int
    absent: int
    quantity: Fraction
    """Energy in kWh of the readings that count; of fuel its amount."""

    @property
    def shown(self) -> str:
        """The quantity with three decimals."""
        return format(decimal_half_up(self.quantity, 3), ",f")


@dataclass(frozen=True)
class MeterMonth:
    """One meter over the days that are shown."""

    device: str
    name: str | None
    """Of the device, today; None: the books have it no more."""
    serial: str
    role: str
    rated_kw: str | None
    interval_s: int
    unit: str
    text_unit: str
    """Unit of the numbers as received."""
    readings: Sequence[Reading]
    runs: list[Run]
    days: list[DayTotal]

    @property
    def quantity_unit(self) -> str:
        """Unit of the totals of days."""
        return "kWh" if self.unit == "kW" else self.unit

    def counts(self) -> list[tuple[int, int]]:
        """Return how many slots have each quality that does not count, by its number."""
        total: dict[int, int] = {}
        for run in self.runs:
            total[run.quality] = total.get(run.quality, 0) + run.count
        return sorted(total.items())


@dataclass(frozen=True)
class Month:
    """The meters of an issuance over a month of its period; dates are legal, the end is exclusive."""

    start: date
    end: date
    zone: str
    months: list[date]
    """The first day that each month of the period has."""
    meters: list[MeterMonth]


def month_of(session: Session, issuance: Issuance, wanted: str | None) -> Month:
    """Return the readings of one month of an issuance's period; the first one, unless another is wanted.

    Parameters
    ----------
    wanted
        As in ``2014-03``.

    Raises
    ------
    BadInput
        The period does not have that month.
    """
    stated = stated_by(issuance)
    months = list(_months(issuance.from_date, issuance.to_date))
    by_name = {f"{first:%Y-%m}": (first, end) for first, end in months}
    if wanted is not None and wanted not in by_name:
        raise BadInput(
            f"month {wanted[:20]!r} is not one of the period's: {', '.join(list(by_name)[:12])}",
            code="no-such-month",
        )
    start, end = by_name[wanted] if wanted is not None else months[0]
    where = zone(stated.period.zone)
    from_s, to_s = legal_day_start_s(start, where), legal_day_start_s(end, where)
    ids = meter_ids_of(session, issuance)
    names = device_names(session, [table.device for table in stated.meters])
    meters = []
    for table in stated.meters:
        found = touching(session, issuance, table, ids.get(table.serial), (from_s, to_s))
        name = names.get(table.device)
        meters.append(_meter(table, name, found, start, end, stated.period.zone))
    return Month(start, end, stated.period.zone, [first for first, _ in months], meters)


def chart_of(month: Month) -> dict[str, Any]:
    """Return the readings as columns, for a chart; numbers are decimal text."""
    return {
        "zone": month.zone,
        "meters": [
            {
                "device": meter.device,
                "unit": meter.unit,
                "rated": meter.rated_kw if meter.unit == "kW" else None,
                "start": [reading.start_s for reading in meter.readings],
                "value": [value_of(reading) for reading in meter.readings],
                "quality": [reading.quality for reading in meter.readings],
                "absent": [[run.from_s, run.to_s] for run in meter.runs if run.quality == ABSENT],
            }
            for meter in month.meters
        ],
    }


def value_of(reading: Reading) -> str | None:
    """Return the value of a reading as decimal text; None when it has none."""
    if not reading.text or reading.quality in WITHOUT_VALUE:
        return None
    sign, digits = ("-", -reading.digits) if reading.digits < 0 else ("", reading.digits)
    text = f"{digits:0{reading.scale + 1}d}"
    point = len(text) - reading.scale
    return f"{sign}{text[:point]}.{text[point:]}" if reading.scale else sign + text


def _local(second: int, zone_name: str) -> str:
    """Return a time in a zone; with its offset, as a day's table has it, where that time comes twice."""
    at = utc_of(second).astimezone(zone(zone_name))
    twice = at.utcoffset() != at.replace(fold=1 - at.fold).utcoffset()
    return at.strftime("%Y-%m-%d %H:%M %z" if twice else "%Y-%m-%d %H:%M")


def _months(start: date, end: date) -> Iterator[tuple[date, date]]:
    while start < end:
        after = min(end, (start.replace(day=1) + timedelta(days=32)).replace(day=1))
        yield start, after
        start = after


def touching(
    session: Session,
    issuance: Issuance,
    table: MeterTable1,
    meter_id: int | None,
    span: tuple[int, int],
) -> Sequence[Reading]:
    """Return the readings of a meter that touch a time; those of a register may be longer than a month."""
    from_s, to_s = span
    if meter_id is None:
        return ()
    if not getattr(table, "register", False):
        return readings_of(session, meter_id, from_s, to_s)
    rows = readings_of(session, meter_id, issuance.from_s, issuance.to_s)
    return tuple(
        row for row in rows if row.start_s < to_s and max(row.end_s, row.start_s + 1) > from_s
    )


def _meter(
    table: MeterTable1,
    name: str | None,
    readings: Sequence[Reading],
    start: date,
    end: date,
    zone_name: str,
) -> MeterMonth:
    where = zone(zone_name)
    days = [start + timedelta(days=number) for number in range((end - start).days)]
    starts = [legal_day_start_s(day, where) for day in (*days, end)]
    slots = [slot for day in days for slot in slots_of_day(day, where, table.interval_s)]
    runs = list(_runs(readings, starts[0], starts[-1], slots))
    of_day: dict[date, list[Reading]] = {day: [] for day in days}
    for reading in readings:
        if reading.start_s >= starts[0]:  # else it is the month's before
            of_day[legal_day(reading.start_s, where)].append(reading)
    kind = Kind(readings[0].kind) if readings else Kind.POWER
    return MeterMonth(
        device=table.device,
        name=name,
        serial=table.serial,
        role=table.role.value,
        rated_kw=table.rated_kw,
        interval_s=table.interval_s,
        unit=UNITS[kind],
        text_unit=table.unit,
        readings=readings,
        runs=runs,
        days=[
            _day_total(day, of_day[day], _absent(runs, from_s, to_s, slots))
            for day, (from_s, to_s) in zip(days, pairwise(starts), strict=True)
        ],
    )


def _day_total(day: date, readings: Sequence[Reading], absent: int) -> DayTotal:
    counted = [reading for reading in readings if reading.quality in USED]
    quantity = sum((_quantity(reading) for reading in counted), Fraction(0))
    return DayTotal(day, len(counted), len(readings) - len(counted), absent, quantity)


def _quantity(reading: Reading) -> Fraction:
    value = Fraction(reading.digits, 10**reading.scale)
    if reading.kind == Kind.POWER:
        return value * Fraction(reading.end_s - reading.start_s, HOUR_S)
    return value


def _runs(
    readings: Sequence[Reading], from_s: int, to_s: int, slots: Sequence[int]
) -> Iterator[Run]:
    """Yield what does not count, in order of time: runs of one quality, and times that no file has."""
    known_until, open_run = from_s, None
    for reading in readings:
        if reading.start_s > known_until:
            if open_run is not None:
                yield open_run
                open_run = None
            yield _hole(known_until, reading.start_s, slots)
        known_until = max(known_until, reading.end_s)
        same = open_run is not None and open_run.quality == reading.quality
        if reading.quality in USED:
            if open_run is not None:
                yield open_run
            open_run = None
        elif open_run is not None and same:
            open_run = Run(
                open_run.from_s, reading.end_s, reading.quality, open_run.count + 1, open_run.text
            )
        else:
            if open_run is not None:
                yield open_run
            open_run = Run(reading.start_s, reading.end_s, reading.quality, 1, reading.text)
    if open_run is not None:
        yield open_run
    if known_until < to_s:
        yield _hole(known_until, to_s, slots)


def _hole(from_s: int, to_s: int, slots: Sequence[int]) -> Run:
    return Run(from_s, to_s, ABSENT, max(1, _begin(slots, from_s, to_s)), "")


def _absent(runs: Sequence[Run], from_s: int, to_s: int, slots: Sequence[int]) -> int:
    """Return how many slots of a day no file has."""
    return sum(
        _begin(slots, max(run.from_s, from_s), min(run.to_s, to_s))
        for run in runs
        if run.quality == ABSENT and run.from_s < to_s and run.to_s > from_s
    )


def _begin(slots: Sequence[int], from_s: int, to_s: int) -> int:
    """Return how many slots begin in a time."""
    return bisect_left(slots, to_s) - bisect_left(slots, from_s)
