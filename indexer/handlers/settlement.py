"""What becomes of settlement batches, and of the disputes over them.

A proposal takes what the debtors owe, in money and in credits; its end gives that to the creditors and
the collector of fees, or back to the debtors. A dispute takes a bond, and its end gives that to
somebody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from indexer.handlers.registry import handles
from indexer.lookups import Outcome
from indexer.rows import Movement, Rows
from ledger.chain.contracts.events import (
    SETTLEMENT,
    BatchCancelled,
    BatchCosigned,
    BatchFinalized,
    BatchProposed,
    DecodedEvent,
    DisputeResolved,
    TradeDisputed,
)
from ledger.models import SettlementBatch, SettlementDispute
from ledger.models.escrow import CURRENCY, DisputeStep, MovementKind, SettlementStatus
from ledger.settlement import confirm


@handles(SETTLEMENT, "BatchProposed")
def batch_proposed(event: DecodedEvent, rows: Rows) -> None:
    """Debtors are debited until the batch ends."""
    args = cast(BatchProposed, event.args)
    outcome = Outcome(args.asset, args.accounts, args.nets, args.credit_nets)
    rows.add_outcome(args.batch_id, outcome)
    rows.add(
        SettlementBatch,
        batch_id=args.batch_id,
        key=args.key,
        asset=args.asset,
        trade_count=len(args.words),
        trades_root=args.trades_root,
        accounts=list(args.accounts),
        nets=[str(net) for net in args.nets],
        credit_nets=[str(net) for net in args.credit_nets],
        finalizable_at_s=args.finalizable_at,
        status=SettlementStatus.PROPOSED,
        cosigned_digest=None,
        fee_cents=None,
        fee_collector=None,
        cancelled_by=None,
        reason=None,
        ended_block=None,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        tx_hash=event.log.tx_hash,
        proposed_at=rows.time_of(event),
    )
    for position, account, asset, units in _legs(outcome, rows.units_per_cent):
        if units < 0:
            rows.move(event, position, Movement(MovementKind.DEBIT, account, units, asset))
    if args.key in rows.lookups.our_batches:
        confirm.proposed(rows.session, args, event.log.block_number)


@handles(SETTLEMENT, "BatchCosigned")
def batch_cosigned(event: DecodedEvent, rows: Rows) -> None:
    """All parties have signed the batch; its end follows in the same transaction."""
    args = cast(BatchCosigned, event.args)
    rows.change(SettlementBatch, args.batch_id, cosigned_digest=args.digest)


@handles(SETTLEMENT, "BatchFinalized")
def batch_finalized(event: DecodedEvent, rows: Rows) -> None:
    """Creditors are credited, and the collector gets the fee."""
    args = cast(BatchFinalized, event.args)
    outcome = rows.outcome(event, args.batch_id)
    for position, account, asset, units in _legs(outcome, rows.units_per_cent):
        if units > 0:
            rows.move(event, position, Movement(MovementKind.CREDIT, account, units, asset))
    fee = Movement(MovementKind.FEE, args.fee_collector, args.fee * rows.units_per_cent)
    rows.move(event, 2 * len(outcome.accounts), fee)
    rows.change(
        SettlementBatch,
        args.batch_id,
        status=SettlementStatus.FINALIZED,
        fee_cents=args.fee,
        fee_collector=args.fee_collector,
        ended_block=event.log.block_number,
    )
    if args.key in rows.lookups.our_batches:
        confirm.finalized(rows.session, args, event.log.block_number)


@handles(SETTLEMENT, "BatchCancelled")
def batch_cancelled(event: DecodedEvent, rows: Rows) -> None:
    """Debtors get back what the proposal took."""
    args = cast(BatchCancelled, event.args)
    outcome = rows.outcome(event, args.batch_id)
    for position, account, asset, units in _legs(outcome, rows.units_per_cent):
        if units < 0:
            rows.move(event, position, Movement(MovementKind.RESTORE, account, -units, asset))
    rows.change(
        SettlementBatch,
        args.batch_id,
        status=SettlementStatus.CANCELLED,
        cancelled_by=args.account,
        reason=args.reason,
        ended_block=event.log.block_number,
    )
    if args.key in rows.lookups.our_batches:
        confirm.cancelled(rows.session, args, event.log.block_number)


@handles(SETTLEMENT, "TradeDisputed")
def trade_disputed(event: DecodedEvent, rows: Rows) -> None:
    """Stop a batch, and take the bond of the party that disputes it."""
    args = cast(TradeDisputed, event.args)
    bond = -args.bond * rows.units_per_cent
    rows.move(event, 0, Movement(MovementKind.BOND, args.account, bond))
    rows.add(
        SettlementDispute,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        batch_id=args.batch_id,
        step=DisputeStep.DISPUTED,
        account=args.account,
        seq=args.seq,
        bond_cents=args.bond,
        bond_to=None,
        until_s=args.timeout_at,
        tx_hash=event.log.tx_hash,
        happened_at=rows.time_of(event),
    )
    rows.change(SettlementBatch, args.batch_id, status=SettlementStatus.DISPUTED)


@handles(SETTLEMENT, "DisputeResolved")
def dispute_resolved(event: DecodedEvent, rows: Rows) -> None:
    """Give the bond away. A rejected dispute lets the batch go on; after an upheld one it is cancelled."""
    args = cast(DisputeResolved, event.args)
    bond = args.bond * rows.units_per_cent
    rows.move(event, 0, Movement(MovementKind.BOND, args.bond_to, bond))
    rows.add(
        SettlementDispute,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        batch_id=args.batch_id,
        step=DisputeStep.UPHELD if args.upheld else DisputeStep.REJECTED,
        account=args.account,
        seq=None,
        bond_cents=args.bond,
        bond_to=args.bond_to,
        until_s=args.finalizable_at,
        tx_hash=event.log.tx_hash,
        happened_at=rows.time_of(event),
    )
    if not args.upheld:
        rows.change(
            SettlementBatch,
            args.batch_id,
            status=SettlementStatus.PROPOSED,
            finalizable_at_s=args.finalizable_at,
        )
        if args.key in rows.lookups.our_batches:
            confirm.reopened(rows.session, args)


def _legs(outcome: Outcome, units_per_cent: int) -> Iterator[tuple[int, str, int, int]]:
    """Return position, account, asset and units of what a batch comes to: money first, then credits."""
    count = len(outcome.accounts)
    for position, cents in enumerate(outcome.nets):
        yield position, outcome.accounts[position], CURRENCY, cents * units_per_cent
    for position, kg in enumerate(outcome.credit_nets):
        yield count + position, outcome.accounts[position], outcome.asset, kg
