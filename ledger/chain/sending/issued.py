"""Which batch on chain an issuance of these books became, and the other way round: by its whole claim, not its key.

An issuer and a verifier of whatever class who see our key in the pool can use it up. Until the sender hears of that and
the issuance is void, the chain has a batch of theirs under the key of one that is planned.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.sending.marks import mark_of
from ledger.models import ChainEvent, ChainIntent, CreditBatch, Issuance
from ledger.models.issuance import IssuanceState


def issuance_of(session: Session, batch: CreditBatch) -> Issuance | None:
    """Return the issuance that became a batch; None for one that was issued from others' books."""
    query = select(Issuance).where(
        Issuance.key == batch.key,
        Issuance.evidence_root == batch.evidence_root,
        Issuance.state != IssuanceState.VOID,
    )
    found = session.scalars(query).first()
    if found is None or found.state is IssuanceState.ISSUED:
        return found
    return None if _is_of_others(session, found.key) else found


def batch_of(session: Session, key: str) -> CreditBatch | None:
    """Return the batch that an issuance became, by its key; None: none yet, or the key was used up for another."""
    if _is_of_others(session, key):
        return None
    return session.scalars(select(CreditBatch).where(CreditBatch.key == key)).first()


def backfilled_before(session: Session, batch: CreditBatch) -> int:
    """Return the ordinal of the batch before which one was backfilled, by the event of its issuance; 0: it was none."""
    event = session.get(ChainEvent, (batch.block_number, batch.log_index))
    return 0 if event is None else int(event.args["claim"]["backfill_before"])


def _is_of_others(session: Session, key: str) -> bool:
    """Return whether the mark of what we planned is not there, be there a batch of the key or not."""
    intent = session.get(ChainIntent, key)
    return intent is not None and mark_of(session, intent) is None
