"""Rows of a table wherever they are: in the live table, on their way, or in the archive."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, func, select, union_all
from sqlalchemy.orm import Session

from ledger.db import Database, DatabaseBusy
from ledger.keeping.missing import require_archive
from ledger.keeping.moves import last_move, was_moved
from ledger.keeping.moving_sqlite import open_move
from ledger.keeping.places import (
    ARCHIVED,
    INCOMING,
    archive_session,
    partitioning_of,
    stored_tables,
)
from ledger.models import Base

Condition = Callable[[Table], Sequence[ColumnElement[bool]]]
_EVER = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
AT_ONCE = 5_000
"""Rows that are held at a time."""
_TRIES = 5
"""A move makes one table for a year, and the next year's only then."""


@contextmanager
def rows_between(
    db: Database, table: str, start: datetime, end: datetime, where: Condition = lambda _: ()
) -> Iterator[Iterator[RowMapping]]:
    """Yield the rows of a table between two times, live and archived, in order of time and number.

    Parameters
    ----------
    table
        A partitioned table.
    start, end
        First instant, and the instant after the last; aware, of any zone.
    where
        What else is asked of the rows, given a table with the live one's columns.

    Raises
    ------
    DatabaseBusy
        Partitions are being moved; read again.
    ArchiveLost
        Rows went to the archive, and it is gone.
    """
    time = partitioning_of(table).column

    def asked(source: Table) -> Any:
        return select(source).where(source.c[time] >= start, source.c[time] < end, *where(source))

    with _held(db, table, (start, end)) as (live, archive, stored), ExitStack() as opened:
        sources = [(live, [Base.metadata.tables[table]])]
        if db.dialect == "mysql":
            sources[0][1].extend(stored)
        elif archive is not None and stored:
            sources.append((archive, stored))
        parts = [
            _streamed(opened, session, [asked(item) for item in items], time)
            for session, items in sources
        ]
        yield heapq.merge(*parts, key=lambda row: (row[time], row["id"]))


@contextmanager
def places_between(
    db: Database, table: str, start: datetime, end: datetime
) -> Iterator[list[tuple[Session, Table]]]:
    """Yield where the rows of a table between two times may be, each place with the session that reads it.

    The live table is the first. For whoever wants a page, not all rows: each row is in one of the places.

    Raises
    ------
    DatabaseBusy, ArchiveLost
        As ``rows_between``.
    """
    with _held(db, table, (start, end)) as (live, archive, stored):
        found = [(archive, source) for source in stored if archive is not None]
        yield [(live, Base.metadata.tables[table]), *found]


def every_place(db: Database, table: str) -> AbstractContextManager[list[tuple[Session, Table]]]:
    """Yield all places where the rows of a table may be, as ``places_between`` does.

    Raises
    ------
    DatabaseBusy, ArchiveLost
        As ``rows_between``.
    """
    return places_between(db, table, *_EVER)


def count_between(db: Database, table: str, start: datetime, end: datetime) -> int:
    """Return how many rows a table has between two times, live and archived.

    Raises
    ------
    DatabaseBusy, ArchiveLost
        As ``rows_between``.
    """
    time = partitioning_of(table).column

    def counted(session: Session, source: Table) -> int:
        query = select(func.count()).select_from(source)
        return session.scalar(query.where(source.c[time] >= start, source.c[time] < end)) or 0

    with _held(db, table, (start, end)) as (live, archive, stored):
        count = counted(live, Base.metadata.tables[table])
        return count + sum(counted(archive, source) for source in stored if archive is not None)


@contextmanager
def _held(
    db: Database, table: str, period: tuple[datetime, datetime]
) -> Iterator[tuple[Session, Session | None, list[Table]]]:
    """Yield who reads the live table, who reads the archive, and its tables that rows of a period may be in.

    Raises
    ------
    DatabaseBusy
        Partitions are being moved.
    ArchiveLost
        Rows went to the archive, and it is gone: what is left is not all.
    """
    first, last = (at.astimezone(UTC).year for at in period)  # the archive's years are of UTC
    if db.dialect == "sqlite":
        with _both(db, table) as (live, archive):
            if table in ARCHIVED:
                require_archive(live, table)
            yield (
                live,
                archive,
                [] if archive is None else _stored(db, table, (first, last), live, archive),
            )
        return
    with holding(db, [table], first, last) as (live, stored):
        if table in ARCHIVED:
            require_archive(live, table)
        yield live, live, stored


@contextmanager
def _both(db: Database, table: str) -> Iterator[tuple[Session, Session | None]]:
    """Yield who reads SQLite's live file, and who reads the archive's (None: there is none), as they were at one time.

    They are snapshots of two files: of a month that leaves between the two, every row would be in both.

    Raises
    ------
    DatabaseBusy
        Months are being moved all the time.
    """
    for _ in range(_TRIES):
        with db.read() as live, archive_session(db, live) as archive:
            if archive is None or table not in ARCHIVED or not _has_moved_since(db, live):
                yield live, archive
                return
    raise DatabaseBusy(f"months of {table} go to the archive all the time; try again")


def _has_moved_since(db: Database, live: Session) -> bool:
    with db.read() as now:
        return last_move(now) != last_move(live)


@contextmanager
def holding(
    db: Database, names: Sequence[str], first: int = 1, last: int = 9999
) -> Iterator[tuple[Session, list[Table]]]:
    """Yield who reads some live tables, and what the archive has of them between two years.

    On MariaDB no partition leaves any of them from before the snapshot on. An older snapshot is not enough: the server
    refuses to read a partition that is younger (error 1412) only as long as it has the table in its memory. Once it had
    to let go of that (more tables than ``table_definition_cache``), it reads the table without those rows.

    Raises
    ------
    DatabaseBusy
        Partitions are being moved.
    """

    def look() -> dict[str, Table]:
        return {item.name: item for name in names for item in stored_tables(db, name, first, last)}

    tables, stored = [Base.metadata.tables[name] for name in names], look()
    for _ in range(_TRIES):
        with db.read(holding=[*tables, *stored.values()]) as live:
            there = look()
            if list(there) == list(stored):
                yield live, list(stored.values())
                return
        stored = there  # a year's table came before the snapshot, and rows may be in it
    raise DatabaseBusy(f"tables come to the archive of {names[0]} all the time; try again")


def _stored(
    db: Database,
    table: str,
    years: tuple[int, int],
    live: Session,
    archive: Session,
) -> list[Table]:
    """Return the tables of SQLite's archive that hold rows of some years: a copy counts once its rows are not live."""
    found = stored_tables(db, table, *years, archive=archive)
    if found and found[-1].name == f"{table}_{INCOMING}":
        move = open_move(archive.connection(), table)
        if move is None or not was_moved(live, table, *move):
            found.pop()
    return found


def _streamed(
    opened: ExitStack, session: Session, parts: Sequence[Any], time: str
) -> Iterator[RowMapping]:
    """Return the rows of all parts in order; what nobody read of them is let go of at the end."""
    whole: Any = parts[0]
    if len(parts) > 1:
        whole = union_all(*parts)
    query = whole.subquery("found")
    ordered = select(query).order_by(query.c[time], query.c.id)
    result = session.execute(ordered.execution_options(yield_per=AT_ONCE))
    opened.callback(result.close)
    return iter(result.mappings())
