"""What the order of a file's rows says about the clock of each device.

Where the clocks go back, an hour comes twice. A source that declares ``clock_change = "in_order"``
promises that its rows stand in the order of time, the oldest or the newest first: of the two passes
of the hour, the earlier one is then before the change. Whatever the order does not decide is rejected,
never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from statistics import median_low
from typing import Any

from ledger.reductions.zones import epoch_s, utc_of
from ledger.units import DAY_S, HOUR_S

JUMPS_MAX = 100
STEPS_OF = 1_000
"""Rows of each device from which it is told how far apart they are."""
_STEPS_MIN = 8
_RUN_MIN = 24
"""Steps of one length after each other by which a part of a file is told to have another interval."""
_ORDERED = 10
"""Rows are in order where at most one step of so many goes the other way: files that were joined turn back once."""
_DOUBLED_MAX = 100_000
_WAITING_MAX = 10_000


@dataclass
class _Jumps:
    """Places where times are not in one order."""

    count: int = 0
    first: list[tuple[int, str, int, int]] = field(default_factory=list)
    """Line, device, the time before and the time there."""

    def add(self, line: int, device: str, last_s: int, start_s: int) -> None:
        self.count += 1
        if self.count <= JUMPS_MAX:
            self.first.append((line, device, last_s, start_s))


@dataclass
class _Run:
    """Steps of one length after each other, which leave intervals out."""

    device: str
    line: int
    """Of the row with which the first of them ends."""
    step_s: int
    end_s: int = 0
    steps: int = 0


@dataclass
class Notes:
    """What was noticed about the times of a file."""

    jump_s: int = DAY_S
    """A step forward of more than this is a jump."""
    moved: int = 0
    """Rows whose time lay beside the grid and was taken to it."""
    clock_change: int = 0
    """Rows of a doubled hour that were put before or after the change by their order."""
    unfinished_line: int = 0
    """The last line, when it has no line end; else 0."""
    across: tuple[str, str] | None = None
    """Columns that are named by times of a day, of which the first alone is read: the first and the last."""
    passed_over: int = 0
    """Rows of other channels than the one that is meant."""
    missed: str | None = None
    """What stands in the file where none of its good rows is of that channel."""
    other_unit: str | None = None
    """What says that the column of the values names another unit than the source."""
    turned: str | None = None
    """A time whose month is above 12, as where day and month stand the other way round."""
    _rising: _Jumps = field(default_factory=_Jumps)
    _falling: _Jumps = field(default_factory=_Jumps)
    _last: dict[str, int] = field(default_factory=dict)
    _interval_s: int = HOUR_S
    _where: tzinfo = UTC
    _regular: bool = False
    _far_s: int = 2 * HOUR_S
    """A step of so much leaves an interval out."""
    _runs: dict[str, _Run] = field(default_factory=dict)
    _sparse: _Run | None = None
    _first: dict[str, list[int]] = field(default_factory=dict)
    _doubled: set[tuple[str, datetime]] = field(default_factory=set)
    _came_twice: bool = False
    _skipped: tuple[str, timedelta] | None = None
    _closed: tuple[str, timedelta] | None = None
    """A time that never comes, and may close the interval before: a clock that changes could show it, too."""
    _closed_s: int | None = None
    """The start of that interval."""

    def expect(self, interval_s: int, where: tzinfo, *, regular: bool) -> None:
        """Say how far apart times are, and in which zone jumps are told.

        A day is no jump where each is a day after the other. ``regular``: there should be a row in
        each interval.
        """
        self._interval_s, self._where, self._regular = interval_s, where, regular
        self._far_s = 2 * interval_s
        if interval_s > HOUR_S:
            self.jump_s = DAY_S + interval_s + HOUR_S

    def pass_time(self, device: str, start_s: int, line: int) -> None:
        """Take in the next time of a device, and note a jump."""
        first = self._first.get(device)
        if first is None:
            first = self._first[device] = []
        if len(first) < STEPS_OF:
            first.append(start_s)
        if start_s == self._closed_s:
            self._skipped = self._skipped or self._closed
        last = self._last.get(device, start_s)
        if abs(start_s - last) >= self._far_s and self._sparse is None:
            self._pass_far(device, last, start_s, line)
        if not last <= start_s <= last + self.jump_s:
            self._rising.add(line, device, last, start_s)
        if not last - self.jump_s <= start_s <= last:
            self._falling.add(line, device, last, start_s)
        self._last[device] = start_s

    def _pass_far(self, device: str, last_s: int, start_s: int, line: int) -> None:
        """Take in a step that leaves intervals out; many alike after each other are another interval."""
        run = self._runs.get(device)
        if run is None or run.end_s != last_s or run.step_s != start_s - last_s:
            run = self._runs[device] = _Run(device, line, start_s - last_s)
        run.end_s = start_s
        run.steps += 1
        if run.steps >= _RUN_MIN:
            self._sparse = run

    def end(self, moved: int, unfinished_line: int) -> None:
        """Take in what is known when all is read."""
        self.moved, self.unfinished_line = moved, unfinished_line

    def pass_over(self, rows: int, missed: str | None) -> None:
        """Take in how many rows are of other channels, and what stands in them where no row is of the right one."""
        self.passed_over, self.missed = rows, missed

    @property
    def jumps(self) -> int:
        """How many places there are where a clock jumps."""
        return self._jumps.count

    @property
    def clock_jumps(self) -> list[dict[str, Any]]:
        """The first ``JUMPS_MAX`` of them: line, device, from, to."""
        return [
            {
                "line": line,
                "device": device,
                "from": utc_of(last_s).astimezone(self._where).isoformat(),
                "to": utc_of(start_s).astimezone(self._where).isoformat(),
            }
            for line, device, last_s, start_s in self._jumps.first
        ]

    @property
    def _jumps(self) -> _Jumps:
        """Those of the order that the file keeps better: the oldest first, or the newest."""
        return self._rising if self._rising.count <= self._falling.count else self._falling

    def pass_doubled(self, device: str, wall: datetime) -> None:
        """Take in a local time that comes twice."""
        if (device, wall) in self._doubled:
            self._came_twice = True
        elif len(self._doubled) < _DOUBLED_MAX:
            self._doubled.add((device, wall))

    def pass_skipped(
        self, device: str, time_zone: str, offset: timedelta, last_s: int | None = None
    ) -> None:
        """Take in a local time that never comes.

        Parameters
        ----------
        device
            Its code.
        time_zone, offset
            The zone, and its standard time.
        last_s
            The start of the interval that it may close. Then it is a clock's that does not change only if the time
            at which that interval ends on one that does stands beside it.
        """
        if last_s is None or self._last.get(device) == last_s:
            self._skipped = self._skipped or (time_zone, offset)
        else:
            self._closed, self._closed_s = (time_zone, offset), last_s

    def spacing(self) -> dict[str, Any] | None:
        """Return how far apart the first rows of a device are, where intervals are much shorter.

        Of rows in no order the first say nothing: what lies between two of them may come later.
        """
        steps: dict[str, int] = {}
        for device, starts in self._first.items() if self._regular else ():
            turns = [after - before for before, after in pairwise(starts) if after != before]
            rising = sum(turn > 0 for turn in turns)
            if len(turns) < _STEPS_MIN or _ORDERED * min(rising, len(turns) - rising) > len(turns):
                continue
            step_s = median_low(abs(turn) for turn in turns)
            if step_s >= 2 * self._interval_s:
                steps[device] = step_s
        if not steps:
            return None
        device, step_s = next(iter(steps.items()))
        return {
            "device": device,
            "devices": len(steps),
            "minutes": step_s // 60,
            "interval_minutes": self._interval_s // 60,
        }

    def sparse(self) -> list[str]:
        """Return a hint where rows are farther apart than intervals in a part of the file, and alike there.

        Files that were put together have quarters of an hour, and hours from some row on.
        """
        run = self._sparse
        if run is None or not self._regular:
            return []
        return [
            f"warning: from line {run.line} on rows of device {run.device} come every {abs(run.step_s) // 60} minutes, "
            f"the source says {self._interval_s // 60}: what lies between them is missing; bring each part by a source "
            "with its own interval"
        ]

    def hints(self) -> list[str]:
        """Return what the times as a whole say about the source, and what its channels and its end say about it."""
        found = [said for said in (self.missed, self.other_unit) if said is not None]
        if self.across is not None:
            first, last = self.across
            found.append(
                f"columns {first!r} to {last!r} are named by times of the day, and {first!r} alone is read: if a row "
                f'is a day, write last_value_column = "{last}" in [[source]]'
            )
        if self.turned is not None:
            found.append(
                f"warning: {self.turned!r} has a month above 12: if day and month stand the other way round, the rows "
                "of days up to the 12th were read as other days; correct time_format, and take them back with "
                "`truetonne readings withdraw --file`"
            )
        return [*found, *self._clock_hints(), *self._end_hints()]

    def _end_hints(self) -> list[str]:
        if not self.unfinished_line:
            return []
        return [
            f"line {self.unfinished_line}, the last one, has no line end: if the file was still being written, or was "
            "cut short, its value may be, too; import a file that is whole"
        ]

    def _clock_hints(self) -> list[str]:
        if self._skipped is None or not self._doubled or self._came_twice:
            return []
        time_zone, offset = self._skipped
        minutes = int(offset.total_seconds()) // 60
        hours, rest = divmod(abs(minutes), 60)
        sign = "-" if minutes < 0 else "+"
        # IANA has no zone of a part of an hour, and turns the sign of whole ones.
        fixed = f"{sign}{hours:02}:{rest:02}" if rest else f"Etc/GMT{-minutes // 60:+d}"
        zones = '"UTC"' + (f' or "{fixed}"' if minutes else "")
        return [
            f"this clock seems not to change: it has times in spring that {time_zone} leaves out, and "
            f"has the hour of autumn once; write time_zone = {zones}"
        ]


@dataclass(frozen=True, slots=True)
class Doubled:
    """A row in a doubled hour, until it is known which pass it is of."""

    device: str
    line: int
    cell: str
    """The text of the value."""
    time_text: str
    wall: datetime
    """The time on the clock."""
    before: datetime
    after: datetime


class DoubledHours:
    """Rows of doubled hours by device, kept until a later row says what their order means.

    Parameters
    ----------
    interval_s
        Length of the source's interval.
    """

    def __init__(self, interval_s: int) -> None:
        self._interval_s = interval_s
        self._waiting: dict[str, list[Doubled]] = {}
        self._last_s: dict[str, int] = {}

    def add(self, row: Doubled) -> Iterator[tuple[Doubled, datetime | None]]:
        """Keep a row; yield those of another change of the clocks, which are decided by now."""
        waiting = self._waiting.setdefault(row.device, [])
        if waiting and abs(waiting[0].wall - row.wall).days > 0:
            yield from self.close(row.device, None)
            waiting = self._waiting.setdefault(row.device, [])
        if len(waiting) >= _WAITING_MAX:
            yield row, None
        else:
            waiting.append(row)

    def close(self, device: str, next_s: int | None) -> Iterator[tuple[Doubled, datetime | None]]:
        """Yield the rows kept of a device, each with its moment; None: the order does not say.

        Parameters
        ----------
        device
            Its code.
        next_s
            The moment of the next row that is not doubled; None where none follows.
        """
        rows = self._waiting.pop(device, None)
        if rows:
            found = _passes(rows, self._last_s.get(device), next_s, self._interval_s)
            for place, row in enumerate(rows):
                if found is None:
                    yield row, None
                else:
                    second, falling = found
                    yield row, row.after if (place >= second) is not falling else row.before
        if next_s is not None:
            self._last_s[device] = next_s

    def rest(self) -> Iterator[tuple[Doubled, datetime | None]]:
        """Yield what is kept at the end of the file."""
        for device in list(self._waiting):
            yield from self.close(device, None)


def _passes(
    rows: list[Doubled], last_s: int | None, next_s: int | None, interval_s: int
) -> tuple[int, bool] | None:
    """Return where the other pass begins, and whether the newest row stands first.

    None unless the rows are two passes in rising order with earlier ones before and later ones
    after, or all of it the other way round; and where both could be.
    """
    low, high = min(epoch_s(row.before) for row in rows), max(epoch_s(row.after) for row in rows)
    found = []
    if (last_s is None or last_s < low) and (next_s is None or next_s > high):
        found += [(turn, False) for turn in _turns(rows, interval_s, falling=False)]
    if (last_s is None or last_s > high) and (next_s is None or next_s < low):
        found += [(turn, True) for turn in _turns(rows, interval_s, falling=True)]
    if len(found) != 1 or found[0][0] is None:
        return None
    return found[0][0], found[0][1]


def _turns(rows: list[Doubled], interval_s: int, *, falling: bool) -> list[int | None]:
    """Return where the clock may turn: None stands for a single pass, an empty list for no such order.

    Two rows of one time after each other are of one pass, a duplicate or a conflict. Only where
    one interval fills the whole hour that comes twice, and so each pass has one time alone, are two
    rows of it the two passes; but not two equal ones, which may as well be one row twice.
    """
    walls = [row.wall for row in (rows[::-1] if falling else rows)]
    turns = [place for place in range(1, len(walls)) if walls[place] < walls[place - 1]]
    if turns:
        place = len(rows) - turns[0] if falling else turns[0]
        return [place] if len(turns) == 1 else []
    shift_s = epoch_s(rows[0].after) - epoch_s(rows[0].before)
    if len(rows) == 2 and walls[0] == walls[1] and interval_s >= shift_s:
        return [1 if rows[0].cell != rows[1].cell else None]
    return [None]
