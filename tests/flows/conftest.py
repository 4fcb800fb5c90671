"""A park with books, chain and mirror of its own for every test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.bundles import BuiltBundle
from ledger.db import Database
from tests.support.park import Park, running_park
from tests.support.proven import bundles, proven_park


@pytest.fixture
def park(request: pytest.FixtureRequest, sqlite_db: Database, tmp_path: Path) -> Iterator[Park]:
    """On SQLite."""
    with running_park(sqlite_db, tmp_path, _is_mirrored(request)) as started:
        yield started


@pytest.fixture
def both(request: pytest.FixtureRequest, db: Database, tmp_path: Path) -> Iterator[Park]:
    """On SQLite and on MariaDB."""
    with running_park(db, tmp_path, _is_mirrored(request)) as started:
        yield started


def _is_mirrored(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("unmirrored") is None


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Park]:
    """A park with a retired credit, for tests that only look at it."""
    with proven_park(tmp_path_factory.mktemp("proven")) as made:
        yield made


@pytest.fixture(scope="session")
def corpus(proven: Park) -> dict[str, BuiltBundle]:
    """A bundle of each kind."""
    return bundles(proven)
