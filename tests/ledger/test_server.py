"""What the doctor asks of a MariaDB: a condition set on a real server, seen, and mended by the statement printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError

from cli.main import run
from ledger.db import Database, DatabaseBusy
from ledger.db.findings import Finding, Server, State
from ledger.db.grants import Account
from ledger.db.server import RULES, _clock, findings
from ledger.db.server_triggers import triggers, wanted
from ledger.db.tls import read_tls
from ledger.errors import BadInput, DependencyDown
from ledger.models.devices import DeviceType
from tests.support.accounts import made_account
from tests.support.forms import long, rest
from tests.support.mariadb import MariaDbServer
from tests.support.swallowing import SwallowingProxy
from tests.support.tls import made_certificate

pytestmark = pytest.mark.mariadb


def found(url: str, **options: int) -> dict[str, Finding]:
    """Return what a new connection finds."""
    database = Database(url)
    try:
        with database.read() as session:
            return {
                item.name: item for item in findings(session, read_tls(database.url), **options)
            }
    finally:
        database.close()


@pytest.fixture(scope="module")
def sound(mariadb_server: MariaDbServer, mariadb_schema: Database) -> Iterator[MariaDbServer]:
    """The server of the tests, with the care for power cuts that they do without."""
    mariadb_server.execute(
        "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        "SET GLOBAL time_zone = '+00:00'",
    )
    yield mariadb_server
    mariadb_server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0")


def test_which_clock_is_ahead_is_said(sound: MariaDbServer, mariadb_schema: Database) -> None:
    with mariadb_schema.read() as session:
        server = Server(session, read_tls(mariadb_schema.url), {}, {}, "")
        for seconds, said in ((3_600, "ahead of"), (-3_600, "behind")):
            session.execute(text(f"SET timestamp = UNIX_TIMESTAMP(SYSDATE()) + {seconds}"))
            finding = _clock(server)
            assert finding.state is State.BAD
            told = re.match(rf"its clock is (\d+) s {said} the one here: ", finding.found)
            assert told is not None
            assert 3_300 < int(told[1]) < 3_900  # it stands still as set
        session.execute(text("SET timestamp = DEFAULT"))
        assert _clock(server).state is State.GOOD


def test_a_sound_server_has_no_complaint(sound: MariaDbServer) -> None:
    checked = found(sound.url("truetonne"), free_bytes_min=1)
    assert len(checked) == len(RULES) == 14
    assert [
        item for item in checked.values() if item.state is State.BAD and item.name != "disk"
    ] == []
    version = checked["version"].found
    assert version.startswith("MySQL") if sound.is_mysql else version.endswith("the tested version")


@pytest.mark.parametrize(
    ("name", "condition", "said", "mend"),
    [
        ("writable", "SET GLOBAL read_only = 1", "the server is read-only",
         "if another one is the primary now, name that in database_url; if this is: SET GLOBAL read_only = 0"),
        ("sql_mode", "SET GLOBAL sql_mode = 'ANSI_QUOTES'", "is not strict",
         "SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES,ANSI_QUOTES'"),
        ("time_zone", "SET GLOBAL time_zone = '+08:00'", "time zone is +08:00", "SET GLOBAL time_zone = '+00:00'"),
        ("charset", "ALTER DATABASE truetonne CHARACTER SET latin1", "character set is latin1",
         "ALTER DATABASE `truetonne` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        ("tables", "ALTER TABLE truetonne.webhook_tries DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
         "webhook_tries has collation utf8mb4_general_ci",
         "ALTER TABLE webhook_tries DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        ("tables", "ALTER TABLE truetonne.sites MODIFY name VARCHAR(200) COLLATE utf8mb4_general_ci NOT NULL",
         "sites.name has collation utf8mb4_general_ci", "ALTER TABLE sites MODIFY name VARCHAR(200)"),
        ("durable", "SET GLOBAL innodb_flush_log_at_trx_commit = 2", "a power cut may take back",
         "SET GLOBAL innodb_flush_log_at_trx_commit = 1"),
        ("packet", "SET GLOBAL max_allowed_packet = 1048576", "max_allowed_packet is 1048576",
         "SET GLOBAL max_allowed_packet = 16777216"),
    ],
)  # fmt: skip
def test_a_condition_is_seen_and_its_statement_mends_it(
    sound: MariaDbServer, name: str, condition: str, said: str, mend: str
) -> None:
    url = sound.url("truetonne")
    sound.execute(condition)
    try:
        item = found(url)[name]
        assert item.state is State.BAD
        assert said in item.found
        assert item.mend.startswith(mend)
    finally:
        sound.execute("USE truetonne", item.mend.rpartition(": ")[2].partition("; or")[0])
    assert found(url)[name].state is State.GOOD


def test_tables_that_are_not_as_they_were_made_are_counted(sound: MariaDbServer) -> None:
    tables = ("webhook_messages", "webhook_tries")
    change = "ALTER TABLE {} DEFAULT CHARACTER SET utf8mb4 COLLATE {}"
    told = []
    try:
        for table in reversed(tables):
            sound.execute("USE truetonne", change.format(table, "utf8mb4_general_ci"))
            told.append(found(sound.url("truetonne"))["tables"].found)
    finally:
        sound.execute("USE truetonne", *(change.format(table, "utf8mb4_bin") for table in tables))
    assert told == [
        "webhook_tries has collation utf8mb4_general_ci",
        "webhook_messages has collation utf8mb4_general_ci, and 1 more like it",
    ]


@pytest.mark.parametrize(
    ("name", "undoing"),
    [
        ("time_zone", "SET time_zone = '+08:00'"),
        ("sql_mode", "SET sql_mode = ''"),
        ("charset", "SET NAMES latin1"),
        ("isolation", "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"),
    ],
)
def test_what_undoes_the_settings_of_our_sessions_is_seen(
    sound: MariaDbServer, name: str, undoing: str
) -> None:
    """As a proxy does that hands out connections which somebody else has used."""
    database = Database(sound.url("truetonne"))
    with database.read() as session:
        session.connection().exec_driver_sql(undoing)
        items = {item.name: item for item in findings(session, read_tls(database.url))}
    database.close()
    assert items[name].state is State.BAD


def test_letters_of_the_servers_settings_are_read_in_any_character_set(
    sound: MariaDbServer,
) -> None:
    """A folder's ``é``, say: the answer could not be read, and the connection was out of step."""
    sound.execute("SET GLOBAL init_connect = 'SELECT 1 /* é 中文 */'")
    database = Database(sound.url("truetonne"))
    try:
        with database.read() as session:
            session.connection().exec_driver_sql("SET NAMES latin1")
            items = {item.name: item for item in findings(session, read_tls(database.url))}
    finally:
        database.close()
        sound.execute("SET GLOBAL init_connect = ''")
    assert items["charset"].state is State.BAD
    assert {item.name for item in items.values() if item.state is State.BAD} == {"charset"}


def test_init_connect_is_overruled_by_our_sessions(sound: MariaDbServer) -> None:
    with made_account(sound, Account.READ) as url:  # it is for accounts without SUPER
        sound.execute("SET GLOBAL init_connect = \"SET time_zone = '+08:00'\"")
        try:
            item = found(url.render_as_string(hide_password=False))["time_zone"]
            assert item.state is State.GOOD
        finally:
            sound.execute("SET GLOBAL init_connect = ''")


@pytest.mark.parametrize("level", ["READ-COMMITTED", "READ-UNCOMMITTED", "SERIALIZABLE"])
def test_our_sessions_read_snapshots_whatever_the_server_is_set_to(
    sound: MariaDbServer, level: str
) -> None:
    url = sound.url("truetonne")
    told = "SET GLOBAL innodb_snapshot_isolation = {}"  # MySQL has none
    sound.execute(f"SET GLOBAL transaction_isolation = '{level}'")
    sound.execute(*([] if sound.is_mysql else [told.format(0)]))
    database = Database(url, lock_timeout_s=2)
    count = text("SELECT COUNT(*) FROM device_types")
    kind = "INSERT INTO device_types (type_name, category, created_at) VALUES ('new', 'new', NOW())"
    try:
        assert found(url)["isolation"].state is State.GOOD
        with database.read() as session:
            before = session.execute(count).scalar_one()
            sound.execute("USE truetonne", kind)
            assert session.execute(count).scalar_one() == before
        if sound.is_mysql:
            _waits_for_who_has_read(database)
            return
        with (
            pytest.raises(DatabaseBusy, match="Record has changed since last read"),
            database.write() as session,
        ):
            session.execute(count)
            sound.execute("USE truetonne", "UPDATE device_types SET category = 'newer'")
            session.execute(text("UPDATE device_types SET category = CONCAT(category, '!')"))
    finally:
        database.close()
        sound.execute(
            "DELETE FROM truetonne.device_types WHERE type_name = 'new'",
            "SET GLOBAL transaction_isolation = 'REPEATABLE-READ'",
            *([] if sound.is_mysql else [told.format(1)]),
        )


def _waits_for_who_has_read(database: Database) -> None:
    """Who may write has read a row: another one changes it when the first is done, and not before."""
    change = text("UPDATE device_types SET category = CONCAT(category, '!')")
    category = text("SELECT category FROM device_types WHERE type_name = 'new'")
    with database.write() as first:
        read = first.execute(category).scalar_one()
        with pytest.raises(DatabaseBusy, match="Lock wait timeout"), database.write() as other:
            other.execute(change)
        assert first.execute(category).scalar_one() == read
        first.execute(change)
    with database.write() as other:
        other.execute(change)
        assert other.execute(category).scalar_one() == f"{read}!!"


@pytest.mark.parametrize(
    ("name", "value", "usual", "said"),
    [
        ("transaction_isolation", "'READ-COMMITTED'", "'REPEATABLE-READ'", "is no snapshot"),
        ("innodb_snapshot_isolation", "0", "1", "is not told that a row has changed"),
    ],
)
def test_sessions_that_are_not_as_we_set_them_are_found(
    sound: MariaDbServer, name: str, value: str, usual: str, said: str
) -> None:
    """By a pool in between, or as those of an older server, which has other defaults."""
    database = Database(sound.url("truetonne"))

    def looked() -> Finding:
        with database.read() as session:
            session.execute(text(f"SET SESSION {name} = {value}"))
            found = findings(session, read_tls(database.url))
            return next(item for item in found if item.name == "isolation")

    try:
        for everywhere, mend in (
            (usual, "mend the proxy or pool in between"),
            (value, f"SET GLOBAL {name} = {usual}"),
        ):
            sound.execute(f"SET GLOBAL {name} = {everywhere}")
            item = looked()
            assert (item.state, said in item.found, item.mend) == (State.BAD, True, mend)
    finally:
        sound.execute(f"SET GLOBAL {name} = {usual}")
        database.close()


def test_an_old_server_without_snapshot_isolation_is_to_be_upgraded(sound: MariaDbServer) -> None:
    (isolation,) = (rule for rule in RULES if rule.__name__ == "_isolation")
    database = Database(sound.url("truetonne"))
    try:
        with database.read() as session:
            old = Server(
                session,
                read_tls(database.url),
                {"tx_isolation": "REPEATABLE-READ"},
                {"version": "10.11.6-MariaDB"},
                "x",
            )
            assert isolation(old).mend == "upgrade the server to MariaDB 11.8"
    finally:
        database.close()


@pytest.mark.parametrize(
    ("name", "value", "usual"),
    [
        ("sql_select_limit", "1", "18446744073709551615"),
        ("foreign_key_checks", "0", "1"),
        ("sql_safe_updates", "1", "0"),
        ("completion_type", "1", "0"),
        ("max_join_size", "1", "18446744073709551615"),
        ("transaction_read_only", "1", "0"),
    ],
)
def test_what_a_server_presets_for_sessions_changes_nothing_for_ours(
    sound: MariaDbServer, name: str, value: str, usual: str
) -> None:
    kinds = [DeviceType(type_name=f"preset {number}", category="a") for number in range(3)]
    sound.execute(f"SET GLOBAL {name} = {value}")
    database = Database(sound.url("truetonne"))
    try:
        with database.write() as session:
            session.add_all(kinds)
        with database.read() as session:
            assert session.execute(text("SELECT COUNT(*) FROM device_types")).scalar_one() == 3
        assert database.alone(update(DeviceType).values(category="b")) == 3
        with database.read() as session:
            found = session.execute(text("SELECT category FROM device_types")).all()
        assert found == [("b",)] * 3
        orphan = text(
            "INSERT INTO devices (device_id, name, type, status, created_at, updated_at) "
            "VALUES ('orphan', 'orphan', 'none such', 'online', NOW(), NOW())"
        )
        with pytest.raises(IntegrityError), database.write() as session:
            session.execute(orphan)
    finally:
        sound.execute(f"SET GLOBAL {name} = {usual}")
        sound.execute("DELETE FROM truetonne.device_types WHERE type_name LIKE 'preset%'")
        database.close()


def test_a_checksum_of_a_table_is_the_same_by_every_rule_of_the_server(
    sound: MariaDbServer,
) -> None:
    """A drill compares what a server said of its tables with what another one, of no such rule, says of the copy."""
    sound.execute("CREATE TABLE truetonne.sums (n INT)", "INSERT INTO truetonne.sums VALUES (NULL)")
    found = []
    try:
        for mode in ("UTF8_IS_UTF8MB3", "COMPAT_5_1_CHECKSUM"):
            sound.execute(f"SET GLOBAL old_mode = '{mode}'")
            with closing(Database(sound.url("truetonne"))) as database, database.read() as session:
                found.append(session.execute(text("CHECKSUM TABLE sums")).one())
    finally:
        sound.execute("SET GLOBAL old_mode = 'UTF8_IS_UTF8MB3'", "DROP TABLE truetonne.sums")
    assert found[0] == found[1]


@long
@pytest.mark.parametrize(
    ("name", "usual"),
    rest(
        [
            ("wait_timeout", "28800"),
            ("idle_transaction_timeout", "0"),
            ("idle_readonly_transaction_timeout", "0"),
        ]
    ),
)
def test_a_snapshot_outlives_a_server_that_closes_idle_connections(
    sound: MariaDbServer, name: str, usual: str
) -> None:
    """A comparison reads books, then asks the chain for longer than the server waits, and reads on."""
    sound.execute(f"SET GLOBAL {name} = 1")
    database = Database(sound.url("truetonne"))
    try:
        with database.read() as session:
            assert session.execute(text("SELECT 1")).scalar_one() == 1
            time.sleep(3)
            assert session.execute(text("SELECT 2")).scalar_one() == 2
    finally:
        sound.execute(f"SET GLOBAL {name} = {usual}")
        database.close()


def test_a_change_of_tables_takes_as_long_as_it_takes(sound: MariaDbServer) -> None:
    """Given again, an upgrade of a table that is too large for the server's limit would be ended again."""
    sound.execute("SET GLOBAL max_statement_time = 0.05")
    try:
        with closing(Database(sound.url("truetonne"))) as database, database.changing() as link:
            assert link.exec_driver_sql("SELECT SLEEP(0.2)").scalar_one() == 0  # 1: interrupted
    finally:
        sound.execute("SET GLOBAL max_statement_time = 0")


@long
def test_a_reader_of_rows_may_pause_for_longer_than_the_server_has_it(sound: MariaDbServer) -> None:
    """As one who looks at the first page of a list, while the server waits to send the rest."""
    sound.execute("SET GLOBAL net_write_timeout = 1")
    try:
        with closing(Database(sound.url("truetonne"))) as database, database.read() as session:
            link = session.connection().execution_options(stream_results=True)
            rows = link.exec_driver_sql("SELECT REPEAT('x', 60000) FROM seq_1_to_1000")
            assert rows.fetchone() is not None
            time.sleep(3)
            assert len(rows.fetchall()) == 999
    finally:
        sound.execute("SET GLOBAL net_write_timeout = 60")


@pytest.mark.parametrize("how", ["statement", "rows"])
def test_more_than_the_server_takes_at_once_is_said_with_what_mends_it(
    sound: MariaDbServer, how: str
) -> None:
    sound.execute("SET GLOBAL max_allowed_packet = 65536")
    database = Database(sound.url("truetonne"))
    said = r"1153 \d+ bytes at once are more than .* of 65536; SET GLOBAL max_allowed_packet = 16777216"
    kind = {"type_name": "n", "category": "c", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    try:
        with pytest.raises(DependencyDown, match=said), database.write() as session:
            if how == "statement":
                session.execute(text("SELECT LENGTH(:text)"), {"text": "é" * 40_000})
            else:
                many = [kind | {"type_name": f"{number:0>90}"} for number in range(1_000)]
                session.execute(insert(DeviceType), many)
        with database.read() as session:
            assert session.scalar(text("SELECT COUNT(*) FROM device_types")) == 0
        length = text("SELECT LENGTH(:t)")
        for size, limit in ((30_000, 65_536), (40_000, 16_777_216)):
            with suppress(DependencyDown), database.read() as session:
                session.scalar(length, {"t": "é" * 40_000})
            sound.execute(f"SET GLOBAL max_allowed_packet = {limit}")  # as it was told to, or not
            with database.read() as session:
                assert session.scalar(length, {"t": "é" * size}) == 2 * size
    finally:
        sound.execute("SET GLOBAL max_allowed_packet = 16777216")
        database.close()


def test_a_right_that_lacks_is_granted_by_the_statement(sound: MariaDbServer) -> None:
    for account, said in (
        (Account.WRITE, "may do all that commands and jobs do"),
        (Account.API, "may do all that the API does"),
        (Account.READ, "may read, and write nothing"),
    ):
        with made_account(sound, account) as made:
            url = made.render_as_string(hide_password=False)
            item = found(url)["rights"]
            assert (item.state, item.found) == (State.GOOD, f"the account {said}")
            if account is Account.READ:
                continue
            sound.execute(f"REVOKE INSERT, UPDATE ON truetonne.users FROM '{made.username}'@'%'")
            for verb in ("INSERT", "UPDATE"):
                item = found(url)["rights"]
                assert (item.state, f"lacks {verb} on users" in item.found) == (State.BAD, True)
                assert item.mend == f"GRANT {verb} ON `truetonne`.`users` TO 'test_{account}'@'%'"
                sound.execute(item.mend)
            assert found(url)["rights"].state is State.GOOD
    assert "and more: DROP, ALTER, CREATE" in found(sound.url("truetonne"))["rights"].found


def test_an_account_of_jobs_from_before_an_upgrade_is_not_taken_for_the_apis(
    sound: MariaDbServer,
) -> None:
    """It may do all that the API does, and not what new tables need: it was said to be sound, and jobs failed."""
    with made_account(sound, Account.WRITE) as made:
        url = made.render_as_string(hide_password=False)
        place, who = "`truetonne`.`mirror_verifications`", f"'{made.username}'@'%'"
        sound.execute(
            f"REVOKE INSERT, UPDATE ON {place} FROM {who}",
            f"REVOKE DELETE ON `truetonne`.`webhook_messages` FROM {who}",
        )
        item = found(url)["rights"]
        assert (item.state, item.mend) == (State.BAD, f"GRANT INSERT ON {place} TO {who}")
        assert item.found == (
            "the account lacks INSERT on mirror_verifications, and 2 rights more (`truetonne db grants write`)"
        )
    with made_account(sound, Account.API) as made:  # one right more makes it no account of jobs
        sound.execute(f"GRANT INSERT ON {place} TO '{made.username}'@'%'")
        item = found(made.render_as_string(hide_password=False))["rights"]
        assert (item.state, item.found) == (
            State.GOOD,
            "the account may do all that the API does",
        )


def _client(server: MariaDbServer) -> str:
    return "mysql" if server.is_mysql else "mariadb"


@long
@pytest.mark.parametrize("account", [Account.WRITE, Account.API])
def test_an_account_that_lost_what_it_wrote_by_is_no_reader(
    sound: MariaDbServer,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", sound.url("truetonne"))
    with made_account(sound, account) as made:
        url = made.render_as_string(hide_password=False)
        sound.execute(
            f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{made.username}'@'%'",
            f"GRANT SELECT ON truetonne.* TO '{made.username}'@'%'",
        )
        item = found(url)["rights"]
        assert item.state is State.BAD
        assert item.found.startswith(f"the account test_{account} may write nothing: commands")
        mend, _, client = item.mend.removeprefix("run `").removesuffix("`").partition(" | ")
        assert client == f"{_client(sound)} -u root -p"
        program, *words = shlex.split(mend)
        assert program == "truetonne" and run(words) == 0
        sound.execute(*(line for line in capsys.readouterr().out.splitlines() if line[:2] != "--"))
        assert found(url)["rights"].state is State.GOOD


def test_a_reader_is_one_by_its_name(sound: MariaDbServer) -> None:
    """Its grants are those of a writer that lost its own."""
    with made_account(sound, Account.READ) as reader:
        for name, state in (
            ("reports_read", State.GOOD),
            ("read", State.GOOD),
            ("spread", State.BAD),
        ):
            sound.execute(f"RENAME USER '{reader.username}'@'%' TO '{name}'@'%'")
            try:
                plain = reader.set(username=name).update_query_dict({"tls": "off"})
                item = found(plain.render_as_string(hide_password=False))["rights"]
                assert item.state is state
            finally:
                sound.execute(f"RENAME USER '{name}'@'%' TO '{reader.username}'@'%'")
        of_mysql = " --mysql" if sound.is_mysql else ""
        assert item.mend == (
            f"run `truetonne db grants write --user spread --no-tls{of_mysql} | {_client(sound)} -u root -p`"
        )
        url = reader.render_as_string(hide_password=False)
        sound.execute(
            f"REVOKE SELECT ON truetonne.* FROM '{reader.username}'@'%'",
            f"GRANT SELECT ON truetonne.users TO '{reader.username}'@'%'",
        )
        item = found(url)["rights"]
        assert (item.state, item.found) == (State.BAD, "the account lacks SELECT on all tables")


def test_a_disk_that_fills_is_said_before_and_when_it_is_full(sound: MariaDbServer) -> None:
    url = sound.url("truetonne")
    assert found(url, free_bytes_min=1)["disk"].found.endswith(str(sound.folder / "data/"))
    item = found(url, free_bytes_min=2**60)["disk"]  # as if so much were needed
    assert (item.state, item.found.startswith("nearly full: ")) == (State.BAD, True)
    assert item.mend.startswith(f"free space at {sound.folder}")
    # A table that has no more room, as the server says it of a disk, too.
    database = Database(url)
    with (
        pytest.raises(DependencyDown, match=r"1114.*disk is full: free space there"),
        database.write() as session,
    ):
        read = session.connection().exec_driver_sql
        read("SET max_heap_table_size = 16384")
        read("CREATE TEMPORARY TABLE full (b CHAR(250)) ENGINE = MEMORY")
        for _ in range(1_000):
            read("INSERT INTO full VALUES ('x')")
    database.close()


def test_where_the_disk_is_not_seen_the_doctor_says_how_it_could_be(sound: MariaDbServer) -> None:
    database = Database(sound.url("truetonne"))
    with database.read() as session:
        elsewhere = replace(read_tls(database.url), local=False)
        items = {item.name: item for item in findings(session, elsewhere)}
    database.close()
    assert (items["disk"].state, items["tls"].state) == (State.UNKNOWN, State.BAD)
    assert items["disk"].mend.startswith("INSTALL SONAME 'disks'")
    assert "on another machine" in items["tls"].found


# ------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def certified() -> Iterator[MariaDbServer]:
    """A server with a certificate for ``localhost``, by an authority ``ca.pem``; ``other.pem`` is another one."""
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:
        yield from _certified(Path(folder))


def _certified(folder: Path) -> Iterator[MariaDbServer]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (folder / "names").write_text("subjectAltName=DNS:localhost,DNS:db.park.example")
    for name in ("ca", "other"):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        _openssl(folder, "req", "-x509", *curve, *files, "-days", "2", "-subj", f"/CN={name}")
    _openssl(folder, "req", *curve, "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=db")
    signed = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
    ]
    _openssl(folder, "x509", "-req", "-in", "s.csr", "-out", "s.pem", *signed)
    data = folder / "server"
    data.mkdir()
    server = MariaDbServer(data)
    files = {"ca": "ca.pem", "cert": "s.pem", "key": "s.key"}
    server._options += [f"--ssl-{name}={folder / file}" for name, file in files.items()]
    if not server.is_mysql:
        # An old one, too: one server, two conditions.
        server._options.append("--version=10.6.20-MariaDB")
    server.start()
    server.execute("CREATE DATABASE x")
    yield server
    server.stop()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def url_of(server: MariaDbServer, host: str, query: str) -> str:
    folder = server.folder.parent
    return f"mysql+pymysql://root@{host}:{server.port}/x?{query.replace('=@', f'={folder}/')}"


def test_old_versions_are_named(certified: MariaDbServer) -> None:
    item = found(url_of(certified, "localhost", ""))["version"]
    assert (item.state, item.mend) == (State.BAD, "upgrade the server to MariaDB 11.8")
    assert item.found == "10.6.20-MariaDB is older than 10.11"


@pytest.mark.parametrize(
    ("host", "query", "said"),
    [
        ("localhost", "ssl_ca=@ca.pem", "GCM_SHA384, and the server proved its name"),
        (
            "localhost",
            "ssl_ca=@ca.pem&ssl_verify_identity=true",
            "GCM_SHA384, and the server proved its name",
        ),
        (
            "127.0.0.1",
            "ssl_ca=@ca.pem&ssl_verify_identity=false",
            "GCM_SHA384, and the server proved its name",
        ),
        (
            "127.0.0.1",
            "",
            "GCM_SHA384, and the server need not prove its name; it is on this machine",
        ),
        (
            "127.0.0.1",
            "tls=unverified",
            "GCM_SHA384, and the server need not prove its name; it is on this machine",
        ),
        ("127.0.0.1", "tls=off", "not encrypted; it is on this machine"),
    ],
)
def test_how_a_connection_is_encrypted(
    certified: MariaDbServer, host: str, query: str, said: str
) -> None:
    item = found(url_of(certified, host, query))["tls"]
    assert (item.state, item.found.endswith(said)) == (State.GOOD, True), item


@pytest.mark.parametrize(
    ("host", "query", "said"),
    [
        ("localhost", "ssl_ca=@other.pem", "self-signed"),  # a wrong authority
        ("127.0.0.1", "ssl_ca=@ca.pem", "not valid for '127.0.0.1'"),  # a wrong name
        (
            "localhost",
            "ssl_verify_identity=true",
            "self-signed",
        ),  # the system's do not know it
    ],
)
def test_a_server_that_is_somebody_else_is_not_spoken_to(
    certified: MariaDbServer, host: str, query: str, said: str
) -> None:
    database = Database(url_of(certified, host, query))
    with pytest.raises(DependencyDown, match=f"{said}.*the server does not prove its name"):
        database.ping()
    database.close()


def test_files_are_read_anew_once_they_have_changed(
    certified: MariaDbServer, tmp_path: Path
) -> None:
    """A process that goes on for months outlives an authority: it found no server until it was started again."""
    folder, trusted = certified.folder.parent, tmp_path / "ca.pem"
    trusted.write_bytes((folder / "other.pem").read_bytes())
    database = Database(url_of(certified, "localhost", f"ssl_ca={trusted}"))
    for content, trusts in (
        ((folder / "other.pem").read_bytes(), False),
        (b"", False),
        ((folder / "ca.pem").read_bytes(), True),
        (b"-----BEGIN CERTIFICATE-----", True),  # being written
    ):
        trusted.write_bytes(content)
        with nullcontext() if trusts else pytest.raises(DependencyDown, match="ssl_ca"):
            database.ping()
        database.close()  # the next connection is another


def test_a_server_whose_certificate_has_ended_is_told_to_have_a_new_one(
    certified: MariaDbServer, tmp_path: Path
) -> None:
    ended = made_certificate(tmp_path, "127.0.0.1", ended=True)
    files = [certified.folder.parent / name for name in ("s.pem", "s.key")]
    before = [file.read_bytes() for file in files]
    read_anew = "ALTER INSTANCE RELOAD TLS" if certified.is_mysql else "FLUSH SSL"
    database = Database(url_of(certified, "127.0.0.1", f"ssl_ca={ended[0]}"))
    try:
        for file, content in zip(files, ended, strict=True):
            file.write_bytes(content.read_bytes())
        certified.execute(read_anew)
        with pytest.raises(DependencyDown, match=r"certificate has expired.*a new one \(ssl_cert"):
            database.ping()
    finally:
        for file, kept in zip(files, before, strict=True):
            file.write_bytes(kept)
        certified.execute(read_anew)
        database.close()


def test_our_own_certificate_is_named_where_the_server_does_not_take_it(
    certified: MariaDbServer, tmp_path: Path
) -> None:
    """It was told to start the server, or to look who ended the connection."""
    public, private = made_certificate(tmp_path, "127.0.0.1")
    folder = certified.folder.parent
    files = f"ssl_ca={folder / 'ca.pem'}&ssl_cert={public}&ssl_key={private}"
    with SwallowingProxy(certified.port) as proxy:  # as HAProxy, it hands on the server's last word
        database = Database(f"mysql+pymysql://root@localhost:{proxy.port}/x?{files}")
        with pytest.raises(DependencyDown, match="the server does not take our certificate"):
            database.ping()
        database.close()


def test_a_server_without_tls_is_refused_where_it_must_prove_its_name(
    certified: MariaDbServer, folder: Path
) -> None:
    """Somebody in between cannot talk us out of TLS."""
    server = MariaDbServer(folder)
    server._options.append("--skip-ssl")
    server.start()
    try:
        query = url_of(certified, "localhost", "ssl_ca=@ca.pem").partition("?")[2]
        database = Database(f"mysql+pymysql://root@localhost:{server.port}/x?{query}")
        with pytest.raises(DependencyDown, match="offers no TLS"):
            database.ping()
        database.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "mysql+pymysql://u@db.example/x",
            r"db.example is another machine.*ssl_ca=FILE.*tls=unverified",
        ),
        ("mysql+pymysql://u@192.0.2.1/x", "another machine"),
        ("mysql+pymysql://u@localhost.example/x", "another machine"),
        ("mysql+pymysql://u@db.example/x?ssl_ca=none.pem", "ssl_ca=none.pem holds no certificates"),
        ("mysql+pymysql://u@db.example/x?tls=on", "tls=on is not known"),
        ("mysql+pymysql://u@db.example/x?tls=off&ssl_ca=x", "contradict"),
        ("mysql+pymysql://u@db.example/x?ssl_verify_identity=maybe", "`true` or `false`"),
        ("mysql+pymysql://u@db.example/x?ssl_verify_identity=false", "another machine"),
        ("mysql+pymysql://u@db.example/x?ssl_ca=a&ssl_ca=b", "more than once"),
        # What the driver would believe although the rest of the URL says otherwise:
        (
            "mysql+pymysql://u@db.example/x?ssl_ca=ca.pem&ssl_disabled=true",
            "ssl_disabled cannot stand",
        ),
        ("mysql+pymysql://u@localhost/x?host=db.example", "host cannot stand"),
        ("mysql+pymysql:///x?read_default_file=/tmp/my.cnf", "read_default_file cannot stand"),
    ],
)
def test_what_is_refused_before_anything_is_sent(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Database(url)


def test_who_says_so_may_go_without() -> None:
    for query in ("tls=off", "tls=unverified"):
        Database(f"mysql+pymysql://u@db.example/x?{query}").close()
    for host in ("127.0.0.8", "[::1]", "localhost", ""):
        Database(
            f"mysql+pymysql://u@{host}/x?unix_socket=/s"
            if not host
            else f"mysql+pymysql://u@{host}/x"
        ).close()


def test_triggers_that_are_gone_or_changed_are_named_with_what_mends_them(
    sound: MariaDbServer, mariadb_schema: Database
) -> None:
    def asked() -> Finding:
        with mariadb_schema.read() as session:
            return triggers(session)

    assert asked() == Finding("triggers", State.GOOD, "22, as the schema has them")
    changed = (
        ("DROP TRIGGER truetonne.{0.name}",),
        (
            "DROP TRIGGER truetonne.{0.name}",
            "CREATE TRIGGER truetonne.{0.name} BEFORE {0.verb} ON truetonne.{0.table} "
            "FOR EACH ROW SET @nothing = 1",
        ),
    )
    for each in (wanted()[0], wanted()[-1]):
        for changes, said in zip(changed, ("is missing", "is another than ours"), strict=True):
            sound.execute(*(change.format(each) for change in changes))
            item = asked()
            assert item.state is State.BAD
            assert item.found == f"{each.name} {said}: nothing refuses {each.verb} on {each.table}"
            words = shlex.split(item.mend)
            assert words[:4] == [_client(sound), "-u", "root", "-p"]
            socket = f"--socket={sound.folder / 's'}"
            subprocess.run(
                ["mariadb", "--no-defaults", socket, "-u", "root", *words[4:]], check=True
            )
            assert asked().state is State.GOOD


@long
def test_an_account_that_does_not_see_triggers_says_so(sound: MariaDbServer) -> None:
    with made_account(sound, Account.WRITE) as url:
        database = Database(url.render_as_string(hide_password=False))
        with database.read() as session:
            item = triggers(session)
        database.close()
    assert (item.state, item.mend) == (State.UNKNOWN, "set database_admin_url, and ask again")
