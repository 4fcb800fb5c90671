"""Finalises proposed batches whose window is over: ours, and those of others that ours wait for.

The contract finalises batches in order. So a round goes from one to the next for as long as the contract takes them,
and plans no call that would be refused. Only the mirror says that a trade is settled (``confirm``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.failures.explanations import explain
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.errors import Refused
from ledger.models import ChainIntent, SettlementBatch, VppSettlementBatch
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.settlement import ended, skipping, stuck
from ledger.settlement.calls import FINALIZE, SKIP, call_of, outcome_of, under_way

OTHERS_FIRST = timedelta(minutes=5)
"""How long others have to finalise their batch before we do it: of two such calls one would cost gas for nothing."""
_MINED_AT_ONCE_S = 0.5
_MET = ("AssetNotTransferable", "BatchNotProposed", "OutOfOrder", "WindowOpen")
"""Refusals of a finalisation that the round itself goes by."""


def finalize_due(chain: Chain) -> list[str]:
    """Finalise the proposed batches whose window has passed; return the transactions' hashes.

    - A call can be tried only when the batch before it is finalised in a block. On a chain that makes a block for each
      transaction all due batches are sent in one round; elsewhere each round sends one, and ``settle run`` and the job
      go on with the next block.
    - While an earlier batch of others is open, ours wait. It is finalised here if they have not done so for a while
      after its window (``OTHERS_FIRST``).
    - Batches that are closed already may keep the contract from finding the next one; they are passed (``skipping``).
    - Calls about batches that have ended meanwhile are given up (``ended``).
    - The first refusal ends the round. The next round goes on from there.

    Raises
    ------
    Refused
        If the next one's credits do not move, if a dispute over it has timed out, or the contract refuses it otherwise.
    DependencyDown
        If the node does not answer.
    """
    now = _chain_time(chain)
    with chain.db.read() as session:
        some_planned = intents.are_planned(session, chain.deployment.chain_id)
        some_left = some_planned and bool(ended.without_use(session))
        some_due = _some_due(session, now)
    if some_planned:
        operator = chain.deployment.accounts.get("operator")
        chain.sender.send_from({kind: operator for kind in (FINALIZE, SKIP) if operator})
    if some_left:
        chain.db.run(ended.give_up)
    if not some_due:
        return []
    following = chain.settlement.next_to_finalize()
    sent: list[str] = []
    while True:
        try:
            more = _finalize_following(chain, following, least=following if sent else 0)
        except Refused:
            if not sent:
                raise
            return sent  # the next round says so, if it is so still
        sent += more
        found = _moved_on(chain, following) if more else following
        if found == following:
            return sent
        following = found


def _chain_time(chain: Chain) -> datetime:
    head = chain.client.block("latest")
    return datetime.fromtimestamp(head.timestamp if head else 0, UTC)


def _some_due(session: Session, now: datetime) -> bool:
    """Return whether a batch of ours may be due, or any is disputed, which may have timed out: else there is nothing.

    Asked every few seconds, and by two indexes; whoever plans reads whole batches, and locks them.
    """
    due = exists().where(
        VppSettlementBatch.state == BatchState.PROPOSED, VppSettlementBatch.finalizable_at <= now
    )
    disputed = exists().where(SettlementBatch.status == SettlementStatus.DISPUTED)
    return bool(session.scalar(select(or_(due, disputed))))


def _finalize_following(chain: Chain, following: int, least: int) -> list[str]:
    """Finalise the batch that the contract takes next, and those before it that have not ended by the books.

    Parameters
    ----------
    following
        Number in the contract of the batch that is the next to be finalised.
    least
        Batches before this one were tried already.
    """
    now = _chain_time(chain)

    def plan(session: Session) -> list[str]:
        return _plan_finalization(session, chain, now, following, least)

    if least == 0 and not _may_begin(chain, plan):
        return []
    sent: list[str] = []
    for key in chain.db.run(plan):
        try:
            sent.append(chain.sender.submit(key, SETTLEMENT))
        except AlreadyOnChain:
            continue  # somebody else was faster, or we before a restore: the mirror says so
        except Refused as refusal:
            batch_key = chain.db.run(partial(_drop_finalization, key=key))
            if batch_key is not None and "AssetNotTransferable" in refusal.message:
                raise stuck.refusal(batch_key, refusal.message) from refusal
            if "BatchNotProposed" in refusal.message:
                continue  # somebody else was faster: the mirror will say so
            if "OutOfOrder" in refusal.message:
                return sent + skipping.pass_closed(chain, _batch_id(chain, key))
            if "WindowOpen" in refusal.message:
                break
            raise
    return sent


def _moved_on(chain: Chain, following: int) -> int:
    """Return the batch that is the next to be finalised, by what stands in blocks.

    A node that mines for each transaction may answer before it has mined: it has a moment for that.
    """
    until = time.monotonic() + _MINED_AT_ONCE_S
    while True:
        found = chain.settlement.next_to_finalize()
        if found != following or time.monotonic() > until:
            return found
        time.sleep(_MINED_AT_ONCE_S / 10)


def _may_begin(chain: Chain, plan: Callable[[Session], list[str]]) -> bool:
    """Return whether there is something to finalise, after a look whether the contract takes the first.

    A pause may last for weeks, and this is asked every few seconds: no refused call shall stay of each time.

    Raises
    ------
    Refused
        If it does not, for a reason that the round does not go by.
    """

    def first(session: Session) -> ChainIntent | None:
        keys = plan(session)
        if not keys:
            return None
        intent = intents.get(session, keys[0])
        session.expunge(intent)
        return intent

    intent = chain.db.run(first, keep=False)
    if intent is None:
        return False
    try:
        chain.sender.rehearse(intent, SETTLEMENT)
    except AlreadyOnChain:
        return True
    except Refused as refusal:
        if any(name in refusal.message for name in _MET):
            return True
        meant = explain(refusal.message)
        if meant is None:
            raise
        raise Refused(
            f"batches whose window is over wait to be finalised: {meant.of(refusal.message)}",
            code=refusal.code,
            details=refusal.details,
        ) from refusal
    return True


def due_within(session: Session, within: timedelta) -> datetime | None:
    """Return when the window of the next proposed batch ends, where that is within so long; as far as the books know.

    None: it has a longer window, or there is none, or it waits for a person, or one before it does.
    """
    first = (
        select(VppSettlementBatch)
        .where(VppSettlementBatch.state == BatchState.PROPOSED)
        .order_by(VppSettlementBatch.chain_batch_id)
        .limit(1)
    )
    batch = session.scalars(first).first()
    if batch is None or batch.finalizable_at is None:
        return None
    ends_soon = batch.finalizable_at <= stuck.chain_time(session) + within
    return batch.finalizable_at if ends_soon and stuck.why_held_up(session, batch) is None else None


def _plan_finalization(
    session: Session, chain: Chain, now: datetime, following: int, least: int
) -> list[str]:
    """Return the keys of what is due, up to the one that the contract takes next; see ``_finalize_following``.

    What is behind that one would be refused, and a refused call would stay of each round. So would what is before it,
    which has ended on chain: the mirror will say how, and only a call that is planned already is brought to its end.
    Where the next one is of others, it is theirs that is returned.
    """
    query = (
        select(VppSettlementBatch, SettlementBatch)
        .join(SettlementBatch, SettlementBatch.key == VppSettlementBatch.batch_key)
        .where(
            VppSettlementBatch.state == BatchState.PROPOSED,
            VppSettlementBatch.chain_batch_id >= least,
            SettlementBatch.status == SettlementStatus.PROPOSED,  # a disputed one waits
            VppSettlementBatch.finalizable_at <= now,
        )
        .order_by(VppSettlementBatch.chain_batch_id)
        .with_for_update(skip_locked=True)
    )
    keys: list[str] = []
    due = session.execute(query).all()
    held_up_by_it = any((batch.chain_batch_id or 0) > following for batch, _ in due)
    stuck.refuse_timed_out(session, following, now, holds_up=held_up_by_it)
    for batch, on_chain in due:
        number = batch.chain_batch_id or 0
        if number > following:
            return keys or _plan_others(session, chain, now, following)
        call = call_of(chain, new_key(), FINALIZE, "finalizeBatch", [number, outcome_of(on_chain)])
        earlier = _earlier(session, batch, call)
        if earlier is None or earlier.state is IntentState.FAILED:
            if number < following:
                continue
            held_up = stuck.credits_held_up(session, on_chain)
            if held_up is not None:  # asked often: no refused call shall stay of each time
                if keys:
                    break
                raise stuck.refusal(batch.batch_key, held_up)
            batch.finalize_key = call.key
            keys.append(intents.plan(session, chain.deployment.chain_id, call))
        elif earlier.state is IntentState.PLANNED:
            keys.append(earlier.key)
        if number == following:
            break
    return keys


def _earlier(session: Session, batch: VppSettlementBatch, call: NewIntent) -> ChainIntent | None:
    """Return the call that finalises a batch already; None: there is none that does what this one would.

    A fork may have taken its proposal back and brought it again, after the fee had changed.
    """
    earlier = session.get(ChainIntent, batch.finalize_key) if batch.finalize_key else None
    return earlier if earlier is not None and intents.does_same(earlier, call) else None


def _plan_others(session: Session, chain: Chain, now: datetime, batch_id: int) -> list[str]:
    """Return the key of a call that finalises a batch of others before ours; none where it waits for something.

    Whoever proposed it may be gone, and ours would wait for ever; the contract takes it from anybody.

    Raises
    ------
    Refused
        If its credits do not move: it waits for a person, and ours with it.
    """
    on_chain = session.get(SettlementBatch, batch_id)
    if on_chain is None or on_chain.status is not SettlementStatus.PROPOSED:
        return []
    if stuck.is_ours(session, on_chain.key):
        return []
    held_up = stuck.credits_held_up(session, on_chain)
    if held_up is not None:  # for ours behind it: in silence nobody would look
        raise stuck.refusal(on_chain.key, held_up)
    if on_chain.finalizable_at_s + OTHERS_FIRST.total_seconds() > now.timestamp():
        return []
    earlier = under_way(session, FINALIZE, batch_id)
    if earlier is not None:
        return [earlier.key] if earlier.state is IntentState.PLANNED else []
    arguments = [batch_id, outcome_of(on_chain)]
    call = call_of(chain, new_key(), FINALIZE, "finalizeBatch", arguments)
    return [intents.plan(session, chain.deployment.chain_id, call)]


def _batch_id(chain: Chain, key: str) -> int:
    """Return the number on chain of the batch that an intent finalises."""
    with chain.db.read() as session:
        return intents.first_number(intents.get(session, key))


def _drop_finalization(session: Session, key: str) -> str | None:
    """Return the key of the batch that an intent was to finalise; None: it has another meanwhile."""
    query = select(VppSettlementBatch).where(VppSettlementBatch.finalize_key == key)
    batch = session.scalars(query).first()
    if batch is None:
        return None
    batch.finalize_key = None
    return batch.batch_key
