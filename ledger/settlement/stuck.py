"""Credits that do not move: proposed batches that wait for them, what stands behind those, and what cannot be planned.

The contract finalises in order, so that one such batch holds up all later ones. Whether its credits will move again
(they are suspended) or never (they are over) is not ours to know: a person cancels the batch, or waits.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import tables
from ledger.errors import Refused
from ledger.models import ChainBlock, CreditBatch, SettlementBatch, VppSettlementBatch
from ledger.models.credits import BatchStatus
from ledger.models.escrow import CURRENCY, SettlementStatus


def refusal(batch_key: str, why: str) -> Refused:
    """Return the error of a batch of ours that cannot be finalised, and the way out."""
    return Refused(
        f"settlement batch {batch_key} cannot be finalised, and those behind it wait: its credits "
        f"do not move; {_way_out(batch_key)} ({why})",
        code="credits-do-not-move",
        details={"batch_key": batch_key},
    )


def why_held_up(session: Session, batch: VppSettlementBatch) -> tuple[str, str] | None:
    """Return why a proposed batch cannot be finalised, and what to do; None: it can, as far as the books know."""
    open_before = (
        select(SettlementBatch)
        .where(
            SettlementBatch.status == SettlementStatus.PROPOSED,
            SettlementBatch.asset != CURRENCY,
            SettlementBatch.batch_id <= batch.chain_batch_id,
        )
        .order_by(SettlementBatch.batch_id)
    )
    for first in session.scalars(open_before):
        why = credits_held_up(session, first)
        if why is not None:
            where = "" if first.key == batch.batch_key else f", in batch {first.key} before it"
            return f"{why} and do not move{where}", _way_out(first.key)
    return None


def credits_held_up(session: Session, batch: SettlementBatch) -> str | None:
    """Return what the credits are that a batch moves and that do not move; None: they do, or it moves none."""
    credits = session.get(CreditBatch, batch.asset) if batch.asset != CURRENCY else None
    state = None if credits is None else _unmoving(session, credits)
    return None if state is None else f"credits of batch {batch.asset} are {state.value}"


def unmoving(session: Session, assets: Collection[int]) -> dict[int, str]:
    """Return which of these credits do not move, as far as the books know, and as what: suspended, for instance."""
    return {
        credits.batch_id: state.value
        for here in tables.among(session, CreditBatch.batch_id, assets)
        for credits in session.scalars(select(CreditBatch).where(here))
        if (state := _unmoving(session, credits)) is not None
    }


def _unmoving(session: Session, credits: CreditBatch) -> BatchStatus | None:
    if _is_over(session, credits):
        return BatchStatus.EXPIRED
    return None if credits.status is BatchStatus.ACTIVE else credits.status


def _is_over(session: Session, credits: CreditBatch) -> bool:
    if not credits.expires_at_s:
        return False
    newest = select(ChainBlock.block_time).order_by(ChainBlock.number.desc()).limit(1)
    now = session.scalar(newest)
    return now is not None and credits.expires_at_s <= now.timestamp()


def _way_out(batch_key: str) -> str:
    return (
        "wait until they move again; where they never will, "
        f"truetonne settle cancel {batch_key} --reason WHY lets the batches behind it go on"
    )
