"""Databases for every test: SQLite at once, a real MariaDB where it is installed.

``db`` runs a test on both. Each has the schema as the migrations build it, and no rows.
"""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

from ledger.db import Database, engines
from ledger.db.grants import Account
from tests.support import books, forms, mysql, once
from tests.support.accounts import made_account
from tests.support.at_once import answer_at_once
from tests.support.kept_files import made_once
from tests.support.mariadb import MariaDbServer, ServerUnavailable, empty, load, save

gc.disable()  # until all is imported: little of it is garbage, and each collection would look through it again
once.share()
answer_at_once()
_numbers = count(1)

LONGEST_FIRST = (
    "tests/prove/test_short_form.py",
    "tests/flows/test_demo.py",
    "tests/architecture/test_lint.py",
    "tests/contracts/test_deploy.py",
    "tests/flows/test_pages_browser.py",
    "tests/cli/test_chain.py",
    "tests/ledger/test_migrations.py",
    "tests/cli/test_frame.py",
    "tests/flows/test_reindex.py",
    "tests/cli/test_bench_indexer.py",
    "tests/ledger/test_copying.py",
    "tests/cli/test_bad_input.py",
    "tests/flows/test_reconcile.py",
    "tests/flows/test_issuance.py",
    "tests/indexer/test_real_nodes.py",
    "tests/flows/test_settlement.py",
    "tests/flows/test_webhooks.py",
    "tests/cli/test_mirror.py",
    "tests/cli/test_guarding.py",
    "tests/flows/test_verify.py",
    "tests/api/test_schemathesis.py",
    "tests/contracts/credit/test_machine.py",
    "tests/cli/test_desk.py",
    "tests/ledger/test_db.py",
    "tests/indexer/test_bodies.py",
    "tests/ledger/test_real_files.py",
    "tests/flows/test_restored.py",
    "tests/indexer/test_lies.py",
    "tests/ledger/test_galera.py",
    "tests/flows/test_settling.py",
    "tests/indexer/test_lease.py",
    "tests/ledger/test_arrays.py",
    "tests/indexer/test_history.py",
    "tests/cli/test_backup.py",
    "tests/api/test_access.py",
    "tests/api/test_as_of.py",
)
"""Files of ten seconds and more. Some processes share the suite a file at a time: one that is left
for the end keeps the others idle."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--long``: every test, also those of ``./dev test --long`` alone."""
    parser.addoption("--long", action="store_true", help="run what is marked long as well")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the form before the tests are imported."""
    forms.choose(bool(config.getoption("--long")))
    # No deadlines: how long an example takes says more of the machine than of what is tested.
    # The short form draws the same examples in every run, the long one new ones: none fails by chance.
    settings.register_profile("short", max_examples=25, deadline=None, derandomize=True)
    settings.register_profile("long", settings.get_profile("default"), deadline=None)
    settings.load_profile("long" if forms.is_long() else "short")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the long form; begin with the longest files; leave the others in their order."""
    kept, others = forms.left_to_the_long_form(items, config.args)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = kept
    mysql.leave_out(items)
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.split("::")[0], len(rank)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Leave what was imported out of every later collection of garbage: it was a seventh of the suite's time.

    The twelfth of it that is garbage as well: to find it takes half a second in each process.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # Python's own 700 took a twentieth of what was left
    gc.enable()


@event.listens_for(Session, "do_orm_execute")
def _locks_nothing_to_read(asked: ORMExecuteState) -> None:
    """Refuse a lock in a unit of work that only reads: MariaDB does, and SQLite knows no such lock."""
    # Nearly all lock nothing, and need not ask for their connection.
    if getattr(asked.statement, "_for_update_arg", None) is None:
        return
    mode = asked.session.connection().get_execution_options().get(engines.MODE)
    assert mode != engines.READ, f"locked in order to read: {asked.statement}"


@pytest.fixture(scope="session", autouse=True)
def _books_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    books.keep_once(partial(made_once, tmp_path_factory, "template.db"))


@pytest.fixture(scope="session", autouse=True)
def _what_is_started_hears_hangups() -> None:
    """``nohup`` ignores them, which programs inherit; a handler keeps them from us, and is not inherited."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema; made once, copied for every test."""
    return made_once(tmp_path_factory, "template.db", books.migrate)


@pytest.fixture
def sqlite_db(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """An SQLite database of the test's own."""
    file = tmp_path / "truetonne.db"
    shutil.copyfile(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDbServer]:
    """A MariaDB server of the session's own; skips where none is installed, fails under CI."""
    with tempfile.TemporaryDirectory(prefix="mariadb-") as folder:
        try:
            server = MariaDbServer(Path(folder), plain=True)
            server.start()
        except ServerUnavailable as reason:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI must run the tests on MariaDB: {reason}")
            pytest.skip(str(reason))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def mariadb_schema_file(
    mariadb_server: MariaDbServer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Statements that make a database as the migrations do, in a quarter of their time."""

    def migrate(file: Path) -> None:
        mariadb_server.execute("CREATE DATABASE migrated")
        database = Database(mariadb_server.url("migrated"))
        database.upgrade()
        database.close()
        save(mariadb_server, "migrated", file)
        mariadb_server.execute("DROP DATABASE migrated")

    return made_once(tmp_path_factory, "schema.sql", migrate)


@pytest.fixture(scope="session")
def migrated_mariadb_url(
    mariadb_server: MariaDbServer, mariadb_schema_file: Path
) -> Callable[[str], str]:
    """Return a function that makes a database with the schema, of a name, and returns its address."""
    return lambda name: load(mariadb_server, name, mariadb_schema_file)


@pytest.fixture(scope="session")
def mariadb_schema(migrated_mariadb_url: Callable[[str], str]) -> Iterator[Database]:
    """One migrated database of the server, shared by the tests of the session."""
    database = Database(migrated_mariadb_url("truetonne"), lock_timeout_s=10)
    yield database
    database.close()


@pytest.fixture
def mariadb_db(mariadb_server: MariaDbServer, mariadb_schema: Database) -> Iterator[Database]:
    """The MariaDB database, without rows; with ``TEST_ACCOUNT=write`` as that account, see docs/assurance.md."""
    account = os.environ.get("TEST_ACCOUNT")
    if account:
        with made_account(mariadb_server, Account(account)) as url:
            database = Database(url.render_as_string(hide_password=False), lock_timeout_s=10)
            yield database
            database.close()
    else:
        yield mariadb_schema
        mariadb_schema.close()
    empty(mariadb_server, "truetonne")


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def db(request: pytest.FixtureRequest) -> Database:
    """The same test on SQLite and on MariaDB."""
    database = request.getfixturevalue(f"{request.param}_db")
    assert isinstance(database, Database)
    return database


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a database that nobody has migrated yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    url: Callable[[], str] = request.getfixturevalue("new_mariadb_url")
    return url()


@pytest.fixture
def new_mariadb_url(mariadb_server: MariaDbServer) -> Callable[[], str]:
    """Return a function that makes an empty MariaDB database and returns its address."""

    def make() -> str:
        name = f"new_{next(_numbers)}"
        mariadb_server.execute(f"CREATE DATABASE {name}")
        return mariadb_server.url(name)

    return make
