"""Which months went to the archive: the audit log is read once, and no entry that follows is missed."""

import shutil
from pathlib import Path
from typing import Any

from ledger import audit
from ledger.db import Database
from ledger.keeping.moves import note
from ledger.keeping.noted import FORGOTTEN, moves
from ledger.keeping.places import Month
from tests.support.statements import listening, steps_of

TABLE = "device_data"
JUNE, JULY, AUGUST = (Month(2014, number) for number in (6, 7, 8))


def move(db: Database, *months: Month) -> None:
    with db.write() as session:
        for month in months:
            note(session, TABLE, month, 1)


def went(db: Database) -> dict[str, bool]:
    with db.read() as session:
        return {str(month): is_asked_for for month, is_asked_for in moves(session, TABLE).items()}


def asked_of_the_log(db: Database) -> list[list[str]]:
    """Return how SQLite goes about each statement by which the audit log is read for an answer."""
    found: list[list[str]] = []

    def heard(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "audit_logs" in statement:
            found.append(steps_of(cursor.connection, statement, parameters))

    with listening(heard):
        went(db)
    return found


def test_the_log_is_read_once_and_then_what_is_new(sqlite_db: Database) -> None:
    move(sqlite_db, *[JUNE] * 300, JULY)
    assert went(sqlite_db) == {"2014-06": True, "2014-07": True}
    assert asked_of_the_log(sqlite_db) == []
    move(sqlite_db, AUGUST)
    with sqlite_db.write() as session:
        audit.record(session, FORGOTTEN, f"{TABLE}/{JUNE}", {}, {"lost": True})
        # Its own entries, before they have a place.
        assert moves(session, TABLE) == {JUNE: False, JULY: True, AUGUST: True}
    (steps,) = asked_of_the_log(sqlite_db)
    assert len(steps) == 2 and "(position>?)" in steps[0] and "(rowid=?)" in steps[1], steps
    assert went(sqlite_db) == {"2014-06": False, "2014-07": True, "2014-08": True}
    move(sqlite_db, JUNE)
    assert went(sqlite_db) == {"2014-06": True, "2014-07": True, "2014-08": True}


def test_books_that_were_put_back_are_read_anew(sqlite_db: Database, tmp_path: Path) -> None:
    """As by ``db restore`` under a server that goes on."""
    file, copy = Path(sqlite_db.url.database or ""), tmp_path / "copy.db"
    move(sqlite_db, JUNE)
    sqlite_db.close()
    shutil.copy(file, copy)
    move(sqlite_db, JULY)
    assert went(sqlite_db) == {"2014-06": True, "2014-07": True}

    def put_back() -> None:
        sqlite_db.close()
        for end in ("-wal", "-shm"):
            file.with_name(file.name + end).unlink(missing_ok=True)
        shutil.copy(copy, file)

    put_back()
    assert went(sqlite_db) == {"2014-06": True}
    move(sqlite_db, AUGUST)  # as many entries as before, and another one last
    assert went(sqlite_db) == {"2014-06": True, "2014-08": True}
    put_back()
    move(sqlite_db, JULY, AUGUST)  # and one more than before
    assert went(sqlite_db) == {"2014-06": True, "2014-07": True, "2014-08": True}
