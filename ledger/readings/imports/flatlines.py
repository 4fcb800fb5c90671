"""Flat lines in stored readings: judged anew for every legal day that an import touched.

Slots are judged one by one when they are written, and a day as a whole afterwards: a row that comes
later, in whatever file, may end a line or complete it. Readings of issued periods are left as they are;
periods begin and end with legal days, so that a day is issued whole or not at all.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.readings.energy import runs_of_days
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.store import Judged, fetch, judge_anew
from ledger.reductions.flatlines import can_stick, stuck_places
from ledger.reductions.quality import stored
from ledger.reductions.records import Quality
from ledger.reductions.zones import day_starts
from ledger.units import DAY_S

# One row for each slot that has a value: the one that was chosen, whether it counts or not.
_SELECT = (
    "SELECT start_s, start_s + duration_s, value_digits, value_scale, id, quality, conflict, reason "
    "FROM meter_readings WHERE meter_id = ? AND start_s >= ? AND start_s < ? AND duration_s > 0 "
    "AND quality IN ('used', 'outlier') ORDER BY start_s"
)
_STUCK = stored(Quality.STUCK)
_USED = stored(Quality.USED)[0]


def mark_stuck(db: Database, session: Session, meter: MeterState, where: ZoneInfo) -> int:
    """Judge the flat lines of the days that were touched; note days that change by it as touched too.

    Parameters
    ----------
    where
        The site's legal zone.

    Returns
    -------
    int
        How many readings became stuck.
    """
    if not can_stick(meter.role, meter.stuck_hours):
        return 0
    stuck = 0
    for first, end in list(runs_of_days(meter.touched_days)):
        starts = day_starts(first * DAY_S, end * DAY_S, where)
        rows = fetch(db, session, _SELECT, (meter.id, starts[0], starts[-1]))
        places = set(stuck_places([row[:4] for row in rows], starts, meter.stuck_hours))
        if not places and not any(row[7] == _STUCK[1] for row in rows):
            continue
        updates: list[Judged] = []
        for place, (start_s, end_s, _, _, id_, quality, conflict, reason) in enumerate(rows):
            is_stuck = (quality, reason) == _STUCK
            changes = (place in places) is not is_stuck and (is_stuck or quality == _USED)
            if not changes or meter.is_issued(start_s):
                continue
            # Only what would count is ever stuck.
            freed = Quality.USED_IN_CONFLICT if conflict else Quality.USED
            after = _STUCK if place in places else stored(freed)
            updates.append((after[0], bool(conflict), after[1], id_))
            stuck += place in places
            meter.touch(start_s, end_s - start_s)
        judge_anew(session, updates)
    return stuck
