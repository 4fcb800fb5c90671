"""Which readings are withdrawn, now and at an earlier moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from ledger.db import tables
from ledger.models import MeterReading, ReadingRestoration, ReadingWithdrawal
from ledger.models.readings import ReadingKind, ReadingQuality
from ledger.models.sites import MeterRole
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.records import Kind

Act = tuple[datetime, datetime | None]
"""When a reading was withdrawn, and when it was restored after that; None: it was not."""
_IS_LATE = MeterReading.quality == ReadingQuality.LATE


def is_latest(moment: datetime | None = None) -> ColumnElement[bool]:
    """Return the condition that a withdrawal is the latest one of a reading.

    Parameters
    ----------
    moment
        When the live issuance of the readings was planned: of those under it the latest then. None: ever, as of what
        came late for it.
    """
    other = aliased(ReadingWithdrawal)
    query = select(func.max(other.turn)).where(other.reading_id == MeterReading.id)
    if moment is not None:
        query = query.where(or_(_IS_LATE, other.withdrawn_at <= moment))
    latest = query.correlate(MeterReading).scalar_subquery()
    return and_(ReadingWithdrawal.reading_id == MeterReading.id, ReadingWithdrawal.turn == latest)


def ends_it(moment: datetime | None = None) -> ColumnElement[bool]:
    """Return the condition that a restoration ends a withdrawal; the moment is that of ``is_latest``."""
    ended = and_(
        ReadingRestoration.reading_id == ReadingWithdrawal.reading_id,
        ReadingRestoration.turn == ReadingWithdrawal.turn,
    )
    if moment is None:
        return ended
    return and_(ended, or_(_IS_LATE, ReadingRestoration.restored_at <= moment))


def is_withdrawn() -> ColumnElement[bool]:
    """Return the condition that a reading is withdrawn now."""
    ended = select(ReadingRestoration.turn).where(ends_it()).exists()
    open_one = select(ReadingWithdrawal.turn).where(
        ReadingWithdrawal.reading_id == MeterReading.id, ~ended
    )
    return open_one.exists()


def last_turns(
    session: Session, acted_at: InstrumentedAttribute[datetime], numbers: Collection[int]
) -> dict[int, tuple[int, datetime]]:
    """Return the latest withdrawal or restoration of each reading that has one: its turn, and when it was.

    Parameters
    ----------
    acted_at
        The column of when: ``ReadingWithdrawal.withdrawn_at`` or ``ReadingRestoration.restored_at``.
    """
    table = acted_at.class_
    found: dict[int, tuple[int, datetime]] = {}
    for those in tables.among(session, table.reading_id, numbers):
        query = select(table.reading_id, func.max(table.turn), func.max(acted_at))
        for number, turn, moment in session.execute(query.where(those).group_by(table.reading_id)):
            found[number] = turn, moment
    return found


def deducts(role: MeterRole, kind: ReadingKind, unit: str, text: str) -> bool:
    """Return whether a claim is smaller by the value of a text: of consumption, and what a plant draws itself."""
    if role in (MeterRole.IMPORT, MeterRole.FUEL):
        return True
    if role not in (MeterRole.GENERATION, MeterRole.EXPORT) or "-" not in text:
        return False
    try:
        digits, _ = parse_value(text, UNITS[Kind[kind.name]][unit])
    except (KeyError, ValueError):  # somebody altered it, and the reconciliation says so
        return False
    return digits < 0


def was_withdrawn(acts: Iterable[Act], moment: datetime | None) -> bool:
    """Return whether a reading with these acts was withdrawn at a moment; None: whether it is now."""
    if moment is None:
        return any(restored_at is None for _, restored_at in acts)
    return any(
        withdrawn_at <= moment and (restored_at is None or restored_at > moment)
        for withdrawn_at, restored_at in acts
    )


def told(
    withdrawal: ReadingWithdrawal | None, restoration: ReadingRestoration | None
) -> dict[str, Any]:
    """Return what is said of a reading by the latest withdrawal of it: ``withdrawn`` and ``restored``."""
    if withdrawal is None:
        return {"withdrawn": None, "restored": None}
    taken = {"at": withdrawal.withdrawn_at, "reason": withdrawal.reason}
    if restoration is None:
        return {"withdrawn": taken, "restored": None}
    given = {"at": restoration.restored_at, "reason": restoration.reason, "withdrawn": taken}
    return {"withdrawn": None, "restored": given}
