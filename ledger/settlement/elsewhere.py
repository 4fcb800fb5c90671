"""Finds trades that the chain settled although they stand in no batch of these books.

An operator may settle a trade by itself; the parties may co-sign a batch that these books did not plan; another
operator may propose a batch in which ours are. Such a trade is settled all the same, and must not be settled again. It
is found by its number, and counts as ours if parties and figures are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import product

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from ledger.changed_accounts import former_of
from ledger.db import tables
from ledger.models import (
    ChainBlock,
    ChainEvent,
    SettlementBatch,
    SettlementTrade,
    VppSettlementAccount,
    VppSettlementBatch,
    VppTradeCredit,
    VppTradingRecord,
)
from ledger.models.escrow import CURRENCY, SettlementStatus
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType
from ledger.settlement.words import Trade, seq_of, trade_of
from ledger.units import PRICE_SCALE, QUANTITY_SCALE, scaled_exact

ENERGY = CURRENCY
"""Trades of asset 0 move only money: what they are of is energy."""
PROPOSED_BY = (SettlementBatch.block_number == ChainEvent.block_number) & (
    SettlementBatch.log_index == ChainEvent.log_index
)
"""In SQL: the event that says which trades a batch has."""
IS_ON_CHAIN = (
    (VppSettlementBatch.batch_key == SettlementBatch.key)
    & (VppSettlementBatch.trades_root == SettlementBatch.trades_root)
    & (func.coalesce(VppSettlementBatch.asset, ENERGY) == SettlementBatch.asset)
)
"""In SQL: a batch of the books stands there as they made it. By the key alone it may be one of others, who saw that."""


@dataclass(frozen=True)
class SettledElsewhere:
    """A trade as the chain settled it, what it is of (None: energy), and time and number of its block."""

    trade: Trade
    asset: int | None
    at: datetime
    block_number: int


def assets_of(session: Session, numbers: Collection[int]) -> dict[int, int]:
    """Return which credits trades are of, by trade; trades of energy are not among them."""
    return {
        number: asset
        for here in tables.among(session, VppTradeCredit.trade_id, numbers)
        for number, asset in session.execute(
            select(VppTradeCredit.trade_id, VppTradeCredit.asset).where(here)
        )
    }


def settled_elsewhere(session: Session, above: int, up_to: int | None) -> list[SettledElsewhere]:
    """Return the trades that were settled in blocks above one, and up to another if there is one."""
    singles = select(SettlementTrade).where(SettlementTrade.block_number > above)
    ours = exists().where(
        VppSettlementBatch.batch_key == SettlementBatch.key,
        VppSettlementBatch.state != BatchState.FAILED,
    )
    ends = (
        select(ChainEvent.args, ChainBlock.block_time, ChainEvent.block_number)
        .join(ChainBlock, ChainBlock.number == ChainEvent.block_number)
        .where(ChainEvent.event_name == "BatchFinalized", ChainEvent.block_number > above)
    )
    if up_to is not None:
        singles = singles.where(SettlementTrade.block_number <= up_to)
        ends = ends.where(ChainEvent.block_number <= up_to)
    # By the events: a rewind has opened the mirror's batches again before the books are asked.
    ended = {int(args["batch_id"]): (at, number) for args, at, number in session.execute(ends)}
    return [_single(row) for row in session.scalars(singles)] + _of_batches(session, ended, ~ours)


def settled_among(session: Session, numbers: Collection[int]) -> list[SettledElsewhere]:
    """Return those of some trades that the chain settled outside of our batches, in any block."""
    if not numbers:
        return []
    # Looked up by number: all trades that were ever settled alone are more each day.
    keys = [Decimal(number) for number in numbers]
    alone = [
        _single(row)
        for here in tables.among(session, SettlementTrade.seq, keys)
        for row in session.scalars(select(SettlementTrade).where(here))
    ]
    ended = {
        batch_id: (at, number)
        for here in tables.among(session, SettlementBatch.key, keys_elsewhere(session))
        for batch_id, at, number in session.execute(
            select(SettlementBatch.batch_id, ChainBlock.block_time, ChainBlock.number)
            .join(ChainBlock, ChainBlock.number == SettlementBatch.ended_block)
            .where(here, SettlementBatch.status == SettlementStatus.FINALIZED)
        )
    }
    return alone + _of_batches(session, ended, only=frozenset(numbers))


def unaccounted(session: Session) -> list[SettledElsewhere]:
    """Return the trades that were settled one by one, without those that the books have as executed."""
    executed = exists().where(
        VppTradingRecord.id == SettlementTrade.seq,
        VppTradingRecord.status == TradeStatus.EXECUTED,
    )
    return [_single(row) for row in session.scalars(select(SettlementTrade).where(~executed))]


def _single(row: SettlementTrade) -> SettledElsewhere:
    trade = Trade(int(row.seq), row.buyer, row.seller, row.quantity, row.price_e4)
    return SettledElsewhere(trade, row.asset or None, row.settled_at, row.block_number)


def _of_batches(
    session: Session,
    ended: Mapping[int, tuple[datetime, int]],
    *those: ColumnElement[bool],
    only: Collection[int] | None = None,
) -> list[SettledElsewhere]:
    """Return the trades of those of these batches of the chain.

    Parameters
    ----------
    ended
        Time and number of the block that finalised each, by its number in the contract.
    only
        The numbers of the trades that are wanted; None: all.
    """
    return [
        SettledElsewhere(trade_of(args["accounts"], word), asset or None, *ended[batch_id])
        for here in tables.among(session, SettlementBatch.batch_id, ended)
        for args, asset, batch_id in session.execute(
            select(ChainEvent.args, SettlementBatch.asset, SettlementBatch.batch_id)
            .join(SettlementBatch, PROPOSED_BY)
            .where(here, *those)
        )
        for word in map(int, args["words"])
        if only is None or seq_of(word) in only
    ]


def numbers_in_batches(session: Session, *those: ColumnElement[bool]) -> set[int]:
    """Return the numbers of the trades in those batches of the chain."""
    query = select(ChainEvent.args).join(SettlementBatch, PROPOSED_BY).where(*those)
    return {seq_of(int(word)) for args in session.scalars(query) for word in args["words"]}


def unknown_keys(session: Session) -> Sequence[str]:
    """Return the keys of the batches on chain that the books do not have.

    By the indexes of keys alone: the row of a batch has all of its positions, and there are more batches every hour.
    """
    ours = select(VppSettlementBatch.batch_key)
    return session.scalars(
        select(SettlementBatch.key).where(SettlementBatch.key.not_in(ours))
    ).all()


def keys_elsewhere(session: Session) -> list[str]:
    """Return the keys of the batches on chain that are not of these books, or that these gave up.

    Signatures outlive a batch that was given up: others may have settled it.
    """
    given_up = (
        select(SettlementBatch.key)
        .join(VppSettlementBatch, VppSettlementBatch.batch_key == SettlementBatch.key)
        .where(VppSettlementBatch.state == BatchState.FAILED)
    )
    return [*unknown_keys(session), *session.scalars(given_up)]


@dataclass(frozen=True)
class Accounts:
    """The accounts of plants by row number, and of markets by name."""

    plants: Mapping[int, str]
    markets: Mapping[str, str]
    plants_had: Mapping[int, Sequence[str]] = field(default_factory=dict)
    markets_had: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The accounts that they had before, and have no longer."""

    @classmethod
    def load(cls, session: Session) -> Accounts:
        """Read the accounts, those of today and those before."""
        rows = session.scalars(select(VppSettlementAccount)).all()
        had = former_of(session, rows)
        return cls(
            {row.vpp_id: row.address for row in rows if row.vpp_id is not None},
            {row.market: row.address for row in rows if row.market is not None},
            {row.vpp_id: had[row.id] for row in rows if row.vpp_id is not None},
            {row.market: had[row.id] for row in rows if row.market is not None},
        )

    @cached_property
    def parties(self) -> frozenset[str]:
        """All accounts that plants and markets of the books have or had."""
        now = (*self.plants.values(), *self.markets.values())
        return frozenset(now).union(*self.plants_had.values(), *self.markets_had.values())

    def trade(self, record: VppTradingRecord) -> Trade:
        """Return a trade of the books as the chain has it.

        Raises
        ------
        KeyError
            If its plant or its market has no account.
        """
        plant, market = self.plants[record.vpp_id], self.markets[record.market]
        plant_buys = record.trade_type is TradeType.BUY
        seq, quantity_milli, price_e4 = figures_of(record)
        return Trade(
            seq=seq,
            buyer=plant if plant_buys else market,
            seller=market if plant_buys else plant,
            quantity_milli=quantity_milli,
            price_e4=price_e4,
        )

    def possible(self, record: VppTradingRecord) -> list[tuple[str, str]]:
        """Return who may be buyer and seller of a trade on chain, by all accounts that they had, today's first.

        No pair, where one of them has no account today.
        """
        plant, market = self.plants.get(record.vpp_id), self.markets.get(record.market)
        if plant is None or market is None:
            return []
        pairs = product(
            (plant, *self.plants_had.get(record.vpp_id, ())),
            (market, *self.markets_had.get(record.market, ())),
        )
        if record.trade_type is TradeType.BUY:
            return list(pairs)
        return [(buyer, seller) for seller, buyer in pairs]

    def is_of(self, record: VppTradingRecord, trade: Trade) -> bool:
        """Return whether a trade that the chain settled is the one of the books.

        With an account that its plant or market has, or had: the key may have been changed since.
        """
        parties = trade.buyer, trade.seller
        figures = trade.seq, trade.quantity_milli, trade.price_e4
        return self.sides(record, *parties) == parties and figures_of(record) == figures

    def sides(
        self, record: VppTradingRecord, buyer: str, seller: str
    ) -> tuple[str | None, str | None]:
        """Return buyer and seller of a trade of the books; those of the chain where they have had these accounts.

        None stands for one that has no account.
        """
        plant_buys = record.trade_type is TradeType.BUY
        said_plant, said_market = (buyer, seller) if plant_buys else (seller, buyer)
        had_plant = said_plant in self.plants_had.get(record.vpp_id, ())
        had_market = said_market in self.markets_had.get(record.market, ())
        plant = said_plant if had_plant else self.plants.get(record.vpp_id)
        market = said_market if had_market else self.markets.get(record.market)
        return (plant, market) if plant_buys else (market, plant)


def figures_of(record: VppTradingRecord) -> tuple[int, int, int]:
    """Return number, thousandths of the quantity and ten-thousandths of the price."""
    quantity = scaled_exact(Decimal(record.quantity), QUANTITY_SCALE)
    return record.id, quantity, scaled_exact(Decimal(record.price), PRICE_SCALE)
