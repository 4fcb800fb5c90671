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


def closed_as_new(database: Database) -> bool:
    """Return whether these are books of SQLite as ``new_books`` makes them; they are closed then, by everybody."""
    if database.dialect != "sqlite" or not database.url.database:
        return False
    log = _log(database)
    if log.exists() and log.stat().st_size:  # written since
        return False
    return closed(database) == _migrated()


def closed(database: Database) -> bytes | None:
    """Close books of SQLite, and return what their file holds; None where somebody else has them open."""
    database.close()
    file = Path(str(database.url.database))
    # Whoever closes the books last takes the log away.
    return file.read_bytes() if file.exists() and not _log(database).exists() else None


def _log(database: Database) -> Path:
    return Path(f"{database.url.database}-wal")


@cache
def _migrated() -> bytes:
    if _keeping:
        return _keeping[0](migrate).read_bytes()
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        file = Path(folder) / "books.db"
        migrate(file)
        return file.read_bytes()
