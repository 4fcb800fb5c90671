"""Judge stored readings anew, after what they are judged by has changed.

Needed when a rated power is corrected, and when an issuance is void: readings that came late for
it are in time for the next one. Slots of live issuances are left as they are.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.errors import NotFound
from ledger.models import Device, Meter, Site
from ledger.readings.energy import refresh
from ledger.readings.importing import meter_state
from ledger.reductions.quality import judge_slot, stored
from ledger.readings.store import UPDATE, MeterState, fetch
from ledger.reductions.records import Kind

_SELECT = (
    "SELECT id, start_s, text, value_digits, value_scale, quality, conflict, reason "
    "FROM meter_readings WHERE meter_id = ? AND start_s >= ? AND start_s < ? ORDER BY start_s, text"
)
_STEP_S = 31 * 86400


def requalify(session: Session, meter_id: int) -> int:
    """Judge every reading of a meter anew that no live issuance holds.

    Returns
    -------
    int
        How many rows changed.

    Raises
    ------
    NotFound
        There is no such meter.
    """
    database = session.info["database"]
    session.flush()
    query = (
        select(Meter, Device, Site)
        .join(Device, Device.id == Meter.device_id)
        .join(Site, Site.id == Meter.site_id)
        .where(Meter.id == meter_id)
        .with_for_update()
    )
    found = session.execute(query).first()
    if found is None:
        raise NotFound(f"no meter with row number {meter_id}")
    meter, device, site = found
    sql = (
        "SELECT kind, duration_s, MIN(start_s), MAX(start_s) FROM meter_readings "
        "WHERE meter_id = ? GROUP BY kind, duration_s"
    )
    changed = 0
    for kind, duration_s, first_s, last_s in fetch(database, session, sql, (meter_id,)):
        state = meter_state(session, meter, device, Kind[kind.upper()], duration_s)
        for from_s in range(first_s, last_s + 1, _STEP_S):
            changed += _judge_range(database, session, state, from_s, from_s + _STEP_S)
        refresh(database, session, site, state)
    return changed


def _judge_range(
    database: Database, session: Session, meter: MeterState, from_s: int, to_s: int
) -> int:
    # On MariaDB this unit of work may be older than the last import: read what is committed now.
    lock = "" if database.dialect == "sqlite" else " LOCK IN SHARE MODE"
    rows = fetch(database, session, _SELECT + lock, (meter.id, from_s, to_s))
    updates: list[tuple[Any, ...]] = []
    for start_s, group in groupby(rows, key=lambda row: row[1]):
        if meter.is_issued(start_s):
            continue
        slot = list(group)
        values = [(row[2], None if row[3] is None else (row[3], row[4])) for row in slot]
        qualities, conflict = judge_slot(values, meter.role, meter.limits)
        for row, quality in zip(slot, qualities, strict=True):
            name, reason = stored(quality)
            after = (name, conflict and row[3] is not None, reason)
            if after != (row[5], bool(row[6]), row[7]):
                updates.append((*after, row[0]))
                meter.touched_days.add(start_s // 86400)
    database.executemany(session, UPDATE, updates)
    return len(updates)
