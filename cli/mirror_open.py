"""Books, node and address book of one network, opened for reading the chain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.settings import Settings

if TYPE_CHECKING:
    from ledger.chain.book import Deployment
    from ledger.chain.client import ChainClient
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
        If nothing is deployed, or node and deployment are of two chains.
    DependencyDown
        If database or node do not answer.
    """
    from cli.books import open_books
    from ledger.chain.access import load_deployment
    from ledger.chain.client import ChainClient
    from ledger.chain.shared_node import node_for

    deployment = load_deployment(settings)
    with open_books(settings) as db, node_for(settings) as url:
        client = ChainClient(url)
        try:
            deployment.check(client)
            yield Opened(db, client, deployment)
        finally:
            client.close()
