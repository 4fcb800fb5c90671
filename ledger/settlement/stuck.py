"""Batches that wait for a person: their credits do not move, or a trade is disputed; and what stands behind them.

The contract finalises in order, so that one such batch holds up all later ones. Whether its credits will move again
(they are suspended) or never (they are over) is not ours to know: a person cancels the batch, or waits. A dispute is
an arbiter's to decide until it times out; then the batch can only be cancelled, and that is a person's word, too.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import tables
from ledger.errors import Refused
from ledger.models import (
    ChainBlock,
    CreditBatch,
    SettlementBatch,
    SettlementDispute,
    VppSettlementBatch,
)
from ledger.models.credits import BatchStatus
from ledger.models.escrow import CURRENCY, SettlementStatus
from ledger.models.settlement import BatchState


def refusal(batch_key: str, why: str) -> Refused:
    """Return the error of a batch of ours whose credits do not move, and the way out."""
    return Refused(
        f"settlement batch {batch_key} cannot be finalised, and those behind it wait: its credits "
        f"do not move; {_way_out(_cancel(batch_key))} ({why})",
        code="credits-do-not-move",
        details={"batch_key": batch_key},
    )


def refuse_timed_out(
    session: Session, batch_id: int, now: datetime, *, holds_up: bool = False
) -> None:
    """Refuse to wait in silence for a dispute that nobody decides any more.

    Parameters
    ----------
    batch_id
        Number in the contract of the batch that is the next to be finalised.
    now
        The time by the chain's clock.
    holds_up
        Whether batches of ours wait for it: only then one of others concerns these books.

    Raises
    ------
    Refused
        If that batch is disputed, and the dispute has timed out.
    """
    batch = session.get(SettlementBatch, batch_id)
    if batch is None or batch.status is not SettlementStatus.DISPUTED:
        return
    until = disputed_until(session, batch)
    if until is None or until > now or not (holds_up or is_ours(session, batch.key)):
        return
    raise Refused(
        f"settlement batch {batch.key} cannot be finalised, and those behind it wait: "
        f"{_out_of_dispute(session, batch, until, now)}",
        code="dispute-timed-out",
        details={"batch_key": batch.key},
    )


def why_held_up(session: Session, batch: VppSettlementBatch) -> tuple[str, str] | None:
    """Return why a proposed batch cannot be finalised, and what to do; None: it can, as far as the books know."""
    open_before = (
        select(SettlementBatch)
        .where(
            SettlementBatch.status.in_((SettlementStatus.PROPOSED, SettlementStatus.DISPUTED)),
            SettlementBatch.batch_id <= batch.chain_batch_id,
        )
        .order_by(SettlementBatch.batch_id)
    )
    for first in session.scalars(open_before):
        where = "" if first.key == batch.batch_key else f", in batch {first.key} before it"
        until = disputed_until(session, first)
        if until is not None:
            way_out = _out_of_dispute(session, first, until, chain_time(session))
            return f"a trade is disputed{where}", way_out
        why = credits_held_up(session, first)
        if why is not None:
            return f"{why} and do not move{where}", _way_out(_cancel(first.key))
    return None


def is_anybodys(session: Session, batch: SettlementBatch) -> bool:
    """Return whether the contract lets anybody cancel an open batch, as far as the books know.

    That is one whose dispute timed out, or whose credits do not move: who proposed it may be gone, and all behind it
    wait. (It lets anybody after a long pause as well, which `settle cancel` does not ask about.)
    """
    if batch.status is SettlementStatus.DISPUTED:
        until = disputed_until(session, batch)
        if until is not None and until <= chain_time(session):
            return True
    is_open = batch.status in (SettlementStatus.PROPOSED, SettlementStatus.DISPUTED)
    return is_open and credits_held_up(session, batch) is not None


def alarms(session: Session) -> list[str]:
    """Return a sentence for each disputed batch of these books: all behind it wait for an arbiter.

    One whose dispute has timed out is told by the job ``finalise``, which fails for it.
    """
    query = (
        select(SettlementBatch)
        .join(VppSettlementBatch, VppSettlementBatch.batch_key == SettlementBatch.key)
        .where(SettlementBatch.status == SettlementStatus.DISPUTED)
        .order_by(SettlementBatch.batch_id)
    )
    now, found = chain_time(session), []
    for batch in session.scalars(query):
        until = disputed_until(session, batch)
        if until is not None and until > now:
            found.append(
                f"settlement batch {batch.key}: a trade is disputed, and the batches behind it wait; "
                f"{_out_of_dispute(session, batch, until, now)}"
            )
    return found


def chain_time(session: Session) -> datetime:
    """Return the time by which the contract goes, as far as it is mirrored: that of the newest block."""
    return _newest_block_time(session) or datetime.now(UTC)


def credits_held_up(session: Session, batch: SettlementBatch) -> str | None:
    """Return why the credits of a batch do not move: they are suspended, say; None: they move, or it has none."""
    credits = session.get(CreditBatch, batch.asset) if batch.asset != CURRENCY else None
    state = None if credits is None else _unmoving(session, credits)
    return None if state is None else f"credits of batch {batch.asset} are {state.value}"


def unmoving(session: Session, assets: Collection[int]) -> dict[int, str]:
    """Return the status of those credits that do not move (suspended, say), by number, as far as the books know."""
    return {
        credits.batch_id: state.value
        for here in tables.among(session, CreditBatch.batch_id, assets)
        for credits in session.scalars(select(CreditBatch).where(here))
        if (state := _unmoving(session, credits)) is not None
    }


def _unmoving(session: Session, credits: CreditBatch) -> BatchStatus | None:
    if _is_over(session, credits):
        return BatchStatus.EXPIRED
    return None if credits.status is BatchStatus.ACTIVE else credits.status


def _is_over(session: Session, credits: CreditBatch) -> bool:
    if not credits.expires_at_s:
        return False
    now = _newest_block_time(session)
    return now is not None and credits.expires_at_s <= now.timestamp()


def _newest_block_time(session: Session) -> datetime | None:
    newest = select(ChainBlock.block_time).order_by(ChainBlock.number.desc()).limit(1)
    return session.scalar(newest)


def disputed_until(session: Session, batch: SettlementBatch) -> datetime | None:
    """Return when the dispute over a batch times out; None: nobody disputes it, as far as the books know."""
    if batch.status is not SettlementStatus.DISPUTED:
        return None
    last = (
        select(SettlementDispute.until_s)
        .where(SettlementDispute.batch_id == batch.batch_id)
        .order_by(SettlementDispute.block_number.desc(), SettlementDispute.log_index.desc())
        .limit(1)
    )
    until_s = session.scalars(last).first()
    return None if until_s is None else datetime.fromtimestamp(until_s, UTC)


def _out_of_dispute(
    session: Session, batch: SettlementBatch, until: datetime, now: datetime
) -> str:
    when = f"{until:%Y-%m-%d %H:%M:%S} UTC"
    if until <= now:
        return (
            f"the dispute timed out at {when}, nobody can reject it any more: {_cancel(batch.key)}"
        )
    cancel = _how_to_cancel(session, batch.key)
    return (
        f"an arbiter decides, until {when} (truetonne settle reject {batch.key} rejects the dispute); after that the "
        f"batch can only be cancelled. Whoever agrees with the dispute need not wait: {cancel}"
    )


def _way_out(how_to_cancel: str) -> str:
    return f"wait until they move again; where they never will, {how_to_cancel}"


def _how_to_cancel(session: Session, batch_key: str) -> str:
    if is_ours(session, batch_key):
        return _cancel(batch_key)
    return "its operator or an arbiter can cancel it (it is no batch of these books)"


def _cancel(batch_key: str) -> str:
    return f"truetonne settle cancel {batch_key} --reason WHY lets the batches behind it go on"


def is_ours(session: Session, batch_key: str) -> bool:
    """Return whether a batch on chain is one of these books; one that failed here is not: others used up its key."""
    ours = select(VppSettlementBatch.id).where(
        VppSettlementBatch.batch_key == batch_key, VppSettlementBatch.state != BatchState.FAILED
    )
    return session.scalars(ours).first() is not None
