"""Books, node and address book of one network, opened for reading the chain."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.settings import Settings

if TYPE_CHECKING:
    from ledger.chain.addresses.book import Deployment
    from ledger.chain.node.client import ChainClient
    from ledger.db import Database


@dataclass(frozen=True)
class Opened:
    """Books, node and address book of one network."""

    db: Database
    client: ChainClient
    deployment: Deployment


@contextmanager
def opened(settings: Settings) -> Iterator[Opened]:
    """Open books and node for reading the chain; no key is needed for that.

    Raises
    ------
    BadInput
        If nothing is deployed, or node and deployment are of two chains, or the contracts do not stand where the
        deployment file says, or the books are kept of others.
    DependencyDown
        If database or node do not answer.
    """
    from cli.books import open_books
    from ledger.chain.access import load_deployment
    from ledger.chain.addresses.kept import require_same_books
    from ledger.chain.local.shared import node_for
    from ledger.chain.node.client import ChainClient

    gc.freeze()  # all that was imported is left out when garbage is looked for
    deployment = load_deployment(settings)
    with open_books(settings) as db, node_for(settings) as url:
        client = ChainClient(url)
        try:
            deployment.check(client)
            _check_contracts(deployment, client)
            with db.read() as session:
                require_same_books(session, deployment)
            yield Opened(db, client, deployment)
        finally:
            client.close()


def _check_contracts(deployment: Deployment, client: ChainClient) -> None:
    """Refuse a file whose contracts are not there: a mirror of it would be empty, and look whole."""
    from ledger.chain.node.client import RpcError

    if client.block_number() < max(item.block for item in deployment.mirrored):
        return  # the node has not come so far
    # A node may lack the state of its latest block: receipts are proven all the same.
    with suppress(RpcError):
        deployment.check_code(client)
