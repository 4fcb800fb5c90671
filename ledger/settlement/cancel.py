"""A trade that shall not be settled: taken out by hand, with a reason, while it stands in no batch."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import VppSettlementBatch, VppSettlementItem, VppTradingRecord
from ledger.models.trading import TradeStatus
from ledger.settlement.elsewhere import settled_elsewhere

ACTION = "trades.cancel"
"""What the audit log calls it."""
_REASON_MAX = 1000


def cancel_trade(session: Session, number: int, reason: str) -> VppTradingRecord:
    """Cancel a pending trade, and keep the reason in the audit log.

    Parameters
    ----------
    number
        Row number of the trade, which is also its number on chain.

    Raises
    ------
    NotFound
        If there is no such trade.
    BadInput
        If no reason is given.
    Refused
        If it is no longer pending, stands in a batch that may be on chain, or is settled there already.
    """
    if not reason.strip() or len(reason) > _REASON_MAX:
        raise BadInput(f"a cancellation names its reason, in at most {_REASON_MAX} characters")
    # Locked, and first: a planner that is at work on this trade is waited for, and its batch seen.
    query = select(VppTradingRecord).where(VppTradingRecord.id == number).with_for_update()
    trade = session.scalars(query).first()
    if trade is None:
        raise NotFound(f"there is no trade {number}; `truetonne trades list` has all of them")
    if trade.status is not TradeStatus.PENDING:
        raise Refused(
            f"trade {number} is {trade.status.value}; only a pending one can be cancelled"
        )
    batch = session.scalars(
        select(VppSettlementBatch)
        .join(VppSettlementItem, VppSettlementItem.batch_id == VppSettlementBatch.id)
        .where(VppSettlementItem.trade_id == number)
    ).first()
    if batch is not None:
        raise Refused(
            f"trade {number} stands in the settlement batch {batch.batch_key} ({batch.state.value}), which may "
            "be on chain; `truetonne settle run` brings that to its end",
            code="trade-in-batch",
            details={"batch_key": batch.batch_key},
        )
    if number in {item.trade.seq for item in settled_elsewhere(session, 0, None)}:
        raise Refused(
            f"trade {number} is settled on chain, though in no batch of these books; it is executed once "
            "that is final",
            code="trade-settled",
        )
    trade.status = TradeStatus.CANCELLED
    audit.record(
        session,
        ACTION,
        f"{VppTradingRecord.__tablename__}/{number}",
        {"status": TradeStatus.PENDING.value},
        {"status": TradeStatus.CANCELLED.value, "reason": reason.strip()},
    )
    return trade
