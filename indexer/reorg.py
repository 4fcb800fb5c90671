"""Taking blocks back: find the last block that is still canonical, and rewind every table above it.

``REWINDS`` names every table that a block can change, in the order in which they are rewound: what is
derived first, while the rows that it follows from are still there; children before parents. One
transaction rewinds all of them and moves the cursor, so nobody ever sees half of it. The state after a
rewind is the state that a fresh mirror of the surviving blocks would have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from indexer import derived
from indexer.handlers.credit import STATUS
from ledger import issuance
from ledger.chain import intents, transactions
from ledger.chain.client import BlockHeader, ChainClient
from ledger.chain.events import ZERO_ADDRESS
from ledger.db import Database
from ledger.models import (
    Base,
    ChainBlock,
    ChainEvent,
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditProject,
    CreditRetirement,
    CreditSerial,
    CreditSite,
    CreditTransfer,
    SettlementMovement,
)
from ledger.settlement import confirm as settlement

_FIRST_LOOK = 8
"""Blocks asked at first; every further look is twice as long."""


def common_ancestor(db: Database, client: ChainClient, below: int) -> BlockHeader | None:
    """Return the highest stored block under a number that the node still has; None when there is none."""
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
        for (_, stored_hash), header in zip(stored, headers, strict=True):
            if header is not None and header.hash == stored_hash:
                return header
        below = stored[-1].number
        size *= 2


def rewind(session: Session, above_block: int) -> None:
    """Take back everything that blocks above one brought, in every table."""
    session.flush()
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
    changes: dict[str, int] = defaultdict(int)
    query = select(SettlementMovement.account, SettlementMovement.amount).where(
        SettlementMovement.block_number > above_block
    )
    for account, units in session.execute(query):
        changes[account] -= int(units)
    derived.add_balances(session, changes)


def rewind_batch_states(session: Session, above_block: int) -> None:
    """credit_batches and credit_classes: give back totals, statuses and caps that later events changed."""
    for table, column in (
        (CreditRetirement, CreditBatch.retired_kg),
        (CreditCancellation, CreditBatch.cancelled_kg),
    ):
        taken: dict[int, int] = defaultdict(int)
        query = select(table.batch_id, table.amount_kg).where(table.block_number > above_block)
        for batch_id, kg in session.execute(query):
            taken[batch_id] += kg
        for batch_id, kg in taken.items():
            session.execute(
                update(CreditBatch)
                .where(CreditBatch.batch_id == batch_id)
                .values({column: column - kg})
                .execution_options(synchronize_session=False)
            )
    for event in _later_events(session, ("StatusChanged", "ClassCapChanged"), above_block):
        args = event.args
        if event.event_name == "StatusChanged":
            change = (
                update(CreditBatch)
                .where(CreditBatch.batch_id == int(args["batch_id"]))
                .values(status=STATUS[int(args["old_status"])])
            )
        else:
            change = (
                update(CreditClass)
                .where(CreditClass.class_id == int(args["class_id"]))
                .values(cap_kg=int(args["old_cap"]))
            )
        session.execute(change.execution_options(synchronize_session=False))


def rewind_credits(session: Session, above_block: int) -> None:
    """carbon_credits and credit_serials: retired and cancelled runs are active again, new batches gone."""
    gone = session.scalars(
        select(CreditBatch.batch_id).where(CreditBatch.block_number > above_block)
    ).all()
    touched = set()
    doomed: list[str] = []
    for batch_id in gone:
        doomed += session.scalars(
            select(CreditSerial.credit_id).where(CreditSerial.batch_id == batch_id)
        ).all()
    for table in (CreditRetirement, CreditCancellation):
        query = select(table.batch_id, table.first_serial).where(table.block_number > above_block)
        for batch_id, first in session.execute(query).all():
            if batch_id in gone:
                continue
            touched.add(batch_id)
            doomed += session.scalars(
                select(CreditSerial.credit_id).where(
                    CreditSerial.batch_id == batch_id, CreditSerial.first_serial == first
                )
            ).all()
    derived.delete_credits(session, doomed)
    derived.split_serials(session, touched, [], {})


# ---------------------------------------------------------------------- journals


def _delete_above(table: type[Base]) -> Callable[[Session, int], None]:
    """Return the rewind of a table whose rows carry their block and change no more."""

    def step(session: Session, above_block: int) -> None:
        column = table.__table__.c.block_number
        session.execute(
            delete(table).where(column > above_block).execution_options(synchronize_session=False)
        )

    step.__name__ = f"rewind_{table.__tablename__}"
    step.__doc__ = f"{table.__tablename__}: delete what came later."
    return step


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
    _delete_above(CreditTransfer),
    _delete_above(CreditRetirement),
    _delete_above(CreditCancellation),
    _delete_above(CreditBatch),
    _delete_above(CreditSite),
    _delete_above(CreditProject),
    _delete_above(CreditClass),
    _delete_above(SettlementMovement),
    settlement.rewind,  # trades and settlement batches
    issuance.rewind,  # asks the intents, so before them
    intents.rewind,
    _delete_above(ChainEvent),
    transactions.rewind,
    rewind_blocks,
)
"""Every table that a block can change, by the function that takes the change back."""
