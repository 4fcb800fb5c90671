"""A newer version that upgrades the tables under a program that runs: another process, over a connection of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ledger.db import Database

NEWER = "9999"
"""A revision that this version does not know."""
_AT = f"UPDATE alembic_version SET version_num = '{NEWER}'"


@contextmanager
def upgraded_by_a_newer_version(db: Database) -> Iterator[None]:
    """Have the tables be those of a newer version meanwhile."""
    _change(db, _AT)
    try:
        yield
    finally:
        _change(db, f"UPDATE alembic_version SET version_num = '{db.head()}'")


def _change(db: Database, statement: str) -> None:
    if db.dialect == "sqlite":
        with closing(sqlite3.connect(Path(db.url.database or ""))) as link, link:
            link.execute(statement)
        return
    with db.server() as server:
        server.exec_driver_sql(statement)
