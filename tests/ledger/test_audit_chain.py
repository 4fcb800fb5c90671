"""The audit log is a hash chain: what was changed, left out, put in or put elsewhere is found and named."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from ledger import audit, audit_chain
from ledger.audit import By
from ledger.audit_chain import GENESIS, Head
from ledger.db import Database
from ledger.errors import BadInput, ProblemFound
from ledger.jobs.catalogue import job_named
from ledger.jobs.work import Tools
from ledger.models import AuditLog
from ledger.settings import load_settings
from tests.support.forms import long
from tests.support.racers import auditing, race

SHORT_ON_MARIADB = ("test_processes_at_once_make_one_chain",)

WRITERS, ENTRIES = 3, 40


def write(db: Database, count: int, action: str = "tests.act") -> None:
    for number in range(count):
        db.run(
            lambda session, number=number: audit.record(
                session, action, f"things/{number}", {"ü": [1, None]}, {"z": {"b": "x", "a": 2.5}}
            )
        )


def problems(db: Database, known: Head | None = None) -> list[str]:
    with db.read() as session:
        return list(audit_chain.check(session, known).problems)


def head(db: Database) -> Head:
    with db.read() as session:
        return audit_chain.head_of(session)


def tamper(db: Database, *statements: str) -> None:
    """Do what somebody does who rules the database: past triggers and references."""
    names = ("audit_logs", "audit_chain")
    drops = [f"DROP TRIGGER {name}_no_{verb}" for name in names for verb in ("update", "delete")]
    if db.dialect == "sqlite":
        with closing(sqlite3.connect(str(db.url.database))) as link:  # foreign keys are off here
            link.executescript(";".join((*drops, *statements)))
        return
    with db.write() as session:
        for statement in (*drops, "SET foreign_key_checks=0", *statements):
            session.connection().exec_driver_sql(statement)


@pytest.fixture
def log(sqlite_db: Database) -> Database:
    """A log of five entries."""
    write(sqlite_db, 5)
    return sqlite_db


# ------------------------------------------------------------------ what is written


def test_an_entry_is_hashed_as_the_page_says(sqlite_db: Database) -> None:
    sqlite_db.run(
        lambda s: s.execute(
            text(
                "INSERT INTO users VALUES (7,'a','b','c','viewer',NULL,'2026-01-01','2026-01-01',1)"
            )
        )
    )
    by = By(7, "192.0.2.7", api_key_id=3)
    sqlite_db.run(lambda s: audit.record(s, "users.add", "users/8", {}, {"näme": "x"}, by))
    with sqlite_db.read() as session:
        row = session.connection().exec_driver_sql("SELECT created_at FROM audit_logs").scalar_one()
    at = datetime.fromisoformat(row).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    # Written out by hand: whoever checks the log need not read our code.
    line = (
        '{"action":"users.add","created_at":"' + at + '","id":1,"ip_address":"192.0.2.7",'
        '"new_values":{"by_api_key":3,"näme":"x"},"old_values":{},"position":1,"previous_hash":"'
        + "0" * 64
        + '","resource":"users/8","user_id":7}'
    )
    assert head(sqlite_db) == Head(1, hashlib.sha256(line.encode()).hexdigest())


def test_what_is_rolled_back_has_no_place(db: Database) -> None:
    write(db, 2)
    with pytest.raises(RuntimeError), db.write() as session:
        audit.record(session, "a", "r", {}, {})
        raise RuntimeError("the power is gone")
    with db.write() as session:
        with pytest.raises(RuntimeError), session.begin_nested():
            audit.record(session, "undone", "r", {}, {})
            raise RuntimeError("taken back to the savepoint")
        with session.begin_nested():
            audit.record(session, "kept", "r", {}, {})
    assert (head(db).position, problems(db)) == (3, [])


def test_an_entry_that_names_what_json_writes_otherwise_is_checked_as_it_is_kept(
    db: Database,
) -> None:
    db.run(
        lambda s: audit.record(
            s, "a", "r", {}, {"tuple": (1, 2), 3: "number", "e": "\ud7ff\U0001f600\x7f\u2028"}
        )
    )
    assert problems(db) == []


# ------------------------------------------------------------------ what is found


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["UPDATE audit_logs SET new_values = '{}' WHERE id = 3"],
         ["entry 3 (place 3) is not what was written: it was edited, or stands where another one stood"]),
        (["UPDATE audit_logs SET user_id = NULL, created_at = '2026-01-01 00:00:00.000000' WHERE id = 2"],
         ["entry 2 (place 2) is not what was written: it was edited, or stands where another one stood"]),
        (["DELETE FROM audit_logs WHERE id = 3"], ["entry 3 (place 3) was deleted"]),
        (["DELETE FROM audit_chain WHERE audit_id = 3", "DELETE FROM audit_logs WHERE id = 3"],
         ["places 3 to 3 are missing, before entry 4 (place 4)"]),
        (["DELETE FROM audit_chain WHERE position > 3", "DELETE FROM audit_logs WHERE id > 3"],
         ["the newest 2 entries are missing: the chain had 5 places"]),
        (["INSERT INTO audit_logs (id, action, resource, created_at) VALUES (9, 'a', 'r', '2026-01-01')"],
         ["entry 9 has no place in the chain: put in by other hands"]),
        (["INSERT INTO audit_logs (id, action, resource, created_at) VALUES (9, 'a', 'r', '2026-01-01')",
          f"INSERT INTO audit_chain VALUES (-1, 9, '{GENESIS}', '{GENESIS}')"],
         ["entry 9 (place -1) has a place that the chain has not: put in by other hands"]),
        (["UPDATE audit_chain SET position = 'x' WHERE position = 2"],
         ["places 2 to 2 are missing, before entry 3 (place 3)",
          "entry 2 (place x) has a place that the chain has not: put in by other hands"]),
        (["UPDATE audit_logs SET new_values = 'no JSON' WHERE id = 3"],  # SQLite takes anything
         ["entry 3 (place 3) is not what was written: it was edited, or stands where another one stood"]),
        (["UPDATE audit_logs SET created_at = 'yesterday' WHERE id IN (1, 5)", "DELETE FROM audit_logs WHERE id = 2"],
         ["entry 1 (place 1) is not what was written: it was edited, or stands where another one stood",
          "entry 2 (place 2) was deleted",
          "entry 5 (place 5) is not what was written: it was edited, or stands where another one stood"]),
        (["UPDATE audit_logs SET action = x'00ff' WHERE id = 4"],
         ["entry 4 (place 4) is not what was written: it was edited, or stands where another one stood"]),
        (["UPDATE audit_chain SET audit_id = 99 WHERE audit_id = 2",
          "UPDATE audit_chain SET audit_id = 2 WHERE audit_id = 4",
          "UPDATE audit_chain SET audit_id = 4 WHERE audit_id = 99"],
         ["entry 4 (place 2) is not what was written: it was edited, or stands where another one stood",
          "entry 2 (place 4) is not what was written: it was edited, or stands where another one stood"]),
    ],
)  # fmt: skip
def test_what_was_done_to_the_log_is_named(
    log: Database, statements: list[str], said: list[str]
) -> None:
    tamper(log, *statements)
    assert problems(log) == said


@pytest.mark.mariadb
def test_mariadb_names_what_was_done_too(migrated_mariadb_url: Callable[[str], str]) -> None:
    database = Database(migrated_mariadb_url("tampered"), lock_timeout_s=10)
    write(database, 5)
    tamper(
        database,
        "UPDATE audit_logs SET action = 'other' WHERE id = 2",
        "DELETE FROM audit_logs WHERE id = 4",
        "INSERT INTO audit_logs (id, action, resource, created_at) VALUES (9, 'a', 'r', '2026-01-01')",
        f"INSERT INTO audit_chain VALUES (0, 9, '{GENESIS}', '{GENESIS}')",
    )
    assert problems(database) == [
        "entry 9 (place 0) has a place that the chain has not: put in by other hands",
        "entry 2 (place 2) is not what was written: it was edited, or stands where another one stood",
        "entry 4 (place 4) was deleted",
    ]
    database.close()


def test_a_chain_that_was_cut_and_closed_again_is_found_by_a_head_kept_elsewhere(
    log: Database,
) -> None:
    kept = head(log)
    with log.read() as session:
        third = (
            session.connection()
            .exec_driver_sql("SELECT entry_hash FROM audit_chain WHERE position = 3")
            .scalar_one()
        )
    tamper(log, "DELETE FROM audit_chain WHERE position > 3", "DELETE FROM audit_logs WHERE id > 3",
           f"UPDATE audit_heads SET position = 3, entry_hash = '{third}'")  # fmt: skip
    assert problems(log) == []  # nothing in the database can tell
    assert problems(log, kept) == [
        f"the chain ends at place 3, before {kept}: newer entries were cut off"
    ]
    write(log, 3, "others")  # the chain has grown past its old length
    assert problems(log, kept) == [
        f"place 5 has another hash than {kept}: the chain was written anew"
    ]
    assert problems(log, Head(3, third)) == []


def test_chosen_entries_need_not_reach_the_head_that_was_kept(log: Database) -> None:
    with log.read() as session:
        chosen = [item for item in audit_chain._linked(session) if item.position in (1, 3, 4)]
    for other in (2, 5):  # nothing is known of these
        known = Head(other, "0" * 64)
        assert audit_chain.check_entries(chosen, known, whole=False).problems == ()
    known = Head(3, "0" * 64)
    (problem,) = audit_chain.check_entries(chosen, known, whole=False).problems
    assert problem == f"place 3 has another hash than {known}: the chain was written anew"


def test_where_the_place_that_was_kept_is_gone_nothing_newer_was_cut_off(log: Database) -> None:
    tamper(log, "DELETE FROM audit_chain WHERE position = 3", "DELETE FROM audit_logs WHERE id = 3")
    gone = ["places 3 to 3 are missing, before entry 4 (place 4)"]
    assert problems(log, Head(3, "3" * 64)) == problems(log) == gone


def test_an_end_that_is_no_number_is_named(log: Database) -> None:
    tamper(log, "UPDATE audit_heads SET position = 'x'")
    (problem,) = problems(log)
    assert "and the database has x:" in problem
    with pytest.raises(ProblemFound, match="or is no number there"):
        write(log, 1)


def test_without_its_end_the_chain_takes_no_entries(log: Database) -> None:
    tamper(log, "DELETE FROM audit_heads")
    with pytest.raises(ProblemFound, match="end of the audit chain is gone"):
        write(log, 1)
    assert len(problems(log)) == 1


def test_the_first_entry_makes_the_end_and_has_place_one(sqlite_db: Database) -> None:
    tamper(sqlite_db, "DELETE FROM audit_heads")
    write(sqlite_db, 2)
    with sqlite_db.read() as session:
        assert [item.position for item in audit_chain._linked(session)] == [1, 2]
    assert (problems(sqlite_db), head(sqlite_db).position) == ([], 2)
    assert Head.read(f"{head(sqlite_db)}\n") == head(sqlite_db)


@pytest.mark.parametrize(
    "said", ["", "5", "5:abc", "x:" + "0" * 64, "5:" + "G" * 64, "-1:" + "0" * 64]
)
def test_what_is_no_head_is_refused(said: str) -> None:
    with pytest.raises(BadInput, match="POSITION:HASH"):
        Head.read(said)


# ------------------------------------------------------------------ many at once, and what was there before


def test_processes_at_once_make_one_chain(db: Database) -> None:
    url = db.url.render_as_string(hide_password=False)
    write(db, 1)  # the row of the end, which the tests' emptying takes away and the migration makes
    began = time.monotonic()
    told = race([auditing(url, number, ENTRIES) for number in range(WRITERS)], 120)
    tries = [each["tries"] for each in told]
    print(f"{time.monotonic() - began:.1f} s, {sum(tries)} tries")
    assert (head(db).position, problems(db)) == (WRITERS * ENTRIES * 2 + 1, [])
    # Nobody had to begin anew because somebody else wrote an entry.
    assert sum(tries) == WRITERS * ENTRIES


@pytest.mark.mariadb
def test_writers_that_hold_other_rows_do_not_wait_in_a_circle(mariadb_db: Database) -> None:
    """Entries are written early in the unit of work; the chain's end is locked after everything else."""
    with mariadb_db.write() as session:
        session.execute(
            text("INSERT INTO system_config VALUES (1,'a',NULL,NULL,'c','2026-01-01','2026-01-01')")
        )
    with mariadb_db.write() as first, mariadb_db.write() as second:
        audit.record(first, "a", "r", {}, {})
        second.execute(text("UPDATE system_config SET description = 'x' WHERE id = 1"))
        audit.record(second, "b", "r", {}, {})
    assert problems(mariadb_db) == []


@long
def test_entries_from_before_get_their_places(
    new_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(new_url)
    database.upgrade("0024")
    with database.write() as session:
        for number in (2, 5, 9):
            session.add(
                AuditLog(
                    id=number,
                    action="a",
                    resource=f"r{number}",
                    created_at=datetime(2025, 1, 1, tzinfo=UTC),
                )
            )
            session.flush()
    whole = audit_chain.entry_hash
    calls: list[int] = []

    def stopping(position: int, *rest: Any) -> str:
        calls.append(position)
        if len(calls) == 2:
            raise RuntimeError("the power is gone")
        return whole(position, *rest)

    monkeypatch.setattr(audit_chain, "entry_hash", stopping)
    with pytest.raises(RuntimeError, match="the power is gone"):
        database.upgrade()
    monkeypatch.undo()
    database.upgrade()
    assert (head(database).position, problems(database)) == (3, [])
    write(database, 1)
    assert (head(database).position, problems(database)) == (4, [])
    database.close()


# ------------------------------------------------------------------ every night


def test_the_job_keeps_the_end_and_raises_what_it_finds(log: Database) -> None:
    chain: Any = SimpleNamespace(db=log)  # the job asks no chain
    job = job_named(load_settings(None, {}), "audit")
    tools = Tools(chain, load_settings(None, {}))
    assert job.work(tools) == f"the audit log is as written, up to {head(log)}"
    tamper(
        log,
        "UPDATE audit_logs SET action = 'x' WHERE id = 2",
        "DELETE FROM audit_logs WHERE id = 4",
    )
    with pytest.raises(
        ProblemFound,
        match=r"^entry 2 \(place 2\) is not what was written.*, and 1 more; see `truetonne audit verify`$",
    ):
        job.work(tools)
