"""The chain of migrations: repeatable, interruptible, careful with what is there; its partitions and triggers."""

import errno
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import delete, func, insert, inspect, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from ledger.db import Database, NewerTables
from ledger.db.engines import create
from ledger.db.own_tables import TablesChanging
from ledger.errors import BadInput, DependencyDown, ProblemFound
from ledger.migrations import revisions, runner, steps
from ledger.models import Base, HeldLease
from ledger.models.devices import Device, DeviceData, DeviceType
from ledger.models.partitions import PARTITIONED, Partitioning, partition_sql
from ledger.models.system import AuditLog
from ledger.models.vpp import VppDefinition
from tests.support.forms import long, rest
from tests.support.full import full_disk
from tests.support.interrupted import upgrade_step_by_step
from tests.support.keeping import add_device, add_plant, sale
from tests.support.mariadb import MariaDbServer
from tests.support.newer import upgraded_by_a_newer_version

LONG_ON_MARIADB = (
    "test_a_database_of_a_newer_version_is_left_alone",
    "test_a_migration_that_stops_half_way_can_be_run_again",
    "test_four_at_once_build_one_schema",
    "test_revision_by_revision_is_the_same",
    "test_rows_of_the_first_contracts_are_kept",
    "test_meters_that_have_readings_get_their_series",
    "test_attempts_get_the_nonce_of_their_intent",
    "test_a_program_whose_files_are_replaced_knows_what_it_knew",
)
CHAIN = [f"{number:04d}" for number in range(1, 43)]
DEADLINE_S = 180
THEN = datetime(2014, 7, 1, tzinfo=UTC)


@pytest.fixture
def new_db(new_url: str) -> Any:
    database = Database(new_url, lock_timeout_s=10)
    yield database
    database.close()


@pytest.fixture
def finished(request: pytest.FixtureRequest, new_url: str) -> Database:
    """A migrated database of the same kind as the new one."""
    kind = "sqlite" if new_url.startswith("sqlite") else "mariadb"
    database = request.getfixturevalue(f"{kind}_db")
    assert isinstance(database, Database)
    return database


def tables(db: Database) -> set[str]:
    with db.read() as session:
        return set(inspect(session.connection()).get_table_names())


def structure(db: Database) -> list[Any]:
    """Everything that a database says about its tables, to compare two of them."""
    with db.read() as session:
        link = session.connection()
        if db.dialect == "sqlite":
            rows = link.exec_driver_sql(
                "SELECT name, sql FROM sqlite_schema ORDER BY name"
            ).fetchall()
            return [tuple(row) for row in rows]
        names = sorted(inspect(link).get_table_names())
        created = [
            # Where rows were, the next number stays behind.
            re.sub(
                r" AUTO_INCREMENT=\d+",
                "",
                link.exec_driver_sql(f"SHOW CREATE TABLE {name}").fetchone()[1],
            )
            for name in names
        ]  # type: ignore[index]
        triggers = link.exec_driver_sql(
            "SELECT trigger_name, action_statement FROM information_schema.triggers "
            "WHERE trigger_schema = DATABASE() ORDER BY trigger_name"
        ).fetchall()
        # Where numbering stands is of the rows that were there, not of the structure.
        numbered = [re.sub(r" AUTO_INCREMENT=[0-9]+", "", sql) for sql in created]
        return [*numbered, *map(tuple, triggers)]


# ------------------------------------------------------------------ the chain


def test_the_chain_is_one_line() -> None:
    script = ScriptDirectory.from_config(runner._config())
    assert [step.revision for step in script.walk_revisions()] == CHAIN[::-1]
    assert script.get_heads() == [Database.head()] == [CHAIN[-1]]


def test_upgrade_builds_everything_and_a_second_one_nothing(new_db: Database) -> None:
    assert new_db.current() is None
    assert new_db.upgrade() == CHAIN
    assert new_db.current() == new_db.head()
    assert tables(new_db) == {*Base.metadata.tables, "alembic_version"}
    before = structure(new_db)
    assert new_db.upgrade() == []
    assert structure(new_db) == before


def test_revision_by_revision_is_the_same(new_db: Database, finished: Database) -> None:
    for revision in CHAIN:
        assert new_db.upgrade(revision) == [revision]
        assert new_db.current() == revision
    assert structure(new_db) == structure(finished)


@long
@pytest.mark.parametrize(
    ("made", "taken", "dropped"),
    [
        ("TABLE users (id INTEGER PRIMARY KEY, nickname VARCHAR(20))", "users", "TABLE users"),
        ("VIEW users AS SELECT id FROM notes", "users", "VIEW users"),
    ],
    ids=["a table", "a view"],
)
def test_tables_of_another_program_are_not_taken_for_ours(
    new_url: str, made: str, taken: str, dropped: str
) -> None:
    """On SQLite it said that the tables were of another version, and to upgrade them; MariaDB was left half-made."""
    engine = create(make_url(new_url), lock_timeout_s=10)
    try:
        with engine.begin() as link:
            link.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY)"))
            link.execute(text(f"CREATE {made}"))
        with closing(Database(new_url)) as database, pytest.raises(BadInput) as caught:
            database.upgrade()
        assert caught.value.code == "foreign-tables"
        said = f"another program under names of ours ({taken}); name a database"
        assert said in str(caught.value)
        with engine.begin() as link:
            there = inspect(link)
            assert {*there.get_table_names(), *there.get_view_names()} == {taken, "notes"}
            link.execute(text(f"DROP {dropped}"))
        with closing(Database(new_url)) as database:  # what has other names is nobody's business
            assert database.upgrade() == CHAIN
    finally:
        engine.dispose()


@long
def test_a_database_that_another_program_brings_up_to_date_is_not_of_a_newer_version(
    new_url: str,
) -> None:
    """It was said to be, and to install that: who keeps its tables by Alembic has a table of our name for it."""
    engine = create(make_url(new_url), lock_timeout_s=10)
    try:
        with engine.begin() as link:
            link.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"))
            link.execute(text("INSERT INTO alembic_version VALUES ('a1b2c3d4e5f6')"))
        with closing(Database(new_url)) as database, pytest.raises(BadInput) as caught:
            database.upgrade()
        assert caught.value.code == "foreign-tables"
        assert "that of another program, whose revision is a1b2c3d4e5f6;" in str(caught.value)
        assert inspect(engine).get_table_names() == ["alembic_version"]
    finally:
        engine.dispose()


@long
def test_names_are_those_of_the_server(new_url: str) -> None:
    """To SQLite ``Users`` is ``users``; to MariaDB on Linux it is another table, and nobody's business."""
    engine = create(make_url(new_url), lock_timeout_s=10)
    try:
        with engine.begin() as link:
            link.execute(text("CREATE TABLE Users (id INTEGER PRIMARY KEY)"))
        with closing(Database(new_url)) as database:
            if engine.dialect.name == "sqlite":
                with pytest.raises(BadInput, match=r"under names of ours \(users\)"):
                    database.upgrade()
                assert inspect(engine).get_table_names() == ["Users"]
            else:
                assert database.upgrade() == CHAIN
    finally:
        engine.dispose()


@pytest.mark.mariadb
@long
def test_a_first_upgrade_that_broke_off_goes_on(new_mariadb_url: Callable[[], str]) -> None:
    """Its tables without a revision are ours: that of the revision is made first."""
    url = new_mariadb_url()
    engine = create(make_url(url), lock_timeout_s=10)
    try:
        with closing(Database(url)) as database:
            database.upgrade(CHAIN[0])
            with engine.begin() as link:
                link.execute(text("DELETE FROM alembic_version"))
                assert "users" in inspect(link).get_table_names()
            assert database.upgrade() == CHAIN
    finally:
        engine.dispose()


@long
def test_upgrade_works_from_any_folder(tmp_path: Path) -> None:
    # No alembic.ini, no path of the repository: the revisions are found in the package.
    code = "from ledger.db import Database; d = Database('sqlite:///x.db'); d.upgrade(); print(d.current())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [CHAIN[-1]]


@long
def test_four_at_once_build_one_schema(new_url: str, finished: Database) -> None:
    start = threading.Barrier(4, timeout=DEADLINE_S)

    def upgrade() -> list[str]:
        database = Database(new_url)
        start.wait()
        try:
            return database.upgrade()
        finally:
            database.close()

    with ThreadPoolExecutor(4) as pool:
        done = [future.result(DEADLINE_S) for future in [pool.submit(upgrade) for _ in range(4)]]
    assert sorted(done) == [[], [], [], CHAIN]
    built = Database(new_url)
    assert structure(built) == structure(finished)
    built.close()


@long
@pytest.mark.parametrize("stop_at", rest([3, 40]))
def test_a_migration_that_stops_half_way_can_be_run_again(
    new_db: Database, finished: Database, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    calls = []
    whole = steps.op.create_index

    def stopping(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == stop_at:
            raise RuntimeError("the power is gone")
        return whole(*args, **kwargs)

    monkeypatch.setattr(steps.op, "create_index", stopping)
    with pytest.raises(RuntimeError, match="the power is gone"):
        new_db.upgrade()
    if new_db.dialect == "sqlite":
        assert tables(new_db) == set()  # one transaction
    else:
        assert "users" in tables(new_db)
    monkeypatch.undo()
    new_db.upgrade()
    assert structure(new_db) == structure(finished)


def test_a_database_of_a_newer_version_is_left_alone(db: Database) -> None:
    """By who upgrades, and by a program that ran when a newer one did: it wrote on, by rules of its own."""
    passes: list[int] = []

    def work(session: Session) -> None:
        passes.append(1)
        session.add(AuditLog(action="a", resource="r"))

    with db.read() as session:
        before = session.scalar(select(func.count()).select_from(AuditLog))
    note = insert(HeldLease).values(
        name="n", holder="h", place="p", process=None, taken_ms=0, until_ms=0, told={}
    )
    with upgraded_by_a_newer_version(db):
        with pytest.raises(ProblemFound, match="9999, which this version does not know"):
            db.upgrade()
        said = f"revision 9999, this program knows them up to {db.head()}: a newer version"
        for write in (
            lambda: db.run(work),
            lambda: db.run(work, lasting=False),
            lambda: db.alone(note),
        ):
            with pytest.raises(NewerTables, match=said):
                write()
        with db.read() as session:
            assert session.scalar(select(func.count()).select_from(AuditLog)) == before
            assert session.scalar(select(func.count()).select_from(HeldLease)) == 0
    assert passes == []
    db.run(work)
    assert db.alone(note) == 1


def test_a_program_whose_files_are_replaced_knows_what_it_knew(
    db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A newer version is installed over one that runs: what lies in its folder now is not what it is."""
    (tmp_path / "9999_newer.py").touch()
    monkeypatch.setattr(revisions, "_VERSIONS", tmp_path)
    assert (revisions.known("9999"), revisions.head()) == (False, db.head())


@long
def test_migrations_that_cannot_be_listed_are_not_taken_for_none(
    new_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no more files could be opened, nothing was left to do, and empty books passed for upgraded ones."""
    listed = os.scandir

    def scandir(place: Any) -> Any:
        if Path(place).name == "versions":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(place))
        return listed(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        with pytest.raises(DependencyDown, match=r"cannot be listed: .*`ulimit -n`"):
            new_db.upgrade()
    assert new_db.current() is None
    assert new_db.upgrade() == CHAIN


@pytest.mark.mariadb
def test_nobody_writes_while_the_tables_are_upgraded(mariadb_db: Database) -> None:
    """MariaDB commits each step: a row of the old form would be written behind the step that changed the others."""
    with mariadb_db.server() as other:
        name = runner.lock_name(other)
        assert other.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (name,)).scalar_one() == 1
        tries: list[int] = []
        with pytest.raises(TablesChanging, match="upgrades its tables") as refused:
            mariadb_db.run(lambda _session: tries.append(1))
        assert (refused.value.code, tries) == ("database-busy", [])
        assert mariadb_db.upgrade() == []  # nothing is to be done: it waits for nobody
        other.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (name,))
        with mariadb_db.write():
            pass


@long
@pytest.mark.mariadb
def test_the_newest_migrations_can_be_interrupted_before_every_statement(
    new_mariadb_url: Callable[[], str], mariadb_db: Database
) -> None:
    """All of them are in ``./dev migrations``."""
    database = Database(new_mariadb_url(), lock_timeout_s=10)
    database.upgrade(CHAIN[-4])
    with database.write() as session:
        session.add(AuditLog(id=7, action="a", resource="r"))
    for revision in CHAIN[-3:]:
        assert upgrade_step_by_step(database, revision) > 0
    assert structure(database) == structure(mariadb_db)
    database.close()


@pytest.mark.mariadb
def test_an_interruption_is_one_and_a_step_that_cannot_be_repeated_is_found(
    new_mariadb_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(new_mariadb_url(), lock_timeout_s=10)
    whole = steps.op.create_table

    def not_again(*args: Any, if_not_exists: bool, **options: Any) -> None:
        whole(*args, **options)

    monkeypatch.setattr(steps.op, "create_table", not_again)
    with pytest.raises(DBAPIError, match="already exists"):
        upgrade_step_by_step(database, "0001")
    database.close()


@pytest.mark.mariadb
def test_a_migration_waits_for_another_and_then_says_so(
    new_mariadb_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(new_mariadb_url())
    monkeypatch.setattr(runner, "LOCK_WAIT_S", 0)
    with database.write() as session:
        taken = session.execute(
            text("SELECT GET_LOCK(:name, 0)"), {"name": runner.lock_name(session.connection())}
        )
        assert taken.scalar_one() == 1
        with pytest.raises(DependencyDown, match="another process is migrating"):
            database.upgrade()
        session.execute(text("SELECT RELEASE_ALL_LOCKS()"))
    # By connections that stay open: the server notices some time after the end of one that it has ended.
    assert runner.upgrade(database._engine, CHAIN[0]) == [CHAIN[0]]
    with database.write():
        pass
    database.close()


@long
@pytest.mark.mariadb
def test_a_migration_whose_connection_is_lost_says_so_and_goes_on(
    new_mariadb_url: Callable[[], str],
    mariadb_server: MariaDbServer,
    mariadb_db: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = Database(new_mariadb_url(), lock_timeout_s=10)
    whole = steps.op.create_index

    def losing(*args: Any, **kwargs: Any) -> Any:
        number = steps.op.get_bind().exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
        mariadb_server.execute(f"KILL {number}")
        return whole(*args, **kwargs)

    monkeypatch.setattr(steps.op, "create_index", losing)
    with pytest.raises(DependencyDown, match="start the server") as raised:
        database.upgrade()
    assert raised.value.code == "database-down"
    monkeypatch.undo()
    database.upgrade()
    assert structure(database) == structure(mariadb_db)
    database.close()


# ------------------------------------------------------------------ SQLite's copy and check


def test_a_file_is_copied_before_it_is_changed(tmp_path: Path) -> None:
    file = tmp_path / "books.db"
    database = Database(f"sqlite:///{file}")
    database.upgrade("0008")
    assert list(tmp_path.glob("*.before-*")) == []  # there was nothing to lose
    with database.write() as session:
        session.add(DeviceType(type_name="kept", category="c"))
        session.flush()
    copy = tmp_path / "books.db.before-0008"
    copy.write_bytes(b"of before")
    file.chmod(0o600)
    with full_disk(100_000), pytest.raises(DependencyDown, match=r"before-0008: .* has room for"):
        database.upgrade()
    assert (database.current(), copy.read_bytes()) == ("0008", b"of before")
    assert list(tmp_path.glob(".*")) == []
    # The row may still stand in the write-ahead log alone: it belongs to the copy.
    assert database.upgrade() == CHAIN[8:]
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as link:
        assert link.execute("SELECT version_num FROM alembic_version").fetchall() == [("0008",)]
        assert link.execute("SELECT type_name FROM device_types").fetchall() == [("kept",)]
    database.close()


@long
def test_rows_without_their_parent_stop_a_migration_of_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "books.db"
    database = Database(f"sqlite:///{file}")
    database.upgrade("0008")
    with closing(sqlite3.connect(file)) as link:  # foreign keys are off here
        link.execute(
            "INSERT INTO user_permissions (user_id, resource, action, granted, created_at) "
            "VALUES (7, 'r', 'a', 1, '2026-01-01 00:00:00.000000')"
        )
        link.commit()
    with pytest.raises(
        ProblemFound, match=r"row 1 of user_permissions \(to users\).*nothing was changed"
    ):
        database.upgrade()
    assert database.current() == "0008"
    with database.read() as session:
        count = session.execute(text("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'trigger'"))
        assert count.scalar_one() == 0
    database.close()


def test_a_table_of_sqlite_that_is_rebuilt_keeps_its_children(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        session.execute(
            text("CREATE TABLE child (id INTEGER REFERENCES device_types ON DELETE CASCADE)")
        )
        session.add(DeviceType(id=1, type_name="parent", category="c"))
        session.flush()
        session.execute(text("INSERT INTO child VALUES (1)"))
    engine = create(sqlite_db.url, lock_timeout_s=5, migration=True)
    with engine.begin() as link:  # what a batch operation of Alembic does
        link.exec_driver_sql("CREATE TABLE copy AS SELECT * FROM device_types")
        link.exec_driver_sql("DROP TABLE device_types")
        link.exec_driver_sql("ALTER TABLE copy RENAME TO device_types")
    engine.dispose()
    with sqlite_db.read() as session:
        assert session.execute(text("SELECT COUNT(*) FROM child")).scalar_one() == 1


# ------------------------------------------------------------------ partitions


def datum(device_id: int, at: datetime) -> DeviceData:
    return DeviceData(device_id=device_id, metric_name="power", value=Decimal(1), recorded_at=at)


def test_the_first_partitions_are_one_for_the_past_and_several_ahead() -> None:
    yearly = Partitioning("trades", "at", months=12, ahead=2)
    assert partition_sql(yearly, date(2026, 11, 24)) == (
        "ALTER TABLE trades DROP PRIMARY KEY, ADD PRIMARY KEY (id, at) PARTITION BY RANGE COLUMNS (at) ("
        "PARTITION pbefore VALUES LESS THAN ('2026-01-01'), "
        "PARTITION p2026 VALUES LESS THAN ('2027-01-01'), "
        "PARTITION p2027 VALUES LESS THAN ('2028-01-01'), "
        "PARTITION p2028 VALUES LESS THAN ('2029-01-01'), "
        "PARTITION pmax VALUES LESS THAN (MAXVALUE))"
    )
    monthly = partition_sql(Partitioning("data", "at", months=1, ahead=1), date(2026, 2, 28))
    assert monthly.endswith(
        "(PARTITION pbefore VALUES LESS THAN ('2026-01-01'), "
        "PARTITION p202601 VALUES LESS THAN ('2026-02-01'), "
        "PARTITION p202602 VALUES LESS THAN ('2026-03-01'), "
        "PARTITION p202603 VALUES LESS THAN ('2026-04-01'), "
        "PARTITION pmax VALUES LESS THAN (MAXVALUE))"
    )
    assert "p202612 VALUES LESS THAN ('2027-01-01')" in partition_sql(
        Partitioning("data", "at", months=1, ahead=6), date(2026, 12, 31)
    )


def rows_by_partition(db: Database, table: str) -> dict[str, int]:
    with db.read() as session:
        link = session.connection()
        names = link.exec_driver_sql(
            "SELECT partition_name FROM information_schema.partitions "
            f"WHERE table_schema = DATABASE() AND table_name = '{table}' ORDER BY partition_ordinal_position"
        ).scalars()
        return {
            name: link.exec_driver_sql(
                f"SELECT COUNT(*) FROM {table} PARTITION ({name})"
            ).scalar_one()
            for name in names
        }


@pytest.fixture
def partitioned(new_mariadb_url: Callable[[], str]) -> Any:
    database = Database(new_mariadb_url(), lock_timeout_s=10)
    database.upgrade()
    yield database
    database.close()


@pytest.mark.mariadb
def test_partitions_are_kept_ahead_and_rows_find_theirs(partitioned: Database) -> None:
    today = datetime.now(UTC).date()
    reports = partitioned.ensure_partitions(today)
    assert [(report.table, report.added, report.stray_rows) for report in reports] == [
        ("device_data", (), 0),
        ("vpp_trading_records", (), 0),
    ]
    year = today.year
    number = add_device(partitioned)
    with partitioned.write() as session:
        for at in (
            THEN,
            datetime(year, 1, 1, tzinfo=UTC),
            datetime(year, 1, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(year, 2, 1, tzinfo=UTC),
            datetime(year + 2, 2, 28, tzinfo=UTC),
        ):
            session.add(datum(number, at))
    found = rows_by_partition(partitioned, "device_data")
    assert {name: count for name, count in found.items() if count} == {
        "pbefore": 1,
        f"p{year}01": 2,
        f"p{year}02": 1,
        "pmax": 1,
    }

    # Two years later: the row that no partition covered is an alarm, and moves to its own.
    later = date(year + 2, 3, 15)
    data, trades = partitioned.ensure_partitions(later)
    assert data.stray_rows == 1
    assert data.added[-7:] == tuple(f"p{year + 2}{month:02d}" for month in (3, 4, 5, 6, 7, 8, 9))
    assert trades.added == (f"p{year + 4}", f"p{year + 5}")
    found = rows_by_partition(partitioned, "device_data")
    assert found[f"p{year + 2}02"] == 1
    assert found["pmax"] == 0
    assert sum(found.values()) == 5
    assert all(report.added == () for report in partitioned.ensure_partitions(later))


@long
@pytest.mark.mariadb
def test_partitions_are_added_once_by_two_at_once(partitioned: Database) -> None:
    later = date(datetime.now(UTC).year + 3, 1, 1)
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(partitioned.ensure_partitions, later) for _ in range(2)]
        reports = [future.result(DEADLINE_S) for future in done]
    added = [[len(report.added) for report in each] for each in reports]
    assert sorted(bool(sum(each)) for each in added) == [False, True]


def test_sqlite_has_no_partitions(sqlite_db: Database) -> None:
    assert sqlite_db.ensure_partitions(date(2030, 1, 1)) == []


@long
@pytest.mark.mariadb
def test_the_mapper_finds_a_partitioned_row_by_its_number(mariadb_db: Database) -> None:
    number = add_device(mariadb_db)
    with mariadb_db.write() as session:
        row = datum(number, THEN)
        session.add(row)
        session.flush()
        kept = row.id
    with mariadb_db.write() as session:
        found = session.get(DeviceData, kept)
        assert found is not None
        found.unit = "kW"
    with mariadb_db.read() as session:
        assert session.scalars(select(DeviceData.unit)).one() == "kW"


# ------------------------------------------------------------------ triggers


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_logs SET action = 'other'",
        "DELETE FROM audit_logs",
        "REPLACE INTO audit_logs (id, action, resource, created_at) VALUES (1, 'b', 'r', '2026-01-01')",
    ],
)
def test_the_audit_log_only_grows(db: Database, change: str) -> None:
    with db.write() as session:
        session.add(AuditLog(id=1, action="a", resource="r"))
    with pytest.raises(DBAPIError, match="audit_logs is append-only"), db.write() as session:
        session.execute(text(change))
    with db.read() as session:
        assert session.scalars(select(AuditLog.action)).all() == ["a"]


@pytest.mark.parametrize(
    "change", ["UPDATE emission_factors SET value = '1'", "DELETE FROM emission_factors"]
)
def test_a_published_factor_is_never_changed(db: Database, change: str) -> None:
    with db.write() as session:
        session.execute(
            text(
                "INSERT INTO emission_factors "
                "(code, version, purpose, value, unit, source, verified, content_sha256, created_at) "
                f"VALUES ('F', '1', 'crediting_cm', '0.4329', 't/MWh', 's', 1, '{'0' * 64}', '2026-01-01')"
            )
        )
    with pytest.raises(DBAPIError, match="emission_factors is append-only"), db.write() as session:
        session.execute(text(change))


def test_a_device_with_data_is_never_deleted(db: Database) -> None:
    number = add_device(db)
    with db.write() as session:
        session.add(datum(number, THEN))
    with pytest.raises(IntegrityError), db.write() as session:
        session.execute(delete(Device))
    with db.write() as session:
        session.execute(delete(DeviceData))
        session.execute(delete(Device))
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Device)) == 0


def test_a_plant_with_trades_is_never_deleted(db: Database) -> None:
    with db.write() as session:
        session.add(sale(add_plant(session), THEN))
    with pytest.raises(IntegrityError), db.write() as session:
        session.execute(delete(VppDefinition))


@pytest.mark.mariadb
def test_a_device_is_not_deleted_under_data_that_is_about_to_come(mariadb_db: Database) -> None:
    number = add_device(mariadb_db)
    written, deleting = threading.Event(), threading.Event()

    def insert() -> None:
        with mariadb_db.write() as session:
            session.add(datum(number, THEN))
            session.flush()
            written.set()
            assert deleting.wait(DEADLINE_S)
            threading.Event().wait(0.3)  # the deletion is on its way, and must wait for us

    def remove(session: Session) -> None:
        deleting.set()
        session.execute(delete(Device))

    with ThreadPoolExecutor(1) as pool:
        inserting = pool.submit(insert)
        assert written.wait(DEADLINE_S)
        with pytest.raises(IntegrityError, match="cannot be deleted"):
            mariadb_db.run(remove)
        inserting.result(DEADLINE_S)
    with mariadb_db.read() as session:
        orphans = text(
            "SELECT COUNT(*) FROM device_data WHERE device_id NOT IN (SELECT id FROM devices)"
        )
        assert session.execute(orphans).scalar_one() == 0
        assert session.scalar(select(func.count()).select_from(DeviceData)) == 1


def test_the_number_of_a_trade_is_never_given_out_again(db: Database) -> None:
    with db.write() as session:
        plant = add_plant(session)
        first = sale(plant, THEN)
        session.add(first)
        session.flush()
        session.delete(first)
        session.flush()
        second = sale(plant, THEN)
        session.add(second)
        session.flush()
        assert second.id == first.id + 1


def test_every_partitioned_table_is_in_the_metadata() -> None:
    for partitioning in PARTITIONED:
        assert partitioning.column in Base.metadata.tables[partitioning.table].columns


# ------------------------------------------------------------------ the complete contracts

_H, _A = "0x" + "ab" * 32, "0x" + "cd" * 20
OLD_ROWS = (
    f"INSERT INTO credit_classes VALUES (1, 'c', '{_H}', 5000, 3)",
    "INSERT INTO credit_sites VALUES (7, 1, 's', 3)",
    "INSERT INTO credit_sites VALUES (8, 1, 't', 3)",
    *(
        f"INSERT INTO credit_batches VALUES ({number}, '0x{number:064x}', 7, {number}, 2014, '{_A}', 9, 1, 0, "
        f"{start}, {end}, '{_H}', 9, '{_H}', '{_H}', '{_A}', '{_A}', 'suspended', 4, 0, '{_H}', "
        "'2026-01-01 00:00:00.000000')"
        for number, start, end in ((1, 100, 200), (2, 200, 300), (3, 450, 500))
    ),
    f"INSERT INTO credit_retirements VALUES (1, '{_H}', 1, '{_A}', 1, 1, 'b', 'r', 'DE', 0, 0, '{_H}', 5, 0, "
    f"'{_H}', '2026-01-01 00:00:00.000000')",
    f"INSERT INTO settlement_movements VALUES (6, 0, 0, '{_A}', 'deposit', 77, NULL, '{_H}')",
    f"INSERT INTO settlement_balances VALUES ('{_A}', 77)",
)


@long
@pytest.mark.parametrize("stops", rest([True, False]))
def test_rows_of_the_first_contracts_are_kept(
    new_db: Database, finished: Database, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    new_db.upgrade("0009")
    with new_db.write() as session:
        for sql in OLD_ROWS:
            session.execute(text(sql.replace(":00", r"\:00")))
    if stops:  # when the fourth table has its rows, and the old one is still there
        dropped: list[str] = []
        whole = steps.op.drop_table

        def stopping(name: str) -> None:
            dropped.append(name)
            if len(dropped) == 4:
                raise RuntimeError("the power is gone")
            whole(name)

        monkeypatch.setattr(steps.op, "drop_table", stopping)
        with pytest.raises(RuntimeError, match="the power is gone"):
            new_db.upgrade()
        monkeypatch.undo()
    assert new_db.upgrade() == CHAIN[9:]
    assert structure(new_db) == structure(finished)

    def found(columns: str, table: str) -> list[tuple[Any, ...]]:
        with new_db.read() as session:
            rows = session.execute(text(f"SELECT {columns} FROM {table} ORDER BY 1")).all()
        return [tuple(str(value) for value in row) for row in rows]

    assert found("class_id, buffer_bps, block_number", "credit_classes") == [("1", "0", "3")]
    assert found("site_id, code, minted_until_s", "credit_sites") == [
        ("7", "s", "500"),
        ("8", "t", "0"),
    ]
    columns = "batch_id, gap_start_s, period_start_s, expires_at_s, buffered_kg, deficit_kg, status"
    assert found(columns, "credit_batches") == [
        ("1", "0", "100", "0", "0", "None", "suspended"),
        ("2", "200", "200", "0", "0", "None", "suspended"),
        ("3", "300", "450", "0", "0", "None", "suspended"),
    ]
    assert found("retirement_id, replaced_batch_id, reason, country", "credit_retirements") == [
        ("1", "None", "r", "DE")
    ]
    assert found("account, asset, amount", "settlement_movements") == [(_A, "0", "77")]
    assert found("account, asset, balance", "settlement_balances") == [(_A, "0", "77")]


# ------------------------------------------------------------------ series of readings

_NOW = "'2026-01-01 00:00:00.000000'"
READINGS_BEFORE = (
    f"INSERT INTO device_types (id, type_name, category, created_at) VALUES (1, 't', 'c', {_NOW})",
    *(
        "INSERT INTO devices (id, device_id, name, type, status, created_at, updated_at) "
        f"VALUES ({n}, 'D{n}', 'd', 't', 'offline', {_NOW}, {_NOW})"
        for n in (1, 2)
    ),
    "INSERT INTO sites (id, code, name, time_zone, country, created_at, updated_at) "
    f"VALUES (1, 's', 's', 'UTC', 'FR', {_NOW}, {_NOW})",
    *(
        "INSERT INTO meters (id, site_id, device_id, serial, role, calibrated, created_at) "
        f"VALUES ({n}, 1, {n}, 'm{n}', 'generation', 1, {_NOW})"
        for n in (1, 2)
    ),
    "INSERT INTO meter_sources (id, site_id, name, kind, unit, interval_minutes, label, time_column, "
    "value_column, time_zone, created_at, updated_at) "
    f"VALUES (5, 1, 'x', 'power', 'W', 15, 'start', 't', 'v', 'offset', {_NOW}, {_NOW})",
    "INSERT INTO import_files (id, source_id, file_name, file_sha256, rows_read, rows_new, "
    "rows_unchanged, rows_conflict, rows_rejected, imported_at) "
    f"VALUES (3, 5, 'f', '{'ab' * 32}', 2, 2, 0, 0, 0, {_NOW})",
    *(
        "INSERT INTO meter_readings (meter_id, start_s, duration_s, kind, text, unit, value_digits, "
        "value_scale, quality, conflict, file_id, line) "
        f"VALUES (1, {start}, 900, 'power', '1', 'W', 1, 3, 'used', 0, 3, 2)"
        for start in (0, 900)
    ),
)


@long
def test_meters_that_have_readings_get_their_series(new_db: Database, finished: Database) -> None:
    new_db.upgrade("0010")
    with new_db.write() as session:
        for sql in READINGS_BEFORE:
            session.execute(text(sql.replace(":00", r"\:00")))
    assert new_db.upgrade("0011") == ["0011"]
    with new_db.read() as session:
        found = session.execute(
            text("SELECT meter_id, source_id, kind, unit, interval_s FROM meter_series")
        ).all()
    assert [tuple(row) for row in found] == [(1, 5, "power", "W", 900)]
    new_db.upgrade()
    assert structure(new_db) == structure(finished)


# --------------------------------------------------------------------------- the sender

SENT = (
    "INSERT INTO chain_intents (`key`, chain_id, kind, contract_address, function_name, parameters, call_data, "
    "sender_address, nonce, state, created_at) "
    f"VALUES ('0x{{n:064x}}', 1, 'k', '0x{'a' * 40}', 'f', '{{{{}}}}', '0x', '0x{'b' * 40}', {{n}}, 'submitted', "
    f"{_NOW})",
    "INSERT INTO chain_attempts (tx_hash, intent_key, ordinal, raw_transaction, max_fee_wei, priority_fee_wei, "
    f"created_at) VALUES ('0x{{n:063x}}f', '0x{{n:064x}}', 1, '0x', 1, 1, {_NOW})",
)


@long
def test_attempts_get_the_nonce_of_their_intent(new_db: Database, finished: Database) -> None:
    new_db.upgrade("0016")
    with new_db.write() as session:
        for number in (7, 8):
            for sql in SENT:
                session.execute(text(sql.format(n=number).replace(":00", r"\:00")))
    assert new_db.upgrade("0017") == ["0017"]
    with new_db.read() as session:
        found = session.execute(
            text("SELECT intent_key, nonce FROM chain_attempts ORDER BY nonce")
        ).all()
    assert [(int(key, 16), nonce) for key, nonce in found] == [(7, 7), (8, 8)]
    new_db.upgrade()
    assert structure(new_db) == structure(finished)


# ------------------------------------------------------------------ more choices for a column


def test_rows_stay_and_columns_of_choices_hold_more(new_db: Database) -> None:
    new_db.upgrade("0010")
    at = "2026-01-01 00:00:00.000000"
    site = "INSERT INTO sites (id, code, name, time_zone, country, created_at, updated_at) VALUES "
    sql = [
        site + f"(1, 's', 's', 'UTC', 'FR', '{at}', '{at}')",
        "INSERT INTO meter_sources (id, site_id, name, kind, unit, interval_minutes, label, "
        "time_column, value_column, time_zone, created_at, updated_at) "
        f"VALUES (1, 1, 'a', 'power', 'kW', 10, 'start', 't', 'v', 'UTC', '{at}', '{at}')",
    ]
    hashes = [f"0x{number * 7919 % 251:064x}" for number in range(4)]  # in no order
    for number, tx_hash in enumerate(hashes):
        sql += [
            "INSERT INTO blockchain_transactions (tx_hash, status, created_at) "
            f"VALUES ('{tx_hash}', 'pending', '{at}')",
            "INSERT INTO chain_inclusions (tx_hash, block_number, block_hash, tx_index, sender, nonce, error) "
            f"VALUES ('{tx_hash}', {5 - number // 2}, '0x{5:064x}', {number % 2}, '0x{1:040x}', {number}, 'e{number}')",
        ]
    with new_db.write() as session:
        for line in sql:
            session.execute(text(line.replace(":00", r"\:00")))
    new_db.upgrade()
    with new_db.write() as session:
        kinds = session.execute(text("SELECT kind FROM meter_sources")).scalars().all()
        assert kinds == ["power"]
        query = "SELECT tx_hash, block_number, tx_index, error FROM chain_inclusions ORDER BY nonce"
        assert [tuple(row) for row in session.execute(text(query))] == [
            (hashes[0], 5, 0, "e0"),
            (hashes[1], 5, 1, "e1"),
            (hashes[2], 4, 0, "e2"),
            (hashes[3], 4, 1, "e3"),
        ]
        session.execute(text("UPDATE meter_sources SET kind = 'fuel'"))
        if new_db.dialect == "sqlite":
            assert session.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    with pytest.raises(DBAPIError), new_db.write() as session:
        session.execute(text("UPDATE meter_sources SET kind = 'wood'"))


# ------------------------------------------------------------------ withdrawals are numbered


@long
def test_withdrawals_stay_and_get_their_number_and_nobody_changes_them(new_db: Database) -> None:
    new_db.upgrade("0041")
    at = "2026-01-01 00:00:00.000000"
    insert = "INSERT INTO {} (reading_id, {}reason, {}) VALUES (7, {}'a slip', '" + at + "')"
    with new_db.write() as session:
        sql = insert.format("reading_withdrawals", "", "withdrawn_at", "")
        session.execute(text(sql.replace(":00", r"\:00")))
    new_db.upgrade()
    with new_db.write() as session:
        for table, column, turn in (
            ("reading_withdrawals", "withdrawn_at", "2, "),
            ("reading_restorations", "restored_at", "1, "),
        ):
            sql = insert.format(table, "turn, ", column, turn)
            session.execute(text(sql.replace(":00", r"\:00")))
        query = "SELECT reading_id, turn, reason FROM reading_withdrawals ORDER BY turn"
        assert [tuple(row) for row in session.execute(text(query))] == [
            (7, 1, "a slip"),
            (7, 2, "a slip"),
        ]
    for table in ("reading_withdrawals", "reading_restorations"):
        for change in (f"UPDATE {table} SET reason = 'b'", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match="append-only"), new_db.write() as session:
                session.execute(text(change))
