"""What stops a credit batch and puts it right: journals. The status of a batch has events of its own."""

from __future__ import annotations

from typing import Any, cast

from indexer.handlers.registry import handles
from indexer.rows import Rows
from ledger.chain.contracts.events import (
    CREDIT,
    DecodedEvent,
    Invalidated,
    InvalidationDropped,
    InvalidationProposed,
    OverlapProven,
)
from ledger.jsontext import json_safe
from ledger.models import CreditBatch, CreditInvalidation, CreditOverlap
from ledger.models.oversight import InvalidationStep


@handles(CREDIT, "OverlapProven")
def overlap_proven(event: DecodedEvent, rows: Rows) -> None:
    """Note that a reading counts in two batches."""
    args, values = cast(OverlapProven, event.args), event.values
    rows.add(
        CreditOverlap,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        first_batch_id=args.first_batch_id,
        second_batch_id=args.second_batch_id,
        challenger=args.challenger,
        meter=args.first.meter,
        first_reading=json_safe(values["first"]),
        second_reading=json_safe(values["second"]),
        tx_hash=event.log.tx_hash,
        proven_at=rows.time_of(event),
    )


@handles(CREDIT, "InvalidationProposed")
def invalidation_proposed(event: DecodedEvent, rows: Rows) -> None:
    """Note who wants a batch cancelled, and from when that may be done."""
    args = cast(InvalidationProposed, event.args)
    values = {
        "account": args.proposer,
        "executable_at_s": args.executable_at,
        "reason": args.reason,
    }
    _step(event, rows, args.batch_id, InvalidationStep.PROPOSED, values)


@handles(CREDIT, "InvalidationDropped")
def invalidation_dropped(event: DecodedEvent, rows: Rows) -> None:
    """Note that nothing becomes of it."""
    args = cast(InvalidationDropped, event.args)
    _step(event, rows, args.batch_id, InvalidationStep.DROPPED, {})


@handles(CREDIT, "Invalidated")
def invalidated(event: DecodedEvent, rows: Rows) -> None:
    """Note what is frozen; what was retired is a deficit from now on."""
    args = cast(Invalidated, event.args)
    values = {"account": args.executor, "frozen_kg": args.frozen, "deficit_kg": args.deficit}
    _step(event, rows, args.batch_id, InvalidationStep.EXECUTED, values)
    rows.change(CreditBatch, args.batch_id, deficit_kg=args.deficit)


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("account", "executable_at_s", "reason", "frozen_kg", "deficit_kg")
)


def _step(
    event: DecodedEvent, rows: Rows, batch_id: int, step: InvalidationStep, values: dict[str, Any]
) -> None:
    rows.add(
        CreditInvalidation,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        batch_id=batch_id,
        step=step,
        tx_hash=event.log.tx_hash,
        happened_at=rows.time_of(event),
        **{**_NOTHING, **values},
    )
