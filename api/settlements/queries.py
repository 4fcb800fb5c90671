"""What the books say of settlement batches. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, false, func, select
from sqlalchemy.orm import Session, defer

from api.finality import ChainView
from api.pagination import Order, as_written, matching, page_of, paged
from api.settlements.schemas import (
    Dispute,
    Movement,
    Payment,
    Position,
    SettlementAnswer,
    SettlementBatchItem,
    SettlementPage,
    SettlementParameters,
    SettlementTradeItem,
)
from ledger.errors import NotFound
from ledger.models import (
    SettlementBatch,
    SettlementDispute,
    SettlementMovement,
    VppDefinition,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.trading import TradeType
from ledger.settlement.finding import find_batch
from ledger.settlement.forgotten import STATES
from ledger.settlement.money import participants_ever, participants_of
from ledger.units import currency_of_cents

TRADES_MAX = 1_000
"""Most trades, and most movements, of one answer."""
_KEY_LENGTH = 66
_FEW = 1_000
"""Up to so many trades of a plant are followed to their batches at once."""
_PAGES = 4
"""The batches of so many pages are looked through for one page of a plant with more trades."""


def list_settlements(
    session: Session, view: ChainView, parameters: SettlementParameters
) -> SettlementPage:
    """Return one page of settlement batches.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    if parameters.elsewhere:
        return _elsewhere(session, view, parameters)
    found = _page(session, parameters)
    page = page_of(parameters, found, [row[0].id for row in found])
    return SettlementPage(
        items=[_item(view, *parts) for parts in page.rows],
        next_cursor=page.next_cursor,
        **view.fields(),
    )


def latest_of_plant(
    session: Session, code: str, limit: int
) -> list[tuple[VppSettlementBatch, SettlementBatch | None]]:
    """Return the last batches that a plant took part in, without their positions, each as the chain has it, too."""
    parameters = SettlementParameters.model_validate({"vpp_code": code, "limit": limit})
    return [(row, chain) for row, chain in _page(session, parameters)[:limit]]


def show_settlement(session: Session, view: ChainView, name: str) -> SettlementAnswer:
    """Return one settlement batch: its trades, net positions, and who paid whom.

    Parameters
    ----------
    name
        Its key, or its row number.

    Raises
    ------
    NotFound
        If there is no such batch.
    """
    try:
        batch = find_batch(session, name, shortened=False)
    except NotFound:
        query = _others().where(SettlementBatch.key == name.lower())
        other = session.scalars(query).first() if len(name) == _KEY_LENGTH else None
        if other is None:  # in other words than the command's, which names its own ways
            raise NotFound(
                f"there is no settlement batch {name[:80]!r}; /v1/settlements has all of these books, and with "
                "elsewhere=true those of others"
            ) from None
        return _answer_elsewhere(session, view, other)
    query = _batches().where(VppSettlementBatch.id == batch.id)
    row, chain = session.execute(query).one()
    names = participants_of(session, batch)
    trades, payments = _trades(session, batch)
    return SettlementAnswer(
        **dict(_item(view, row, chain)),
        **view.fields(),
        fee=_currency(chain.fee_cents) if chain is not None else None,
        fee_collector=chain.fee_collector if chain is not None else None,
        proposed_tx=chain.tx_hash if chain is not None else None,
        positions=_positions(row, names),
        payments=payments,
        trades=trades,
        movements=_movements(session, chain, names),
        disputes=_disputes(session, chain, names),
    )


def _page(session: Session, parameters: SettlementParameters) -> Sequence[Any]:
    """Return the batches of one page of these books, one more than it holds."""
    query = matching(
        _batches().options(*_without_positions(VppSettlementBatch, SettlementBatch)),
        (VppSettlementBatch.market, parameters.market),
        (VppSettlementBatch.state, parameters.state),
    )
    if parameters.vpp_code is None:
        return session.execute(paged(query, parameters, VppSettlementBatch.id)).all()
    return _with_trades_of(session, query, parameters, parameters.vpp_code)


def _with_trades_of(
    session: Session, query: Any, parameters: SettlementParameters, code: str
) -> Sequence[Any]:
    """Return the batches of one page that a plant took part in, one more than it holds.

    Of a plant with many trades the next batches are looked through first, and mostly have a page of them. Its trades
    are followed to their batches where they are few, or stand elsewhere: that reads all of them.
    """
    batch, item, trade = VppSettlementBatch, VppSettlementItem, VppTradingRecord
    plant = session.scalars(select(VppDefinition.id).where(VppDefinition.vpp_id == code)).first()
    some = select(trade.id).where(trade.vpp_id == plant).limit(_FEW + 1)
    mine = select(item.batch_id).join(trade, trade.id == item.trade_id)
    if len(session.scalars(some).all()) > _FEW:
        # As a sum, which no index has: a batch has fewer trades than the plant. As a value, and not whether there is
        # one: MariaDB would make that a list of all of these.
        one = as_written(mine).where(item.batch_id == batch.id, trade.vpp_id + 0 == plant).limit(1)
        near = as_written(query).where(
            _next_batches(session, parameters), one.correlate(batch).scalar_subquery().is_not(None)
        )
        found = session.execute(paged(near, parameters, batch.id)).all()
        if len(found) > parameters.limit:
            return found
    theirs: Any = mine.where(trade.vpp_id == plant)
    if parameters.market is None and parameters.state is None:
        # By themselves: MariaDB, whose counts of rows may be old, would look through the trades of batch after batch.
        theirs = session.scalars(paged(theirs.distinct(), parameters, item.batch_id)).all()
    return session.execute(paged(query.where(batch.id.in_(theirs)), parameters, batch.id)).all()


def _next_batches(session: Session, parameters: SettlementParameters) -> ColumnElement[bool]:
    """Return the condition that a batch is among those that a page begins with."""
    number, newest_first = VppSettlementBatch.id, parameters.order is Order.DESC
    reach, place = _PAGES * (parameters.limit + 1), parameters.after_id()
    if place is None:
        first = func.max(number) if newest_first else func.min(number)
        place = session.scalar(select(first)) or 0
    return number > place - reach if newest_first else number < place + reach


def _others() -> Any:
    """Return the query of batches on chain that are not of these books."""
    ours = select(VppSettlementBatch.id).where(VppSettlementBatch.batch_key == SettlementBatch.key)
    return select(SettlementBatch).where(~ours.exists())


def _elsewhere(
    session: Session, view: ChainView, parameters: SettlementParameters
) -> SettlementPage:
    query = _others()
    if parameters.market or parameters.vpp_code:  # whose trades they are, the chain does not tell
        query = query.where(false())
    if parameters.state is not None:
        like = [status for status, state in STATES.items() if state is parameters.state]
        query = query.where(SettlementBatch.status.in_(like))
    query = query.options(*_without_positions(SettlementBatch))
    found = session.scalars(paged(query, parameters, SettlementBatch.batch_id)).all()
    page = page_of(parameters, found, [row.batch_id for row in found])
    return SettlementPage(
        items=[_item_elsewhere(view, row) for row in page.rows],
        next_cursor=page.next_cursor,
        **view.fields(),
    )


def _item_elsewhere(view: ChainView, chain: SettlementBatch) -> SettlementBatchItem:
    return SettlementBatchItem(
        id=None,
        batch_key=chain.key,
        market=None,
        state=STATES[chain.status],
        chain_status=chain.status,
        cosigned=chain.cosigned_digest is not None,
        credits=chain.asset or None,
        trade_count=chain.trade_count,
        trades_root=chain.trades_root,
        chain_batch_id=chain.batch_id,
        netted_from=None,
        finalizable_at=datetime.fromtimestamp(chain.finalizable_at_s, UTC)
        if chain.finalizable_at_s
        else None,
        proposed_block=chain.block_number,
        finalized_block=chain.ended_block,
        error=chain.reason or None,
        created_at=chain.proposed_at,
        final=view.is_final(chain.ended_block),
    )


def _answer_elsewhere(
    session: Session, view: ChainView, chain: SettlementBatch
) -> SettlementAnswer:
    names = participants_ever(session)
    return SettlementAnswer(
        **dict(_item_elsewhere(view, chain)),
        **view.fields(),
        fee=_currency(chain.fee_cents),
        fee_collector=chain.fee_collector,
        proposed_tx=chain.tx_hash,
        positions=_positions(chain, names),
        payments=[],
        trades=[],
        movements=_movements(session, chain, names),
        disputes=_disputes(session, chain, names),
    )


def _without_positions(*tables: Any) -> list[Any]:
    """Return the options of a list: it does not read the positions, which a batch has for up to 200 accounts."""
    return [
        defer(column, raiseload=True)
        for table in tables
        for column in (table.accounts, table.nets, table.credit_nets)
    ]


def _batches() -> Any:
    return select(VppSettlementBatch, SettlementBatch).outerjoin(
        SettlementBatch, SettlementBatch.key == VppSettlementBatch.batch_key
    )


def _item(
    view: ChainView, row: VppSettlementBatch, chain: SettlementBatch | None
) -> SettlementBatchItem:
    return SettlementBatchItem(
        id=row.id,
        batch_key=row.batch_key,
        market=row.market,
        state=row.state,
        chain_status=chain.status if chain is not None else None,
        cosigned=row.signed_until is not None,
        credits=row.asset,
        trade_count=row.trade_count,
        trades_root=row.trades_root,
        chain_batch_id=row.chain_batch_id,
        netted_from=row.netted_from,
        finalizable_at=row.finalizable_at,
        proposed_block=row.proposed_block,
        finalized_block=row.finalized_block,
        error=row.error,
        created_at=row.created_at,
        final=view.is_final(row.finalized_block),
    )


def _positions(
    row: VppSettlementBatch | SettlementBatch, names: Mapping[str, str]
) -> list[Position]:
    kilograms: Iterable[str | None] = row.credit_nets or [None] * len(row.accounts)
    return [
        Position(
            account=account,
            participant=names.get(account),
            net=currency_of_cents(int(cents)),
            net_kg=None if kg is None else int(kg),
        )
        for account, cents, kg in zip(row.accounts, row.nets, kilograms, strict=True)
    ]


def _trades(
    session: Session, batch: VppSettlementBatch
) -> tuple[list[SettlementTradeItem], list[Payment]]:
    """Return the first trades of a batch, and what its plants and its market pay each other for all."""
    query = (
        select(VppTradingRecord, VppDefinition.vpp_id)
        .join(VppSettlementItem, VppSettlementItem.trade_id == VppTradingRecord.id)
        .join(VppDefinition, VppDefinition.id == VppTradingRecord.vpp_id)
        .where(VppSettlementItem.batch_id == batch.id)
        .order_by(VppTradingRecord.id)
    )
    items: list[SettlementTradeItem] = []
    owed: dict[str, Decimal] = defaultdict(Decimal)  # by plant: what it pays the market
    counts: dict[str, int] = defaultdict(int)
    for row, code in session.execute(query):
        buys = row.trade_type is TradeType.BUY
        owed[code] += row.total_value if buys else -row.total_value
        counts[code] += 1
        if len(items) < TRADES_MAX:
            items.append(
                SettlementTradeItem(
                    id=row.id,
                    vpp_code=code,
                    trade_type=row.trade_type,
                    quantity=row.quantity,
                    price=row.price,
                    total_value=row.total_value,
                    status=row.status,
                    trade_time=row.trade_time,
                )
            )
    payments = [
        Payment(
            payer=code if amount >= 0 else batch.market,
            payee=batch.market if amount >= 0 else code,
            amount=abs(amount),
            trades=counts[code],
        )
        for code, amount in sorted(owed.items())
    ]
    return items, payments


def _movements(
    session: Session, chain: SettlementBatch | None, names: Mapping[str, str]
) -> list[Movement]:
    if chain is None:
        return []
    query = (
        select(SettlementMovement)
        .where(SettlementMovement.batch_id == chain.batch_id)
        .order_by(
            SettlementMovement.block_number,
            SettlementMovement.log_index,
            SettlementMovement.sub_index,
        )
        .limit(TRADES_MAX)
    )
    return [
        Movement(
            account=row.account,
            participant=names.get(row.account),
            kind=row.kind,
            asset=row.asset,
            amount=row.amount,
            block_number=row.block_number,
            tx_hash=row.tx_hash,
        )
        for row in session.scalars(query)
    ]


def _disputes(
    session: Session, chain: SettlementBatch | None, names: Mapping[str, str]
) -> list[Dispute]:
    if chain is None:
        return []
    query = (
        select(SettlementDispute)
        .where(SettlementDispute.batch_id == chain.batch_id)
        .order_by(SettlementDispute.block_number, SettlementDispute.log_index)
    )
    return [
        Dispute(
            step=row.step,
            account=row.account,
            participant=names.get(row.account),
            trade=None if row.seq is None else int(row.seq),
            until=datetime.fromtimestamp(row.until_s, UTC) if row.until_s else None,
            block_number=row.block_number,
            tx_hash=row.tx_hash,
            happened_at=row.happened_at,
        )
        for row in session.scalars(query)
    ]


def _currency(cents: Decimal | None) -> Decimal | None:
    return None if cents is None else currency_of_cents(int(cents))
