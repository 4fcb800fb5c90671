"""Books that go to another database: from SQLite to MariaDB or back, every row of every table.

Rows are read and written by the types of their columns, which mean the same on both. All that a table has is read
back from the new database, and compared, before anything is committed there: the copy is whole and the same, or
there is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import RowMapping, Table, delete, func, insert, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import Session

from ledger import audit
from ledger.db import Database
from ledger.db.deferring import deferred_foreign_keys
from ledger.errors import ProblemFound
from ledger.keeping import places
from ledger.keeping.missing import require_archive
from ledger.keeping.moving_mysql import Mover
from ledger.leases import holder_of
from ledger.migrations import revisions
from ledger.models import AuditLog, Base
from ledger.models.jobs import HeldLease
from ledger.models.partitions import PARTITIONED
from ledger.models.types import ValueRefused, ValueUnreadable

ACTION = "books.copy"
"""What the audit log of the new database calls it."""
_AT_ONCE = 2_000
_AHEAD_YEARS = 20
"""How many years ahead partitions are made for rows: a server has 8,192 at most, and a time may be anything."""
_BEGUN = "audit_heads"
"""Has one row in a database that is new: where the chain of the audit log begins."""


class SourceBusy(ProblemFound):
    """A process works on the books that are to be copied."""

    default_code = "database-in-use"


class TargetNotNew(ProblemFound):
    """The database that is to take the books has rows already."""

    default_code = "database-not-empty"


@dataclass(frozen=True)
class Copied:
    """A table that is in the new database."""

    table: str
    """Its name; one of the archive has its year behind it."""
    rows: int


def require_new(target: Database) -> None:
    """Require that a database holds nothing: no schema, or the present one without rows; nor its archive.

    Raises
    ------
    TargetNotNew
        It has a schema of another version, or rows, or its archive has.
    """
    revision = target.current()
    if revision not in (None, target.head()):
        raise _not_new(target, f"is at revision {revision}")
    if revision is None and target.dialect == "sqlite":
        if places.archive_file(target).exists():  # the database itself may be no file yet
            raise _archive_left(target)
        return
    with target.read() as session, places.archive_session(target, session) as archive:
        live = () if revision is None else _tables()
        filled = [item for item in live if item.name != _BEGUN and _has_rows(session, item)]
        left = archive is not None and any(
            _has_rows(archive, item) for item in _archived(target, archive)
        )
    if filled:
        raise _not_new(target, f"has rows in {filled[0].name}")
    if left:
        raise _archive_left(target)


def _archive_left(target: Database) -> TargetNotNew:
    """Say what to put away: what a copy leaves that is killed as it ends looks as the archive of other books does."""
    if target.dialect == "sqlite":
        where = f"file {places.archive_file(target)}"
    else:
        where = f"database {places.archive_schema(target)}"
    return TargetNotNew(
        f"database {target.place} is new, and its archive, {where}, is there: of a copy that was killed as it ended, "
        "or of other books; put it away, or delete it where nobody needs it, and copy again"
    )


def _not_new(target: Database, found: str) -> TargetNotNew:
    return TargetNotNew(
        f"database {target.place} {found}, so it is not new; books are copied into one that is empty: name another in "
        "database_url"
    )


def copy_books(
    source: Database, target: Database, tell: Callable[[Copied], None], *, close: bool = False
) -> list[Copied]:
    """Copy books into a new database, a table after the other; all is committed behind the last one.

    Nobody else can write into an SQLite source meanwhile; of a MariaDB source one moment is copied.

    Parameters
    ----------
    source
        Of the schema of this version.
    target
        Of the same schema, and new (``require_new``); on MariaDB by an account that may change tables.
    tell
        Called for each table that was copied and compared.
    close
        Whether nobody is to work on the source afterwards. On SQLite nobody can have written between the copy and that.

    Raises
    ------
    SourceBusy
        A process that sends, mirrors or does jobs works on the source, or began to do so meanwhile, or somebody wrote
        there what the audit log tells of.
    ArchiveLost
        Rows went to an archive that is not there, or that the source's account may not see.
    ProblemFound
        Rows are on their way to the archive, one cannot be read or written, or refers to one that is not there, or
        what the new database has is not what was read.
    """
    done = []
    on_server = source.dialect != "sqlite"
    with ExitStack() as stack:
        old = stack.enter_context(_held(source))
        _require_quiet(source, old)
        old_archive = stack.enter_context(places.archive_session(source, old))
        _require_whole(source, old)
        archived = _archived(source, old_archive)
        if close and on_server:  # who may not is told before, and not behind the copy
            source.run(lambda session: revisions.close_moved(session.connection()), keep=False)
        _prepare(target, old, archived)
        stack.enter_context(_none_left(target))
        new = stack.enter_context(target.write())
        # Left before the others are, so what goes to a file of its own is committed first.
        new_archive = stack.enter_context(_new_archive(target, archived))
        with deferred_foreign_keys(new):  # the source has both rows of each reference
            pairs = [
                (old_archive, table, new_archive or new, _there(target, table))
                for table in archived
            ]
            pairs += [(old, table, new, table) for table in _tables()]
            for reader, table, writer, other in pairs:
                assert reader is not None
                with _told_of(table):
                    done.append(Copied(table.name, _copy(reader, table, writer, other)))
                tell(done[-1])
            if on_server:  # where nobody was kept from beginning to work meanwhile
                with source.read() as now:
                    _require_quiet(source, now)
                    _require_unwritten(source, old, now)
            if target.dialect == "sqlite":
                _require_parents(new)
                _go_on_counting(new, _numbers_given(old))
        audit.record(
            new,
            ACTION,
            "books",
            {},
            {"from": source.place, "rows": sum(item.rows for item in done)},
        )
        if close and not on_server:  # committed behind the new database
            revisions.close_moved(old.connection())
    if close and on_server:
        source.run(lambda session: revisions.close_moved(session.connection()))
    return done


def count_rows(source: Database) -> list[Copied]:
    """Return what would be copied."""
    with source.read() as session, places.archive_session(source, session) as archive:
        _require_quiet(source, session)
        _require_whole(source, session)
        there = [(archive, table) for table in _archived(source, archive)]
        there += [(session, table) for table in _tables()]
        return [
            Copied(table.name, _count(reader, table))
            for reader, table in there
            if reader is not None
        ]


@contextmanager
def _held(source: Database) -> Iterator[Session]:
    """Open the source: nobody writes into an SQLite file meanwhile; of MariaDB it is a snapshot."""
    partitioned = [Base.metadata.tables[item.table] for item in PARTITIONED]
    opened = source.write() if source.dialect == "sqlite" else source.read(holding=partitioned)
    with opened as session:
        yield session


def _tables() -> Sequence[Table]:
    return Base.metadata.sorted_tables


def _require_quiet(source: Database, session: Session) -> None:
    for name in session.scalars(select(HeldLease.name).order_by(HeldLease.name)):
        holder = holder_of(session, name)
        if holder is not None and holder.live:
            raise SourceBusy(
                f"database {source.place}: {holder.place} works on it ({name}); stop `up`, `index run`, `jobs run` and "
                "`serve` there, and copy again"
            )


def _require_unwritten(source: Database, before: Session, now: Session) -> None:
    """Require that nobody has written what the copy lacks, as `serve` and commands do, which hold no lease."""
    last = select(func.max(AuditLog.id))
    if before.scalar(last) != now.scalar(last):
        raise SourceBusy(
            f"database {source.place}: somebody has written there while it was copied, so the copy would lack that; "
            "stop `serve` and all commands there, and copy again"
        )


def _require_whole(source: Database, session: Session) -> None:
    """Require the rows that others refer to, and the archive: one that stayed elsewhere looks as if there were none."""
    for name in places.ARCHIVED:
        require_archive(session, name)
    if source.dialect == "sqlite":
        _require_parents(session)


def _require_parents(session: Session) -> None:
    """Require that rows of an SQLite file refer to rows that are there: it says at the commit only that some do not."""
    found = session.connection().exec_driver_sql("PRAGMA foreign_key_check").first()
    if found is not None:
        table, number, parent, _ = found
        raise ProblemFound(
            f"{table}: row {number} refers to a row of {parent} that is not there, and others may; put it back from a "
            "backup, or delete them (`truetonne db orphans` names those of large tables), then copy again",
            code="orphaned-rows",
        )


def _archived(db: Database, archive: Session | None) -> list[Table]:
    """Return the years that the archive has.

    Raises
    ------
    ProblemFound
        Rows are on their way there.
    """
    if archive is None:
        return []
    seen_by = archive if db.dialect == "sqlite" else None
    found = [
        table
        for name in places.ARCHIVED
        for table in places.stored_tables(db, name, archive=seen_by)
    ]
    waiting = [table for table in found if table.name.endswith(f"_{places.INCOMING}")]
    for table in waiting:
        if _has_rows(archive, table):
            raise ProblemFound(
                f"database {db.place}: rows are on their way to the archive ({table.name}): wait for the run that "
                "takes them, or, where it was stopped, `truetonne jobs run archive` takes them there; then copy again",
                code="archive-open",
            )
    return [table for table in found if table not in waiting]


def _there(target: Database, table: Table) -> Table:
    """Return the table of the target's archive that belongs to one of the source's."""
    live = places.live_name(table)
    schema = places.archive_schema(target) if target.dialect == "mysql" else None
    return places.stored_table(live, table.name.removeprefix(f"{live}_"), schema)


def _prepare(target: Database, old: Session, archived: Sequence[Table]) -> None:
    """Make what MariaDB makes by statements that commit at once: partitions, tables of the archive, first numbers."""
    if target.dialect == "sqlite":
        return
    today = datetime.now(UTC).date()
    last = _last_day(old)
    until = None if last is None else min(last, date(today.year + _AHEAD_YEARS, 1, 1))
    target.ensure_partitions(today, until)
    with target.changing() as link:
        for table in archived:
            live = places.live_name(table)
            mover = Mover(target, link, live)
            mover.prepare()
            mover.make_year(int(table.name.removeprefix(f"{live}_")))
        for name, number in _numbers_given(old).items():
            link.exec_driver_sql(f"ALTER TABLE {name} AUTO_INCREMENT = {number + 1}")


def _last_day(old: Session) -> date | None:
    columns = [Base.metadata.tables[item.table].c[item.column] for item in PARTITIONED]
    found = []
    for column in columns:
        with _told_of(column.table):
            found.append(old.scalar(select(func.max(column))))
    return max((time.date() for time in found if time is not None), default=None)


def _numbers_given(old: Session) -> dict[str, int]:
    """Return the last number given to a row of each table that never gives one twice."""
    link = old.connection()
    found = {}
    for table in _tables():
        if not table.dialect_options["sqlite"]["autoincrement"]:
            continue
        if link.dialect.name == "sqlite":
            row = link.exec_driver_sql(
                "SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)
            ).first()
        else:
            row = link.exec_driver_sql(
                "SELECT auto_increment - 1 FROM information_schema.tables "
                "WHERE table_schema = DATABASE() AND table_name = %s",
                (table.name,),
            ).first()
        found[table.name] = int((row and row[0]) or 0)
    return found


def _go_on_counting(new: Session, given: Mapping[str, int]) -> None:
    """Have SQLite give no number that the source gave: it counts in a table of its own."""
    link = new.connection()
    for name, number in given.items():
        link.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
        link.exec_driver_sql(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, number)
        )


@contextmanager
def _none_left(target: Database) -> Iterator[None]:
    """Take away the file of an SQLite target's archive where the copy fails: its rows are committed first."""
    file = places.archive_file(target) if target.dialect == "sqlite" else None
    if file is None or file.exists():
        yield
        return
    try:
        yield
    except BaseException:
        for end in ("", "-wal", "-shm"):
            file.with_name(file.name + end).unlink(missing_ok=True)
        raise


@contextmanager
def _new_archive(target: Database, archived: Sequence[Table]) -> Iterator[Session | None]:
    """Open the archive of an SQLite target, with its tables; None where none is due, or it is the server's."""
    if target.dialect != "sqlite" or not archived:
        yield None
        return
    with closing(places.open_archive(target)) as archive, archive.write() as session:
        for table in archived:
            _there(target, table).create(session.connection(), checkfirst=True)
        yield session


@contextmanager
def _told_of(table: Table) -> Iterator[None]:
    """Say of which table a value is that cannot be read, or that the new database does not take."""
    try:
        yield
    except (ValueRefused, ValueUnreadable, LookupError) as error:
        raise _no_copy(table, error) from error
    except StatementError as error:
        if isinstance(error, DBAPIError) and not isinstance(error, (DataError, IntegrityError)):
            raise
        raise _no_copy(table, error.orig) from error


def _no_copy(table: Table, reason: object) -> ProblemFound:
    return ProblemFound(
        f"{table.name}: a row cannot be copied: {reason}; nothing was kept in the new database",
        code="value-refused",
    )


def _copy(reader: Session, table: Table, writer: Session, other: Table) -> int:
    """Copy a table; return how many rows it has.

    Raises
    ------
    ProblemFound
        What was written reads otherwise.
    """
    if table.name == _BEGUN:
        writer.execute(delete(other))
    written, there = _Sum(), _Sum()
    with _explained(writer):
        for some in _rows(reader, table):
            writer.execute(insert(other), [dict(row) for row in some])
            written.add(some)
        for some in _rows(writer, other):
            there.add(some)
    if there != written:
        raise ProblemFound(
            f"{table.name}: {written.rows} rows were written, and the {there.rows} that the new database has read "
            "otherwise; nothing was kept there",
            code="copy-differs",
        )
    return written.rows


def _rows(reader: Session, table: Table) -> Iterator[Sequence[RowMapping]]:
    ordered = select(table).order_by(*table.primary_key.columns)
    with _explained(reader):
        result = reader.connection().execute(ordered.execution_options(yield_per=_AT_ONCE))
        yield from result.mappings().partitions(_AT_ONCE)


def _explained(session: Session) -> AbstractContextManager[object]:
    """Have an error name the database that it is of, and not the one that was opened last."""
    database: Database = session.info["database"]
    return database.explained()


@dataclass
class _Sum:
    """Rows, and the sum of their hashes: the same in any order, as two databases need not sort text alike."""

    rows: int = 0
    total: int = 0

    def add(self, some: Sequence[RowMapping]) -> None:
        """Add rows."""
        for row in some:
            text = json.dumps(list(row.values()), sort_keys=True, default=repr)
            self.total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())
        self.rows += len(some)


def _has_rows(reader: Session, table: Table) -> bool:
    return reader.execute(select(1).select_from(table).limit(1)).first() is not None


def _count(reader: Session, table: Table) -> int:
    return reader.scalar(select(func.count()).select_from(table)) or 0
