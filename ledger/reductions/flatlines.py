"""Flat lines: the same positive value for so long that no meter of a real plant gives it.

A logger that repeats its last value goes on claiming energy. Within one legal day of the site,
consecutive readings of one value that together last ``stuck_hours`` are stuck, and claim nothing; 24
stands for the whole legal day, of 23 or 25 hours too. Slots without a value neither break a line nor
make it longer. Zero and negative values claim nothing, so that to exclude them would claim more: they are
never stuck. Two readings are no line, however long they are.

The answer depends on what counts in each slot of the day and on nothing else: not on the order of
files, and not on the days beside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby

from ledger.reductions.records import Role
from ledger.units import HOUR_S

STUCK_HOURS = 24
"""The most that ``stuck_hours`` may be: the whole legal day, of 23 or 25 hours too."""
LINE_MIN = 3
"""Readings of a line at least: two that are equal happen, where intervals are long."""

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
            if day < 0 or len(places) < LINE_MIN:
                continue
            needed = day_starts[day + 1] - day_starts[day]
            if stuck_hours < STUCK_HOURS:
                needed = stuck_hours * HOUR_S
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
