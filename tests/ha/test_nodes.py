"""What our connections rely on, at three real nodes: nothing is read that is older than what was acknowledged."""

from __future__ import annotations

import re
import threading
import time
from contextlib import closing

import pymysql
import pytest
from sqlalchemy import text

from ledger.db import Database, silence
from ledger.db.findings import Finding, State
from ledger.db.galera_nodes import findings_elsewhere
from tests.support.galera import Cluster

READS = 300
HELD_UP_S = 1.5
COUNT = "SELECT COUNT(*) FROM t"


@pytest.mark.parametrize("silence_s", [silence.SILENCE_S, HELD_UP_S / 5])
def test_a_new_connection_waits_until_its_node_has_what_the_cluster_has(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, silence_s: float
) -> None:
    """As after a failover: the node has received what was acknowledged, and not applied it.

    One that took longer than 12 s over that was given up, and called down.
    """
    monkeypatch.setattr(silence, "SILENCE_S", silence_s)
    monkeypatch.setattr(silence, "_ON_ITS_WAY_S", silence_s)
    first, second = cluster.nodes[:2]
    first.execute("CREATE OR REPLACE DATABASE ha", "CREATE TABLE ha.t (id INT PRIMARY KEY)")
    old = Database(second.url("ha"))
    with old.read() as session:
        assert session.execute(text(COUNT)).scalar_one() == 0
    with closing(pymysql.connect(unix_socket=str(second.folder / "s"), user="root")) as link:
        cursor = link.cursor()
        cursor.execute("SET GLOBAL wsrep_desync = 1")
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        first.execute("INSERT INTO ha.t VALUES (1)")

        def let_go() -> None:
            cursor.execute("UNLOCK TABLES")
            cursor.execute("SET GLOBAL wsrep_desync = 0")

        with old.read() as session:  # the fault is there: without waiting, the row is not
            assert session.execute(text(COUNT)).scalar_one() == 0
        timer = threading.Timer(HELD_UP_S, let_go)
        began_s = time.monotonic()
        timer.start()
        new = Database(second.url("ha"))
        with new.read() as session:
            assert session.execute(text(COUNT)).scalar_one() == 1
        assert time.monotonic() - began_s >= HELD_UP_S
        timer.join()
    old.close()
    new.close()


def test_the_doctor_asks_every_node(cluster: Cluster) -> None:
    """One that would not take over, and one whose setting differs, are said by name, with what mends it there."""
    writer = cluster.writer()
    assert writer is not None
    second, third = (node for node in cluster.nodes if node is not writer)
    writer.execute("CREATE OR REPLACE DATABASE ha")
    database = Database(cluster.url("ha"))

    def found() -> dict[str, Finding]:
        with database.read() as session:
            return {item.name: item for item in findings_elsewhere(database, session)}

    try:
        sound = found()
        assert set(sound) == {f"galera {node.name}" for node in (second, third)}
        second.execute("SET GLOBAL read_only = 1")
        third.execute("SET GLOBAL wsrep_slave_threads = 2")
        wrong = found()
        said = wrong[f"galera {second.name}"]
        assert (said.state, said.mend) == (State.BAD, "there: SET GLOBAL read_only = 0")
        said = wrong[f"galera {third.name}"]
        assert said.state is State.BAD and "more than one applier" in said.found
        second.execute("SET GLOBAL read_only = 0")
        third.execute(said.mend.removeprefix("there: "))
        assert found() == sound
        assert {item.state for item in sound.values()} == {State.GOOD}, sound
    finally:
        second.execute("SET GLOBAL read_only = 0")
        third.execute("SET GLOBAL wsrep_slave_threads = 1")
        database.close()


def test_a_read_of_another_node_is_never_stale(cluster: Cluster) -> None:
    """``database_read_url`` may name a node that is not written to."""
    writer = cluster.writer()
    assert writer is not None
    reader = next(node for node in cluster.nodes if node is not writer)
    writer.execute("CREATE OR REPLACE DATABASE ha", "CREATE TABLE ha.t (id INT PRIMARY KEY)")
    database = Database(cluster.url("ha"), read_url=reader.url("ha"))
    assert database.replica is not None
    stale = 0
    for number in range(READS):
        database.alone(text(f"INSERT INTO t VALUES ({number})"))
        with database.look() as session:
            stale += session.execute(text(COUNT)).scalar_one() != number + 1
    assert stale == 0
    assert database.replica.reads > READS * 0.9, database.replica.why
    database.close()


def test_a_read_does_not_wait_for_a_node_as_long_as_that_gives_itself(cluster: Cluster) -> None:
    """These are 30 s, in which all who read stood still."""
    writer = cluster.writer()
    assert writer is not None
    reader = next(node for node in cluster.nodes if node is not writer)
    writer.execute("CREATE OR REPLACE DATABASE ha", "CREATE TABLE ha.t (id INT PRIMARY KEY)")
    database = Database(cluster.url("ha"), read_url=reader.url("ha"))
    assert database.replica is not None

    def count() -> int:
        with database.look() as session:
            return int(session.execute(text(COUNT)).scalar_one())

    assert (count(), database.replica.reads) == (0, 1)
    with closing(pymysql.connect(unix_socket=str(reader.folder / "s"), user="root")) as link:
        cursor = link.cursor()
        cursor.execute("SET GLOBAL wsrep_desync = 1")
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        try:
            database.alone(text("INSERT INTO t VALUES (1)"))
            for why in (r"lags$", r"1047 WSREP has not yet"):  # by an open connection, by a new one
                database.replica._rest_until_s = 0
                began_s = time.monotonic()
                assert count() == 1
                assert time.monotonic() - began_s < 20
                assert re.search(why, database.replica.why)
        finally:
            cursor.execute("UNLOCK TABLES")
            cursor.execute("SET GLOBAL wsrep_desync = 0")
    database.replica._rest_until_s = 0
    assert (count(), database.replica.reads) == (1, 2)
    database.close()
