"""The batches and pending trades that the commands of ``truetonne settle`` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.output import Table
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session


ENDED_SHOWN = 50
"""Batches that have ended, of which a list is whole without asking for more; those that have not are always in it."""


def latest_of(session: Session) -> tuple[ColumnElement[bool] | None, int]:
    """Return the condition of the open batches and of the latest that have ended, and how many older ones there are.

    None: there is none that it would leave out.
    """
    from sqlalchemy import func, select

    from ledger.models.settlement import BatchState, VppSettlementBatch

    row = VppSettlementBatch
    is_open = row.state.in_((BatchState.PLANNED, BatchState.PROPOSED))
    latest = select(row.id).where(~is_open).order_by(row.id.desc())
    oldest = session.scalars(latest.offset(ENDED_SHOWN - 1).limit(1)).first()
    if oldest is None:
        return None, 0
    query = select(func.count()).select_from(row).where(~is_open, row.id < oldest)
    return is_open | (row.id >= oldest), session.scalar(query) or 0


def rows_of(session: Session, *wanted: ColumnElement[bool]) -> list[dict[str, Any]]:
    """Return the batches of these books that meet all of some conditions, the oldest first; every one without any."""
    from sqlalchemy import select

    from ledger.models import ChainIntent, SettlementBatch
    from ledger.models.settlement import VppSettlementBatch

    query = (
        select(VppSettlementBatch, SettlementBatch.status, ChainIntent.tx_hash)
        .outerjoin(SettlementBatch, SettlementBatch.key == VppSettlementBatch.batch_key)
        .outerjoin(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(*wanted)
        .order_by(VppSettlementBatch.id)
    )
    return [
        {
            "batch_key": item.batch_key,
            "market": item.market,
            "state": item.state.value,
            "way": "proposed" if item.signed_until is None else "cosigned",
            "credits": None if item.asset is None else str(item.asset),
            "netted_from": item.netted_from,
            "on_chain": None if on_chain is None else on_chain.value,
            "transaction": transaction,
            "trades": item.trade_count,
            "nets_cents": dict(zip(item.accounts, item.nets, strict=True)),
            "chain_batch_id": None if item.chain_batch_id is None else str(item.chain_batch_id),
            "finalize_key": item.finalize_key,
            "finalizable_at": item.finalizable_at,
            "proposed_block": item.proposed_block,
            "finalized_block": item.finalized_block,
            "error": item.error,
        }
        for item, on_chain, transaction in session.execute(query)
    ]


def pending_of(session: Session) -> dict[str, Any]:
    """Count the pending trades that stand in no batch, by market."""
    from sqlalchemy import func, select

    from ledger.models.trading import TradeStatus, VppTradingRecord
    from ledger.settlement.finding import in_a_batch

    query = (
        select(VppTradingRecord.market, func.count())
        .where(VppTradingRecord.status == TradeStatus.PENDING, ~in_a_batch())
        .group_by(VppTradingRecord.market)
    )
    return {"pending": {market: count for market, count in session.execute(query)}}


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """Return batches as a table."""
    return Table.of(
        rows,
        {
            "batch": "batch_key",
            "market": "market",
            "trades": "trades",
            "state": _shown_state,
            "finalised in block": "finalized_block",
            "error": "error",
        },
        right=["trades", "finalised in block"],
    )


def _shown_state(row: dict[str, Any]) -> str:
    """Return the state of a batch for people. The books say what the mirror has read, and sent comes before that."""
    if row["on_chain"] == "disputed":
        return "disputed"
    return "sent" if row["state"] == "planned" and row["transaction"] else str(row["state"])


def windows_of(rows: Sequence[dict[str, Any]], now: datetime | None = None) -> tuple[str, ...]:
    """Say until when proposed batches may be disputed, and what finalises them then; nothing where no window is open.

    Parameters
    ----------
    now
        The time; None: by this machine's clock.
    """
    moment = datetime.now(UTC) if now is None else now
    ends = [
        row["finalizable_at"]
        for row in rows
        if row["state"] == row["on_chain"] == "proposed"
        and row["finalizable_at"] is not None
        and row["finalizable_at"] > moment
    ]
    if not ends:
        return ()
    their = "its window is" if len(ends) == 1 else "their windows are"
    return (
        f"{counted(len(ends), 'batch', 'batches')} may be disputed until {max(ends):%Y-%m-%d %H:%M:%S} UTC; "
        f"`truetonne settle run` or the jobs finalise {'it' if len(ends) == 1 else 'them'} when {their} over",
    )


def alarms_of(stuck: Sequence[str]) -> list[str]:
    """Return a line for each alarm; one for those that are alike, as of each batch while the contract is paused."""
    return [
        f"alarm{f', of {count} transactions' if count > 1 else ''}: {text}; see truetonne chain intents"
        for text, count in Counter(stuck).items()
    ]


def left_of(document: dict[str, Any]) -> str:
    """Say how many pending trades stand in no batch."""
    count = sum(document["pending"].values())
    return (
        f"{counted(count, 'pending trade')} in no batch"
        if count
        else "no pending trade is without a batch"
    )
