"""What the books say of credits. Reads only; the command line uses it too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, false, func, or_, select
from sqlalchemy.orm import Session

from api.credits import asof
from api.credits.batches import batch_document
from api.credits.schemas import (
    Batch,
    Credit,
    CreditAnswer,
    CreditPage,
    CreditParameters,
    CreditPart,
)
from api.credits.then import status_changes
from api.finality import ChainView
from api.pagination import as_written, found_by_id, matching, page_of, paged
from api.retirements.queries import retirement_document
from ledger.errors import NotFound
from ledger.models.blockchain import CarbonCredit
from ledger.models.credits import (
    CreditBatch,
    CreditCancellation,
    CreditRetirement,
    CreditSerial,
    CreditSite,
)
from ledger.models.oversight import CreditInvalidation, InvalidationStep
from ledger.naming import PARTS_MAX, count_rows_of, find_credit, of_site, rows_of
from ledger.serials import CreditStatus
from ledger.units import kg_of_tonnes

_FEW = 200
"""Up to so many batches have their credits sought by their numbers; those of more, in the order of the list."""


def list_credits(session: Session, view: ChainView, parameters: CreditParameters) -> CreditPage:
    """Return one page of credits, as they are or as they were at the end of a block.

    Raises
    ------
    BadInput
        If the cursor, or the block, cannot be used.
    """
    if parameters.as_of_block is not None:
        return asof.list_credits(session, view, parameters, parameters.as_of_block)
    query = _credits()
    query = matching(
        query,
        (CarbonCredit.status, parameters.status),
        (CreditSite.code, parameters.site),
        (CreditBatch.vintage, parameters.vintage),
        (CreditBatch.key, parameters.key),
        (CreditBatch.batch_id, parameters.batch_id),
    )
    few = _few_batches(session, parameters)
    if few is None:
        found = session.execute(as_written(paged(query, parameters, CarbonCredit.id))).all()
    else:
        ids = query.with_only_columns(CarbonCredit.id).where(CarbonCredit.credit_id.in_(few))
        found = found_by_id(session, ids, as_written(_credits()), parameters, CarbonCredit.id)
    page = page_of(parameters, found, [row.CarbonCredit.id for row in found])
    return CreditPage(
        items=_items(session, view, page.rows), next_cursor=page.next_cursor, **view.fields()
    )


def show_credit(
    session: Session, view: ChainView, name: str, as_of_block: int | None = None
) -> CreditAnswer:
    """Return one credit, with its batch, as it is or as it was at the end of a block.

    Parameters
    ----------
    name
        As ``ledger.serials.read_name`` takes it. Serials name the credit that holds all of them; a batch,
        its number or its key the credit that holds its first kilogram.

    Raises
    ------
    NotFound
        If there is no such credit, or the serials have been parted over several.
    BadInput
        If the block cannot be used.
    """
    if as_of_block is not None:
        return asof.show_credit(session, view, name, as_of_block)
    named = find_credit(session, name)
    parts = [row.credit_id for row in rows_of(session, named)]
    if len(parts) > 1:
        count = count_rows_of(session, named)
        raise NotFound(
            f"the serials of {name!r} have been parted since they were issued; they are in "
            + ", ".join(parts[:3])
            + (f" and {count - 3} more" if count > 3 else ""),
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
        retirement=retirement_document(session, credit.retirement_id),
    )


def _few_batches(session: Session, parameters: CreditParameters) -> Select[str] | None:
    """Return the query of the credits of few batches that are asked for; None: they are many, or none is asked for.

    Where there are many, a page is soon full, read in its order; where there are few, all credits would be read for it.
    """
    query = select(CreditBatch.batch_id)
    if parameters.site is not None:
        sites = session.scalars(
            select(CreditSite.site_id).where(CreditSite.code == parameters.site)
        )
        query = query.where(or_(false(), *(of_site(CreditBatch.batch_id, each) for each in sites)))
    wanted = (
        (CreditBatch.vintage, parameters.vintage),
        (CreditBatch.key, parameters.key),
        (CreditBatch.batch_id, parameters.batch_id),
    )
    if parameters.site is None and all(value is None for _, value in wanted):
        return None
    query = matching(query, *wanted)
    batches = session.scalars(query.limit(_FEW + 1)).all()
    if len(batches) > _FEW:
        return None
    return select(CreditSerial.credit_id).where(CreditSerial.batch_id.in_(batches))


def _credits() -> Select[CarbonCredit, CreditSerial, CreditBatch, str]:
    return (
        select(CarbonCredit, CreditSerial, CreditBatch, CreditSite.code)
        .join(CreditSerial, CreditSerial.credit_id == CarbonCredit.credit_id)
        .join(CreditBatch, CreditBatch.batch_id == CreditSerial.batch_id)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
    )


def _items(session: Session, view: ChainView, rows: Iterable[Any]) -> list[Credit]:
    rows = list(rows)
    batches = {row.CreditBatch.batch_id: row.CreditBatch for row in rows}
    changing = _not_final(session, view, batches)
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
            final=row.CreditBatch.batch_id not in changing,
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
    ended = [row for row in rows if row.CarbonCredit.status is CreditStatus.CANCELLED]
    wanted = {row.CreditBatch.batch_id for row in ended}
    table = CreditCancellation
    cancellations = select(table.batch_id, table.first_serial, table.tx_hash).where(
        table.batch_id.in_(wanted),
        table.first_serial.in_({row.CreditSerial.first_serial for row in ended}),
    )
    cancelled = {
        (batch, first): tx_hash for batch, first, tx_hash in session.execute(cancellations)
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


def _not_final(session: Session, view: ChainView, batches: Mapping[int, CreditBatch]) -> set[int]:
    """Return the batches that came, or whose credits or status changed, after the last final block.

    Of journals what is not final is read alone: a batch of thousands of retirements has pages of them, and each would
    read all.
    """
    final = view.final_block
    if final is None:
        return set(batches)
    found = {batch_id for batch_id, batch in batches.items() if batch.block_number > final}
    # The contract numbers retirements in the order of the chain: from the last one down to what is final.
    last = (
        select(CreditRetirement.retirement_id)
        .where(CreditRetirement.block_number <= final)
        .order_by(CreditRetirement.retirement_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    for query in (
        select(CreditRetirement.batch_id).where(
            CreditRetirement.retirement_id > func.coalesce(last, 0)
        ),
        select(CreditCancellation.batch_id).where(CreditCancellation.block_number > final),
        select(CreditInvalidation.batch_id).where(CreditInvalidation.block_number > final),
    ):
        found |= batches.keys() & set(session.scalars(query))
    return found | {batch_id for batch_id, _, _ in status_changes(session, final, of=batches)}


def _batch(session: Session, batch: CreditBatch) -> Batch:
    parts = session.execute(
        select(CarbonCredit.credit_id, CarbonCredit.amount, CarbonCredit.status)
        .join(CreditSerial, CreditSerial.credit_id == CarbonCredit.credit_id)
        .where(CreditSerial.batch_id == batch.batch_id)
        .order_by(CreditSerial.first_serial)
        .limit(PARTS_MAX)
    ).all()
    count = len(parts)
    if count == PARTS_MAX:
        all_parts = select(func.count()).where(CreditSerial.batch_id == batch.batch_id)
        count = session.scalars(all_parts).one()
    return batch_document(
        session,
        batch,
        [
            CreditPart(
                credit_id=part.credit_id, amount_kg=kg_of_tonnes(part.amount), status=part.status
            )
            for part in parts
        ],
        count,
        retired_kg=batch.retired_kg,
        cancelled_kg=batch.cancelled_kg,
        deficit_kg=batch.deficit_kg,
    )
