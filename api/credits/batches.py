"""A batch of credits as answers have it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from api.credits.schemas import Batch, CreditPart
from ledger.models import CreditBatch


def batch_document(
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
        credits_count=parts_count,
        credits=list(parts),
    )
