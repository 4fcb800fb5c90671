"""Batches as they stood at the end of a block, from the mirror's journals alone.

Nothing that the mirror changes in place is read: a batch is what its issuance, and the retirements,
cancellations, invalidations and changes of status up to the block, make of it. Serials are parted as always
(``ledger.serials``): retirements from the bottom, cancellations from the top.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.models import (
    ChainBlock,
    ChainEvent,
    CreditBatch,
    CreditCancellation,
    CreditInvalidation,
    CreditRetirement,
)
from ledger.models.credits import BATCH_STATUS, BatchStatus
from ledger.models.oversight import InvalidationStep
from ledger.serials import CreditStatus, Run, Taken, credit_id, partition

_CHANGED = "StatusChanged"


@dataclass(frozen=True)
class Then:
    """A batch at the end of a block."""

    batch: CreditBatch
    site_code: str
    status: BatchStatus
    changed_block: int
    """The last block that changed its status, or began to: steps of an invalidation, too. -1: none did."""
    retirements: Sequence[Any]
    cancellations: Sequence[Any]
    invalidated: CreditInvalidation | None
    """The invalidation that was executed; from then on what is left is cancelled."""
    replaced_kg: int

    @property
    def retired_kg(self) -> int:
        """Kilograms retired."""
        return sum(row.amount_kg for row in self.retirements)

    @property
    def cancelled_kg(self) -> int:
        """Kilograms cancelled by their holders."""
        return sum(row.amount_kg for row in self.cancellations)

    @property
    def deficit_kg(self) -> int | None:
        """Kilograms retired and still to be replaced; None: it was not invalidated."""
        if self.invalidated is None:
            return None
        return (self.invalidated.deficit_kg or 0) - self.replaced_kg

    @property
    def last_block(self) -> int:
        """The last block up to then that changed which credits there are, or the status of the batch."""
        taken = [int(row.block_number) for row in (*self.retirements, *self.cancellations)]
        return max(self.batch.block_number, self.changed_block, *taken)

    def runs(self) -> list[Run]:
        """Return the runs of serials, in order."""
        runs = partition(
            self.batch.issued_kg,
            [Taken(row.first_serial, row.amount_kg, row.retirement_id) for row in self.retirements],
            [Taken(row.first_serial, row.amount_kg) for row in self.cancellations],
        )
        if self.invalidated is None:
            return list(runs)
        return [
            replace(run, status=CreditStatus.CANCELLED)
            if run.status is CreditStatus.ACTIVE
            else run
            for run in runs
        ]

    def name_of(self, run: Run) -> str:
        """Return the ``credit_id`` of a run."""
        batch = self.batch
        return credit_id(self.site_code, batch.vintage, batch.ordinal, run.first, run.last)

    def tx_of(self, run: Run) -> str:
        """Return the transaction that gave a run its status."""
        for row in (*self.retirements, *self.cancellations):
            if row.first_serial == run.first:
                return str(row.tx_hash)
        if run.status is CreditStatus.CANCELLED and self.invalidated is not None:
            return self.invalidated.tx_hash
        return self.batch.tx_hash


def checked_block(session: Session, block: int, tip: int | None) -> int:
    """Return a block that the mirror can speak of.

    Raises
    ------
    BadInput
        If it has not come so far, or began later.
    """
    if tip is None or block > tip:
        came = "has not begun" if tip is None else f"has come to block {tip}"
        raise _outside(
            f"block {block} is not mirrored: the mirror {came}; ask for an earlier block, or later",
            "block-not-mirrored",
        )
    first = session.scalar(select(func.min(ChainBlock.number)))
    if first is not None and block < first:
        raise _outside(
            f"block {block} lies before the mirror, which begins at block {first}",
            "block-before-mirror",
        )
    return block


def _outside(message: str, code: str) -> BadInput:
    errors = [{"place": "query", "name": "as_of_block", "message": message}]
    return BadInput(f"as_of_block: {message}", code=code, details={"errors": errors})


def batches_then(
    session: Session, batches: Sequence[tuple[CreditBatch, str]], block: int
) -> list[Then]:
    """Return batches as they stood at the end of a block that is not before their issuance.

    Parameters
    ----------
    batches
        The batches, each with the code of its site.
    """
    numbers = [batch.batch_id for batch, _ in batches]
    retired = _by_batch(
        session,
        select(
            CreditRetirement.batch_id,
            CreditRetirement.first_serial,
            CreditRetirement.amount_kg,
            CreditRetirement.block_number,
            CreditRetirement.tx_hash,
            CreditRetirement.retirement_id,
        ).where(CreditRetirement.batch_id.in_(numbers), CreditRetirement.block_number <= block),
    )
    cancelled = _by_batch(
        session,
        select(
            CreditCancellation.batch_id,
            CreditCancellation.first_serial,
            CreditCancellation.amount_kg,
            CreditCancellation.block_number,
            CreditCancellation.tx_hash,
        ).where(CreditCancellation.batch_id.in_(numbers), CreditCancellation.block_number <= block),
    )
    statuses, changed = _statuses(session, numbers, block)
    invalidated = {}
    for row in session.scalars(
        select(CreditInvalidation).where(
            CreditInvalidation.batch_id.in_(numbers), CreditInvalidation.block_number <= block
        )
    ):
        changed[row.batch_id] = max(row.block_number, changed.get(row.batch_id, -1))
        if row.step is InvalidationStep.EXECUTED:
            invalidated[row.batch_id] = row
    replaced = _replaced(session, list(invalidated), block)
    return [
        Then(
            batch,
            code,
            statuses.get(batch.batch_id, BatchStatus.ACTIVE),
            changed.get(batch.batch_id, -1),
            retired[batch.batch_id],
            cancelled[batch.batch_id],
            invalidated.get(batch.batch_id),
            replaced.get(batch.batch_id, 0),
        )
        for batch, code in batches
    ]


def _by_batch(session: Session, query: Any) -> Mapping[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in session.execute(query):
        found[row.batch_id].append(row)
    return found


def _replaced(session: Session, numbers: Sequence[int], block: int) -> dict[int, int]:
    """Return how many kilograms of invalidated batches units of the buffer stood in for."""
    if not numbers:
        return {}
    query = (
        select(CreditRetirement.replaced_batch_id, func.sum(CreditRetirement.amount_kg))
        .where(
            CreditRetirement.replaced_batch_id.in_(numbers), CreditRetirement.block_number <= block
        )
        .group_by(CreditRetirement.replaced_batch_id)
    )
    return {number: int(kg) for number, kg in session.execute(query) if number is not None}


def _statuses(
    session: Session, numbers: Sequence[int], block: int
) -> tuple[dict[int, BatchStatus], dict[int, int]]:
    """Return the statuses of those batches that ever changed it, and the block of the last change."""
    statuses, changed = {}, {}
    for number, status, at in status_changes(session, up_to=block, of=numbers):
        statuses[number], changed[number] = status, at
    return statuses, changed


def status_changes(
    session: Session,
    above: int = -1,
    up_to: int | None = None,
    of: Collection[int] | None = None,
) -> Iterator[tuple[int, BatchStatus, int]]:
    """Yield batch, new status and block of each change, in the order of the chain.

    Parameters
    ----------
    above, up_to
        Blocks after the one, and no later than the other.
    of
        Only those of these batches, few of all that there are; the database picks them out.
    """
    if of is not None and not of:
        return
    query = (
        select(ChainEvent.args, ChainEvent.block_number)
        .where(ChainEvent.event_name == _CHANGED, ChainEvent.block_number > above)
        .order_by(ChainEvent.block_number, ChainEvent.log_index)
    )
    if up_to is not None:
        query = query.where(ChainEvent.block_number <= up_to)
    if of is not None:
        query = query.where(
            ChainEvent.args["batch_id"].as_string().in_([str(number) for number in sorted(of)])
        )
    for args, block in session.execute(query):
        yield int(args["batch_id"]), BATCH_STATUS[int(args["new_status"])], block
