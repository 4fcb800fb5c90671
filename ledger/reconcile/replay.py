"""The chain's events played into empty tables, in plain Python and apart from the mirror.

What the mirror writes range by range, with rewinds and bulk statements, is here one pass over all
events: two ways to one result, so that an error of either shows. The tables stand on shelves beside
memory (``shelves``), so that memory does not grow with the chain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from ledger.chain.contracts.events import ZERO_HASH, DecodedEvent, next_head
from ledger.models.credits import BatchStatus
from ledger.reconcile import replay_credit, replay_escrow
from ledger.reconcile.replay_escrow import SettledBatch
from ledger.reconcile.report import Key
from ledger.reconcile.shelves import Shelf, Shelves
from ledger.serials import CreditStatus, Run, Taken, credit_id, partition
from ledger.units import tonnes_of_kg

Table = Shelf[Key, dict[str, Any]]
_BATCHES_AT_ONCE = 500


class Replay:
    """What the tables must hold after the events, by primary key.

    Parameters
    ----------
    shelves
        Where the tables stand.
    units_per_cent
        Units of the currency token that make a cent.
    times
        Time of each block that holds an event.
    vintages
        Legal year of our own issuances by key and evidence root, which the chain does not know.
    """

    def __init__(
        self,
        shelves: Shelves,
        units_per_cent: int,
        times: Mapping[int, datetime],
        vintages: Mapping[tuple[str, str], int],
    ) -> None:
        self.shelves = shelves
        self.units_per_cent, self.times, self.vintages = units_per_cent, times, vintages
        shelf = shelves.shelf
        self.classes: Table = shelf()
        self.projects: Table = shelf()
        self.sites: Table = shelf()
        self.batches: Table = shelf()
        self.transfers: Table = shelf()
        self.retirements: Table = shelf()
        self.cancellations: Table = shelf()
        self.invalidations: Table = shelf()
        self.overlaps: Table = shelf()
        self.holdings: Table = shelf()
        """Kilograms by batch and holder; nobody holds nothing."""
        self.movements: Table = shelf()
        self.balances: Table = shelf()
        """Units in escrow by account and asset; nobody has nothing."""
        self.settled: Shelf[str, SettledBatch] = shelf()
        """By batch key."""
        self.disputes: Table = shelf()
        self.singles: Table = shelf()
        self.terms: Table = shelf()
        self.credits: Table = shelf()
        """By ``credit_id``, as are the serials."""
        self.serials: Table = shelf()
        self.settlements: Table = shelf()
        """The rows of ``settlement_batches`` by number."""
        self.retired_of: Shelf[int, list[Taken]] = shelf()
        """What retirements took, by batch."""
        self.cancelled_of: Shelf[int, list[Taken]] = shelf()
        self.replaced_of: Shelf[int, list[int]] = shelf()
        """Kilograms of others that stood in, by invalidated batch."""
        self.ends_of: Shelf[int, list[int]] = shelf()
        """Ends of the periods that were issued upon, by site."""
        self.seq, self.head = 0, ZERO_HASH
        self.log_errors: list[str] = []

    def play(self, events: Iterable[DecodedEvent]) -> None:
        """Play some events, in the order of the chain; then let go of what they took in memory."""
        for event in events:
            self._follow_log(event)
            step = _STEPS.get(type(event.args))
            if step is not None:
                step(self, event, event.args)
        self.shelves.settle()

    def finish(self) -> None:
        """Add what is seen from the end alone."""
        self._part_time()
        self._count_deficits()
        self._part_serials()
        for batch in self.settled.values():
            row = replay_escrow.batch_row(batch, self.times)
            self.settlements[(batch.proposal.batch_id,)] = row
            self.settlements.settle()
        self.shelves.settle()

    def _part_time(self) -> None:
        """Give every batch the time before it that was never issued upon, and every site its end.

        Seen from the end it is simple, in whatever order the batches came: a gap begins where the period
        before it in time ends.
        """
        for _, ends in self.ends_of.changing():
            ends.sort()
        for _, batch in self.batches.changing():
            ends = self.ends_of.get(batch["site_id"]) or []
            earlier = bisect_right(ends, batch["period_start_s"])
            batch["gap_start_s"] = ends[earlier - 1] if earlier else 0
        for (site_id,), site in self.sites.changing():
            site["minted_until_s"] = max(self.ends_of.get(site_id) or [], default=0)

    def _count_deficits(self) -> None:
        """Count what was retired of each invalidated batch, less what the buffer stood in for."""
        for (batch_id,), batch in self.batches.changing():
            if batch["status"] is BatchStatus.CANCELLED:
                batch["deficit_kg"] = batch["retired_kg"] - sum(
                    self.replaced_of.get(batch_id) or []
                )

    def _part_serials(self) -> None:
        """Part the serials of every batch into its credits."""
        for count, ((batch_id,), batch) in enumerate(self.batches.items()):
            for run in self._runs(batch_id, batch):
                site = self.sites[(batch["site_id"],)]
                name = credit_id(
                    site["code"], batch["vintage"], batch["ordinal"], run.first, run.last
                )
                self.credits[(name,)] = {
                    "amount": tonnes_of_kg(run.amount_kg),
                    "unit": "tCO2e",
                    "issuer": batch["issuer"],
                    "status": run.status.value,
                    "blockchain_tx": batch["tx_hash"],
                    "issued_at": batch["issued_at"],
                    "expires_at": _expiry(batch["expires_at_s"]),
                }
                self.serials[(name,)] = {
                    "batch_id": batch_id,
                    "first_serial": run.first,
                    "last_serial": run.last,
                    "retirement_id": run.retirement_id,
                }
            if count % _BATCHES_AT_ONCE == 0:
                self.shelves.settle()

    def _runs(self, batch_id: int, batch: Mapping[str, Any]) -> Iterator[Run]:
        taken, withdrawn = self.retired_of.get(batch_id), self.cancelled_of.get(batch_id)
        for run in partition(batch["issued_kg"], taken or [], withdrawn or []):
            frozen = run.status is CreditStatus.ACTIVE and batch["status"] is BatchStatus.CANCELLED
            yield replace(run, status=CreditStatus.CANCELLED) if frozen else run

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
