"""What the books say of markets. Reads only."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.holders.escrow import money_of, units_per_cent
from api.markets.schemas import FormerAccountMoney, MarketItem, MarketPage, MarketParameters
from api.pagination import matching, page_of, paged
from ledger.changed_accounts import former_of
from ledger.models import VppSettlementAccount


def list_markets(session: Session, view: ChainView, parameters: MarketParameters) -> MarketPage:
    """Return one page of the markets that have a settlement account.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    row = VppSettlementAccount
    query = matching(select(row).where(row.market.is_not(None)), (row.market, parameters.market))
    found = session.scalars(paged(query, parameters, row.id)).all()
    page = page_of(parameters, found, [account.id for account in found])
    former = former_of(session, page.rows)
    accounts = {account.address for account in page.rows}.union(*former.values())
    money = money_of(session, accounts)
    return MarketPage(
        units_per_cent=units_per_cent(session),
        items=[
            MarketItem(
                market=account.market or "",
                account=account.address,
                money=money[account.address],
                former_accounts=[
                    FormerAccountMoney(account=before, money=money[before])
                    for before in former[account.id]
                ],
            )
            for account in page.rows
        ],
        next_cursor=page.next_cursor,
        **view.fields(),
    )
