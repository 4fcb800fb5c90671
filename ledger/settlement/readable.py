"""Which trades can be read: other programs write to the table, and one odd row would stop all others."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, literal_column, or_, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.models import VppTradingRecord
from ledger.models.trading import TradeStatus, TradeType

_FIRST_TIME = datetime(1000, 1, 1, tzinfo=UTC)


def readable(session: Session) -> ColumnElement[bool]:
    """Return the condition that a trade can be read: its side, its times and its figures are such.

    MariaDB lets other programs write what has no side, and days that no calendar has; SQLite lets them write anything.
    """
    trade = VppTradingRecord
    is_time, settled = partial(_is_time, session), trade.settlement_time
    return and_(
        trade.trade_type.in_(list(TradeType)),
        trade.status.in_(list(TradeStatus)),
        is_time(trade.trade_time),
        or_(settled.is_(None), is_time(settled)),
        *(
            _is_exact(session, figure)
            for figure in (trade.quantity, trade.price, trade.total_value)
        ),
    )


def _is_time(session: Session, time: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    if session.get_bind().dialect.name != "sqlite":  # 2014-02-00, say, is later than that
        same = func.date_add(time, literal_column("INTERVAL 0 SECOND"))
        return (time >= _FIRST_TIME) & same.is_not(None)
    second, rest = func.substr(time, 1, 19), func.substr(time, 20)
    return and_(
        func.typeof(time) == "text",
        time >= _FIRST_TIME,
        func.coalesce(func.strftime("%Y-%m-%d %H:%M:%S", second) == second, false()),
        or_(rest == "", rest.op("GLOB")("." + 6 * "[0-9]")),
    )


def _is_exact(session: Session, figure: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """Return the condition that a decimal is one: on SQLite the integer without its point."""
    if session.get_bind().dialect.name != "sqlite":
        return true()
    return func.typeof(figure) == "integer"
