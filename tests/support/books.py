"""Books of SQLite with the schema, made by the migrations once in a process and copied from then on."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from ledger.db import Database


def new_books(file: Path) -> Database:
    """Return a database with all tables and no rows, in a file that is not there yet."""
    file.write_bytes(_migrated())
    return Database(f"sqlite:///{file}")


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        file = Path(folder) / "books.db"
        database = Database(f"sqlite:///{file}")
        database.upgrade()
        database.close()
        return file.read_bytes()
