"""Books of SQLite with the schema, made by the migrations once in a run of tests and copied from then on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ledger.db import Database

_keeping: list[Callable[[Callable[[Path], None]], Path]] = []


def keep_once(made_once: Callable[[Callable[[Path], None]], Path]) -> None:
    """Have the processes of a run make them once; where nobody says how, each process makes its own."""
    _keeping[:] = [made_once]


def new_books(file: Path) -> Database:
    """Return a database with all tables and no rows, in a file that is not there yet."""
    file.write_bytes(_migrated())
    return Database(f"sqlite:///{file}")


def migrate(file: Path) -> None:
    """Make the books of a file by the migrations."""
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    database.close()


@cache
def _migrated() -> bytes:
    if _keeping:
        return _keeping[0](migrate).read_bytes()
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        file = Path(folder) / "books.db"
        migrate(file)
        return file.read_bytes()
