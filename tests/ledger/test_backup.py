"""Backups of a real MariaDB: any moment comes back, whatever the server does meanwhile and whoever is killed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from cli.backup import show_statements
from cli.command import Invocation
from cli.main import run
from cli.output import Output
from ledger.backup import mariadb, tools
from ledger.backup.binlog import Statement, statements
from ledger.backup.checks import TablesMoved, mariadb_tables
from ledger.backup.drill import Finding, drill, last_report
from ledger.backup.manifest import Kind, Manifest
from ledger.backup.mariadb import NeedsFull
from ledger.backup.planning import Wanted, plan
from ledger.backup.restoring import restore
from ledger.backup.server import PrivateServer
from ledger.backup.store import Store
from ledger.backup.stream import BackupDamaged
from ledger.backup.taking import expired, follow, require_base, take
from ledger.backup.tools import ToolFailed
from ledger.db import Database
from ledger.db.gtid import Gtid
from ledger.errors import BadInput, DependencyDown, NotFound, Refused
from ledger.models.partitions import alone
from tests.support.backups import (
    DATABASE,
    PAGES,
    LoggingServer,
    key_file,
    logging_server,
    restored,
    rows,
    served,
    store,
)
from tests.support.forms import long, rest

pytestmark = pytest.mark.mariadb
ROOT = Path(__file__).resolve().parents[2]
ALL = f"SELECT * FROM {DATABASE}.t ORDER BY id"
HELD_WITHIN_S = 180.0
"""Only what never comes takes so long."""


@pytest.fixture(scope="module")
def shared() -> Iterator[LoggingServer]:
    with tempfile.TemporaryDirectory(prefix="mariadb-") as folder:
        server = logging_server(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def source(shared: LoggingServer) -> LoggingServer:
    shared.renew()
    shared(
        f"CREATE TABLE {DATABASE}.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(80), n DECIMAL(20,6))",
        f"INSERT INTO {DATABASE}.t (v, n) VALUES ('an', 1.5), ('énergie', -2), ('能', NULL)",
    )
    return shared


def environ_of(source: LoggingServer, home: Path, folder: Store) -> dict[str, str]:
    """Return the environment of a command that keeps this server's backups in the folder."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TRUETONNE_HOME": str(home),
        "TRUETONNE_DATABASE_URL": source.server.url(DATABASE),
        "TRUETONNE_BACKUP_FOLDER": str(folder.folder),
        "TRUETONNE_BACKUP_KEY_FILE": str(home / "key"),
    }


def now() -> datetime:
    return datetime.now(UTC)


def programs_at(folder: Path) -> dict[int, str]:
    """Return the command lines that name a folder, by the number of their process."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found[int(file.parent.name)] = os.fsdecode(file.read_bytes().replace(b"\0", b" "))
    return {number: line for number, line in found.items() if str(folder) in line}


def nothing(_db: Database) -> Finding:
    return Finding("reconcile", skipped="no chain here")


def kept(folder: Store) -> list[Manifest]:
    return folder.items()


@long
def test_what_the_log_has_of_after_a_copy_is_not_left_out_unsaid(
    source: LoggingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is kept while a copy is made, beyond its moment; then the server and whoever takes the copy are lost."""
    folder = store(tmp_path / "backups")
    (first,) = take(source.db, folder, Kind.FULL, now())
    pieces: list[Manifest] = []
    compared = mariadb.mariadb_tables

    def meanwhile(*arguments: Any) -> Any:
        for _ in range(2):
            source(f"INSERT INTO {DATABASE}.t (v) VALUES ('later')")
            pieces.extend(follow(source.db, folder))
        return compared(*arguments)

    monkeypatch.setattr(mariadb, "mariadb_tables", meanwhile)
    source(f"INSERT INTO {DATABASE}.t (v) VALUES ('before')")
    with folder.alone("copies", Kind.FULL):
        copy = mariadb.take(source.db, folder, Kind.FULL, None, now())
    with pytest.raises(BackupDamaged, match=f"is missing, before that of {pieces[0].id}"):
        plan(kept(folder), Wanted())
    assert plan(kept(folder), Wanted(backup=copy.id)).logs == ()
    assert plan(kept(folder), Wanted(until=copy.at)).chain == (first,)
    monkeypatch.undo()
    assert expired(kept(folder), 1, now() + timedelta(days=3)) == [first]
    follow(source.db, folder)
    assert plan(kept(folder), Wanted()).logs[-1].stop == pieces[-1].stop


def stated(folder: Store) -> list[Statement]:
    """Return the statements of all binary logs in a folder."""
    return [found for item in kept(folder) for found in stated_in(folder, item)]


def stated_in(folder: Store, item: Manifest) -> list[Statement]:
    """Return the statements of the binary logs of an item."""
    parts = (part for part in item.parts if "log" in part.name)
    return [found for part in parts for found in statements(folder.open(item, part))]


@contextmanager
def partitions_kept(source: LoggingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See that nobody may change partitions while a copy is made, and its tables are read."""
    seen = []

    def held(work: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any) -> Any:
            refused = pytest.raises(DependencyDown, match="or takes a backup")
            with source.owner.changing() as link, refused, alone(link, 0):
                pass
            seen.append(work)
            return work(*arguments)

        return done

    for name in ("_copy", "mariadb_tables"):
        monkeypatch.setattr(mariadb, name, held(getattr(mariadb, name)))
    yield
    monkeypatch.undo()
    assert len(seen) == 2


def test_to_just_before_a_drop(
    source: LoggingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full, changes, incremental, changes, a fetched log, changes, DROP, changes: each moment comes back.

    So do accounts that were made and changed meanwhile, as after each upgrade; ours, which restores, goes again.
    """
    folder = store(tmp_path / "backups")
    source(
        "INSTALL SONAME 'simple_password_check'"
    )  # a rule for passwords that ends before these are set
    with partitions_kept(source, monkeypatch):
        take(source.db, folder, Kind.FULL, now())
    # Partitions that change places while they are copied are not whole in the copy, and nothing says so.
    monkeypatch.setattr(mariadb, "_PARTITIONS_WAIT_S", 0)
    changing = pytest.raises(DependencyDown, match="changes partitions")
    with source.owner.changing() as link, alone(link, 0), changing:
        take(source.db, folder, Kind.INCREMENTAL, now())
    monkeypatch.undo()
    assert [item.kind for item in kept(folder)] == [Kind.FULL]
    source(f"INSERT INTO {DATABASE}.t (v) SELECT CONCAT('b', seq) FROM {DATABASE}.seq_1_to_5000")
    take(source.db, folder, Kind.INCREMENTAL, now())
    at_incremental = source(ALL)
    source(
        "UNINSTALL SONAME 'simple_password_check'",
        "CREATE OR REPLACE USER clerk@localhost IDENTIFIED BY 'x'",
        f"GRANT SELECT ON {DATABASE}.* TO clerk@localhost",
        "SET PASSWORD FOR clerk@localhost = PASSWORD('y')",
    )
    source(f"UPDATE {DATABASE}.t SET n = id / 7 WHERE id > 100", "FLUSH BINARY LOGS")
    assert [item.kind for item in follow(source.db, folder)] == [Kind.BINLOG]
    source(
        f"DELETE FROM {DATABASE}.t WHERE id % 5 = 0", f"INSERT INTO {DATABASE}.t (v) VALUES ('z')"
    )
    accounts = "SELECT user, host FROM mysql.user"
    before_drop, accounts_before = source(ALL), set(source(accounts))
    grants_before = source("SHOW GRANTS FOR clerk@localhost")
    source(f"DROP TABLE {DATABASE}.t", f"CREATE TABLE {DATABASE}.after (id INT)")
    source("DROP USER clerk@localhost")
    assert follow(source.db, folder)
    assert follow(source.db, folder) == []  # it has not grown
    assert sorted(item.kind.value for item in kept(folder)) == [
        *["binlog"] * 3,
        "full",
        "incremental",
    ]

    said = stated(folder)
    (gtid,) = {item.gtid for item in said if item.text.startswith("DROP TABLE")}
    # MariaDB's log has passwords as they were typed; they are shown to nobody.
    accounts_made = {"CREATE OR REPLACE USER clerk@localhost IDENTIFIED ...", "SET PASSWORD ..."}
    assert accounts_made == {item.text for item in said if re.match("CREATE.* USER|SET", item.text)}

    wanted = Wanted(before=gtid)
    assert restore(folder, plan(kept(folder), wanted), tmp_path / "before").gtid == (
        f"0-1-{gtid.number - 1}"
    )
    with restored(tmp_path / "before") as ask:
        assert ask(ALL) == before_drop
        there = set(ask(accounts))
        assert there >= accounts_before and len(there - accounts_before) == 1  # of this server
        assert ask("SHOW GRANTS FOR clerk@localhost") == grants_before
        assert ask(f"SHOW TABLES FROM {DATABASE}") == (("t",),)

    copy = [item for item in kept(folder) if item.kind is Kind.INCREMENTAL][-1]
    restore(folder, plan(kept(folder), Wanted(backup=copy.id)), tmp_path / "exact")
    with restored(tmp_path / "exact") as ask:
        assert ask(ALL) == at_incremental

    # The newest copy is lost: the full one and the logs alone lead to the same moment.
    without = [item for item in kept(folder) if item.id != copy.id]
    restore(folder, plan(without, wanted), tmp_path / "around")
    with restored(tmp_path / "around") as ask:
        assert ask(ALL) == before_drop
    with pytest.raises(Refused, match="holds something"):
        restore(folder, plan(kept(folder), Wanted()), tmp_path / "before")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "around",
        "backups",
        "before",
        "exact",
    ]
    _one_damaged_item_hides_no_other(source, folder, tmp_path)


def _one_damaged_item_hides_no_other(source: LoggingServer, folder: Store, home: Path) -> None:
    """The command shows the statements of the logs that can be read, and names what cannot."""
    key_file(home / "key")
    stated_by = {
        item.id: {str(each.gtid) for each in stated_in(folder, item)} for item in kept(folder)
    }
    altered, *others = (item for item in kept(folder) if stated_by[item.id])
    logs = [
        part for part in altered.parts if "log" in part.name
    ]  # the server may have begun a new one
    assert logs
    for part in logs:
        file = folder.folder / altered.id / part.name
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (full,) = (item.id for item in kept(folder) if item.kind is Kind.FULL)
    (folder.folder / full / "manifest.json").write_text("{")
    printed = io.StringIO()
    asked = Invocation(Output(True, printed), environ=environ_of(source, home, folder))
    assert show_statements(asked) == 1
    shown = json.loads(printed.getvalue())
    assert len(shown["damaged"]) == 1 + len(logs)
    assert all(any(name in said for said in shown["damaged"]) for name in (full, altered.id))
    found = {item["gtid"] for item in shown["statements"]}
    assert found == {gtid for item in others for gtid in stated_by[item.id]} != set()


@long
def test_the_log_is_kept_on_when_the_server_or_the_off_site_command_fails_for_a_while(
    source: LoggingServer, tmp_path: Path
) -> None:
    folder = store(tmp_path / "backups")
    key_file(tmp_path / "key")
    take(source.db, folder, Kind.FULL, now())
    broken = tmp_path / "broken"
    environ = environ_of(source, tmp_path, folder) | {
        "TRUETONNE_BACKUP_HOOK": f"sh -c '! test -e \"{broken}\"' x"
    }
    words = [sys.executable, "-m", "cli.main", "db", "backup", "binlogs", "--every", "1", "--json"]

    def grown() -> None:
        source(f"INSERT INTO {DATABASE}.t (v) VALUES ('more')")
        ((gtid,),) = source("SELECT @@gtid_binlog_pos")
        end = time.monotonic() + HELD_WITHIN_S
        while not any(item.stop and item.stop.gtid == gtid for item in kept(folder)):
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < end, "the log is not kept any more"
            time.sleep(0.1)

    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        try:
            grown()
            source.server.stop()
            time.sleep(3)  # long enough to look twice
            source.server.restart()
            grown()
            broken.touch()
            grown()
            grown()
            broken.unlink()
        finally:
            process.send_signal(signal.SIGTERM)
        counted = json.loads(process.communicate()[0])
    assert process.returncode == 0
    # What was kept and could not be sent away was kept.
    assert counted["kept"] == sum(item.kind is Kind.BINLOG for item in kept(folder))
    said_then = (tmp_path / "said").read_text()
    assert said_then.count("start the server or correct TRUETONNE_DATABASE_URL") >= 1
    assert "not off-site: sh ended with code 1" in said_then
    restore(folder, plan(kept(folder), Wanted()), tmp_path / "place")
    assert stat.S_IMODE((tmp_path / "place").stat().st_mode) == 0o700  # its files are in no cipher
    with restored(tmp_path / "place") as ask:
        assert ask(ALL) == source(ALL)


def test_a_table_whose_form_was_changed_since_the_copy_is_said_to_have_moved(
    mariadb_db: Database,
) -> None:
    """The server gives it no checksum, in a snapshot from before: it is tried again, and not kept as it is."""
    name = mariadb_db.url.database or ""
    with mariadb_db.server() as seeing, mariadb_db.server() as changing:
        changing.exec_driver_sql("CREATE TABLE moved (id INT)")
        try:
            seeing.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            changing.exec_driver_sql("ALTER TABLE moved ADD COLUMN more INT, ALGORITHM=COPY")
            with pytest.raises(TablesMoved, match="moved cannot be read for its checksum"):
                mariadb_tables(seeing, name)
            seeing.rollback()
            assert mariadb_tables(seeing, name)["moved"].rows == 0
        finally:
            seeing.rollback()
            changing.exec_driver_sql("DROP TABLE moved")


@long
def test_what_is_logged_after_a_moment_is_not_fetched_with_it(
    source: LoggingServer, tmp_path: Path
) -> None:
    """The server may have begun a further log since: the next item would bring it again."""
    db = Database(source.server.url(DATABASE))
    add = f"INSERT INTO {DATABASE}.t (v) VALUES ('more')"
    try:
        with db.server() as link:
            start = mariadb._head(link)
            source(add, "FLUSH BINARY LOGS", add)
            stop = mariadb._head(link)
            source("FLUSH BINARY LOGS", add)
            with (
                store(tmp_path).making(Kind.BINLOG, now()) as making,
                tools.login(db.url) as entry,
            ):
                mariadb._fetch(link, entry, making, start, stop)
                assert [part.name for part in making.parts] == [
                    "log-0000.sealed",
                    "log-0001.sealed",
                ]
    finally:
        db.close()


@long
def test_a_busy_server_is_copied_as_of_one_moment(source: LoggingServer, tmp_path: Path) -> None:
    """Two tables that change in one transaction, all the time: a drill finds what was noted, to the row."""
    folder = store(tmp_path / "backups")
    source(f"CREATE TABLE {DATABASE}.u LIKE {DATABASE}.t")
    stop, count = threading.Event(), 0

    def write() -> None:
        nonlocal count
        with source.owner.server() as link:
            while not stop.wait(0.002):
                link.exec_driver_sql("START TRANSACTION")
                for table in ("t", "u"):
                    link.exec_driver_sql(f"INSERT INTO {DATABASE}.{table} (v) VALUES (UUID())")
                link.exec_driver_sql("COMMIT")
                count += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for kind in (Kind.FULL, Kind.INCREMENTAL):
            before = count
            take(source.db, folder, kind, now())
            assert count > before + 10  # nobody was held up
        follow(source.db, folder)
    finally:
        stop.set()
        writer.join()
    found = drill(folder, plan(kept(folder), Wanted()), nothing, tmp_path)
    assert found.ok
    # There is no ledger on this server, and so no audit log.
    assert [item.name for item in found.findings] == ["tables", "binlog", "schema", "reconcile"]
    checks = found.plan.copy.tables or {}
    assert checks["t"].rows == checks["u"].rows + 3
    report = last_report(folder.folder)
    assert report is not None and report["ok"]

    # A drill that finds other rows than were noted says which table.
    changed = {**checks, "t": replace(checks["t"], checksum="1"), "u": replace(checks["u"], rows=1)}
    copy = replace(found.plan.copy, tables=changed)
    wrong = drill(
        folder, replace(found.plan, chain=(*found.plan.chain[:-1], copy)), nothing, tmp_path
    )
    assert wrong.findings[0].differences == (
        "table t has other rows than it should have",
        f"table u has {checks['u'].rows} rows, should have 1",
    )
    report = last_report(folder.folder)
    assert report is not None and not report["ok"]
    assert list(tmp_path.iterdir()) == [tmp_path / "backups"]


@long
def test_until_a_time_and_holes(source: LoggingServer, tmp_path: Path) -> None:
    folder = store(tmp_path / "backups")
    take(source.db, folder, Kind.FULL, now())
    for value in ("one", "two", "three"):
        source(
            f"SET TIMESTAMP = {2_000_000_000 + len(value)}",
            f"INSERT INTO {DATABASE}.t (v) VALUES ('{value}')",
        )
        assert len(follow(source.db, folder)) == 1
    until = datetime.fromtimestamp(2_000_000_005, UTC)  # that of 'three'
    restore(folder, plan(kept(folder), Wanted(until=until)), tmp_path / "until")
    with restored(tmp_path / "until") as ask:
        assert [row[1] for row in ask(ALL)][3:] == ["one", "two"]

    logs = [item for item in kept(folder) if item.kind is Kind.BINLOG]
    logs.sort(key=lambda item: item.at)
    folder.delete(logs[1])
    with pytest.raises(BackupDamaged, match=r"on is missing.*: --backup ") as missing:
        plan(kept(folder), Wanted())
    assert missing.value.code == "backup-link-missing"
    with pytest.raises(NotFound, match="no kept binary log"):
        folder.delete(logs[2])
        plan(kept(folder), Wanted(before=Gtid(0, 1, 999)))
    with pytest.raises(NotFound, match="no backup that old"):
        plan(kept(folder), Wanted(until=now() - timedelta(days=1)))
    # What is missing is fetched again while the server has it, and the next copy makes one piece of all.
    assert len(follow(source.db, folder)) == 1
    assert len(plan(kept(folder), Wanted()).logs) == 2
    (first,) = (
        item for item in kept(folder) if item.kind is Kind.FULL
    )  # names of one second sort by kind
    last, joined = take(source.db, folder, Kind.INCREMENTAL, now())
    assert {item.id for item in kept(folder)} == {first.id, joined.id, last.id}
    assert (joined.start, joined.stop) == (first.stop, last.stop)
    gone = plan([first, joined], Wanted())
    restore(folder, gone, tmp_path / "joined")
    with restored(tmp_path / "joined") as ask:
        assert [row[1] for row in ask(ALL)][3:] == ["one", "two", "three"]


@long
def test_a_server_that_was_reset_needs_a_full_copy(source: LoggingServer, tmp_path: Path) -> None:
    folder = store(tmp_path / "backups")
    with pytest.raises(NeedsFull, match="no backup to build on; run"):
        take(source.db, folder, Kind.INCREMENTAL, now())
    with pytest.raises(NeedsFull, match="no backup to build on; run"):
        follow(source.db, folder)
    for known in (None, folder):  # a rehearsal says the same
        with pytest.raises(NeedsFull, match="no backup to build on; run"):
            require_base(source.db, known, Kind.INCREMENTAL)
        with pytest.raises(NeedsFull, match="no backup to build on; run"):
            require_base(source.db, known, Kind.BINLOG)
    take(source.db, folder, Kind.FULL, now())
    for kind in Kind:
        require_base(source.db, folder, kind)
    source(f"INSERT INTO {DATABASE}.t (v) VALUES ('of before')")
    (before,) = follow(source.db, folder)
    source("RESET MASTER", f"INSERT INTO {DATABASE}.t (v) VALUES ('x')")
    for again in (
        lambda: take(source.db, folder, Kind.INCREMENTAL, now()),
        lambda: follow(source.db, folder),
    ):
        with pytest.raises(NeedsFull, match="does not go on"):
            again()
    (reset,) = take(source.db, folder, Kind.FULL, now())
    assert sorted(item.kind for item in kept(folder)) == [Kind.BINLOG, Kind.FULL, Kind.FULL]
    assert not [path for path in folder.folder.glob(".*") if path.is_dir()]
    # Its places are counted anew, and what was logged before at the same ones is not made up by one piece of them.
    source(*[f"INSERT INTO {DATABASE}.t (v) VALUES (REPEAT('y', 80))"] * 8)
    (joining, joined) = take(source.db, folder, Kind.FULL, now())
    assert before.start and before.stop and reset.stop and joined.stop == joining.stop
    assert reset.stop.order <= before.start.order and before.stop.order <= joined.stop.order
    assert before in kept(folder)


@long
@pytest.mark.parametrize("chain", [1, 2])
def test_a_damaged_copy_that_is_brought_from_off_site_has_the_logs_behind_it(
    source: LoggingServer, tmp_path: Path, chain: int
) -> None:
    """The next copy made one piece of the log from the last sound one, and deleted those that went on from it."""
    folder = store(tmp_path / "backups")
    copies: list[Manifest] = []
    for kind in (Kind.FULL, Kind.FULL, Kind.INCREMENTAL)[: chain + 1]:
        copies.append(take(source.db, folder, kind, now())[0])
        source(f"INSERT INTO {DATABASE}.t (v) VALUES ('later')")
        assert follow(source.db, folder)
    damaged = folder.folder / copies[1].id / "copy.sealed"
    damaged.rename(tmp_path / "off-site")
    source(f"INSERT INTO {DATABASE}.t (v) VALUES ('last')")
    newest = take(source.db, folder, Kind.FULL, now())[0]
    (tmp_path / "off-site").rename(damaged)
    items = [item for item in kept(folder) if item != newest]
    for copy in reversed(copies):
        found = plan(items, Wanted())
        assert (found.copy, found.logs[-1].stop) == (copy, newest.stop)
        items.remove(copy)


@long
def test_an_account_that_does_not_see_the_archive_is_told_so(
    source: LoggingServer, tmp_path: Path
) -> None:
    """Else the archive's tables are in the copy and not among its checksums, and each drill finds them too many."""
    account, archive = "'keeper'@'%'", f"{DATABASE}_archive"
    source(
        f"CREATE DATABASE {archive}",
        f"CREATE TABLE {archive}.device_data_2025 (id INT)",
        f"CREATE TABLE {DATABASE}.archived_devices (id INT)",
        f"CREATE USER {account} IDENTIFIED BY 'a long password'",
        "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICATION SLAVE, REPLICA MONITOR "
        f"ON *.* TO {account}",
        f"GRANT SELECT ON {DATABASE}.* TO {account}",
    )
    url = source.db.url.set(username="keeper", password="a long password")
    keeper = Database(url.render_as_string(hide_password=False))
    folder = store(tmp_path / "backups")
    try:
        take(keeper, folder, Kind.FULL, now())  # nothing is archived yet
        source(f"INSERT INTO {DATABASE}.archived_devices VALUES (1)")
        with pytest.raises(DependencyDown) as refused:
            take(keeper, folder, Kind.FULL, now())
        assert refused.value.code == "backup-archive-unseen"
        source("GRANT " + refused.value.message.partition(": GRANT ")[2])
        take(keeper, folder, Kind.FULL, now())
        last = [item for item in kept(folder) if item.kind is Kind.FULL][-1]
        assert f"{archive}.device_data_2025" in last.tables
        held = drill(folder, plan(kept(folder), Wanted()), nothing, tmp_path)
        assert [item.differences for item in held.findings if item.name == "tables"] == [()]
    finally:
        keeper.close()
        source(f"DROP USER {account}", f"DROP DATABASE {archive}")


@long
@pytest.mark.parametrize("what", rest(["backup", "restore", "server"]))
def test_killed_in_the_middle(source: LoggingServer, tmp_path: Path, what: str) -> None:
    folder = store(tmp_path / "backups")
    key_file(tmp_path / "key")
    take(source.db, folder, Kind.FULL, now())
    if what == "backup":
        words = ["backup", "full"]
        halves = lambda: list(folder.folder.glob(".*-full-*/copy.sealed"))  # noqa: E731
    else:
        words = ["restore", "--into", str(tmp_path / "place")]
        name = "copy/*" if what == "restore" else "data/ddl_recovery.log"  # of its own server
        halves = lambda: list(tmp_path.glob(f".place.restoring/{name}"))  # noqa: E731
    sign = tmp_path / "held"
    environ = environ_of(source, tmp_path, folder)
    with tempfile.TemporaryDirectory(prefix="tb-") as scratch:
        held = [sys.executable, "-m", "tests.support.held", what, str(sign), "db", *words]
        with subprocess.Popen(
            held, stdin=subprocess.PIPE, env={**environ, "TMPDIR": scratch}
        ) as process:
            end = time.monotonic() + HELD_WITHIN_S
            while not (sign.exists() and halves()):
                assert process.poll() is None
                assert time.monotonic() < end, "it was not held in the middle"
                time.sleep(0.02)
            assert len(programs_at(tmp_path)) > 1  # a program of MariaDB is at work beside it
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert what == "server" or list(Path(scratch).iterdir()) == []
    assert len(kept(folder)) == 1  # half a backup is none
    assert not (tmp_path / "place").exists()  # half a database is none
    if what == "backup":
        take(source.db, folder, Kind.FULL, now())
    else:
        restore(folder, plan(kept(folder), Wanted()), tmp_path / "place")
    assert programs_at(tmp_path) == {}  # none that was left by the killed one goes on
    if what == "backup":
        assert len(kept(folder)) == 2
        assert halves() == []
    else:
        with restored(tmp_path / "place") as ask:
            assert ask(ALL) == source(ALL)
        assert list(tmp_path.glob(".place*")) == []


@long
def test_a_drill_that_is_interrupted_while_its_server_starts_leaves_nothing(
    source: LoggingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server wrote on into the folder that was being removed, and ended with the command alone."""

    def interrupted(server: PrivateServer) -> bool:
        raise KeyboardInterrupt

    folder, scratch = store(tmp_path / "backups"), tmp_path / "scratch"
    scratch.mkdir()
    take(source.db, folder, Kind.FULL, now())
    monkeypatch.setattr("ledger.backup.server._answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drill(folder, plan(kept(folder), Wanted()), nothing, scratch)
    assert programs_at(scratch) == {}
    assert list(scratch.iterdir()) == []


@long
def test_a_drill_whose_server_is_killed_says_so(
    source: LoggingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told to start the server of the books, or to correct the setting that names it."""

    def killing(link: Connection, database: str) -> None:
        (server,) = programs_at(scratch)
        os.kill(server, signal.SIGKILL)
        link.exec_driver_sql("SELECT 1")

    folder, scratch = store(tmp_path / "backups"), tmp_path / "scratch"
    scratch.mkdir()
    take(source.db, folder, Kind.FULL, now())
    monkeypatch.setattr("ledger.backup.drill.mariadb_tables", killing)
    with pytest.raises(ToolFailed, match=r"^mariadbd was killed \(SIGKILL\): by a person, or by"):
        drill(folder, plan(kept(folder), Wanted()), nothing, scratch)
    assert list(scratch.iterdir()) == []


@long
def test_a_server_that_encrypts_its_files_and_its_log(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"1;{'5a' * 32}\n")
    plugin = {
        "plugin_load_add": "file_key_management",
        "file_key_management_filename": str(keys),
        "innodb_encrypt_log": "ON",
    }
    names = {**plugin, "innodb_encrypt_tables": "ON", "encrypt_binlog": "ON"}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in names.items()]
    with tempfile.TemporaryDirectory(prefix="mariadb-") as name:
        source = logging_server(Path(name), *options)
        try:
            insert = f"INSERT INTO {DATABASE}.t (v) VALUES ('nobody may read this')"
            source(
                f"CREATE TABLE {DATABASE}.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(80))",
                insert,
            )
            folder, place = store(tmp_path / "backups"), tmp_path / "place"
            take(source.db, folder, Kind.FULL, now())
            source(insert)
            take(source.db, folder, Kind.INCREMENTAL, now())
            source(insert, "FLUSH BINARY LOGS", insert)
            follow(source.db, folder)
            expected = source(ALL)
        finally:
            source.stop()
    wanted = plan(kept(folder), Wanted())
    assert drill(folder, wanted, nothing, None).ok
    restore(folder, wanted, place)
    plain = [
        file.name
        for file in place.rglob("*")
        if file.is_file() and b"may read" in file.read_bytes()
    ]
    assert plain == []
    with restored(place, PAGES | plugin) as ask:
        assert ask(ALL) == expected and len(expected) == 4
    keys.unlink()
    with pytest.raises(BadInput, match=f"{keys}, which its plugin file_key_management reads"):
        restore(folder, wanted, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@long
def test_books_of_an_older_version(
    source: LoggingServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are drilled and come back as they were, binary log and all; the upgrade brings them to this version."""
    source(f"ALTER DATABASE {DATABASE} COLLATE utf8mb4_bin", f"DROP TABLE {DATABASE}.t")
    source.owner.upgrade("0026")  # before audit entries had a chain, and addresses a seal
    source(
        f"USE {DATABASE}",
        "INSERT INTO users (username, email, password_hash, role, is_active, created_at, updated_at) VALUES "
        "('eve', 'eve@park.example', 'x', 'viewer', 1, NOW(6), NOW(6))",
        "INSERT INTO audit_logs (action, resource, created_at) VALUES ('a', 'users', NOW(6)), ('b', 'users', NOW(6))",
    )
    folder = store(tmp_path / "backups")
    take(source.db, folder, Kind.FULL, now())
    source(f"UPDATE {DATABASE}.users SET role = 'admin'")
    follow(source.db, folder)

    settings = {"home": tmp_path / "home", "backup_folder": folder.folder}
    settings["backup_key_file"] = key_file(tmp_path / "key")
    for name, value in settings.items():
        monkeypatch.setenv(f"TRUETONNE_{name.upper()}", str(value))

    def said(*words: str, code: int = 0) -> Any:
        assert run([*words, "--json"]) == code, capsys.readouterr()
        return json.loads(capsys.readouterr().out)

    found = {item["name"]: item for item in said("db", "drill")["checks"]}
    assert found["schema"]["said"] == "revision 0026"
    assert (
        found["upgrade"]["said"]
        == f"from 0026 to {Database.head()}, {int(Database.head()) - 26} revisions"
    )
    assert found["audit"]["said"] == "a chain of 2 entries"  # of this version's tables
    assert all(item["ok"] for item in found.values())

    with tempfile.TemporaryDirectory(prefix="restored-") as short:
        place = Path(short) / "data"
        assert run(["db", "restore", "--into", str(place), "--dry-run"]) == 0
        assert " and 1 piece of the binary log in " in capsys.readouterr().out
        said("db", "restore", "--into", str(place))
        with served(place) as server:
            monkeypatch.setenv("TRUETONNE_DATABASE_URL", server.url(DATABASE))
            assert said("db", "current", code=1)["revision"] == "0026"
            assert said("db", "upgrade")["sealed"]["users"] == 1
            assert said("db", "current")["revision"] == Database.head()
            run(["doctor", "--json"])
            checks = json.loads(capsys.readouterr().out)["checks"]
            wrong = [
                item
                for item in checks
                if item["verdict"] not in ("ok", "skipped")
                and item["name"].partition(" ")[0] in ("database", "schema", "server", "sealing")
            ]
            assert wrong == []
            assert said("audit", "verify")["head"].startswith("3:")  # and the sealing
            ((role, mail),) = rows(place.parent / "s", f"SELECT role, email FROM {DATABASE}.users")
            assert role == "admin" and "eve@" not in mail
