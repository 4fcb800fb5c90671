"""How the partitions and the archive stand, and what a person should look at. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.keeping.missing import lost, months_gone
from ledger.keeping.places import (
    ARCHIVED,
    INCOMING,
    Month,
    archive_file,
    archive_schema,
    archive_session,
    live_name,
)
from ledger.keeping.reading import holding
from ledger.models import Base
from ledger.models.partitions import (
    CATCH_ALL,
    PARTITIONED,
    Partition,
    Partitioning,
    partitions_of,
    stray_rows,
)
from ledger.units import counted


@dataclass(frozen=True)
class PartView:
    """A partition, a table of the archive, or a table of SQLite."""

    name: str
    start: date | None
    end: date | None
    """First day, and the day after the last; None: without bound."""
    rows: int
    exact: bool
    """False: the rows are the server's estimate."""
    size_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class TableView:
    """A partitioned table with its archive."""

    partitioning: Partitioning
    covered_until: date | None
    """First day that no period covers; None: there are no partitions."""
    ahead: int | None
    """Whole periods kept beyond the present one."""
    strays: int
    stray_first: datetime | None
    stray_last: datetime | None
    live: list[PartView]
    archive: list[PartView]

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "table": self.partitioning.table,
            "column": self.partitioning.column,
            "period_months": self.partitioning.months,
            "covered_until": self.covered_until,
            "periods_ahead": self.ahead,
            "stray_rows": self.strays,
            "stray_first": self.stray_first,
            "stray_last": self.stray_last,
            "partitions": [part.as_json() for part in self.live],
            "archive": [part.as_json() for part in self.archive],
        }


def archive_place(db: Database) -> str:
    """Return where the archive is, for people."""
    return str(archive_file(db)) if db.dialect == "sqlite" else f"schema {archive_schema(db)}"


def views(db: Database, today: date, count: bool = False) -> list[TableView]:
    """Return every partitioned table.

    Parameters
    ----------
    count
        Whether to count rows where the server has an estimate: it reads them all.
    """
    names = [item.table for item in PARTITIONED]
    with holding(db, names) as (session, stored), archive_session(db, session) as archive:
        found = []
        for item in PARTITIONED:
            there = [each for each in stored if live_name(each) == item.table]
            archived = [] if archive is None else _archived(archive, there, count)
            found.append(_view(item, today, count, session, archived))
        return found


def alarms(session: Session) -> list[str]:
    """Return a sentence for each table with rows that no period covers, or that are gone with the archive."""
    found = [
        said for name in ARCHIVED if (said := lost(session, name) or months_gone(session, name))
    ]
    if session.connection().dialect.name == "sqlite":
        return found
    for item in PARTITIONED:
        count = stray_rows(session.connection(), item.table)
        if count:
            found.append(stray_alarm(item.table, count))
    return found


def stray_alarm(table: str, count: int) -> str:
    """Return what is said of rows that no period covers."""
    lie = counted(count, "row lies", "rows lie")
    return (
        f"{table}: {lie} outside of all periods (partition {CATCH_ALL}); "
        "see `truetonne db partitions show`, then `db partitions ensure --until MONTH`"
    )


def _view(
    item: Partitioning, today: date, count: bool, session: Session, stored: list[PartView]
) -> TableView:
    table = Base.metadata.tables[item.table]
    time = table.c[item.column]
    link = session.connection()
    if link.dialect.name == "sqlite":
        first, last, rows = session.execute(
            select(func.min(time), func.max(time), func.count())
        ).one()
        live = [
            PartView(item.table, first and first.date(), last and last.date(), rows, True, None)
        ]
        return TableView(item, None, None, 0, None, None, live, stored)
    live, start = [], None
    for part in partitions_of(link, item.table):
        exact = count or part.end is None
        rows = part.rows
        if exact:
            query = f"SELECT COUNT(*) FROM {item.table} PARTITION ({part.name})"
            rows = int(link.exec_driver_sql(query).scalar_one())
        live.append(PartView(part.name, start, part.end, rows, exact, part.size_bytes))
        start = part.end
    until = live[-1].start
    assert until is not None
    strays = live[-1].rows
    first = last = None
    if strays:
        first, last = session.execute(
            select(func.min(time), func.max(time)).where(time >= Month.of(until).start)
        ).one()
    ahead = sum(1 for part in live if part.start and part.end and part.start > today)
    return TableView(item, until, ahead, strays, first, last, live, stored)


def _archived(archive: Session, stored: Sequence[Table], count: bool) -> list[PartView]:
    found = []
    link = archive.connection()
    for table in stored:
        year = table.name.rpartition("_")[2]
        parts: list[Partition] = []
        if link.dialect.name == "mysql" and year != INCOMING:
            parts = partitions_of(link, table.name, table.schema)
        size = sum(part.size_bytes for part in parts) if parts else None
        rows = sum(part.rows for part in parts)
        if count or not parts:
            rows = archive.scalar(select(func.count()).select_from(table)) or 0
        if year != INCOMING:
            start, end = date(int(year), 1, 1), date(int(year) + 1, 1, 1)
            found.append(PartView(table.name, start, end, rows, count or not parts, size))
        elif rows:
            found.append(PartView(table.name, None, None, rows, True, None))
    return found
