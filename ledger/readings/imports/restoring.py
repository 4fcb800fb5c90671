"""Readings that were withdrawn by mistake: they have their values again, and both acts stay to be seen.

Whether a value counts then is judged as ever, beside all that came meanwhile: of several values of a time the one that
claims least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.clock import moment_after
from ledger.db import tables
from ledger.errors import BadInput, NotFound, Refused
from ledger.files import require_unchanged
from ledger.models import ImportFile, Meter, MeterReading, ReadingRestoration, ReadingWithdrawal
from ledger.naming import site_named, source_named
from ledger.readings.files.opening import opened, sha256_of
from ledger.readings.files.sources import RawReading, read_rows
from ledger.readings.imports.declared import source_of
from ledger.readings.imports.requalify import requalify
from ledger.readings.imports.selected import (
    Changed,
    EarlierAct,
    Meant,
    Selected,
    Which,
    as_noted,
    count_as_late,
    give_values,
    require_free,
    require_told,
    rows_meant,
    select_meant,
    select_meter,
    stuck_rows,
    take_values,
)
from ledger.readings.rows.withdrawals import is_withdrawn, last_turns
from ledger.reductions.zones import day_starts, utc_of

_RESPELLED = "import its value in another spelling (`60.0` for `60`), which `truetonne reductions correct` counts"


class AsIn(NamedTuple):
    """A file that was imported, and the source that reads it: readings are meant that stand in it."""

    path: Path
    source: str


def restore(
    session: Session,
    site_code: str,
    device_code: str,
    which: Which,
    reason: str,
    as_in: AsIn | None = None,
) -> Changed:
    """Give readings that were withdrawn their values back, all or none, and judge their meter anew.

    Parameters
    ----------
    as_in
        Only those that a file has at their times with their texts. A row stands in the books once, as of the file that
        brought it first: so a right file has rows that were withdrawn with a wrong one.

    Raises
    ------
    NotFound
        There is no such site, device or source, or no reading that is meant and withdrawn.
    BadInput
        Nothing says which are meant, or why; the range is empty; the file is named too shortly; a file cannot be read,
        or was not imported; or its source is of another device.
    Refused
        A reading is issued as it is, or a correction has counted it so; or it is a part of a flat line whose rest
        stays withdrawn, and would count by itself.
    """
    require_told(which, reason, otherwise=as_in is not None)
    found = select_meter(session, site_code, device_code)
    rows = rows_meant(session, found.meter, which, is_withdrawn())
    if as_in is not None:
        rows = _standing_in(session, site_code, device_code, as_in, found, rows)
    if not rows:
        raise NotFound(
            f"device {device_code!r} has no such reading that is withdrawn; `truetonne readings show` lists what "
            "there is",
            code="no-readings",
        )
    require_free(
        session,
        found,
        rows,
        issued=f"Narrow it down to those that are not; for what is issued {_RESPELLED} where it claims less",
        corrected=f"without a value, and what was corrected stays so: {_RESPELLED}",
    )
    count_as_late(session, found, rows)
    numbers = [row.id for row in rows]
    first, last = (utc_of(rows[place].start_s) for place in (0, -1))
    stuck = _stuck_as_a_whole(session, found, rows)
    turns = last_turns(session, ReadingWithdrawal.withdrawn_at, numbers)
    withdrawn_at = max(moment for _, moment in turns.values())
    now = max(found.now, moment_after(withdrawn_at))
    act = {"reason": reason.strip(), "restored_at": now}
    tables.insert(
        session,
        ReadingRestoration,
        [{"reading_id": number, "turn": turns[number][0], **act} for number in numbers],
    )
    give_values(session, rows)
    session.expire_all()
    judged = requalify(session, found.meter.id)
    if stuck - stuck_rows(session, found.meter.id):
        raise Refused(
            "what is meant is a part of a flat line, and would count without the rest of it, which stays withdrawn: "
            "restore all of it, or none; what is stuck claims nothing",
            code="readings-stuck",
        )
    values = as_noted(device_code, reason.strip(), (first, last), [row.text for row in rows])
    audit.record(session, "readings.restore", f"{Meter.__tablename__}/{found.meter.id}", {}, values)
    return Changed(len(numbers), first, last, judged, ended=_ended(session, numbers, turns))


def _ended(
    session: Session, numbers: Sequence[int], turns: Mapping[int, tuple[int, datetime]]
) -> tuple[EarlierAct, ...]:
    """Return the withdrawals of readings that were restored, the latest first."""
    table, counts = ReadingWithdrawal, Counter[tuple[datetime, str]]()
    for those in tables.among(session, table.reading_id, numbers):
        query = select(table.reading_id, table.turn, table.withdrawn_at, table.reason)
        counts.update(
            (at, reason)
            for number, turn, at, reason in session.execute(query.where(those))
            if turn == turns[number][0]
        )
    return tuple(EarlierAct(*act, counts[act]) for act in sorted(counts, reverse=True))


def _standing_in(
    session: Session,
    site_code: str,
    device_code: str,
    as_in: AsIn,
    found: Selected,
    rows: Sequence[Meant],
) -> list[Meant]:
    """Return those of some readings that stand in a file."""
    digest, state = sha256_of(as_in.path)
    row = source_named(session, site_named(session, site_code), as_in.source)
    if row.device_code not in (None, device_code):
        raise BadInput(
            f"source {as_in.source!r} is of device {row.device_code!r}: name one that feeds {device_code!r}",
            code="usage",
        )
    came = select(ImportFile.id).where(
        ImportFile.source_id == row.id, ImportFile.file_sha256 == digest
    )
    if session.scalar(came.limit(1)) is None:
        raise BadInput(
            f"{as_in.path.name} was not imported by source {as_in.source!r}, as it is now: import it first; what it "
            "has in common with what is withdrawn is counted as unchanged",
            code="not-imported",
        )
    source = source_of(row)
    wanted = {(each.start_s, each.text) for each in rows if each.unit == source.unit}
    meant = set()
    with opened(as_in.path, source.file_format) as table:
        for item in read_rows(table, source, found.where, {device_code: None}):
            if isinstance(item, RawReading) and item.device == device_code:
                meant.add((item.start_s, item.text))
    require_unchanged(as_in.path, state)
    meant &= wanted
    return [
        each for each in rows if (each.start_s, each.text) in meant and each.unit == source.unit
    ]


def _stuck_as_a_whole(session: Session, found: Selected, rows: Sequence[Meant]) -> set[int]:
    """Return which readings would be stuck, had all that is withdrawn of their legal days its value again.

    Else a flat line that is withdrawn as a whole could come back without one of its slots, and claim. Nothing is
    left changed.
    """
    if not found.meter.stuck_hours:
        return set()
    days = day_starts(rows[0].start_s, rows[-1].start_s + 1, found.where)
    inside = (MeterReading.start_s >= days[0]) & (MeterReading.start_s < days[-1])
    query = select_meant().where(
        MeterReading.meter_id == found.meter.id,
        inside,
        MeterReading.value_digits.is_(None),
        is_withdrawn(),
    )
    every = [Meant(*row) for row in session.execute(query)]
    meant = {row.id for row in rows}
    if {row.id for row in every} <= meant:
        return set()
    numbers = [row.id for row in every]
    give_values(session, every)
    session.expire_all()
    requalify(session, found.meter.id)
    stuck = stuck_rows(session, found.meter.id) & meant
    take_values(session, numbers)
    session.expire_all()
    requalify(session, found.meter.id)
    return stuck
