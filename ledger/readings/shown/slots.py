"""The slots of meters day by day: which there should be, and what became of each of them.

A slot is one interval of a meter within one legal day of its site. Slots that no file names are slots too:
a legal day of 23 or 25 hours has so many fewer or more. A reading that is longer than an interval, such as
the difference of a register over a gap, fills all the slots that it touches.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import IntEnum
from itertools import pairwise
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database, Many
from ledger.models import Meter, MeterSeries, MeterSource
from ledger.models.sites import SourceKind
from ledger.readings.rows.store import fetch
from ledger.readings.shown.selection import meters_of, period_of
from ledger.reductions.grids import day_points
from ledger.reductions.quality import loaded
from ledger.reductions.records import Quality
from ledger.reductions.zones import legal_day_start_s, zone
from ledger.units import HOUR_S

_STEP_DAYS = 62
StoredReading = tuple[int, int, tuple[int, int, str, str | None]]
"""Start, line, and what most have in common: length in seconds, file, quality and reason."""
_BEGIN, _REACH_IN = (
    Many(
        numbers=("start_s", "line"),
        alike_numbers=("duration_s", "file_id"),
        alike_words=("quality", "reason"),
        rest=f"FROM meter_readings WHERE meter_id = ? AND {which}",
        order="start_s, text",
    )
    for which in (
        "start_s >= ? AND start_s < ?",
        "start_s < ? AND start_s + duration_s > ?",
    )
)
_REGISTERS = (
    "SELECT at_s, quality, reason, file_id, line FROM register_readings "
    "WHERE meter_id = ? AND at_s >= ? AND at_s < ? AND quality <> 'used' ORDER BY at_s, text"
)
_ENDS = "SELECT 1 FROM register_readings WHERE meter_id = ? AND at_s > ? AND at_s <= ? LIMIT 1"


class State(IntEnum):
    """What a slot came to. Every slot has one state."""

    ABSENT = 0
    """No file has it."""
    USED = 1
    CONFLICT = 2
    """Used: of several different values the one that claims least."""
    ABOVE = 3
    """An outlier above the limit."""
    BELOW = 4
    """An outlier below the limit."""
    STUCK = 5
    """In a flat line."""
    EMPTY = 6
    """A file has it, without a value that counts or could."""
    LATE = 7
    """Its value arrived after the period was issued; in what was issued it is missing."""
    FELL = 8
    """An outlier: the register fell."""


MISSING = (State.ABSENT, State.EMPTY, State.LATE)
OUTLIERS = (State.ABOVE, State.BELOW, State.STUCK, State.FELL)
_STATES = {
    Quality.USED: State.USED,
    Quality.USED_IN_CONFLICT: State.CONFLICT,
    Quality.OUTLIER_ABOVE: State.ABOVE,
    Quality.OUTLIER_BELOW: State.BELOW,
    Quality.COUNTER_FELL: State.FELL,
    Quality.STUCK: State.STUCK,
    Quality.LATE: State.LATE,
}


@dataclass
class Tally:
    """Readings of one quality: how many, and where the first of them stands."""

    readings: int
    first_s: int
    file_id: int
    line: int


@dataclass
class Day:
    """One legal day of one meter."""

    day: date
    from_s: int
    to_s: int
    interval_s: int
    points: list[int] | None = None
    """Where its slots begin, and its end, when they do not follow on one another from its start (``day_points``)."""
    in_service: bool = True
    """Whether the meter is there on that day; it has no slots where it is not."""
    states: bytearray = field(init=False)
    """A ``State`` for each slot."""
    tallies: dict[Quality, Tally] = field(default_factory=dict)
    """By quality, of the readings that begin in the day."""
    conflicts: int = 0
    """Slots with several different values, whatever became of them."""
    _conflict_s: int = -1

    def __post_init__(self) -> None:
        count = (self.to_s - self.from_s) // self.interval_s
        if self.points is not None:
            count = len(self.points) - 1
        self.states = bytearray(count if self.in_service else 0)

    def slot_start_s(self, place: int) -> int:
        """Return the first second of a slot; of the one after the last, the end of the day."""
        if place >= len(self.states):
            return self.to_s
        return self.from_s + place * self.interval_s if self.points is None else self.points[place]

    def count(self, *states: State) -> int:
        """Return how many slots have one of these states."""
        return sum(self.states.count(state) for state in states)

    def touched(self, start_s: int, end_s: int) -> range:
        """Return the places of the slots that a time has a part of."""
        if self.points is None:
            first = max(0, (start_s - self.from_s) // self.interval_s)
            end = min(len(self.states), -((self.from_s - end_s) // self.interval_s))
        else:
            first = max(0, bisect_right(self.points, start_s) - 1)
            end = min(len(self.states), bisect_left(self.points, end_s))
        return range(first, end)

    def fill(self, start_s: int, end_s: int, state: State) -> None:
        """Give the slots that a reading covers its state; what counts goes before what came late."""
        for place in self.touched(start_s, end_s):
            known = self.states[place]
            if (
                known == State.ABSENT
                or state in _CHOSEN
                or (known == State.EMPTY and state is State.LATE)
            ):
                self.states[place] = state

    def note(self, quality: Quality, start_s: int, file_id: int, line: int) -> None:
        """Count a reading; they come in order of time."""
        if quality in _CONFLICTS and start_s != self._conflict_s:
            self.conflicts += 1
            self._conflict_s = start_s
        tally = self.tallies.get(quality)
        if tally is None:
            self.tallies[quality] = Tally(1, start_s, file_id, line)
        else:
            tally.readings += 1


_CONFLICTS = (Quality.SUPERSEDED_IN_CONFLICT, Quality.REGISTER_CONFLICT)
CHOSEN = frozenset(quality for quality, state in _STATES.items() if state is not State.LATE)
"""Of the readings of a slot those that it is judged by: they have a value, and it was in time."""
_CHOSEN = frozenset(_STATES[quality] for quality in CHOSEN)


@dataclass(frozen=True)
class DeviceDays:
    """The days of one meter, in order."""

    device: str
    serial: str
    role: str
    interval_s: int
    days: list[Day]


@dataclass(frozen=True)
class SiteDays:
    """The days of a site's meters over one period."""

    site: str
    time_zone: str
    start: date
    end: date
    """Exclusive."""
    devices: list[DeviceDays]

    @property
    def where(self) -> ZoneInfo:
        """The site's legal zone."""
        return zone(self.time_zone)


Fill = Callable[[Session, int, list[Day], bool], None]
"""Gives the slots of a meter's days their states; it is told the row number of the meter, and whether it is
a register, whose readings may be longer than an interval."""


def load_days(
    session: Session,
    site_code: str,
    device_code: str | None = None,
    start: date | None = None,
    end: date | None = None,
) -> SiteDays:
    """Return the days of a site's meters.

    Parameters
    ----------
    device_code
        None: all devices of the site that have a meter.
    start, end
        Legal dates of the site, ``end`` exclusive; None: from the first reading, to the last one.

    Raises
    ------
    NotFound
        There is no such site or device.
    BadInput
        The period is empty or too long, or there is no reading to tell it from.
    """
    return days_filled_by(_judged, session, site_code, device_code, start, end)


def days_filled_by(
    fill: Fill,
    session: Session,
    site_code: str,
    device_code: str | None,
    start: date | None,
    end: date | None,
) -> SiteDays:
    """Return the days of a site's meters, with the states that a function gives them; see ``load_days``."""
    site, meters = meters_of(session, site_code, device_code)
    where = zone(site.time_zone)
    start, end = period_of(session, site, [meter.id for meter, _ in meters], start, end)
    count = (end - start).days + 1
    starts = [legal_day_start_s(start + timedelta(days=n), where) for n in range(count)]
    devices = []
    for meter, code in meters:
        interval_s, register = _interval_s(session, meter, code)
        days = _empty_days(start, starts, interval_s, where, meter)
        fill(session, meter.id, days, register)
        devices.append(DeviceDays(code, meter.serial, meter.role.value, interval_s, days))
    return SiteDays(site.code, site.time_zone, start, end, devices)


def _interval_s(session: Session, meter: Meter, code: str) -> tuple[int, bool]:
    """Return the interval of a meter in seconds, and whether it is a register's, whose readings may be longer."""
    series = session.get(MeterSeries, meter.id)
    if series is not None:
        return series.interval_s, series.kind == SourceKind.COUNTER
    sources = session.scalars(
        select(MeterSource).where(MeterSource.site_id == meter.site_id).order_by(MeterSource.id)
    ).all()
    for source in sources:
        if source.device_code in (None, code):
            return source.interval_minutes * 60, source.kind is SourceKind.COUNTER
    return HOUR_S, False


def _empty_days(
    start: date, starts: list[int], interval_s: int, where: ZoneInfo, meter: Meter
) -> list[Day]:
    """Return the days of a period, no slot of which has anything yet."""
    first, last = meter.in_service_from or date.min, meter.in_service_to or date.max
    days = []
    for number, (from_s, to_s) in enumerate(pairwise(starts)):
        day = start + timedelta(days=number)
        points = day_points(day, where, interval_s)
        days.append(Day(day, from_s, to_s, interval_s, points, first <= day <= last))
    return days


def _judged(session: Session, meter_id: int, days: list[Day], register: bool) -> None:
    """Give each slot what became of it, and count the readings."""
    starts = [*(day.from_s for day in days), days[-1].to_s]
    _fill(days, _rows(session, meter_id, starts, longer=register))
    if register:
        _note_registers(session, meter_id, days)


def _fill(days: list[Day], rows: Iterable[StoredReading]) -> None:
    """Give the slots their states, and count the readings; rows come in order of time."""
    place = 0
    for start_s, line, (duration_s, file_id, quality, reason) in rows:
        judged = loaded(quality, reason)
        state = _STATES.get(judged, State.EMPTY)
        while start_s >= days[place].to_s:
            place += 1
        if start_s >= days[place].from_s:
            days[place].note(judged, start_s, file_id, line)
        end_s, at = start_s + duration_s, place
        while at < len(days) and days[at].from_s < end_s and duration_s:
            days[at].fill(start_s, end_s, state)
            at += 1


def _rows(
    session: Session, meter_id: int, starts: list[int], *, longer: bool
) -> Iterator[StoredReading]:
    """Yield the readings that touch the days, in order; some weeks at once, so that memory stays flat."""
    db: Database = session.info["database"]
    if longer:  # one that began before may reach into them
        yield from zip(*db.many(session, _REACH_IN, (meter_id, starts[0], starts[0])), strict=True)
    for place in range(0, len(starts) - 1, _STEP_DAYS):
        end = min(place + _STEP_DAYS, len(starts) - 1)
        found = db.many(session, _BEGIN, (meter_id, starts[place], starts[end]))
        yield from zip(*found, strict=True)


def _note_registers(session: Session, meter_id: int, days: list[Day]) -> None:
    """Count the readings of a register that are not used; a slot that one of them ends or begins has a row."""
    db = session.info["database"]
    end_s = days[-1].to_s  # what stands there ends a slot of the last day, and is of the day after
    values = (meter_id, days[0].from_s, end_s + 1)
    starts = [day.from_s for day in days]
    for at_s, quality, reason, file_id, line in fetch(db, session, _REGISTERS, values):
        place = bisect_right(starts, at_s) - 1
        judged = loaded(quality, reason)
        if at_s < end_s:
            days[place].note(judged, at_s, file_id, line)
        if judged is Quality.LATE:
            continue
        if at_s > days[0].from_s:
            days[bisect_right(starts, at_s - 1) - 1].fill(at_s - 1, at_s, State.EMPTY)
        for slot in days[place].touched(at_s, at_s + 1):
            slot_end_s = days[place].slot_start_s(slot + 1)
            if days[place].states[slot] == State.ABSENT and fetch(
                db, session, _ENDS, (meter_id, at_s, slot_end_s)
            ):
                days[place].states[slot] = State.EMPTY
