"""The mirror on the benchmark's chain: the product's own command, in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, select

from cli.bench.indexer.chain import BenchChain, Truth
from cli.bench.indexer.tables import rows_of
from cli.bench.indexer.watch import Spent, run
from cli.bench.mariadb import MariaDbServer
from ledger.db import Database
from ledger.errors import ProblemFound
from ledger.models import Base

DATABASE = "truetonne_bench"
_CONSOLE = "from cli.start import main; main()"
_EVENTS = (
    "import gc; from cli.main import rare_collections; rare_collections(); "
    "from cli.bench.indexer.events_only import main; main(); gc.freeze()"
)
"""The mirror of events alone, started and ended as the console script is."""


def product(*arguments: str) -> list[str]:
    """Return the command line of the product as its console script runs it."""
    return [sys.executable, "-c", _CONSOLE, *arguments]


def environment(chain: BenchChain, home: Path, rpc_url: str, database_url: str) -> dict[str, str]:
    """Return the settings of a run on the chain."""
    return settings_of(chain.deployment, home, rpc_url, database_url)


def settings_of(deployment: Path, home: Path, rpc_url: str, database_url: str) -> dict[str, str]:
    """Return the settings of a run, and nothing of ours that the caller's environment sets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRUETONNE_")}
    return kept | {
        "TRUETONNE_HOME": str(home),
        "TRUETONNE_DATABASE_URL": database_url,
        "TRUETONNE_RPC_URL": rpc_url,
        "TRUETONNE_DEPLOYMENT": str(deployment.resolve()),
        "TRUETONNE_NETWORK": "bench",
    }


@contextmanager
def sqlite_file() -> Iterator[tuple[Path, str]]:
    """Make a folder for a database; give folder and address."""
    with TemporaryDirectory(prefix="truetonne-bench-") as name:
        yield Path(name), f"sqlite:///{Path(name) / 'books.db'}"


@contextmanager
def mariadb_database(server: MariaDbServer) -> Iterator[tuple[Path, str]]:
    """Make an empty database on a server; give a folder and the address."""
    server.execute(f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
    try:
        with TemporaryDirectory(prefix="truetonne-bench-") as name:
            yield Path(name), server.url(DATABASE)
    finally:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE}")


def upgrade(url: str) -> None:
    """Make the tables, before the clock runs."""
    with closing(Database(url)) as database:
        database.upgrade()


def mirror(
    chain: BenchChain,
    rpc_url: str,
    place: tuple[Path, str],
    server_pid: int | None = None,
    *,
    events_only: bool = False,
) -> Spent:
    """Mirror the whole chain into an empty database, and count its rows.

    Parameters
    ----------
    place
        A folder for settings and log, and the database's address.
    server_pid
        The database's server.
    events_only
        Blocks and events alone, as the peers do it; see ``events_only``.

    Raises
    ------
    DependencyDown
        If the mirror ends with an error.
    ProblemFound
        If it has other rows in the end than it should.
    """
    folder, url = place
    settings = environment(chain, folder, rpc_url, url)
    upgrade(url)
    alone = [sys.executable, "-c", _EVENTS]
    spent = run(
        alone if events_only else product("index", "run", "--until", "head"),
        folder / "mirror.log",
        environment=settings,
        server_pid=server_pid,
    )
    check_rows(url, chain.truth, events_only=events_only)
    return spent


def check_rows(url: str, truth: Truth, *, events_only: bool = False) -> None:
    """Compare the rows of a mirror with what stands on the chain."""
    wanted = rows_of(truth)
    del wanted["chain_blocks"]  # blocks without anything of ours are forgotten, once they are final
    wanted |= {
        "blockchain_transactions": 0 if events_only else truth.transactions,
        "failed": 0 if events_only else truth.failed,
    }
    with closing(Database(url)) as database, database.read() as session:
        tables = Base.metadata.tables
        found = {
            name: session.scalar(select(func.count()).select_from(tables[name]))
            for name in wanted
            if name != "failed"
        }
        transactions = tables["blockchain_transactions"]
        found["failed"] = session.scalar(
            select(func.count()).select_from(transactions).where(transactions.c.status == "failed")
        )
    if found != wanted:
        raise ProblemFound(
            f"the mirror has {found} rows, and should have {wanted}", code="rows-lost"
        )
