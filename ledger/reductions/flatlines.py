"""Flat lines: the same positive value for so long that no meter of a real plant gives it.

A logger that repeats its last value goes on claiming energy. Within one legal day of the site,
consecutive readings of one value that together last ``stuck_hours`` are stuck, and claim nothing; 24
stands for the whole legal day, of 23 or 25 hours too. Slots without a value neither break a line nor
make it longer. Zero and negative values claim nothing, so that to exclude them would claim more: they are
never stuck. One reading is no line, however long it is.

The answer depends on what counts in each slot of the day and on nothing else: not on the order of
files, and not on the days beside it. ``Watch`` only spares an import to ask for days that cannot have one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby

from ledger.reductions.records import Role

STUCK_HOURS = 24
"""``stuck_hours`` where a site file says nothing: the whole legal day."""
_HOUR_S = 3600
_DAY_S = 86400
_NEAR_S = 2 * _DAY_S
_HALF_DAY = 12

Level = tuple[int, int, int, int]
"""What counts in one slot: first second, first second after it, digits and scale of its value."""


def can_stick(role: Role, stuck_hours: int) -> bool:
    """Return whether flat lines are looked for: only where a value claims something."""
    return role.supplies and stuck_hours > 0


def stuck_places(levels: Sequence[Level], day_starts: Sequence[int], stuck_hours: int) -> list[int]:
    """Return the places of the readings that belong to a flat line.

    Parameters
    ----------
    levels
        One for each slot that has a value, in order of time; times in seconds of UTC since 1970. All
        of them lie in the days.
    day_starts
        First seconds of consecutive legal days, and of the day after the last.
    stuck_hours
        Hours that a line lasts at least; 24: the whole legal day; 0: there are none.
    """
    if not stuck_hours:
        return []
    found: list[int] = []
    for first, end in _equal_runs(levels):
        run = range(first, end)
        # A reading that runs past midnight is of no one day; readings of unlike lengths are of no one line.
        for (day, _), part in groupby(
            run, key=lambda place: _day_and_length(levels[place], day_starts)
        ):
            places = list(part)
            if day < 0 or len(places) < 2:
                continue
            needed = day_starts[day + 1] - day_starts[day]
            if stuck_hours < STUCK_HOURS:
                needed = stuck_hours * _HOUR_S
            if sum(levels[place][1] - levels[place][0] for place in places) >= needed:
                found += places
    return found


def _equal_runs(levels: Sequence[Level]) -> Iterator[tuple[int, int]]:
    """Yield where the runs of two and more equal positive values begin and end."""
    first = 0
    digits = scale = -1
    for place, (_, _, other, decimals) in enumerate(levels):
        if other == digits and decimals == scale:
            continue
        if decimals != scale and scale >= 0 and other * 10**scale == digits * 10**decimals:
            continue  # the same number, written with other decimals
        if digits > 0 and place - first > 1:
            yield first, place
        first, digits, scale = place, other, decimals
    if digits > 0 and len(levels) - first > 1:
        yield first, len(levels)


def _day_and_length(level: Level, day_starts: Sequence[int]) -> tuple[int, int]:
    """Return the legal day that a reading lies in (-1: in no single one), and its length in seconds."""
    start_s, end_s, _, _ = level
    day = bisect_right(day_starts, start_s) - 1
    return (day if end_s <= day_starts[day + 1] else -1), end_s - start_s


class Watch:
    """Tells the days that may have a flat line from those that cannot, while readings are stored.

    To read every stored day again would cost an import a third of its time. Of readings that come in
    order of time, one for each slot, into days that had none, it is enough to compare neighbours; whatever
    else happens makes its day one that must be looked at.

    Parameters
    ----------
    interval_s
        Length of an interval in seconds; 0 where readings are of various lengths.
    stuck_hours
        As for ``stuck_places``; 0: no day is ever looked at.
    stored
        First and last second that the meter has readings of already; None: none.
    """

    def __init__(
        self, interval_s: int, stuck_hours: int, stored: tuple[int, int] | None = None
    ) -> None:
        self.days: set[int] = set()
        """Days of UTC since 1970 whose legal days must be looked at."""
        self._off = not stuck_hours
        self._old = (1, 0)
        if stored is not None:
            self.has(*stored)
        # A legal day may be shorter than 24 hours: to look too often does no harm.
        needed_s = min(stuck_hours, _HALF_DAY) * _HOUR_S
        self._enough = max(2, needed_s // interval_s) if interval_s else 2
        self._last_s = self._first_s = -1
        self._digits = self._scale = self._count = 0

    def has(self, first_s: int, last_s: int) -> None:
        """Note that the meter has readings there: whatever comes near makes its day one to be looked at."""
        first_s, last_s = first_s - _NEAR_S, last_s + _NEAR_S
        if self._old[0] <= self._old[1]:
            first_s, last_s = min(first_s, self._old[0]), max(last_s, self._old[1])
        self._old = (first_s, last_s)

    def alone(self, start_s: int, digits: int, scale: int) -> None:
        """Note a reading that is the only one of its slot."""
        if start_s <= self._last_s or self._old[0] <= start_s <= self._old[1]:
            self.look(start_s)
            return
        self._last_s = start_s
        if scale == self._scale:
            same = digits == self._digits
        else:
            same = digits * 10**self._scale == self._digits * 10**scale
        if same:
            self._count += 1
            if self._count >= self._enough and digits > 0 and not self._off:
                self.days.update(range(self._first_s // _DAY_S, start_s // _DAY_S + 1))
                self._first_s = start_s
        else:
            self._first_s, self._count = start_s, 1
        self._digits, self._scale = digits, scale

    def look(self, start_s: int) -> None:
        """Note that something else happened to a slot."""
        if not self._off:
            self.days.add(start_s // _DAY_S)
