"""What the events of the settlement contract change, for the replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ledger.chain.contracts.events import (
    BatchCancelled,
    BatchCosigned,
    BatchFinalized,
    BatchProposed,
    CapsChanged,
    CreditsDeposited,
    CreditsWithdrawn,
    DecodedEvent,
    Deposited,
    DisputeResolved,
    FeeChanged,
    TradeDisputed,
    TradeSettled,
    Withdrawn,
)
from ledger.models.escrow import CURRENCY, DisputeStep, MovementKind, SettlementStatus

if TYPE_CHECKING:
    from ledger.reconcile.replay import Replay

Leg = tuple[int, str, int, int]
"""Position in the log, account, asset, units."""


@dataclass
class SettledBatch:
    """A settlement batch as its events tell it; blocks are None until the event came."""

    proposal: BatchProposed
    proposed_block: int
    proposed_place: tuple[int, str]
    finalizable_at: int
    cosigned_digest: str | None = None
    dispute: TradeDisputed | None = None
    """The dispute that is open."""
    ended_block: int | None = None
    end: BatchFinalized | BatchCancelled | None = None

    @property
    def finalized(self) -> bool:
        """Whether the creditors have their money."""
        return isinstance(self.end, BatchFinalized)

    @property
    def status(self) -> SettlementStatus:
        """The state on chain."""
        if self.end is not None:
            return SettlementStatus.FINALIZED if self.finalized else SettlementStatus.CANCELLED
        return SettlementStatus.DISPUTED if self.dispute else SettlementStatus.PROPOSED


def legs(proposal: BatchProposed, units_per_cent: int) -> list[Leg]:
    """Return what a batch comes to: each account's money, then each account's credits."""
    money = [
        (place, account, CURRENCY, net * units_per_cent)
        for place, (account, net) in enumerate(zip(proposal.accounts, proposal.nets, strict=True))
    ]
    return money + [
        (len(money) + place, proposal.accounts[place], proposal.asset, net)
        for place, net in enumerate(proposal.credit_nets)
    ]


def batch_row(batch: SettledBatch, times: Mapping[int, datetime]) -> dict[str, Any]:
    """Return a batch as a row of ``settlement_batches``."""
    proposal, end = batch.proposal, batch.end
    log_index, tx_hash = batch.proposed_place
    is_final = isinstance(end, BatchFinalized)
    return {
        "key": proposal.key,
        "asset": proposal.asset,
        "trade_count": len(proposal.words),
        "trades_root": proposal.trades_root,
        "accounts": list(proposal.accounts),
        "nets": [str(net) for net in proposal.nets],
        "credit_nets": [str(net) for net in proposal.credit_nets],
        "finalizable_at_s": batch.finalizable_at,
        "status": batch.status,
        "cosigned_digest": batch.cosigned_digest,
        "fee_cents": -sum(proposal.nets) if is_final else None,
        "fee_collector": getattr(end, "fee_collector", None),
        "cancelled_by": getattr(end, "account", None),
        "reason": getattr(end, "reason", None),
        "ended_block": batch.ended_block,
        "block_number": batch.proposed_block,
        "log_index": log_index,
        "tx_hash": tx_hash,
        "proposed_at": times[batch.proposed_block],
    }


def _deposited(to: Replay, event: DecodedEvent, args: Deposited) -> None:
    _movement(to, event, MovementKind.DEPOSIT, (0, args.account, CURRENCY, args.amount))


def _withdrawn(to: Replay, event: DecodedEvent, args: Withdrawn) -> None:
    _movement(to, event, MovementKind.WITHDRAWAL, (0, args.account, CURRENCY, -args.amount))


def _credits_deposited(to: Replay, event: DecodedEvent, args: CreditsDeposited) -> None:
    _movement(to, event, MovementKind.DEPOSIT, (0, args.account, args.asset, args.amount))


def _credits_withdrawn(to: Replay, event: DecodedEvent, args: CreditsWithdrawn) -> None:
    _movement(to, event, MovementKind.WITHDRAWAL, (0, args.account, args.asset, -args.amount))


def _proposed(to: Replay, event: DecodedEvent, args: BatchProposed) -> None:
    place = (event.log.log_index, event.log.tx_hash)
    to.settled[args.key] = SettledBatch(args, event.log.block_number, place, args.finalizable_at)
    for place_, account, asset, units in legs(args, to.units_per_cent):
        if units < 0:
            _movement(to, event, MovementKind.DEBIT, (place_, account, asset, units))


def _cosigned(to: Replay, event: DecodedEvent, args: BatchCosigned) -> None:
    to.settled[args.key].cosigned_digest = args.digest


def _finalized(to: Replay, event: DecodedEvent, args: BatchFinalized) -> None:
    batch = to.settled[args.key]
    batch.end, batch.ended_block = args, event.log.block_number
    for place, account, asset, units in legs(batch.proposal, to.units_per_cent):
        if units > 0:
            _movement(to, event, MovementKind.CREDIT, (place, account, asset, units))
    # Not what the event says: with the fee the nets sum to zero.
    fee = -sum(batch.proposal.nets) * to.units_per_cent
    place = 2 * len(batch.proposal.accounts)
    _movement(to, event, MovementKind.FEE, (place, args.fee_collector, CURRENCY, fee))


def _cancelled(to: Replay, event: DecodedEvent, args: BatchCancelled) -> None:
    batch = to.settled[args.key]
    batch.end, batch.ended_block, batch.dispute = args, event.log.block_number, None
    for place, account, asset, units in legs(batch.proposal, to.units_per_cent):
        if units < 0:
            _movement(to, event, MovementKind.RESTORE, (place, account, asset, -units))


def _disputed(to: Replay, event: DecodedEvent, args: TradeDisputed) -> None:
    to.settled[args.key].dispute = args
    units = -args.bond * to.units_per_cent
    _movement(to, event, MovementKind.BOND, (0, args.account, CURRENCY, units))
    to.disputes[event.log.block_number, event.log.log_index] = {
        "batch_id": args.batch_id,
        "step": DisputeStep.DISPUTED,
        "account": args.account,
        "seq": args.seq,
        "bond_cents": args.bond,
        "bond_to": None,
        "until_s": args.timeout_at,
        "tx_hash": event.log.tx_hash,
        "happened_at": to.times[event.log.block_number],
    }


def _resolved(to: Replay, event: DecodedEvent, args: DisputeResolved) -> None:
    batch = to.settled[args.key]
    assert batch.dispute is not None  # the contract resolves what is open
    bond, account = batch.dispute.bond, batch.dispute.account
    batch.dispute = None
    if not args.upheld:
        batch.finalizable_at = args.finalizable_at
    units = bond * to.units_per_cent
    _movement(to, event, MovementKind.BOND, (0, args.bond_to, CURRENCY, units))
    to.disputes[event.log.block_number, event.log.log_index] = {
        "batch_id": args.batch_id,
        "step": DisputeStep.UPHELD if args.upheld else DisputeStep.REJECTED,
        "account": account,
        "seq": None,
        "bond_cents": bond,
        "bond_to": args.bond_to,
        "until_s": args.finalizable_at,
        "tx_hash": event.log.tx_hash,
        "happened_at": to.times[event.log.block_number],
    }


def _trade_settled(to: Replay, event: DecodedEvent, args: TradeSettled) -> None:
    to.singles[event.log.block_number, event.log.log_index] = {
        "seq": args.seq,
        "buyer": args.buyer,
        "seller": args.seller,
        "asset": args.asset,
        "quantity": args.quantity,
        "price_e4": args.price,
        "cents": args.cents,
        "fee_cents": args.fee,
        "fee_collector": args.fee_collector,
        "tx_hash": event.log.tx_hash,
        "settled_at": to.times[event.log.block_number],
    }
    cent = to.units_per_cent
    debtor, creditor = args.seller, args.buyer
    if args.cents > 0:
        debtor, creditor = args.buyer, args.seller
    gross = abs(args.cents)
    credits = args.quantity if args.asset != CURRENCY else 0
    for kind, leg in (
        (MovementKind.DEBIT, (0, debtor, CURRENCY, -gross * cent)),
        (MovementKind.CREDIT, (1, creditor, CURRENCY, (gross - args.fee) * cent)),
        (MovementKind.FEE, (2, args.fee_collector, CURRENCY, args.fee * cent)),
        (MovementKind.DEBIT, (3, args.seller, args.asset, -credits)),
        (MovementKind.CREDIT, (4, args.buyer, args.asset, credits)),
    ):
        _movement(to, event, kind, leg)


def _caps_changed(to: Replay, event: DecodedEvent, args: CapsChanged) -> None:
    row = _term(to, event)
    row["notional_cap_cents"], row["credit_cap_kg"] = args.new_notional_cap, args.new_credit_cap


def _fee_changed(to: Replay, event: DecodedEvent, args: FeeChanged) -> None:
    row = _term(to, event)
    row["fee_bps"], row["fee_collector"] = args.new_bps, args.new_collector
    row["effective_at_s"] = args.effective_at


def _term(to: Replay, event: DecodedEvent) -> dict[str, Any]:
    row = to.terms[event.log.block_number, event.log.log_index] = {
        "notional_cap_cents": None,
        "credit_cap_kg": None,
        "fee_bps": None,
        "fee_collector": None,
        "effective_at_s": None,
        "tx_hash": event.log.tx_hash,
        "changed_at": to.times[event.log.block_number],
    }
    return row


def _movement(to: Replay, event: DecodedEvent, kind: MovementKind, leg: Leg) -> None:
    position, account, asset, units = leg
    if units:
        to.balances.add((account, asset), "balance", units)
        to.movements[event.log.block_number, event.log.log_index, position] = {
            "account": account,
            "asset": asset,
            "kind": kind,
            "amount": units,
            "batch_id": getattr(event.args, "batch_id", None),
            "tx_hash": event.log.tx_hash,
        }


STEPS: dict[type[Any], Any] = {
    Deposited: _deposited,
    Withdrawn: _withdrawn,
    CreditsDeposited: _credits_deposited,
    CreditsWithdrawn: _credits_withdrawn,
    BatchProposed: _proposed,
    BatchCosigned: _cosigned,
    BatchFinalized: _finalized,
    BatchCancelled: _cancelled,
    TradeDisputed: _disputed,
    DisputeResolved: _resolved,
    TradeSettled: _trade_settled,
    CapsChanged: _caps_changed,
    FeeChanged: _fee_changed,
}
"""The step of each event."""
