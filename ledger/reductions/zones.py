"""Legal time: zones, legal days, and seconds of UTC since 1970.

Zones come from the ``tzdata`` package and never from the machine, so that the same dates give the
same seconds everywhere and a manifest can name the version that was used.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

from ledger.errors import BadInput
from ledger.units import DAY_S

TZDATA_VERSION: str = tzdata.IANA_VERSION
TIMES_END_S = 2**32
"""The contract keeps times in 32 bits, until 2106."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME_MAX = 64
"""Characters of a zone's name: a longer one is no name of a file on every system."""


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Return an IANA time zone.

    Raises
    ------
    BadInput
        There is no zone of that name.
    """
    parts = name.split("/")
    if 0 < len(name) <= _NAME_MAX and all(
        part.replace("_", "").replace("-", "").replace("+", "").isalnum() for part in parts
    ):
        file = resources.files("tzdata.zoneinfo").joinpath(*parts)
        if file.is_file():
            with file.open("rb") as stream:
                if stream.read(4) == b"TZif":
                    stream.seek(0)
                    return ZoneInfo.from_file(stream, key=name)
    raise BadInput(
        f"{name!r} is no IANA time zone; write one such as Europe/Paris or Asia/Shanghai"
    )


def epoch_s(moment: datetime) -> int:
    """Return an aware time as whole seconds since 1970."""
    since = moment - _EPOCH
    return since.days * DAY_S + since.seconds


def utc_of(seconds: int) -> datetime:
    """Return seconds since 1970 as an aware time."""
    return _EPOCH + timedelta(seconds=seconds)


def legal_day_start_s(day: date, where: ZoneInfo) -> int:
    """Return the first second of a legal day, also where midnight is skipped or comes twice."""
    return epoch_s(datetime(day.year, day.month, day.day, tzinfo=where))


def legal_day_end_s(day: date, where: ZoneInfo) -> int:
    """Return the first second after a legal day, also after 9999-12-31, as which "for ever" is written."""
    if day == date.max:
        return legal_day_start_s(day, where) + DAY_S
    return legal_day_start_s(day + timedelta(days=1), where)


def legal_days(from_s: int, to_s: int, where: ZoneInfo) -> list[tuple[date, int]]:
    """Return the legal days that ``[from_s, to_s)`` touches and the day after, each with its first second."""
    day, last = legal_day(from_s, where), legal_day(to_s - 1, where)
    days = []
    while day <= last + timedelta(days=1):
        days.append((day, legal_day_start_s(day, where)))
        day += timedelta(days=1)
    return days


def day_starts(from_s: int, to_s: int, where: ZoneInfo) -> list[int]:
    """Return the first seconds of the legal days that ``[from_s, to_s)`` touches, and of the day after."""
    return [start_s for _, start_s in legal_days(from_s, to_s, where)]


def legal_day(seconds: int, where: ZoneInfo) -> date:
    """Return the legal day that a second lies in."""
    return utc_of(seconds).astimezone(where).date()
