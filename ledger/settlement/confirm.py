"""What the mirror calls when the chain has spoken about a settlement batch.

At the head a batch is *proposed*, *finalized* or *cancelled* as its events say, and a reorganisation
takes that back. Only when the block that finalised it is final are its trades *executed*, with the
block's time as ``settlement_time``.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from ledger.chain.events import BatchCancelled, BatchFinalized, BatchProposed, DisputeResolved
from ledger.models import (
    ChainBlock,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus


def proposed(session: Session, event: BatchProposed, block_number: int) -> None:
    """Note that a batch of ours was proposed; a batch of somebody else's is none of our rows."""
    batch = _ours(session, event.key)
    if batch is None:
        return
    batch.state = BatchState.PROPOSED
    batch.chain_batch_id = event.batch_id
    batch.finalizable_at = datetime.fromtimestamp(event.finalizable_at, UTC)
    batch.proposed_block = block_number
    _touch(batch)


def reopened(session: Session, event: DisputeResolved) -> None:
    """Note that a dispute over a batch of ours was rejected: it has another end of its window."""
    batch = _ours(session, event.key)
    if batch is not None:
        batch.finalizable_at = datetime.fromtimestamp(event.finalizable_at, UTC)
        _touch(batch)


def finalized(session: Session, event: BatchFinalized, block_number: int) -> None:
    """Note that a batch of ours was finalised; its trades wait for the block to be final."""
    batch = _ours(session, event.key)
    if batch is None:
        return
    batch.state = BatchState.FINALIZED
    batch.finalized_block = block_number
    _touch(batch)


def cancelled(session: Session, event: BatchCancelled, block_number: int) -> None:
    """Note that a proposal of ours was cancelled; its trades are cancelled once that is final."""
    batch = _ours(session, event.key)
    if batch is None:
        return
    batch.state = BatchState.CANCELLED
    batch.finalized_block = block_number
    batch.error = event.reason
    _touch(batch)


def settle_final(session: Session, final_number: int) -> int:
    """Execute the trades of batches that were finalised in final blocks; return how many.

    Trades of proposals that were cancelled in final blocks become cancelled. A trade that an operator
    settled by itself is executed too.
    """
    changed = _settle_single(session, final_number)
    outcomes = {
        BatchState.FINALIZED: TradeStatus.EXECUTED,
        BatchState.CANCELLED: TradeStatus.CANCELLED,
    }
    query = (
        select(VppSettlementBatch.id, VppSettlementBatch.state, ChainBlock.block_time)
        .join(ChainBlock, ChainBlock.number == VppSettlementBatch.finalized_block)
        .where(
            VppSettlementBatch.state.in_(outcomes),
            VppSettlementBatch.finalized_block <= final_number,
            VppSettlementBatch.id.in_(_with_pending_trades()),
        )
    )
    for batch_id, state, block_time in session.execute(query).all():
        trades = select(VppSettlementItem.trade_id).where(VppSettlementItem.batch_id == batch_id)
        executed = state is BatchState.FINALIZED
        outcome = session.execute(
            update(VppTradingRecord)
            .where(VppTradingRecord.id.in_(trades), VppTradingRecord.status == TradeStatus.PENDING)
            .values(status=outcomes[state], settlement_time=block_time if executed else None)
            .execution_options(synchronize_session=False)
        )
        changed += outcome.rowcount  # type: ignore[attr-defined]
    return changed


def _settle_single(session: Session, final_number: int) -> int:
    """Execute the trades that were settled in no batch, in final blocks."""
    changed = 0
    query = select(SettlementTrade.seq, SettlementTrade.settled_at).where(
        SettlementTrade.block_number <= final_number
    )
    pending = set(
        session.scalars(
            select(VppTradingRecord.id).where(VppTradingRecord.status == TradeStatus.PENDING)
        )
    )
    for seq, settled_at in session.execute(query).all():
        if int(seq) in pending:
            _set_trades(session, [int(seq)], TradeStatus.EXECUTED, settled_at)
            changed += 1
    return changed


def failed(session: Session, key: str, error: str) -> None:
    """Free the trades of a batch whose proposal failed in a final block."""
    batch = _ours(session, key)
    if batch is None or batch.state is not BatchState.PLANNED:
        return
    batch.state = BatchState.FAILED
    batch.error = error
    _touch(batch)
    session.execute(delete(VppSettlementItem).where(VppSettlementItem.batch_id == batch.id))


def rewind(session: Session, above_block: int) -> None:
    """Take back what was learnt above a block: trades are pending again, batches as they were."""
    undone = select(VppSettlementBatch.id).where(VppSettlementBatch.finalized_block > above_block)
    trades = select(VppSettlementItem.trade_id).where(VppSettlementItem.batch_id.in_(undone))
    session.execute(
        update(VppTradingRecord)
        .where(VppTradingRecord.id.in_(trades))
        .values(status=TradeStatus.PENDING, settlement_time=None)
        .execution_options(synchronize_session=False)
    )
    now = datetime.now(UTC)
    session.execute(
        update(VppSettlementBatch)
        .where(VppSettlementBatch.finalized_block > above_block)
        .values(state=BatchState.PROPOSED, finalized_block=None, error=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(VppSettlementBatch)
        .where(VppSettlementBatch.proposed_block > above_block)
        .values(
            state=BatchState.PLANNED,
            chain_batch_id=None,
            finalizable_at=None,
            proposed_block=None,
            finalize_key=None,
            updated_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def _with_pending_trades() -> Select[int]:
    return (
        select(VppSettlementItem.batch_id)
        .join(VppTradingRecord, VppTradingRecord.id == VppSettlementItem.trade_id)
        .where(VppTradingRecord.status == TradeStatus.PENDING)
    )


def _ours(session: Session, key: str) -> VppSettlementBatch | None:
    query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == key)
    return session.scalars(query).one_or_none()


def _touch(batch: VppSettlementBatch) -> None:
    batch.updated_at = datetime.now(UTC)
