"""Rows go to the archive on SQLite: a file of its own, in two commits that know of each other.

SQLite's write-ahead log makes no commit over two files atomic. So rows are copied into the table
``incoming`` of the archive's file first, under a name that is nowhere else; then one commit of the live
file deletes them and enters that name in the audit log; then they move from ``incoming`` to the table of
their year. What stands in ``incoming`` counts when the audit log has its name, and is a copy otherwise.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import date

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.counting import rows_found
from ledger.keeping.moves import Moved, due, keep_devices, note, was_moved
from ledger.keeping.places import (
    INCOMING,
    Month,
    archive_file,
    open_archive,
    partitioning_of,
    stored_table,
)
from ledger.models import Base

_MOVES = "CREATE TABLE IF NOT EXISTS moves (table_name TEXT PRIMARY KEY, month TEXT, move TEXT)"
_AT_ONCE = 5_000


def move(db: Database, table: str, before: date) -> Iterator[Moved]:
    """Move the rows of a table that lie before a day, month by month."""
    months = [item.month for item in due(db, before) if item.table == table]
    if not months and not archive_file(db).exists():
        return
    with closing(open_archive(db)) as archive:
        for month in (None, *months):  # None: what a run that was killed left
            yield from _one(db, archive, table, month)


def open_move(link: Connection, table: str) -> tuple[str, str] | None:
    """Return month and name of the move whose rows stand in ``incoming``; None: there is none."""
    known = link.exec_driver_sql("SELECT 1 FROM sqlite_schema WHERE name = 'moves'").first()
    if known is None:
        return None
    row = link.exec_driver_sql(
        "SELECT month, move FROM moves WHERE table_name = ?", (table,)
    ).first()
    return None if row is None else (str(row[0]), str(row[1]))


def _one(db: Database, archive: Database, table: str, month: Month | None) -> list[Moved]:
    """Finish what stands in ``incoming``, then move a month; all under the live file's lock for writing."""
    moved = []
    name = uuid.uuid4().hex
    with db.write() as session:
        with archive.read() as reading:
            left = open_move(reading.connection(), table)
        if left is not None and was_moved(session, table, *left):
            moved += _file(archive, table, *left)
        elif left is not None:
            _forget(archive, table)
        if month is None:
            return moved
        copied, devices = _copy(session, archive, table, month, name)
        live = Base.metadata.tables[table]
        gone = rows_found(session, delete(live).where(*_inside(live, month)))
        if gone != copied:  # no assert: PYTHONOPTIMIZE takes those away
            raise RuntimeError(f"{table}, {month}: {copied} rows copied and {gone} to delete")
        keep_devices(session, devices)
        note(session, table, month, copied, name)
    return moved + _file(archive, table, str(month), name)


def _copy(
    session: Session, archive: Database, table: str, month: Month, name: str
) -> tuple[int, list[int]]:
    """Copy a month into ``incoming``; return how many rows it has, and of which devices."""
    live, incoming = Base.metadata.tables[table], stored_table(table, INCOMING)
    devices = session.scalars(select(live.c.device_id).where(*_inside(live, month)).distinct())
    numbers = list(devices)
    count = 0
    with archive.write() as writing:
        link = writing.connection()
        link.exec_driver_sql(_MOVES)
        for new in (incoming, stored_table(table, f"{month.year:04d}")):
            new.create(link, checkfirst=True)
        link.execute(delete(incoming))
        rows = session.execute(select(live).where(*_inside(live, month)))
        for some in rows.mappings().partitions(_AT_ONCE):
            link.execute(insert(incoming), [dict(row) for row in some])
            count += len(some)
        link.exec_driver_sql(
            "INSERT OR REPLACE INTO moves (table_name, month, move) VALUES (?, ?, ?)",
            (table, str(month), name),
        )
    return count, numbers


def _file(archive: Database, table: str, month: str, name: str) -> list[Moved]:
    """Move what stands in ``incoming`` to its year's table, unless another process did; one commit."""
    year, number = (int(part) for part in month.split("-"))
    incoming, target = stored_table(table, INCOMING), stored_table(table, f"{year:04d}")
    with archive.write() as session:
        link = session.connection()
        if open_move(link, table) != (month, name):
            return []
        # The very row is there already where the live file was restored and the archive was not.
        there = exists().where(*(column.is_(incoming.c[column.name]) for column in target.c))
        new = select(incoming).where(~there)
        link.execute(insert(target).from_select(list(target.c.keys()), new))
        gone = link.execute(delete(incoming))
        link.exec_driver_sql("DELETE FROM moves WHERE table_name = ?", (table,))
    return [Moved(table, Month(year, number), int(gone.rowcount))]


def _forget(archive: Database, table: str) -> None:
    """Remove copies of rows that never left the live table."""
    with archive.write() as session:
        link = session.connection()
        link.execute(delete(stored_table(table, INCOMING)))
        link.exec_driver_sql("DELETE FROM moves WHERE table_name = ?", (table,))


def _inside(live: Table, month: Month) -> tuple[ColumnElement[bool], ...]:
    time = live.c[partitioning_of(live.name).column]
    # Of each device, by its index of times: no index has the times of all, and each month would be a scan of the table.
    of_devices = live.c.device_id.in_(_devices_of(live))
    return of_devices, time >= month.start, time < month.plus(1).start


def _devices_of(live: Table) -> Select[int]:
    """Return the query of the devices that have rows, one look at an index for each.

    The table of devices does not know all of them: another program may have written with foreign keys off.
    """
    number = live.alias().c.device_id
    found = select(func.min(number).label("number")).cte("found", recursive=True, nesting=True)
    later = select(func.min(number)).where(number > found.c.number).scalar_subquery()
    found = found.union_all(select(later).where(found.c.number.is_not(None)))
    return select(found.c.number)
