"""Disputes over proposed batches, as an arbiter ends them: rejected here, upheld by cancelling the batch."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.sending import intents
from ledger.chain.sending.intents import new_key
from ledger.errors import NotFound, Refused
from ledger.models import SettlementBatch
from ledger.models.escrow import SettlementStatus
from ledger.serials import is_key
from ledger.settlement.calls import call_of, under_way
from ledger.settlement.finding import find_batch

KIND = "reject_dispute"
"""Kind of the intents."""


def plan_rejection(session: Session, chain: Chain, name: str) -> str:
    """Store the intent to reject the dispute over a batch, as the arbiter; return its key.

    The batch is proposed again for as long as its window was still open, and the bond goes to the collector of the
    fees. Asked again while an intent is on its way, it is that one's key that is returned.

    Parameters
    ----------
    name
        Key or row number of a batch of ours, or the key of a batch of others: an arbiter decides on either.

    Raises
    ------
    NotFound
        If the mirror knows no such batch.
    BadInput
        If the deployment names no arbiter.
    Refused
        If nobody disputes a trade of the batch.
    """
    batch = _on_chain(session, name)
    intent = under_way(session, KIND, batch.batch_id)
    if intent is not None:  # of a dispute that is over by now, too: it is sent to its end
        return intent.key
    if batch.status is not SettlementStatus.DISPUTED:
        raise Refused(
            f"no trade of batch {batch.key} is disputed (it is {batch.status.value})",
            code="not-disputed",
            details={"batch_key": batch.key},
        )
    arbiter = chain.deployment.account("arbiter")
    call = call_of(chain, new_key(), KIND, "rejectDispute", [batch.batch_id], arbiter)
    return intents.plan(session, chain.deployment.chain_id, call)


def window_end(session: Session, name: str) -> datetime | None:
    """Return until when a batch may be disputed, as the mirror has it; None: it is not proposed."""
    batch = _on_chain(session, name)
    if batch.status is not SettlementStatus.PROPOSED:
        return None
    return datetime.fromtimestamp(batch.finalizable_at_s, UTC)


def _on_chain(session: Session, name: str) -> SettlementBatch:
    """Return a batch as the mirror has it.

    Raises
    ------
    NotFound
        If there is none: of these books, or, by its key, on chain.
    """
    key = name.lower() if is_key(name) else find_batch(session, name).batch_key
    query = select(SettlementBatch).where(SettlementBatch.key == key)
    batch = session.scalars(query).first()
    if batch is None:
        raise NotFound(
            f"settlement batch {key} is not on chain, as far as the mirror has read; `truetonne settle status` has "
            "those of these books"
        )
    return batch
