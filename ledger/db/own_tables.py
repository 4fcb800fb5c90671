"""Whether the tables are still those of this program: a newer version may upgrade them while it runs.

Who writes asks when his unit of work begins. On SQLite that is behind the write lock, so what is found holds until the
commit. On MariaDB it is before the snapshot, which it must not begin; an upgrade that begins later waits there for the
tables that the unit of work has used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from ledger.db.failures import SchemaMissing
from ledger.errors import DependencyDown
from ledger.migrations import revisions

_NO_TABLE = 1146
_IS_THERE = "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'"
_FOUND = "SELECT version_num FROM alembic_version"
_FOUND_MYSQL = f"SELECT version_num, IS_FREE_LOCK({revisions.LOCK_NAME}) FROM alembic_version"


class NewerTables(SchemaMissing):
    """A newer version has upgraded the tables: this program must end, for no waiting makes them its own again.

    So it must where the books were closed as they were copied (``books-moved``).
    """

    default_code = "unknown-revision"


class TablesChanging(DependencyDown):
    """Another process upgrades the tables. It takes seconds and more, so nothing is tried again at once."""

    default_code = "database-busy"


def require(connection: Connection) -> None:
    """Refuse to write into tables of a newer version, or into tables that are being upgraded.

    A database without revision is left to whoever writes: the statement says that its table is not there.

    Raises
    ------
    NewerTables
        This program does not know their revision, or the books were closed as they were copied.
    TablesChanging
        Another process upgrades them (MariaDB; on SQLite it holds the write lock).
    """
    mysql = connection.dialect.name != "sqlite"
    row = _of_mysql(connection) if mysql else _of_sqlite(connection)
    if row is None:
        return
    place = connection.engine.url.render_as_string(hide_password=True)
    refuse_moved(place, row[0])
    if not revisions.known(row[0]):
        raise NewerTables(
            f"database {place} is at revision {row[0]}, this program knows them up to {revisions.head()}: a newer "
            "version upgraded it while this one ran, and nothing was written since; start that version in its place",
            details={"database": place},
        )
    if mysql and row[1] == 0:
        raise TablesChanging(
            f"database {place}: another process upgrades its tables; wait until it is done, and try again",
            details={"database": place},
        )


def refuse_moved(place: str, revision: str | None) -> None:
    """Refuse books that were closed as they were copied.

    Raises
    ------
    NewerTables
        They were (``books-moved``).
    """
    if moved := revisions.said_of_moved(revision or ""):
        raise NewerTables(
            f"database {place} {moved}", code=revisions.MOVED, details={"database": place}
        )


def _of_sqlite(connection: Connection) -> Sequence[Any] | None:
    # Looked for first: an error, where the unit of work begins, would have SQLAlchemy end the transaction behind it.
    if connection.exec_driver_sql(_IS_THERE).first() is None:
        return None
    return connection.exec_driver_sql(_FOUND).first()


def _of_mysql(connection: Connection) -> Sequence[Any] | None:
    try:
        return connection.exec_driver_sql(_FOUND_MYSQL).first()
    except ProgrammingError as error:
        if getattr(error.orig, "args", ())[:1] == (_NO_TABLE,):
            return None
        raise
