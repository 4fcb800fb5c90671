"""The job that lets a local chain grow, which has no blocks but those of transactions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from ledger.chain.local.shared import mine_to_finality
from ledger.jobs.work import Tools
from ledger.models import (
    ChainBlock,
    ChainCursor,
    ChainInclusion,
    CreditBatch,
    SettlementBatch,
    SettlementDispute,
    VppSettlementBatch,
)
from ledger.models.credits import BatchStatus
from ledger.models.escrow import SettlementStatus
from ledger.models.settlement import BatchState
from ledger.settlement.signatures import final_time


def make_final(tools: Tools) -> str | None:
    """Let a local chain grow while something in it waits, to be final or for its time; a quiet one stays as it is."""
    with tools.chain.db.read() as session:
        cursor = session.scalars(select(ChainCursor)).first()
        if cursor is None:
            return None
        query = select(ChainInclusion.tx_hash).where(
            ChainInclusion.block_number > cursor.final_number
        )
        waiting = session.scalars(query.limit(1)).first() is not None
        waiting = waiting or _time_has_come(session, tools.now(), cursor.updated_at)
    if not waiting or not tools.settings.local_chain:
        return None
    mine_to_finality(tools.chain.client, tools.settings)
    return "mined 2 blocks"


def _time_has_come(session: Session, now: datetime, since: datetime) -> bool:
    """Return whether a window, a dispute, or credits' time is over by our clock, and not yet by the newest block's.

    Or that of signatures, which are over by the time of a final block. Where the newest block's is ahead of ours, it
    has gone on as ours has, since that block was mirrored.

    Parameters
    ----------
    since
        When that was, by our clock.
    """
    newest = select(ChainBlock.block_time).order_by(ChainBlock.number.desc()).limit(1)
    head = session.scalar(newest)
    if head is None:
        return False
    if head > now:
        now = head + (now - since)
    window = (
        exists()
        .where(
            VppSettlementBatch.state == BatchState.PROPOSED,
            VppSettlementBatch.finalizable_at > head,
            VppSettlementBatch.finalizable_at <= now,
        )
        .where(
            SettlementBatch.key == VppSettlementBatch.batch_key,
            SettlementBatch.status == SettlementStatus.PROPOSED,
        )
    )
    dispute = exists().where(
        SettlementBatch.status == SettlementStatus.DISPUTED,
        SettlementDispute.batch_id == SettlementBatch.batch_id,
        SettlementDispute.until_s > head.timestamp(),
        SettlementDispute.until_s <= now.timestamp(),
    )
    credits = exists().where(
        CreditBatch.status == BatchStatus.ACTIVE,
        CreditBatch.expires_at_s > head.timestamp(),
        CreditBatch.expires_at_s <= now.timestamp(),
    )
    signed = exists().where(
        VppSettlementBatch.state.in_((BatchState.PLANNED, BatchState.FAILED)),
        VppSettlementBatch.signed_until >= (final_time(session) or head),
        VppSettlementBatch.signed_until < now,
    )
    return bool(session.scalar(select(or_(window, dispute, credits, signed))))
