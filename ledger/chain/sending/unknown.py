"""Transactions of an account that its books do not know: they were restored from before, or others have its key.

What they did may be what is to be sent now, under names that these books give anew (a batch has a new key, a
trade that is imported again another number). So the mirror has to read them first, and nothing is signed before. What
waits in the pool may be displaced where a person says so (``displaced``): the mirror has to read what came of that.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.pool import pool_of
from ledger.chain.sending import intents
from ledger.chain.sending.desk import Desk
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import ChainCursor, ChainIntent, ChainNonceLane
from ledger.models.sending import IntentState
from ledger.units import counted

FILLED_MAX = 64
"""Nonces that are filled to have what waits above them displaced: a slip of a wallet's may be a million above.

No fewer than Geth lets one account have behind a hole.
"""


def check(desk: Desk, account: str) -> None:
    """Refuse to sign for an account that has done what neither books nor mirror know of.

    Raises
    ------
    DependencyDown
        If it has transactions that are unknown and wait in the pool, or stand in blocks that are not mirrored.
    """
    check_displaced(desk.db, desk.client, desk.chain_id, account)
    check_others(desk, account)


def check_others(desk: Desk, account: str) -> None:
    """Do as ``check`` where nothing was displaced.

    Raises
    ------
    DependencyDown
        As ``check``.
    """
    client = desk.client
    pending = client.transaction_count(account, "pending")
    latest = client.transaction_count(account, "latest")
    with desk.db.read() as session:
        known = _next_nonce(session, desk.chain_id, account)
        cursor = session.scalars(
            select(ChainCursor).where(ChainCursor.chain_id == desk.chain_id)
        ).first()
    if max(pending, latest) <= known:
        _check_behind_a_hole(desk, account, latest)
        return
    if pending > latest:
        raise DependencyDown(
            f"{account} has {counted(pending - max(known, latest), 'transaction')} in the pool that the books do not "
            "know, as where somebody else, or other books, send from it, or these were restored: nothing is sent "
            "before all are in blocks; `truetonne chain pending` shows what they are",
            code="unknown-pending",
        )
    if cursor is None or not _has_read(client, cursor, account, latest):
        raise DependencyDown(
            f"{account} has transactions on chain that the books do not know, and the mirror has not read them: "
            "nothing is sent before it has; run truetonne index run",
            code="mirror-behind",
        )
    _check_behind_a_hole(desk, account, latest)


def _check_behind_a_hole(desk: Desk, account: str, latest: int) -> None:
    """Refuse to sign where something unknown waits for a lower nonce, which the next transaction would fill.

    Both would be mined then, and they may be one act. No count tells of it, so the node has to show its pool. It is
    asked until there was nothing, which is once in a process as a rule: books are not restored beneath one. Nor does
    one ask again that does not show it. What waits far above is left alone until the account comes near.
    """
    if account in desk.looked_at:
        return
    pool = pool_of(desk.client, account)
    with (
        desk.db.read() as session
    ):  # after the node: what is sent from here is stored before it is there
        known = max(_next_nonce(session, desk.chain_id, account), latest)
    behind = [item.info for item in pool.waiting or () if item.info.nonce >= known]
    if behind and behind[0].nonce - known <= FILLED_MAX:
        raise DependencyDown(
            f"{account} has {counted(len(behind), 'transaction')} in the pool that the books do not know, the first "
            f"with nonce {behind[0].nonce}, which waits for nonce {known}: what is sent now would have it mined as "
            "well, and it may be the same act; `truetonne chain pending` shows what it is, and `truetonne chain "
            f"displace {behind[0].hash}` has nothing done in its place",
            code="unknown-pending",
        )
    if not (behind or pool.later):
        desk.looked_at.add(account)


def _next_nonce(session: Session, chain_id: int, account: str) -> int:
    lane = session.get(ChainNonceLane, (chain_id, account))
    return lane.next_nonce if lane is not None else 0


def check_displaced(db: Database, client: ChainClient, chain_id: int, account: str) -> None:
    """Refuse to sign for an account of which the mirror does not know yet whether it was displaced what was to be.

    What was to be displaced may be mined all the same. Signed before that is known, and read, it would be done twice:
    the lane knows its nonce by now, and nothing else would ask for it.

    Raises
    ------
    DependencyDown
        If one of the two may still be mined, or the mirror has not read in a final block which one was.
    """
    with db.read() as session:
        rows = _displacing(session, chain_id, account)
        if not rows:
            return
        cursor = session.scalars(
            select(ChainCursor).where(ChainCursor.chain_id == chain_id)
        ).first()
    _require_none_displaced(rows)
    row = max(rows, key=_nonce_of)
    if cursor is None or not _is_final(client, cursor, account, _nonce_of(row)):
        raise DependencyDown(
            f"{account} has a transaction on chain that was to be displaced, and the mirror has not read it in a final "
            f"block ({row.error}): nothing is sent before it has; run truetonne index run",
            code="mirror-behind",
        )


def require_last_settled(session: Session, chain_id: int, account: str, nonce: int) -> None:
    """Refuse to take a nonce where the one before displaces something that may still be mined; for the commit.

    Nothing else is signed meanwhile, so it would be the last. Whoever signs has looked before, and this came since.

    Raises
    ------
    DependencyDown
        If it does.
    """
    _require_none_displaced(_displacing_with(session, chain_id, account, nonce - 1))


def _require_none_displaced(rows: Sequence[ChainIntent]) -> None:
    """Refuse to sign while something of ``_displacing`` is under way.

    Raises
    ------
    DependencyDown
        If there is one.
    """
    for row in rows:
        if row.state is IntentState.SUBMITTED:
            raise DependencyDown(
                f"{row.sender_address} has transaction {row.parameters[intents.INSTEAD_OF]}, which these books do not "
                f"know, and {row.tx_hash}, which is to displace it: nothing else is sent before one of them is final; "
                "`truetonne up` or the jobs see to it",
                code="unknown-pending",
            )


def _displacing(session: Session, chain_id: int, address: str) -> list[ChainIntent]:
    """Return what displaces transactions of an account that the books do not know, and has not been mined for good.

    Those that lost their nonce to what they should have displaced are among them.
    """
    of_account = (
        ChainIntent.chain_id == chain_id,
        ChainIntent.sender_address == address,
        ChainIntent.kind == intents.FILL,
    )
    under_way = select(ChainIntent).where(ChainIntent.state == IntentState.SUBMITTED, *of_account)
    lost = select(ChainIntent).where(
        ChainIntent.state == IntentState.FAILED, ChainIntent.nonce.is_(None), *of_account
    )
    found = (*session.scalars(under_way), *session.scalars(lost))
    return [row for row in found if intents.INSTEAD_OF in row.parameters]


def _displacing_with(
    session: Session, chain_id: int, address: str, nonce: int
) -> list[ChainIntent]:
    """Return what displaces, with one nonce, a transaction that the books do not know; nothing as a rule.

    One row is looked at: who signs holds the lane, and on MySQL all that he reads.
    """
    query = select(ChainIntent).where(
        ChainIntent.chain_id == chain_id,
        ChainIntent.sender_address == address,
        ChainIntent.nonce == nonce,
    )
    found = session.scalars(query)
    return [
        row for row in found if row.kind == intents.FILL and intents.INSTEAD_OF in row.parameters
    ]


def _nonce_of(row: ChainIntent) -> int:
    return int(row.parameters[intents.ITS_NONCE])


def _is_final(client: ChainClient, cursor: ChainCursor, account: str, nonce: int) -> bool:
    """Return whether the mirror has read in a final block what used a nonce."""
    if not _has_read(client, cursor, account, nonce + 1):
        return False
    try:
        return client.transaction_count(account, cursor.final_number) > nonce
    except RpcError:  # the node keeps no states that old
        return False


def _has_read(client: ChainClient, cursor: ChainCursor, account: str, count: int) -> bool:
    """Return whether the mirror has read the blocks in which an account sent its first ``count`` transactions."""
    there = client.block(cursor.block_number)
    if there is None or there.hash != cursor.block_hash:  # of another fork
        return False
    try:
        return client.transaction_count(account, cursor.block_number) >= count
    except RpcError:  # the node keeps no states that old: the mirror is far behind
        return False
