"""Units of work, read-only snapshots, retries, the raw path, and what happens when a server is down."""

import os
import resource
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from ledger.backup.manifest import Kind
from ledger.backup.taking import take
from ledger.chain.local.anvil import KeptPort
from ledger.db import Database, DatabaseBusy, SchemaMissing, engines
from ledger.db.deferring import deferred_foreign_keys
from ledger.db.diagnoses import DOWN, diagnose
from ledger.db.engines import LOG_PAGES
from ledger.db.grants import Account
from ledger.db.sqltext import for_driver
from ledger.errors import BadInput, DependencyDown
from ledger.models import ChainAttempt
from ledger.models.devices import DeviceType
from ledger.models.sending import ChainNonceLane
from ledger.models.system import SystemConfig
from ledger.models.users import UserSession
from tests.support.accounts import made_account
from tests.support.backups import store
from tests.support.forms import long
from tests.support.full import fill, small_disk
from tests.support.mariadb import MariaDbServer, load
from tests.support.statements import listening

ACCOUNT = "0x" + "11" * 20
DEADLINE_S = 180
READ_ONLY_SAID = (
    "the server is read-only; name the primary in TRUETONNE_DATABASE_URL; where this is it, and was started anew, "
    "docs/replica.md says what that needs$"
)


def lane(nonce: int = 0) -> ChainNonceLane:
    return ChainNonceLane(chain_id=1, address=ACCOUNT, next_nonce=nonce)


def kinds(db: Database) -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(DeviceType.type_name).order_by(DeviceType.type_name)))


def add_kind(session: Session, name: str) -> None:
    session.add(DeviceType(type_name=name, category="c"))
    session.flush()


# ------------------------------------------------------------------ units of work


def test_a_unit_of_work_is_committed_at_its_end(db: Database) -> None:
    with db.write() as session:
        add_kind(session, "a")
        assert kinds(db) == []
    assert kinds(db) == ["a"]


def test_a_unit_of_work_that_raises_leaves_nothing(db: Database) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), db.write() as session:
        add_kind(session, "a")
        raise RuntimeError("in the middle")
    assert kinds(db) == []


def test_a_unit_of_work_in_tables_without_a_revision_leaves_nothing_either(new_url: str) -> None:
    """Such as the archive of SQLite: where the revision is asked for, its table must not be missed by an error."""
    database = Database(new_url)
    create = text("CREATE TABLE noted (number INTEGER)")
    with database.write() as session:
        session.execute(create)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        session.execute(text("INSERT INTO noted VALUES (1)"))
        1 / 0  # noqa: B018
    with database.read() as session:
        assert session.scalars(text("SELECT number FROM noted")).all() == []
    database.close()


def test_only_the_database_commits(db: Database) -> None:
    with pytest.raises(RuntimeError, match=r"ledger\.db commits"), db.write() as session:
        add_kind(session, "a")
        session.commit()
    assert kinds(db) == []


def test_objects_can_be_read_after_the_block(db: Database) -> None:
    with db.write() as session:
        kind = DeviceType(type_name="a", category="c")
        session.add(kind)
    assert kind.id > 0
    with db.read() as session:
        read = session.scalars(select(DeviceType)).one()
    assert (read.id, read.type_name) == (kind.id, "a")


def test_foreign_keys_hold(db: Database) -> None:
    with pytest.raises(IntegrityError), db.write() as session:
        session.execute(
            text(
                "INSERT INTO user_sessions (session_id, user_id, created_at, expires_at, is_active) "
                "VALUES ('s', 99, '2026-01-01 00:00:00', '2026-01-01 00:00:00', 1)"
            )
        )
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(UserSession)) == 0


def test_rowcount_counts_the_rows_found(db: Database) -> None:
    with db.write() as session:
        session.add(lane(7))
    guarded = update(ChainNonceLane).where(ChainNonceLane.next_nonce == 7).values(next_nonce=7)
    with db.write() as session:
        assert session.execute(guarded).rowcount == 1  # type: ignore[attr-defined]
    with db.write() as session:
        assert session.execute(guarded.where(ChainNonceLane.chain_id == 2)).rowcount == 0  # type: ignore[attr-defined]


# ------------------------------------------------------------------ reading


def test_a_read_only_session_cannot_write(db: Database) -> None:
    with pytest.raises(DBAPIError, match=r"(?i)read.?only"), db.read() as session:
        add_kind(session, "a")
    assert kinds(db) == []
    with db.write() as session:  # the connection is as it was
        add_kind(session, "b")
    assert kinds(db) == ["b"]


def test_a_read_only_session_sees_one_snapshot_from_its_start(db: Database) -> None:
    count = select(func.count()).select_from(DeviceType)
    with db.read() as session:
        with db.write() as writer:  # a writer waits for no reader, before the first query even
            add_kind(writer, "a")
        assert session.scalar(count) == 0
        with db.write() as writer:
            add_kind(writer, "b")
        assert session.scalar(count) == 0
    assert kinds(db) == ["a", "b"]


def test_a_reader_does_not_wait_for_a_writer(db: Database) -> None:
    with db.write() as session:
        add_kind(session, "a")
        assert kinds(db) == []


# ------------------------------------------------------------------ writers against each other


def test_four_writers_lose_no_update(db: Database) -> None:
    with db.write() as session:
        session.add(lane())

    def add_one(session: Session) -> None:
        row = session.scalars(select(ChainNonceLane).with_for_update()).one()
        row.next_nonce += 1

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(db.run, add_one) for _ in range(400)]:
            done.result(DEADLINE_S)
    with db.read() as session:
        assert session.scalars(select(ChainNonceLane.next_nonce)).one() == 400


def test_reading_then_writing_loses_nothing_on_sqlite_without_for_update(
    sqlite_db: Database,
) -> None:
    with sqlite_db.write() as session:
        session.add(lane())

    def add_one(session: Session) -> None:
        session.scalars(select(ChainNonceLane)).one().next_nonce += 1

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(sqlite_db.run, add_one) for _ in range(100)]:
            done.result(DEADLINE_S)
    with sqlite_db.read() as session:
        assert session.scalars(select(ChainNonceLane.next_nonce)).one() == 100


@pytest.mark.mariadb
def test_a_row_that_changed_since_the_snapshot_is_tried_again(mariadb_db: Database) -> None:
    with mariadb_db.write() as session:
        session.add(lane())
    tries = []

    def add_one(session: Session) -> None:
        row = session.scalars(select(ChainNonceLane)).one()  # plain: the snapshot's row
        if not tries:
            with mariadb_db.write() as other:
                other.execute(update(ChainNonceLane).values(next_nonce=10))
        tries.append(row.next_nonce)
        row.next_nonce += 1
        session.flush()

    mariadb_db.run(add_one)
    assert tries == [0, 10]
    with mariadb_db.read() as session:
        assert session.scalars(select(ChainNonceLane.next_nonce)).one() == 11


@pytest.mark.mariadb
def test_a_deadlock_is_tried_again(mariadb_db: Database) -> None:
    with mariadb_db.write() as session:
        session.add_all(
            [ChainNonceLane(chain_id=chain, address=ACCOUNT, next_nonce=0) for chain in (1, 2)]
        )
    met = threading.Barrier(2, timeout=DEADLINE_S)
    tries = {1: 0, 2: 0}

    def both(first: int, second: int) -> Callable[[Session], None]:
        def work(session: Session) -> None:
            tries[first] += 1
            for chain in (first, second):
                session.execute(
                    update(ChainNonceLane)
                    .where(ChainNonceLane.chain_id == chain)
                    .values(next_nonce=ChainNonceLane.next_nonce + 1)
                )
                if chain == first and tries[first] == 1:
                    met.wait()

        return work

    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(mariadb_db.run, both(1, 2)),
            pool.submit(mariadb_db.run, both(2, 1)),
        ]:
            done.result(DEADLINE_S)
    assert sorted(tries.values()) == [1, 2]
    with mariadb_db.read() as session:
        assert list(session.scalars(select(ChainNonceLane.next_nonce))) == [2, 2]


def test_a_writer_that_waits_too_long_says_so(db: Database) -> None:
    """It tried six times: three minutes without a word, as who signed in while another process held the lock."""
    with db.write() as session:
        session.add(lane())
    hasty = Database(db.url.render_as_string(hide_password=False), lock_timeout_s=1)
    waits = []

    def heard(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("BEGIN IMMEDIATE", "UPDATE")):  # SQLite waits before it begins
            waits.append(statement)

    def work(session: Session) -> None:
        session.execute(update(ChainNonceLane).values(next_nonce=2))

    with db.write() as session:
        session.execute(update(ChainNonceLane).values(next_nonce=1))
        with (
            listening(heard),
            pytest.raises(DatabaseBusy, match="another process writes") as raised,
        ):
            hasty.run(work)
    assert raised.value.exit_code == 3
    assert "\n" not in raised.value.message
    assert len(waits) == 2
    hasty.close()


@pytest.mark.parametrize(("lock_timeout_s", "waited"), [(0, False), (30, True)])
def test_what_is_no_wait_does_not_end_the_tries(
    sqlite_db: Database, lock_timeout_s: int, waited: bool
) -> None:
    """A deadlock after long work, as of MariaDB; a file that SQLite finds locked, and does not wait for."""
    url = sqlite_db.url.render_as_string(hide_password=False)
    tried = Database(url, lock_timeout_s=lock_timeout_s)
    tries = []

    def work(session: Session) -> int:
        tries.append(1)
        if len(tries) < 4:
            busy = DatabaseBusy("another writer was in the way")
            busy.waited = waited
            raise busy
        return len(tries)

    assert tried.run(work) == 4
    tried.close()


def test_a_note_waits_less_than_a_statement(db: Database) -> None:
    with db.write() as session:
        session.add(lane())
    patient = Database(db.url.render_as_string(hide_password=False), lock_timeout_s=3600)
    note = update(ChainNonceLane).values(next_nonce=2)
    with db.write() as session:
        session.execute(update(ChainNonceLane).values(next_nonce=1))
        with pytest.raises(DatabaseBusy):
            patient.alone(note, patience_s=1)
    usual = "PRAGMA busy_timeout" if db.dialect == "sqlite" else "SELECT @@innodb_lock_wait_timeout"
    with patient.write(lasting=False) as session:
        assert session.scalar(text(usual)) in (3600, 3_600_000)
    assert patient.alone(note, patience_s=1) == 1
    patient.close()


def test_a_note_whose_connection_ends_is_an_error_of_ours(mariadb_db: Database) -> None:
    """Whoever reads is answered without it; a complaint about the broken connection answered 500."""
    with mariadb_db.write() as session:
        session.add(lane())

    def ended(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            number = connection.connection.dbapi_connection.thread_id()
            with mariadb_db.server() as server:
                server.exec_driver_sql(f"KILL {number}")

    with listening(ended), pytest.raises(DependencyDown) as raised:
        mariadb_db.alone(update(ChainNonceLane).values(next_nonce=2), patience_s=1)
    assert raised.value.code == "database-down"


def test_who_stands_still_in_a_unit_of_work_keeps_its_rows_for_a_while(
    mariadb_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without power, or a stopped process, kept what it had locked for as long as connections may rest."""
    with mariadb_db.write() as session:
        session.add(lane())
    locking = select(ChainNonceLane).with_for_update()
    monkeypatch.setattr(engines, "IDLE_S", 1)
    told = pytest.raises(DependencyDown, match="stood still in the middle of its work")
    with told, mariadb_db.write() as session:
        stood_still = session.scalars(locking).one()
        with closing(Database(mariadb_db.url.render_as_string(False))) as other:
            other.run(lambda its: its.execute(update(ChainNonceLane).values(next_nonce=5)))
        stood_still.next_nonce = 1
    with mariadb_db.read() as session:  # who reads keeps nothing from anybody
        assert session.scalars(select(ChainNonceLane.next_nonce)).one() == 5
        time.sleep(2)
        assert session.scalars(select(ChainNonceLane.next_nonce)).one() == 5


def test_how_long_who_writes_may_stand_still_costs_no_statement(mariadb_db: Database) -> None:
    asked = []
    listen = partial(event.listen, mariadb_db._engine, "before_cursor_execute")
    listen(lambda *arguments: asked.append(arguments[2]))
    said = text("SELECT @@idle_transaction_timeout")
    for opened, idle_s in ((mariadb_db.write, engines.IDLE_S), (mariadb_db.read, 0)) * 2:
        asked.clear()
        with opened() as session:
            assert session.scalar(said) == idle_s
        assert len([each for each in asked if "TRANSACTION" in each]) == 1
        assert len(asked) == (3 if idle_s else 2)  # who writes asks for the revision, too


def test_work_that_fails_by_itself_is_not_tried_again(db: Database) -> None:
    tries = []

    def work(session: Session) -> None:
        tries.append(1)
        add_kind(session, "a")
        session.execute(text("INSERT INTO device_types SELECT * FROM device_types"))

    with pytest.raises(IntegrityError):
        db.run(work)
    assert tries == [1]
    assert kinds(db) == []


# ------------------------------------------------------------------ the raw path


@long
def test_many_rows_by_position_and_by_name(db: Database) -> None:
    into = "INSERT INTO device_types (type_name, category, created_at) "
    by_position = into + "VALUES (?, '?:x 100%', '2026-01-01 00:00:00')"
    by_name = into + "VALUES (:name, :group, '2026-01-01 00:00:00')"
    with db.write() as session:
        assert (
            db.executemany(session, by_position, ((f"p{n:05d}",) for n in range(12_345))) == 12_345
        )
        assert (
            db.executemany(
                session, by_name, [{"group": "g", "name": "n1"}, {"name": "n2", "group": "h"}]
            )
            == 2
        )
        assert db.executemany(session, by_name, []) == 0
    with db.read() as session:
        assert (
            session.scalar(select(func.count()).where(DeviceType.category == "?:x 100%")) == 12_345
        )
        named = session.execute(
            select(DeviceType.type_name, DeviceType.category).where(DeviceType.type_name.like("n%"))
        )
        assert sorted(map(tuple, named)) == [("n1", "g"), ("n2", "h")]


def test_many_rows_come_after_those_that_were_added_before(db: Database) -> None:
    with db.write() as session:
        session.add(lane(1))
        db.executemany(
            session, "UPDATE chain_nonce_lanes SET next_nonce = ? WHERE chain_id = ?", [(5, 1)]
        )
    with db.read() as session:
        assert session.scalars(select(ChainNonceLane.next_nonce)).one() == 5


def test_many_rows_are_all_or_nothing(db: Database) -> None:
    sql = "INSERT INTO device_types (type_name, category, created_at) VALUES (?, 'c', '2026-01-01 00:00:00')"
    with pytest.raises(IntegrityError), db.write() as session:
        db.executemany(session, sql, [("a",)] * 2)
    assert kinds(db) == []


@pytest.mark.parametrize(
    ("sql", "mysql"),
    [
        ("VALUES (?, ?)", "VALUES (%s, %s)"),
        ("SET a = :a, b = :b_2", "SET a = %(a)s, b = %(b_2)s"),
        ("LIKE '50%?' AND b = ?", "LIKE '50%%?' AND b = %s"),
        ("a % 2 = ?", "a %% 2 = %s"),
        ("'it''s :x ?' || ?", "'it''s :x ?' || %s"),
        ("`odd?` = ?", "`odd?` = %s"),
        ('"odd:name" = :name', '"odd:name" = %(name)s'),
    ],
)
def test_sql_is_written_once(sql: str, mysql: str) -> None:
    assert for_driver(sql, "mysql") == mysql
    assert for_driver(sql, "sqlite") == sql


# ------------------------------------------------------------------ how connections are set up


def test_sqlite_is_safe_by_its_settings(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        link = session.connection()
        settings = {
            name: link.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in (
                "foreign_keys",
                "journal_mode",
                "synchronous",
                "recursive_triggers",
                "busy_timeout",
            )
        }
    assert settings == {
        "foreign_keys": 1,
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "recursive_triggers": 1,
        "busy_timeout": 30_000,
    }


@pytest.mark.parametrize("for_long", [False, True], ids=["a moment", "longer than is waited"])
def test_a_restored_file_that_others_open_at_once_is_waited_for(
    tmp_path: Path, for_long: bool
) -> None:
    """It has no log yet: of three that opened it one was told at once that another process writes."""
    file = tmp_path / "restored.db"
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE things (id INTEGER)")
        other.execute("BEGIN IMMEDIATE")
        opened = Database(f"sqlite:///{file}", lock_timeout_s=1 if for_long else 30)
        if for_long:
            with pytest.raises(DatabaseBusy, match="another process writes; try again"):
                opened.ping()
            other.execute("COMMIT")
        else:
            done = threading.Timer(0.2, other.execute, ["COMMIT"])
            done.start()
            opened.ping()
            done.join()
        opened.close()


@pytest.mark.mariadb
def test_mariadb_is_strict_and_in_utc(mariadb_db: Database) -> None:
    with mariadb_db.read() as session:
        zone, mode, charset = session.execute(
            text("SELECT @@time_zone, @@sql_mode, @@character_set_connection")
        ).one()
    assert (zone, charset) == ("+00:00", "utf8mb4")
    assert {"STRICT_ALL_TABLES", "NO_ZERO_DATE", "ERROR_FOR_DIVISION_BY_ZERO"} <= set(
        mode.split(",")
    )
    with mariadb_db.write() as session:
        add_kind(session, "a")
    with pytest.raises(DBAPIError, match="too long"), mariadb_db.write() as session:
        session.execute(text("UPDATE device_types SET category = REPEAT('x', 51)"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u@h/d", "not supported"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql+pymysql://u@h", "names no database"),
        ("nonsense", "cannot be read"),
        (
            "mysql+pymysql://u@localhost/d?ssl_verify_identiy=true",
            "ssl_verify_identiy is no option",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        Database(url)


def test_the_password_is_shown_to_nobody() -> None:
    nobody = KeptPort()
    database = Database(f"mysql+pymysql://user:geheim@127.0.0.1:{nobody.number}/ledger")
    assert "geheim" not in database.place
    with pytest.raises(DependencyDown) as raised:
        database.ping()
    assert "geheim" not in raised.value.message + str(raised.value.details)


# ------------------------------------------------------------------ down, missing, damaged


@pytest.mark.parametrize("act", ["ping", "upgrade", "current", "write"])
def test_a_server_that_is_down_is_one_clear_line(act: str) -> None:
    nobody = KeptPort()
    database = Database(f"mysql+pymysql://root@127.0.0.1:{nobody.number}/ledger")
    with pytest.raises(DependencyDown, match="start the server or correct") as raised:
        if act == "write":
            with database.write():
                pytest.fail("the block must not be entered")
        getattr(database, act)()
    assert raised.value.exit_code == 3
    assert "127.0.0.1" in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.mariadb
def test_a_server_that_goes_away_is_noticed_and_found_again(mariadb_schema_file: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mariadb-") as folder:
        server = MariaDbServer(Path(folder))
        server.start()
        try:
            database = Database(load(server, "ledger", mariadb_schema_file))
            with (
                pytest.raises(DependencyDown, match="start the server"),
                database.write() as session,
            ):
                add_kind(session, "lost")
                server.kill()
                add_kind(session, "lost, too")
            with pytest.raises(DependencyDown):
                database.ping()
            server.restart()
            assert kinds(database) == []
            with database.write() as session:
                add_kind(session, "kept")
            assert kinds(database) == ["kept"]
            database.close()
        finally:
            server.stop()


@pytest.mark.mariadb
@pytest.mark.parametrize("late", [False, True], ids=["before it commits", "as it commits"])
def test_whose_commit_is_cut_is_told_that_nobody_knows(
    mariadb_db: Database, mariadb_server: MariaDbServer, late: bool
) -> None:
    """Before that the server has taken it back, and a read has nothing to take back."""

    def cut(session: Session) -> None:
        mariadb_server.execute(f"KILL {session.scalar(text('SELECT CONNECTION_ID()'))}")

    with pytest.raises(DependencyDown) as raised, mariadb_db.write() as session:
        add_kind(session, "cut")
        cut(session)
        if not late:
            add_kind(session, "cut, too")
    assert raised.value.code == "database-down"
    assert ("whether it was committed is not known: look" in raised.value.message) is late
    assert "where it runs, the connection was ended (KILL" in raised.value.message
    with pytest.raises(DependencyDown) as raised, mariadb_db.read() as session:
        cut(session)
        kinds_there = session.scalars(select(DeviceType.type_name))
        pytest.fail(f"it read {kinds_there}")
    assert "committed" not in raised.value.message
    assert kinds(mariadb_db) == []


@pytest.mark.mariadb
@pytest.mark.parametrize("ended", ["KILL QUERY {}", "SET STATEMENT max_statement_time = 0.2 FOR "])
def test_a_statement_that_the_server_ended_is_no_defect(
    mariadb_db: Database, mariadb_server: MariaDbServer, ended: str
) -> None:
    """The mirror and the jobs go on after what is a dependency's; it is not done again unasked."""
    begun = threading.Event()
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(session.scalar(text("SELECT CONNECTION_ID()")) or 0)
        add_kind(session, "ended")
        session.flush()
        tables = "FROM seq_1_to_1000000 a, seq_1_to_1000000 b"
        # Ended while it looks for its tables, the statement fails as one whose tables are not there.
        session.execute(text(f"SELECT 1 {tables} LIMIT 1"))
        begun.set()
        limit = "" if "{}" in ended else ended
        session.execute(text(f"{limit}SELECT COUNT(*) {tables}"))

    with ThreadPoolExecutor() as pool:
        done = pool.submit(mariadb_db.run, work)
        assert begun.wait(DEADLINE_S)
        while "{}" in ended and not done.done():  # which may come before the statement
            mariadb_server.execute(ended.format(tries[0]))
            time.sleep(0.05)
        with pytest.raises(DependencyDown, match=r"KILL.*try again") as raised:
            done.result(DEADLINE_S)
    assert raised.value.code == "database-down"
    assert len(tries) == 1
    assert kinds(mariadb_db) == []


@pytest.mark.mariadb
def test_a_connection_that_is_lost_when_its_work_is_done_is_no_traceback(
    mariadb_db: Database, mariadb_server: MariaDbServer, caplog: pytest.LogCaptureFixture
) -> None:
    def kill(link: Any, *_: object) -> None:
        mariadb_server.execute(f"KILL {link.thread_id()}")

    assert kinds(mariadb_db) == []
    caplog.clear()  # it may say that it answers again: the server was away for a test before
    pool = mariadb_db._engine.pool
    event.listen(pool, "reset", kill)  # committed, and about to go back
    try:
        with mariadb_db.write() as session:
            add_kind(session, "a")
    finally:
        event.remove(pool, "reset", kill)
    assert caplog.messages == []
    assert kinds(mariadb_db) == ["a"]


@pytest.mark.mariadb
def test_references_are_looked_at_again_by_the_connection_that_let_them_wait(
    mariadb_db: Database,
) -> None:
    """It goes back to the pool, and whoever gets it next would write what refers to nothing."""
    looked = text("SELECT @@foreign_key_checks")
    with mariadb_db.write() as session:
        with deferred_foreign_keys(session):
            assert session.scalar(looked) == 0
        assert session.scalar(looked) == 1


@pytest.mark.mariadb
def test_a_connection_that_is_lost_while_references_may_wait_is_a_server_that_is_away(
    mariadb_db: Database, mariadb_server: MariaDbServer
) -> None:
    with (
        pytest.raises(DependencyDown, match="start the server"),
        mariadb_db.write() as session,
        deferred_foreign_keys(session),
    ):
        mariadb_server.execute(f"KILL {session.scalar(text('SELECT CONNECTION_ID()'))}")
        add_kind(session, "lost")


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("condition", "usual", "said"),
    [
        ("ALTER USER {} ACCOUNT LOCK", "", r"4151 .*ACCOUNT UNLOCK"),
        (
            "ALTER USER {} PASSWORD EXPIRE",
            "",
            r"18(20|62) .*give the account of TRUETONNE_DATABASE_URL a new password",
        ),
        (
            "ALTER USER {} WITH MAX_QUERIES_PER_HOUR 3",
            "",
            r"1226 .*raise that limit of the account",
        ),
        (
            "ALTER USER {} IDENTIFIED VIA unix_socket",
            "",
            r"1698 .*of TRUETONNE_DATABASE_URL signs in by a plugin .*mysql_native_password",
        ),
        (
            "INSTALL SONAME 'auth_ed25519'; ALTER USER {} IDENTIFIED VIA ed25519 USING PASSWORD('x')",
            "UNINSTALL SONAME 'auth_ed25519'",
            r"2059 .*signs in by a plugin .*mysql_native_password",
        ),
        (
            "SET GLOBAL require_secure_transport = 1",
            "SET GLOBAL require_secure_transport = 0",
            r"3159 .*take tls=off out of TRUETONNE_DATABASE_URL",
        ),
        (
            "SET GLOBAL init_connect = 'SELECT * FROM nowhere'",
            "SET GLOBAL init_connect = ''",
            r"1184 .*mend the statements of its init_connect",
        ),
    ],
)
def test_an_account_that_may_not_go_on_is_one_clear_line(
    mariadb_server: MariaDbServer, mariadb_schema: Database, condition: str, usual: str, said: str
) -> None:
    """The mirror and the jobs wait until somebody has mended that."""
    with made_account(mariadb_server, Account.WRITE) as url:
        database = Database(url.set(query={"tls": "off"}).render_as_string(hide_password=False))
        try:
            mariadb_server.execute(*condition.format(f"'{url.username}'@'%'").split("; "))
            with pytest.raises(DependencyDown, match=said) as raised:
                for _ in range(3):
                    database.ping()
        finally:
            database.close()
            mariadb_server.execute(*filter(None, [usual]))
    assert raised.value.code == "database-down"


@pytest.mark.mariadb
def test_a_server_that_has_all_its_connections_says_what_mends_it(
    mariadb_server: MariaDbServer, mariadb_schema: Database
) -> None:
    """It runs, and its address is right: nobody need start the one or correct the other."""
    keeper = Database(mariadb_server.url("truetonne"))  # has its connection before all are taken
    with (
        made_account(mariadb_server, Account.WRITE) as url,
        closing(keeper),
        keeper.read() as root,
    ):
        root.execute(text("SET GLOBAL max_connections = 10"))
        try:
            with (
                ExitStack() as held,
                pytest.raises(DependencyDown, match=r"1040 .*; end connections") as raised,
            ):
                for _ in range(12):
                    database = Database(url.render_as_string(hide_password=False))
                    held.callback(database.close)
                    database.ping()
        finally:
            root.execute(text("SET GLOBAL max_connections = 151"))
    assert raised.value.code == "database-down"


@pytest.mark.mariadb
@pytest.mark.parametrize("place", ["nobody:wrong@{}/truetonne", "root@{}/nothing_here"])
def test_a_wrong_user_or_name_is_one_clear_line(mariadb_server: MariaDbServer, place: str) -> None:
    database = Database("mysql+pymysql://" + place.format(f"127.0.0.1:{mariadb_server.port}"))
    with pytest.raises(DependencyDown, match="check user") as caught:
        database.ping()
    assert ("CREATE DATABASE" in str(caught.value)) is place.startswith("root")


def test_a_missing_schema_says_how_to_make_it(new_url: str) -> None:
    database = Database(new_url)
    assert database.current() is None
    with pytest.raises(SchemaMissing, match="truetonne db upgrade"), database.read() as session:
        session.scalars(select(DeviceType)).all()
    database.close()


def test_a_missing_column_says_that_the_tables_are_of_another_version(new_url: str) -> None:
    """It came as a server that does not answer, or as an internal error."""
    database = Database(new_url)
    database.upgrade("0014")
    said = "of another version: run `truetonne db upgrade`"
    with pytest.raises(SchemaMissing, match=said), database.read() as session:
        session.scalars(select(ChainAttempt.nonce)).all()  # of revision 0017
    with pytest.raises(SchemaMissing, match=said), database.write() as session:
        session.execute(text("INSERT INTO chain_attempts (nonce) VALUES (1)"))
    database.close()


@long
def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'deep' / 'new.db'}")
    assert database.current() is None
    assert list(tmp_path.iterdir()) == []
    database.upgrade()
    assert (tmp_path / "deep" / "new.db").exists()
    database.close()


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("these are notes, not a database\n" * 100)
    for act in ("ping", "current", "upgrade"):
        with pytest.raises(DependencyDown, match="file is not a database"):
            getattr(Database(f"sqlite:///{file}"), act)()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DependencyDown, match="cannot be made"):
        Database(f"sqlite:///{tmp_path / 'file' / 'x' / 'a.db'}").ping()
    for place in (tmp_path / "file" / "x" / "a.db", Path("/proc/x/a.db")):
        with pytest.raises(DependencyDown, match="cannot be opened: it is not there and cannot be"):
            Database(f"sqlite:///{place}").current()
    with pytest.raises(DependencyDown, match="check that the folder exists"):
        Database(f"sqlite:///{tmp_path}").ping()


def test_a_file_beyond_those_that_may_be_open_is_told_of_by_the_limit(sqlite_db: Database) -> None:
    """SQLite says no more than that it cannot open it; only its folder was to be looked at."""
    other = Database(str(sqlite_db.url))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(DependencyDown, match=r"unable to open database file; .*`ulimit -n`"):
            other.ping()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    other.ping()
    other.close()


def test_two_processes_share_one_file(sqlite_db: Database) -> None:
    with closing(sqlite3.connect(sqlite_db.url.database or "")) as other:
        other.execute(
            "INSERT INTO device_types (type_name, category, created_at) VALUES ('a', 'c', '2026-01-01')"
        )
        other.commit()
    assert kinds(sqlite_db) == ["a"]


def test_only_what_need_not_last_is_spared_the_wait_for_the_disk(sqlite_db: Database) -> None:
    """On the one connection of a pool, in turn: what was set for one unit of work ends with it."""

    def level(session: Session) -> int:
        return int(session.execute(text("PRAGMA synchronous")).scalar_one())

    def log_pages(session: Session) -> int:
        return int(session.execute(text("PRAGMA wal_autocheckpoint")).scalar_one())

    full, normal = 2, 1
    assert sqlite_db.run(level) == full
    assert sqlite_db.run(level, lasting=False) == normal
    assert sqlite_db.run(level) == full
    sqlite_db.alone(insert(SystemConfig).values(**_setting()))
    with sqlite_db.write() as session:
        assert (level(session), log_pages(session)) == (full, 8_000)
    with sqlite_db.write(lasting=False) as session:
        assert (level(session), log_pages(session)) == (normal, 64_000)
    with sqlite_db.read() as session:  # which may sort much, and not in memory
        default = 0
        assert session.execute(text("PRAGMA temp_store")).scalar_one() == default
        assert session.execute(text("PRAGMA query_only")).scalar_one() == 1
    with sqlite_db.write() as session:
        assert (level(session), log_pages(session)) == (full, 8_000)
        assert session.execute(text("PRAGMA query_only")).scalar_one() == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are seen on Linux alone")
def test_what_a_statement_of_the_mirror_undoes_is_in_no_file(sqlite_db: Database) -> None:
    """That of others is, on the same connection: it may be long. Undone are both."""
    with sqlite_db.write() as session:
        session.execute(
            text("CREATE TABLE many (id INTEGER PRIMARY KEY, x TEXT CHECK (x <> 'bad'))")
        )
        session.execute(text("INSERT INTO many " + _numbers(2_000, "hex(randomblob(500))")))
    changed = text("UPDATE many SET x = CASE WHEN id = 1990 THEN 'bad' ELSE x || 'y' END")
    for lasting, files in ((False, 0), (True, 1), (False, 0)):
        seen = _temporary_files()
        with sqlite_db.write(lasting=lasting) as session:
            session.execute(text("UPDATE many SET x = x || 'x'"))
            assert _temporary_files() - seen == files
            with pytest.raises(IntegrityError, match="CHECK"):
                session.execute(changed)
            assert not session.scalar(text("SELECT count(*) FROM many WHERE x LIKE '%y'"))
    assert (
        sqlite_db.run(lambda session: session.scalar(text("SELECT min(length(x)) FROM many")))
        == 1_003
    )


def _numbers(count: int, value: str) -> str:
    return f"SELECT value, {value} FROM json_each('{list(range(1, count + 1))}')"


def _temporary_files() -> int:
    """Return how many of SQLite's own temporary files this process has open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself is gone
            found += "etilqs_" in str(entry.readlink())
    return found


def test_a_log_that_grew_is_cut_by_what_follows_the_mirrors_catching_up(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it catches up, many commits that need not last follow each other: a log that they begin anew stays long."""
    monkeypatch.setitem(LOG_PAGES, True, 9_000)  # in place of 256 MB
    log = Path(f"{sqlite_db.url.database}-wal")
    row = "INSERT INTO grown (text) VALUES (zeroblob(1000000))"
    with sqlite_db.write() as session:
        session.execute(text("CREATE TABLE grown (text BLOB)"))

    def length_after(rows: int, *, lasting: bool) -> int:
        with sqlite_db.write(lasting=lasting) as session:
            for _ in range(rows):
                session.execute(text(row))
        return log.stat().st_size

    kept = [length_after(10, lasting=False) for _ in range(4)][-1]
    assert kept > 40_000_000, "not copied before it has so many pages"
    assert length_after(10, lasting=False) == kept, "begun anew in the same place"
    assert length_after(25, lasting=True) == kept, "copied, as it has 8,000 pages"
    assert length_after(1, lasting=True) <= 33_554_432, "begun anew"


def test_one_statement_alone_holds_no_lock_and_counts_what_it_finds(db: Database) -> None:
    assert db.alone(insert(SystemConfig).values(**_setting())) == 1
    assert db.alone(update(SystemConfig).values(config_value="b")) == 1
    assert db.alone(update(SystemConfig).values(config_value="b")) == 1  # found, not changed
    assert db.alone(update(SystemConfig).where(SystemConfig.id < 0).values(config_value="c")) == 0
    with pytest.raises(IntegrityError):
        db.alone(insert(SystemConfig).values(**_setting()))
    with db.read() as session:
        assert session.scalars(select(SystemConfig.config_value)).all() == ["b"]


@pytest.mark.mariadb
def test_an_innodb_that_takes_no_writes_is_called_read_only(mariadb_db: Database) -> None:
    """``innodb_read_only`` is no ``read_only``: the server names the table, with a number of its own."""
    refused = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1036, MESSAGE_TEXT = 'Table is read only'"
    with pytest.raises(DependencyDown, match=READ_ONLY_SAID):
        mariadb_db.run(lambda session: session.execute(text(refused)))


@pytest.mark.mariadb
@pytest.mark.skipif(shutil.which("mariadb-backup") is None, reason="mariadb-backup is missing")
def test_a_server_without_a_log_is_not_backed_up(mariadb_db: Database, tmp_path: Path) -> None:
    folder = store(tmp_path / "backups")
    with pytest.raises(BadInput, match="log_bin=ON"):
        take(mariadb_db, folder, Kind.FULL, datetime.now(UTC))
    assert folder.items() == []


def _setting() -> dict[str, str]:
    return {"config_key": "a", "config_value": "a", "category": "c"}


def test_a_file_that_cannot_be_written_says_which_files_are_to_be(sqlite_db: Database) -> None:
    """A reader leaves those beside it as unwritable as it was: they are no good when it is mended."""
    said = "readonly database; make .*FILE-wal and FILE-shm writable"
    with pytest.raises(DependencyDown, match=said) as raised, sqlite_db.write() as session:
        # What the driver says is what it says of such a file, and root may write every file.
        session.execute(text("PRAGMA query_only = ON"))
        add_kind(session, "a")
    assert raised.value.code == "database-down"


@pytest.mark.parametrize("name", ["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"])
def test_a_full_disk_of_sqlite_asks_for_room(name: str) -> None:
    """On a disk without any, SQLite cannot even read: it says "disk I/O error"."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    found = diagnose(OperationalError("SELECT 1", {}, error), "database_url")
    assert found == (DOWN, "make room on the disk, or check it")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            1005,
            'Can\'t create table `books`.`alembic_version` (errno: 135 "No more room in record file")',
        ),
        (1025, "Error on rename of './a' to './b' (errno: 28 \"No space left on device\")"),
        (1030, 'Got error 28 "No space left on device" from storage engine InnoDB'),
    ],
)
def test_a_full_disk_of_mariadb_asks_for_room_in_whatever_words(number: int, said: str) -> None:
    """Of a table that could not be made for want of room it was said that the database does not answer."""
    error = pymysql.err.OperationalError(number, said)
    kind, advice = diagnose(OperationalError("CREATE TABLE", {}, error), "database_url")
    assert (kind, advice) == (DOWN, "the server's disk is full: free space there, and try again")
    other = pymysql.err.OperationalError(number, said.replace("135", "150").replace("28", "150"))
    assert diagnose(OperationalError("CREATE TABLE", {}, other), "database_url")[1] != advice
    value = pymysql.err.IntegrityError(1062, f"Duplicate entry {said!r} for key 'uq_a'")
    assert diagnose(IntegrityError("INSERT", {}, value), "database_url") == ("", "")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1034, "Index for table 'chain_inclusions' is corrupt; try to repair it"),
        (1878, "Temporary file write failure"),
    ],
)
def test_a_change_of_a_table_on_a_full_disk_is_no_damage(number: int, said: str) -> None:
    """So an upgrade ended on a disk with 20 MB and with 1 MB, and nothing was damaged."""
    error = pymysql.err.OperationalError(number, said)
    kind, advice = diagnose(OperationalError("ALTER TABLE", {}, error), "database_url")
    assert kind == DOWN and "full" in advice and "free space" in advice and "try again" in advice


@long
@pytest.mark.mariadb
def test_an_upgrade_on_a_full_disk_is_run_again_when_there_is_room(folder: Path) -> None:
    """With each amount of room it ends with one error that names the disk, and no row is lost."""
    disk = folder / "disk"
    disk.mkdir()
    with small_disk(disk, 400 << 20):
        server = MariaDbServer(disk / "server", plain=True)
        server.folder.mkdir()
        (disk / "server" / "server.log").symlink_to(folder / "server.log")
        server._options += ["--innodb-log-file-size=8M"]
        server.start()
        try:
            server.execute("CREATE DATABASE books")
            books = Database(server.url("books"))
            books.upgrade("0033")
            with books.write() as session:
                session.execute(text("SET foreign_key_checks = 0"))
                session.execute(
                    text(
                        "INSERT INTO chain_inclusions SELECT CONCAT('0x', SHA2(seq, 256)), seq, CONCAT('0x', "
                        "SHA2(-seq, 256)), 0, CONCAT('0x', SHA(seq)), seq, NULL, NULL FROM seq_1_to_60000"
                    )
                )
                session.execute(text("SET foreign_key_checks = 1"))
            for but_bytes in (0, 1 << 20, 20 << 20):
                filler = fill(disk, but_bytes)
                with pytest.raises(DependencyDown, match=r"full.*free space") as raised:
                    books.upgrade()
                assert raised.value.code == "database-down"
                filler.unlink()
                assert books.current() in ("0033", "0034")
            assert books.upgrade()[-1] == Database.head()
            with books.read() as session:
                assert session.scalar(text("SELECT COUNT(*) FROM chain_inclusions")) == 60_000
            books.close()
        finally:
            server.stop()
