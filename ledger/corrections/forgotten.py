"""What the chain has for corrections, and these books do not: they were restored from before.

The key of a correction is made of what it says, so that the same one, found again, has the same key: its cancellation
is known by it, and so is an issuance whose manifest names it. What is on chain under keys of other corrections has paid
something as well, and is not to be paid again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import takewhile

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import Refused
from ledger.models import Correction, CreditBatch, CreditCancellation, Issuance

REASON = re.compile(r"correction 0x[0-9a-f]{64}: ")
"""How the reason of a correction's cancellation begins."""


def key_of(issuance_key: str, manifest_hash: str) -> str:
    """Return the key of the correction of an issuance that has this manifest; its cancellation has the same."""
    text = f"truetonne correction {issuance_key} {manifest_hash}"
    return "0x" + sha256(text.encode()).hexdigest()


def cancelled_before(
    session: Session, issuance: Issuance, key: str, *, cancels: bool
) -> int | None:
    """Return what the chain has cancelled for a correction that is to be recorded, kg; None: nothing.

    Parameters
    ----------
    key
        Of the correction.
    cancels
        Whether its debt shall be cancelled; else it is carried.

    Raises
    ------
    Refused
        If the chain has paid, by other corrections that the books do not know, or by issuances that may have carried
        it; or if this one is cancelled there and shall be carried.
    """
    batch = session.scalars(select(CreditBatch).where(CreditBatch.key == issuance.key)).first()
    if batch is None:
        return None
    found = _unknown_cancellations(session, batch)
    before = list(takewhile(lambda item: item.key != key, found))
    kg = sum(item.amount_kg for item in found if item.key == key)
    period = f"{issuance.from_date} to {issuance.to_date}"
    if before:  # those after it are taken up in their turn
        others = [item.key for item in before]
        raise Refused(
            f"{period}: the chain has a cancellation for a correction that these books do not know ({others[0]}); the "
            "books were restored from before: import what came late in the order in which it came, and run truetonne "
            "reductions correct --cancel after each, or restore a later backup",
            code="forgotten-correction",
            details={"keys": others},
        )
    if kg and not cancels:
        raise Refused(
            f"{period}: {kg} kg are cancelled on chain for this correction, and these books do not know of it; they "
            "were restored from before: give --cancel, and it is taken up, not done again",
            code="forgotten-correction",
            details={"keys": [key]},
        )
    if cancels and not kg and (later := _unknown_issuances(session, batch)):
        raise Refused(
            f"{period}: the chain has later issuances of the site that these books do not know ({len(later)}), and "
            "they may have carried this: the books were restored from before; correct with --carry, and issue the same "
            "periods again",
            code="forgotten-issuance",
            details={"keys": later},
        )
    return kg or None


def _unknown_cancellations(session: Session, batch: CreditBatch) -> list[CreditCancellation]:
    """Return the cancellations of a batch by its owner that say they are of a correction, and are of none of ours.

    In the order of the chain, in which the corrections were found.
    """
    query = select(CreditCancellation).where(
        CreditCancellation.batch_id == batch.batch_id,
        CreditCancellation.holder == batch.recipient,
        CreditCancellation.key.not_in(
            select(Correction.act_key).where(Correction.act_key.is_not(None))
        ),
    )
    ordered = query.order_by(CreditCancellation.block_number, CreditCancellation.log_index)
    return [item for item in session.scalars(ordered) if REASON.match(item.reason)]


def _unknown_issuances(session: Session, batch: CreditBatch) -> Sequence[str]:
    query = select(CreditBatch.key).where(
        CreditBatch.site_id == batch.site_id,
        CreditBatch.period_start_s >= batch.period_end_s,
        CreditBatch.key.not_in(select(Issuance.key)),
    )
    return session.scalars(query.order_by(CreditBatch.period_start_s)).all()
