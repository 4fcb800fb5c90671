"""Move the rows of closed months into the archive, so that a kill at any instant loses and doubles nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from ledger.db import Database
from ledger.keeping import moving_mysql, moving_sqlite
from ledger.keeping.missing import forget_all_gone, require_archive
from ledger.keeping.moves import Moved
from ledger.keeping.places import ARCHIVED, archive_file, stored_tables


def archive(db: Database, before: date) -> Iterator[Moved]:
    """Move the rows of months before a day into the archive; go on where a run was killed.

    Nothing happens when nothing is due. Two processes at once do one after the other what is left.

    Parameters
    ----------
    before
        First day that stays live, the first of a month.

    Yields
    ------
    Moved
        Each month that was moved.

    Raises
    ------
    DatabaseBusy
        A table was in use for longer than a change may hold up others; what was moved stays so.
    ArchiveLost
        Rows went to an archive that is gone. A new one in its place would hide that they are missing.
    ProblemFound
        The user of the database may not change tables, or the archive has other columns.
    """
    mover = moving_sqlite if db.dialect == "sqlite" else moving_mysql
    for table in ARCHIVED:
        with db.read() as session:
            require_archive(session, table)
        forget_all_gone(db)
        yield from mover.move(db, table, before)


def drop_archive(db: Database) -> None:
    """Drop the archive with all its rows, for a new start of a demonstration."""
    if db.dialect == "sqlite":
        file = archive_file(db)
        for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
            file.with_name(name).unlink(missing_ok=True)
        return
    with db.changing() as link:
        sql_name = link.dialect.identifier_preparer.format_table
        for table in ARCHIVED:
            for stored in stored_tables(db, table):
                link.exec_driver_sql(f"DROP TABLE {sql_name(stored)}")
