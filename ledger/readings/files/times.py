"""The time in a meter file, as whole seconds of UTC since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from ledger.readings.files.timeformats import FRACTIONS, parser_of
from ledger.reductions.grids import Instants, grid_of
from ledger.reductions.zones import TIMES_END_S, epoch_s, utc_of, zone
from ledger.units import HOUR_S

OFFSET = "offset"
"""What a source says when the text of the time carries its offset."""
_DATE_AND_CLOCK = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]", re.ASCII)
_FIXED = re.compile(r"([+-])(0[0-9]|1[0-4]):([0-5][0-9])", re.ASCII)
_NO_OFFSET = re.compile(r"-00:?(?:00)?\Z", re.ASCII)
_REMEMBERED_MAX = 10_000
_SMALL_S = 900
"""Most seconds beside the grid for which a tolerance is proposed."""


def clock_of(time_zone: str) -> tzinfo:
    """Return the clock that a source names: of an IANA zone, or one that never changes, such as ``-04:30``.

    Raises
    ------
    BadInput
        It is neither.
    """
    match = _FIXED.fullmatch(time_zone)
    if match is None:
        return zone(time_zone)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


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


class SkippedTime(ValueError):
    """A local time that never comes.

    Attributes
    ----------
    offset
        Of the zone before the clocks went forward: its standard time.
    last_s
        Where the time closes the last interval before they did: the start of that interval; else None.
    """

    def __init__(self, message: str, offset: timedelta, last_s: int | None) -> None:
        super().__init__(message)
        self.offset = offset
        self.last_s = last_s


class TimeReader:
    """Reads the times of one source.

    Parameters
    ----------
    time_zone
        ``offset``, or for times without one an IANA name or an offset such as ``+10:30``.
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
    tolerance_s
        Seconds that a time may lie beside the grid, and be taken to it; under half an interval.

    Attributes
    ----------
    moved
        Times that were taken to the grid so far.
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
        tolerance_s: int = 0,
    ) -> None:
        self._zone = None if time_zone == OFFSET else clock_of(time_zone)
        self._zone_name = time_zone
        self._read = parser_of(time_format, near=tolerance_s > 0)
        self._grid = Instants() if instants else grid_of(grid_zone, interval_s)
        self._interval_s = interval_s
        self._label_is_end = label_is_end
        self._tolerance_s = tolerance_s
        # Above an hour the labels are those of the site's clock, also of a time that it skips.
        own = time_zone == grid_zone.key
        self._own_labels = own and interval_s > HOUR_S and not instants
        self.moved = 0
        self._beside_s: int | None = None
        self._only_beside = True
        self._repeats = time_format is None and self._grid.repeats_daily
        self._days: dict[str, int] = {}
        self._clocks: dict[str, int] = {}
        self._moved_clocks: set[str] = set()

    def start_s(self, text: str) -> int:
        """Return the first second of the interval that a time names.

        Raises
        ------
        NaiveTime
            The text has no offset and the source names no zone.
        DoubledTime
            The source names a zone, and its clocks show the time twice.
        SkippedTime
            The source names a zone, and its clocks never show the time.
        ValueError
            The text is no time, or has an offset that these clocks never show. With one line that says what is wrong.
        """
        day, clock = self._days.get(text[:10]), self._clocks.get(text[10:])
        if day is not None and clock is not None and 0 <= day + clock < TIMES_END_S:
            if self._tolerance_s and text[10:] in self._moved_clocks:
                self.moved += 1
            return day + clock
        moved = self.moved
        try:
            moment = self._read(text)
            if moment.tzinfo is None:
                moment = self._localized(moment, text)
            else:
                self._require_own_offset(moment, text)
            start_s = self.slot_of(moment, text)
        except OverflowError:  # beside the first or the last day of the calendar
            raise ValueError(f"{text[:40]!r} is not between 1970 and 2106") from None
        if self._repeats:
            self._remember(text, moment, start_s, moved=self.moved > moved)
        return start_s

    def _remember(self, text: str, moment: datetime, start_s: int, *, moved: bool) -> None:
        """Keep what a day and a time of day add up to: a file has few of each, in many pairs.

        Kept are good ISO times alone, and of a zone only days on which its clocks do not change.
        """
        if _DATE_AND_CLOCK.match(text) is None:
            return
        midnight_s = epoch_s(datetime.fromisoformat(text[:10]).replace(tzinfo=UTC))
        if self._zone is not None:
            if moment.tzinfo is not self._zone:
                return  # the text has an offset of its own
            hours = (utc_of(midnight_s + hour * HOUR_S) for hour in range(-24, 49))
            offsets = {hour.astimezone(self._zone).utcoffset() for hour in hours}
            if len(offsets) > 1:
                return
            midnight_s -= int((moment.utcoffset() or timedelta()).total_seconds())
        if len(self._days) + len(self._clocks) > _REMEMBERED_MAX:
            self._days.clear()
            self._clocks.clear()
            self._moved_clocks.clear()
        self._days[text[:10]] = midnight_s
        self._clocks[text[10:]] = start_s - midnight_s
        if moved:  # intervals repeat daily: a time of day lies beside the grid on all days or none
            self._moved_clocks.add(text[10:])

    def duration_s(self, start_s: int) -> int:
        """Return the length of the interval that begins there."""
        return self._grid.duration_s(start_s)

    def slot_of(self, moment: datetime, text: str) -> int:
        """Return the first second of the interval that a moment names; ``text`` is for messages.

        Raises
        ------
        ValueError
            If the moment lies beside the grid, has fractions of a second, or is not between 1970 and 2106.
        """
        if moment.microsecond and not self._tolerance_s:
            raise ValueError(f"{text!r} {FRACTIONS}")
        named_s = epoch_s(moment)
        start = self._grid.start_s(named_s, at_end=self._label_is_end)
        if start is None or moment.microsecond:
            start = self._near(moment)
            self.moved += start is not None
        else:
            self._only_beside = False
        # The grid comes second: in 1900 the clocks of most zones showed minutes and seconds of their own.
        if not 0 <= (named_s if start is None else start) < TIMES_END_S:
            raise ValueError(f"{text!r} is not between 1970 and 2106")
        if start is None:
            raise ValueError(self._off_grid(named_s, text))
        return start

    def _near(self, moment: datetime) -> int | None:
        """Return the interval of the grid time that a moment lies beside; None: too far."""
        if not self._tolerance_s:
            return None
        named_s = epoch_s(moment)
        label_s = self._grid.nearest_s(named_s)
        beyond = named_s >= label_s and moment.microsecond > 0
        if abs(named_s - label_s) + beyond > self._tolerance_s:
            return None
        return self._grid.start_s(label_s, at_end=self._label_is_end)

    def _off_grid(self, named_s: int, text: str) -> str:
        """Return what is wrong with a time beside the grid, and what may mend it."""
        beside_s = named_s - self._grid.nearest_s(named_s)
        if self._beside_s is None:
            self._beside_s = beside_s
        self._only_beside = self._only_beside and beside_s == self._beside_s
        message = f"{text!r} is not on the grid of {self._grid.name}; correct interval_minutes, or "
        far_s = abs(beside_s)
        if self._only_beside and far_s <= _SMALL_S and 4 * far_s <= self._interval_s:
            return f"{message}write tolerance_seconds = {far_s} in [[source]]"
        return f'{message}bring periods of varying length as the readings of a register, kind = "counter"'

    def _is_named(self, moment: datetime) -> bool:
        """Return whether an interval begins, or ends, at a moment or so near that it is taken there."""
        start = self._grid.start_s(epoch_s(moment), at_end=self._label_is_end)
        return start is not None or self._near(moment) is not None

    def _is_own_label(self, moment: datetime) -> bool:
        """Return whether a time that never comes is still one by which the grid counts."""
        if not self._own_labels:
            return False
        clock_s = moment.hour * HOUR_S + moment.minute * 60 + moment.second
        beside_s = clock_s % self._interval_s
        return min(beside_s, self._interval_s - beside_s) <= self._tolerance_s

    def _require_own_offset(self, moment: datetime, text: str) -> None:
        """Refuse a time with an offset that the clock of its source never shows.

        A span is written so, too: of ``2024-01-01 00:00-00:15`` the end would be taken for an offset, and each row be
        hours from where it belongs. Times in UTC are plain, whatever the zone; ISO 8601 has no ``-00:00``.
        """
        offset = moment.utcoffset()
        if self._zone is None or (not offset and not _NO_OFFSET.search(text)):
            return
        half_a_year = timedelta(days=183)
        beside = (moment - half_a_year, moment, moment + half_a_year)
        if all(at.astimezone(self._zone).utcoffset() != offset for at in beside):
            raise ValueError(
                f"{text[:40]!r} has an offset that {self._zone_name} does not have; write "
                f'time_zone = "{OFFSET}" in [[source]] if it is one, or, if two times stand there, have the file '
                "written with the first or the last alone"
            )

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
                return self._one_of(first, text)
            if not self._is_own_label(first):
                raise SkippedTime(
                    f"{text!r} does not exist in {self._zone_name} (clock change); "
                    "write the offset into the file",
                    before,
                    self._last_before(first),
                )
        return first

    def _last_before(self, skipped: datetime) -> int | None:
        """Return the start of the interval that the first of the skipped times closes; None for any other time."""
        moment_s = epoch_s(skipped)
        if not self._label_is_end or (
            utc_of(moment_s - 1).astimezone(self._zone).utcoffset() != skipped.utcoffset()
        ):
            return None
        return self._grid.start_s(moment_s, at_end=True)

    def _one_of(self, first: datetime, text: str) -> datetime:
        """Return the moment of a time that comes twice, where the grid counts by one of the two."""
        named = [item for item in (first, first.replace(fold=1)) if self._is_named(item)]
        if len(named) > 1:
            raise DoubledTime(
                f"{text!r} comes twice in {self._zone_name} (clock change); write the offset "
                'into the file, or clock_change = "in_order" in [[source]] if its rows stand in '
                "the order of time",
                first,
            )
        return named[0] if named else first
