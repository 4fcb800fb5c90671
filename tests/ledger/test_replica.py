"""A primary and its replica: what was committed is read, and a replica that lags or is gone is passed over."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pymysql
import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.context import Context
from ledger.db import Database, DatabaseBusy, replica
from ledger.db.findings import State
from ledger.db.pair import replica_findings
from ledger.errors import BadInput
from ledger.keeping.moving import archive
from ledger.keeping.reading import rows_between
from ledger.models import Device, DeviceData
from ledger.models.system import SystemConfig
from ledger.settings import load_settings
from tests.support.forms import few, long, times
from tests.support.keeping import EVER, add_device, at, everything, fresh
from tests.support.keeping import put as put_values
from tests.support.mariadb import Server, ServerUnavailable
from tests.support.waiting import comes_true

pytestmark = pytest.mark.mariadb
FAST = (
    "--log-bin=bin",
    "--gtid-strict-mode=1",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
)
ID = text("SELECT @@server_id")


class Pair:
    """Two servers."""

    def __init__(self, primary: Server, replica: Server) -> None:
        self.primary, self.replica = primary, replica

    def there(self, *statements: str) -> None:
        with pymysql.connect(
            unix_socket=str(self.replica.folder / "s"), user="root", ssl_disabled=True
        ) as link:
            for statement in statements:
                link.cursor().execute(statement)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Have the replica apply nothing for as long as this is held, and go on whatever came of it."""
        self.there("STOP SLAVE SQL_THREAD")
        try:
            yield
        finally:
            self.there("START SLAVE SQL_THREAD")

    def open(self) -> Database:
        name = "truetonne"
        return Database(self.primary.url(name), read_url=self.replica.url(name), lock_timeout_s=10)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="mariadb-") as name, ExitStack() as stack:
        servers = []
        for number in (1, 2):
            folder = Path(name) / str(number)
            folder.mkdir()
            try:
                role = ["--read-only"] if number == 2 else []
                server = Server(folder, [f"--server-id={number}", *role, *FAST])
                server.start()
            except ServerUnavailable as reason:
                if os.environ.get("CI") == "true":
                    pytest.fail(f"CI must run the tests of replicas: {reason}")
                pytest.skip(str(reason))
            stack.callback(server.stop)
            servers.append(server)
        found = Pair(*servers)
        found.there(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={servers[0].port}, MASTER_USER='root', "
            "MASTER_SSL=0, MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
            "START SLAVE",
        )
        servers[0].execute("CREATE DATABASE truetonne")
        db = Database(servers[0].url("truetonne"))
        with db.server() as link:
            link.exec_driver_sql(
                "CREATE TABLE system_config (id INT PRIMARY KEY AUTO_INCREMENT, config_key VARCHAR(100) UNIQUE, "
                "config_value TEXT, category VARCHAR(50), description TEXT, is_encrypted BOOL DEFAULT 0, "
                "updated_by INT, created_at DATETIME(6) DEFAULT NOW(6), updated_at DATETIME(6) DEFAULT NOW(6))"
            )
            link.exec_driver_sql(
                "INSERT INTO system_config (config_key, config_value, category) VALUES ('a', '0', 'c')"
            )
        db.close()
        yield found


@pytest.fixture
def db(pair: Pair) -> Iterator[Database]:
    database = pair.open()
    yield database
    database.close()


def put(db: Database, value: int) -> None:
    with db.write() as session:
        session.execute(update(SystemConfig).values(config_value=str(value)))


def seen(db: Database) -> tuple[int, int]:
    """Return the value that is read, and of which server."""
    with db.look() as session:
        value = session.scalars(select(SystemConfig.config_value)).one()
        return int(value), int(session.execute(ID).scalar_one())


def test_reads_after_a_commit(pair: Pair, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is stale, whoever committed; and it is the replica that answers."""
    monkeypatch.setattr("ledger.db.replica.WAIT_S", 60)  # however busy the machine is
    writer = Database(pair.primary.url("truetonne"))  # of another process, as it were
    servers, stale = [], 0
    for value in range(1, times(200, 1000) + 1):
        put(writer if value % 2 else db, value)
        found, server = seen(db)
        stale += found != value
        servers.append(server)
    assert stale == 0
    assert set(servers) == {2}
    writer.close()


def test_that_the_test_would_see_a_stale_read(pair: Pair) -> None:
    """The replica, read without asking how far it is, answers with what was."""
    there = Database(pair.replica.url("truetonne"))
    writer = Database(pair.primary.url("truetonne"))

    def unasked() -> str:
        with there.read() as session:
            return session.scalars(select(SystemConfig.config_value)).one()

    put(writer, 5000)
    assert comes_true(lambda: unasked() == "5000")
    with pair.standing_still():
        put(writer, 5001)
        assert unasked() == "5000"
    for database in (there, writer):
        database.close()


@long
def test_a_replica_that_lags(
    pair: Pair, db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has a line when that begins, and one when it is over."""
    put(db, 1)
    assert eventually(db, (1, 2))
    assert db.replica is not None
    monkeypatch.setattr(db.replica, "_said_at_s", -replica.SAID_AGAIN_S)  # as if long ago
    caplog.clear()
    passed, now_s = db.replica.passed, [time.monotonic()]
    monkeypatch.setattr("ledger.db.replica.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    with pair.standing_still():
        put(db, 2)
        assert seen(db) == (2, 1)  # it is waited for, and not for ever
        now_s[0] += replica.LAG_REST_S - 0.1
        assert seen(db) == (2, 1)
        assert db.replica.passed == passed + 1  # it is left in peace for a while
        now_s[0] += 0.2
        assert seen(db) == (2, 1)
        assert db.replica.passed == passed + 2  # and then asked again
        assert "lags" in db.replica.why
    monkeypatch.undo()
    assert eventually(db, (2, 2))
    first, last = (record.getMessage() for record in caplog.records)
    assert first.endswith("lags; the primary is read")
    assert re.search(r"is read again, after \d+\.\d s$", last)
    # Soon again: that is no line at first, and one when it lasts.
    caplog.clear()
    now_s[0] = time.monotonic()
    monkeypatch.setattr(db.replica, "_said_at_s", now_s[0])
    monkeypatch.setattr("ledger.db.replica.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    with pair.standing_still():
        put(db, 3)
        for lines in (0, 1, 1):
            assert seen(db) == (3, 1)
            assert len(caplog.records) == lines
            now_s[0] += replica.SAID_AGAIN_S  # more than it rests
    assert eventually(db, (3, 2))  # by this clock still: by the true one it would rest for minutes


@long
def test_a_replica_that_is_gone_and_comes_back(
    pair: Pair,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has a line when it goes, however often it is asked, and one when it is back."""
    monkeypatch.setattr("ledger.db.replica.GONE_REST_S", 0)
    put(db, 3)
    assert eventually(db, (3, 2))
    assert db.replica is not None
    passed = db.replica.passed
    caplog.clear()
    pair.replica.kill()
    try:
        put(db, 4)
        for asked in (1, 2):  # lost, and then refused: one failure
            assert seen(db) == (4, 1)
            assert db.replica.passed == passed + asked
            assert "start the server or correct TRUETONNE_DATABASE_READ_URL" in db.replica.why
    finally:
        pair.replica.restart()
    assert eventually(db, (4, 2))
    said = [record.getMessage() for record in caplog.records]
    assert said[0].endswith("TRUETONNE_DATABASE_READ_URL; the primary is read")
    assert all("lags" in line for line in said[1:-1]), said  # while it catches up
    assert re.search(r"is read again, after \d+\.\d s$", said[-1])


@long
def test_a_replica_that_is_frozen(pair: Pair, db: Database) -> None:
    """It keeps many who come at once waiting for seconds, and later one of them alone."""
    put(db, 5)
    assert eventually(db, (5, 2))
    assert pair.replica.pid is not None and db.replica is not None

    def timed(_: int) -> float:
        begun = time.monotonic()
        assert seen(db) == (6, 1)
        return time.monotonic() - begun

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(seen, [db] * 8))  # open connections, which are silent then
        os.kill(pair.replica.pid, signal.SIGSTOP)
        try:
            put(db, 6)
            assert (
                max(pool.map(timed, range(8))) < 45
            )  # a minute, were it waited for as for an answer
            passed, db.replica._rest_until_s = db.replica.passed, 0  # as if it had rested
            list(pool.map(timed, range(8)))
            assert db.replica.passed == passed + 1
        finally:
            os.kill(pair.replica.pid, signal.SIGCONT)
    db.replica._rest_until_s = 0
    assert eventually(db, (6, 2))


def test_one_asks_a_replica_that_was_passed_over(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others would wait as long as the one; whoever asked and was never heard of is not waited for for ever."""
    now_s = [time.monotonic()]
    monkeypatch.setattr("ledger.db.replica.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    assert db.replica is not None
    assert [db.replica.may_be_asked() for _ in range(3)] == [True] * 3
    with ExitStack() as stack:
        assert (
            db.replica.enter("0-77-77777777", stack) is None
        )  # a position to which it never comes
    assert not db.replica.may_be_asked()
    for seconds in (replica.LAG_REST_S, replica.ASKED_S):
        now_s[0] += seconds
        assert [db.replica.may_be_asked() for _ in range(3)] == [True, False, False]
    now_s[0] += replica.ASKED_S
    assert seen(db)[1] == 2
    assert [db.replica.may_be_asked() for _ in range(3)] == [True] * 3


def test_a_replica_whose_connections_others_have(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, so the next read asks it again."""

    def taken(*_: object) -> None:
        raise PoolTimeout("QueuePool limit of size 10 overflow 20 reached")

    assert db.replica is not None
    with monkeypatch.context() as patch:
        patch.setattr(db.replica.there, "reading_after", taken)
        assert seen(db)[1] == 1
    assert seen(db)[1] == 2


def test_nothing_is_written_there(db: Database) -> None:
    with pytest.raises(DBAPIError, match="READ ONLY"), db.look() as session:
        session.execute(insert(SystemConfig).values(config_key="b", config_value="b", category="c"))


def test_a_server_that_is_no_replica_is_never_read(pair: Pair) -> None:
    """Such as the primary itself: it follows nobody, so nothing tells how far it is."""
    url = pair.primary.url("truetonne")
    db = Database(url, read_url=url)
    put(db, 7)
    assert seen(db) == (7, 1)
    assert db.replica is not None and (db.replica.reads, db.replica.passed) == (0, 1)
    db.close()


def test_a_replica_that_could_not_become_the_primary(pair: Pair) -> None:
    """What stands in a configuration alone is seen on servers that run without it: these two."""
    there = Database(pair.replica.url("truetonne"))
    with there.read() as session:
        found = {item.name: item for item in replica_findings(session)}
    there.close()
    assert {name for name, item in found.items() if item.state is State.GOOD} == {
        "read_only",
        "following",
        "gtid_strict_mode",
    }
    assert found["binary log"].found.startswith("what it receives is not in its binary log")
    assert "log_slave_updates = ON" in found["binary log"].mend
    assert "relay_log_recovery = ON" in found["relay log"].mend


@long
def test_many_at_once(pair: Pair, db: Database) -> None:
    wrong: list[tuple[int, int]] = []
    lock, current = threading.Lock(), 10_000

    def work() -> None:
        nonlocal current
        for _ in range(40):
            with lock:
                current += 1
                put(db, current)
                floor = current
            found, _ = seen(db)
            if found < floor:
                wrong.append((floor, found))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_the_api_reads_is_read_there(pair: Pair, db: Database) -> None:
    context = Context(load_settings(None, {}), db)

    def is_read_there() -> bool:
        with db.look() as session:
            return session.execute(ID).scalar_one() == 2

    assert comes_true(is_read_there)
    assert db.replica is not None
    reads = db.replica.reads
    with pytest.raises(Exception, match=r"chain_cursor|db upgrade"), context.reading():
        pass  # this small database has no mirror; which server says so is what counts
    assert db.replica.reads == reads + 1


class Reading:
    """Reads from the replica, again and again, until it is told to stop: all rows, and by read/write splitting."""

    def __init__(self, there: Database, books: Database) -> None:
        self.there, self.books = there, books
        self.counts: set[int] = set()
        self.servers: set[int] = set()
        self.failed: list[Exception] = []
        self.stop = threading.Event()

    def __call__(self) -> None:
        while not self.stop.is_set():
            try:
                with rows_between(self.there, "device_data", *EVER) as rows:
                    self.counts.add(len({row["id"] for row in rows}))
                with self.books.look() as session:
                    assert session.scalar(select(Device.device_id)) == "D1"
                    self.servers.add(int(session.execute(ID).scalar_one()))
            except DatabaseBusy:  # a partition went while it was read: as on the primary
                continue
            except Exception as error:
                self.failed.append(error)
                return


@pytest.fixture
def followed(pair: Pair) -> Iterator[tuple[Database, Database]]:
    """Books with partitions, and the same as the replica has them."""
    pair.primary.execute("CREATE DATABASE followed")
    there = Database(pair.replica.url("followed"))
    books = Database(
        pair.primary.url("followed"), read_url=pair.replica.url("followed"), lock_timeout_s=10
    )
    books.upgrade()
    fresh(books)
    yield books, there
    books.close()
    there.close()
    pair.primary.execute("DROP DATABASE followed", "DROP DATABASE IF EXISTS followed_archive")


@long
def test_months_go_to_the_archive_under_a_replica_that_is_read(
    followed: tuple[Database, Database],
) -> None:
    """Partitions are exchanged there as here; who reads there meanwhile misses nothing and sees nothing twice."""
    books, there = followed
    year = datetime.now(UTC).year
    times = [at(year - number // 12, number % 12 + 1, 5) for number in range(30)]
    books.ensure_partitions(date(year, 12, 1))  # whatever month it is now
    put_values(books, add_device(books), times)

    def has_live(count: int) -> bool:
        """Return whether the replica answers, and has so many live rows."""
        with books.look() as session:
            found = session.scalar(select(func.count()).select_from(DeviceData))
            return (found, session.execute(ID).scalar_one()) == (count, 2)

    assert comes_true(lambda: has_live(len(times)))
    reading = Reading(there, books)
    thread = threading.Thread(target=reading)
    thread.start()
    try:
        moved = sum(item.rows for item in archive(books, date(year, 12, 1)))
        assert comes_true(lambda: has_live(len(times) - moved))
        assert comes_true(lambda: 2 in reading.servers or not thread.is_alive())
    finally:
        reading.stop.set()
        thread.join()
    assert reading.failed == []
    assert moved == len(times) - 1  # all but what is of December
    assert reading.counts == {len(times)}
    assert 2 in reading.servers
    assert everything(there) == everything(books)


@few(1)
@pytest.mark.parametrize(
    ("database", "read"),
    [("", "mysql+pymysql://a@b/c"), ("mysql+pymysql://a@b/c", "sqlite:///x"), ("", "x://y")],
)
def test_settings_that_make_no_pair(database: str, read: str) -> None:
    with pytest.raises(BadInput, match="database_read_url"):
        load_settings(
            None, {"TRUETONNE_DATABASE_URL": database, "TRUETONNE_DATABASE_READ_URL": read}
        )


def eventually(db: Database, wanted: tuple[int, int]) -> bool:
    return comes_true(lambda: seen(db) == wanted)
