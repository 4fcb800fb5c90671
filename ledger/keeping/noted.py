"""Which months went to the archive, as the audit log has noted it, and which are known to be lost.

It is asked at every reading of real-time data, and the log only grows. So what it said is kept with each ``Database``,
beside the end of the audit chain that it was read to: whoever comes later reads the entries that follow. Where that
end is not in the chain, as in books that were put back, all of it is read anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakKeyDictionary

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger import audit_chain
from ledger.audit_chain import Head
from ledger.db import Database, tables
from ledger.keeping.places import ACTION, ARCHIVED, Month
from ledger.models import ArchivedDevice, AuditLink, AuditLog

FORGOTTEN = "archive.forget"
"""What the audit log calls it when a loss is known; its resource is the table and the month, as that of a move."""
_NOTES = (ACTION, FORGOTTEN)
_ENTRIES_MAX = 1_000
"""How many new entries of any kind are looked through; where there are more, moves are found by their index."""


@dataclass(frozen=True)
class _Noted:
    """The last entry of each kind about each resource, ``device_data/2025-01``, as far as an end of the chain."""

    head: Head
    entries: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Row number by action and resource."""

    def with_more(self, head: Head, found: Iterable[tuple[str, str, int]]) -> _Noted:
        """Return it with entries that came later."""
        entries = dict(self.entries)
        for action, resource, number in found:
            entries[action, resource] = max(number, entries.get((action, resource), 0))
        return _Noted(head, entries)


_kept: WeakKeyDictionary[Database, _Noted] = WeakKeyDictionary()


def moves(live: Session, table: str) -> dict[Month, bool]:
    """Return the months whose rows went to the archive, and of each whether it is asked for: not known to be lost.

    Parameters
    ----------
    live
        A session that reads the live tables.
    """
    entries = _noted(live).entries
    return {
        _month(resource): number > entries.get((FORGOTTEN, resource), 0)
        for (action, resource), number in entries.items()
        if action == ACTION and resource.startswith(f"{table}/")
    }


def months_moved(live: Session, table: str) -> set[Month]:
    """Return the months whose rows went to the archive, without those that were said to be lost since."""
    return {month for month, is_asked_for in moves(live, table).items() if is_asked_for}


def archived_before(session: Session, device_id: int) -> datetime | None:
    """Return the end of the last month of real-time data that went to the archive, for a device that has values there.

    What the live table has of a time before it came late. None: all of the device's values are live.
    """
    return None if session.get(ArchivedDevice, device_id) is None else _archived_until(session)


def archived_among(session: Session, lasts: Mapping[int, datetime | None]) -> set[int]:
    """Return the devices whose last value may stand in the archive.

    Parameters
    ----------
    lasts
        When each device's last live value is of; None: it has no live one.
    """
    older = {device for device, at in lasts.items() if at is None}
    if len(older) < len(lasts):
        until = _archived_until(session)
        if until is not None:
            older |= {device for device, at in lasts.items() if at is not None and at < until}
    found: set[int] = set()
    for some in tables.among(session, ArchivedDevice.device_id, older):
        found.update(session.scalars(select(ArchivedDevice.device_id).where(some)))
    return found


def _archived_until(session: Session) -> datetime | None:
    """Return the end of the last month of real-time data that went to the archive."""
    last = max(moves(session, ARCHIVED[0]), key=str, default=None)
    return None if last is None else last.plus(1).start


def _noted(live: Session) -> _Noted:
    """Return what the log says in the snapshot of a session."""
    db: Database | None = live.info.get("database")
    if db is None or audit_chain.has_pending(live):  # its own entries have no place yet
        return _read(live, Head(0, audit_chain.GENESIS))
    head = audit_chain.head_of(live)
    kept = _kept.get(db)
    if kept is not None and kept.head == head:
        return kept
    new = _follow(live, kept, head) if kept is not None else None
    found = new or _read(live, head)
    _kept[db] = found
    return found


def _read(live: Session, head: Head) -> _Noted:
    """Return what the whole log says."""
    entries = select(AuditLog.action, AuditLog.resource, func.max(AuditLog.id)).where(
        AuditLog.action.in_(_NOTES)
    )
    found = live.execute(entries.group_by(AuditLog.action, AuditLog.resource))
    return _Noted(head).with_more(head, found)


def _follow(live: Session, kept: _Noted, head: Head) -> _Noted | None:
    """Return what the log says, from what it said; None where this chain does not go on from there."""
    place = kept.head.position
    if not place < head.position <= place + _ENTRIES_MAX:
        return None
    if place:
        there = live.scalar(select(AuditLink.entry_hash).where(AuditLink.position == place))
        if there != kept.head.entry_hash:
            return None
    found = live.execute(
        select(AuditLog.action, AuditLog.resource, AuditLog.id)
        .join(AuditLink, AuditLink.audit_id == AuditLog.id)
        .where(AuditLink.position > place)
    )
    # Chosen here: SQLite, asked for an action, would begin with all entries of that action.
    return kept.with_more(head, (entry for entry in found if entry.action in _NOTES))


def _month(resource: str) -> Month:
    year, _, number = resource.partition("/")[2].partition("-")
    return Month(int(year), int(number))
