"""Books go to another database and back: every value of every table, or nothing at all."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, make_url, select

from ledger import audit
from ledger.backup import copying
from ledger.backup.copying import (
    Copied,
    SourceBusy,
    TargetNotNew,
    copy_books,
    count_rows,
    require_new,
)
from ledger.db import Database, NewerTables
from ledger.db.grants import Account
from ledger.errors import DependencyDown, ProblemFound
from ledger.keeping.missing import ArchiveLost
from ledger.keeping.moving import archive
from ledger.keeping.overview import alarms
from ledger.keeping.places import archive_file
from ledger.leases import Lease
from ledger.migrations import revisions
from ledger.models import AuditLog, Base, SystemConfig, VppTradingRecord
from tests.ledger.test_archive import BEFORE, NEW, OLD, YEAR
from tests.support.accounts import made_account
from tests.support.forked import FORKED
from tests.support.forms import few, long
from tests.support.keeping import add_device, add_plant, archive_link, at, everything, put, sale
from tests.support.mariadb import MariaDbServer
from tests.support.park import apply_park
from tests.support.records import fill

NOTED = {"audit_logs", "audit_chain", "audit_heads"}
"""Tables of the audit log, in which the copy itself is noted."""


@pytest.fixture
def source(sqlite_db: Database, tmp_path: Path) -> Database:
    """A park's records, with an archive, and with a trade that was numbered and is gone."""
    device = add_device(sqlite_db)
    apply_park(sqlite_db)
    fill(sqlite_db, tmp_path)
    put(sqlite_db, device, OLD + NEW, "-123456789.000001")
    list(archive(sqlite_db, BEFORE))
    with sqlite_db.write() as session:
        plant = add_plant(session)
        session.add_all(sale(plant, moment) for moment in (NEW[0], at(YEAR + 9, 1, 1), NEW[0]))
        session.flush()
        last = session.scalars(
            select(VppTradingRecord).order_by(VppTradingRecord.id.desc())
        ).first()
        session.delete(last)
    return sqlite_db


def new_file(tmp_path: Path, name: str = "copy.db") -> Database:
    db = Database(f"sqlite:///{tmp_path / name}")
    db.upgrade()
    return db


def copied(source: Database, target: Database) -> dict[str, int]:
    require_new(target)
    return {item.table: item.rows for item in copy_books(source, target, lambda item: None)}


def dump(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return what SQLite itself says of a file: the stored values with their types, table by table."""
    with closing(sqlite3.connect(file)) as link:
        names = link.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        ).fetchall()
        return {
            name: sorted(link.execute(f'SELECT * FROM "{name}"'), key=repr)
            for (name,) in names
            if name not in ("moves", "device_data_incoming")  # the archive's own work
        }


def said(db: Database) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all that SQLite's live file holds, without the audit log, and all of its archive."""
    live = dump(Path(db.url.database or ""))
    kept = {name: rows for name, rows in live.items() if name not in NOTED}
    return kept, dump(archive_file(db))


def next_trade(db: Database) -> int:
    """Return the number that the next trade has."""
    with db.write() as session:
        trade = sale(1, NEW[0])
        session.add(trade)
        session.flush()
        number = trade.id
        session.rollback()
    return int(number)


@pytest.mark.mariadb
def test_what_goes_to_a_server_and_comes_back_is_the_same_to_the_last_digit(
    source: Database,
    mariadb_server: MariaDbServer,
    new_mariadb_url: Callable[[], str],
    tmp_path: Path,
) -> None:
    name, back = str(make_url(new_mariadb_url()).database), new_file(tmp_path)
    with made_account(mariadb_server, Account.MIGRATE, name) as url:
        server = Database(url.render_as_string(hide_password=False))
        server.upgrade()
        _there_and_back(source, server, back)
        server.close()
    back.close()


def _there_and_back(source: Database, server: Database, back: Database) -> None:
    before, data, trade = said(source), everything(source), next_trade(source)
    counted = {item.table: item.rows for item in count_rows(source)}
    assert copied(source, server) == counted
    assert everything(server) == data
    with server.read() as session:
        assert (
            alarms(session) == []
        )  # the archive has all that went there, and no row lies outside of its partition
    assert list(archive(server, BEFORE)) == []
    assert next_trade(server) == trade  # the number of the one that is gone is not given again
    copied(server, back)
    assert (
        next_trade(back) == trade + 1
    )  # a server gives no number twice, even where its row was not kept
    for there, here in zip(said(back), before, strict=True):
        differing = {name for name in here if there.get(name) != here[name]}
        assert differing <= {"sqlite_sequence"}  # where those numbers stand
    assert everything(back) == data
    assert len(before[0]) > 100 and sum(map(bool, before[0].values())) > 35
    with back.read() as session:
        notes = session.scalars(select(AuditLog).where(AuditLog.action == "books.copy")).all()
    assert [(note.new_values or {})["from"] for note in notes] == [source.place, server.place]


@long
def test_a_file_is_copied_into_another(source: Database, tmp_path: Path) -> None:
    target = new_file(tmp_path)
    copied(source, target)
    assert said(target) == said(source)
    with pytest.raises(TargetNotNew, match=r"has rows in \w+, so it is not new"):
        require_new(target)
    target.close()


@long
def test_only_an_empty_database_is_new(source: Database, tmp_path: Path) -> None:
    target = new_file(tmp_path)
    require_new(target)
    put(target, add_device(target), OLD)
    list(archive(target, BEFORE))
    with target.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name in ("device_data", "archived_devices", "devices", "device_types"):
                session.execute(delete(table))
    with pytest.raises(TargetNotNew):
        require_new(target)
    target.close()
    for file in tmp_path.glob("copy.db*"):
        file.unlink()
    with pytest.raises(TargetNotNew, match=r"copy_archive\.db, is there"):
        require_new(target)  # they would be somebody else's
    assert not (tmp_path / "copy.db").exists()


@long
@pytest.mark.mariadb
def test_an_archive_that_stayed_as_its_server_s_database_went_is_said(
    source: Database, new_mariadb_url: Callable[[], str]
) -> None:
    target = Database(new_mariadb_url())
    target.upgrade()
    copied(source, target)
    name = target.url.database
    with target.server() as link:
        link.exec_driver_sql(f"DROP DATABASE {name}")
        link.exec_driver_sql(f"CREATE DATABASE {name}")
    with pytest.raises(TargetNotNew, match=f"database {name}_archive, is there"):
        require_new(target)
    with target.server() as link:
        link.exec_driver_sql(f"DROP DATABASE {name}_archive")
    require_new(target)
    target.close()


def test_nobody_works_on_books_that_were_closed(sqlite_db: Database) -> None:
    sqlite_db.run(lambda session: revisions.close_moved(session.connection()))
    with pytest.raises(NewerTables, match="is closed: its books were copied") as told:
        sqlite_db.alone(delete(SystemConfig))
    assert told.value.code == "books-moved"
    with pytest.raises(DependencyDown, match="is closed: its books were copied"):
        sqlite_db.upgrade()


@long
@pytest.mark.mariadb
def test_who_is_at_work_on_books_that_are_closed_is_told(
    source: Database, tmp_path: Path, new_mariadb_url: Callable[[], str]
) -> None:
    """A process that nobody has stopped meets it at its next unit of work."""
    server, last = Database(new_mariadb_url()), new_file(tmp_path)
    server.upgrade()
    for old, new in ((source, server), (server, last)):
        old.alone(delete(SystemConfig))
        copy_books(old, new, lambda item: None, close=True)
        for write in (lambda db: db.alone(delete(SystemConfig)), Lease.take):
            with pytest.raises(
                NewerTables, match="copied into another one, and go on there"
            ) as told:
                write(Lease(old, "jobs") if write is Lease.take else old)  # type: ignore[arg-type]
            assert told.value.code == "books-moved"
        assert new.current() == new.head()
    last.alone(delete(SystemConfig))
    for db in (server, last):
        db.close()


@long
@pytest.mark.mariadb
def test_what_was_written_while_a_server_was_copied_is_not_lost_without_a_word(
    source: Database, tmp_path: Path, new_mariadb_url: Callable[[], str]
) -> None:
    """`serve` holds no lease, and a server keeps nobody from writing."""
    server, target = Database(new_mariadb_url()), new_file(tmp_path)
    server.upgrade()
    copied(source, server)

    def write(item: Copied) -> None:
        if item.table == "users":
            server.run(lambda session: audit.record(session, "config.set", "users", {}, {}))

    with pytest.raises(SourceBusy, match="somebody has written there while it was copied"):
        copy_books(server, target, write, close=True)
    assert server.current() == server.head()
    require_new(target)
    copied(server, target)
    for db in (server, target):
        db.close()


@long
@pytest.mark.mariadb
def test_books_that_cannot_be_closed_are_not_copied(
    source: Database,
    tmp_path: Path,
    mariadb_server: MariaDbServer,
    new_mariadb_url: Callable[[], str],
) -> None:
    server, target = Database(new_mariadb_url()), new_file(tmp_path)
    server.upgrade()
    copied(source, server)
    with made_account(mariadb_server, Account.READ, str(server.url.database)) as url:
        reader = Database(url.render_as_string(hide_password=False))
        with pytest.raises(DependencyDown, match="lacks the right"):
            copy_books(reader, target, lambda item: None, close=True)
        reader.close()
    require_new(target)
    for db in (server, target):
        db.close()


@long
def test_a_database_of_an_older_version_is_left_as_it_is(tmp_path: Path) -> None:
    target = Database(f"sqlite:///{tmp_path / 'older.db'}")
    target.upgrade("0040")
    with pytest.raises(TargetNotNew, match="is at revision 0040, so it is not new"):
        require_new(target)
    assert target.current() == "0040"
    target.close()


@long
def test_who_works_on_the_books_is_named(source: Database, tmp_path: Path) -> None:
    target, lease = new_file(tmp_path), Lease(source, "mirror:local")
    assert lease.take() is None
    for act in (lambda: copied(source, target), lambda: count_rows(source)):
        with pytest.raises(SourceBusy, match=r"works on it \(mirror:local\); stop"):
            act()
    lease.release()
    copied(source, target)
    target.close()


@long
def test_nobody_writes_into_a_file_that_is_being_copied(source: Database, tmp_path: Path) -> None:
    target, waits = new_file(tmp_path), sqlite3.connect(source.url.database or "", timeout=0)
    refused = []

    def write(item: Copied) -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            waits.execute("BEGIN IMMEDIATE")
        refused.append(item)

    require_new(target)
    assert copy_books(source, target, write) == refused
    waits.execute("BEGIN IMMEDIATE")
    waits.close()
    target.close()


@long
def test_what_the_new_database_alters_is_found_and_nothing_stays(
    source: Database, tmp_path: Path
) -> None:
    with source.write() as session:
        session.add(SystemConfig(config_key="one", config_value="same", category="test"))
    target = new_file(tmp_path)
    with target.write() as session:
        session.connection().exec_driver_sql(
            "CREATE TRIGGER other AFTER INSERT ON system_config BEGIN "
            "UPDATE system_config SET config_value = 'Same' WHERE id = NEW.id; END"
        )
    with pytest.raises(ProblemFound, match=r"system_config: .* read otherwise; nothing was kept"):
        copied(source, target)
    require_new(target)
    assert not archive_file(target).exists()
    target.close()


@long
def test_rows_on_their_way_to_the_archive_are_filed_first(source: Database, tmp_path: Path) -> None:
    with archive_link(source) as (link, schema):
        link.exec_driver_sql(
            f"INSERT INTO {schema}device_data_incoming SELECT * FROM {schema}device_data_2014"
        )
    target = new_file(tmp_path)
    with pytest.raises(ProblemFound, match="`truetonne jobs run archive` takes them there"):
        copied(source, target)
    require_new(target)
    target.close()


@long
def test_books_whose_archive_stayed_elsewhere_are_not_copied_without_it(
    source: Database, tmp_path: Path
) -> None:
    """They were: as if nothing had ever gone there, with a line that says that all is the same."""
    archive_file(source).rename(tmp_path / "elsewhere.db")
    target = new_file(tmp_path)
    for act in (lambda: copied(source, target), lambda: count_rows(source)):
        with pytest.raises(ArchiveLost, match="has no device_data, though rows went there"):
            act()
    require_new(target)
    target.close()


def by_hand(db: Database, statement: str) -> None:
    """Change rows as a program that looks at no reference and no check."""
    with closing(sqlite3.connect(db.url.database or "")) as link, link:
        link.execute("PRAGMA ignore_check_constraints = ON")
        assert link.execute(statement).rowcount


@long
@few(1)
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE vpp_trading_records SET trade_type = 'gift'", "vpp_trading_records: .* 'gift' is"),
        ("UPDATE device_data SET recorded_at = 'now'", "device_data: .* a time is 'now' in"),
        ("UPDATE devices SET name = hex(zeroblob(101))", "devices: .* has 202 characters, at most"),
        ("UPDATE device_data SET metadata = '{\"a\":1e400}'", "device_data: .* not JSON compliant"),
        ("UPDATE device_data SET value = 1.5", r"device_data: .* a DECIMAL\(15,6\) is 1.5"),
    ],
)
def test_a_value_that_is_none_is_said_with_its_table(
    source: Database, tmp_path: Path, statement: str, said: str
) -> None:
    """Some were an internal error, others a sentence that named no table."""
    by_hand(source, statement)
    target = new_file(tmp_path)
    with pytest.raises(ProblemFound, match=said):
        copied(source, target)
    require_new(target)
    assert not archive_file(target).exists()
    target.close()


@long
def test_rows_whose_parent_is_gone_are_not_copied(source: Database, tmp_path: Path) -> None:
    """A server would have taken them without a word."""
    by_hand(source, "DELETE FROM devices")
    target = new_file(tmp_path)
    for act in (lambda: copied(source, target), lambda: count_rows(source)):
        with pytest.raises(ProblemFound, match="refers to a row of devices that is not there"):
            act()
    require_new(target)
    target.close()


@long
@pytest.mark.mariadb
def test_what_a_server_lets_stand_without_a_parent_is_named(
    new_mariadb_url: Callable[[], str], tmp_path: Path
) -> None:
    server, target = Database(new_mariadb_url()), new_file(tmp_path)
    server.upgrade()
    put(server, add_device(server), NEW)
    with server.changing() as link:
        link.exec_driver_sql("DROP TRIGGER devices_keeps_device_data")
        link.exec_driver_sql("DELETE FROM devices")
    with pytest.raises(ProblemFound, match=r"device_data: row \d+ refers to a row of devices"):
        copied(server, target)
    require_new(target)
    target.close()
    server.close()


def end_connections(db: Database) -> None:
    """End all connections to a server's database but the one that does so."""
    with db.server() as link:
        others = link.exec_driver_sql(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in others.all():
            link.exec_driver_sql(f"KILL {number}")


@long
@pytest.mark.mariadb
def test_what_goes_wrong_with_a_server_is_said_of_it_and_nothing_stays(
    source: Database, new_mariadb_url: Callable[[], str], tmp_path: Path
) -> None:
    server, back = Database(new_mariadb_url()), new_file(tmp_path)
    server.upgrade()

    def cut(item: Copied) -> None:
        if item.table == "devices":
            end_connections(server)

    with pytest.raises(DependencyDown, match=r"^database mysql.* 2013 Lost connection"):
        copy_books(source, server, cut)  # it was an internal error
    require_new(server)
    by_hand(source, "UPDATE device_alerts SET message = hex(zeroblob(40000))")
    with pytest.raises(ProblemFound, match=r"device_alerts: a row cannot be copied: \(1406, "):
        copied(source, server)
    require_new(server)
    by_hand(source, "UPDATE device_alerts SET message = 'short'")
    by_hand(source, "UPDATE device_data SET recorded_at = '9999-12-31 00:00:00.000000'")
    copied(source, server)
    with server.read() as session:  # a server has not as many partitions as there are months
        assert any("device_data" in item for item in map(str, alarms(session)))
    lease = Lease(server, "jobs")

    def begin(item: Copied) -> None:
        """Begin to work behind the snapshot."""
        if item.table == "devices":
            assert lease.take() is None

    with pytest.raises(SourceBusy, match=r"works on it \(jobs\)"):
        copy_books(server, back, begin)
    lease.release()
    require_new(back)
    with pytest.raises(DependencyDown, match=r"^database mysql.* 2013 Lost connection"):
        copy_books(server, back, cut)  # it was said of the file
    require_new(back)
    back.close()
    server.close()


class _End(Exception):
    """The copy ends here."""


@long
@few(1)
@pytest.mark.parametrize("last", [0, 1, 3, 40, 90, 111])
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def test_of_a_copy_that_ends_early_nothing_stays_and_the_next_one_is_whole(
    source: Database, tmp_path: Path, request: pytest.FixtureRequest, kind: str, last: int
) -> None:
    address = request.getfixturevalue("new_mariadb_url")() if kind == "mariadb" else ""
    target = Database(address) if address else new_file(tmp_path)
    target.upgrade()
    seen: list[Copied] = []

    def end(item: Copied) -> None:
        if len(seen) == last:
            raise _End
        seen.append(item)

    require_new(target)
    with pytest.raises(_End):
        copy_books(source, target, end)
    assert len(seen) == last
    assert sum(copied(source, target).values()) == sum(item.rows for item in count_rows(source))
    assert everything(target) == everything(source)
    target.close()


def _copy_and_die(source: str, target: str, last: int) -> None:
    seen: list[Copied] = []

    def die(item: Copied) -> None:
        if len(seen) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(item)

    copy_books(Database(source), Database(target), die)


def _copy_and_die_between_two_commits(source: str, target: str) -> None:
    usual = copying._new_archive

    @contextmanager
    def dying(*words: Any) -> Iterator[Any]:
        with usual(*words) as archive:
            yield archive
        os.kill(os.getpid(), signal.SIGKILL)

    copying._new_archive = dying
    copy_books(Database(source), Database(target), lambda item: None)


@long
def test_what_a_copy_leaves_that_is_killed_between_its_two_files_is_said_by_the_next(
    source: Database, tmp_path: Path
) -> None:
    target = new_file(tmp_path)
    words = str(source.url), str(target.url)
    process = FORKED.Process(target=_copy_and_die_between_two_commits, args=words)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(TargetNotNew, match=r"file .*copy_archive\.db, is there.*copy again"):
        require_new(target)
    archive_file(target).unlink()
    copied(source, target)
    assert said(target) == said(source)
    target.close()


@long
@pytest.mark.mariadb
def test_a_copy_that_is_killed_leaves_a_database_that_is_still_new(
    source: Database, new_mariadb_url: Callable[[], str]
) -> None:
    url = new_mariadb_url()
    target = Database(url)
    target.upgrade()
    process = FORKED.Process(target=_copy_and_die, args=(str(source.url), url, 100))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    copied(source, target)
    assert everything(target) == everything(source)
    target.close()
