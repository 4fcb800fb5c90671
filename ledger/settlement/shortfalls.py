"""Trades that are left out because their debtor lacks funds: kept with the reason, tried again, and failed.

At every run such a trade is tried anew; what is paid in meanwhile lets it settle. When it has waited for
``debtor_hours`` it becomes *failed*, with the reason in its row here. A person can open it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ledger import audit
from ledger.clock import utc_now
from ledger.db import tables
from ledger.errors import Refused
from ledger.models import VppTradeShortfall, VppTradingRecord
from ledger.models.trading import TradeStatus
from ledger.settlement.finding import find_trade, resource_of
from ledger.settlement.money import participants
from ledger.settlement.netting import LeftOut, Shortfall
from ledger.units import counted

_ALARM_AFTER = timedelta(minutes=10)
"""Trades that are left out for longer are for a person to look at: a run brings what the next one needs."""
REOPENED = "trades.reopen"
"""What the audit log calls it."""


def record(
    session: Session,
    left_out: Iterable[LeftOut],
    say: Callable[[Shortfall], str],
    now: datetime,
    patience: timedelta,
) -> list[int]:
    """Keep why trades are left out; fail those that have waited too long, and return their numbers.

    Parameters
    ----------
    say
        Puts a shortfall into words.
    """
    why = {trade.seq: item.shortfall for item in left_out for trade in item.trades}
    known = {
        row.trade_id: row
        for here in tables.among(session, VppTradeShortfall.trade_id, why)
        for row in session.scalars(select(VppTradeShortfall).where(here))
    }
    tired = []
    for number, short in why.items():
        row = known.get(number)
        if row is None:
            row = VppTradeShortfall(trade_id=number, since=now, failed_at=None)
            session.add(row)
        row.since = min(row.since, now)  # noted before the clock was set back, it would never fail
        row.account, row.asset = short.account, short.asset
        row.held, row.owed = short.held, short.owed  # type: ignore[assignment]
        row.reason = say(short)
        if now - row.since >= patience:
            row.failed_at = now
            row.reason += f", since {row.since:%Y-%m-%d %H:%M} UTC"
            tired.append(number)
    session.flush()
    for here in tables.among(session, VppTradingRecord.id, tired):
        session.execute(
            update(VppTradingRecord)
            .where(here, VppTradingRecord.status == TradeStatus.PENDING)
            .values(status=TradeStatus.FAILED)
            .execution_options(synchronize_session=False)
        )
    return tired


def alarms(session: Session) -> list[str]:
    """Return a sentence for each debtor whose trades have been left out for long: nobody else says so in time."""
    query = (
        select(VppTradeShortfall.account, func.count(), func.min(VppTradeShortfall.since))
        .join(VppTradingRecord, VppTradingRecord.id == VppTradeShortfall.trade_id)
        .where(
            VppTradeShortfall.failed_at.is_(None),
            VppTradeShortfall.since < utc_now() - _ALARM_AFTER,
            VppTradingRecord.status == TradeStatus.PENDING,
        )
        .group_by(VppTradeShortfall.account)
        .order_by(VppTradeShortfall.account)
    )
    found = session.execute(query).all()
    names = participants(session) if found else {}
    return [
        f"{names.get(account, account)} lacks funds in escrow: "
        f"{counted(count, 'trade waits', 'trades wait')} for it, since {since:%Y-%m-%d %H:%M:%S} UTC "
        "at the earliest, and will fail; `truetonne settle preview` says what to pay in"
        for account, count, since in found
    ]


def forget(session: Session, numbers: Collection[int]) -> None:
    """Delete what was kept of trades that are in a batch now, or wait for something else than money."""
    for here in tables.among(session, VppTradeShortfall.trade_id, numbers):
        session.execute(
            delete(VppTradeShortfall).where(here).execution_options(synchronize_session=False)
        )


def failed_on(session: Session, market: str) -> list[int]:
    """Return the trades of a market that failed because their debtors lacked funds, by number."""
    query = (
        select(VppTradingRecord.id)
        .join(VppTradeShortfall, VppTradeShortfall.trade_id == VppTradingRecord.id)
        .where(VppTradingRecord.market == market, VppTradingRecord.status == TradeStatus.FAILED)
        .order_by(VppTradingRecord.id)
    )
    return list(session.scalars(query))


def pending_on(session: Session, market: str) -> bool:
    """Return whether a trade of a market is pending."""
    query = select(VppTradingRecord.id).where(
        VppTradingRecord.market == market, VppTradingRecord.status == TradeStatus.PENDING
    )
    return session.scalars(query.limit(1)).first() is not None


def reopen(session: Session, number: int, reason: str) -> str:
    """Make a trade pending again that failed because its debtor lacked funds; return its market.

    Raises
    ------
    NotFound
        If there is no such trade.
    Refused
        If it is neither pending nor failed for want of funds.
    """
    trade = find_trade(session, number, lock=True)
    if trade.status is TradeStatus.PENDING:
        return trade.market
    if trade.status is not TradeStatus.FAILED:
        raise Refused(f"trade {number} is {trade.status.value}; only a failed one is opened again")
    if session.get(VppTradeShortfall, number) is None:
        raise Refused(f"trade {number} did not fail for want of funds; record another one")
    trade.status = TradeStatus.PENDING
    session.execute(delete(VppTradeShortfall).where(VppTradeShortfall.trade_id == number))
    audit.record(
        session,
        REOPENED,
        resource_of(number),
        {"status": TradeStatus.FAILED.value},
        {"status": TradeStatus.PENDING.value, "reason": reason},
    )
    return trade.market
