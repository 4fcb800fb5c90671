"""A MariaDB database whose partitions tests may change, books of the bundled files, a node."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from ledger.db import Database
from ledger.models import Device
from ledger.readings import ImportReport, import_file
from tests.support.chain import TestChain
from tests.support.keeping import fresh
from tests.support.kept_files import made_once
from tests.support.mariadb import MariaDbServer
from tests.support.mirror import running_chain
from tests.support.plant import LHB_FILE, LHB_SITE, SERF_FILE, SERF_SITE, apply


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


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    """A node with the contracts, for all tests of a file."""
    with running_chain() as started:
        yield started


@pytest.fixture(scope="module")
def real(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of the module's own with both bundled files: the turbine is "lhb", the rooftop "serf-east"."""

    def bring_in(file: Path) -> None:
        shutil.copyfile(sqlite_template, file)
        database = Database(f"sqlite:///{file}")
        apply(database, LHB_SITE)
        apply(database, SERF_SITE)
        turbine = import_file(database, "lhb", "scada", LHB_FILE)
        rooftop = import_file(database, "serf-east", "inverter", SERF_FILE)
        database.close()
        assert _counts(turbine) == (105120, 105108, 0, 12, 0)
        assert (turbine.missing, turbine.outliers, turbine.late) == (1209, 0, 0)
        assert _counts(rooftop) == (10000, 10000, 0, 0, 0)

    file = tmp_path_factory.mktemp("real") / "truetonne.db"
    shutil.copyfile(made_once(tmp_path_factory, "real.db", bring_in), file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


def _counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return (report.read, report.new, report.unchanged, report.conflicts, report.rejected)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tt-") as made:
        yield Path(made)
