"""A mirror that nobody runs is said where alarms are looked at; a quiet chain is no alarm."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from api.status.mirror import FINAL_AFTER, alarms
from cli import doctor_database
from cli.checks import Verdict
from cli.doctor_database import _mirror
from indexer import cursor as cursors
from indexer.lease import Lease as MirrorLease
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.db import Database
from ledger.jobs.rows import NAME
from ledger.leases import Lease
from ledger.models import ChainBlock, ChainCursor, ChainIntent, HeldLease
from ledger.models.sending import IntentState
from tests.support.sent import mined, row_of, stored

CHAIN_ID = 31337
OWNER, CONTRACT = "0x" + "1" * 40, "0x" + "2" * 40
LONG = timedelta(minutes=11)


def begin(session: Session) -> None:
    at = cursors.Cursor("local", CHAIN_ID, "0x" + "1" * 64, 7, "0x" + "2" * 64, 5)
    cursors.create(session, at)


def moved(db: Database, ago: timedelta) -> None:
    when = datetime.now(UTC) - ago
    db.run(lambda session: session.execute(update(ChainCursor).values(updated_at=when)))


def ended(db: Database, name: str, ago: timedelta) -> None:
    """Have a lease be over since then."""
    values: Any = {"until_ms": HeldLease.until_ms - int(ago.total_seconds() * 1000)}
    query = update(HeldLease).where(HeldLease.name == name).values(values)
    db.run(lambda session: session.execute(query))


def said(db: Database) -> list[str]:
    with db.read() as session:
        found = alarms(session, "local")
    check = _mirror(db, "local")
    assert (check.verdict is Verdict.FAILED) == bool(found)
    return found


def test_nobody_mirrors_while_the_jobs_run(db: Database) -> None:
    assert said(db) == []  # nothing was ever mirrored
    db.run(begin)
    moved(db, LONG)
    mirror, jobs = MirrorLease(db, "local"), Lease(db, NAME)
    assert mirror.take() is None
    assert said(db) == []  # the chain is quiet
    mirror.release()
    ended(db, mirror.name, LONG)
    assert said(db) == []  # nobody works here
    assert jobs.take() is None
    try:
        (line,) = said(db)
        assert line.startswith("nobody mirrors the chain, and the books have not moved since ")
        moved(db, -timedelta(hours=2))  # by a clock that was set back since
        assert said(db) != []
        ended(db, mirror.name, -timedelta(days=400))  # by that clock
        assert said(db) != []
        moved(db, timedelta(minutes=9))  # by `index run --until`, for instance
        assert said(db) == []
    finally:
        jobs.release()


def test_a_mirror_that_does_not_move_while_something_waits_for_it(db: Database) -> None:
    def send(session: Session) -> None:
        begin(session)
        new = NewIntent(new_key(), "test", "TestCurrency", CONTRACT, "mint", [OWNER, 5], OWNER)
        key = intents.plan(session, CHAIN_ID, new)
        intent = session.get_one(ChainIntent, key)
        intent.state, intent.submitted_at = IntentState.SUBMITTED, datetime.now(UTC) - LONG

    db.run(send)
    mirror = MirrorLease(db, "local")
    assert mirror.take() is None
    try:
        assert said(db) == []
        moved(db, LONG)
        (line,) = said(db)
        assert line.startswith("the mirror has not moved since ")
        assert ", and 1 intent waits for it; " in line
    finally:
        mirror.release()


def test_what_stands_in_a_block_and_never_becomes_final(db: Database) -> None:
    """The mirror moves with each block; that what was sent waited for ever was said by nobody."""
    a_day = int(FINAL_AFTER.total_seconds())

    def send(session: Session) -> None:
        begin(session)  # at block 7, final up to 5
        long_ago = {"state": IntentState.SUBMITTED, "submitted_at": datetime.now(UTC) - FINAL_AFTER}
        key = stored(session, 1, **long_ago).key
        mined(session, 6, 1, 1, intent_key=key)
        mined(session, 7, 2, a_day + 1)

    def change(model: Any, **values: Any) -> None:
        db.run(lambda session: session.execute(update(model).values(**values)))

    db.run(send)
    assert said(db) == []  # of the chain's own time a day is not over
    db.run(lambda session: mined(session, 8, 3, a_day + 2))
    change(ChainCursor, block_number=8)
    assert said(db) == []  # and three blocks above the final one may take days
    db.run(lambda session: mined(session, 262, 4, a_day + 3))
    change(ChainCursor, block_number=262)
    assert said(db) == [
        "1 intent has stood in a block for more than a day, and no block above 5 is final; see the check `chain final` "
        "of truetonne doctor"
    ]
    change(ChainIntent, submitted_at=datetime.now(UTC) - timedelta(hours=23))
    assert said(db) == []  # sent today, and the chain let go ahead since
    change(ChainIntent, submitted_at=datetime.now(UTC) - timedelta(days=2))
    assert said(db) != []
    change(ChainCursor, final_number=6)
    assert said(db) == []


def test_a_file_that_somebody_keeps_locked_is_said(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs jobs and mirror cannot renew a lease meanwhile, and seems gone."""
    monkeypatch.setattr(doctor_database, "_LOCKED_SECONDS", 0)
    assert doctor_database._locks(sqlite_db).verdict is Verdict.OK
    with closing(sqlite3.connect(sqlite_db.url.database or "", isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        check = doctor_database._locks(sqlite_db)
        assert check.verdict is Verdict.FAILED
        assert check.found.startswith("another process has kept the file locked for 0 s: ")
        shell.execute("ROLLBACK")
    assert doctor_database._locks(sqlite_db).verdict is Verdict.OK


def test_a_cursor_that_is_gone_is_told(db: Database) -> None:
    db.run(lambda session: session.add(row_of(ChainBlock, number=7)))
    (line,) = said(db)
    assert line.startswith("chain_cursor has no row of 'local', and chain_blocks has blocks")
    db.run(begin)
    assert said(db) == []
    db.run(lambda session: session.execute(update(ChainCursor).values(network="other")))
    assert said(db)[0].startswith("chain_cursor has no row of 'local', but one of 'other'")
