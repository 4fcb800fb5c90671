"""What the mirror says of holders. Reads only."""

from __future__ import annotations

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from api.credits.asof import view_at
from api.credits.then import batches_then
from api.finality import ChainView
from api.holders.escrow import credits_of, money_of
from api.holders.schemas import HolderPage, HolderParameters, Holding
from api.pagination import found_by_id, page_of, paged
from ledger.models import CreditBatch, CreditHolding, CreditSite, CreditTransfer, SmartContract
from ledger.serials import batch_name
from ledger.units import tonnes_of_kg


def show_holder(
    session: Session, view: ChainView, address: str, parameters: HolderParameters
) -> HolderPage:
    """Return one page of what an account has, by batch; nothing for an account that has none.

    Raises
    ------
    BadInput
        If the cursor or the block cannot be used.
    """
    if parameters.as_of_block is not None:
        return _then(session, view, address.lower(), parameters, parameters.as_of_block)
    query = (
        select(CreditHolding, CreditBatch, CreditSite.code)
        .join(CreditBatch, CreditBatch.batch_id == CreditHolding.batch_id)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(CreditHolding.holder == address)
    )
    ids = select(CreditHolding.batch_id).where(CreditHolding.holder == address)
    found = found_by_id(session, ids, query, parameters, CreditHolding.batch_id)
    page = page_of(parameters, found, [row[0].batch_id for row in found])
    return HolderPage(
        holder=address.lower(),
        contract=contracts_of(session, view).get(address.lower()),
        escrow=credits_of(session, address.lower()),
        money=money_of(session, [address.lower()])[address.lower()],
        items=[
            Holding(
                batch_id=batch.batch_id,
                batch=batch_name(code or batch.site_id, batch.vintage, batch.ordinal),
                batch_status=batch.status,
                amount=tonnes_of_kg(holding.amount_kg),
                amount_kg=holding.amount_kg,
            )
            for holding, batch, code in page.rows
        ],
        next_cursor=page.next_cursor,
        **view.fields(),
    )


def _then(
    session: Session, view: ChainView, address: str, parameters: HolderParameters, block: int
) -> HolderPage:
    """Return what an account had at the end of a block: what came to it, less what went.

    Every change of a holding is a transfer, issuance and retirement included; they are read up to the block.
    """
    view = view_at(session, view, block)
    row = CreditTransfer
    came = case((row.to_address == address, row.amount_kg), else_=0)
    went = case((row.from_address == address, row.amount_kg), else_=0)
    amount = func.sum(came - went)
    moved = (
        select(row.batch_id, amount.label("amount_kg"))
        .where(row.block_number <= block)
        .where(or_(row.to_address == address, row.from_address == address))
        .group_by(row.batch_id)
        .having(amount > 0)
        .subquery()
    )
    query = (
        select(moved.c.amount_kg, CreditBatch, CreditSite.code)
        .join(CreditBatch, CreditBatch.batch_id == moved.c.batch_id)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
    )
    found = session.execute(paged(query, parameters, CreditBatch.batch_id)).all()
    page = page_of(parameters, found, [batch.batch_id for _, batch, _ in found])
    batches = [(batch, code or str(batch.site_id)) for _, batch, code in page.rows]
    states = {then.batch.batch_id: then.status for then in batches_then(session, batches, block)}
    items = [
        Holding(
            batch_id=batch.batch_id,
            batch=batch_name(code or batch.site_id, batch.vintage, batch.ordinal),
            batch_status=states[batch.batch_id],
            amount=tonnes_of_kg(int(kg)),  # MariaDB sums BIGINT as DECIMAL
            amount_kg=int(kg),
        )
        for kg, batch, code in page.rows
    ]
    return HolderPage(
        holder=address,
        contract=contracts_of(session, view).get(address),
        escrow=None,  # an account's movements are found by reading those of all
        money=None,
        items=items,
        next_cursor=page.next_cursor,
        **view.fields(),
    )


def contracts_of(session: Session, view: ChainView) -> dict[str, str]:
    """Return the names of this ledger's contracts, by their addresses: what they hold is somebody else's."""
    row = SmartContract
    query = select(row.contract_address, row.contract_name).where(row.network == view.network)
    return {address: name for address, name in session.execute(query)}
