"""Where in the readings a difference lies, in a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import islice

from ledger.errors import BadInput
from ledger.reductions.digests import seconds_of
from ledger.reductions.manifest_shapes import Manifest1
from ledger.reductions.meter_judge import Difference
from ledger.reductions.zones import legal_day_start_s, zone

NAMED_MAX = 5


def slot_hints(stated: Manifest1, differences: Iterable[Difference]) -> Iterator[str]:
    """Yield for each meter the days, and where its digests tell the slots, of readings that differ.

    A digest of a day and one of a time differ where the reading that they share does. One day and several
    times, or one time on several days, are those slots; of several days and several times it is some of the places
    where they cross.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for difference in differences:
        for name in ("days", "times"):
            meter, sign, key = difference.path.partition(f"].{name}.")
            if sign:
                serial = meter.removeprefix("meters[")
                found.setdefault(serial, {"days": [], "times": []})[name].append(key)
    for serial, keys in found.items():
        days, times = sorted(keys["days"]), sorted(keys["times"])
        said = f"meter {serial}: the readings of {_listed(days, 'days')} are not those that the manifest was made from"
        slots = list(islice(_slots(stated, days, times), NAMED_MAX + 1))
        if slots and (len(days) == 1 or len(times) == 1):
            said += f": {_listed(slots, 'slots')}"
        elif slots:
            said += f"; their slots begin {_listed(times, 'times')} after the day does"
        yield said


def _slots(stated: Manifest1, days: Iterable[str], times: Iterable[str]) -> Iterator[str]:
    """Yield the legal times at which slots begin; those that no manifest of ours names are passed over."""
    try:
        where = zone(stated.period.zone)
    except BadInput:  # said of the period
        return
    for day in days:
        for time in times:
            since_s = seconds_of(time)
            if since_s is None:
                continue
            try:
                begins_s = legal_day_start_s(date.fromisoformat(day), where)
                slot = datetime.fromtimestamp(begins_s + since_s, where)
            except (ValueError, OverflowError):
                continue
            yield slot.isoformat()


def _listed(names: list[str], what: str) -> str:
    more = f" and later {what}" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
