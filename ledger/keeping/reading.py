"""Rows of a table wherever they are: in the live table, on their way, or in the archive."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, func, select, union_all
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.keeping.missing import require_archive
from ledger.keeping.moves import was_moved
from ledger.keeping.moving_sqlite import open_move
from ledger.keeping.places import (
    ARCHIVED,
    INCOMING,
    archive_schema,
    archive_session,
    is_incoming,
    partitioning_of,
    stored_table,
    years_of,
)
from ledger.models import Base

Condition = Callable[[Table], Sequence[ColumnElement[bool]]]
_EVER = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
AT_ONCE = 5_000
"""Rows that are held at a time."""


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
        First instant, and the instant after the last.
    where
        What else is asked of the rows, given a table with the live one's columns.

    Raises
    ------
    DatabaseBusy
        A partition was moved between the begin of this reading and now; read again.
    ArchiveLost
        Rows went to the archive, and it is gone.
    """
    time = partitioning_of(table).column

    def asked(source: Table) -> Any:
        return select(source).where(source.c[time] >= start, source.c[time] < end, *where(source))

    with db.read() as live, archive_session(db, live) as archive, ExitStack() as opened:
        stored = _stored(db, table, (start, end), live, archive)
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
    with db.read() as live, archive_session(db, live) as archive:
        stored = _stored(db, table, (start, end), live, archive)
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

    with db.read() as live, archive_session(db, live) as archive:
        stored = _stored(db, table, (start, end), live, archive)
        count = counted(live, Base.metadata.tables[table])
        return count + sum(counted(archive, source) for source in stored if archive is not None)


def _stored(
    db: Database,
    table: str,
    period: tuple[datetime, datetime],
    live: Session,
    archive: Session | None,
) -> list[Table]:
    """Return the tables of the archive that rows of the period may be in.

    Raises
    ------
    ArchiveLost
        They are gone: what is left is not all.
    """
    if table not in ARCHIVED:
        return []
    require_archive(live, table)
    if archive is None:
        return []
    schema = archive_schema(db) if db.dialect == "mysql" else None
    start, end = period
    found = [
        stored_table(table, f"{year:04d}", schema)
        for year in years_of(db, table)
        if start.year <= year <= end.year
    ]
    counts = is_incoming(db, table)
    if counts and db.dialect == "sqlite":  # a copy does not count while its rows are live
        move = open_move(archive.connection(), table)
        counts = move is not None and was_moved(live, table, *move)
    return found + ([stored_table(table, INCOMING, schema)] if counts else [])


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
