"""Readings whose values are taken back: a slip of the hand, or a file that was the wrong one.

Nothing is deleted. A reading that is withdrawn stays with its text, file and line, and has no value any more, as if its
source had declared its text to mean none; who, when and why is kept beside it. So a manifest names the text among its
``no_value_texts``, and the evidence has the row with a quality that says so (201, or 403 beside another value).
``restoring`` is the way back.
"""

from __future__ import annotations

from sqlalchemy import String, and_, func, select, type_coerce
from sqlalchemy.orm import Session

from ledger import audit
from ledger.clock import moment_after
from ledger.db import tables
from ledger.errors import NotFound, Refused
from ledger.models import (
    ImportFile,
    Meter,
    MeterReading,
    MeterSeries,
    ReadingRestoration,
    ReadingWithdrawal,
)
from ledger.models.sites import SourceKind
from ledger.readings.imports.requalify import requalify
from ledger.readings.imports.selected import (
    Changed,
    OtherFile,
    Which,
    as_noted,
    count_as_late,
    require_free,
    require_told,
    rows_meant,
    select_meter,
    stuck_rows,
    take_values,
    undeducted,
)
from ledger.readings.rows.withdrawals import last_turns
from ledger.reductions.zones import utc_of

_OTHERS_SHOWN = 3


def withdraw(
    session: Session, site_code: str, device_code: str, which: Which, reason: str
) -> Changed:
    """Take the values of readings back, all or none, and judge their meter anew.

    Raises
    ------
    NotFound
        There is no such site or device, or no reading with a value that is meant.
    BadInput
        Nothing says which are meant, or why; the range is empty; or the file is named too shortly.
    Refused
        The meter is a register; a reading is issued, or a correction has counted it; or without it others, of a flat
        line that it is a part of, would count.
    """
    require_told(which, reason)
    found = select_meter(session, site_code, device_code)
    _require_intervals(session, found.meter, device_code)
    rows = rows_meant(session, found.meter, which, MeterReading.value_digits.is_not(None))
    if not rows:
        raise NotFound(
            f"device {device_code!r} has no such reading with a value; `truetonne readings show` lists what there is",
            code="no-readings",
        )
    require_free(
        session,
        found,
        rows,
        issued="Narrow it down to those that are not; for what is issued import the right value, which `truetonne "
        "reductions correct` counts where it claims less",
        corrected="what was corrected stays so",
    )
    count_as_late(session, found, rows)
    numbers, texts = [row.id for row in rows], [row.text for row in rows]
    first, last = (utc_of(rows[place].start_s) for place in (0, -1))
    stuck = stuck_rows(session, found.meter.id) - set(numbers)
    take_values(session, numbers)
    restored = last_turns(session, ReadingRestoration.restored_at, numbers)
    now = max(found.now, moment_after(max((at for _, at in restored.values()), default=None)))
    act = {"reason": reason.strip(), "withdrawn_at": now}
    turns = {number: turn + 1 for number, (turn, _) in restored.items()}
    tables.insert(
        session,
        ReadingWithdrawal,
        [{"reading_id": number, "turn": turns.get(number, 1), **act} for number in numbers],
    )
    session.expire_all()
    judged = requalify(session, found.meter.id)
    freed = stuck - stuck_rows(session, found.meter.id)
    if freed:
        raise Refused(
            f"{len(freed)} readings of a flat line would count, as what is meant is a part of it: withdraw all of it, "
            "or none; what is stuck claims nothing",
            code="readings-stuck",
        )
    values = as_noted(device_code, reason.strip(), (first, last), texts)
    audit.record(
        session, "readings.withdraw", f"{Meter.__tablename__}/{found.meter.id}", {}, values
    )
    lacking = undeducted(session, found, numbers)
    others = _others(session, which.file) if which.file is not None else ()
    return Changed(len(numbers), first, last, judged, lacking, others)


def _others(session: Session, digest: str) -> tuple[OtherFile, ...]:
    """Return the files of its sources that came after a file, and had rows that were there already.

    A row stands in the books once, as of the file that brought it first: what a right file has in common with a wrong
    one that came before it goes with that.
    """
    table = ImportFile
    mine = type_coerce(table.file_sha256, String).startswith(digest.lower())
    first = select(table.source_id, func.min(table.id).label("id")).where(mine)
    begin = first.group_by(table.source_id).subquery()
    query = (
        select(table.file_name, func.min(table.rows_unchanged))
        .join(begin, and_(begin.c.source_id == table.source_id, begin.c.id < table.id))
        .where(~mine, table.rows_unchanged > 0)
        .group_by(table.file_name)
        .order_by(func.min(table.rows_unchanged).desc(), table.file_name)
        .limit(_OTHERS_SHOWN)
    )
    return tuple(OtherFile(name, count) for name, count in session.execute(query).all())


def _require_intervals(session: Session, meter: Meter, device_code: str) -> None:
    series = session.get(MeterSeries, meter.id)
    if series is not None and series.kind == SourceKind.COUNTER:
        raise Refused(
            f"{device_code} is a register: each of its readings ends one difference and begins another. One that is "
            "too low or too high beside its neighbours is passed over; where a wrong file has other values of the same "
            "times, give the meter a [[device]] of its own (`A wrong file` in docs/meter-files.md)",
            code="register",
        )
