"""Which slots of meters have a value that came in time: just enough to find gaps, and quicker than ``slots``.

Of a year of one meter there are fifty thousand readings and some hundred gaps. Of a reading its beginning is
fetched, and its length with those of all that are as long; readings that follow upon one another are joined here.
To join them in the server (a window function over the rows of the meter, in the order of their index) took it longer
than all of this. A slot is covered when a run has a part of it, as when one of its readings has: so whole runs may be
put into the days, and the slots come out as ``slots`` has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import compress, count, islice, pairwise
from operator import ne

from sqlalchemy.orm import Session

from ledger.db import Database, Many
from ledger.readings.rows.store import fetch
from ledger.readings.shown.slots import CHOSEN, Day, SiteDays, State, days_filled_by
from ledger.reductions.quality import stored

_NAMES = ", ".join(sorted({f"'{stored(quality)[0]}'" for quality in CHOSEN}))
_COUNTS = f"duration_s > 0 AND quality IN ({_NAMES})"
_BEGIN = Many(
    numbers=("start_s",),
    alike_numbers=("duration_s",),
    rest=f"FROM meter_readings WHERE meter_id = ? AND start_s >= ? AND start_s < ? AND {_COUNTS}",
    order="start_s, text",
)
_STEP_DAYS = 31
_REACH_IN = f"""
SELECT start_s, start_s + duration_s FROM meter_readings
WHERE meter_id = ? AND start_s < ? AND start_s + duration_s > ? AND {_COUNTS}
"""


def load_coverage(
    session: Session,
    site_code: str,
    device_code: str | None = None,
    start: date | None = None,
    end: date | None = None,
) -> SiteDays:
    """Return the days of a site's meters; a slot is ``USED`` where a value was in time, else ``ABSENT``.

    What became of the value is not told, and no reading is counted: ``load_days`` does. Parameters and
    errors are the same.

    Raises
    ------
    NotFound
        There is no such site or device.
    BadInput
        The period is empty or too long, or there is no reading to tell it from.
    """
    return days_filled_by(_covered, session, site_code, device_code, start, end)


def _covered(session: Session, meter_id: int, days: list[Day], register: bool) -> None:
    place = 0
    for start_s, end_s in _runs(session, meter_id, days, register):
        while days[place].to_s <= start_s:
            place += 1
        at = place
        while at < len(days) and days[at].from_s < end_s:
            slots = days[at].touched(start_s, end_s)
            days[at].states[slots.start : slots.stop] = bytes((State.USED,)) * len(slots)
            at += 1


def _runs(
    session: Session, meter_id: int, days: list[Day], longer: bool
) -> Iterator[tuple[int, int]]:
    """Yield from when to when readings follow upon one another, in order of their beginning."""
    db: Database = session.info["database"]
    from_s, to_s = days[0].from_s, days[-1].to_s
    if longer:  # one that began before may reach into the period
        yield from fetch(db, session, _REACH_IN, (meter_id, from_s, from_s))
    # Some weeks at once: of a whole year of a small park the server would take its index for no help.
    ends = [*(day.from_s for day in days[::_STEP_DAYS]), to_s]
    for part in pairwise(ends):
        starts, lengths = db.many(session, _BEGIN, (meter_id, *part))
        yield from _joined(
            starts, [start_s + s for start_s, (s,) in zip(starts, lengths, strict=True)]
        )


def _joined(starts: Sequence[int], ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield from when to when readings follow upon one another, given when they begin and end."""
    first = 0
    for after in compress(count(1), map(ne, islice(starts, 1, None), ends)):
        yield starts[first], ends[after - 1]
        first = after
    if starts:
        yield starts[first], ends[-1]
