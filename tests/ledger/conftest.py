"""A MariaDB database whose partitions tests may change: it is brought back to how it was after each."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import delete

from ledger.db import Database
from ledger.models import Device
from tests.support.keeping import fresh
from tests.support.mariadb import MariaDbServer


@pytest.fixture(scope="session")
def kept_url(
    mariadb_server: MariaDbServer, migrated_mariadb_url: Callable[[str], str]
) -> Iterator[str]:
    yield migrated_mariadb_url("kept")
    mariadb_server.execute("DROP DATABASE kept")


@pytest.fixture
def mariadb_books(kept_url: str, mariadb_server: MariaDbServer) -> Iterator[Database]:
    database = Database(kept_url, lock_timeout_s=10)
    yield database
    fresh(database)
    with database.write() as session:
        session.execute(delete(Device))
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def books(request: pytest.FixtureRequest) -> Database:
    name = "sqlite_db" if request.param == "sqlite" else "mariadb_books"
    database = request.getfixturevalue(name)
    assert isinstance(database, Database)
    return database
