"""Books, node and address book of one network, opened for reading the chain."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.errors import BooksDiffer, WrongChain
from ledger.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

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
def opened(settings: Settings, *, compares: bool = False) -> Iterator[Opened]:
    """Open books and node for reading the chain; no key is needed for that.

    Parameters
    ----------
    compares
        Whether books and chain are compared then: a cursor that says another chain than its blocks are of is for the
        comparison to find.

    Raises
    ------
    BooksDiffer
        If the cursor says another chain than its blocks are of.
    BadInput
        If nothing is deployed, or node and deployment are of two chains, or the contracts do not stand where the
        deployment file says, or the books are kept of others.
    DependencyDown
        If database or node do not answer.
    """
    from cli.books import open_books
    from ledger.chain.access import load_deployment
    from ledger.chain.local.shared import node_for
    from ledger.chain.node.client import ChainClient

    gc.freeze()  # all that was imported is left out when garbage is looked for
    deployment = load_deployment(settings)
    with open_books(settings) as db, node_for(settings) as url, closing(ChainClient(url)) as client:
        deployment.check(client)
        _check_contracts(deployment, client)
        with db.read() as session:
            _check_books(session, deployment, client, compares)
        yield Opened(db, client, deployment)


def _check_contracts(deployment: Deployment, client: ChainClient) -> None:
    """Refuse a file whose contracts are not there: a mirror of it would be empty, and look whole."""
    from ledger.chain.node.client import RpcError

    if client.block_number() < max(item.block for item in deployment.mirrored):
        return  # the node has not come so far
    # A node may lack the state of its latest block: receipts are proven all the same.
    with suppress(RpcError):
        deployment.check_code(client)


def _check_books(
    session: Session, deployment: Deployment, client: ChainClient, compares: bool
) -> None:
    """Refuse books of another chain, or of other contracts; a cursor that was altered is told apart from these."""
    from sqlalchemy.exc import DBAPIError

    from ledger.chain.addresses.kept import has_blocks_of, networks_mirrored, require_same_books
    from ledger.db.diagnoses import is_by_values

    try:
        require_same_books(session, deployment)
    except (WrongChain, DBAPIError) as error:
        networks = networks_mirrored(session) if isinstance(error, WrongChain) else []
        if len(networks) > 1:
            _check_first(session, deployment, networks, error, compares)
            return
        altered = (
            error.code == WrongChain.default_code
            if isinstance(error, WrongChain)
            else is_by_values(error)
        )
        if not (altered and has_blocks_of(session, client)):
            raise
        if not compares:
            raise BooksDiffer(
                f"chain_cursor of {deployment.network!r} says another chain than that of the node, which has the "
                "blocks of these books: somebody altered the row; run `truetonne index reindex` (with "
                "--dry-run it only says what would change)"
            ) from error


def _check_first(
    session: Session,
    deployment: Deployment,
    networks: list[str],
    error: Exception,
    compares: bool,
) -> None:
    """Let books that earlier versions let a second network into be compared, by the deployment of the first alone."""
    from ledger.chain.addresses.kept import require_same_network

    network = deployment.network
    if network != networks[0]:
        raise error
    require_same_network(session, deployment)  # its name alone does not make a file theirs
    if not compares:
        others = ", ".join(map(repr, networks[1:]))
        raise BooksDiffer(
            f"the books of {network!r} mirror {others} as well, which earlier versions let in: "
            "`truetonne index reindex` takes that out (with --dry-run it only says what would change)"
        ) from error
