"""Takes blocks back: finds the last block that the chain still has, and rewinds every table above it.

``REWINDS`` has a function for every table that a block can change. They run in that order: derived rows first, while
the rows that they follow from are still there, and children before parents. One transaction rewinds all tables and
moves the cursor, so nobody ever sees half of it. What is left is what a fresh mirror of the other blocks would have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, select, update
from sqlalchemy.orm import Session

from indexer import derived
from indexer.altered import REINDEX, altered_rows_told
from ledger import issuance
from ledger.chain.addresses import deployment as contracts_book
from ledger.chain.addresses import sightings
from ledger.chain.contracts.events import ZERO_ADDRESS
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.chain.sending import intents, transactions
from ledger.db import Database
from ledger.db.tables import among
from ledger.models import (
    Base,
    ChainBlock,
    ChainEvent,
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditInvalidation,
    CreditOverlap,
    CreditProject,
    CreditRetirement,
    CreditSerial,
    CreditSite,
    CreditTransfer,
    SettlementBatch,
    SettlementDispute,
    SettlementMovement,
    SettlementTerm,
    SettlementTrade,
)
from ledger.models.credits import BATCH_STATUS, BatchStatus
from ledger.models.escrow import DisputeStep, SettlementStatus
from ledger.serials import batch_id_of, site_and_ordinal
from ledger.settlement import confirm as settlement

_FIRST_LOOK = 8
"""Blocks asked at first; every further look is twice as long."""


def common_ancestor(
    db: Database, client: ChainClient, below: int, head: BlockHeader
) -> BlockHeader | None:
    """Return the highest stored block under a number that the node still has; None when there is none.

    Raises
    ------
    DependencyDown
        If the node lacks a block up to the head that it named: another one answers, and what it lacks may be there.
    """
    size = _FIRST_LOOK
    while True:
        with db.read() as session:
            query = (
                select(ChainBlock.number, ChainBlock.hash)
                .where(ChainBlock.number < below)
                .order_by(ChainBlock.number.desc())
                .limit(size)
            )
            stored = session.execute(query).all()
        if not stored:
            return None
        headers = client.blocks([number for number, _ in stored])
        for (number, stored_hash), header in zip(stored, headers, strict=True):
            if header is None and number <= head.number:
                raise client.without_block(number)
            if header is not None and header.hash == stored_hash:
                return header
        below = stored[-1].number
        size *= 2


def rewind(session: Session, above_block: int) -> None:
    """Take back everything that blocks above one brought, in every table.

    Raises
    ------
    BooksDiffer
        If the rows are not what a mirror wrote, so that what was before them cannot be told.
    """
    session.flush()
    with altered_rows_told(f"the mirror cannot be taken back to block {above_block}", REINDEX):
        for step in REWINDS:
            step(session, above_block)
            session.flush()
            session.expire_all()


# ------------------------------------------------------------------ what is derived


def rewind_holdings(session: Session, above_block: int) -> None:
    """credit_holdings: undo the transfers, which are still there."""
    changes: dict[tuple[int, str], int] = defaultdict(int)
    query = select(
        CreditTransfer.batch_id,
        CreditTransfer.from_address,
        CreditTransfer.to_address,
        CreditTransfer.amount_kg,
    ).where(CreditTransfer.block_number > above_block)
    for batch_id, giver, taker, kg in session.execute(query):
        if giver != ZERO_ADDRESS:
            changes[batch_id, giver] += kg
        if taker != ZERO_ADDRESS:
            changes[batch_id, taker] -= kg
    derived.add_holdings(session, changes)


def rewind_balances(session: Session, above_block: int) -> None:
    """settlement_balances: undo the movements, which are still there."""
    changes: dict[tuple[str, int], int] = defaultdict(int)
    query = select(
        SettlementMovement.account, SettlementMovement.asset, SettlementMovement.amount
    ).where(SettlementMovement.block_number > above_block)
    for account, asset, units in session.execute(query):
        changes[account, asset] -= int(units)
    derived.add_balances(session, changes)


def rewind_batch_states(session: Session, above_block: int) -> None:
    """credit_batches, credit_classes, credit_sites: give back what later events changed of them."""
    for table, column in (
        (CreditRetirement, CreditBatch.retired_kg),
        (CreditCancellation, CreditBatch.cancelled_kg),
    ):
        taken: dict[int, int] = defaultdict(int)
        query = select(table.batch_id, table.amount_kg).where(_later(session, table, above_block))
        for batch_id, kg in session.execute(query):
            taken[batch_id] += kg
        if taken:
            less = update(CreditBatch).where(CreditBatch.batch_id == bindparam("of"))
            session.connection().execute(
                less.values({column: column - bindparam("kg")}),
                [{"of": batch_id, "kg": kg} for batch_id, kg in taken.items()],
            )
    for event in _later_events(session, list(_UNDO), above_block):
        _UNDO[event.event_name](session, event.args)


def _undo_status(session: Session, args: Mapping[str, Any]) -> None:
    status = BATCH_STATUS[int(args["old_status"])]
    _set(session, CreditBatch.batch_id == int(args["batch_id"]), {CreditBatch.status: status})


def _undo_cap(session: Session, args: Mapping[str, Any]) -> None:
    cap = {CreditClass.cap_kg: int(args["old_cap"])}
    _set(session, CreditClass.class_id == int(args["class_id"]), cap)


def _undo_buffer(session: Session, args: Mapping[str, Any]) -> None:
    share = {CreditClass.buffer_bps: int(args["old_buffer_bps"])}
    _set(session, CreditClass.class_id == int(args["class_id"]), share)


def _undo_invalidation(session: Session, args: Mapping[str, Any]) -> None:
    _set(session, CreditBatch.batch_id == int(args["batch_id"]), {CreditBatch.deficit_kg: None})


def _undo_replacement(session: Session, args: Mapping[str, Any]) -> None:
    before = int(args["deficit_left"]) + int(args["amount"])
    batch_id = int(args["replaced_batch_id"])
    _set(session, CreditBatch.batch_id == batch_id, {CreditBatch.deficit_kg: before})


def _undo_issuance(session: Session, args: Mapping[str, Any]) -> None:
    """Give the time of a batch, and of the gap before it, back to where it was taken from."""
    batch_id, later = int(args["batch_id"]), int(args["claim"]["backfill_before"])
    site_id, _ = site_and_ordinal(batch_id)
    query = select(CreditBatch.gap_start_s).where(CreditBatch.batch_id == batch_id)
    gap_start = session.execute(query).scalar_one()
    if later:
        here = CreditBatch.batch_id == batch_id_of(site_id, later)
        _set(session, here, {CreditBatch.gap_start_s: gap_start})
    else:
        _set(session, CreditSite.site_id == site_id, {CreditSite.minted_until_s: gap_start})


_UNDO: dict[str, Callable[[Session, Mapping[str, Any]], None]] = {
    "StatusChanged": _undo_status,
    "ClassCapChanged": _undo_cap,
    "ClassBufferChanged": _undo_buffer,
    "Invalidated": _undo_invalidation,
    "Replaced": _undo_replacement,
    "Issued": _undo_issuance,
}
"""How each event that changes a row is taken back, the latest first."""


def _set(session: Session, here: ColumnElement[bool], values: dict[Any, Any]) -> None:
    table = next(iter(values)).class_
    session.execute(
        update(table).where(here).values(values).execution_options(synchronize_session=False)
    )


def rewind_settlement_batches(session: Session, above_block: int) -> None:
    """settlement_batches: batches that ended or were disputed later stand where they stood before."""
    ended = select(SettlementBatch.batch_id).where(SettlementBatch.ended_block > above_block)
    disputed = select(SettlementDispute.batch_id).where(
        SettlementDispute.block_number > above_block
    )
    for batch_id in {*session.scalars(ended), *session.scalars(disputed)}:
        _set(
            session,
            SettlementBatch.batch_id == batch_id,
            {
                SettlementBatch.fee_cents: None,
                SettlementBatch.fee_collector: None,
                SettlementBatch.cancelled_by: None,
                SettlementBatch.reason: None,
                SettlementBatch.ended_block: None,
                **_open_state(session, batch_id, above_block),
            },
        )


def _open_state(session: Session, batch_id: int, block: int) -> dict[Any, Any]:
    """Return status and end of the window of a batch that was open at a block."""
    query = (
        select(SettlementDispute)
        .where(SettlementDispute.batch_id == batch_id, SettlementDispute.block_number <= block)
        .order_by(SettlementDispute.block_number.desc(), SettlementDispute.log_index.desc())
    )
    steps = session.scalars(query).all()
    rejected = [step.until_s for step in steps if step.step is DisputeStep.REJECTED]
    is_disputed = bool(steps) and steps[0].step is DisputeStep.DISPUTED
    state: dict[Any, Any] = {
        SettlementBatch.status: SettlementStatus.DISPUTED
        if is_disputed
        else SettlementStatus.PROPOSED,
        SettlementBatch.finalizable_at_s: rejected[0]
        if rejected
        else _first_window(session, batch_id),
    }
    return state


def _first_window(session: Session, batch_id: int) -> int:
    query = select(ChainEvent.args).join(
        SettlementBatch,
        (SettlementBatch.block_number == ChainEvent.block_number)
        & (SettlementBatch.log_index == ChainEvent.log_index),
    )
    args = session.scalars(query.where(SettlementBatch.batch_id == batch_id)).one()
    return int(args["finalizable_at"])


def rewind_credits(session: Session, above_block: int) -> None:
    """carbon_credits, credit_serials: retired, cancelled, frozen runs are active again, new batches gone."""
    new = CreditBatch.block_number > above_block
    gone = set(session.scalars(select(CreditBatch.batch_id).where(new)))
    theirs = select(CreditSerial.credit_id).join(
        CreditBatch, CreditBatch.batch_id == CreditSerial.batch_id
    )
    doomed = list(session.scalars(theirs.where(new)))
    starts: dict[int, set[int]] = defaultdict(set)
    for table in (CreditRetirement, CreditCancellation):
        query = select(table.batch_id, table.first_serial).where(
            _later(session, table, above_block)
        )
        for batch_id, first in session.execute(query):
            if batch_id not in gone:
                starts[batch_id].add(first)
    for here in among(session, CreditSerial.batch_id, starts):
        runs = select(CreditSerial.credit_id, CreditSerial.batch_id, CreditSerial.first_serial)
        for credit_id, batch_id, first in session.execute(runs.where(here)):
            if first in starts[batch_id]:
                doomed.append(credit_id)
    touched = set(starts)
    for event in _later_events(session, ["StatusChanged"], above_block):
        batch_id = int(event.args["batch_id"])
        if (
            BATCH_STATUS[int(event.args["new_status"])] is BatchStatus.CANCELLED
            and batch_id not in gone
        ):
            touched.add(batch_id)
            doomed += derived.frozen_runs(session, batch_id)
    derived.delete_credits(session, doomed)
    derived.redraw(session, touched)


# ---------------------------------------------------------------------- journals


def _delete_above(table: type[Base]) -> Callable[[Session, int], None]:
    """Return the rewind of a table whose rows carry their block and change no more."""

    def step(session: Session, above_block: int) -> None:
        session.execute(
            delete(table)
            .where(_later(session, table, above_block))
            .execution_options(synchronize_session=False)
        )

    step.__name__ = f"rewind_{table.__tablename__}"
    step.__doc__ = f"{table.__tablename__}: delete what came later."
    return step


def _later(session: Session, table: type[Base], above_block: int) -> ColumnElement[bool]:
    """Return what holds for the rows of later blocks: a part of an index."""
    number = table.__table__.c.block_number
    if table is not CreditRetirement:
        return number > above_block
    # The contract numbers retirements in the order of the chain: from the last one down to what stays.
    stays = (
        select(CreditRetirement.retirement_id)
        .where(number <= above_block)
        .order_by(CreditRetirement.retirement_id.desc())
        .limit(1)
    )
    return CreditRetirement.retirement_id > (session.scalar(stays) or 0)


def rewind_blocks(session: Session, above_block: int) -> None:
    """chain_blocks: forget the blocks."""
    session.execute(
        delete(ChainBlock)
        .where(ChainBlock.number > above_block)
        .execution_options(synchronize_session=False)
    )


def _later_events(session: Session, names: Sequence[str], above_block: int) -> Sequence[ChainEvent]:
    """Return events above a block, the latest first."""
    query = (
        select(ChainEvent)
        .where(ChainEvent.block_number > above_block, ChainEvent.event_name.in_(names))
        .order_by(ChainEvent.block_number.desc(), ChainEvent.log_index.desc())
    )
    return session.scalars(query).all()


REWINDS: tuple[Callable[[Session, int], None], ...] = (
    rewind_holdings,
    rewind_balances,
    rewind_batch_states,
    rewind_credits,
    rewind_settlement_batches,
    settlement.rewind,  # trades and settlement batches of the books: asks the mirror's, so before they go
    _delete_above(CreditTransfer),
    _delete_above(CreditRetirement),
    _delete_above(CreditCancellation),
    _delete_above(CreditInvalidation),
    _delete_above(CreditOverlap),
    _delete_above(CreditBatch),
    _delete_above(CreditSite),
    _delete_above(CreditProject),
    _delete_above(CreditClass),
    _delete_above(SettlementMovement),
    _delete_above(SettlementDispute),
    _delete_above(SettlementTrade),
    _delete_above(SettlementTerm),
    _delete_above(SettlementBatch),
    issuance.rewind,  # asks the intents, so before them
    intents.rewind,
    sightings.rewind,
    contracts_book.rewind,  # asks the transactions that created them, so before those
    _delete_above(ChainEvent),
    transactions.rewind,
    rewind_blocks,
)
"""Every table that a block can change, by the function that takes the change back."""
