"""Before blocks are taken back: whether the chain did that, or the node is behind, or the chain has no contracts now.

Whoever takes back in the books asks, and so does whoever compares with them: a node's word undoes nothing final alone.
"""

from __future__ import annotations

from sqlalchemy import func, select

from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import BlockHeader
from ledger.db import Database
from ledger.errors import DependencyDown, WrongChain
from ledger.models import ChainBlock


def require_no_catching_up(
    db: Database, head: BlockHeader, ancestor: BlockHeader | None, final_number: int
) -> None:
    """Refuse a head below what was final while no stored block up to it contradicts: it is of the same chain.

    Between old blocks that brought something of ours others are forgotten, so such a head may stand between two.

    Raises
    ------
    DependencyDown
        If the node is still catching up.
    """
    if head.number >= final_number:
        return
    with db.read() as session:
        stored = session.scalar(select(func.max(ChainBlock.number))) or 0
        query = select(func.max(ChainBlock.number)).where(ChainBlock.number <= head.number)
        highest = session.scalar(query)
    if head.number >= min(final_number, stored):  # a cursor beyond all blocks was altered
        return
    if highest is None or (ancestor is not None and ancestor.number >= highest):
        raise DependencyDown(
            f"the node's head is block {head.number}, but block {final_number} was final already; "
            "it is still catching up, or was restored from an older state: wait, or set rpc_url to another",
            code="node-behind",
        )


def require_contracts(
    client: ChainClient, deployment: Deployment, ancestor: BlockHeader, final_number: int
) -> None:
    """Refuse to take back mirrored contracts that were final while the chain has none in their place.

    What a reorganisation took away comes back with its transaction. On a chain that was set back and began anew it does
    not: the mirror would take back everything, and go on without a word, empty.

    Parameters
    ----------
    ancestor
        The last mirrored block that the chain still has.
    final_number
        The last block that the mirror took as final.

    Raises
    ------
    DependencyDown
        If a contract that was made after that block, in one that was final, is not there.
    """
    if not any(ancestor.number < item.block <= final_number for item in deployment.mirrored):
        return
    try:
        deployment.check_code(client)
    except WrongChain as error:
        raise DependencyDown(
            f"the chain took back all blocks above {ancestor.number}, though block {final_number} was final, and with "
            f"them {error.details['contract']} at {error.details['address']}; nothing is taken back here until it is "
            "there again: wait, or, where the chain was replaced, deploy again and use a fresh database",
            code="contracts-gone",
        ) from error
    except RpcError:
        return  # a node may lack the state of its latest block
