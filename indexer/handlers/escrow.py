"""What moves in the settlement contract's escrow outside of batches, and its terms."""

from __future__ import annotations

from typing import Any, cast

from indexer.handlers.registry import handles
from indexer.rows import Movement, Rows
from ledger.chain.contracts.events import (
    SETTLEMENT,
    CapsChanged,
    CreditsDeposited,
    CreditsWithdrawn,
    DecodedEvent,
    Deposited,
    FeeChanged,
    TradeSettled,
    Withdrawn,
)
from ledger.models import SettlementTerm, SettlementTrade
from ledger.models.escrow import CURRENCY, MovementKind


@handles(SETTLEMENT, "Deposited")
def deposited(event: DecodedEvent, rows: Rows) -> None:
    """Money came in."""
    args = cast(Deposited, event.args)
    rows.move(event, 0, Movement(MovementKind.DEPOSIT, args.account, args.amount))


@handles(SETTLEMENT, "Withdrawn")
def withdrawn(event: DecodedEvent, rows: Rows) -> None:
    """Money went out."""
    args = cast(Withdrawn, event.args)
    rows.move(event, 0, Movement(MovementKind.WITHDRAWAL, args.account, -args.amount))


@handles(SETTLEMENT, "CreditsDeposited")
def credits_deposited(event: DecodedEvent, rows: Rows) -> None:
    """Credits came in."""
    args = cast(CreditsDeposited, event.args)
    rows.move(event, 0, Movement(MovementKind.DEPOSIT, args.account, args.amount, args.asset))


@handles(SETTLEMENT, "CreditsWithdrawn")
def credits_withdrawn(event: DecodedEvent, rows: Rows) -> None:
    """Credits went out."""
    args = cast(CreditsWithdrawn, event.args)
    rows.move(event, 0, Movement(MovementKind.WITHDRAWAL, args.account, -args.amount, args.asset))


@handles(SETTLEMENT, "TradeSettled")
def trade_settled(event: DecodedEvent, rows: Rows) -> None:
    """One trade was paid, gross: the debtor pays all, the creditor and the collector share it."""
    args = cast(TradeSettled, event.args)
    rows.add(
        SettlementTrade,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        seq=args.seq,
        buyer=args.buyer,
        seller=args.seller,
        asset=args.asset,
        quantity=args.quantity,
        price_e4=args.price,
        cents=args.cents,
        fee_cents=args.fee,
        fee_collector=args.fee_collector,
        tx_hash=event.log.tx_hash,
        settled_at=rows.time_of(event),
    )
    sides = (args.buyer, args.seller) if args.cents > 0 else (args.seller, args.buyer)
    paid, fee = abs(args.cents) * rows.units_per_cent, args.fee * rows.units_per_cent
    movements = [
        Movement(MovementKind.DEBIT, sides[0], -paid),
        Movement(MovementKind.CREDIT, sides[1], paid - fee),
        Movement(MovementKind.FEE, args.fee_collector, fee),
    ]
    if args.asset != CURRENCY:
        movements += [
            Movement(MovementKind.DEBIT, args.seller, -args.quantity, args.asset),
            Movement(MovementKind.CREDIT, args.buyer, args.quantity, args.asset),
        ]
    for position, movement in enumerate(movements):
        rows.move(event, position, movement)


@handles(SETTLEMENT, "CapsChanged")
def caps_changed(event: DecodedEvent, rows: Rows) -> None:
    """Note other caps of what an operator settles in one call."""
    args = cast(CapsChanged, event.args)
    values = {"notional_cap_cents": args.new_notional_cap, "credit_cap_kg": args.new_credit_cap}
    _term(event, rows, values)


@handles(SETTLEMENT, "FeeChanged")
def fee_changed(event: DecodedEvent, rows: Rows) -> None:
    """Note another fee, which holds later."""
    args = cast(FeeChanged, event.args)
    values = {
        "fee_bps": args.new_bps,
        "fee_collector": args.new_collector,
        "effective_at_s": args.effective_at,
    }
    _term(event, rows, values)


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("notional_cap_cents", "credit_cap_kg", "fee_bps", "fee_collector", "effective_at_s")
)


def _term(event: DecodedEvent, rows: Rows, values: dict[str, Any]) -> None:
    rows.add(
        SettlementTerm,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        tx_hash=event.log.tx_hash,
        changed_at=rows.time_of(event),
        **{**_NOTHING, **values},
    )
