"""The chain's events played into empty tables, in plain Python and apart from the mirror.

What the mirror writes range by range, with rewinds and bulk statements, is here one pass over all
events: two ways to one result, so that an error of either shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ledger.chain.events import (
    ZERO_ADDRESS,
    ZERO_HASH,
    DecodedEvent,
    next_head,
)
from ledger.models.mirror import BatchStatus
from ledger.reconcile import replay_credit, replay_escrow
from ledger.reconcile.replay_escrow import SettledBatch
from ledger.reconcile.report import Key
from ledger.serials import Run, RunStatus, Taken, credit_id, partition
from ledger.units import tonnes_of_kg

Table = dict[Key, dict[str, Any]]


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
    invalidations: Table = field(default_factory=dict)
    overlaps: Table = field(default_factory=dict)
    movements: Table = field(default_factory=dict)
    settled: dict[str, SettledBatch] = field(default_factory=dict)
    """By batch key."""
    disputes: Table = field(default_factory=dict)
    singles: Table = field(default_factory=dict)
    terms: Table = field(default_factory=dict)
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
        self._part_time()
        self._count_deficits()
        return self

    def _part_time(self) -> None:
        """Give every batch the time before it that was never issued upon, and every site its end.

        Seen from the end it is simple, in whatever order the batches came: a gap begins where the period
        before it in time ends.
        """
        ends: dict[int, list[int]] = defaultdict(list)
        for batch in self.batches.values():
            ends[batch["site_id"]].append(batch["period_end_s"])
        for batch in self.batches.values():
            earlier = [end for end in ends[batch["site_id"]] if end <= batch["period_start_s"]]
            batch["gap_start_s"] = max(earlier, default=0)
        for (site_id,), site in self.sites.items():
            site["minted_until_s"] = max(ends[site_id], default=0)

    def _count_deficits(self) -> None:
        """Count what was retired of each invalidated batch, less what the buffer stood in for."""
        for (batch_id,), batch in self.batches.items():
            if batch["status"] is BatchStatus.CANCELLED:
                replaced = sum(
                    row["amount_kg"]
                    for row in self.retirements.values()
                    if row["replaced_batch_id"] == batch_id
                )
                batch["deficit_kg"] = batch["retired_kg"] - replaced

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
        """Units in escrow by account and asset; nobody has nothing."""
        units: dict[Key, int] = defaultdict(int)
        for row in self.movements.values():
            units[row["account"], row["asset"]] += row["amount"]
        return {key: {"balance": amount} for key, amount in units.items() if amount}

    def settlements(self) -> Table:
        """Return the rows of ``settlement_batches`` by number."""
        return {
            (batch.proposal.batch_id,): replay_escrow.batch_row(batch, self.times)
            for batch in self.settled.values()
        }

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
            for part in partition(batch["issued_kg"], taken, withdrawn):
                run = part
                if part.status is RunStatus.ACTIVE and batch["status"] is BatchStatus.CANCELLED:
                    run = replace(part, status=RunStatus.CANCELLED)
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
                "expires_at": _expiry(self.batches[(batch_id,)]["expires_at_s"]),
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
        seq, head = event.args.seq, event.args.head
        expected = next_head(self.head, seq, event.record)
        if seq != self.seq + 1 or head != expected:
            self.log_errors.append(
                f"entry {seq} of the credit log (block {event.log.block_number}) does not follow entry {self.seq}"
            )
        self.seq, self.head = seq, head


def _expiry(expires_at_s: int) -> datetime | None:
    return datetime.fromtimestamp(expires_at_s, UTC) if expires_at_s else None


_STEPS: dict[type[Any], Any] = {**replay_credit.STEPS, **replay_escrow.STEPS}
