"""Whole mirrors compared: the rows of every mirrored table, without what only the place decides."""

import atexit
import gzip
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import select

from indexer import Indexer
from ledger.chain.addresses.book import Deployment
from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.models import Base
from tests.support.chain import TestChain, deploy_contracts
from tests.support.kept_node import KeptNode

MIRRORED = (
    "blockchain_transactions",
    "carbon_credits",
    "chain_blocks",
    "chain_cursor",
    "chain_events",
    "chain_inclusions",
    "contract_sightings",
    "credit_batches",
    "credit_cancellations",
    "credit_classes",
    "credit_holdings",
    "credit_invalidations",
    "credit_overlaps",
    "credit_projects",
    "credit_retirements",
    "credit_serials",
    "credit_sites",
    "credit_transfers",
    "settlement_balances",
    "settlement_batches",
    "settlement_disputes",
    "settlement_movements",
    "settlement_terms",
    "settlement_trades",
    "smart_contracts",
)
STATES = 2000
"""How many states a node keeps, all of them in memory. By itself Anvil writes those before the last 500 to its disk,
and later those before the last ten: a fork from a block whose state was there leaves contracts without code."""

LOCAL = {
    ("blockchain_transactions", "id"),
    ("carbon_credits", "id"),
    ("chain_cursor", "updated_at"),
    ("smart_contracts", "id"),
}
"""Numbers that a database gives by itself, and the time of day."""

Dump = dict[str, list[tuple[Any, ...]]]


def dump(db: Database) -> Dump:
    """Return the mirrored rows of a database, sorted; pending transactions in no block aside."""
    found: Dump = {}
    with db.read() as session:
        for name in MIRRORED:
            table = Base.metadata.tables[name]
            columns = [column for column in table.columns if (name, column.name) not in LOCAL]
            query = select(*columns)
            if name == "blockchain_transactions":
                included = select(Base.metadata.tables["chain_inclusions"].c.tx_hash)
                query = query.where(table.c.tx_hash.in_(included))
            rows = [tuple(row) for row in session.execute(query)]
            found[name] = sorted(rows, key=repr)
    return found


def rows(db: Database, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return some columns of a table, sorted."""
    table = Base.metadata.tables[name]
    with db.read() as session:
        query = select(*(table.c[column] for column in columns))
        return sorted((tuple(row) for row in session.execute(query)), key=repr)


def fresh(template: Path, folder: Path, chain: TestChain, finality: str | int) -> Dump:
    """Return what a new mirror of the chain says, made from nothing."""
    file = folder / "fresh.db"
    for old in folder.glob("fresh.db*"):
        old.unlink()
    shutil.copyfile(template, file)
    with closing(Database(f"sqlite:///{file}")) as database:
        Indexer(database, chain.client, chain.deployment, finality).run_until("head")
        return dump(database)


@contextmanager
def running_chain(
    options: Sequence[str] = (), ipc: Path | None = None, deploys: bool = False
) -> Iterator[TestChain]:
    """A node of one's own with the contracts on it, their roles granted and a site registered.

    ``options`` are further ones of Anvil. The node is asked over a Unix socket, at ``ipc`` where that is given, which
    costs a third of HTTP; ``rpc_url`` is for whoever needs that. The node begins with the state that the first one of
    this process came to, as to deploy takes as long as to start; with options, or where it ``deploys``, it mines all of
    it itself, and can go back to the beginning. Where neither options nor a socket are given, it may be one that an
    earlier test had, back at its beginning.
    """
    if not (options or ipc or deploys):
        with _KEPT.lent() as chain:
            yield chain
        return
    deploys = deploys or bool(options)
    loaded = [] if deploys else _as_deployed()
    with _running(ipc, [*options, *loaded], deploys) as chain:
        yield chain


@contextmanager
def _running(
    ipc: Path | None, options: Sequence[str], deploys: bool = False
) -> Iterator[TestChain]:
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:  # a socket's path is short
        ipc = ipc or Path(folder) / "anvil.ipc"
        with (
            LocalNode(find_anvil(None), options=options, ipc=ipc) as node,
            closing(ChainClient(str(ipc))) as client,
        ):
            yield TestChain(
                client,
                deploy_contracts(client) if deploys else deepcopy(_deployed()[1]),
                loaded_up_to=0 if deploys else client.block_number(),
                http=node.rpc_url,
            )


def new_chain() -> AbstractContextManager[TestChain]:
    """A node that no test had before, in the state of ``running_chain``."""
    return _running(None, _as_deployed())


def _as_deployed() -> list[str]:
    return ["--load-state", str(_deployed()[0]), "--prune-history", str(STATES)]


_KEPT = KeptNode(new_chain)


@cache
def _deployed() -> tuple[Path, Deployment]:
    """Deploy once; return the file with the state of the node, and what stands there."""
    folder = Path(tempfile.mkdtemp(prefix="truetonne-deployed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with LocalNode(find_anvil(None)) as node:
        client = ChainClient(node.rpc_url)
        deployment = deploy_contracts(client)
        packed = client.request("anvil_dumpState", [True])  # with what was before each block
        client.close()
    file = folder / "state.json"
    file.write_bytes(gzip.decompress(bytes.fromhex(packed[2:])))
    return file, deployment
