"""What the mirror calls when the chain has spoken about a settlement batch.

At the head a batch is *proposed*, *finalized* or *cancelled* as its events say, and a reorganisation
takes that back. Only when the block that finalised it is final are its trades *executed*, with the
block's time as ``settlement_time``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import Exists, Select, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from ledger import audit
from ledger.chain.contracts.events import (
    BatchCancelled,
    BatchFinalized,
    BatchProposed,
    DisputeResolved,
)
from ledger.chain.sending import intents
from ledger.db import tables
from ledger.db.counting import rows_found
from ledger.models import (
    AuditLog,
    ChainBlock,
    ChainIntent,
    SettlementBatch,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.escrow import CURRENCY
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import renumbered
from ledger.settlement.elsewhere import Accounts, SettledElsewhere, assets_of, settled_elsewhere
from ledger.settlement.finding import resource_of, trades_among
from ledger.settlement.words import hex_words, trade_of

log = logging.getLogger(__name__)

_UNDONE = (TradeStatus.PENDING, TradeStatus.FAILED)
"""Trades that the chain may settle all the same: one fails for want of funds, and signatures for it may hold."""
_NOT_YET = (*_UNDONE, TradeStatus.CANCELLED)
"""Those, and such as a person took out, while somebody else settles them: their money moves."""
TAKEN_OUT = "trades.cancel"
"""What the audit log calls it when a person cancels a trade."""
EXECUTED = "trades.execute"
"""What the audit log calls it when the chain settles a trade that was cancelled here."""
_ALL_THE_SAME = "the chain settled it all the same, in no batch of these books"
_ENDED = (TradeStatus.EXECUTED, TradeStatus.CANCELLED)
"""What the end of a batch makes of its trades. One that failed, of a batch that was given up, stays so until then."""


def proposed(session: Session, event: BatchProposed, block_number: int) -> None:
    """Note that a batch of ours was proposed; batches of others have no row to change.

    The key alone does not show that it is ours: another party may have seen it in the pool and used it for a batch of
    its own. So the trades must be the same (by their root), and the asset, which the root does not cover.
    """
    batch = _ours(session, event.key)
    if batch is None:
        return
    if (batch.trades_root, batch.asset or CURRENCY) != (event.trades_root, event.asset):
        return
    if batch.state is BatchState.FAILED and not _revive(session, batch, event):
        return
    if batch.finalize_key is not None and not _is_about(session, batch.finalize_key, event):
        batch.finalize_key = None
    batch.state = BatchState.PROPOSED
    batch.chain_batch_id = event.batch_id
    batch.finalizable_at = datetime.fromtimestamp(event.finalizable_at, UTC)
    batch.proposed_block = block_number
    _touch(batch)


def _is_about(session: Session, key: str, event: BatchProposed) -> bool:
    """Return whether a call finalises this very proposal: it may be about one that a fork took back."""
    call = session.get(ChainIntent, key)
    return call is not None and intents.first_number(call) == event.batch_id


def _revive(session: Session, batch: VppSettlementBatch, event: BatchProposed) -> bool:
    """Take up a batch again that was given up here, and that somebody settled with its parties' signatures.

    If one of its trades stands in another batch by now, or has another number, it is not taken up: the next settlement
    withdraws that other batch, gives the trade its number back (``numbers``), and takes this one up (``forgotten``).
    Until then its trades are found one by one (``elsewhere``).
    """
    trades = [trade_of(event.accounts, word) for word in event.words]
    if renumbered.left(session, trades, batch.created_at):
        return False
    numbers = [trade.seq for trade in trades]
    for here in tables.among(session, VppSettlementItem.trade_id, numbers):
        if session.scalars(select(VppSettlementItem.id).where(here).limit(1)).first() is not None:
            return False
    session.add_all(
        VppSettlementItem(batch_id=batch.id, trade_id=number, word=word)
        for number, word in zip(numbers, hex_words(event.words), strict=True)
    )
    batch.error = None
    session.flush()
    return True


def reopened(session: Session, event: DisputeResolved) -> None:
    """Note that a dispute over a batch of ours was rejected: its window has a new end."""
    batch = _ours(session, event.key, event.batch_id)
    if batch is not None:
        batch.finalizable_at = datetime.fromtimestamp(event.finalizable_at, UTC)
        _touch(batch)


def finalized(session: Session, event: BatchFinalized, block_number: int) -> None:
    """Note that a batch of ours was finalised; its trades wait for the block to be final."""
    batch = _ours(session, event.key, event.batch_id)
    if batch is None:
        return
    batch.state = BatchState.FINALIZED
    batch.finalized_block = block_number
    _touch(batch)


def cancelled(session: Session, event: BatchCancelled, block_number: int) -> None:
    """Note that a proposal of ours was cancelled; its trades are cancelled once that is final."""
    batch = _ours(session, event.key, event.batch_id)
    if batch is None:
        return
    batch.state = BatchState.CANCELLED
    batch.finalized_block = block_number
    batch.error = event.reason
    _touch(batch)


def settle_final(session: Session, final_number: int, before: int = 0) -> int:
    """Execute the trades of batches that were finalised in final blocks; return how many trades changed.

    Trades of proposals that were cancelled in final blocks become cancelled. Trades that were settled in no batch of
    these books are executed as well; they are looked for in blocks above ``before`` alone, up to ``final_number``.
    """
    changed = _settle_elsewhere(session, (before, final_number))
    outcomes = {
        BatchState.FINALIZED: TradeStatus.EXECUTED,
        BatchState.CANCELLED: TradeStatus.CANCELLED,
    }
    query = (
        select(VppSettlementBatch.id, VppSettlementBatch.state, ChainBlock.block_time)
        .join(ChainBlock, ChainBlock.number == VppSettlementBatch.finalized_block)
        .where(
            VppSettlementBatch.state.in_(outcomes),
            VppSettlementBatch.finalized_block <= final_number,
            VppSettlementBatch.id.in_(_with_undone_trades()),
        )
    )
    for batch_id, state, block_time in session.execute(query).all():
        trades = select(VppSettlementItem.trade_id).where(VppSettlementItem.batch_id == batch_id)
        executed = state is BatchState.FINALIZED
        undone = _NOT_YET if executed else _UNDONE
        if executed:  # taken out here while others had proposed it, in a batch that the books have taken over since
            those = VppTradingRecord.id.in_(trades)
            taken_out = those & (VppTradingRecord.status == TradeStatus.CANCELLED)
            for record in session.scalars(select(VppTradingRecord).where(taken_out)):
                _say_settled(session, record, "it stood in a batch that others had proposed")
        changed += rows_found(
            session,
            update(VppTradingRecord)
            .where(VppTradingRecord.id.in_(trades), VppTradingRecord.status.in_(undone))
            .values(status=outcomes[state], settlement_time=block_time if executed else None)
            .execution_options(synchronize_session=False),
        )
    return changed


def _settle_elsewhere(session: Session, final_numbers: tuple[int, int]) -> int:
    """Execute the trades that were settled in no batch of ours, in blocks that became final."""
    undone = select(VppTradingRecord.id).where(VppTradingRecord.status.in_(_NOT_YET))
    if session.scalar(undone.limit(1)) is None:
        return 0
    return execute(session, settled_elsewhere(session, *final_numbers))


def execute(session: Session, found: Sequence[SettledElsewhere]) -> int:
    """Execute trades of the books that the chain settled in no batch of ours, in final blocks; return how many.

    One that was cancelled here, too: its money has moved. The audit log says so.
    """
    changed = 0
    for record, at in records_of(session, found):
        if record.status is TradeStatus.EXECUTED:
            continue
        if record.status is TradeStatus.CANCELLED:
            _say_settled(session, record, _ALL_THE_SAME)
        record.status, record.settlement_time = TradeStatus.EXECUTED, at
        changed += 1
    return changed


def _say_settled(session: Session, record: VppTradingRecord, reason: str) -> None:
    """Note that the chain settled a trade that was cancelled here."""
    new = {"status": TradeStatus.EXECUTED.value, "reason": reason}
    audit.record(session, EXECUTED, resource_of(record.id), {"status": record.status.value}, new)
    log.warning("trade %s was cancelled here, and settled: %s", record.id, reason)


def _were_cancelled(session: Session, numbers: Iterable[int]) -> set[int]:
    """Return which trades a person had taken out, or had ended with their batch, before the chain settled them."""
    by_resource = {resource_of(number): number for number in numbers}
    found: set[int] = set()
    for here in tables.among(session, AuditLog.resource, by_resource):
        told = AuditLog.action.in_((EXECUTED, TAKEN_OUT))
        query = select(AuditLog.resource).where(here, told, renumbered.of_the_same_trade())
        found.update(by_resource[resource] for resource in session.scalars(query))
    return found


def records_of(
    session: Session, found: Sequence[SettledElsewhere]
) -> Iterator[tuple[VppTradingRecord, datetime]]:
    """Yield the trades of the books that were settled so: with the same parties, figures and credits."""
    if not found:
        return
    accounts = Accounts.load(session)
    records = trades_among(session, [item.trade.seq for item in found])
    assets = assets_of(session, records)
    for item in found:
        record = records.get(item.trade.seq)
        same_asset = assets.get(item.trade.seq) == item.asset
        if record is not None and same_asset and accounts.is_of(record, item.trade):
            yield record, item.at


def fail(session: Session, key: str, error: str) -> None:
    """Free the trades of a batch that was refused before it was sent, or whose proposal failed in a final block."""
    query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == key)
    batch = session.scalars(query.with_for_update()).first()  # none: a trade by itself
    if batch is not None and batch.state is BatchState.PLANNED:
        fail_batch(session, batch, error, datetime.now(UTC))


def fail_batch(session: Session, batch: VppSettlementBatch, error: str, at: datetime) -> None:
    """Fail a batch of which nothing is on chain, and free its trades.

    Parameters
    ----------
    at
        From when its market rests before the next batch (``planning``).
    """
    batch.state, batch.error, batch.updated_at = BatchState.FAILED, error, at
    session.execute(delete(VppSettlementItem).where(VppSettlementItem.batch_id == batch.id))


def rewind(session: Session, above_block: int) -> None:
    """Take back what was learnt above a block: trades are pending again, batches as they were.

    The mirror's own batches stand where they stood already; what was settled above is still there.
    """
    _rewind_elsewhere(session, above_block)
    undone = select(VppSettlementBatch.id).where(VppSettlementBatch.finalized_block > above_block)
    trades = select(VppSettlementItem.trade_id).where(VppSettlementItem.batch_id.in_(undone))
    ended = VppTradingRecord.id.in_(trades) & VppTradingRecord.status.in_(_ENDED)
    numbers = session.scalars(select(VppTradingRecord.id).where(ended)).all()
    taken_out = VppTradingRecord.id.in_(_were_cancelled(session, numbers))
    for those, status in (
        (taken_out, TradeStatus.CANCELLED),
        (~taken_out & _had_failed(), TradeStatus.FAILED),
        (~taken_out, TradeStatus.PENDING),
    ):
        session.execute(
            update(VppTradingRecord)
            .where(ended, those)
            .values(status=status, settlement_time=None)
            .execution_options(synchronize_session=False)
        )
    now = datetime.now(UTC)
    session.execute(
        update(VppSettlementBatch)
        .where(VppSettlementBatch.finalized_block > above_block)
        .values(state=BatchState.PROPOSED, finalized_block=None, error=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(VppSettlementBatch)
        .where(VppSettlementBatch.proposed_block > above_block)
        .values(
            state=BatchState.PLANNED,
            chain_batch_id=None,
            finalizable_at=None,
            proposed_block=None,
            updated_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    session.expire_all()
    _reopen(session)


def _rewind_elsewhere(session: Session, above_block: int) -> None:
    for record, _ in records_of(session, settled_elsewhere(session, above_block, None)):
        if record.status is TradeStatus.EXECUTED:
            record.status, record.settlement_time = _before(session, record), None
    session.flush()


def _before(session: Session, record: VppTradingRecord) -> TradeStatus:
    """Return what a trade was when the chain settled it. What had ended stays so: the next run would settle it."""
    if _were_cancelled(session, [record.id]):
        return TradeStatus.CANCELLED
    failed = select(VppTradingRecord.id).where(VppTradingRecord.id == record.id, _had_failed())
    return TradeStatus.PENDING if session.scalar(failed) is None else TradeStatus.FAILED


def _had_failed() -> Exists:
    """Return the condition that a trade had failed for want of funds: who opens or plans it takes that back."""
    return exists().where(
        VppTradeShortfall.trade_id == VppTradingRecord.id, VppTradeShortfall.failed_at.is_not(None)
    )


def _reopen(session: Session) -> None:
    """Give batches that are proposed the window that the mirror has for them."""
    query = (
        select(VppSettlementBatch, SettlementBatch.finalizable_at_s)
        .join(SettlementBatch, SettlementBatch.key == VppSettlementBatch.batch_key)
        .where(VppSettlementBatch.state == BatchState.PROPOSED)
    )
    for batch, finalizable_at_s in session.execute(query).all():
        finalizable_at = datetime.fromtimestamp(finalizable_at_s, UTC)
        if batch.finalizable_at != finalizable_at:
            batch.finalizable_at = finalizable_at
            _touch(batch)
    session.flush()


def _with_undone_trades() -> Select[int]:
    status, finalized = VppTradingRecord.status, VppSettlementBatch.state == BatchState.FINALIZED
    return (
        select(VppSettlementItem.batch_id)
        .join(VppTradingRecord, VppTradingRecord.id == VppSettlementItem.trade_id)
        .join(VppSettlementBatch, VppSettlementBatch.id == VppSettlementItem.batch_id)
        .where(or_(status.in_(_UNDONE), finalized & (status == TradeStatus.CANCELLED)))
    )


def _ours(
    session: Session, key: str, chain_batch_id: int | None = None
) -> VppSettlementBatch | None:
    query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == key)
    if chain_batch_id is not None:
        query = query.where(VppSettlementBatch.chain_batch_id == chain_batch_id)
    return session.scalars(query).one_or_none()


def _touch(batch: VppSettlementBatch) -> None:
    batch.updated_at = datetime.now(UTC)
