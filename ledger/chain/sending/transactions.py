"""The only writer of ``blockchain_transactions`` and ``chain_inclusions``.

The sender records a transaction as *pending* before it is broadcast. The mirror notes in which block
it stands, what it cost and why it failed (``record_included``), says *confirmed* or *failed* once that
block is final (``confirm``), and takes all of it back when a reorganisation removes the block
(``rewind``): ours are pending again, anybody else's are gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from ledger.chain.sending.included import Included
from ledger.db import tables
from ledger.db.behind import Behind
from ledger.models import (
    BlockchainTransaction,
    ChainAttempt,
    ChainBlock,
    ChainInclusion,
    ChainIntent,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState

_ERROR_LENGTH_MAX = 500


@dataclass(frozen=True)
class Outcome:
    """What became of a transaction of our own sender, in a final block."""

    intent_key: str
    tx_hash: str
    block_number: int
    block_time: datetime
    error: str | None


def record_pending(
    session: Session,
    *,
    tx_hash: str,
    contract_address: str,
    function_name: str,
    parameters: Mapping[str, Any],
    created_at: datetime,
) -> None:
    """Record a signed transaction that has not been seen in a block. For the sender alone."""
    session.add(
        BlockchainTransaction(
            tx_hash=tx_hash,
            contract_address=contract_address,
            function_name=function_name,
            parameters=dict(parameters),
            status=TransactionStatus.PENDING,
            created_at=created_at,
        )
    )


def record_included(later: Behind, items: Sequence[Included], final_number: int = 0) -> None:
    """Record transactions with the blocks they stand in. For the mirror alone.

    They stay pending, except those of others in blocks up to ``final_number``: nothing else is to be told
    of these, so they are what they will stay. One of ours that had failed unseen, as its nonce had gone to another
    for good, and that a fork brought into a block, is pending again.
    """
    if not items:
        return
    session = later.session
    hashes = [item.tx_hash for item in items]
    known = _known(session, hashes)
    keys = _intent_keys(session, hashes)
    fresh = [item for item in items if item.tx_hash not in known]
    done = [item.block_number <= final_number and item.tx_hash not in keys for item in fresh]
    ours = [item for item in items if item.tx_hash in known]
    if ours:
        session.connection().execute(
            update(BlockchainTransaction)
            .where(BlockchainTransaction.tx_hash == bindparam("b_hash"))
            .values(gas_used=bindparam("b_used"), gas_price=bindparam("b_price")),
            [
                {"b_hash": item.tx_hash, "b_used": item.gas_used, "b_price": item.gas_price_wei}
                for item in ours
            ],
        )
        sent = [item.tx_hash for item in ours if item.tx_hash in keys]
        _set_status(session, [(tx_hash, TransactionStatus.PENDING, None) for tx_hash in sent])
    session.expire_all()
    _insert_fresh(later, fresh, done)
    tables.insert_behind(
        later,
        ChainInclusion,
        {
            "tx_hash": hashes,
            "block_number": [item.block_number for item in items],
            "block_hash": [item.block_hash for item in items],
            "tx_index": [item.tx_index for item in items],
            "sender": [item.sender for item in items],
            "nonce": [item.nonce for item in items],
            "intent_key": [keys.get(tx_hash) for tx_hash in hashes],
            "error": [item.error and item.error[:_ERROR_LENGTH_MAX] for item in items],
        },
    )


def confirm(session: Session, above_block: int, up_to_block: int) -> list[Outcome]:
    """Give their last status to the transactions of blocks that became final. For the mirror alone.

    Other attempts of the same intent that stand in no block can no longer come true: they failed.

    Parameters
    ----------
    above_block
        The last block that was final before.
    up_to_block
        The last block that is final now.

    Returns
    -------
    list[Outcome]
        The transactions of our own sender, in the order of the chain.
    """
    query = (
        select(
            ChainInclusion.tx_hash,
            ChainInclusion.intent_key,
            ChainInclusion.block_number,
            ChainInclusion.error,
            ChainBlock.block_time,
        )
        .join(ChainBlock, ChainBlock.number == ChainInclusion.block_number)
        .join(BlockchainTransaction, BlockchainTransaction.tx_hash == ChainInclusion.tx_hash)
        .where(
            ChainInclusion.block_number > above_block,
            ChainInclusion.block_number <= up_to_block,
            BlockchainTransaction.status == TransactionStatus.PENDING,
        )
        .order_by(ChainInclusion.block_number, ChainInclusion.tx_index)
    )
    found = session.execute(query).all()
    if found:
        _set_status(
            session,
            [
                (
                    row.tx_hash,
                    TransactionStatus.CONFIRMED if row.error is None else TransactionStatus.FAILED,
                    row.block_time,
                )
                for row in found
            ],
        )
    outcomes = [
        Outcome(row.intent_key, row.tx_hash, row.block_number, row.block_time, row.error)
        for row in found
        if row.intent_key is not None
    ]
    _fail_replaced(session, outcomes)
    return outcomes


def left_open(session: Session, final_number: int) -> list[Outcome]:
    """Return failed transactions of final blocks whose intents are open: others had done it, in blocks above these.

    For the mirror alone. Where the chain has taken that back, nobody else ends them.
    """
    query = (
        select(
            ChainAttempt.intent_key,
            ChainInclusion.tx_hash,
            ChainInclusion.block_number,
            ChainBlock.block_time,
            ChainInclusion.error,
        )
        .join(ChainAttempt, ChainAttempt.tx_hash == ChainInclusion.tx_hash)
        .join(ChainIntent, ChainIntent.key == ChainAttempt.intent_key)
        .join(ChainBlock, ChainBlock.number == ChainInclusion.block_number)
        .where(
            ChainIntent.state == IntentState.SUBMITTED,
            ChainIntent.nonce == ChainInclusion.nonce,
            ChainInclusion.block_number <= final_number,
            ChainInclusion.error.is_not(None),
        )
        .order_by(ChainInclusion.block_number, ChainInclusion.tx_index)
    )
    return [Outcome(*row) for row in session.execute(query)]


def fail_replaced(session: Session, hashes: Sequence[str], at: datetime) -> None:
    """Fail attempts of ours that can no longer come true: another transaction did it, or has their nonce for good.

    One that stands in a block itself, where it failed, has its end from there.
    """
    if left := _not_mined(session, hashes):
        _set_status(session, [(tx_hash, TransactionStatus.FAILED, at) for tx_hash in left])


def reopen(session: Session, hashes: Sequence[str], above_block: int) -> None:
    """Make attempts of ours pending again that had failed as another transaction did it, above a block that stays."""
    if left := _not_mined(session, hashes, above_block):
        _set_status(session, [(tx_hash, TransactionStatus.PENDING, None) for tx_hash in left])


def _not_mined(session: Session, hashes: Sequence[str], up_to: int | None = None) -> list[str]:
    """Return those of some transactions that stand in no block, or in none up to one."""
    mined: set[str] = set()
    for here in tables.among(session, ChainInclusion.tx_hash, hashes):
        query = select(ChainInclusion.tx_hash).where(here)
        if up_to is not None:
            query = query.where(ChainInclusion.block_number <= up_to)
        mined.update(session.scalars(query))
    return [tx_hash for tx_hash in hashes if tx_hash not in mined]


def rewind(session: Session, above_block: int) -> None:
    """Forget the blocks above one; attempts of ours are pending again. For the mirror alone."""
    rows = session.execute(
        select(ChainInclusion.tx_hash, ChainInclusion.intent_key).where(
            ChainInclusion.block_number > above_block
        )
    ).all()
    if not rows:
        return
    keys = [row.intent_key for row in rows if row.intent_key is not None]
    foreign = [row.tx_hash for row in rows if row.intent_key is None]
    session.execute(delete(ChainInclusion).where(ChainInclusion.block_number > above_block))
    for here in tables.among(session, BlockchainTransaction.tx_hash, foreign):
        session.execute(
            delete(BlockchainTransaction).where(here).execution_options(synchronize_session=False)
        )
    for here in tables.among(session, ChainAttempt.intent_key, keys):
        ours = select(ChainAttempt.tx_hash).where(here)
        session.execute(
            update(BlockchainTransaction)
            .where(BlockchainTransaction.tx_hash.in_(ours))
            .values(
                status=TransactionStatus.PENDING, gas_used=None, gas_price=None, confirmed_at=None
            )
            .execution_options(synchronize_session=False)
        )
    session.expire_all()


def _insert_fresh(later: Behind, items: Sequence[Included], done: Sequence[bool]) -> None:
    """Insert transactions that nobody recorded before; ``done`` are those that are final already."""
    ended = (TransactionStatus.FAILED, TransactionStatus.CONFIRMED)
    times = {item.block_number: item.block_time for item in items}  # one object a block, see tables
    tables.insert_behind(
        later,
        BlockchainTransaction,
        {
            "tx_hash": [item.tx_hash for item in items],
            "contract_address": [item.contract_address for item in items],
            "function_name": [item.function_name for item in items],
            "parameters": [item.parameters for item in items],
            "status": [
                ended[item.error is None] if is_done else TransactionStatus.PENDING
                for item, is_done in zip(items, done, strict=True)
            ],
            "gas_used": [item.gas_used for item in items],
            "gas_price": [item.gas_price_wei for item in items],
            "created_at": [times[item.block_number] for item in items],
            "confirmed_at": [
                times[item.block_number] if is_done else None
                for item, is_done in zip(items, done, strict=True)
            ],
        },
        ready=("parameters",),
    )


def _set_status(
    session: Session, items: Sequence[tuple[str, TransactionStatus, datetime | None]]
) -> None:
    """Give transactions their status: those of one block by one statement, not one for each row."""
    alike: dict[tuple[TransactionStatus, datetime | None], list[str]] = defaultdict(list)
    for tx_hash, status, at in items:
        alike[status, at].append(tx_hash)
    for (status, at), hashes in alike.items():
        for here in tables.among(session, BlockchainTransaction.tx_hash, hashes):
            session.execute(
                update(BlockchainTransaction)
                .where(here)
                .values(status=status, confirmed_at=at)
                .execution_options(synchronize_session=False)
            )
    session.expire_all()


def _fail_replaced(session: Session, outcomes: Sequence[Outcome]) -> None:
    times = {outcome.intent_key: outcome.block_time for outcome in outcomes}
    ended = dict[str, datetime]()
    for here in tables.among(session, ChainAttempt.intent_key, times):
        query = select(ChainAttempt.tx_hash, ChainAttempt.intent_key).where(here)
        ended.update((row.tx_hash, times[row.intent_key]) for row in session.execute(query))
    left = _not_mined(session, list(ended))
    _set_status(session, [(tx_hash, TransactionStatus.FAILED, ended[tx_hash]) for tx_hash in left])


def _known(session: Session, hashes: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for here in tables.among(session, BlockchainTransaction.tx_hash, hashes):
        found.update(session.scalars(select(BlockchainTransaction.tx_hash).where(here)))
    return found


def _intent_keys(session: Session, hashes: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for here in tables.among(session, ChainAttempt.tx_hash, hashes):
        query = select(ChainAttempt.tx_hash, ChainAttempt.intent_key).where(here)
        found.update((row.tx_hash, row.intent_key) for row in session.execute(query))
    return found
