"""What many scenarios share: a node, a park with money, credits and readings at a snapshot, and its books to copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pymysql
from sqlalchemy import create_engine, insert, select

from indexer import Indexer
from ledger import issuance
from ledger.chain.keys.signers import anvil_address
from ledger.db import Database
from ledger.models import Base, CreditBatch
from ledger.sites import apply_site
from tests.support.books import new_books
from tests.support.chain import PARTIES, TestChain
from tests.support.mariadb import MariaDbServer, empty, running_server
from tests.support.mirror import running_chain
from tests.support.nursery import Nursery, shared
from tests.support.park import PROJECT, TRADING, Park, open_chain
from tests.support.plant import SITE

STATES_KEPT = 8_000
FUNDS_CENTS = {"market": 1_000_000_00, "owner": 100_000_00}
"""What the parties have in escrow when a scenario begins."""
FIRST_DAY = date(2014, 1, 1)
KW_BY_DAY = (100, 50, 75, 25, 60, 10, 80, 40, 90, 30, 20, 70, 15, 65, 35, 85, 45, 95)
"""The park's power on each day; with a factor of 0.5 t/MWh a kW of a day is 12 kg."""
DAYS_ISSUED = 2
BASE, PLAY = "chaos_base", "chaos"
"""Databases of the MariaDB server: rows to begin with, and rows of a scenario."""


@dataclass
class Stage:
    """A park at a snapshot. ``node`` asks and acts without any fault between."""

    node: TestChain
    folder: Path
    batch_id: int
    """The batch of credits that the owner holds."""
    nursery: Nursery
    server: MariaDbServer | None

    def new_books(self, store: str) -> str:
        """Return the address of books for one scenario, with the rows of the beginning."""
        if store == "mariadb":
            assert self.server is not None
            empty(self.server, PLAY)
            _copy(self.server)
            return self.server.url(PLAY)
        folder = self.folder / "play"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copyfile(self.folder / "base.db", folder / "books.db")
        return f"sqlite:///{folder / 'books.db'}"

    @contextmanager
    def played(self) -> Iterator[None]:
        """Put the chain back to the beginning afterwards."""
        client = self.node.client
        snapshot = client.request("evm_snapshot")
        try:
            yield
        finally:
            client.request("evm_setAutomine", [True])
            client.request("anvil_dropAllTransactions")
            assert client.request("evm_revert", [snapshot])
            client.request("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])


@contextmanager
def stages(with_mariadb: bool) -> Iterator[Callable[[], AbstractContextManager[Stage]]]:
    """Return a function that opens stages; server and nursery serve all of them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="chaos-")))
        template = folder / "template.db"
        new_books(template).close()
        nursery = shared()  # a test's process may have it already
        server = stack.enter_context(running_server(BASE, PLAY)) if with_mariadb else None
        numbers = iter(range(1 << 30))
        yield lambda: stage(template, folder / f"stage-{next(numbers)}", nursery, server)


@contextmanager
def stage(
    template: Path, folder: Path, nursery: Nursery, server: MariaDbServer | None
) -> Iterator[Stage]:
    """Start a node, and prepare the park.

    Parameters
    ----------
    template
        An SQLite file with the schema.
    server
        A server with the schema in ``BASE`` and ``PLAY``; None: SQLite alone.
    """
    folder.mkdir(parents=True)
    shutil.copyfile(template, folder / "base.db")
    # Anvil writes older states to files, from which it does not always go back to the right one.
    socket = folder / "node.ipc"  # a file: half the time of a question over HTTP
    with running_chain(["--prune-history", str(STATES_KEPT)], socket) as node:
        db = Database(f"sqlite:///{folder / 'base.db'}")
        batch_id = _prepare(db, node, folder)
        if server is not None:
            empty(server, BASE)
            _load(db, server)
        db.close()
        (folder / "deployment.json").write_text(node.deployment_text(), encoding="utf-8")
        yield Stage(node, folder, batch_id, nursery, server)


def _prepare(db: Database, node: TestChain, folder: Path) -> int:
    """Apply the site, pay in, issue the first days, and let all of it be final."""
    park = Park(db, node, open_chain(db, node), Indexer(db, node.client, node.deployment), folder)
    with db.write() as session:
        apply_site(
            session,
            SITE + TRADING,
            resolve_account=lambda text: anvil_address(int(text.removeprefix("anvil:"))),
        )
    for party, cents in FUNDS_CENTS.items():
        node.deposit(party, cents)
    park.register()
    park.generate(FIRST_DAY, [str(kw) for kw in KW_BY_DAY])
    issuance.plan_issuance(park.chain, PROJECT, FIRST_DAY, FIRST_DAY + timedelta(DAYS_ISSUED))
    issuance.submit_planned(park.chain)
    park.mirror_final()
    node.mine(12)  # what reorganisations take back begins after this
    park.mirror_final()
    (batch,) = park.rows(CreditBatch)
    assert batch.issued_kg == 12 * sum(KW_BY_DAY[:DAYS_ISSUED])
    assert PARTIES["owner"] in park.chain.keyring.addresses
    return int(batch.batch_id)


def _load(db: Database, server: MariaDbServer) -> None:
    """Copy all rows of books to the server."""
    engine = create_engine(
        server.url(BASE),
        connect_args={"init_command": "SET foreign_key_checks=0, time_zone='+00:00'"},
    )
    with db.read() as session, engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            columns = [column for column in table.columns if column.computed is None]
            rows = [dict(row._mapping) for row in session.execute(select(*columns))]
            if rows:
                connection.execute(insert(table), rows)
    engine.dispose()


def _copy(server: MariaDbServer) -> None:
    with (
        closing(
            pymysql.connect(
                host="127.0.0.1", port=server.port, user="root", database=PLAY, autocommit=True
            )
        ) as link,
        link.cursor() as cursor,
    ):
        cursor.execute("SET foreign_key_checks=0, unique_checks=0")
        for table in Base.metadata.sorted_tables:
            names = ", ".join(
                f"`{column.name}`" for column in table.columns if column.computed is None
            )
            cursor.execute(
                f"INSERT INTO `{table.name}` ({names}) SELECT {names} FROM {BASE}.`{table.name}`"
            )
