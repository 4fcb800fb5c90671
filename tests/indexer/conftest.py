"""A real node with the contracts for every test, and mirrors of it to compare with."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from indexer import Indexer, loop, ranges
from ledger.chain.node import requests
from ledger.db import Database
from tests.support.chain import TestChain
from tests.support.mariadb import MariaDbServer, empty
from tests.support.mirror import Dump, dump, fresh, running_chain
from tests.support.nursery import shared
from tests.support.stages import Stage, stage

DEPTH = 64
"""A finality that no reorganisation of these tests reaches, unless a test says so."""


@pytest.fixture
def chain(request: pytest.FixtureRequest) -> Iterator[TestChain]:
    with running_chain(deploys=request.node.get_closest_marker("deploys") is not None) as started:
        yield started


@pytest.fixture
def fresh_dump(
    chain: TestChain, sqlite_template: Path, tmp_path: Path
) -> Callable[[str | int], Dump]:
    """Return a function that mirrors the chain as it is now from nothing."""
    return lambda finality=DEPTH: fresh(sqlite_template, tmp_path, chain, finality)


@pytest.fixture
def mirror(chain: TestChain, sqlite_db: Database) -> Indexer:
    return Indexer(sqlite_db, chain.client, chain.deployment, DEPTH)


@pytest.fixture
def same_as_fresh(
    sqlite_db: Database, fresh_dump: Callable[[str | int], Dump]
) -> Callable[[], None]:
    """Return a function that compares the mirror with a new one, row for row in every table."""

    def check() -> None:
        mine, new = dump(sqlite_db), fresh_dump(DEPTH)
        for table, expected in new.items():
            assert mine[table] == expected, table

    return check


@pytest.fixture(scope="module")
def history_stage(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A node on which histories are played one after the other, mirrored in this process."""
    with (
        pytest.MonkeyPatch.context() as patch,
        stage(sqlite_template, tmp_path_factory.mktemp("stage")) as on,
    ):
        patch.setattr(ranges, "_DOUBT_PAUSE_S", 0.002)  # a lie is told again however long one waits
        patch.setattr(loop, "_LOOK_PAUSE_S", 0.0)
        patch.setattr(requests, "RATE_PAUSE_S", 0.002)
        yield on


@pytest.fixture(scope="module")
def process_stage(history_stage: Stage) -> Stage:
    """The same, mirrored by ``truetonne index run`` in processes of its own."""
    return replace(history_stage, nursery=shared())


@pytest.fixture
def mariadb_stage(
    process_stage: Stage, mariadb_server: MariaDbServer, mariadb_schema: Database
) -> Iterator[Stage]:
    """The same, with the books in MariaDB."""

    def books() -> Database:
        empty(mariadb_server, "truetonne")
        return Database(mariadb_server.url("truetonne"))

    yield replace(process_stage, mariadb=books)
    empty(mariadb_server, "truetonne")  # the next test finds the database as this one did
