"""What the archive must have, and has not: the audit log names every move.

All of it, a year's table, or a month without a row: as where an archive was brought back that is older than the
books, or cut short. Who knows that there is no copy any more says so (``forget``): that is noted, and what went there
before is not asked for again.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path

from pymysql.constants import ER
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ledger import audit
from ledger.db import Database
from ledger.db.grants import archive_of
from ledger.errors import BadInput, DependencyDown
from ledger.keeping.noted import FORGOTTEN, months_moved, moves
from ledger.keeping.places import (
    ARCHIVED,
    INCOMING,
    NAMES_SQL,
    TABLES_SQL,
    Month,
    archive_beside,
    partitioning_of,
)
from ledger.models import ArchivedDevice

_PERIOD = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2]))?")
_NAMED = 3
"""Months that a sentence names; of more it says how many."""
_DENIED = {ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR}
_MEND = "bring it back from a backup"

Ask = Callable[[Sequence[str]], list[bool]]


class ArchiveLost(DependencyDown):
    """Rows are in no place where they can be read: they went to tables of the archive that are not there."""

    default_code = "archive-lost"


def lost(live: Session, name: str) -> str:
    """Return what is said when rows of a table went to tables of an archive that are not there, or cannot be read.

    Empty when nothing went there, all of its years are there, or all that went there is known to be lost.

    Parameters
    ----------
    live
        A session that reads the live tables.
    """
    if not _went(live):
        return ""
    link = live.connection()
    try:
        seen = _seen(link)
    except ArchiveLost as error:
        return str(error)
    went = moves(live, name)
    if any(table.startswith(f"{name}_") for table in seen):
        years = sorted({month.year for month, is_asked_for in went.items() if is_asked_for})
        gone = [year for year in years if f"{name}_{year:04d}" not in seen]
        if not gone:
            return ""
        tables = _listed([f"{name}_{year:04d}" for year in gone])
        return f"archive {_place(link)}: has no {tables}, though rows went there; {_way_on(f'{gone[0]:04d}')}"
    if went and not any(went.values()):
        return ""
    unseen = ", or this account may not see it" if link.dialect.name == "mysql" else ""
    return (
        f"archive {_place(link)}: has no {name}, though rows went there{unseen}; {_MEND}, see "
        "docs/retention.md"
    )


def months_gone(live: Session, name: str) -> str:
    """Return what is said of months whose rows went to the archive, where it has not one row of them; or nothing.

    For an archive of which ``lost`` finds nothing to say. Asks for one row of each month.
    """
    if not _went(live):
        return ""
    try:
        gone = _empty_months(live, name)
    except ArchiveLost as error:
        return str(error)
    if not gone:
        return ""
    said = _listed([str(month) for month in gone])
    return (
        f"archive {_place(live.connection())}: has no row of {name} of {said}, though rows went there; "
        f"is it older than the books? {_way_on(str(gone[0]))}"
    )


def require_archive(live: Session, name: str) -> None:
    """Require that the archive is there, with each year that rows of a table went to.

    Raises
    ------
    ArchiveLost
        It is not.
    """
    said = lost(live, name)
    if said:
        raise ArchiveLost(said)


def forget(db: Database, period: str, dry_run: bool = False) -> list[str]:
    """Note that a month or a year of the archive is lost, and is not to be asked for again; return its months.

    Parameters
    ----------
    period
        ``2014`` or ``2014-07``.
    dry_run
        Whether to look alone.

    Raises
    ------
    BadInput
        It is no such period, or the archive has it.
    ArchiveLost
        The archive cannot be read, or not by this account, so that nobody can tell what is missing.
    """
    if not _PERIOD.fullmatch(period):
        raise BadInput(
            f"{period!r}: write a year or a month, such as 2014 or 2014-07", code="usage"
        )

    def work(session: Session) -> list[str]:
        found: list[str] = []
        for table in ARCHIVED:
            gone = [
                str(month)
                for month in _empty_months(session, table)
                if str(month).startswith(period)
            ]
            if gone:
                _require_sight(session.connection(), table)
            if not dry_run:
                _note(session, table, gone)
            found += gone
        return found

    found = db.run(work)
    if not found:
        raise BadInput(
            f"{period}: no month of it is missing; `truetonne db partitions show` says what is"
        )
    return found


def forget_all_gone(db: Database) -> None:
    """Note the loss of what is not there, where somebody emptied ``archived_devices`` because he knows of it."""

    def work(session: Session) -> None:
        for table in ARCHIVED:
            if _went(session):
                return
            gone = [str(month) for month in _empty_months(session, table)]
            if gone:
                _require_sight(session.connection(), table)
            _note(session, table, gone)

    db.run(work)


def _require_sight(link: Connection, name: str) -> None:
    """Require that the account may read the archive of MariaDB: what it may not see looks as if it were gone."""
    if link.dialect.name != "mysql":
        return
    try:
        link.exec_driver_sql(f"SELECT 1 FROM {_stored(link, name)}_{INCOMING} LIMIT 1")
    except DBAPIError as error:
        if getattr(error.orig, "args", (0,))[0] not in _DENIED:
            return  # it is not there
        raise ArchiveLost(
            f"archive {_place(link)}: this account may not read it, and cannot say what is missing; "
            "give it the right (`truetonne db grants`), or name another account in database_admin_url"
        ) from error


def _note(session: Session, table: str, months: Sequence[str]) -> None:
    """Note that months are lost: each by itself, since the others of its year are there and may be missed later."""
    for month in months:
        audit.record(session, FORGOTTEN, f"{table}/{month}", {}, {"lost": True})


def _went(live: Session) -> bool:
    """Return whether anything went to the archive, as far as somebody wants to know."""
    # By its index, or MariaDB reads the table whole for one row.
    first = select(ArchivedDevice.device_id).order_by(ArchivedDevice.device_id).limit(1)
    return live.scalar(first) is not None


def _empty_months(live: Session, name: str) -> list[Month]:
    """Return the months whose rows went to the archive and that have none there, oldest first."""
    moved = sorted(months_moved(live, name), key=str)
    if not moved:
        return []
    link = live.connection()
    # SQLite's tables have no partitions, and no rows of unknown devices.
    by_device = link.dialect.name == "sqlite"
    devices = list(live.scalars(select(ArchivedDevice.device_id))) if by_device else []
    stored = _stored(link, name)
    seen = _seen(link)
    with _archive(link, seen) as ask:
        # What a run that was killed left on its way: the next one puts it into its months.
        if f"{name}_{INCOMING}" in seen and ask([f"SELECT 1 FROM {stored}_{INCOMING} LIMIT 1"])[0]:
            return []
        gone: list[Month] = []
        for year, months in groupby(moved, key=lambda month: month.year):  # a statement for each
            some = list(months)
            has = [False] * len(some)
            if f"{name}_{year:04d}" in seen:
                time = partitioning_of(name).column
                has = ask([_one_row(stored, time, month, devices) for month in some])
            gone += [month for month, is_there in zip(some, has, strict=True) if not is_there]
        return gone


def _one_row(stored: str, time: str, month: Month, devices: Sequence[int]) -> str:
    """Return the SQL that finds a row of a month: by partition, or by the index of devices and times."""
    of = f"device_id IN ({', '.join(map(str, devices))}) AND " if devices else ""
    return (
        f"SELECT 1 FROM {stored}_{month.year:04d} WHERE {of}{time} >= '{month.first}' "
        f"AND {time} < '{month.plus(1).first}' LIMIT 1"
    )


@contextmanager
def _archive(link: Connection, seen: set[str]) -> Iterator[Ask]:
    """Yield what asks the archive, at once, which of some queries find anything."""
    if link.dialect.name == "mysql":
        yield lambda queries: [
            bool(found) for found in link.exec_driver_sql(_whether(queries)).one()
        ]
        return
    if not seen:
        yield lambda queries: [False] * len(queries)
        return
    with _opened(link) as archive:
        yield lambda queries: [
            bool(found) for found in archive.execute(_whether(queries)).fetchone()
        ]


def _whether(queries: Sequence[str]) -> str:
    return f"SELECT {', '.join(f'EXISTS({query})' for query in queries)}"


def _listed(names: Sequence[str]) -> str:
    """Return the first names of some, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _way_on(period: str) -> str:
    """Return what to do where a period is missing."""
    return (
        f"{_MEND}, or, where there is no copy, tell by `truetonne db partitions archive --forget {period}` "
        "that you know (docs/retention.md)"
    )


def _place(link: Connection) -> str:
    """Return the archive's schema, or the path of its file."""
    own = str(link.engine.url.database)
    return archive_of(own) if link.dialect.name == "mysql" else str(archive_beside(Path(own)))


def _stored(link: Connection, name: str) -> str:
    """Return how SQL names the archive's tables of a live one, without the year."""
    if link.dialect.name != "mysql":
        return name
    return f"{link.dialect.identifier_preparer.quote_identifier(_place(link))}.{name}"


def _seen(link: Connection) -> set[str]:
    """Return the names of the archive's tables, as far as a connection to the live ones can tell."""
    if link.dialect.name == "mysql":
        rows = link.exec_driver_sql(TABLES_SQL, (_place(link),))
        return {str(name) for (name,) in rows}
    if not Path(_place(link)).exists():
        return set()
    with _opened(link) as archive:
        return {str(name) for (name,) in archive.execute(NAMES_SQL)}


@contextmanager
def _opened(link: Connection) -> Iterator[sqlite3.Connection]:
    """Yield the archive's file, to read alone."""
    file = Path(_place(link))
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as archive:
            yield archive
    except sqlite3.Error as error:
        said = f"archive {file}: cannot be read ({error}); {_MEND}, see docs/retention.md"
        raise ArchiveLost(said) from error
