"""The chain's events played into empty tables, in plain Python and apart from the mirror.

What the mirror writes range by range, with rewinds and bulk statements, is here one pass over all
events: two ways to one result, so that an error of either shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.chain.events import (
    ZERO_ADDRESS,
    ZERO_HASH,
    BatchCancelled,
    BatchFinalized,
    BatchProposed,
    Cancelled,
    ClassCapChanged,
    ClassRegistered,
    DecodedEvent,
    Deposited,
    Issued,
    ProjectRegistered,
    Retired,
    SiteRegistered,
    StatusChanged,
    TransferBatch,
    TransferSingle,
    Withdrawn,
    next_head,
)
from ledger.models.mirror import BatchStatus, MovementKind
from ledger.reconcile.report import Key
from ledger.serials import Run, Taken, credit_id, partition, site_and_ordinal, vintage_of
from ledger.units import tonnes_of_kg

STATUS = {
    1: BatchStatus.ACTIVE,
    2: BatchStatus.SUSPENDED,
    3: BatchStatus.DISPUTED,
    4: BatchStatus.CANCELLED,
}
Table = dict[Key, dict[str, Any]]


@dataclass
class SettledBatch:
    """A settlement batch as its events tell it; blocks are None until the event came."""

    proposal: BatchProposed
    proposed_block: int
    ended_block: int | None = None
    finalized: bool = False
    reason: str | None = None


@dataclass
class Replay:
    """What the tables must hold after the events, by primary key."""

    units_per_cent: int
    times: Mapping[int, datetime]
    vintages: Mapping[str, int]
    """Legal year of our own issuances by key, which the chain does not know."""
    classes: Table = field(default_factory=dict)
    projects: Table = field(default_factory=dict)
    sites: Table = field(default_factory=dict)
    batches: Table = field(default_factory=dict)
    transfers: Table = field(default_factory=dict)
    retirements: Table = field(default_factory=dict)
    cancellations: Table = field(default_factory=dict)
    movements: Table = field(default_factory=dict)
    settled: dict[str, SettledBatch] = field(default_factory=dict)
    """By batch key."""
    keys: dict[int, str] = field(default_factory=dict)
    seq: int = 0
    head: str = ZERO_HASH
    log_errors: list[str] = field(default_factory=list)

    def play(self, events: Iterable[DecodedEvent]) -> Replay:
        """Play events in the order of the chain; return itself."""
        for event in events:
            self._follow_log(event)
            step = _STEPS.get(type(event.args))
            if step is not None:
                step(self, event, event.args)
        return self

    @property
    def holdings(self) -> Table:
        """Kilograms by batch and holder; nobody holds nothing."""
        held: dict[Key, int] = defaultdict(int)
        for row in self.transfers.values():
            held[row["batch_id"], row["from_address"]] -= row["amount_kg"]
            held[row["batch_id"], row["to_address"]] += row["amount_kg"]
        return {key: {"amount_kg": kg} for key, kg in held.items() if kg and key[1] != ZERO_ADDRESS}

    @property
    def balances(self) -> Table:
        """Token units in escrow by account; nobody has nothing."""
        units: dict[str, int] = defaultdict(int)
        for row in self.movements.values():
            units[row["account"]] += row["amount"]
        return {(account,): {"balance": amount} for account, amount in units.items() if amount}

    def runs(self) -> dict[str, tuple[int, Run]]:
        """Return the serial runs of all batches by ``credit_id``."""
        found = {}
        for (batch_id,), batch in self.batches.items():
            taken = [
                Taken(row["first_serial"], row["amount_kg"], number)
                for (number,), row in self.retirements.items()
                if row["batch_id"] == batch_id
            ]
            withdrawn = [
                Taken(row["first_serial"], row["amount_kg"])
                for row in self.cancellations.values()
                if row["batch_id"] == batch_id
            ]
            code = self.sites[(batch["site_id"],)]["code"]
            for run in partition(batch["issued_kg"], taken, withdrawn):
                name = credit_id(code, batch["vintage"], batch["ordinal"], run.first, run.last)
                found[name] = (batch_id, run)
        return found

    def credits(self) -> Table:
        """Return the rows of ``carbon_credits`` by ``credit_id``."""
        return {
            (name,): {
                "credit_id": name,
                "amount": tonnes_of_kg(run.amount_kg),
                "unit": "tCO2e",
                "issuer": self.batches[(batch_id,)]["issuer"],
                "status": run.status.value,
                "blockchain_tx": self.batches[(batch_id,)]["tx_hash"],
                "issued_at": self.batches[(batch_id,)]["issued_at"],
                "expires_at": None,
            }
            for name, (batch_id, run) in self.runs().items()
        }

    def serials(self) -> Table:
        """Return the rows of ``credit_serials`` by ``credit_id``."""
        return {
            (name,): {
                "batch_id": batch_id,
                "first_serial": run.first,
                "last_serial": run.last,
                "retirement_id": run.retirement_id,
            }
            for name, (batch_id, run) in self.runs().items()
        }

    def _follow_log(self, event: DecodedEvent) -> None:
        if event.record is None:
            return
        seq, head = event.values["seq"], event.values["head"]
        expected = next_head(self.head, seq, event.record)
        if seq != self.seq + 1 or head != expected:
            self.log_errors.append(
                f"entry {seq} of the credit log (block {event.log.block_number}) does not follow entry {self.seq}"
            )
        self.seq, self.head = seq, head


def _class_registered(to: Replay, event: DecodedEvent, args: ClassRegistered) -> None:
    to.classes[(args.class_id,)] = {
        "code": args.code,
        "methodology_hash": args.methodology_hash,
        "cap_kg": args.cap,
        "block_number": event.log.block_number,
    }


def _cap_changed(to: Replay, event: DecodedEvent, args: ClassCapChanged) -> None:
    to.classes[(args.class_id,)]["cap_kg"] = args.new_cap


def _project_registered(to: Replay, event: DecodedEvent, args: ProjectRegistered) -> None:
    to.projects[(args.project_id,)] = {
        "class_id": args.class_id,
        "owner": args.owner,
        "code": args.code,
        "block_number": event.log.block_number,
    }


def _site_registered(to: Replay, event: DecodedEvent, args: SiteRegistered) -> None:
    to.sites[(args.site_id,)] = {
        "project_id": args.project_id,
        "code": args.code,
        "block_number": event.log.block_number,
    }


def _issued(to: Replay, event: DecodedEvent, args: Issued) -> None:
    claim = args.claim
    site_id, ordinal = site_and_ordinal(args.batch_id)
    to.batches[(args.batch_id,)] = {
        "key": args.key,
        "site_id": site_id,
        "ordinal": ordinal,
        "vintage": to.vintages.get(args.key) or vintage_of(claim.period_start),
        "recipient": args.recipient,
        "issued_kg": claim.amount,
        "retired_kg": 0,
        "cancelled_kg": 0,
        "period_start_s": claim.period_start,
        "period_end_s": claim.period_end,
        "evidence_root": claim.evidence_root,
        "evidence_total_kg": claim.evidence_total,
        "manifest_hash": claim.manifest_hash,
        "methodology_hash": claim.methodology_hash,
        "issuer": args.issuer,
        "verifier": args.verifier,
        "status": BatchStatus.ACTIVE,
        "block_number": event.log.block_number,
        "log_index": event.log.log_index,
        "tx_hash": event.log.tx_hash,
        "issued_at": to.times[event.log.block_number],
    }


def _retired(to: Replay, event: DecodedEvent, args: Retired) -> None:
    details = args.details
    to.batches[(args.batch_id,)]["retired_kg"] += args.amount
    to.retirements[(args.retirement_id,)] = {
        "key": args.key,
        "batch_id": args.batch_id,
        "holder": args.holder,
        "first_serial": args.first_serial,
        "amount_kg": args.amount,
        "beneficiary": details.beneficiary,
        "reason": details.reason,
        "country": details.country or None,
        "consumption_start_s": details.consumption_start,
        "consumption_end_s": details.consumption_end,
        "document_hash": details.document_hash,
        "block_number": event.log.block_number,
        "log_index": event.log.log_index,
        "tx_hash": event.log.tx_hash,
        "retired_at": to.times[event.log.block_number],
    }


def _cancelled(to: Replay, event: DecodedEvent, args: Cancelled) -> None:
    to.batches[(args.batch_id,)]["cancelled_kg"] += args.amount
    to.cancellations[event.log.block_number, event.log.log_index] = {
        "key": args.key,
        "batch_id": args.batch_id,
        "holder": args.holder,
        "first_serial": args.first_serial,
        "amount_kg": args.amount,
        "reason": args.reason,
        "tx_hash": event.log.tx_hash,
        "cancelled_at": to.times[event.log.block_number],
    }


def _status_changed(to: Replay, event: DecodedEvent, args: StatusChanged) -> None:
    to.batches[(args.batch_id,)]["status"] = STATUS[args.new_status]


def _transfer_single(to: Replay, event: DecodedEvent, args: TransferSingle) -> None:
    _transfer(to, event, 0, args.id, (args.from_, args.to), args.value)


def _transfer_batch(to: Replay, event: DecodedEvent, args: TransferBatch) -> None:
    for position, (batch_id, kg) in enumerate(zip(args.ids, args.values, strict=True)):
        _transfer(to, event, position, batch_id, (args.from_, args.to), kg)


def _transfer(
    to: Replay, event: DecodedEvent, position: int, batch_id: int, parties: tuple[str, str], kg: int
) -> None:
    if kg:  # anybody may transfer nothing
        to.transfers[event.log.block_number, event.log.log_index, position] = {
            "batch_id": batch_id,
            "from_address": parties[0],
            "to_address": parties[1],
            "amount_kg": kg,
            "tx_hash": event.log.tx_hash,
        }


def _deposited(to: Replay, event: DecodedEvent, args: Deposited) -> None:
    _movement(to, event, 0, MovementKind.DEPOSIT, args.account, args.amount)


def _withdrawn(to: Replay, event: DecodedEvent, args: Withdrawn) -> None:
    _movement(to, event, 0, MovementKind.WITHDRAWAL, args.account, -args.amount)


def _proposed(to: Replay, event: DecodedEvent, args: BatchProposed) -> None:
    to.keys[args.batch_id] = args.key
    to.settled[args.key] = SettledBatch(args, event.log.block_number)
    _move_nets(to, event, args, MovementKind.DEBIT, sign=1, debtors=True)


def _finalized(to: Replay, event: DecodedEvent, args: BatchFinalized) -> None:
    batch = to.settled[args.key]
    batch.finalized, batch.ended_block = True, event.log.block_number
    _move_nets(to, event, batch.proposal, MovementKind.CREDIT, sign=1, debtors=False)


def _batch_cancelled(to: Replay, event: DecodedEvent, args: BatchCancelled) -> None:
    batch = to.settled[args.key]
    batch.reason, batch.ended_block = args.reason, event.log.block_number
    _move_nets(to, event, batch.proposal, MovementKind.RESTORE, sign=-1, debtors=True)


def _move_nets(
    to: Replay,
    event: DecodedEvent,
    proposal: BatchProposed,
    kind: MovementKind,
    sign: int,
    debtors: bool,
) -> None:
    for position, (account, cents) in enumerate(zip(proposal.accounts, proposal.nets, strict=True)):
        if cents and (cents < 0) == debtors:
            _movement(to, event, position, kind, account, sign * cents * to.units_per_cent)


def _movement(
    to: Replay, event: DecodedEvent, position: int, kind: MovementKind, account: str, units: int
) -> None:
    to.movements[event.log.block_number, event.log.log_index, position] = {
        "account": account,
        "kind": kind,
        "amount": units,
        "batch_id": getattr(event.args, "batch_id", None),
        "tx_hash": event.log.tx_hash,
    }


_STEPS: dict[type[Any], Any] = {
    ClassRegistered: _class_registered,
    ClassCapChanged: _cap_changed,
    ProjectRegistered: _project_registered,
    SiteRegistered: _site_registered,
    Issued: _issued,
    Retired: _retired,
    Cancelled: _cancelled,
    StatusChanged: _status_changed,
    TransferSingle: _transfer_single,
    TransferBatch: _transfer_batch,
    Deposited: _deposited,
    Withdrawn: _withdrawn,
    BatchProposed: _proposed,
    BatchFinalized: _finalized,
    BatchCancelled: _batch_cancelled,
}
