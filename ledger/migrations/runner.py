"""Run the migrations: a connection of their own, a copy first, a check of references last.

On SQLite all revisions run in one transaction. MariaDB commits after every change of a table, so
there each step can be repeated, and one process migrates at a time.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from stat import S_IMODE

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ledger.errors import BadInput, DependencyDown, ProblemFound
from ledger.files import part_in, put
from ledger.migrations.revisions import LOCK_NAME, MOVED, TABLE, current, said_of_moved
from ledger.models import Base

LOCK_WAIT_S = 60
"""How long a process waits while another migrates the same database, in seconds."""
_OURS = re.compile("[0-9]{4}")
"""How our revisions are named; others name theirs by chance, as Alembic does by itself."""


def upgrade(engine: Engine, revision: str) -> list[str]:
    """Bring a database to a revision and return the revisions applied, oldest first.

    Parameters
    ----------
    engine
        An engine made for migrations: its transactions take the write lock at once, and SQLite's
        foreign keys are off.
    revision
        The revision, or ``head``.

    Raises
    ------
    ProblemFound
        A row refers to one that is not there (SQLite; nothing was changed).
    DependencyDown
        Another process is migrating the database, or the copy from before it cannot be written (SQLite).
    BadInput
        It is that of another program, or one has tables or views of our names in it.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            return _upgrade_sqlite(connection, Path(engine.url.database or ""), revision)
        return _upgrade_mysql(connection, revision)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "ledger:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade_sqlite(connection: Connection, file: Path, revision: str) -> list[str]:
    with connection.begin():  # takes the write lock: a second process waits here
        before = current(connection)
        pending = _pending(before, revision)
        if not pending:
            return []
        if before is None:
            _require_own(connection)
        else:
            _copy(file, before)
        command.upgrade(_config(connection), revision)
        orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if orphans:
            table, row, parent, _ = orphans[0]
            raise ProblemFound(
                f"{file}: {len(orphans)} rows refer to rows that are not there, the first is "
                f"row {row} of {table} (to {parent}); mend them and upgrade again, "
                "nothing was changed",
                code="orphaned-rows",
            )
    return pending


def _upgrade_mysql(connection: Connection, revision: str) -> list[str]:
    if not _pending(current(connection), revision):
        return []  # the lock would hold up who writes, for nothing
    name = lock_name(connection)
    got = connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (name, LOCK_WAIT_S)).scalar_one()
    if got != 1:
        raise DependencyDown("another process is migrating the database; wait for it and try again")
    connection.commit()
    pending = _pending(current(connection), revision)
    if pending:
        _require_own(connection)
        command.upgrade(_config(connection), revision)
    connection.commit()
    # With the connection it would go a moment later, when the server notices the end: too late for who writes next.
    with suppress(DBAPIError):  # the connection is lost, and the lock with it
        connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (name,))
    return pending


def _require_own(connection: Connection) -> None:
    """Refuse a database where another program has tables or views of our names: each would be taken for one of ours."""
    there = _names(connection)
    taken = sorted(there & Base.metadata.tables.keys())
    if taken and TABLE not in there:
        more = f" and {len(taken) - 3} more" if len(taken) > 3 else ""
        raise BadInput(
            f"the database has tables of another program under names of ours ({', '.join(taken[:3])}{more}); name a "
            "database of its own in TRUETONNE_DATABASE_URL; nothing was changed",
            code="foreign-tables",
        )


def _names(connection: Connection) -> set[str]:
    """Return the names that no new table may have: those of views as well; in small letters where these are the same.

    Not by SQLAlchemy's inspector, which lists of MariaDB neither sequences nor tables that keep their history.
    """
    if connection.engine.dialect.name == "sqlite":
        found = connection.exec_driver_sql(
            "SELECT LOWER(name) FROM sqlite_schema WHERE type IN ('table', 'view')"
        )
    else:
        found = connection.exec_driver_sql(
            "SELECT IF(@@lower_case_table_names = 0, table_name, LOWER(table_name)) "
            "FROM information_schema.tables WHERE table_schema = DATABASE()"
        )
    return set(map(str, found.scalars()))


def lock_name(connection: Connection) -> str:
    """Return the name of MariaDB's lock for migrations, which who writes looks at."""
    return str(connection.exec_driver_sql(f"SELECT {LOCK_NAME}").scalar_one())


def _pending(before: str | None, revision: str) -> list[str]:
    script = ScriptDirectory.from_config(_config())
    if script.get_current_head() is None:
        # Alembic lists the folder by os.walk, which keeps silent of an error: nothing would be left to do.
        raise DependencyDown(
            "the migrations of this program cannot be listed: allow more open files (`ulimit -n`), or install it "
            "anew, and upgrade again; nothing was changed",
            code="migrations-unread",
        )
    try:
        steps = list(script.iterate_revisions(revision, before or "base"))
    except (CommandError, RevisionError) as error:
        if moved := said_of_moved(before or ""):
            raise DependencyDown(f"the database {moved}", code=MOVED) from error
        if before is not None and not _OURS.fullmatch(before):
            raise BadInput(
                f"the database is that of another program, whose revision is {before}; name one of its own in "
                "TRUETONNE_DATABASE_URL; nothing was changed",
                code="foreign-tables",
            ) from error
        raise ProblemFound(
            f"the database is at revision {before}, which this version does not know; "
            "install a newer version",
            code="unknown-revision",
        ) from error
    return [step.revision for step in reversed(steps)]


def _copy(file: Path, revision: str) -> None:
    """Copy the file beside itself, with what still stands in its write-ahead log; who may read it may read the copy.

    Raises
    ------
    DependencyDown
        It cannot be copied; a copy that was there already is as it was.
    """
    copy = file.with_name(f"{file.name}.before-{revision}")
    try:
        with part_in(file.parent, S_IMODE(file.stat().st_mode)) as part:
            with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(part)) as target:
                # A full disk would leave the journal beside it.
                target.execute("PRAGMA journal_mode = OFF")
                source.backup(target)
            put(part, copy)
    except (sqlite3.Error, OSError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise DependencyDown(
            f"{copy}: the copy from before the upgrade cannot be written ({said}); nothing was changed: see that "
            "the folder can be written and has room for it, and upgrade again"
        ) from error
