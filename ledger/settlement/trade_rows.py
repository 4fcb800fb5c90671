"""A row of a trades file as a trade of the books, or what is wrong with it, by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.clock import is_finer_than_micros
from ledger.errors import NotFound
from ledger.models import VppDefinition, VppSettlementAccount, VppTradingRecord, VppTradingStrategy
from ledger.models.trading import TradeStatus, TradeType
from ledger.naming import find_credit, meant
from ledger.spreadsheets import Wrong
from ledger.units import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    currency_of_cents,
    decimal_of,
    scaled_exact,
    trade_cents_half_away,
)

COLUMNS = (
    "vpp",
    "strategy",
    "trade_type",
    "quantity",
    "price",
    "total_value",
    "market",
    "trade_time",
)
CREDIT_COLUMN = "credit"
"""A column that may be missing: the credits that a trade is of; empty: energy."""
_QUANTITY_MAX = 10**12  # DECIMAL(12,3), in 0.001
_PRICE_MAX = 10**10  # DECIMAL(10,4), in 0.0001
_YEAR_MIN, _YEAR_MAX = 1970, 2105
_TOTAL_MAX = 10**15  # DECIMAL(15,2), in cents


@dataclass(frozen=True)
class Names:
    """The ids that a trades file may refer to."""

    vpps: Mapping[str, int]
    strategies: Mapping[tuple[int, str], int]
    markets: Mapping[str, str]
    """Accounts of markets, by name."""
    funded: Mapping[int, str]
    """Accounts of plants, by row number."""
    credits: Callable[[str], int]
    """Finds the number of a credit batch by a name of it; raises NotFound."""
    meant: Callable[[str, str], str]
    """Says what may be meant by a name that nothing has, in a column."""


def names_of(session: Session) -> Names:
    """Read what a trades file may refer to."""

    @cache
    def credits(text: str) -> int:
        return find_credit(session, text).batch_id

    @cache  # a file may have it in every line
    def near(column: str, name: str) -> str:
        return meant(name, vpps if column == "vpp" else markets)

    accounts = session.scalars(select(VppSettlementAccount)).all()
    vpps = {item.vpp_id: item.id for item in session.scalars(select(VppDefinition))}
    markets = {item.market: item.address for item in accounts if item.market is not None}
    strategies = session.scalars(select(VppTradingStrategy)).all()
    return Names(
        vpps=vpps,
        strategies={(item.vpp_id, item.strategy_name): item.id for item in strategies},
        markets=markets,
        funded={item.vpp_id: item.address for item in accounts if item.vpp_id is not None},
        credits=credits,
        meant=near,
    )


def asset_of(row: Mapping[str, str], names: Names) -> int | None:
    """Return the number of the credit batch that a row is of; None: it is of energy.

    Raises
    ------
    Wrong
        If there are no such credits.
    """
    text = row.get(CREDIT_COLUMN, "").strip()
    if not text:
        return None
    try:
        return names.credits(text)
    except NotFound as error:
        raise Wrong(CREDIT_COLUMN, error.message) from None


def record_of(row: Mapping[str, str], names: Names) -> VppTradingRecord:
    """Return a row as a pending trade.

    Raises
    ------
    Wrong
        If a cell cannot be used.
    """
    cell = {name: row[name].strip() for name in COLUMNS}
    vpp_id = names.vpps.get(cell["vpp"])
    if vpp_id is None:
        raise _unknown("VPP", "vpp", cell, names)
    if vpp_id not in names.funded:
        raise Wrong(
            "vpp", f"VPP {cell['vpp']!r} has no settlement account; give it one in the site file"
        )
    if cell["market"] not in names.markets:
        raise _unknown("market", "market", cell, names)
    if names.markets[cell["market"]] == names.funded[vpp_id]:
        raise Wrong(
            "market",
            f"VPP {cell['vpp']!r} and market {cell['market']!r} have one settlement account, "
            f"{names.funded[vpp_id]}; give one of them another in the site file",
        )
    if cell["trade_type"] not in {item.value for item in TradeType}:
        raise Wrong("trade_type", f"{cell['trade_type']!r} is neither buy nor sell")
    quantity = _number(cell, "quantity", QUANTITY_SCALE, _QUANTITY_MAX)
    if quantity <= 0:
        raise Wrong(
            "quantity",
            f"{cell['quantity']!r} is not above zero; the direction stands in trade_type",
        )
    price = _number(cell, "price", PRICE_SCALE, _PRICE_MAX)
    total = _number(cell, "total_value", 100, _TOTAL_MAX)
    expected = trade_cents_half_away(quantity, price)
    if total != expected:
        raise Wrong(
            "total_value",
            f"{cell['total_value']} is not quantity x price = {currency_of_cents(expected)} "
            "(rounded half away from zero)",
        )
    return VppTradingRecord(
        vpp_id=vpp_id,
        strategy_id=_strategy(cell, vpp_id, names),
        trade_type=TradeType(cell["trade_type"]),
        quantity=Decimal(quantity) / QUANTITY_SCALE,
        price=Decimal(price) / PRICE_SCALE,
        total_value=currency_of_cents(total),
        market=cell["market"],
        status=TradeStatus.PENDING,
        trade_time=_time(cell["trade_time"]),
        settlement_time=None,
    )


def _unknown(what: str, column: str, cell: Mapping[str, str], names: Names) -> Wrong:
    name = cell[column]
    said = f"unknown {what} {name!r} ({names.meant(column, name)})"
    return Wrong(column, f"{said}; add it to the site file and apply that")


def _strategy(cell: Mapping[str, str], vpp_id: int, names: Names) -> int | None:
    if not cell["strategy"]:
        return None
    found = names.strategies.get((vpp_id, cell["strategy"]))
    if found is None:
        plants = {number: code for code, number in names.vpps.items()}
        owners = sorted(plants[vpp] for vpp, name in names.strategies if name == cell["strategy"])
        other = f"; it is one of {', '.join(owners)}" if owners else ""
        raise Wrong("strategy", f"VPP {cell['vpp']!r} has no strategy {cell['strategy']!r}{other}")
    return found


def _number(cell: Mapping[str, str], column: str, scale: int, limit: int) -> int:
    text = cell[column]
    try:
        value = scaled_exact(decimal_of(text), scale)
    except ValueError as error:
        raise Wrong(column, str(error)) from None
    if abs(value) >= limit:
        raise Wrong(column, f"{text} does not fit the column")
    return value


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Wrong("trade_time", f"{text!r} is not an ISO 8601 time") from None
    if is_finer_than_micros(text):  # cut off, two trades would be one
        raise Wrong("trade_time", f"{text!r} is finer than a microsecond")
    if moment.tzinfo is None:
        raise Wrong(
            "trade_time", f"{text!r} has no offset; write for example {moment.isoformat()}+01:00"
        )
    if not _YEAR_MIN <= moment.year <= _YEAR_MAX:
        raise Wrong("trade_time", f"{text!r} is not between the years {_YEAR_MIN} and {_YEAR_MAX}")
    return moment.astimezone(UTC)
