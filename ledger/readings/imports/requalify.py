"""Judges stored readings anew when something has changed by which they are judged.

That is so when a rated power or the length of a flat line is corrected, and when an issuance becomes void: readings
that came late for it are in time for the next one. Slots of live issuances are left as they are. ``refresh_site``
computes anew what is shown of all readings of a site.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from ledger.db import Database, tables
from ledger.errors import NotFound
from ledger.models import (
    CarbonEmission,
    Device,
    EnergyConsumption,
    EnergyProduction,
    ImportFile,
    Meter,
    MeterReading,
    MeterSeries,
    RegisterReading,
    Site,
)
from ledger.models.readings import ReadingQuality
from ledger.models.sites import SourceKind
from ledger.readings.energy import refresh
from ledger.readings.imports.declared import meter_state
from ledger.readings.rows.asking import meters_with_devices
from ledger.readings.rows.chains import FOREVER_S, LeftOut
from ledger.readings.rows.counters import derive
from ledger.readings.rows.meter_state import MeterState
from ledger.readings.rows.store import Judged, fetch, judge_anew
from ledger.reductions.flatlines import can_stick, stuck_places
from ledger.reductions.manifest_shapes import MeterTable1, MeterTable2
from ledger.reductions.quality import judge_slot, limits_of, stored
from ledger.reductions.records import OUTLIER, USED, Kind, Quality
from ledger.reductions.zones import TIMES_END_S, day_starts, zone

_SELECT = (
    "SELECT id, start_s, text, value_digits, value_scale, quality, conflict, reason, duration_s, file_id "
    "FROM meter_readings WHERE meter_id = ? AND start_s >= ? AND start_s < ? ORDER BY start_s, text"
)
_STEP_DAYS = 31


@dataclass(frozen=True)
class Since:
    """All that came after a moment, of the time from one second to another."""

    moment: datetime
    from_s: int
    to_s: int


def judge_as_before(session: Session, meter_id: int, since: Since, stated: MeterTable1) -> None:
    """Judge the readings of a meter as if none had come since a moment for a time; those that did are late for it.

    For a time that no live issuance holds. Readings of other times are judged so, too: ``requalify`` has to follow,
    when the issuance is live.

    Parameters
    ----------
    stated
        What the issuance's manifest says of the meter: by that its readings are judged.
    """
    session.flush()
    # Locked, and first: an import that is at work on it is waited for, and what it brought is seen.
    session.execute(select(Meter.id).where(Meter.id == meter_id).with_for_update())
    _, reason = stored(Quality.LATE)
    late = {"quality": ReadingQuality.LATE, "reason": reason}
    left_out = LeftOut(frozenset(), since.from_s, since.to_s)
    for table, at_s, values in (
        (MeterReading, MeterReading.start_s, {**late, "conflict": False}),
        (RegisterReading, RegisterReading.at_s, late),
    ):
        here = (table.meter_id == meter_id) & (at_s >= since.from_s) & (at_s < since.to_s)
        brought = _brought(session, table, since.moment, here)
        for those in tables.among(session, table.file_id, brought):
            session.execute(
                update(table)
                .where(here, those)
                .values(values)
                .execution_options(synchronize_session=False)
            )
        left_out = replace(left_out, files=left_out.files | brought)
    # Of a register all that came since: what is beside the time may make a dip of what is in it.
    chained = _brought(session, RegisterReading, since.moment, RegisterReading.meter_id == meter_id)
    if chained:
        left_out = LeftOut(chained, 0, FOREVER_S)
    session.expire_all()
    requalify(session, meter_id, left_out, stated)


def _brought(
    session: Session,
    table: type[MeterReading | RegisterReading],
    moment: datetime,
    which: ColumnElement[bool],
) -> frozenset[int]:
    """Return the row numbers of the imports since a moment that brought some readings, and lock those."""
    query = select(table.file_id).join(ImportFile, ImportFile.id == table.file_id).distinct()
    later = ImportFile.imported_at > moment
    return frozenset(session.scalars(query.where(which, later).with_for_update(read=True)))


def requalify(
    session: Session,
    meter_id: int,
    left_out: LeftOut | None = None,
    stated: MeterTable1 | None = None,
) -> int:
    """Judge every reading of a meter anew that no live issuance holds.

    Parameters
    ----------
    left_out
        Readings that shall count for nothing, as if they had not come.
    stated
        What a manifest says of the meter, by which they are judged; None: by what the books say.

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
    series = session.get(MeterSeries, meter_id)
    if series is not None and series.kind == SourceKind.COUNTER:
        state = _state(session, meter, device, Kind.ENERGY, series.interval_s, stated)
        derived = derive(database, session, state, series, left_out=left_out)
        _touch_late(database, session, state)
        refresh(database, session, site, state)
        return derived.written + derived.taken_out
    ends = _first_and_last(database, session, meter_id)
    if not ends:
        return 0
    (kind, duration_s, first_s), (_, _, last_s) = ends
    state = _state(session, meter, device, Kind[kind.upper()], duration_s, stated)
    starts = day_starts(first_s, last_s + 1, zone(site.time_zone))
    changed = 0
    for place in range(0, len(starts) - 1, _STEP_DAYS):
        days = starts[place : place + _STEP_DAYS + 1]
        changed += _judge_days(database, session, state, days, left_out)
    _touch_late(database, session, state)
    refresh(database, session, site, state)
    return changed


def _state(
    session: Session,
    meter: Meter,
    device: Device,
    kind: Kind,
    interval_s: int,
    stated: MeterTable1 | None,
) -> MeterState:
    """Return a meter as ``requalify`` judges it."""
    state = meter_state(session, meter, device, kind, interval_s)
    if stated is not None:
        rated = None if stated.rated_kw is None else Fraction(stated.rated_kw)
        state.limits = limits_of(state.role, rated, kind, interval_s)
        state.stuck_hours = stated.stuck_hours if isinstance(stated, MeterTable2) else 0
    return state


def _touch_late(database: Database, session: Session, meter: MeterState) -> None:
    """Have the days of late readings shown anew: what they show is judged when it is shown (``energy``)."""
    sql = "SELECT start_s, duration_s FROM meter_readings WHERE meter_id = ? AND quality = 'late'"
    for start_s, duration_s in fetch(database, session, sql + _lock(database), (meter.id,)):
        meter.touch(start_s, duration_s)


def _first_and_last(
    database: Database, session: Session, meter_id: int
) -> list[tuple[str, int, int]]:
    """Return kind, length and start of a meter's first and last reading; nothing when it has none."""
    ends: list[tuple[str, int, int]] = []
    for order in ("", " DESC"):
        sql = (
            "SELECT kind, duration_s, start_s FROM meter_readings WHERE meter_id = ? "
            f"ORDER BY start_s{order} LIMIT 1{_lock(database)}"
        )
        ends += fetch(database, session, sql, (meter_id,))
    return ends


def _lock(database: Database) -> str:
    """Return what makes a query read what is committed now.

    On MariaDB this unit of work may be older than the last import: it may have waited for that.
    """
    return "" if database.dialect == "sqlite" else " LOCK IN SHARE MODE"


def _judge_days(
    database: Database,
    session: Session,
    meter: MeterState,
    starts: list[int],
    left_out: LeftOut | None,
) -> int:
    """Judge the readings of consecutive legal days, each slot first and then each day as a whole."""
    rows = fetch(database, session, _SELECT + _lock(database), (meter.id, starts[0], starts[-1]))
    if left_out is not None:
        inside = left_out.to_s  # what begins there is of the days after
        rows = [row for row in rows if row[1] >= inside or not left_out.has(row[9], row[1])]
    judged: list[tuple[Any, Quality, bool]] = []
    chosen: list[int] = []
    for start_s, group in groupby(rows, key=lambda row: row[1]):
        if meter.is_issued(start_s):
            continue
        slot = list(group)
        values = [(row[2], None if row[3] is None else (row[3], row[4])) for row in slot]
        qualities, conflict = judge_slot(values, meter.role, meter.limits, slot[0][8])
        for row, quality in zip(slot, qualities, strict=True):
            if quality in USED or quality in OUTLIER:
                chosen.append(len(judged))
            judged.append((row, quality, conflict))
    stuck = _stuck(meter, judged, chosen, starts)
    updates: list[Judged] = []
    for place, (row, quality, conflict) in enumerate(judged):
        name, reason = stored(Quality.STUCK if place in stuck else quality)
        after = (name, conflict and row[3] is not None, reason)
        if after != (row[5], bool(row[6]), row[7]):
            updates.append((*after, row[0]))
            meter.touch(row[1], row[8])
    judge_anew(session, updates)
    return len(updates)


def _stuck(
    meter: MeterState, judged: list[tuple[Any, Quality, bool]], chosen: list[int], starts: list[int]
) -> set[int]:
    """Return the places of the readings that would count and stand in a flat line."""
    if not can_stick(meter.role, meter.stuck_hours):
        return set()
    levels = [(row[1], row[1] + row[8], row[3], row[4]) for row in (judged[n][0] for n in chosen)]
    lines = (chosen[place] for place in stuck_places(levels, starts, meter.stuck_hours))
    return {place for place in lines if judged[place][1] in USED}


def refresh_site(session: Session, site: Site) -> int:
    """Compute energy and emissions of every meter of a site anew, and return how many had readings.

    Needed when another factor is named for the inventory, when an import meter joins the site
    and takes over what its loads were counted for, and when somebody wrote into these tables by hand:
    whatever stands there of a device with a meter goes.
    """
    database = session.info["database"]
    session.flush()
    count = 0
    for meter, device in meters_with_devices(session, site):
        for model in (EnergyProduction, EnergyConsumption, CarbonEmission):
            session.execute(delete(model).where(model.device_id == device.id))
        for state in with_all_days(session, meter, device):
            refresh(database, session, site, state)
            count += 1
    return count


def with_all_days(session: Session, meter: Meter, device: Device) -> list[MeterState]:
    """Return a meter with each day of its readings, and between them, as touched; nothing when it has none.

    Rows of times that no file can bring, as somebody may have written them into the books, are of no day.
    """
    sql = (
        "SELECT kind, MAX(duration_s), MIN(start_s), MAX(start_s + duration_s) FROM meter_readings "
        "WHERE meter_id = ? AND start_s >= 0 AND start_s < ? GROUP BY kind"
    )
    states = []
    found = fetch(session.info["database"], session, sql, (meter.id, TIMES_END_S))
    for kind, duration_s, first_s, end_s in found:
        state = meter_state(session, meter, device, Kind[kind.upper()], duration_s)
        state.touch(first_s, min(end_s, TIMES_END_S) - first_s)
        states.append(state)
    return states
