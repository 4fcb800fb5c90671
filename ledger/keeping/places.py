"""Where archived rows are: a database beside the live one, with a table for each year.

On MariaDB the archive is the schema ``<name>_archive`` of the same server; on SQLite it is the file
``<name>_archive.<end>`` beside the database. In it stand ``device_data_2025`` and so on, with the
columns of the live table, and while rows are on their way, ``device_data_incoming``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import Column, Index, MetaData, Table
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.grants import archive_of
from ledger.models import Base
from ledger.models.partitions import PARTITIONED, Partitioning

ARCHIVED = ("device_data",)
"""Tables whose rows leave the live database. Trades do not: they stand under settlement roots."""
INCOMING = "incoming"
TABLES_SQL = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
NAMES_SQL = "SELECT name FROM sqlite_schema WHERE type = 'table'"
ACTION = "archive.move"
"""What the audit log calls a move; its resource is the table and the month, ``device_data/2025-01``."""


@dataclass(frozen=True)
class Month:
    """A month of the calendar in UTC.

    Parameters
    ----------
    year, number
        The year, and the month from 1 to 12.
    """

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Month:
        """Return the month of a day."""
        return cls(day.year, day.month)

    def plus(self, months: int) -> Month:
        """Return the month so many later."""
        count = self.year * 12 + self.number - 1 + months
        return Month(count // 12, count % 12 + 1)

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


def live_from(today: date, months: int) -> date:
    """Return the first day that is kept live: so many whole months before the present one."""
    return Month.of(today).plus(-months).first


def partitioning_of(table: str) -> Partitioning:
    """Return how a table is partitioned."""
    (found,) = (item for item in PARTITIONED if item.table == table)
    return found


def archive_schema(db: Database) -> str:
    """Return the name of the archive's schema on MariaDB."""
    return archive_of(str(db.url.database))


def archive_file(db: Database) -> Path:
    """Return the archive's file on SQLite."""
    return archive_beside(Path(db.url.database or ""))


def archive_beside(live: Path) -> Path:
    """Return the file of the archive that belongs to an SQLite file."""
    return live.with_name(f"{live.stem}_archive{live.suffix}")


def stored_table(name: str, suffix: str, schema: str | None = None) -> Table:
    """Return a table of the archive: the live one's columns and indexes, without its references.

    Parameters
    ----------
    name
        The live table.
    suffix
        A year, or ``incoming``.
    schema
        The archive's on MariaDB.
    """
    live = Base.metadata.tables[name]
    columns = [Column(column.name, column.type, nullable=column.nullable) for column in live.c]
    table = Table(f"{name}_{suffix}", MetaData(), *columns, schema=schema)
    for index in live.indexes:
        Index(f"{index.name}_{suffix}", *(table.c[column.name] for column in index.columns))
    return table


def years_of(db: Database, name: str) -> list[int]:
    """Return the years of a table that the archive has, oldest first."""
    return _years(_names(db), name)


def stored_tables(
    db: Database, name: str, first: int = 1, last: int = 9999, *, archive: Session | None = None
) -> list[Table]:
    """Return the tables that the archive has of a live one, oldest year first, then that of rows on their way.

    Parameters
    ----------
    name
        The live table; of one that is not archived there are none.
    first, last
        Years.
    archive
        Who reads SQLite's archive: what it has as that sees it. None: what it has now.
    """
    if name not in ARCHIVED:
        return []
    names = _names(db) if archive is None else _names_in(archive)
    suffixes = [f"{year:04d}" for year in _years(names, name) if first <= year <= last]
    suffixes += [INCOMING] if f"{name}_{INCOMING}" in names else []
    schema = archive_schema(db) if db.dialect == "mysql" else None
    return [stored_table(name, suffix, schema) for suffix in suffixes]


def live_name(table: Table) -> str:
    """Return the name of the live table that a table is, or that one of the archive belongs to."""
    return table.name if table.name in Base.metadata.tables else table.name.rpartition("_")[0]


@contextmanager
def archive_session(db: Database, live: Session) -> Iterator[Session | None]:
    """Yield a session that reads the archive; None where there is no archive yet.

    Parameters
    ----------
    live
        The session that reads the live tables: on MariaDB both are one.
    """
    if db.dialect == "mysql":
        yield live
        return
    if not archive_file(db).exists():
        yield None
        return
    with closing(open_archive(db)) as archive, archive.read() as session:
        yield session


def open_archive(db: Database) -> Database:
    """Return the archive of an SQLite database as a database of its own."""
    url = db.url.set(database=str(archive_file(db)))
    return Database(url.render_as_string(False), lock_timeout_s=db.lock_timeout_s)


def _years(names: set[str], name: str) -> list[int]:
    pattern = re.compile(rf"{name}_([0-9]{{4}})")
    return sorted(int(found[1]) for found in map(pattern.fullmatch, names) if found is not None)


def _names(db: Database) -> set[str]:
    if db.dialect == "mysql":
        with db.read() as session:
            rows = session.connection().exec_driver_sql(TABLES_SQL, (archive_schema(db),))
            return {str(name) for (name,) in rows}
    if not archive_file(db).exists():
        return set()
    with closing(open_archive(db)) as archive, archive.read() as session:
        return _names_in(session)


def _names_in(archive: Session) -> set[str]:
    rows = archive.connection().exec_driver_sql(NAMES_SQL)
    return {str(name) for (name,) in rows}
