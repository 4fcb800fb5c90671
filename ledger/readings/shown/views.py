"""Quality and gaps of meters as documents: what ``readings quality`` and ``readings gaps`` print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import tables
from ledger.models import ImportFile
from ledger.readings.shown.slots import MISSING, OUTLIERS, Day, DeviceDays, SiteDays, State, Tally
from ledger.reductions.quality import REASONS, stored
from ledger.reductions.records import SUPERSEDED, Quality
from ledger.reductions.zones import utc_of
from ledger.units import HOUR_S, decimal_half_up, plain

NO_ROW = "no row in any file"
_SAID = {
    Quality.MISSING_SENTINEL: "a text that means no value: it is declared so, or was withdrawn"
}
"""What is said of readings that are counted, where the reason of each may be another one."""
_GAP = re.compile(rb"[%b]+" % b"".join(re.escape(bytes([state])) for state in MISSING))


@dataclass(frozen=True)
class Gap:
    """Consecutive slots without a value that was in time."""

    from_s: int
    to_s: int
    slots: int

    @property
    def seconds(self) -> int:
        """Length of the gap."""
        return self.to_s - self.from_s


def counts_of_days(days: Iterable[Day]) -> dict[str, int]:
    """Return what became of the slots, and how many readings are superseded or late.

    ``expected = used + missing + outlier``, as in a reduction; ``absent`` are the missing ones without a row,
    ``above``, ``below``, ``stuck`` and ``fell`` (of a register) the outliers by kind, ``conflict`` the slots
    with several different values.
    """
    days = list(days)

    def slots(*states: State) -> int:
        return sum(day.count(*states) for day in days)

    def readings(*qualities: Quality) -> int:
        return sum(
            day.tallies[quality].readings
            for day in days
            for quality in qualities
            if quality in day.tallies
        )

    return {
        "expected": sum(len(day.states) for day in days),
        "used": slots(State.USED, State.CONFLICT),
        "missing": slots(*MISSING),
        "absent": slots(State.ABSENT),
        "outlier": slots(*OUTLIERS),
        "above": slots(State.ABOVE),
        "below": slots(State.BELOW),
        "stuck": slots(State.STUCK),
        "fell": slots(State.FELL),
        "conflict": sum(day.conflicts for day in days),
        "superseded": readings(*SUPERSEDED),
        "late": readings(Quality.LATE),
    }


def reasons_of_days(days: Iterable[Day], files: dict[int, str]) -> list[dict[str, Any]]:
    """Return why readings do not count, each with how many and the first of them."""
    days = list(days)
    total: dict[Quality, Tally] = {}
    for day in days:
        for quality, tally in day.tallies.items():
            known = total.get(quality)
            if known is None:
                total[quality] = Tally(tally.readings, tally.first_s, tally.file_id, tally.line)
            else:
                known.readings += tally.readings
    reasons: list[dict[str, Any]] = []
    absent = sum(day.count(State.ABSENT) for day in days)
    if absent:
        first = next(day for day in days if day.count(State.ABSENT))
        at = first.slot_start_s(first.states.index(State.ABSENT))
        reasons.append(_reason(None, "missing", NO_ROW, absent, {"at": utc_of(at)}))
    for quality in sorted(total):
        if quality == Quality.USED:
            continue
        tally = total[quality]
        place = {"file": files.get(tally.file_id, ""), "line": tally.line}
        first_row = {"at": utc_of(tally.first_s), **place}
        name = stored(quality)[0]
        reasons.append(
            _reason(quality, name, _SAID.get(quality, REASONS[quality]), tally.readings, first_row)
        )
    return reasons


def _reason(
    number: Quality | None, name: str, reason: str | None, readings: int, first: dict[str, Any]
) -> dict[str, Any]:
    return {
        "number": None if number is None else int(number),
        "quality": name,
        "reason": reason,
        "readings": readings,
        "first": first,
    }


def gaps_of(device: DeviceDays) -> Iterator[Gap]:
    """Yield the gaps of a meter, in order; one that runs over midnight is one gap."""
    last: Gap | None = None
    for day in device.days:
        for found in _GAP.finditer(day.states):
            from_s, to_s = day.slot_start_s(found.start()), day.slot_start_s(found.end())
            slots = found.end() - found.start()
            if last is not None and last.to_s == from_s:
                last = Gap(last.from_s, to_s, last.slots + slots)
                continue
            if last is not None:
                yield last
            last = Gap(from_s, to_s, slots)
    if last is not None:
        yield last


def quality_document(session: Session, found: SiteDays) -> dict[str, Any]:
    """Return what became of the slots of a site's meters, by legal day and in all."""
    files = file_names(session, found)
    return {
        **_head(found),
        "devices": [
            {
                **_device(device),
                "total": counts_of_days(device.days),
                "reasons": reasons_of_days(device.days, files),
                "days": [
                    {
                        "day": day.day,
                        **counts_of_days([day]),
                        "reasons": reasons_of_days([day], files),
                    }
                    for day in device.days
                ],
            }
            for device in found.devices
        ],
    }


def gaps_document(found: SiteDays) -> dict[str, Any]:
    """Return the gaps of a site's meters, each and in all."""
    devices = []
    for device in found.devices:
        gaps = list(gaps_of(device))
        longest = max(gaps, key=lambda gap: gap.seconds, default=None)
        devices.append(
            {
                **_device(device),
                "expected": sum(len(day.states) for day in device.days),
                "missing": sum(gap.slots for gap in gaps),
                "hours": hours(sum(gap.seconds for gap in gaps)),
                "longest": None if longest is None else _gap(longest),
                "gaps": [_gap(gap) for gap in gaps],
            }
        )
    return {**_head(found), "devices": devices}


def hours(seconds: int) -> str:
    """Return a length in hours as decimal text, with three decimals at most."""
    return plain(decimal_half_up(Fraction(seconds, HOUR_S), 3))


def file_names(session: Session, found: SiteDays) -> dict[int, str]:
    """Return the names of the files that the first readings of each quality come from."""
    ids = {
        tally.file_id
        for device in found.devices
        for day in device.days
        for tally in day.tallies.values()
    }
    return {
        number: name
        for here in tables.among(session, ImportFile.id, ids)
        for number, name in session.execute(select(ImportFile.id, ImportFile.file_name).where(here))
    }


def _head(found: SiteDays) -> dict[str, Any]:
    return {
        "site": found.site,
        "time_zone": found.time_zone,
        "period": {"from": found.start, "to": found.end},
    }


def _device(device: DeviceDays) -> dict[str, Any]:
    return {
        "device": device.device,
        "meter": device.serial,
        "role": device.role,
        "interval_minutes": device.interval_s // 60,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "from": utc_of(gap.from_s),
        "to": utc_of(gap.to_s),
        "slots": gap.slots,
        "hours": hours(gap.seconds),
    }
