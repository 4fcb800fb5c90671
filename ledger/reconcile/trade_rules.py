"""The rule of the trades: against what the chain settled, and against what was taken out by hand."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import (
    AuditLog,
    VppSettlementAccount,
    VppSettlementBatch,
    VppTradingRecord,
)
from ledger.models.trading import TradeStatus, TradeType
from ledger.reconcile.books import Books
from ledger.reconcile.replay_escrow import SettledBatch
from ledger.reconcile.report import unequal
from ledger.settlement import cancel
from ledger.settlement.elsewhere import ENERGY, assets_of
from ledger.settlement.words import Trade, unpack
from ledger.units import PRICE_SCALE, QUANTITY_SCALE, currency_of_cents


def trades(books: Books) -> list[str]:
    """Every trade that the chain settled is executed with the same figures, and no other one is.

    A trade is cancelled when the chain has cancelled its batch, or by the command that keeps the reason.
    """
    session = books.session
    rows = {row.id: row for row in session.scalars(select(VppTradingRecord))}
    accounts = session.scalars(select(VppSettlementAccount)).all()
    owners = {(item.vpp_id, item.market): item.address for item in accounts}
    ours = set(session.scalars(select(VppSettlementBatch.batch_key)))
    assets = assets_of(session, list(rows))
    found = []
    expected: dict[int, tuple[TradeStatus, datetime | None]] = {}
    for key, batch in books.replay.settled.items():
        if key not in ours and batch.cosigned_digest is None:  # proposed by somebody else's books
            continue
        outcome = _outcome(books, batch)
        for trade in _trades_of(batch):
            if trade.seq in rows:
                differences = _differences_of(rows[trade.seq], owners, trade)
                found += differences
                if key in ours or not differences:
                    expected[trade.seq] = outcome
            elif key in ours:
                found.append(f"trade {trade.seq}: settled on chain, and not in the books")
    for (block, _), single in books.replay.singles.items():
        trade = Trade(
            single["seq"], single["buyer"], single["seller"], single["quantity"], single["price_e4"]
        )
        if trade.seq in rows and single["asset"] == assets.get(trade.seq, ENERGY):
            differences = _differences_of(rows[trade.seq], owners, trade)
            found += differences
            if not differences:
                is_final = block <= books.final
                expected[trade.seq] = (
                    (TradeStatus.EXECUTED, single["settled_at"])
                    if is_final
                    else (TradeStatus.PENDING, None)
                )
    taken_out = _taken_out(session)
    for number, row in rows.items():
        if number in expected or number in taken_out:
            status, at = expected.get(number, (TradeStatus.CANCELLED, None))
        else:
            found += [f"trade {number}: {said}" for said in _without_cause(row.status)]
            status, at = row.status, None
        found += unequal(
            f"trade {number}",
            (row.status, row.settlement_time),
            (status, at),
            ("status", "settlement_time"),
        )
    return found


def _without_cause(status: TradeStatus) -> list[str]:
    """Return what is wrong with the status of a trade that neither the chain nor the command has touched."""
    if status is TradeStatus.EXECUTED:
        return ["executed, and not settled on chain"]
    if status is TradeStatus.CANCELLED:
        return [
            "cancelled, and neither is a batch of it cancelled on chain, nor has the audit log an entry "
            f"{cancel.ACTION} of it"
        ]
    return []


def _taken_out(session: Session) -> set[int]:
    """Return the numbers of the trades that were cancelled by the command."""
    query = select(AuditLog.resource).where(AuditLog.action == cancel.ACTION)
    return {int(resource.rpartition("/")[2]) for resource in session.scalars(query)}


def _trades_of(batch: SettledBatch) -> list[Trade]:
    parties = batch.proposal.accounts
    return [
        Trade(
            trade.seq,
            parties[trade.buyer],
            parties[trade.seller],
            trade.quantity_milli,
            trade.price_e4,
        )
        for trade in map(unpack, batch.proposal.words)
    ]


def _differences_of(
    row: VppTradingRecord, owners: dict[tuple[int | None, str | None], str], trade: Trade
) -> list[str]:
    sides = (owners.get((None, row.market)), owners.get((row.vpp_id, None)))
    buyer, seller = sides[::-1] if row.trade_type is TradeType.BUY else sides
    return unequal(
        f"trade {trade.seq}",
        (row.quantity, row.price, row.total_value, buyer, seller),
        (
            Decimal(trade.quantity_milli) / QUANTITY_SCALE,
            Decimal(trade.price_e4) / PRICE_SCALE,
            currency_of_cents(trade.cents),
            trade.buyer,
            trade.seller,
        ),
        ("quantity", "price", "total_value", "buyer", "seller"),
    )


def _outcome(books: Books, batch: SettledBatch) -> tuple[TradeStatus, datetime | None]:
    """Return what a trade of a batch must be by now: done only once its block is final."""
    if batch.ended_block is None or batch.ended_block > books.final:
        return TradeStatus.PENDING, None
    if batch.finalized:
        return TradeStatus.EXECUTED, books.time(batch.ended_block)
    return TradeStatus.CANCELLED, None
