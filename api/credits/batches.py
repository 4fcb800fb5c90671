"""A batch of credits as answers have it, and the sums of many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from api.credits.schemas import Batch, CreditPart
from ledger.chain.sending.issued import backfilled_before
from ledger.models import CreditBatch, CreditSite
from ledger.models.credits import BatchStatus
from ledger.serials import batch_id_of


def batch_document(
    session: Session,
    batch: CreditBatch,
    parts: Sequence[CreditPart],
    parts_count: int,
    *,
    retired_kg: int,
    cancelled_kg: int,
    deficit_kg: int | None,
) -> Batch:
    """Return a batch; what changes with time is given beside the row.

    Parameters
    ----------
    parts
        Its first runs, in the order of serials.
    parts_count
        How many runs it has in all.
    retired_kg, cancelled_kg, deficit_kg
        Its totals at the time that is asked for, in kilograms.
    """
    return Batch(
        issued_kg=batch.issued_kg,
        retired_kg=retired_kg,
        cancelled_kg=cancelled_kg,
        buffered_kg=batch.buffered_kg,
        deficit_kg=deficit_kg,
        period_start=datetime.fromtimestamp(batch.period_start_s, UTC),
        period_end=datetime.fromtimestamp(batch.period_end_s, UTC),
        recipient=batch.recipient,
        verifier=batch.verifier,
        evidence_root=batch.evidence_root,
        evidence_total_kg=int(batch.evidence_total_kg),
        manifest_hash=batch.manifest_hash,
        methodology_hash=batch.methodology_hash,
        block_number=batch.block_number,
        backfill_before_batch_id=following_of(session, batch),
        credits_count=parts_count,
        credits=list(parts),
    )


def following_of(session: Session, batch: CreditBatch) -> int | None:
    """Return the number of the batch before which one was backfilled; None: it was not."""
    before = backfilled_before(session, batch)
    return batch_id_of(batch.site_id, before) if before else None


def sums_of(session: Session, code: str | None = None) -> tuple[int, int, int, int]:
    """Return how many batches there are, and the kilograms issued, retired and cancelled.

    Parameters
    ----------
    code
        Of the project whose batches are meant, which its site on chain carries; None: of all.
    """
    # Of a batch that is cancelled as a whole, all that is not retired is cancelled.
    withdrawn = case(
        (
            CreditBatch.status == BatchStatus.CANCELLED,
            CreditBatch.issued_kg - CreditBatch.retired_kg,
        ),
        else_=CreditBatch.cancelled_kg,
    )
    sums = (CreditBatch.issued_kg, CreditBatch.retired_kg, withdrawn)
    query = select(func.count(), *(func.coalesce(func.sum(column), 0) for column in sums))
    if code is not None:
        query = (
            query.select_from(CreditBatch)
            .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
            .where(CreditSite.code == code)
        )
    # MariaDB sums BIGINT as DECIMAL.
    batches, issued, retired, cancelled = map(int, session.execute(query).one())
    return batches, issued, retired, cancelled
