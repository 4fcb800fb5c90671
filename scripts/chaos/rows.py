"""What the harness reads of the product's books, in plain values."""

from __future__ import annotations

from sqlalchemy import func, select

from ledger.models import (
    ChainAttempt,
    ChainIntent,
    Issuance,
    VppSettlementBatch,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.issuance import IssuanceState
from ledger.models.sending import UNDER_WAY, IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from scripts.chaos.stage import FIRST_DAY
from tests.support.park import Park


def days_planned(park: Park) -> int:
    """Return how many days of the park are issued or on their way, from the first."""
    with park.db.read() as session:
        query = select(func.max(Issuance.to_date)).where(Issuance.state != IssuanceState.VOID)
        end = session.scalar(query)
    return (end - FIRST_DAY).days if end is not None else 0


def open_intents(park: Park) -> list[ChainIntent]:
    """Return what is on its way."""
    with park.db.read() as session:
        return list(session.scalars(select(ChainIntent).where(ChainIntent.state.in_(UNDER_WAY))))


def in_no_block(park: Park) -> list[ChainIntent]:
    """Return what was signed and stands in no block of the node, as the node itself says."""
    waiting = [row for row in open_intents(park) if row.tx_hash is not None]
    receipts = park.node.client.receipts([str(row.tx_hash) for row in waiting])
    return [row for row, receipt in zip(waiting, receipts, strict=True) if receipt is None]


def pending_trades(park: Park) -> int:
    """Return how many trades are neither executed nor failed nor cancelled."""
    with park.db.read() as session:
        query = select(func.count()).where(VppTradingRecord.status == TradeStatus.PENDING)
        return session.scalar(query) or 0


def attempts(park: Park) -> int:
    """Return how many transactions were ever signed."""
    return park.count(ChainAttempt)


def shortfalls(park: Park) -> int:
    """Return how many trades are left out because their debtor lacks funds."""
    return park.count(VppTradeShortfall)


def refused_batches(park: Park) -> int:
    """Return how many batches the contract refused for want of funds."""
    with park.db.read() as session:
        query = select(func.count()).where(
            VppSettlementBatch.state == BatchState.FAILED,
            VppSettlementBatch.error.contains("InsufficientBalance"),
        )
        return session.scalar(query) or 0


def fingerprint(park: Park) -> tuple[int, ...]:
    """Return numbers of which some change with whatever is planned, signed, sent or settled."""
    with park.db.read() as session:
        states = session.scalars(select(ChainIntent.state)).all()
    return (attempts(park), pending_trades(park), *(states.count(state) for state in IntentState))


def known_keys(park: Park) -> set[str]:
    """Return the keys of all that was ever planned."""
    with park.db.read() as session:
        return set(session.scalars(select(ChainIntent.key)))
