"""What the events of the settlement contract change: movements of money, and our settlement batches.

A proposal takes what the debtors owe; its end gives that to the creditors, or back to the debtors.
"""

from __future__ import annotations

from typing import cast

from indexer.handlers.registry import handles
from indexer.rows import Proposal, Rows
from ledger.chain.events import (
    SETTLEMENT,
    BatchCancelled,
    BatchFinalized,
    BatchProposed,
    DecodedEvent,
    Deposited,
    Withdrawn,
)
from ledger.models.mirror import MovementKind
from ledger.settlement import confirm


@handles(SETTLEMENT, "Deposited")
def deposited(event: DecodedEvent, rows: Rows) -> None:
    """Money came in."""
    args = cast(Deposited, event.args)
    rows.move_money(event, 0, MovementKind.DEPOSIT, args.account, args.amount)


@handles(SETTLEMENT, "Withdrawn")
def withdrawn(event: DecodedEvent, rows: Rows) -> None:
    """Money went out."""
    args = cast(Withdrawn, event.args)
    rows.move_money(event, 0, MovementKind.WITHDRAWAL, args.account, -args.amount)


@handles(SETTLEMENT, "BatchProposed")
def batch_proposed(event: DecodedEvent, rows: Rows) -> None:
    """Debtors are debited until the batch ends."""
    args = cast(BatchProposed, event.args)
    rows.add_proposal(args.batch_id, Proposal(args.accounts, args.nets))
    for position, (account, cents) in enumerate(zip(args.accounts, args.nets, strict=True)):
        if cents < 0:
            units = cents * rows.units_per_cent
            rows.move_money(event, position, MovementKind.DEBIT, account, units)
    confirm.proposed(rows.session, args, event.log.block_number)


@handles(SETTLEMENT, "BatchFinalized")
def batch_finalized(event: DecodedEvent, rows: Rows) -> None:
    """Creditors are credited."""
    args = cast(BatchFinalized, event.args)
    proposal = rows.proposal(args.batch_id)
    for position, (account, cents) in enumerate(zip(proposal.accounts, proposal.nets, strict=True)):
        if cents > 0:
            units = cents * rows.units_per_cent
            rows.move_money(event, position, MovementKind.CREDIT, account, units)
    confirm.finalized(rows.session, args, event.log.block_number)


@handles(SETTLEMENT, "BatchCancelled")
def batch_cancelled(event: DecodedEvent, rows: Rows) -> None:
    """Debtors get back what the proposal took."""
    args = cast(BatchCancelled, event.args)
    proposal = rows.proposal(args.batch_id)
    for position, (account, cents) in enumerate(zip(proposal.accounts, proposal.nets, strict=True)):
        if cents < 0:
            units = -cents * rows.units_per_cent
            rows.move_money(event, position, MovementKind.RESTORE, account, units)
    confirm.cancelled(rows.session, args, event.log.block_number)
