"""What the books say of virtual power plants. Reads only."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from sqlalchemy import ColumnElement, String, case, cast, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from api.finality import ChainView
from api.holders.queries import show_holder
from api.holders.schemas import HolderParameters, Holding
from api.pagination import Order, matching, page_of, paged
from api.plants.schemas import (
    Balance,
    FormerAccount,
    PlantAnswer,
    PlantItem,
    PlantPage,
    PlantParameters,
    PlantSettlement,
    PlantsParameters,
    Resource,
    TradePeriod,
    TradeSum,
)
from api.settlements.queries import latest_of_plant
from api.settlements.schemas import Payment
from ledger.changed_accounts import former_of_plant, plants_of
from ledger.errors import NotFound
from ledger.models import (
    CreditBatch,
    CreditSite,
    SettlementBalance,
    VppDefinition,
    VppResource,
    VppResourceAssociation,
    VppSettlementAccount,
    VppSettlementItem,
    VppTradeCredit,
    VppTradingRecord,
)
from ledger.models.trading import TradeStatus, TradeType
from ledger.serials import batch_name

RESOURCES_MAX = 200
BALANCES_MAX = 200
HOLDINGS_MAX = 50
SUMS_MAX = 60
SETTLEMENTS_MAX = 50
_COUNTED = (TradeStatus.PENDING, TradeStatus.EXECUTED)
_LENGTHS = {TradePeriod.MONTH: 7, TradePeriod.DAY: 10, TradePeriod.HOUR: 13}
"""Characters of a time, as both databases write it (``2024-01-31 12:00:00``), that name its period."""


def list_plants(session: Session, view: ChainView, parameters: PlantsParameters) -> PlantPage:
    """Return one page of plants.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = select(VppDefinition, VppSettlementAccount.address).outerjoin(
        VppSettlementAccount, VppSettlementAccount.vpp_id == VppDefinition.id
    )
    query = matching(query.where(of_settlement()), (VppDefinition.status, parameters.status))
    found = session.execute(paged(query, parameters, VppDefinition.id)).all()
    page = page_of(parameters, found, [row.id for row, _ in found])
    return PlantPage(
        items=[_item(row, account) for row, account in page.rows],
        next_cursor=page.next_cursor,
        **view.fields(),
    )


def show_plant(
    session: Session, view: ChainView, code: str, parameters: PlantParameters
) -> PlantAnswer:
    """Return one plant: its account, what it holds, its trades, and the settlements that it took part in.

    Raises
    ------
    NotFound
        If there is no such plant, or settlement does not know it.
    """
    query = (
        select(VppDefinition, VppSettlementAccount.address)
        .outerjoin(VppSettlementAccount, VppSettlementAccount.vpp_id == VppDefinition.id)
        .where(VppDefinition.vpp_id == code, of_settlement())
    )
    found = session.execute(query).first() if len(code) <= 100 else None
    if found is None:
        raise NotFound(f"there is no plant {code[:100]!r}; /v1/plants has all of them")
    row, account = found
    return PlantAnswer(
        **dict(_item(row, account)),
        **view.fields(),
        description=row.description,
        resources=_resources(session, row),
        balances=_balances(session, account),
        former_accounts=[
            FormerAccount(account=before, balances=_balances(session, before))
            for before in former_of_plant(session, row.id)
        ],
        holdings=_holdings(session, view, account),
        sums=_sums(session, row, parameters.by),
        settlements=_settlements(session, view, row),
    )


def of_settlement() -> ColumnElement[bool]:
    """Return the condition that settlement knows a plant: by an account, or by a trade.

    Any other is a record of the park alone, which is no stranger's business.
    """
    account, trade = aliased(VppSettlementAccount), aliased(VppTradingRecord)
    return or_(
        exists().where(account.vpp_id == VppDefinition.id),
        exists().where(trade.vpp_id == VppDefinition.id),
    )


def plant_of(session: Session, account: str) -> str | None:
    """Return the code of the plant that settles, or settled, by an account in lower case; None: no plant does."""
    numbers = plants_of(session, account)
    return session.get_one(VppDefinition, numbers[0]).vpp_id if numbers else None


def _item(row: VppDefinition, account: str | None) -> PlantItem:
    return PlantItem(
        code=row.vpp_id,
        name=row.name,
        status=row.status,
        capacity_kw=row.total_capacity,
        account=account,
    )


def _resources(session: Session, plant: VppDefinition) -> list[Resource]:
    query = (
        select(VppResource, VppResourceAssociation)
        .join(VppResourceAssociation, VppResourceAssociation.resource_id == VppResource.id)
        .where(VppResourceAssociation.vpp_id == plant.id)
        .order_by(VppResource.resource_id, VppResourceAssociation.id)
        .limit(RESOURCES_MAX)
    )
    return [
        Resource(
            code=row.resource_id,
            name=row.name,
            type=row.type,
            capacity=row.capacity,
            unit=row.unit,
            share=part.allocation_ratio,
            role=part.role,
        )
        for row, part in session.execute(query)
    ]


def _balances(session: Session, account: str | None) -> list[Balance]:
    if account is None:
        return []
    query = (
        select(SettlementBalance, CreditBatch, CreditSite.code)
        .outerjoin(CreditBatch, CreditBatch.batch_id == SettlementBalance.asset)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(SettlementBalance.account == account)
    )
    rows = session.execute(query.order_by(SettlementBalance.asset).limit(BALANCES_MAX))
    return [
        Balance(
            asset=row.asset,
            batch=batch_name(code or batch.site_id, batch.vintage, batch.ordinal)
            if batch
            else None,
            balance=row.balance,
        )
        for row, batch, code in rows
    ]


def _holdings(session: Session, view: ChainView, account: str | None) -> list[Holding]:
    if account is None:
        return []
    parameters = HolderParameters.model_validate({"limit": HOLDINGS_MAX, "order": Order.DESC})
    return show_holder(session, view, account, parameters).items


def _sums(session: Session, plant: VppDefinition, by: TradePeriod) -> list[TradeSum]:
    """Return what the trades of each period come to; exact sums of exact numbers.

    Trades that were cancelled or that failed bring nothing, and another may be recorded in place of one.
    """
    row = VppTradingRecord
    period = func.substr(cast(row.trade_time, String(30)), 1, _LENGTHS[by]).label("period")
    is_credit = case((VppTradeCredit.trade_id.is_not(None), 1), else_=0).label("is_credit")
    query = (
        select(
            period,
            row.trade_type,
            is_credit,
            func.count().label("trades"),
            func.sum(row.quantity).label("quantity"),
            func.sum(row.total_value).label("value"),
        )
        .outerjoin(VppTradeCredit, VppTradeCredit.trade_id == row.id)
        .where(row.vpp_id == plant.id, row.status.in_(_COUNTED))
        .group_by(period, row.trade_type, is_credit)
        .order_by(period.desc())
        .limit(4 * SUMS_MAX)  # a period has two sides, of energy and of credits
    )
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    counts: dict[str, int] = defaultdict(int)
    for found in session.execute(query):
        buys = found.trade_type is TradeType.BUY
        what = "credits" if found.is_credit else "energy"
        sums[found.period][f"{what}_{'bought' if buys else 'sold'}"] += found.quantity
        sums[found.period]["received"] += -found.value if buys else found.value
        counts[found.period] += found.trades
    return [
        TradeSum(
            period=name,
            trades=counts[name],
            energy_bought_kwh=values["energy_bought"],
            energy_sold_kwh=values["energy_sold"],
            credits_bought_t=values["credits_bought"],
            credits_sold_t=values["credits_sold"],
            received=values["received"],
        )
        for name, values in list(sums.items())[:SUMS_MAX]
    ]


def _settlements(session: Session, view: ChainView, plant: VppDefinition) -> list[PlantSettlement]:
    """Return the last batches with trades of a plant, and who pays for them, what is owed both ways netted."""
    batches = latest_of_plant(session, plant.vpp_id, SETTLEMENTS_MAX)
    numbers = [row.id for row, _ in batches]
    query = (
        select(
            VppSettlementItem.batch_id,
            VppTradingRecord.trade_type,
            func.count().label("count"),
            func.sum(VppTradingRecord.total_value).label("value"),
        )
        .join(VppTradingRecord, VppTradingRecord.id == VppSettlementItem.trade_id)
        # As a sum, which no index has: by the batches there are fewer trades than by the plant.
        .where(VppSettlementItem.batch_id.in_(numbers), VppTradingRecord.vpp_id + 0 == plant.id)
        .group_by(VppSettlementItem.batch_id, VppTradingRecord.trade_type)
    )
    owed: dict[int, Decimal] = defaultdict(Decimal)  # what the plant pays the market
    counts: dict[int, int] = defaultdict(int)
    for number, side, count, value in session.execute(query):
        owed[number] += value if side is TradeType.BUY else -value
        counts[number] += count
    return [
        PlantSettlement(
            id=row.id,
            batch_key=row.batch_key,
            state=row.state,
            chain_status=None if chain is None else chain.status,
            payment=Payment(
                payer=plant.vpp_id if owed[row.id] >= 0 else row.market,
                payee=row.market if owed[row.id] >= 0 else plant.vpp_id,
                amount=abs(owed[row.id]),
                trades=counts[row.id],
            ),
            created_at=row.created_at,
            final=view.is_final(row.finalized_block),
        )
        for row, chain in batches
    ]
