"""Whether chain and contracts of a deployment are those that the books are kept of.

A mirror holds one credit contract and one settlement. With another pair in the file it would go on from where it is:
the old balances would stand beside the new events, and nothing would say so. On another chain, what was sent here would
look as if it had been taken back, and be sent again: there, if its number is the same, as that of all local chains is.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import exists, func, select, true
from sqlalchemy.orm import Session

from ledger.chain.addresses.book import Deployment
from ledger.chain.addresses.deployment import row_name
from ledger.chain.node.client import ChainClient
from ledger.errors import WrongChain
from ledger.models import ChainBlock, ChainCursor, ChainEvent, SmartContract
from ledger.models.blockchain import ContractStatus

ALTERED_TOLD = "where somebody altered chain_cursor, `truetonne index verify` tells"
"""Said behind another chain: the row that says which one is theirs may not be what the mirror wrote."""
_BLOCKS_ASKED = 32
"""Blocks at either end of the books: some may have been taken back, and some altered."""


def require_same_books(session: Session, deployment: Deployment) -> None:
    """Refuse another chain than the books mirror, or other contracts than they hold.

    Raises
    ------
    WrongChain
        If the deployment is on another chain, or a contract of it stands at another address in the books.
    """
    require_same_chain(session, deployment.network, deployment.chain_id, deployment.genesis_hash)
    require_same_contracts(session, deployment.addresses)


def require_same_network(session: Session, deployment: Deployment) -> None:
    """Refuse another chain, or other contracts, than the books have under the deployment's own name.

    What they have under other names is not looked at: for books that mirror several, which earlier versions let in.

    Raises
    ------
    WrongChain
        If the deployment is on another chain, or a contract of it stands at another address under that name.
    """
    mirrored = select(ChainCursor.chain_id, ChainCursor.genesis_hash).where(
        ChainCursor.network == deployment.network
    )
    for kept in session.execute(mirrored):
        check_chain(deployment, kept.chain_id, kept.genesis_hash)
    require_same_contracts(session, deployment.addresses, deployment.network)


def require_same_chain(session: Session, network: str, chain_id: int, genesis_hash: str) -> None:
    """Refuse another chain than the books mirror, whatever names the two have: a mirror is of one chain alone.

    Parameters
    ----------
    network, chain_id, genesis_hash
        The chain that is to be used, with its name.

    Raises
    ------
    WrongChain
        If the books mirror another one.
    """
    mirrored = select(ChainCursor.chain_id, ChainCursor.genesis_hash)
    for kept in session.execute(mirrored):
        _refuse_another(network, (chain_id, genesis_hash), (kept.chain_id, kept.genesis_hash))


def require_same_name(session: Session, network: str) -> None:
    """Refuse a second name of the chain that the books mirror: the mirror goes by the first.

    Raises
    ------
    WrongChain
        If they mirror it under another name.
    """
    other = session.scalars(
        select(ChainCursor.network).where(ChainCursor.network != network).limit(1)
    ).first()
    if other is not None:
        raise WrongChain(
            f"the books mirror this chain as {other!r}, and not as {network!r}: set network and deployment to theirs, "
            "or use another database"
        )


def check_chain(deployment: Deployment, chain_id: int, genesis_hash: str) -> None:
    """Refuse a deployment on another chain than that of the books' mirror.

    Parameters
    ----------
    chain_id, genesis_hash
        The chain that is mirrored.

    Raises
    ------
    WrongChain
        If the deployment is on another one.
    """
    chain = (deployment.chain_id, deployment.genesis_hash)
    _refuse_another(deployment.network, chain, (chain_id, genesis_hash))


def _refuse_another(network: str, chain: tuple[int, str], mirrored: tuple[int, str]) -> None:
    if chain != mirrored:
        chain_id, genesis_hash = mirrored
        raise WrongChain(
            f"the books mirror chain {chain_id} with the first block {genesis_hash[:10]}..., "
            f"the deployment of {network!r} is on another; use another database, or the "
            f"deployment file that belongs to it; {ALTERED_TOLD}"
        )


def networks_mirrored(session: Session) -> list[str]:
    """Return the networks that the books mirror, the first first: earlier versions let in more than one."""
    began = (
        select(func.min(SmartContract.id))
        .where(SmartContract.network == ChainCursor.network)
        .scalar_subquery()
    )
    query = select(ChainCursor.network).order_by(began.is_(None), began, ChainCursor.network)
    return list(session.scalars(query))


def has_blocks_of(session: Session, client: ChainClient) -> bool:
    """Return whether blocks of the books are the node's: then its chain is theirs, whatever their cursor says of it."""
    above = select(ChainBlock.number).where(ChainBlock.number > 0)
    numbers = {
        number
        for order in (ChainBlock.number.desc(), ChainBlock.number.asc())
        for number in session.scalars(above.order_by(order).limit(_BLOCKS_ASKED))
        if isinstance(number, int)  # no node can be asked for others, which SQLite takes
    }
    found = [header.hash for header in client.blocks(sorted(numbers)) if header is not None]
    # The database compares: a hash that was altered as well may be no text.
    return session.scalar(select(exists().where(ChainBlock.hash.in_(found)))) is True


def require_same_contracts(
    session: Session, addresses: Mapping[str, str], network: str | None = None
) -> None:
    """Refuse other contracts than those whose events the books hold, under whatever name of their network.

    A row that was altered has an address without events: that is for ``index verify`` to find and for ``index reindex``
    to mend.

    Parameters
    ----------
    addresses
        Where the mirrored contracts are, by name; lower-case text.
    network
        Only what the books have under this name of a network; None: under whatever name.

    Raises
    ------
    WrongChain
        If one of them is in the books at another address.
    """
    named = true() if network is None else SmartContract.network == network
    has_events = exists().where(ChainEvent.contract_address == SmartContract.contract_address)
    for name, found in addresses.items():
        row = session.execute(
            select(SmartContract.network, SmartContract.contract_address).where(
                SmartContract.contract_name == row_name(name, "") + SmartContract.network,
                SmartContract.status != ContractStatus.DEPRECATED,
                SmartContract.contract_address != found,
                has_events,
                named,
            )
        ).first()
        if row is None:
            continue
        address = row.contract_address
        raise WrongChain(
            f"the books of {row.network!r} are kept of {name} at {address}, and the deployment has it at {found}; "
            "set deployment to the file of the contracts of these books, or use another database for other contracts",
            code="other-contracts",
            details={"contract": name, "expected": address, "found": found},
        )
