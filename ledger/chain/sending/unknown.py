"""Transactions of an account that its books do not know: they were restored from before, or others have its key.

What they did may be what is to be sent now, under names that these books give anew (a batch has a new key, a
trade that is imported again another number). So the mirror has to read them first, and nothing is signed before.
"""

from __future__ import annotations

from sqlalchemy import select

from ledger.chain.node.client import ChainClient, RpcError
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import ChainCursor, ChainNonceLane


def check(db: Database, client: ChainClient, chain_id: int, account: str) -> None:
    """Refuse to sign for an account that has done what neither books nor mirror know of.

    Raises
    ------
    DependencyDown
        If it has transactions that are unknown and wait in the pool, or stand in blocks that are not mirrored.
    """
    pending = client.transaction_count(account, "pending")
    latest = client.transaction_count(account, "latest")
    with db.read() as session:
        lane = session.get(ChainNonceLane, (chain_id, account))
        cursor = session.scalars(
            select(ChainCursor).where(ChainCursor.chain_id == chain_id)
        ).first()
    known = lane.next_nonce if lane is not None else 0
    if max(pending, latest) <= known:
        return
    if pending > latest:
        raise DependencyDown(
            f"{account} has {pending - max(known, latest)} transactions in the pool that the books do not know: "
            "nothing is sent before they are in blocks; if they never get there, replace them by hand",
            code="unknown-pending",
        )
    if cursor is None or not _has_read(client, cursor, account, latest):
        raise DependencyDown(
            f"{account} has transactions on chain that the books do not know, and the mirror has not read them: "
            "nothing is sent before it has; run truetonne index run",
            code="mirror-behind",
        )


def _has_read(client: ChainClient, cursor: ChainCursor, account: str, count: int) -> bool:
    """Return whether the mirror has read the blocks in which an account sent its first ``count`` transactions."""
    there = client.block(cursor.block_number)
    if there is None or there.hash != cursor.block_hash:  # of another fork
        return False
    try:
        return client.transaction_count(account, cursor.block_number) >= count
    except RpcError:  # the node keeps no states that old: the mirror is far behind
        return False
