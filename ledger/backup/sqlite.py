"""Backups of an SQLite file: the online backup, whole each time, sealed on its way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL

from ledger.backup.checks import sqlite_damage, sqlite_tables
from ledger.backup.manifest import Kind, Manifest, TableCheck
from ledger.backup.store import Store
from ledger.clock import utc_now
from ledger.db import Database
from ledger.db.own_tables import refuse_moved
from ledger.errors import BadInput, DependencyDown
from ledger.files import part_in
from ledger.keeping.places import archive_beside

COPY, ARCHIVED = "copy.sealed", "archive.sealed"
"""The files of a copy: the database, and its archive where there is one."""
MEND_DAMAGE = "restore a backup from before (docs/backup.md)"
"""What to do about a file that is damaged."""
_BLOCK_BYTES = 1 << 20
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def take(db: Database, store: Store, now: datetime) -> Manifest:
    """Take a copy of the file as of one moment, while others read and write it.

    Raises
    ------
    BadInput
        If there is no file.
    DependencyDown
        If it cannot be read or is damaged, or there is no room beside it; or if the books were
        closed as they were copied.
    """
    file = file_of(db)
    schema = db.current()
    refuse_moved(db.place, schema)
    try:
        with ExitStack() as stack:
            copy, at, tables = stack.enter_context(_copied(file))
            copies = {COPY: copy}
            # The archive after the live file: a row that moves meanwhile is in both, and never in none.
            archive = archive_beside(file)
            if archive.exists():
                copies[ARCHIVED], _, more = stack.enter_context(_copied(archive))
                tables |= {f"{archive.stem}.{name}": check for name, check in more.items()}
            with store.making(Kind.FULL, now) as making:
                for name, descriptor in copies.items():
                    making.add(name, _blocks(descriptor))
                manifest = Manifest(
                    id=making.id,
                    kind=Kind.FULL,
                    dialect=db.dialect,
                    source=source_of(db.url),
                    begun_at=now,
                    at=at,
                    ended_at=utc_now(),
                    parts=tuple(making.parts),
                    schema=schema,
                    server=sqlite3.sqlite_version,
                    tables=tables,
                    number=store.next_number(utc_now()),
                )
                return store.finish(making, manifest)
    except OSError as error:
        raise _no_room(file.parent, str(error.strerror)) from error


def file_of(db: Database) -> Path:
    """Return the file of a database.

    Raises
    ------
    BadInput
        If it is not there.
    """
    file = Path(db.url.database or "").absolute()
    if not file.exists():
        raise BadInput(f"there is no database {file}; name it in {db.setting}")
    return file


def _no_room(folder: Path, said: str) -> DependencyDown:
    return DependencyDown(
        f"{folder}: cannot be written ({said}); a backup needs room for a copy there"
    )


def _damaged(file: Path, said: str) -> DependencyDown:
    return DependencyDown(
        f"database {file} is damaged: {said}; {MEND_DAMAGE}; nothing was kept",
        code="database-down",
    )


def source_of(url: URL) -> str:
    """Return what tells one database from others."""
    return f"sqlite {Path(url.database or '').resolve()}"


def tables_of(file: Path, label: str | None = None) -> dict[str, TableCheck]:
    """Return what every table of a file and its archive holds that nobody writes; nothing is made beside them.

    Parameters
    ----------
    label
        What the archive was called where the copy was taken; None: as it is called here.
    """
    found = _held(file)
    archive = archive_beside(file)
    if archive.exists():
        found |= {f"{label or archive.stem}.{name}": each for name, each in _held(archive).items()}
    return found


def _held(file: Path) -> dict[str, TableCheck]:
    with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as connection:
        return sqlite_tables(connection)


@contextmanager
def _copied(file: Path) -> Iterator[tuple[int, datetime, dict[str, TableCheck]]]:
    """Yield a copy of a file as of one moment, without a name; the moment; and what its tables hold."""
    # Beside the file, where its plaintext is anyway; without a name before a byte of it is written. Who is killed
    # between the two leaves an empty file, which the next copy takes away.
    try:
        with (
            part_in(file.parent, 0o600) as part,
            part.open("rb") as copy,
            closing(_unnamed(part)) as target,
            closing(_snapshot(file)) as source,
        ):
            at = utc_now()
            tables = sqlite_tables(source)
            # A restore would refuse it, when those from before are gone.
            if said := sqlite_damage(source):
                raise _damaged(file, said)
            source.backup(target)  # in the same snapshot
            yield copy.fileno(), at, tables
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")  # Python's own errors have none
        if name.startswith(_NO_ROOM):
            raise _no_room(file.parent, str(error)) from error
        if name.startswith(_DAMAGED):
            raise _damaged(file, str(error)) from error
        raise DependencyDown(
            f"database {file}: cannot be copied: {error}; see `truetonne doctor`",
            code="database-down",
        ) from error


def _snapshot(file: Path) -> sqlite3.Connection:
    """Open a file for reading, as of one moment; those who write are not held up."""
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    return connection


def _unnamed(path: Path) -> sqlite3.Connection:
    """Open an empty file as a database, and take its name away: whoever is killed leaves nothing of it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    path.unlink()
    return connection


def _blocks(descriptor: int) -> Iterator[bytes]:
    at = 0
    while data := os.pread(descriptor, _BLOCK_BYTES, at):
        yield data
        at += len(data)
