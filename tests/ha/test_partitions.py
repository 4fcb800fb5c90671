"""Changes of partitions while others write and read: each stops the whole cluster for a moment, and none for good."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.db import Database, DatabaseBusy
from ledger.errors import DependencyDown
from ledger.keeping.reading import rows_between
from ledger.models.partitions import partitions_of
from tests.ha.strikes import GO_ON_S
from tests.support.galera import Cluster
from tests.support.keeping import EVER, add_device, at, everything, fresh, put, store

ROOT = Path(__file__).resolve().parents[2]
DATABASE = "partitions"
MONTHS = 30
AGAIN_S = 120
ISOLATED = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE '%isolation%'"


@pytest.fixture
def books(cluster: Cluster) -> Iterator[Database]:
    """Empty books at the endpoint."""
    writer = cluster.writer()
    assert writer is not None
    writer.execute(f"CREATE OR REPLACE DATABASE {DATABASE}")
    database = Database(cluster.url(DATABASE))
    database.upgrade()
    fresh(database)
    yield database
    database.close()
    writer.execute(f"DROP DATABASE {DATABASE}", f"DROP DATABASE IF EXISTS {DATABASE}_archive")


class Writing(threading.Thread):
    """Stores a value in a unit of work of its own, again and again, by the endpoint."""

    def __init__(self, url: str, code: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.db, self.stop, self.longest_s = Database(url), stop, 0.0
        self.device, self.written = add_device(self.db, code), 0
        self.defect = ""

    def run(self) -> None:
        """Go on until told to stop."""
        now = datetime.now(UTC)
        while not self.stop.wait(0.01):
            began_s = time.monotonic()
            while True:  # refused, and so not done: a change of partitions was in the way
                try:
                    put(self.db, self.device, [now + timedelta(microseconds=self.written)])
                    break
                except DatabaseBusy:
                    continue
                except Exception as error:
                    self.defect = repr(error)
                    return
            self.written += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
        self.db.close()


class Reading(threading.Thread):
    """Reads live and archived values of a node that is not written to, again and again: none is missing, none twice."""

    def __init__(self, url: str, device: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.db, self.device, self.stop = Database(url), device, stop
        self.counts: set[int] = set()
        self.reads = 0
        self.defect = ""

    def run(self) -> None:
        """Go on until told to stop."""
        while not self.stop.wait(0.01):
            try:
                with rows_between(self.db, "device_data", *EVER) as rows:
                    self.counts.add(sum(row["device_id"] == self.device for row in rows))
                self.reads += 1
            except DatabaseBusy:
                continue
            except Exception as error:
                self.defect = repr(error)
                return
        self.db.close()


def change(cluster: Cluster, home: Path, *words: str) -> tuple[float, int]:
    """Run a command that changes partitions; return how long it took, in seconds, and how often it was run again."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TRUETONNE_HOME": str(home),
        "TRUETONNE_DATABASE_URL": cluster.url(DATABASE),
    }
    command = [sys.executable, "-m", "cli.main", "db", "partitions", *words]
    began_s, again = time.monotonic(), 0
    while True:  # exit 3: somebody was in its way for too long
        ended = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        took_s = time.monotonic() - began_s
        if ended.returncode == DependencyDown.exit_code and took_s < AGAIN_S:
            again += 1
            continue
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return took_s, again


def check_nodes(cluster: Cluster, rows: int, partition: str) -> None:
    """Require that all nodes have the same rows and periods, and that none waits to be alone."""
    cluster.whole()
    found = []
    for node in cluster.nodes:
        assert node.ask(ISOLATED) == [(0,)]
        at_node = Database(node.url(DATABASE))
        found.append(everything(at_node))
        with at_node.changing() as link:
            assert partition in {part.name for part in partitions_of(link, "device_data")}
        at_node.close()
    assert len(found[0]) == rows
    assert found[0] == found[1] == found[2]


def old_values(db: Database, device: int, day: int) -> None:
    """Store a value of each of many months that are to be archived, in one unit of work."""
    year = datetime.now(UTC).year
    moments = [at(year - 1 - number // 12, number % 12 + 1, day) for number in range(MONTHS)]
    db.run(lambda session: store(session, device, moments))


def test_partitions_are_changed_under_load(
    cluster: Cluster,
    books: Database,
    rounds: int,
    tmp_path: Path,
    figures: Callable[[str, Any], None],
) -> None:
    """With the files that are shipped: no node stops, no commit that was acknowledged is lost, all nodes are alike."""
    writer = cluster.writer()
    reader = next(node for node in cluster.nodes if node is not writer)
    old, year, stop = add_device(books, "OLD"), datetime.now(UTC).year, threading.Event()
    writing = [Writing(cluster.url(DATABASE), f"D{number}", stop) for number in range(3)]
    reading = Reading(reader.url(DATABASE), old, stop)
    threads = (*writing, reading)
    longest: dict[str, float] = {"ensure": 0.0, "archive": 0.0}
    repeated = stored = 0
    old_values(books, old, 1)
    for thread in threads:
        thread.start()
    try:
        for number in range(max(2, min(rounds, 4))):
            if number:  # values that come late for months that were archived
                old_values(books, old, number + 1)
            stored += MONTHS
            for words in (("ensure", "--until", f"{year + 3 + number}-06"), ("archive",)):
                took_s, again = change(cluster, tmp_path, *words)
                longest[words[0]], repeated = max(longest[words[0]], took_s), repeated + again
                for thread in threads:
                    assert thread.is_alive(), thread.defect
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a commit waits for good"
    assert [thread.defect for thread in threads] == [""] * len(threads)
    assert reading.reads and reading.counts <= set(range(MONTHS, stored + 1, MONTHS))
    written = sum(thread.written for thread in writing)
    check_nodes(cluster, written + stored, f"p{year + 3}01")
    longest_s = max(thread.longest_s for thread in writing)
    assert longest_s < GO_ON_S
    counted = {"written": written, "reads": reading.reads, "old": stored, "run_again": repeated}
    figures(
        "partitions",
        {**counted, "longest_commit_s": round(longest_s, 2)}
        | {f"longest_{what}_s": round(value, 1) for what, value in longest.items()},
    )
