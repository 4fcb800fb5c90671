"""A park with books, chain and mirror of its own for every test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.db import Database
from tests.support.park import Park, running_park


@pytest.fixture
def park(sqlite_db: Database, tmp_path: Path) -> Iterator[Park]:
    """On SQLite."""
    with running_park(sqlite_db, tmp_path) as started:
        yield started


@pytest.fixture
def both(db: Database, tmp_path: Path) -> Iterator[Park]:
    """On SQLite and on MariaDB."""
    with running_park(db, tmp_path) as started:
        yield started
