"""Where a mirror stands on the chain, whichever of the two went back since: the basis of every comparison."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, inspect, select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from indexer import cursor as cursors
from indexer import finality, reorg
from indexer.compare import Difference, is_readable, typed
from indexer.guards import require_no_catching_up
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.db import Database
from ledger.errors import DependencyDown, NotFound
from ledger.models import ChainBlock, ChainCursor
from ledger.settings import depth_of

_LAG_PAUSES_S = (0.25, 0.5, 1.0, 1.5, 1.75)
"""Between two looks for what is final: five seconds in all."""
_LAG_BLOCKS_MAX = 64
"""A cursor that is further beyond the head was altered; no lag of seconds makes that."""


@dataclass(frozen=True)
class Place:
    """Where a mirror stands on the chain."""

    cursor: ChainCursor
    tip: BlockHeader
    """The last mirrored block that the chain still has."""
    confirmed: int
    """The last block that the mirror took as final, where it is on the chain; older ones may be forgotten."""
    differences: tuple[Difference, ...]
    """What is wrong with the cursor itself."""


def place_of(
    copy: Database, client: ChainClient, deployment: Deployment, setting: str | int
) -> Place:
    """Find the last mirrored block that the chain still has, and what is wrong with the cursor.

    Raises
    ------
    NotFound
        If nothing is mirrored yet.
    BooksDiffer
        If somebody deleted the cursor, or altered it, and it says no block.
    DependencyDown
        If the node is behind the mirror, or has none of its blocks.
    """
    with copy.read() as session:
        cursor = session.get(ChainCursor, deployment.network)
        if cursor is None:
            if session.scalar(select(ChainBlock.number).limit(1)) is not None:
                raise cursors.deleted(session, deployment.network)
            raise NotFound("nothing is mirrored yet; run `truetonne index run --until head`")
        cursors.require_blocks(cursor)
        stored = session.scalar(
            select(ChainBlock.hash).where(ChainBlock.number == cursor.block_number)
        )
        head, final_now = head_and_final(session, client, setting, cursor.final_number)
        (here,) = client.blocks([cursor.block_number])
    found = _unreadable_time(copy, deployment.network)
    tip = here
    if here is None or here.hash != cursor.block_hash:
        if stored is None or (here is not None and stored == here.hash):
            says = here.hash if here is not None else None
            found.append(_of_cursor(cursor, "block_hash", cursor.block_hash, says))
        if stored is None or here is None or stored != here.hash:
            tip = reorg.common_ancestor(copy, client, cursor.block_number, head)
            require_no_catching_up(copy, head, tip, cursor.final_number)
    if tip is None:
        raise DependencyDown(
            "the node has none of the blocks that are mirrored; it is of another chain, or far behind",
            code="node-behind",
        )
    if cursor.final_number > final_now:
        found.append(_of_cursor(cursor, "final_number", cursor.final_number, final_now))
    # That less is final now is one difference, and not one of each transaction that was confirmed meanwhile.
    # Where the chain took back what was final, all that it left of that stays so; beyond the mirror it was altered.
    altered = cursor.final_number > cursor.block_number
    confirmed = final_now if altered else min(cursor.final_number, tip.number)
    return Place(cursor, tip, confirmed, tuple(found))


def _unreadable_time(copy: Database, network: str) -> list[Difference]:
    """Return a difference where the cursor's time, of which the chain says nothing, is none."""
    (column,) = inspect(ChainCursor).attrs.updated_at.columns
    with copy.read() as session:
        query = select(type_coerce(column, NullType())).where(ChainCursor.network == network)
        held = session.scalar(query)
    if is_readable(column, held):
        return []
    return [Difference("chain_cursor", network, column.name, typed(column, held), "nothing of it")]


def head_and_final(
    session: Session, client: ChainClient, setting: str | int, held: int
) -> tuple[BlockHeader, int]:
    """Return the latest block, and the last one that is final now, by the setting ``finality``.

    What was final stays so. A node that names an older block than the mirror heard of is a little behind the one that
    named it, so it is asked for some seconds more: else all that was confirmed in between would look as if it were not.

    Parameters
    ----------
    held
        The last block that the mirror took as final.

    Raises
    ------
    DependencyDown
        If the node has no latest block; or names none that is final, though the books have some: these would look as if
        they were not.
    """
    pauses_s = iter(_LAG_PAUSES_S)
    while True:
        head = client.head()
        final = _final_now(session, client, head, setting)
        lags = final < held <= head.number + _LAG_BLOCKS_MAX
        pause_s = next(pauses_s, None) if lags else None
        if pause_s is None:
            return head, final
        time.sleep(pause_s)


def _final_now(session: Session, client: ChainClient, head: BlockHeader, setting: str | int) -> int:
    depth = depth_of(setting)
    if isinstance(depth, int):
        return max(head.number - depth, 0)
    claim = finality.claimed(client, depth)
    held = session.scalar(select(func.max(ChainCursor.final_number)))
    if claim.lacks is not None and held:
        raise DependencyDown(
            f"the node at {client.place} names no final block ({claim.lacks}), though block {held} was final already; "
            "wait, set rpc_url to another, or `finality` to a number of blocks",
            code="node-behind",
        )
    return finality.final_number(session, claim, head.number)


def _of_cursor(cursor: ChainCursor, column: str, held: Any, says: Any) -> Difference:
    return Difference("chain_cursor", cursor.network, column, held, says)
