"""Credits that do not move: proposed batches that wait for them, what stands behind those, and what cannot be planned.

The contract finalises in order, so that one such batch holds up all later ones. Whether its credits will move again
(they are suspended) or never (they are over) is not ours to know: a person cancels the batch, or waits.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.db import tables
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
    now_s = _newest_s(session)
    for key, credits in session.execute(open_before):
        state = _unmoving(credits, now_s)
        if state is None:
            continue
        why = f"credits of batch {credits.batch_id} are {state.value} and do not move"
        return (why if key == batch.batch_key else f"{why}, in batch {key} before it"), way_out(key)
    return None


def unmoving(session: Session, assets: Collection[int]) -> dict[int, str]:
    """Return which of these credits do not move, as far as the books know, and as what: suspended, for instance."""
    now_s = _newest_s(session)
    return {
        credits.batch_id: state.value
        for here in tables.among(session, CreditBatch.batch_id, assets)
        for credits in session.scalars(select(CreditBatch).where(here))
        if (state := _unmoving(credits, now_s)) is not None
    }


def key_finalised_by(session: Session, finalize_key: str) -> str:
    """Return the key of the batch that an intent finalises."""
    query = select(VppSettlementBatch.batch_key).where(
        VppSettlementBatch.finalize_key == finalize_key,
        VppSettlementBatch.state == BatchState.PROPOSED,
    )
    return session.scalars(query).one()


def _newest_s(session: Session) -> float:
    newest = session.scalar(select(func.max(ChainBlock.block_time)))
    return newest.timestamp() if newest else 0


def _unmoving(credits: CreditBatch, now_s: float) -> BatchStatus | None:
    if 0 < credits.expires_at_s <= now_s:
        return BatchStatus.EXPIRED
    return None if credits.status is BatchStatus.ACTIVE else credits.status
