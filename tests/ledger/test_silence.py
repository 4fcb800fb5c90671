"""A connection that goes silent behind a living proxy is given up; a statement that runs is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.db import Database, silence
from ledger.db.arrays import ArrayConnection
from ledger.errors import DependencyDown
from tests.support.forms import few, long, rest
from tests.support.full import fill, small_disk
from tests.support.mariadb import MariaDbServer
from tests.support.swallowing import SwallowingProxy
from tests.support.waiting import until

pytestmark = pytest.mark.mariadb
HANGS_S = 60
"""A test that waits for so long has found a hang."""


@pytest.fixture
def proxy(
    mariadb_server: MariaDbServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SwallowingProxy]:
    """A proxy before the server of the tests, and little patience."""
    monkeypatch.setattr(silence, "SILENCE_S", 1)
    monkeypatch.setattr(silence, "ASK_S", 1)
    monkeypatch.setattr(silence, "_ON_ITS_WAY_S", 0.2)
    mariadb_server.execute(
        "CREATE OR REPLACE DATABASE silent", "CREATE TABLE silent.kept (id INT PRIMARY KEY)"
    )
    with SwallowingProxy(mariadb_server.port) as found:
        yield found
    mariadb_server.execute("DROP DATABASE silent")


@pytest.fixture
def db(proxy: SwallowingProxy) -> Iterator[Database]:
    """The server behind the proxy."""
    database = Database(f"mysql+pymysql://root@127.0.0.1:{proxy.port}/silent", lock_timeout_s=2)
    yield database
    database.close()


def done(work: object, *arguments: object) -> object:
    """Return what a piece of work comes to, or raise what it raises; a hang is an error, too."""
    found: list[object] = []
    failed: list[BaseException] = []

    def do_it() -> None:
        try:
            found.append(work(*arguments))  # type: ignore[operator]
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=do_it, daemon=True)
    thread.start()
    thread.join(HANGS_S)
    assert not thread.is_alive(), "it hangs"
    if failed:
        raise failed[0]
    return found[0]


def kept(server: MariaDbServer) -> list[int]:
    """Return what is in the table, read past the proxy."""
    database = Database(server.url("silent"))
    try:
        with database.read() as session:
            return [int(one) for one in session.scalars(text("SELECT id FROM kept ORDER BY id"))]
    finally:
        database.close()


def store(db: Database, number: int) -> None:
    """Store a row."""
    with db.write() as session:
        session.execute(text("INSERT INTO kept VALUES (:id)"), {"id": number})


def lose_a_write(db: Database, strike: Callable[[], None]) -> None:
    """Change a row and lose the connection before the next one, and before a commit."""
    with pytest.raises(DependencyDown), db.write() as session:
        session.execute(text("INSERT INTO kept VALUES (1)"))
        strike()
        done(session.execute, text("INSERT INTO kept VALUES (2)"))


@few(2)
@pytest.mark.parametrize("patience_s", [None, 60 * HANGS_S])
@pytest.mark.parametrize(
    ("after_bytes", "said"), [(0, "timed out"), (300, "handshake operation timed out")]
)
def test_a_server_that_falls_silent_in_the_handshake_is_waited_for_no_longer_than_a_greeting(
    proxy: SwallowingProxy, patience_s: float | None, after_bytes: int, said: str
) -> None:
    """A node that froze just then was waited for as long as a packet of 16 MB may take to be sent: a minute.

    A replica was as long as the longest report takes, at its greeting, too.
    """
    proxy.swallow_all(after_bytes)  # the greeting, and that TLS is wanted
    with pytest.raises(pymysql.err.OperationalError, match=said):
        done(
            lambda: ArrayConnection(
                host="127.0.0.1",
                port=proxy.port,
                user="root",
                connect_timeout=1,
                read_timeout=patience_s,
                write_timeout=60 * HANGS_S,
            )
        )


def test_an_answer_is_waited_for_as_long_as_was_said(proxy: SwallowingProxy) -> None:
    """As a replica's: a report takes longer than a greeting."""
    there = Database(f"mysql+pymysql://root@127.0.0.1:{proxy.port}/silent", patience_s=47)
    with there.read() as session:
        link: Any = session.connection().connection.dbapi_connection
        assert (link._read_timeout, link._write_timeout, link.connect_timeout) == (47, 47, 10)
    there.close()


@long
def test_a_statement_that_runs_is_waited_for(db: Database) -> None:
    """Several times as long as nothing may come before the server is asked."""
    with db.read() as session:
        assert session.scalar(text("SELECT SLEEP(2.5)")) == 0


@long
def test_a_commit_that_waits_for_room_is_said_and_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """MariaDB lets it wait where the binary log's disk is full, for ever, and looks again each minute."""
    monkeypatch.setattr(silence, "SILENCE_S", 1)
    logs = folder / "logs"
    logs.mkdir()
    with small_disk(logs, 4 << 20):
        server = MariaDbServer(folder / "server", plain=True)
        server.folder.mkdir()
        server._options += [f"--log-bin={logs}/bin", "--server-id=1"]
        server.start()
        try:
            server.execute("CREATE DATABASE room", "CREATE TABLE room.kept (id INT, text TEXT)")
            db = Database(server.url("room"))
            filler = fill(logs)

            def add(session: Session) -> None:
                row = {"text": "x" * 20_000}
                session.execute(text("INSERT INTO kept VALUES (1, :text)"), row)

            with ThreadPoolExecutor(1) as pool:
                added = pool.submit(db.run, add)
                try:
                    until(lambda: "waits for room on its disk, which is full" in caplog.text)
                    time.sleep(3)  # is asked for each second, and said once
                    assert not added.done()
                finally:
                    filler.unlink()
                added.result()
            assert caplog.text.count("waits for room") == 1
            with db.read() as session:
                assert session.scalar(text("SELECT COUNT(*) FROM kept")) == 1
            db.close()
        finally:
            server.stop()


@long
def test_a_statement_is_waited_for_while_the_server_takes_no_further_connection(
    db: Database, mariadb_server: MariaDbServer
) -> None:
    with db.read() as session, ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.scalar, text("SELECT SLEEP(3)"))
        mariadb_server.execute("SET GLOBAL max_connections = 10")
        with ExitStack() as links:
            with pytest.raises(pymysql.err.OperationalError, match="1040"):
                while True:  # until it is full
                    links.enter_context(
                        pymysql.connect(host="127.0.0.1", port=mariadb_server.port, user="root")
                    )
            assert running.result() == 0
        mariadb_server.execute("SET GLOBAL max_connections = 151")


def test_a_read_whose_server_is_out_of_reach_ends(db: Database, proxy: SwallowingProxy) -> None:
    with pytest.raises(DependencyDown, match="nothing came for 1 s"), db.read() as session:
        proxy.swallow_all()
        done(session.scalar, text("SELECT 1"))
    proxy.pass_on()
    db.ping()


@long
def test_connections_that_rest_in_the_pool_are_found_out(
    db: Database, proxy: SwallowingProxy
) -> None:
    db.ping()
    proxy.swallow_open()
    done(db.ping)


def test_what_is_given_up_leaves_no_lock(
    db: Database, proxy: SwallowingProxy, mariadb_server: MariaDbServer
) -> None:
    """New connections reach the server: the row that was changed and not committed is free at once."""
    lose_a_write(db, proxy.swallow_open)
    assert kept(mariadb_server) == []
    store(db, 1)  # the same row: it waits for nobody
    assert kept(mariadb_server) == [1]


@long
def test_what_was_given_up_in_an_outage_leaves_no_lock_after_it(
    db: Database, proxy: SwallowingProxy, mariadb_server: MariaDbServer
) -> None:
    lose_a_write(db, proxy.swallow_all)
    proxy.pass_on()
    store(db, 1)
    assert kept(mariadb_server) == [1]


@long
def test_a_connection_that_has_the_number_of_one_given_up_before_a_restart_goes_on(
    mariadb_server: MariaDbServer,
) -> None:
    """It has done something since; the one that was given up has not."""
    given_up = silence.GivenUp()
    with pymysql.connect(host="127.0.0.1", port=mariadb_server.port, user="root") as other:
        with pymysql.connect(host="127.0.0.1", port=mariadb_server.port, user="root") as link:
            server = silence.server_of(link)
            given_up.add((server, other.thread_id()))
            time.sleep(2.2)
            with other.cursor() as cursor:
                cursor.execute("SELECT 1")
            given_up.end(link, server)
        other.ping(reconnect=False)


def test_a_commit_without_an_answer_says_that_it_may_have_happened(
    db: Database, proxy: SwallowingProxy, mariadb_server: MariaDbServer
) -> None:
    def commit() -> None:
        with db.write() as session:
            session.execute(text("INSERT INTO kept VALUES (1)"))
            proxy.swallow_answers()

    with pytest.raises(DependencyDown, match="whether it was committed is not known"):
        done(commit)
    assert kept(mariadb_server) == [1]


@long
@pytest.mark.parametrize("size", rest([100, 1_000, 5_000], 1_000))
def test_an_answer_that_stops_in_the_middle_ends(
    db: Database, proxy: SwallowingProxy, size: int
) -> None:
    with pytest.raises(DependencyDown), db.read() as session:
        proxy.swallow_all(after_bytes=size)
        done(session.execute, text("SELECT REPEAT('a', 100000) UNION SELECT REPEAT('b', 9000000)"))


@long
def test_a_migration_ends_as_well(proxy: SwallowingProxy) -> None:
    proxy.swallow_all(after_bytes=20_000)
    books = Database(f"mysql+pymysql://root@127.0.0.1:{proxy.port}/silent")
    with pytest.raises(DependencyDown):
        done(books.upgrade)
    assert proxy.struck.is_set()
    books.close()
