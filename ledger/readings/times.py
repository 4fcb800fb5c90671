"""The time in a meter file, as whole seconds of UTC since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ledger.readings.timeformats import parser_of
from ledger.reductions.grids import Instants, grid_of
from ledger.reductions.zones import (
    TZDATA_VERSION,
    epoch_s,
    legal_day,
    legal_day_start_s,
    utc_of,
    zone,
)

__all__ = [
    "OFFSET",
    "TZDATA_VERSION",
    "DoubledTime",
    "NaiveTime",
    "TimeReader",
    "epoch_s",
    "legal_day",
    "legal_day_start_s",
    "utc_of",
    "zone",
]

OFFSET = "offset"
"""What a source says when the text of the time carries its offset."""
_DATE_AND_CLOCK = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]", re.ASCII)
_REMEMBERED_MAX = 10_000
_END_S = 2**32
"""The contract keeps times in 32 bits, until 2106."""


class NaiveTime(ValueError):
    """A time without a zone, where the source promised one."""


class DoubledTime(ValueError):
    """A local time that comes twice; with what it may mean.

    Attributes
    ----------
    wall
        The time on the clock.
    before, after
        The moment before the clocks went back, and the one after.
    """

    def __init__(self, message: str, wall: datetime) -> None:
        super().__init__(message)
        self.before, self.after = wall.replace(fold=0), wall.replace(fold=1)
        self.wall = wall.replace(tzinfo=None)


class TimeReader:
    """Reads the times of one source.

    Parameters
    ----------
    time_zone
        ``offset``, or an IANA name for times without one.
    interval_s
        Length of the source's interval; above an hour, on the clock (``grids``).
    label_is_end
        Whether the file's time is the end of its interval, so that 0:00 closes the day before.
    grid_zone
        The site's legal zone: intervals begin at its midnight.
    time_format
        How the text is written, for ``timeformats.parser_of``.
    instants
        The times are of a register that is read when it is read: no grid and no interval.
    """

    def __init__(
        self,
        time_zone: str,
        interval_s: int,
        *,
        label_is_end: bool,
        grid_zone: ZoneInfo,
        time_format: str | None = None,
        instants: bool = False,
    ) -> None:
        self._zone = None if time_zone == OFFSET else zone(time_zone)
        self._zone_name = time_zone
        self._read = parser_of(time_format)
        self._grid = Instants() if instants else grid_of(grid_zone, interval_s)
        self._label_is_end = label_is_end
        self._repeats = time_format is None and self._grid.repeats_daily
        self._days: dict[str, int] = {}
        self._clocks: dict[str, int] = {}

    def start_s(self, text: str) -> int:
        """Return the first second of the interval that a time names.

        Raises
        ------
        NaiveTime
            The text has no offset and the source names no zone.
        DoubledTime
            The source names a zone, and its clocks show the time twice.
        ValueError
            With one line that says what is wrong.
        """
        day, clock = self._days.get(text[:10]), self._clocks.get(text[10:])
        if day is not None and clock is not None and 0 <= day + clock < _END_S:
            return day + clock
        moment = self._read(text)
        if moment.tzinfo is None:
            moment = self._localized(moment, text)
        start_s = self.slot_of(moment, text)
        if self._repeats:
            self._remember(text, moment, start_s)
        return start_s

    def _remember(self, text: str, moment: datetime, start_s: int) -> None:
        """Keep what a day and a time of day add up to: a file has few of each, in many pairs.

        Kept are good ISO times alone, and of a zone only days on which its clocks do not change.
        """
        if _DATE_AND_CLOCK.match(text) is None:
            return
        midnight_s = epoch_s(datetime.fromisoformat(text[:10]).replace(tzinfo=UTC))
        if self._zone is not None:
            if moment.tzinfo is not self._zone:
                return  # the text has an offset of its own
            hours = (utc_of(midnight_s + hour * 3600) for hour in range(-24, 49))
            offsets = {hour.astimezone(self._zone).utcoffset() for hour in hours}
            if len(offsets) > 1:
                return
            midnight_s -= int((moment.utcoffset() or timedelta()).total_seconds())
        if len(self._days) + len(self._clocks) > _REMEMBERED_MAX:
            self._days.clear()
            self._clocks.clear()
        self._days[text[:10]] = midnight_s
        self._clocks[text[10:]] = start_s - midnight_s

    def duration_s(self, start_s: int) -> int:
        """Return the length of the interval that begins there."""
        return self._grid.duration_s(start_s)

    def slot_of(self, moment: datetime, text: str) -> int:
        """Return the first second of the interval that a moment names; ``text`` is for messages."""
        if moment.microsecond:
            raise ValueError(f"{text!r} has fractions of a second")
        start = self._grid.start_s(epoch_s(moment), at_end=self._label_is_end)
        if start is None:
            raise ValueError(f"{text!r} is not on the grid of {self._grid.name}")
        if not 0 <= start < _END_S:
            raise ValueError(f"{text!r} is not between 1970 and 2106")
        return start

    def _localized(self, moment: datetime, text: str) -> datetime:
        if self._zone is None:
            raise NaiveTime(
                f"{text!r} has no offset and the source names no zone; "
                "write the offset into the file, or an IANA name as time_zone in [[source]]"
            )
        first = moment.replace(tzinfo=self._zone)
        before, after = first.utcoffset(), first.replace(fold=1).utcoffset()
        if before != after:
            assert before is not None
            assert after is not None
            if before > after:
                raise DoubledTime(
                    f"{text!r} comes twice in {self._zone_name} (clock change); write the offset "
                    'into the file, or clock_change = "in_order" in [[source]] if its rows stand in '
                    "the order of time",
                    first,
                )
            raise ValueError(
                f"{text!r} does not exist in {self._zone_name} (clock change); "
                "write the offset into the file"
            )
        return first
