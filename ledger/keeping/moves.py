"""What a move into the archive is: what is due, what was moved, and what is noted of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import extract, func, select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.db import Database
from ledger.keeping.places import ACTION, ARCHIVED, Month, partitioning_of
from ledger.models import ArchivedDevice, AuditLog, Base, Device
from ledger.models.partitions import partitions_of


@dataclass(frozen=True)
class Moved:
    """Rows of one month that went to the archive, or would."""

    table: str
    month: Month
    rows: int


def due(db: Database, before: date) -> list[Moved]:
    """Return what ``archive`` would move, as far as it is in the live tables; counts every row there."""
    found = []
    with db.read(holding=[Base.metadata.tables[name] for name in ARCHIVED]) as session:
        for name in ARCHIVED:
            time = Base.metadata.tables[name].c[partitioning_of(name).column]
            end = before
            if db.dialect == "mysql":  # which moves whole partitions
                parts = partitions_of(session.connection(), name)
                ends = [part.end for part in parts if part.end is not None and part.end <= before]
                if not ends:
                    continue
                end = ends[-1]
            year, month = _calendar(db, time)
            rows = session.execute(
                select(year, month, func.count())
                .where(time < Month.of(end).start)
                .group_by(year, month)
            )
            found += [Moved(name, Month(int(y), int(m)), int(count)) for y, m, count in rows]
    return sorted(found, key=lambda item: (item.table, str(item.month)))


def _calendar(db: Database, time: Any) -> tuple[Any, Any]:
    """Return year and month of a time in SQL."""
    if db.dialect == "sqlite":  # whose own functions round the last half of a millisecond up
        return func.substr(time, 1, 4), func.substr(time, 6, 2)
    return extract("year", time), extract("month", time)


def note(session: Session, table: str, month: Month, rows: int, move: str | None = None) -> None:
    """Enter a move in the audit log.

    Parameters
    ----------
    move
        Name of the move, by which an interrupted one is known.
    """
    new = {"rows": rows, "to": f"{table}_{month.year:04d}"}
    audit.record(session, ACTION, f"{table}/{month}", {}, new | ({"move": move} if move else {}))


def was_moved(session: Session, table: str, month: str, name: str) -> bool:
    """Return whether a move was noted; on SQLite its rows have left the live table then."""
    entries = session.scalars(
        select(AuditLog.new_values).where(
            AuditLog.action == ACTION, AuditLog.resource == f"{table}/{month}"
        )
    )
    return any(entry is not None and entry.get("move") == name for entry in entries)


def last_move(session: Session) -> int:
    """Return the row number of the entry of the last move; 0: there was none."""
    return session.scalar(select(func.max(AuditLog.id)).where(AuditLog.action == ACTION)) or 0


def keep_devices(session: Session, numbers: Sequence[int]) -> None:
    """Note which devices have values in the archive; from then on none of them can be deleted."""
    there = set(session.scalars(select(ArchivedDevice.device_id)))
    new = [number for number in numbers if number not in there]
    known = set(session.scalars(select(Device.id).where(Device.id.in_(new)))) if new else set()
    session.add_all(ArchivedDevice(device_id=number) for number in new if number in known)
    session.flush()
