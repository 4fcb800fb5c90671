"""Where intervals begin and end: counted from midnight in the site's legal zone.

An interval of an hour or less has one length, and divides an hour. A longer one is counted on the
clock: a daily reading is one legal day long, of 23 or 25 hours when the clocks change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from ledger.reductions.zones import epoch_s, legal_day, legal_day_end_s, legal_day_start_s, utc_of
from ledger.units import DAY_S, HOUR_S

MINUTE_S = 60
INTERVALS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440)
"""Minutes of an interval: those that divide an hour never straddle a change of the clocks, the longer
ones divide a day on the clock."""


class Grid(Protocol):
    """Intervals of one source."""

    name: str
    repeats_daily: bool
    """Whether an interval that begins there begins there on every day of UTC."""

    def start_s(self, seconds: int, *, at_end: bool) -> int | None:
        """Return the start of the interval that begins there, or ends there; None: none does."""
        ...

    def nearest_s(self, seconds: int) -> int:
        """Return the time nearest to it at which intervals begin and end."""
        ...

    def duration_s(self, start_s: int) -> int:
        """Return the length of the interval that begins there."""


class Instants:
    """No intervals: each second stands for itself."""

    name = "whole seconds"
    repeats_daily = True

    def start_s(self, seconds: int, *, at_end: bool) -> int | None:
        """Return the second itself."""
        return seconds

    def nearest_s(self, seconds: int) -> int:
        """Return the second itself."""
        return seconds

    def duration_s(self, start_s: int) -> int:
        """Return 0."""
        return 0


class _Even:
    """Intervals of one length, an hour or less."""

    def __init__(self, where: ZoneInfo, interval_s: int) -> None:
        self.name = f"{interval_s // 60} minutes from midnight in {where.key}"
        self._where = where
        self._interval_s = interval_s
        self._whole_hours = self.repeats_daily = _offsets_fit(where, interval_s)

    def start_s(self, seconds: int, *, at_end: bool) -> int | None:
        start = seconds - self._interval_s if at_end else seconds
        return None if self._beside_s(start) else start

    def nearest_s(self, seconds: int) -> int:
        beside_s = self._beside_s(seconds)
        after = 2 * beside_s > self._interval_s
        return seconds - beside_s + (self._interval_s if after else 0)

    def duration_s(self, start_s: int) -> int:
        return self._interval_s

    def _beside_s(self, seconds: int) -> int:
        phase = seconds if self._whole_hours else _clock_s(seconds, self._where)
        return phase % self._interval_s


class _Clock:
    """Intervals of more than an hour: between times on the clock of the legal zone."""

    def __init__(self, where: ZoneInfo, interval_s: int) -> None:
        self.name = f"{interval_s // 60} minutes from midnight in {where.key}"
        self.repeats_daily = False
        self._where = where
        self._interval_s = interval_s
        self._points = lru_cache(maxsize=4096)(self._points_of)

    def start_s(self, seconds: int, *, at_end: bool) -> int | None:
        day = legal_day(seconds, self._where)
        points = self._points(day)
        if at_end and seconds == points[0]:
            return self._last_before(day)
        if seconds not in points:
            return None
        return points[points.index(seconds) - 1] if at_end else seconds

    def _last_before(self, day: date) -> int:
        """Return the start of the last interval before a legal day; a date that a zone left out has none."""
        while len(points := self._points(day - timedelta(days=1))) < 2:
            day -= timedelta(days=1)
        return points[-2]

    def nearest_s(self, seconds: int) -> int:
        points = self._points(legal_day(seconds, self._where))
        return min(points, key=lambda point: abs(point - seconds))

    def duration_s(self, start_s: int) -> int:
        points = self._points(legal_day(start_s, self._where))
        return points[points.index(start_s) + 1] - start_s

    def _points_of(self, day: date) -> list[int]:
        """Return the starts of a legal day and its end, where they fall, in order."""
        return clock_points(day, self._where, self._interval_s)


def clock_points(day: date, where: ZoneInfo, interval_s: int) -> list[int]:
    """Return where the intervals of a legal day begin on the clock, and its end, in order."""
    midnight = datetime(day.year, day.month, day.day)
    points = {
        epoch_s((midnight + timedelta(seconds=at)).replace(tzinfo=where))
        for at in range(0, DAY_S, interval_s)
    }
    end_s = legal_day_end_s(day, where)
    # A date that the zone left out (Samoa's 30 December 2011) ends where it begins: its times are of the next day.
    return sorted({*(point for point in points if point < end_s), end_s})


@lru_cache(maxsize=1024)
def slots_of(from_s: int, to_s: int, interval_s: int, where: ZoneInfo) -> int:
    """Return how many intervals a period of whole legal days has; it is not empty.

    Up to an hour they have one length; what is left over where the clocks change by a part of it is of none, also
    where two such parts are as long as one (``day_points``). Longer ones are counted on the clock, so that each day
    has as many, of 23, 24 or 25 hours.
    """
    if interval_s > HOUR_S:
        days = (to_s - from_s + DAY_S // 2) // DAY_S
        return days * (DAY_S // interval_s)
    if grid_of(where, interval_s).repeats_daily:
        return (to_s - from_s) // interval_s
    first = legal_day(from_s, where)
    each = range((legal_day(to_s - 1, where) - first).days + 1)
    starts = (slots_of_day(first + timedelta(days=number), where, interval_s) for number in each)
    return sum(from_s <= start < to_s for of_day in starts for start in of_day)


def day_points(day: date, where: ZoneInfo, interval_s: int) -> list[int] | None:
    """Return where the intervals of a legal day begin, and its end, in order; None: one after the other from its start.

    They do not where they are longer than an hour, nor where the clocks change by a part of an interval, as by
    half an hour on Lord Howe Island: what is left over beside the change is of no interval.
    """
    if interval_s > HOUR_S:
        return clock_points(day, where, interval_s)
    from_s, to_s = legal_day_start_s(day, where), legal_day_end_s(day, where)
    if all(_clock_s(second, where) % interval_s == 0 for second in (from_s, to_s)) and (
        (to_s - from_s) % interval_s == 0
    ):
        return None
    minutes = range(from_s, to_s, MINUTE_S)
    return [*(at for at in minutes if _clock_s(at, where) % interval_s == 0), to_s]


def slots_of_day(day: date, where: ZoneInfo, interval_s: int) -> Sequence[int]:
    """Return where the intervals of a legal day begin, in order."""
    points = day_points(day, where, interval_s)
    if points is not None:
        return points[:-1]
    return range(legal_day_start_s(day, where), legal_day_end_s(day, where), interval_s)


def _clock_s(second: int, where: ZoneInfo) -> int:
    """Return what the clock shows at a moment, seconds since midnight of 1970-01-01 on it."""
    offset = utc_of(second).astimezone(where).utcoffset()
    assert offset is not None
    return second + int(offset.total_seconds())


@lru_cache(maxsize=64)
def grid_of(where: ZoneInfo, interval_s: int) -> Grid:
    """Return the intervals of a source at a site."""
    return _Even(where, interval_s) if interval_s <= HOUR_S else _Clock(where, interval_s)


def _offsets_fit(where: ZoneInfo, interval_s: int) -> bool:
    """Return whether every offset that the zone had or will have is a multiple of the interval."""
    for year in range(1970, 2107):
        for month in (1, 4, 7, 10):
            offset = datetime(year, month, 1, tzinfo=where).utcoffset()
            assert offset is not None
            if offset.total_seconds() % interval_s:
                return False
    return True
