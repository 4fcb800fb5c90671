"""Two nodes are written to at once, which docs/ha.md has nobody do: each block is written once all the same.

It comes so for moments: a process may keep a connection to a node that the endpoint has left. What two nodes commit at
once is certified. One of the two is told of a deadlock as it commits (1213), and takes all of it back. Its question
had found the cursor where it was, for it had not yet what the other node committed: the guard alone would not do.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import ExceptionContext, event

from cli.bench.mariadb import ServerUnavailable
from indexer import Indexer, TickReport
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.models import ChainIntent, VppTradingRecord
from tests.support import acts
from tests.support.chain import PARTIES, WINDOW_S, TestChain
from tests.support.dying import COMMIT
from tests.support.galera import Cluster, Node, running_cluster, unavailable, until
from tests.support.mirror import dump, fresh, running_chain
from tests.support.nursery import Child, shared
from tests.support.park import Park, running_park
from tests.support.points import DEPTH, INDEX, WAIT_S, come_to_an_end, settings_of

DATABASE = "two"
DEADLOCK = 1213
DAYS = 6
STRIKES = 8
"""Of the node of the jobs, at even distances over what passes around their commits."""
STRUCK = (2, 5, 8, 9, 10, 11, 12, 13)
"""Points around commits of a mirror that has a range to write: before, amid and after those of its reads and writes."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes, each gone to by itself."""
    with tempfile.TemporaryDirectory(prefix="galera-") as folder:
        try:
            with running_cluster(Path(folder), endpoint=False) as made:
                yield made
        except ServerUnavailable as reason:
            unavailable(reason)


@pytest.fixture
def books(cluster: Cluster) -> Iterator[list[Database]]:
    """One migrated database, opened at each node."""
    cluster.whole()
    cluster.nodes[0].execute(
        "SET foreign_key_checks = 0",
        f"DROP DATABASE IF EXISTS {DATABASE}",
        f"CREATE DATABASE {DATABASE}",
    )
    found = [Database(node.url(DATABASE)) for node in cluster.nodes]
    found[0].upgrade()
    yield found
    for each in found:
        each.close()


def test_mirrors_at_three_nodes_write_each_block_once(
    books: list[Database], tmp_path: Path, sqlite_template: Path
) -> None:
    reports: list[TickReport] = []
    failures: list[BaseException] = []
    met: Counter[object] = Counter()
    stop = threading.Event()

    def note(context: ExceptionContext) -> None:
        met[getattr(context.original_exception, "args", (0,))[0]] += 1

    def mirror(db: Database, chain: TestChain) -> None:
        try:
            with closing(ChainClient(chain.rpc_url)) as client:
                own = Indexer(db, client, chain.deployment, DEPTH, range_blocks_max=2)
                while not stop.is_set():
                    own.run_until("head", on_tick=reports.append)
        except BaseException as error:
            failures.append(error)

    with running_chain() as chain:
        threads = [threading.Thread(target=mirror, args=[db, chain]) for db in books]
        for db in books:
            event.listen(db._engine, "handle_error", note)
        for thread in threads:
            thread.start()
        try:
            for day in range(DAYS):
                acts.credit_acts(chain, day)
                head = chain.height()
                until(
                    lambda: failures or any(item.tip == head for item in reports),  # noqa: B023
                    "no mirror came to the head",
                )
                if day % 2:
                    chain.reorganise(3)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == []
        Indexer(books[0], chain.client, chain.deployment, DEPTH).run_until("head")
        expected = fresh(sqlite_template, tmp_path, chain, DEPTH)
    assert met[DEADLOCK], "no two of them committed at once; the test proves nothing"
    assert any(report.rewound_blocks for report in reports)
    for each in books:
        each.close()  # a new connection waits for what the cluster has
        assert dump(each) == expected


def test_the_node_of_the_mirror_dies_around_each_of_its_commits(
    cluster: Cluster, books: list[Database], tmp_path: Path, sqlite_template: Path
) -> None:
    """Another run goes on at another node, with whatever the lost one had committed."""
    first, second, _ = cluster.nodes
    with running_chain() as chain:
        file = tmp_path / "deployment.json"
        file.write_text(chain.deployment_text(), encoding="utf-8")

        def run(node: Node, at: int | None) -> tuple[int, str]:
            settings = settings_of(node.url(DATABASE), chain, file)
            log = tmp_path / f"said-{node.name}-{at}"
            dies = (tmp_path / "points", at, [str(node.pid)], COMMIT)
            child = shared().start(INDEX, settings, log, dies=None if at is None else dies)
            return child.wait(WAIT_S), child.said()

        assert run(first, None)[0] == 0
        for number, at in enumerate(STRUCK):
            acts.credit_acts(chain, number)
            if number % 2:
                chain.reorganise(3)
            code, said = run(first, at)
            assert code == 3 and "Traceback" not in said, (at, said)
            code, said = run(second, None)
            assert code == 0, (at, said)
            assert dump(books[1]) == fresh(sqlite_template, tmp_path, chain, DEPTH), at
            first.restart()
            cluster.whole()


@contextmanager
def market(db: Database, folder: Path) -> Iterator[tuple[Park, Path]]:
    """Open a park whose market has money; give its deployment file, too."""
    with running_park(db, folder) as park:
        file = folder / "deployment.json"
        file.write_text(park.node.deployment_text(), encoding="utf-8")
        park.fund(PARTIES["market"], 100_000)
        park.mirror_final()
        yield park, file


def test_the_node_of_the_jobs_dies_around_their_commits(
    cluster: Cluster, books: list[Database], tmp_path: Path
) -> None:
    """As a batch is planned, stored, sent and noted; the next run, at another node, proposes it once."""
    first, second, _ = cluster.nodes
    with market(books[2], tmp_path) as (park, file):
        dies = tmp_path / "points"

        def run(node: Node, at: int | None) -> tuple[int, str]:
            settings = settings_of(node.url(DATABASE), park.node, file)
            log = tmp_path / f"said-{node.name}-{at}"
            log.unlink(missing_ok=True)
            struck = (dies, at, [str(node.pid)], COMMIT)
            child = shared().start(("jobs", "run", "settle"), settings, log, dies=struck)
            return child.wait(WAIT_S), child.said()

        park.trade(("sell", 1000, 10_000))
        assert run(first, None)[0] == 0
        passed = len(dies.read_text(encoding="utf-8").splitlines())
        for number, at in enumerate(range(passed // STRIKES, passed, passed // STRIKES), start=1):
            come_to_an_end(park)
            park.trade(("sell", 1000, 10_000), hour=24 * number)
            code, said = run(first, at)
            assert code in (0, 3) and "Traceback" not in said, (at, said)
            code, said = run(second, None)
            assert code == 0, (at, said)
            come_to_an_end(park)
            functions = [row.function_name for row in park.rows(ChainIntent)]
            assert functions.count("proposeBatch") == number + 1, at
            assert park.node.client.transaction_count(PARTIES["operator"]) == number + 1, at
            first.restart()
            cluster.whole()
        assert park.differences() == []


def test_mirrors_and_jobs_at_two_nodes_that_die_in_turn(
    cluster: Cluster, books: list[Database], tmp_path: Path
) -> None:
    """Trades come in at the third; each is settled once."""
    first, second, _ = cluster.nodes
    with market(books[2], tmp_path) as (park, file):
        children: list[Child] = []

        def start(node: Node, name: str) -> None:
            settings = settings_of(node.url(DATABASE), park.node, file)
            settings["TRUETONNE_JOB_SCHEDULES"] = "settle=1s; finalise=1s; send=1s"
            log = tmp_path / f"log-{len(children)}"
            children.append(shared().start([name, "run", "--lease", "2"], settings, log))

        def settled() -> bool:
            park.node.later(WINDOW_S + 1)
            park.node.mine(1)
            return {row.status.value for row in park.rows(VppTradingRecord)} == {"executed"}

        try:
            for node, name in ((first, "index"), (second, "index"), (second, "jobs")):
                start(node, name)
            start(first, "jobs")
            for child in children:
                until(
                    lambda: re.search(r"this (run|process) .* now|stands by", child.said()),  # noqa: B023
                    "it does not begin",
                )
            for number in range(6):
                before = park.count(ChainIntent)
                park.trade(("sell", 1000, 10_000), ("sell", 500, 20_000), hour=24 * number)
                park.node.mine(1)
                if number == 2:
                    park.node.reorganise(3)
                    first.kill()
                if number == 4:
                    first.restart()
                    cluster.whole()
                    second.kill()
                if number not in (2, 4):  # there they are struck amid their work
                    until(lambda: park.count(ChainIntent) > before, "nothing is proposed")  # noqa: B023
            second.restart()
            cluster.whole()
            until(settled, "not all trades are executed")
        finally:
            codes = [child.stop() for child in children]
        assert codes == [0] * len(children), [child.said() for child in children]
        park.mirror_final()
        assert park.differences() == []
