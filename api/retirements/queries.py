"""What the books say of retirements. Reads only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from api.credits.schemas import Retirement, RetirementAnswer, RetirementItem
from api.credits.then import checked_block
from api.finality import ChainView
from api.pagination import between, matching, page_of, paged
from api.retirements.schemas import RetirementPage, RetirementParameters
from ledger.chain.contracts.events import ZERO_HASH
from ledger.db.sqltext import holds
from ledger.errors import NotFound
from ledger.models import ChainIntent, CreditBatch, CreditRetirement, CreditSerial, CreditSite
from ledger.naming import of_site
from ledger.serials import credit_id, is_key

NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
"""How a retirement is named by its number."""


def list_retirements(
    session: Session, view: ChainView, parameters: RetirementParameters
) -> RetirementPage:
    """Return one page of retirements.

    Raises
    ------
    BadInput
        If the cursor, or the block, cannot be used.
    """
    row = CreditRetirement
    query = select(row)
    if parameters.as_of_block is not None:
        view = view.at(checked_block(session, parameters.as_of_block, view.as_of_block))
        query = query.where(row.block_number <= parameters.as_of_block)
    query = matching(query, (row.batch_id, parameters.batch_id))
    if parameters.site is not None:
        sites = select(CreditSite.site_id).where(CreditSite.code == parameters.site)
        site_id = session.scalars(sites).first() or 0
        query = query.where(of_site(row.batch_id, site_id))
    query = matching(query, (row.holder, parameters.holder))
    if parameters.beneficiary is not None:
        query = query.where(holds(session, row.beneficiary, parameters.beneficiary))
    if parameters.country is not None:
        query = query.where(row.country == parameters.country.upper())
    query = matching(query, (row.key, parameters.key))
    query = between(query, row.retired_at, parameters.retired_from, parameters.retired_before)
    found = session.scalars(paged(query, parameters, row.retirement_id)).all()
    page = page_of(parameters, found, [item.retirement_id for item in found])
    return RetirementPage(
        items=[_item(view, *parts) for parts in _named(session, page.rows)],
        next_cursor=page.next_cursor,
        **view.fields(),
    )


def show_retirement(
    session: Session, view: ChainView, name: str, as_of_block: int | None = None
) -> RetirementAnswer:
    """Return one retirement, by its number or its key.

    Raises
    ------
    NotFound
        If there is none, or was none yet at the end of the block.
    BadInput
        If the block cannot be used.
    """
    row = CreditRetirement
    found = None
    if NUMBER.fullmatch(name):
        found = session.get(row, int(name))
    elif is_key(name):
        query = select(row).where(row.key == name.lower()).order_by(*_ours_first())
        found = session.scalars(query).first()
    if as_of_block is not None:
        view = view.at(checked_block(session, as_of_block, view.as_of_block))
        if found is not None and found.block_number > as_of_block:
            raise NotFound(f"as of block {as_of_block} there was no retirement {name[:100]!r} yet")
    if found is None:
        raise not_there(name)
    (named,) = _named(session, [found])
    return RetirementAnswer(**dict(_item(view, *named)), **view.fields())


def _ours_first() -> tuple[ColumnElement[Any], ...]:
    """Return the order of what is under one key, which any holder may use: what these books sent comes first."""
    ours = exists().where(
        ChainIntent.key == CreditRetirement.key,
        ChainIntent.sender_address == CreditRetirement.holder,
    )
    return ours.desc(), CreditRetirement.retirement_id.asc()


def not_there(name: str) -> NotFound:
    """Return the error for a retirement that does not exist."""
    return NotFound(f"there is no retirement {name[:100]!r}; give its number or its key")


def retirement_document(session: Session, retirement_id: int | None) -> Retirement | None:
    """Return the retirement that a credit belongs to; None when there is none."""
    found = session.get(CreditRetirement, retirement_id) if retirement_id is not None else None
    return None if found is None else Retirement(**_whom(found))


def _named(
    session: Session, rows: Sequence[CreditRetirement]
) -> list[tuple[CreditRetirement, str | None]]:
    """Return retirements with the credit of each, which its own serials name: they are one run for ever.

    Sought by the batch, each retirement of a batch of many runs would read all of them.
    """
    batch, batches = CreditBatch, {row.batch_id for row in rows}
    query = (
        select(batch.batch_id, CreditSite.code, batch.vintage, batch.ordinal)
        .join(CreditSite, CreditSite.site_id == batch.site_id)
        .where(batch.batch_id.in_(batches))
    )
    of = {number: (code, year, ordinal) for number, code, year, ordinal in session.execute(query)}
    names = {
        row.retirement_id: credit_id(
            *of[row.batch_id], row.first_serial, row.first_serial + row.amount_kg - 1
        )
        for row in rows
        if row.batch_id in of
    }
    there = select(CreditSerial.credit_id).where(CreditSerial.credit_id.in_(names.values()))
    known = set(session.scalars(there))
    return [
        (row, name if (name := names.get(row.retirement_id)) in known else None) for row in rows
    ]


def _whom(row: CreditRetirement) -> dict[str, Any]:
    times = row.consumption_start_s, row.consumption_end_s
    start, end = (datetime.fromtimestamp(at, UTC) if at else None for at in times)
    return {
        "key": row.key,
        "holder": row.holder,
        "replaced_batch_id": row.replaced_batch_id,
        "beneficiary": row.beneficiary,
        "reason": row.reason,
        "country": row.country,
        "tx_hash": row.tx_hash,
        "block_number": row.block_number,
        "retired_at": row.retired_at,
        "consumption_start": start,
        "consumption_end": end,
        "document_hash": None if row.document_hash == ZERO_HASH else row.document_hash,
    }


def _item(view: ChainView, row: CreditRetirement, credit_id: str | None) -> RetirementItem:
    return RetirementItem(
        **_whom(row),
        retirement_id=row.retirement_id,
        batch_id=row.batch_id,
        first_serial=row.first_serial,
        last_serial=row.first_serial + row.amount_kg - 1,
        amount_kg=row.amount_kg,
        credit_id=credit_id,
        final=view.is_final(row.block_number),
    )
