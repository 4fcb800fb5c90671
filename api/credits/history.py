"""The life of a credit's batch, from its readings to what became of it: one list, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.credits.schemas import HistoryAnswer, HistoryEntry
from api.finality import ChainView
from ledger.chain.events import ZERO_ADDRESS
from ledger.errors import NotFound
from ledger.models import ImportFile, Issuance, Meter, MeterReading, MeterSource
from ledger.models.evidence import IssuanceState
from ledger.models.mirror import (
    CreditBatch,
    CreditCancellation,
    CreditRetirement,
    CreditTransfer,
)
from ledger.models.oversight import CreditInvalidation, CreditOverlap
from ledger.naming import find_credit

ENTRIES_MAX = 1_000
"""Most entries of one answer; a batch with more has its latest ones cut, and the answer says so."""


def show_history(session: Session, view: ChainView, name: str) -> HistoryAnswer:
    """Return what happened to the batch of a credit, and before it was one.

    Raises
    ------
    NotFound
        If there is no such credit.
    """
    named = find_credit(session, name)
    batch = session.get(CreditBatch, named.batch_id)
    if batch is None:
        raise NotFound(f"the books hold no batch of {name!r}; `truetonne reconcile` says why")
    entries = [
        *_before(session, batch),
        *sorted(_on_chain(session, view, batch), key=lambda item: (item.block_number, item.log)),
    ]
    return HistoryAnswer(
        batch_id=batch.batch_id,
        items=entries[:ENTRIES_MAX],
        complete=len(entries) <= ENTRIES_MAX,
        **view.fields(),
    )


def _before(session: Session, batch: CreditBatch) -> Iterator[HistoryEntry]:
    """Yield what these books know of the time before the issuance: files, and the calculation."""
    query = select(Issuance).where(Issuance.key == batch.key, Issuance.state != IssuanceState.VOID)
    issuance = session.scalars(query).first()
    if issuance is None:  # it was issued from others' books
        return
    files = (
        select(ImportFile, MeterSource.name, func.count(MeterReading.id))
        .join(MeterReading, MeterReading.file_id == ImportFile.id)
        .join(Meter, Meter.id == MeterReading.meter_id)
        .join(MeterSource, MeterSource.id == ImportFile.source_id)
        .where(
            Meter.project_id == issuance.project_id,
            MeterReading.start_s >= issuance.from_s,
            MeterReading.start_s < issuance.to_s,
        )
        .group_by(ImportFile.id, MeterSource.name)
        .order_by(ImportFile.imported_at, ImportFile.id)
    )
    for file, source, count in session.execute(files):
        yield _entry(
            "readings_imported",
            file.imported_at,
            file=file.file_name,
            file_sha256=file.file_sha256,
            source=source,
            readings=str(count),
        )
    yield _entry(
        "reductions_computed",
        issuance.created_at,
        period_from=issuance.from_date.isoformat(),
        period_to=issuance.to_date.isoformat(),
        readings_expected=str(issuance.readings_expected),
        readings_used=str(issuance.readings_used),
        readings_missing=str(issuance.readings_missing),
        readings_outlier=str(issuance.readings_outlier),
        readings_conflict=str(issuance.readings_conflict),
        net_kwh=f"{issuance.net_kwh:f}",
        reductions_kg=f"{issuance.reductions_kg:f}",
        carry_in_kg=issuance.carry_in_kg,
        carry_out_kg=issuance.carry_out_kg,
        issued_kg=str(issuance.issued_kg),
        evidence_root=issuance.evidence_root,
        leaves=str(issuance.leaves),
        manifest_hash=issuance.manifest_hash,
    )


def _on_chain(session: Session, view: ChainView, batch: CreditBatch) -> Iterator[HistoryEntry]:
    yield _chained(
        view,
        "issued",
        batch,
        batch.issued_at,
        amount_kg=str(batch.issued_kg),
        buffered_kg=str(batch.buffered_kg),
        recipient=batch.recipient,
        issuer=batch.issuer,
        verifier=batch.verifier,
        key=batch.key,
    )
    moved = select(CreditTransfer).where(
        CreditTransfer.batch_id == batch.batch_id,
        CreditTransfer.from_address != ZERO_ADDRESS,
        CreditTransfer.to_address != ZERO_ADDRESS,
    )
    for row in session.scalars(moved.limit(ENTRIES_MAX + 1)):
        yield _chained(
            view,
            "transferred",
            row,
            None,
            amount_kg=str(row.amount_kg),
            giver=row.from_address,
            taker=row.to_address,
        )
    for row in _rows(session, CreditRetirement, batch):
        yield _chained(
            view,
            "retired",
            row,
            row.retired_at,
            **_run(row),
            retirement_id=str(row.retirement_id),
            holder=row.holder,
            beneficiary=row.beneficiary,
            reason=row.reason,
            key=row.key,
        )
    for row in _rows(session, CreditCancellation, batch):
        yield _chained(
            view,
            "cancelled",
            row,
            row.cancelled_at,
            **_run(row),
            holder=row.holder,
            reason=row.reason,
            key=row.key,
        )
    for row in _rows(session, CreditInvalidation, batch):
        given = {"account": row.account, "reason": row.reason}
        numbers = {"frozen_kg": row.frozen_kg, "deficit_kg": row.deficit_kg}
        given |= {name: None if value is None else str(value) for name, value in numbers.items()}
        known = {name: value for name, value in given.items() if value is not None}
        yield _chained(view, f"invalidation_{row.step.value}", row, row.happened_at, **known)
    overlaps = select(CreditOverlap).where(
        (CreditOverlap.first_batch_id == batch.batch_id)
        | (CreditOverlap.second_batch_id == batch.batch_id)
    )
    for overlap in session.scalars(overlaps.limit(ENTRIES_MAX + 1)):
        one, other = overlap.first_batch_id, overlap.second_batch_id
        yield _chained(
            view,
            "overlap_proven",
            overlap,
            overlap.proven_at,
            other_batch_id=str(other if one == batch.batch_id else one),
            challenger=overlap.challenger,
            meter=overlap.meter,
        )


def _rows(session: Session, table: Any, batch: CreditBatch) -> Iterator[Any]:
    query = select(table).where(table.batch_id == batch.batch_id)
    yield from session.scalars(query.limit(ENTRIES_MAX + 1))


def _run(row: Any) -> dict[str, str]:
    last = row.first_serial + row.amount_kg - 1
    return {
        "amount_kg": str(row.amount_kg),
        "first_serial": str(row.first_serial),
        "last_serial": str(last),
    }


def _entry(kind: str, at: datetime, **values: str) -> HistoryEntry:
    return HistoryEntry(
        kind=kind,
        at=at.astimezone(UTC),
        block_number=None,
        log=None,
        tx_hash=None,
        final=None,
        values=values,
    )


def _chained(
    view: ChainView, kind: str, row: Any, at: datetime | None, **values: str
) -> HistoryEntry:
    return HistoryEntry(
        kind=kind,
        at=at,
        block_number=row.block_number,
        log=row.log_index,
        tx_hash=row.tx_hash,
        final=view.is_final(row.block_number),
        values=values,
    )
