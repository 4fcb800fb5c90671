"""What the mirror says of holders. Reads only."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.holders.schemas import HolderPage, HolderParameters, Holding
from api.pagination import page_of, paged
from ledger.models import CreditBatch, CreditHolding, CreditSite
from ledger.units import tonnes_of_kg


def show_holder(
    session: Session, view: ChainView, address: str, parameters: HolderParameters
) -> HolderPage:
    """Return one page of what an account has, by batch; nothing for an account that has none.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = (
        select(CreditHolding, CreditBatch, CreditSite.code)
        .join(CreditBatch, CreditBatch.batch_id == CreditHolding.batch_id)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(CreditHolding.holder == address)
    )
    found = session.execute(paged(query, parameters, CreditHolding.batch_id)).all()
    page = page_of(parameters, found, [row[0].batch_id for row in found])
    return HolderPage(
        holder=address.lower(),
        items=[
            Holding(
                batch_id=batch.batch_id,
                batch=f"{code or batch.site_id}-{batch.vintage}-{batch.ordinal}",
                batch_status=batch.status,
                amount=tonnes_of_kg(holding.amount_kg),
                amount_kg=holding.amount_kg,
            )
            for holding, batch, code in page.rows
        ],
        next_cursor=page.next_cursor,
        **view.fields(),
    )
