"""A node of a Galera cluster, as connections, the doctor and the log meet it. Three of them: ``./dev ha``."""

from __future__ import annotations

import logging
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection
from sqlalchemy import make_url, text

from cli.doctor_database import database_checks
from ledger.chain.local.anvil import KeptPort
from ledger.db import Database, diagnoses, engines, galera, galera_rules, silence
from ledger.db.arrays import ArrayConnection
from ledger.db.cells import Array
from ledger.db.findings import Finding, State
from ledger.db.following import server_at
from ledger.db.galera_nodes import findings_elsewhere, place_in
from ledger.db.promotable import Ask
from ledger.db.promotion import promote
from ledger.db.rejoining import compare
from ledger.db.server import findings
from ledger.db.tls import read_tls
from ledger.errors import DependencyDown, Refused
from ledger.settings import load_settings
from tests.ledger.test_silence import HANGS_S, done
from tests.support.forms import few, long
from tests.support.galera import CONFIGURATION, LIBRARY, Node, until
from tests.support.swallowing import SwallowingProxy

WRITE = "INSERT INTO t (v) VALUES (1)"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A cluster of one node, with the file that is shipped."""
    if not LIBRARY.exists():
        pytest.skip("Galera is not installed (Debian's package galera-4)")
    with tempfile.TemporaryDirectory(prefix="galera-") as folder:
        made = Node("db1", Path(folder), [KeptPort()], 0)
        made.bootstraps = True
        made.start()
        try:
            made.execute(
                "CREATE DATABASE truetonne",
                "CREATE TABLE truetonne.t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
            )
            yield made
        finally:
            made.kill()


def found(node: Node) -> dict[str, Finding]:
    """Return what the doctor finds of the cluster."""
    database = Database(node.url("truetonne"))
    try:
        with database.read() as session:
            every = findings(session, read_tls(database.url))
            return {item.name: item for item in every if item.name.startswith("galera")}
    finally:
        database.close()


@pytest.mark.mariadb
def test_a_node_with_the_file_that_is_shipped_lacks_but_its_sisters(node: Node) -> None:
    checked = found(node)
    assert len(checked) == len(galera_rules.RULES)
    assert [name for name, item in checked.items() if item.state is State.BAD] == ["galera size"]
    assert checked["galera size"].found.startswith("1 of 3 nodes")
    assert checked["galera node"].found == "db1 is of the majority, and has everything"


@pytest.mark.mariadb
def test_the_other_nodes_are_asked_too(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers, one that does not, one that does not say where it is. Three real ones: ``./dev ha``."""
    database = Database(node.url("truetonne"))
    with database.read() as session:
        assert list(findings_elsewhere(database, session)) == []  # it is alone
    at = f"127.0.0.1:{node.port}"
    monkeypatch.setattr("ledger.db.galera_nodes.PATIENCE_S", 60)  # however busy the machine is
    monkeypatch.setattr(
        "ledger.db.galera_nodes._STATUS",
        f"SELECT 'wsrep_incoming_addresses', 'x,{at},127.0.0.1:9,AUTO' "
        "UNION SELECT 'wsrep_local_index', '0'",
    )
    with database.read() as session:
        answers, gone, unsaid = list(findings_elsewhere(database, session))[-3:]
    database.close()
    assert (answers.name, answers.state) == ("galera db1", State.BAD)
    assert answers.found.startswith("galera size: 1 of 3 nodes")
    assert answers.mend.startswith("there: ")
    assert (gone.name, gone.state) == ("galera 127.0.0.1:9", State.UNKNOWN)
    assert gone.found.startswith("not asked: ") and "truetonne doctor" in gone.mend
    assert unsaid.state is State.UNKNOWN and "wsrep_node_incoming_address" in unsaid.mend


def test_where_a_node_says_that_it_is() -> None:
    url = make_url("mysql+pymysql://u:p@here/books?ssl_ca=ca.pem&unix_socket=/s")
    for said, place in (
        ("10.0.0.2", "10.0.0.2:3306"),
        ("db2:3307", "db2:3307"),
        ("[fd00::2]:3307", "[fd00::2]:3307"),
    ):
        moved = place_in(url, said).render_as_string(hide_password=False)
        assert moved == f"mysql+pymysql://u:p@{place}/books?ssl_ca=ca.pem"


@pytest.mark.mariadb
def test_the_doctor_asks_nothing_of_a_pair(node: Node) -> None:
    """A second node that is read is no semi-sync replica: whoever made it read-only, as told, would lose a writer."""
    url = node.url("truetonne")
    named = {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_DATABASE_READ_URL": url}
    settings = load_settings(None, named)
    checked = [
        each
        for each in database_checks(settings)
        if each.name.partition(" ")[0] in ("primary", "replica")
    ]
    assert [(each.name, each.verdict.value) for each in checked] == [("replica", "ok")], checked


@pytest.mark.mariadb
def test_a_node_is_neither_promoted_nor_made_to_follow(node: Node) -> None:
    server = server_at(node.url("truetonne"))
    try:
        for act in (
            lambda: promote(server, server, Ask(dry_run=True), print),
            lambda: compare(server, server),
        ):
            with pytest.raises(Refused, match="a node of a Galera cluster") as refused:
                act()
            assert refused.value.code == "cluster-node"
    finally:
        server.close()


@long
@pytest.mark.mariadb
def test_a_dead_node_says_how_far_it_came_beside_a_server_at_the_usual_port(node: Node) -> None:
    """Where another listened at 3306, a drill of three lost nodes failed: each asked for that port."""
    node.execute("INSERT INTO truetonne.t (v) VALUES (1)")
    had = int(node.status("wsrep_last_committed"))
    node.kill()
    try:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):  # somebody is there already
                other.bind(("127.0.0.1", 3306))
                other.listen()
            assert node.recovered() == had
    finally:
        node.restart()


@pytest.mark.mariadb
def test_a_cluster_that_says_nothing_is_given_up_soon(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balancer forgot who came as it found a node dead: the API was back after 11 s, and not after 10 at the most."""
    given: list[float] = []

    class Noted(ArrayConnection):
        def __init__(self, *arguments: Any, connect_timeout: float, **options: Any) -> None:
            given.append(connect_timeout)
            super().__init__(*arguments, connect_timeout=connect_timeout, **options)

    monkeypatch.setattr(engines, "ArrayConnection", Noted)
    database = Database(node.url("truetonne"))
    try:
        for _ in range(2):
            with database.read() as session:
                assert session.execute(text("SELECT 1")).scalar_one() == 1
            database.close()  # the next connection is another
    finally:
        database.close()
    assert given == [10, engines.CLUSTER_ANSWERS_S]


@pytest.mark.mariadb
def test_a_cluster_that_falls_silent_before_a_connection_is_ready_is_given_up_soon(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that froze after it had let us in was waited for as long as a statement may say nothing, and longer."""
    monkeypatch.setattr(engines, "CLUSTER_ANSWERS_S", 1)
    monkeypatch.setattr(silence, "SILENCE_S", 60 * HANGS_S)
    ask = galera.node_of

    def struck(link: Connection[Any]) -> str:
        proxy.swallow_open()
        return ask(link)

    with SwallowingProxy(node.port) as proxy:
        place = make_url(node.url("truetonne")).set(port=proxy.port)
        database = Database(place.render_as_string(hide_password=False))
        database.ping()
        database.close()  # the next connection is another
        monkeypatch.setattr(galera, "node_of", struck)
        with pytest.raises(DependencyDown, match="timed out"):
            done(database.ping)
        database.close()


@pytest.mark.mariadb
def test_the_account_of_the_schema_makes_triggers(node: Node) -> None:
    """A node counts as one that writes a binary log, also where it writes none: then only root makes triggers."""
    node.execute(
        "CREATE USER changes_schema@'%' IDENTIFIED BY 'a password'",
        "GRANT CREATE, DROP, TRIGGER ON truetonne.* TO changes_schema@'%'",
    )
    with pymysql.connect(
        host="127.0.0.1",
        port=node.port,
        user="changes_schema",
        password="a password",
        database="truetonne",
        ssl_disabled=True,
    ) as link:
        cursor = link.cursor()
        cursor.execute("CREATE TRIGGER t_kept BEFORE DELETE ON t FOR EACH ROW SET @kept = 1")
        cursor.execute("DROP TRIGGER t_kept")


@few(2)
@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("name", "condition", "said"),
    [
        ("settings", "SET GLOBAL wsrep_sync_wait = 1", "every read waits"),
        ("settings", "SET GLOBAL wsrep_dirty_reads = ON", "would answer with what was"),
        ("settings", "SET GLOBAL wsrep_OSU_method = 'RSU'", "reach one node alone"),
        ("settings", "SET GLOBAL wsrep_certify_nonPK = OFF", "would differ between nodes"),
        ("settings", "SET GLOBAL wsrep_sst_method = 'rsync'", "stops the one that gives it"),
        ("settings", "SET GLOBAL wsrep_slave_threads = 2", "may stop the node for good"),
        ("failover", "SET GLOBAL wsrep_provider_evs_suspect_timeout = 6", "waited for 6 s"),
        ("keys", "CREATE TABLE bare (v INT)", "bare has no primary key"),
        ("keys", "CREATE TABLE sites (id INT)", "sites has no primary key"),
    ],
)  # fmt: skip
def test_a_condition_is_seen_and_its_statement_mends_it(
    node: Node, name: str, condition: str, said: str
) -> None:
    node.execute("USE truetonne", condition)
    item = found(node)[f"galera {name}"]
    assert item.state is State.BAD
    assert said in item.found
    node.execute("USE truetonne", item.mend)
    assert found(node)[f"galera {name}"].state is State.GOOD


@pytest.mark.mariadb
def test_a_node_that_is_cut_off_is_none_and_its_connections_go(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers the driver's ping: by that a pool would keep what is of no use."""
    database = Database(node.url("truetonne"))
    database.alone(text(WRITE))
    with database.read() as session:
        first = session.execute(text("SELECT CONNECTION_ID()")).scalar_one()
    node.execute("SET GLOBAL wsrep_cluster_address = ''")
    try:
        until(lambda: node.status("wsrep_ready") == "OFF", "the node is not cut off")
        for _ in range(2):  # by the pool's connection, and by a new one
            with pytest.raises(
                DependencyDown, match=r"1047 WSREP has not yet .*name the writer endpoint"
            ):
                database.alone(text(WRITE))
    finally:
        node.execute("SET GLOBAL wsrep_cluster_address = 'gcomm://'")
        until(lambda: node.synced, "the node does not come back")
    database.alone(text(WRITE))
    with database.read() as session:
        assert session.execute(text("SELECT CONNECTION_ID()")).scalar_one() != first
    said = [record.message for record in caplog.records if record.name == "truetonne.database"]
    assert len(said) == 2
    assert re.search(r"went away: 1047 WSREP has not yet ", said[0])
    assert re.search(r"answers again, after \d+\.\d s", said[1])
    database.close()


@pytest.mark.mariadb
def test_a_new_connection_waits_once_for_what_the_cluster_has(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the node makes it wait is tried on three: ``tests/ha/test_nodes.py``."""
    said: list[str] = []
    query = ArrayConnection.query

    def heard(self: ArrayConnection, sql: str | bytes, unbuffered: bool = False) -> int:
        said.append(sql.decode() if isinstance(sql, bytes) else sql)
        return query(self, sql, unbuffered)

    monkeypatch.setattr(ArrayConnection, "query", heard)
    database = Database(node.url("truetonne"))
    with database.read() as session:
        assert session.execute(text("SELECT @@wsrep_sync_wait")).scalar_one() == 0
    first = said.index("SET SESSION wsrep_sync_wait = 1")
    assert said[first + 1] == "SELECT 1"
    assert first < said.index("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    with database.read():
        pass
    assert said.count("SET SESSION wsrep_sync_wait = 1") == 1
    database.close()


@pytest.mark.mariadb
def test_a_node_is_read_as_a_replica_without_a_binary_log(node: Node) -> None:
    """The cluster has one order of commits: a node says itself when it has all of them."""
    database = Database(node.url("truetonne"), read_url=node.url("truetonne"))
    assert database.replica is not None
    for _ in range(5):
        database.alone(text(WRITE))
        with database.look() as session:
            rows = session.execute(text("SELECT COUNT(*) FROM t")).scalar_one()
        assert rows == node.ask("SELECT COUNT(*) FROM truetonne.t")[0][0]
    assert (database.replica.reads, database.replica.passed) == (5, 0)
    database.close()


@pytest.mark.mariadb
def test_a_node_takes_arrays_of_rows(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any rows of a cluster, they are sent to the others row by row: ``./dev ha`` has three."""
    sent: list[int] = []
    usual = ArrayConnection._execute

    def counted(self: ArrayConnection, sql: str | bytes, array: Array) -> int:
        sent.append(array.rows)
        return usual(self, sql, array)

    monkeypatch.setattr(ArrayConnection, "_execute", counted)
    database = Database(node.url("truetonne"))
    values = list(range(1_000, 1_100))
    with database.write() as session:
        database.insert_columns(session, "t", {"v": values}, {})
    with database.read() as session:
        assert session.scalars(text("SELECT v FROM t WHERE v >= 1000 ORDER BY id")).all() == values
    database.close()
    assert sent == [100]


@pytest.mark.mariadb
def test_a_server_of_no_cluster_is_not_read_as_a_node(node: Node, mariadb_schema: Database) -> None:
    other = mariadb_schema.url.render_as_string(hide_password=False)
    database = Database(node.url("truetonne"), read_url=other)
    assert database.replica is not None
    with database.look() as session:
        assert session.execute(text("SELECT @@port")).scalar_one() == node.port
    assert (database.replica.reads, database.replica.passed) == (0, 1)
    database.close()


@pytest.mark.mariadb
def test_a_server_that_dies_and_comes_back_is_two_lines(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(node.url("truetonne"))
    database.alone(text(WRITE))
    node.kill()
    try:
        for _ in range(3):
            with pytest.raises(DependencyDown):
                database.alone(text(WRITE))
    finally:
        node.restart()
    database.alone(text(WRITE))
    said = [record.message for record in caplog.records if record.name == "truetonne.database"]
    assert ["went away" in line for line in said] == [True, False]
    assert "answers again" in said[1]
    database.close()


def test_one_that_never_answered_is_told_of_by_the_error_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database("mysql+pymysql://root@127.0.0.1:9/truetonne")
    with pytest.raises(DependencyDown):
        database.ping()
    assert caplog.records == []


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1047, "name the writer endpoint"),
        (1180, "whether it was committed is not known"),
        (1927, "start the server"),
        (2013, "start the server"),
    ],
)
def test_a_connection_that_is_lost_while_it_is_prepared_is_a_server_that_is_down(
    mariadb_schema: Database, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    """SQLAlchemy wraps no error of setting a connection to autocommit, as every lease is renewed."""
    database = Database(mariadb_schema.url.render_as_string(hide_password=False))
    database.ping()

    def lost(self: Connection, value: bool) -> None:  # type: ignore[type-arg]
        raise pymysql.err.OperationalError(number, "gone")

    monkeypatch.setattr(ArrayConnection, "autocommit", lost)
    with pytest.raises(DependencyDown, match=said) as raised:
        database.alone(text("SELECT 1"))
    assert raised.value.code == "database-down"
    assert diagnoses.is_gone(pymysql.err.OperationalError(number, "gone"))
    database.close()


def test_a_server_that_takes_a_connection_and_says_nothing_is_not_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began_s = time.monotonic()
        with pytest.raises(pymysql.err.OperationalError):
            ArrayConnection(
                host="127.0.0.1", port=silent.getsockname()[1], user="root", connect_timeout=1
            )
        assert time.monotonic() - began_s < 60  # the server would be waited for without an end


@pytest.mark.mariadb
def test_a_machine_that_is_gone_is_found_out_by_tcp(mariadb_schema: Database) -> None:
    with mariadb_schema.server() as connection:
        link = connection.connection.dbapi_connection
        line = link._sock  # type: ignore[union-attr]
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        waits = [
            line.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        ]
        assert waits == [5, 2, 3]
        assert (
            line.gettimeout() == silence.SILENCE_S
        )  # then the server is asked: a report may take long


def test_the_question_of_the_endpoint_is_as_long_as_it_says() -> None:
    """HAProxy sends it byte by byte as the protocol of MariaDB has it."""
    lines = (CONFIGURATION / "haproxy.cfg").read_text(encoding="utf-8")
    sent = [bytes.fromhex(part) for part in re.findall(r"send-binary ([0-9a-f]+)", lines)]
    (question,) = re.findall(r'tcp-check send "(.*)"', lines)
    login = sent[0] + sent[1]
    assert int.from_bytes(login[:3], "little") == len(login) - 4
    assert login[3] == 1 and login.endswith(b"haproxy_check\0\0")
    asked = sent[2] + question.encode()
    assert int.from_bytes(asked[:3], "little") == len(asked) - 4
    assert (asked[3], asked[4]) == (0, 3)  # a new command, COM_QUERY
    assert sent[3] == bytes([1, 0, 0, 0, 1])  # COM_QUIT
    assert "take-writes" not in question  # nor what an error repeats of it


@long
def test_the_log_is_of_one_process(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    from ledger.db.presence import Presence

    seen = Presence("books")
    seen.at("db1")
    seen.answers()
    seen.at("db1")
    assert caplog.records == []
    seen.at("db2")  # it moved, and nobody was in the middle of something
    seen.is_gone("2013 lost")
    seen.is_gone("2003 refused")
    seen.at("db3")
    seen.answers()
    said = [record.message for record in caplog.records]
    assert said[:2] == [
        "database books: node db2 now, db1 before",
        "database books went away: 2013 lost",
    ]
    assert re.fullmatch(
        r"database books answers again, after 0\.\d s: node db3 now, db2 before", said[2]
    )
    assert len(said) == 3
