"""Gives up calls that were planned about a batch, or for it, when the batch has ended in another way.

The process that planned one was killed before it signed it; then somebody else finalised or cancelled the batch.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.sending import intents
from ledger.chain.sending.marks import mark_of
from ledger.models import (
    ChainAttempt,
    ChainCursor,
    ChainIntent,
    SettlementBatch,
    VppSettlementBatch,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.settlement.calls import ABOUT_ONE

_ENDED = (SettlementStatus.FINALIZED, SettlementStatus.CANCELLED)


def without_use(session: Session) -> list[tuple[ChainIntent, str]]:
    """Return those calls, each with what became of its batch; not what the mirror confirms.

    A batch has ended in a final block, or it had failed here: a fork took that back, and the call, on its way again,
    lost its nonce for good.
    """
    planned = select(ChainIntent).where(ChainIntent.state == IntentState.PLANNED)
    signed = select(ChainAttempt.intent_key).where(ChainAttempt.intent_key == ChainIntent.key)
    about_one = planned.where(ChainIntent.kind.in_(ABOUT_ONE), ~signed.exists())
    found = []
    for intent in session.scalars(about_one.order_by(ChainIntent.created_at)).all():
        batch = session.get(SettlementBatch, intents.first_number(intent))
        if batch is not None and _is_over(session, batch):
            found.append((intent, f"batch {batch.key} is {batch.status.value}"))
    of_failed = planned.join(
        VppSettlementBatch, VppSettlementBatch.batch_key == ChainIntent.key
    ).where(VppSettlementBatch.state == BatchState.FAILED)
    for intent in session.scalars(of_failed.order_by(ChainIntent.created_at)).all():
        found.append((intent, f"batch {intent.key} has failed; {intent.alarm or 'it was planned'}"))
    return [(intent, what) for intent, what in found if mark_of(session, intent) is None]


def give_up(session: Session) -> list[str]:
    """Give them up, with the reason; return their keys.

    The mirror may take up a batch again at this moment, which changes nothing in its call: the batch is locked first,
    as everywhere, and looked at once more.
    """
    given_up = []
    for intent, what in without_use(session):
        if intent.kind in ABOUT_ONE or _has_failed(session, intent.key):
            intents.refuse(session, intent.key, f"not sent: {what}")
            given_up.append(intent.key)
    return given_up


def _has_failed(session: Session, key: str) -> bool:
    """Return whether the books' own batch with a key has failed, as it stands now, and lock it."""
    own = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == key)
    now = own.with_for_update().execution_options(populate_existing=True)
    return session.scalars(now).one().state is BatchState.FAILED


def _is_over(session: Session, batch: SettlementBatch) -> bool:
    if batch.status not in _ENDED or batch.ended_block is None:
        return False
    final = select(ChainCursor.block_number).where(ChainCursor.final_number >= batch.ended_block)
    return session.scalars(final.limit(1)).first() is not None
