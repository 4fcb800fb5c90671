"""Gives up calls that were planned about a batch and never signed, when the batch has ended in another way.

The process that planned one was killed before it signed it; then somebody else finalised or cancelled the batch.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.sending import intents
from ledger.chain.sending.marks import mark_of
from ledger.models import ChainAttempt, ChainCursor, ChainIntent, SettlementBatch
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import IntentState
from ledger.settlement import disputes
from ledger.settlement.calls import FINALIZE
from ledger.settlement.cancel import CANCEL_BATCH

_ENDED = (SettlementStatus.FINALIZED, SettlementStatus.CANCELLED)
_ABOUT_ONE = (FINALIZE, CANCEL_BATCH, disputes.DISPUTE, disputes.KIND)
"""Kinds of calls about a batch that is open."""


def without_use(session: Session) -> list[ChainIntent]:
    """Return those calls whose batch has ended in a final block; not what the mirror confirms by that end."""
    signed = select(ChainAttempt.intent_key).where(ChainAttempt.intent_key == ChainIntent.key)
    planned = select(ChainIntent).where(
        ChainIntent.state == IntentState.PLANNED,
        ChainIntent.kind.in_(_ABOUT_ONE),
        ~signed.exists(),
    )
    found = []
    for intent in session.scalars(planned.order_by(ChainIntent.created_at)).all():
        batch = session.get(SettlementBatch, intents.first_number(intent))
        if batch is not None and _is_over(session, batch) and mark_of(session, intent) is None:
            found.append(intent)
    return found


def give_up(session: Session) -> list[str]:
    """Give them up, with the reason; return their keys."""
    given_up = []
    for intent in without_use(session):
        batch = session.get_one(SettlementBatch, intents.first_number(intent))
        reason = f"not sent: batch {batch.key} is {batch.status.value}"
        intents.refuse(session, intent.key, reason)
        given_up.append(intent.key)
    return given_up


def _is_over(session: Session, batch: SettlementBatch) -> bool:
    if batch.status not in _ENDED or batch.ended_block is None:
        return False
    final = select(ChainCursor.block_number).where(ChainCursor.final_number >= batch.ended_block)
    return session.scalars(final.limit(1)).first() is not None
