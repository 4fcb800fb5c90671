"""Digests of a meter's readings in its manifest, by which a changed one is found to its slot.

The root says that something differs, and not where. ``days`` has a digest for each legal day, and ``times``
one for each time of the day over all days: a reading that differs stands where a day and a time that differ
cross. A digest is the first 16 digits of the keccak-256 of the lines in the readings file, in order, without the
meter's column. Nothing rests on them that does not rest on the root.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta

from tiny_keccak import keccak256

from ledger.reductions.records import Meter
from ledger.reductions.zones import legal_day, legal_day_start_s, zone
from ledger.units import HOUR_S

DIGITS = 16
_MINUTE_S = 60


def digests_json(meter: Meter, zone_name: str) -> dict[str, dict[str, str]]:
    """Return ``days`` and ``times``. A reading belongs to the day, and to the slot of it, that it starts in.

    Raises
    ------
    BadInput
        There is no such zone.
    """
    where = zone(zone_name)
    days: defaultdict[date, list[str]] = defaultdict(list)
    times: defaultdict[str, list[str]] = defaultdict(list)
    day, from_s, until_s = date.min, 0, 0
    for start_s, end_s, kind, quality, _, _, text in sorted(
        meter.readings, key=lambda reading: (reading.start_s, reading.text)
    ):
        if start_s >= until_s:
            day = legal_day(start_s, where)
            from_s, until_s = (
                legal_day_start_s(day + timedelta(days=more), where) for more in (0, 1)
            )
        line = f"{start_s},{end_s},{int(kind)},{int(quality)},{text}\n"
        days[day].append(line)
        times[time_of(start_s - from_s, meter.interval_s)].append(line)
    return {
        "days": {day.isoformat(): _digest(lines) for day, lines in days.items()},
        "times": {name: _digest(lines) for name, lines in times.items()},
    }


def time_of(since_s: int, interval_s: int) -> str:
    """Return the name of the slot that a second of a legal day lies in: hours and minutes since its beginning.

    On the days on which a clock changes they are not what it shows.
    """
    slot_s = since_s - since_s % interval_s
    return f"{slot_s // HOUR_S:02d}:{slot_s % HOUR_S // _MINUTE_S:02d}"


def seconds_of(time: str) -> int | None:
    """Return the seconds of a slot's name since the beginning of the day; None when it is none."""
    hours, _, minutes = time.partition(":")
    if not (len(hours) == len(minutes) == 2 and (hours + minutes).isdecimal()):
        return None
    return int(hours) * HOUR_S + int(minutes) * _MINUTE_S


def _digest(lines: Iterable[str]) -> str:
    return keccak256("".join(lines).encode()).hex()[:DIGITS]
