"""What the books say of trades. Reads only; the command line uses it too."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from api.finality import ChainView
from api.pagination import Query, as_written, between, found_by_id, matching, page_of, paged
from api.trades.schemas import Settlement, Trade, TradePage, TradeParameters
from ledger.models.settlement import VppSettlementBatch, VppSettlementItem
from ledger.models.settling import VppTradeCredit, VppTradeShortfall
from ledger.models.trading import TradeStatus, VppTradingRecord, VppTradingStrategy
from ledger.models.vpp import VppDefinition

_WAITING = (TradeStatus.PENDING, TradeStatus.FAILED)
_SHOWN = (
    VppSettlementBatch.batch_key,
    VppSettlementBatch.state,
    VppSettlementBatch.chain_batch_id,
    VppSettlementBatch.proposed_block,
    VppSettlementBatch.finalized_block,
    VppSettlementBatch.error,
)
"""What is told of the batch of a trade."""


def list_trades(session: Session, view: ChainView, parameters: TradeParameters) -> TradePage:
    """Return one page of trades.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    row = VppTradingRecord
    query = (
        select(
            row,
            VppDefinition.vpp_id,
            VppTradingStrategy.strategy_name,
            VppSettlementBatch,
            VppTradeCredit.asset,
            VppTradeShortfall.reason,
        )
        .join(VppDefinition, VppDefinition.id == VppTradingRecord.vpp_id)
        .outerjoin(VppTradingStrategy, VppTradingStrategy.id == VppTradingRecord.strategy_id)
        .outerjoin(VppSettlementItem, VppSettlementItem.trade_id == VppTradingRecord.id)
        .outerjoin(VppSettlementBatch, VppSettlementBatch.id == VppSettlementItem.batch_id)
        .outerjoin(VppTradeCredit, VppTradeCredit.trade_id == VppTradingRecord.id)
        .outerjoin(VppTradeShortfall, VppTradeShortfall.trade_id == VppTradingRecord.id)
        # Not its accounts and nets: they would come again with each of its trades.
        .options(load_only(*_SHOWN, raiseload=True))
    )
    query = as_written(query)
    if parameters.vpp_code is None and parameters.batch_key is None:
        found = session.execute(paged(_filtered(query, parameters), parameters, row.id)).all()
    else:
        ids = _named(session, _filtered(select(row.id), parameters), parameters)
        found = found_by_id(session, ids, query, parameters, row.id)
    page = page_of(parameters, found, [item.VppTradingRecord.id for item in found])
    items = [_item(view, *parts) for parts in page.rows]
    return TradePage(items=items, next_cursor=page.next_cursor, **view.fields())


def _filtered(query: Query, parameters: TradeParameters) -> Query:
    row = VppTradingRecord
    query = matching(
        query,
        (row.market, parameters.market),
        (row.trade_type, parameters.trade_type),
        (row.status, parameters.status),
    )
    return between(query, row.trade_time, parameters.traded_from, parameters.traded_before)


def _named(session: Session, query: Query, parameters: TradeParameters) -> Query:
    """Leave the trades of the plant and of the settlement batch that are named."""
    if parameters.vpp_code is not None:
        plant = select(VppDefinition.id).where(VppDefinition.vpp_id == parameters.vpp_code)
        query = query.where(VppTradingRecord.vpp_id == session.scalars(plant).first())
    if parameters.batch_key is not None:
        batch = select(VppSettlementBatch.id).where(
            VppSettlementBatch.batch_key == parameters.batch_key
        )
        item = VppSettlementItem
        mine = select(item.trade_id).where(item.batch_id == session.scalars(batch).first())
        query = query.where(VppTradingRecord.id.in_(mine))
    return query


def _item(
    view: ChainView,
    row: VppTradingRecord,
    vpp_code: str,
    strategy: str | None,
    batch: VppSettlementBatch | None,
    asset: int | None,
    left_out: str | None,
) -> Trade:
    settlement = None
    if batch is not None:
        settlement = Settlement(
            batch_key=batch.batch_key,
            state=batch.state,
            chain_batch_id=batch.chain_batch_id,
            proposed_block=batch.proposed_block,
            finalized_block=batch.finalized_block,
            error=batch.error,
        )
    return Trade(
        id=row.id,
        vpp_code=vpp_code,
        strategy=strategy,
        trade_type=row.trade_type,
        credits=asset,
        quantity=row.quantity,
        price=row.price,
        total_value=row.total_value,
        market=row.market,
        status=row.status,
        trade_time=row.trade_time,
        settlement_time=row.settlement_time,
        left_out=left_out if row.status in _WAITING else None,
        settlement=settlement,
        final=view.is_final(batch.finalized_block if batch is not None else None),
    )
