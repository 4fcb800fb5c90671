"""What the books say of credits. Reads only; the command line uses it too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from api.credits.schemas import (
    Batch,
    Credit,
    CreditAnswer,
    CreditPage,
    CreditParameters,
    CreditPart,
    Retirement,
    RetirementAnswer,
)
from api.finality import ChainView
from api.pagination import page_of, paged
from ledger.chain.events import ZERO_HASH
from ledger.errors import NotFound
from ledger.models.blockchain import CarbonCredit, CreditStatus
from ledger.models.mirror import (
    CreditBatch,
    CreditCancellation,
    CreditRetirement,
    CreditSerial,
    CreditSite,
)
from ledger.models.oversight import CreditInvalidation, InvalidationStep
from ledger.naming import PARTS_MAX, find_credit, rows_of
from ledger.units import kg_of_tonnes

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_KEY = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


def list_credits(session: Session, view: ChainView, parameters: CreditParameters) -> CreditPage:
    """Return one page of credits.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = _credits()
    if parameters.status is not None:
        query = query.where(CarbonCredit.status == parameters.status)
    if parameters.site is not None:
        query = query.where(CreditSite.code == parameters.site)
    if parameters.vintage is not None:
        query = query.where(CreditBatch.vintage == parameters.vintage)
    if parameters.key is not None:
        query = query.where(CreditBatch.key == parameters.key)
    if parameters.batch_id is not None:
        query = query.where(CreditBatch.batch_id == parameters.batch_id)
    found = session.execute(paged(query, parameters, CarbonCredit.id)).all()
    page = page_of(parameters, found, [row.CarbonCredit.id for row in found])
    return CreditPage(
        items=_items(session, view, page.rows), next_cursor=page.next_cursor, **view.fields()
    )


def show_credit(session: Session, view: ChainView, name: str) -> CreditAnswer:
    """Return one credit, with its batch.

    Parameters
    ----------
    name
        As ``ledger.serials.read_name`` takes it. Serials name the credit that holds all of them; a batch,
        its number or its key the credit that holds its first kilogram.

    Raises
    ------
    NotFound
        If there is no such credit, or the serials have been parted over several.
    """
    parts = [row.credit_id for row in rows_of(session, find_credit(session, name))]
    if len(parts) > 1:
        raise NotFound(
            f"the serials of {name!r} have been parted since they were issued; they are in "
            + ", ".join(parts[:3])
            + (f" and {len(parts) - 3} more" if len(parts) > 3 else ""),
            code="credit-parted",
            details={"credits": parts},
        )
    query = _credits().where(CarbonCredit.credit_id.in_(parts))
    row = session.execute(query).first()
    if row is None:
        raise NotFound(f"the books hold no credit of {name!r}; `truetonne reconcile` says why")
    (credit,) = _items(session, view, [row])
    return CreditAnswer(
        **dict(credit),
        **view.fields(),
        batch=_batch(session, row.CreditBatch),
        retirement=_retirement(session, credit.retirement_id),
    )


def _credits() -> Select[CarbonCredit, CreditSerial, CreditBatch, str]:
    return (
        select(CarbonCredit, CreditSerial, CreditBatch, CreditSite.code)
        .join(CreditSerial, CreditSerial.credit_id == CarbonCredit.credit_id)
        .join(CreditBatch, CreditBatch.batch_id == CreditSerial.batch_id)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
    )


def _items(session: Session, view: ChainView, rows: Iterable[Any]) -> list[Credit]:
    rows = list(rows)
    last_block = _last_blocks(session, {row.CreditBatch.batch_id: row.CreditBatch for row in rows})
    ended_by = _ended_by(session, rows)
    return [
        Credit(
            id=row.CarbonCredit.id,
            credit_id=row.CarbonCredit.credit_id,
            amount=row.CarbonCredit.amount,
            amount_kg=kg_of_tonnes(row.CarbonCredit.amount),
            unit=row.CarbonCredit.unit,
            status=row.CarbonCredit.status,
            issuer=row.CarbonCredit.issuer,
            site=row.code,
            vintage=row.CreditBatch.vintage,
            batch_id=row.CreditBatch.batch_id,
            batch_status=row.CreditBatch.status,
            first_serial=row.CreditSerial.first_serial,
            last_serial=row.CreditSerial.last_serial,
            key=row.CreditBatch.key,
            retirement_id=row.CreditSerial.retirement_id,
            blockchain_tx=row.CarbonCredit.blockchain_tx,
            status_tx=ended_by.get(row.CarbonCredit.credit_id, row.CarbonCredit.blockchain_tx),
            issued_at=row.CarbonCredit.issued_at,
            expires_at=row.CarbonCredit.expires_at,
            final=view.is_final(last_block[row.CreditBatch.batch_id]),
        )
        for row in rows
    ]


def _ended_by(session: Session, rows: Sequence[Any]) -> dict[str, str]:
    """Return the transactions that retired, cancelled or invalidated credits, by the credit's id."""
    numbers = [row.CreditSerial.retirement_id for row in rows if row.CreditSerial.retirement_id]
    query = select(CreditRetirement.retirement_id, CreditRetirement.tx_hash)
    retired = {
        number: tx_hash
        for number, tx_hash in session.execute(
            query.where(CreditRetirement.retirement_id.in_(numbers))
        )
    }
    wanted = {
        row.CreditBatch.batch_id
        for row in rows
        if row.CarbonCredit.status is CreditStatus.CANCELLED
    }
    cancellations = select(CreditCancellation).where(CreditCancellation.batch_id.in_(wanted))
    cancelled = {
        (item.batch_id, item.first_serial): item.tx_hash for item in session.scalars(cancellations)
    }
    invalidated = {
        batch_id: tx_hash
        for batch_id, tx_hash in session.execute(
            select(CreditInvalidation.batch_id, CreditInvalidation.tx_hash).where(
                CreditInvalidation.batch_id.in_(wanted),
                CreditInvalidation.step == InvalidationStep.EXECUTED,
            )
        )
    }
    found = {}
    for row in rows:
        serial = row.CreditSerial
        place = serial.batch_id, serial.first_serial
        tx_hash = retired.get(serial.retirement_id) or cancelled.get(place)
        if tx_hash is None and row.CarbonCredit.status is CreditStatus.CANCELLED:
            tx_hash = invalidated.get(serial.batch_id)
        if tx_hash is not None:
            found[serial.credit_id] = tx_hash
    return found


def _last_blocks(session: Session, batches: dict[int, CreditBatch]) -> dict[int, int]:
    """Return, for each batch, the last block that changed which credits there are."""
    last = {batch_id: batch.block_number for batch_id, batch in batches.items()}
    for table in (CreditRetirement, CreditCancellation, CreditInvalidation):
        changes = session.execute(
            select(table.batch_id, func.max(table.block_number))
            .where(table.batch_id.in_(list(batches)))
            .group_by(table.batch_id)
        )
        for batch_id, block in changes:
            last[batch_id] = max(last[batch_id], block)
    return last


def _batch(session: Session, batch: CreditBatch) -> Batch:
    parts = session.execute(
        select(CarbonCredit.credit_id, CarbonCredit.amount, CarbonCredit.status)
        .join(CreditSerial, CreditSerial.credit_id == CarbonCredit.credit_id)
        .where(CreditSerial.batch_id == batch.batch_id)
        .order_by(CreditSerial.first_serial)
        .limit(PARTS_MAX)
    )
    return Batch(
        issued_kg=batch.issued_kg,
        retired_kg=batch.retired_kg,
        cancelled_kg=batch.cancelled_kg,
        buffered_kg=batch.buffered_kg,
        deficit_kg=batch.deficit_kg,
        period_start=datetime.fromtimestamp(batch.period_start_s, UTC),
        period_end=datetime.fromtimestamp(batch.period_end_s, UTC),
        recipient=batch.recipient,
        verifier=batch.verifier,
        evidence_root=batch.evidence_root,
        evidence_total_kg=int(batch.evidence_total_kg),
        manifest_hash=batch.manifest_hash,
        methodology_hash=batch.methodology_hash,
        block_number=batch.block_number,
        credits=[
            CreditPart(
                credit_id=part.credit_id, amount_kg=kg_of_tonnes(part.amount), status=part.status
            )
            for part in parts
        ],
    )


def _retirement(session: Session, retirement_id: int | None) -> Retirement | None:
    found = session.get(CreditRetirement, retirement_id) if retirement_id is not None else None
    if found is None:
        return None
    return Retirement(
        key=found.key,
        holder=found.holder,
        replaced_batch_id=found.replaced_batch_id,
        beneficiary=found.beneficiary,
        reason=found.reason,
        country=found.country,
        tx_hash=found.tx_hash,
        block_number=found.block_number,
        retired_at=found.retired_at,
    )


def show_retirement(session: Session, view: ChainView, name: str) -> RetirementAnswer:
    """Return one retirement, by its number or its key.

    Raises
    ------
    NotFound
        If there is none.
    """
    query = select(CreditRetirement, CreditSerial.credit_id).outerjoin(
        CreditSerial, CreditSerial.retirement_id == CreditRetirement.retirement_id
    )
    found = None
    if _NUMBER.fullmatch(name):
        query = query.where(CreditRetirement.retirement_id == int(name))
        found = session.execute(query).first()
    elif _KEY.fullmatch(name):
        found = session.execute(query.where(CreditRetirement.key == name.lower())).first()
    if found is None:
        raise NotFound(f"there is no retirement {name[:100]!r}; give its number or its key")
    row, credit_id = found
    retirement = _retirement(session, row.retirement_id)
    assert retirement is not None
    times = row.consumption_start_s, row.consumption_end_s
    start, end = (datetime.fromtimestamp(at, UTC) if at else None for at in times)
    return RetirementAnswer(
        **dict(retirement),
        **view.fields(),
        retirement_id=row.retirement_id,
        batch_id=row.batch_id,
        first_serial=row.first_serial,
        last_serial=row.first_serial + row.amount_kg - 1,
        amount_kg=row.amount_kg,
        consumption_start=start,
        consumption_end=end,
        document_hash=None if row.document_hash == ZERO_HASH else row.document_hash,
        credit_id=credit_id,
        final=view.is_final(row.block_number),
    )
