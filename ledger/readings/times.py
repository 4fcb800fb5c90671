"""The time in a meter file, as whole seconds of UTC since 1970."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

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
_END_S = 2**32
"""The contract keeps times in 32 bits, until 2106."""


class TimeReader:
    """Reads the times of one source.

    Parameters
    ----------
    time_zone
        ``offset``, or an IANA name for times without one.
    interval_s
        Length of the source's interval.
    label_is_end
        Whether the file's time is the end of its interval, so that 0:00 closes the day before.
    grid_zone
        The site's legal zone: intervals begin at its midnight.
    """

    def __init__(
        self, time_zone: str, interval_s: int, *, label_is_end: bool, grid_zone: ZoneInfo
    ) -> None:
        self._zone = None if time_zone == OFFSET else zone(time_zone)
        self._zone_name = time_zone
        self._interval_s = interval_s
        self._shift_s = interval_s if label_is_end else 0
        self._grid_zone = grid_zone
        self._whole_hours = _offsets_fit(grid_zone, interval_s)

    def start_s(self, text: str) -> int:
        """Return the first second of the interval that a time names.

        Raises
        ------
        NaiveTime
            The text has no offset and the source names no zone.
        ValueError
            With one line that says what is wrong.
        """
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"{text[:40]!r} is not a time; write it as 2014-01-01T00:10:00+01:00"
            ) from None
        if moment.tzinfo is None:
            moment = self._localized(moment, text)
        if moment.microsecond:
            raise ValueError(f"{text!r} has fractions of a second")
        start = epoch_s(moment) - self._shift_s
        phase = start if self._whole_hours else start + self._local_offset_s(start)
        if phase % self._interval_s:
            raise ValueError(
                f"{text!r} is not on the grid of {self._interval_s // 60} minutes from midnight "
                f"in {self._grid_zone.key}"
            )
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
            what = "comes twice" if before > after else "does not exist"
            raise ValueError(
                f"{text!r} {what} in {self._zone_name} (clock change); write the offset into the file"
            )
        return first

    def _local_offset_s(self, seconds: int) -> int:
        offset = utc_of(seconds).astimezone(self._grid_zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())


class NaiveTime(ValueError):
    """A time without a zone, where the source promised one."""


def _offsets_fit(where: ZoneInfo, interval_s: int) -> bool:
    """Return whether every offset that the zone had or will have is a multiple of the interval."""
    for year in range(1970, 2107):
        for month in (1, 4, 7, 10):
            offset = datetime(year, month, 1, tzinfo=where).utcoffset()
            assert offset is not None
            if offset.total_seconds() % interval_s:
                return False
    return True
