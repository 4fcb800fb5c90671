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


def known(revision: str) -> bool:
    """Return whether this version has a revision; it lacks those of newer versions."""
    return revision in _ALL
