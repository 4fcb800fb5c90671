"""Which revision a database is at, and which one this version wants.

Every command asks that, and few migrate: Alembic, with its templates, is a sixth of a command's start, and is
imported by ``runner`` alone.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

_VERSIONS = Path(__file__).with_name("versions")
TABLE = "alembic_version"
"""Made before all others."""
_ALL = frozenset(file.name.split("_")[0] for file in _VERSIONS.glob("[0-9]*_*.py"))
"""Those of this program. Read when it starts: a newer version may be installed over the files of one that runs."""
MOVED = "books-moved"
"""The code of an error: these books were closed as they were copied."""
_MOVED = "moved-"
"""What stands before the revision of such books: no version knows that, so none works on them."""
LOCK_NAME = "LEFT(CONCAT('truetonne-migration-', DATABASE()), 64)"
"""In SQL, the name of MariaDB's lock for migrations: locks are the server's, not a database's."""


def current(connection: Connection) -> str | None:
    """Return the revision that a database is at; None when it has no schema."""
    if not inspect(connection).has_table(TABLE):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {TABLE}").scalar_one_or_none()
    return None if found is None else str(found)


def head() -> str:
    """Return the newest revision: files are named by their revisions, which are numbers one after the other."""
    return max(_ALL)


def close_moved(connection: Connection) -> None:
    """Close books that are at the newest revision, for every version of this program."""
    connection.exec_driver_sql(f"UPDATE {TABLE} SET version_num = '{_MOVED}{head()}'")


def said_of_moved(revision: str) -> str:
    """Return what is to be said of books that were closed; empty where they were not."""
    if not revision.startswith(_MOVED):
        return ""
    before = revision.removeprefix(_MOVED)
    return (
        "is closed: its books were copied into another one, and go on there; name that in database_url (to work on "
        f"these again, where the copy is not used: UPDATE {TABLE} SET version_num = '{before}')"
    )


def known(revision: str) -> bool:
    """Return whether this version has a revision; it lacks those of newer versions."""
    return revision in _ALL
