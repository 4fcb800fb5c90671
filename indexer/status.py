"""What a mirror says of itself: how far, how far behind, how fast, who runs it, where the chain last turned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from indexer import checks
from indexer import cursor as cursors
from indexer.altered import REINDEX
from indexer.checks import Unchecked
from indexer.lease import holder_of
from ledger.chain.node.records import BlockHeader
from ledger.leases import Holder
from ledger.models import ChainBlock, ChainCursor, MirrorReorganisation, MirrorVerification
from ledger.models.types import ValueUnreadable


@dataclass(frozen=True)
class MirrorState:
    """The state of a mirror, from the books alone."""

    cursor: ChainCursor | None
    tip_time: datetime | None
    holder: Holder | None
    turn: MirrorReorganisation | None
    """The last reorganisation."""
    unchecked: Unchecked
    verification: MirrorVerification | None = None
    """How far it was held against the chain; None before the first time."""
    first: tuple[int, str] | None = None
    """Number and hash of the lowest block that is stored, the chain's first aside: the contracts came soon after."""


def look(session: Session, network: str) -> MirrorState:
    """Read the state of a network's mirror."""
    cursor = _cursor(session, network)
    turn = session.scalars(
        select(MirrorReorganisation)
        .where(MirrorReorganisation.network == network)
        .order_by(MirrorReorganisation.id.desc())
        .limit(1)
    ).one_or_none()
    return MirrorState(
        cursor,
        _tip_time(session, cursor.block_number) if cursor else None,
        holder_of(session, network),
        turn,
        checks.load(session, network),
        session.get(MirrorVerification, network),
        _first(session),
    )


def _first(session: Session) -> tuple[int, str] | None:
    query = select(ChainBlock.number, ChainBlock.hash).where(ChainBlock.number > 0)
    row = session.execute(query.order_by(ChainBlock.number).limit(1)).one_or_none()
    return (row.number, row.hash) if row is not None else None


def _tip_time(session: Session, number: int) -> datetime | None:
    try:
        return session.scalar(select(ChainBlock.block_time).where(ChainBlock.number == number))
    except ValueUnreadable as error:
        raise error.at(f"block_time in chain_blocks of block {number}", REINDEX) from error


def _cursor(session: Session, network: str) -> ChainCursor | None:
    """Read where a mirror stands, and since when.

    Raises
    ------
    BooksDiffer, ValueUnreadable
        If another program wrote something else there, or deleted it.
    """
    query = select(ChainCursor).where(ChainCursor.network == network)
    try:
        cursor = session.scalars(query.options(undefer(ChainCursor.updated_at))).one_or_none()
    except ValueUnreadable as error:
        where = f"updated_at in chain_cursor of {network!r}"
        raise error.at(where, REINDEX) from error
    if cursor is not None:
        cursors.require_blocks(cursor)
    elif session.scalar(select(ChainBlock.number).limit(1)) is not None:
        raise cursors.deleted(session, network)
    return cursor


def as_document(
    mirrored: MirrorState, head: BlockHeader | None, tip: BlockHeader | None = None
) -> dict[str, Any]:
    """Return what ``index status --json`` says of the mirror.

    Parameters
    ----------
    head, tip
        The node's latest block, and its block at the mirror's height.
    """
    cursor, tip_time = mirrored.cursor, mirrored.tip_time
    behind = max(head.number - cursor.block_number, 0) if cursor and head else None
    behind_s = None
    if head is not None and tip_time is not None:
        # Of the chain's own times: no clock of a machine is asked.
        behind_s = max(head.timestamp - int(tip_time.timestamp()), 0)
    return {
        "block": cursor.block_number if cursor else None,
        "final_block": cursor.final_number if cursor else None,
        "updated_at": cursor.updated_at if cursor else None,
        "on_chain": tip.hash == cursor.block_hash if cursor and tip else None,
        "head": head.number if head else None,
        "behind": behind,
        "behind_s": behind_s,
        "rate": _rate(mirrored.holder),
        "leader": mirrored.holder.as_json() if mirrored.holder is not None else None,
        "last_reorganisation": _turn(mirrored.turn),
        "verified": _verified(mirrored.verification),
        "not_checked": mirrored.unchecked.sentences(),
    }


def _verified(row: MirrorVerification | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "block": row.through_number,
        "at": row.verified_at,
        "from_block": row.from_number,
        "to_block": row.to_number,
        "differences": row.differences,
    }


def _rate(holder: Holder | None) -> dict[str, Any] | None:
    """Return blocks and events a second, as decimal texts of one place; None when nobody mirrors."""
    window_ms = holder.told.get("window_ms") if holder is not None and holder.live else None
    if holder is None or not window_ms:
        return None
    return {
        "blocks_per_s": _tenths(holder.told["blocks"], window_ms),
        "events_per_s": _tenths(holder.told["events"], window_ms),
        "over_s": window_ms // 1000,
    }


def _tenths(count: int, window_ms: int) -> str:
    tenths = count * 10_000 // window_ms
    return f"{tenths // 10}.{tenths % 10}"


def _turn(turn: MirrorReorganisation | None) -> dict[str, Any] | None:
    if turn is None:
        return None
    return {
        "depth": turn.old_number - turn.ancestor_number,
        "found_at": turn.found_at,
        "block": turn.ancestor_number,
        "from_block": turn.old_number,
        "from_hash": turn.old_hash,
        "to_block": turn.new_number,
        "to_hash": turn.new_hash,
    }
