"""Proposed batches that the contract does not finalise while their credits do not move, and what stands behind them.

The contract finalises in order, so that one such batch holds up all later ones. Whether its credits will move again
(they are suspended) or never (they are over) is not ours to know: a person cancels the batch, or waits.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.models import ChainBlock, CreditBatch, SettlementBatch, VppSettlementBatch
from ledger.models.credits import BatchStatus
from ledger.models.escrow import CURRENCY, SettlementStatus
from ledger.models.settlement import BatchState


def way_out(batch_key: str) -> str:
    """Return what to do about a batch that is held up."""
    return (
        "wait until they move again; where they never will, "
        f"truetonne settle cancel {batch_key} --reason WHY lets the batches behind it go on"
    )


def why_held_up(session: Session, batch: VppSettlementBatch) -> tuple[str, str] | None:
    """Return why a proposed batch cannot be finalised, and what to do; None: it can, as far as the books know."""
    open_before = (
        select(SettlementBatch.key, CreditBatch)
        .join(CreditBatch, CreditBatch.batch_id == SettlementBatch.asset)
        .where(
            SettlementBatch.status == SettlementStatus.PROPOSED,
            SettlementBatch.asset != CURRENCY,
            SettlementBatch.batch_id <= batch.chain_batch_id,
        )
        .order_by(SettlementBatch.batch_id)
    )
    newest = session.scalar(select(func.max(ChainBlock.block_time)))
    for key, credits in session.execute(open_before):
        over = 0 < credits.expires_at_s <= (newest.timestamp() if newest else 0)
        if credits.status is BatchStatus.ACTIVE and not over:
            continue
        state = BatchStatus.EXPIRED if over else credits.status
        why = f"credits of batch {credits.batch_id} are {state.value} and do not move"
        return (why if key == batch.batch_key else f"{why}, in batch {key} before it"), way_out(key)
    return None


def key_finalised_by(session: Session, finalize_key: str) -> str:
    """Return the key of the batch that an intent finalises."""
    query = select(VppSettlementBatch.batch_key).where(
        VppSettlementBatch.finalize_key == finalize_key,
        VppSettlementBatch.state == BatchState.PROPOSED,
    )
    return session.scalars(query).one()
