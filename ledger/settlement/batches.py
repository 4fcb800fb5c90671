"""Plan and submit settlement batches: what a settlement run does, step by step.

Planning freezes batches (see ``planning``): each with its key and its trades in one commit, and with its call
where nobody else has to sign. Submitting has co-signed batches signed, and sends what is complete. A proposal is
finalised after the contract's window. Nothing here says that a trade is settled: see ``confirm``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.failures.explanations import explain
from ledger.chain.keys.policy import PolicyRefused
from ledger.chain.keys.remote_signer import SignerDown
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.chain.sending.sender import AlreadyOnChain, NotTaken, NotTried
from ledger.db import DatabaseBusy
from ledger.errors import BadInput, Refused, TruetonneError
from ledger.models import (
    ChainIntent,
    SettlementBatch,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import (
    cancel,
    confirm,
    cosign,
    ended,
    numbers,
    order,
    planning,
    singles,
    stuck,
)
from ledger.settlement.calls import (
    COSIGNED,
    FINALIZE,
    PROPOSE,
    SKIP,
    call_of,
    outcome_of,
    under_way,
)
from ledger.settlement.finding import find_trade
from ledger.settlement.fitting import Waiting
from ledger.settlement.money import currency_symbol, explained
from ledger.settlement.netting import Limits
from ledger.settlement.planning import Plan, PlannedBatch, Scope

_ATTEMPTS_MAX = 5
OTHERS_FIRST = timedelta(minutes=5)
"""So long whoever proposed a batch before ours may finalise it: of two calls at once one costs its gas for nothing."""
_MINED_AT_ONCE_S = 0.5
OF_ONE = (BadInput, PolicyRefused, NotTried, NotTaken)
"""What keeps one batch from being signed or sent, and others perhaps not."""


def plan_batches(
    chain: Chain,
    rest: timedelta = timedelta(0),
    *,
    until: datetime | None = None,
    on_waiting: Callable[[Sequence[Waiting]], None] | None = None,
    on_failed: Callable[[Sequence[int]], None] | None = None,
) -> list[PlannedBatch]:
    """Store batches for the pending trades that stand in none; return them.

    Parameters
    ----------
    rest
        How long a market rests after the contract refused a batch of it: what is repeated all day does
        not fill the books with refusals.
    until
        Trades of hours that end later wait for the rest of their hour; None: none does.
    on_waiting
        Called with the pending trades that cannot be settled, by reason, unless they are what is raised.
    on_failed
        Called with the numbers of trades that failed, as their debtors lacked funds for too long.

    Raises
    ------
    Refused
        If trades wait, nothing else is pending, and somebody has to mend one of them (see ``fitting``). If trades wait
        as their market rests, when the others are planned: as long as it does, nobody else says what was refused.
    DatabaseBusy
        If another process plans the same trades all the time.
    """
    made = plan_round(chain, Scope(rest, until=until))
    if on_failed is not None and made.failed:
        on_failed(made.failed)
    to_mend = [item for item in made.waiting if not item.unfit.passes]
    if to_mend and not made.batches and not made.left_out:
        raise Refused(to_mend[0].message, code="trade-unfit")
    if on_waiting is not None:
        on_waiting(made.waiting)
    if made.resting:
        raise Refused(made.resting[0].sentence(), code="market-rests")
    return list(made.batches)


def plan_round(chain: Chain, scope: Scope | None = None, *, dry_run: bool = False) -> Plan:
    """Do as ``plan_batches`` does, and say who is left out, and which trades wait, too.

    Raises
    ------
    DatabaseBusy
        If another process plans the same trades all the time.
    DependencyDown
        If the node does not say what the parties have.
    """
    within = scope or Scope()

    def work(session: Session) -> Plan:
        return planning.plan(session, chain, funds, within, limits)

    with chain.db.read() as session:
        is_late = cosign.late(session) and not dry_run
    if is_late:
        chain.db.run(cosign.expire)
    limits = Limits()
    lost: IntegrityError | None = None
    for _ in range(_ATTEMPTS_MAX):
        funds = planning.read_funds(chain)
        if funds is not None:
            limits = planning.read_limits(chain)
            if within.symbol is None:
                within = replace(within, symbol=currency_symbol(chain))
        try:
            return chain.db.run(work, keep=not dry_run)
        except IntegrityError as error:
            lost = error  # another process has put one of these trades into a batch meanwhile: look again
    raise DatabaseBusy("another process plans the same trades; try again") from lost


def plan_one(session: Session, chain: Chain, number: int) -> str:
    """Store the intent to settle a pending trade by itself; return its key.

    Raises
    ------
    NotFound, Refused
        As ``singles.plan_single``, and if the chain has settled it under another number, or another one under its own:
        the next run gives it the right one.
    """
    singles.require_pending(find_trade(session, number, lock=True))
    given = numbers.give_back(session)
    if number in given.on_chain:
        raise Refused(
            f"trade {number} is settled on chain, under another number, which `truetonne settle run` gives it",
            code="trade-settled",
        )
    if number in given.evicted:
        raise Refused(
            f"the chain has another trade under number {number}; `truetonne settle run` gives this one a number of "
            "its own, and settles it under that"
        )
    return singles.plan_single(session, chain, number)


_PASSES = ("AccessControlUnauthorizedAccount", "EnforcedPause")
"""Refusals that say nothing of what was signed: a role comes back or moves to another account, and a pause ends."""


def submit_planned(chain: Chain) -> list[str]:
    """Send every planned batch that is complete, and single trades; return the hashes of the transactions.

    A batch that the contract refuses is failed with the reason, and its trades are free again. One that cannot be
    sent otherwise stays planned, and does not keep the others from being sent; so does one that its parties have
    signed while its sender lacks the role or the contract is paused.

    Raises
    ------
    Refused
        If a signed batch waits for a role or for the end of a pause (the first, as below).
    BadInput, PolicyRefused
        If a key is not here, or the signer policy forbids one: the first reason, when the others were tried.
    DependencyDown
        If the node cannot try one, or does not take it (as above); if node or signer do not answer.
    """
    trouble = _sign_ours(chain)
    if not _waiting(chain):
        return _or_raise([], trouble)
    operator = chain.deployment.account("operator")
    chain.sender.send_from(
        {PROPOSE: operator, singles.KIND: operator, COSIGNED: cosign.sender_of(chain)}
    )
    senders = {sender for _, sender in _waiting(chain)}
    # Between these two: what was planned before the mirror had read all is withdrawn, and planned anew.
    for account in senders:
        chain.sender.check_known(account)
    chain.db.run(numbers.give_back)
    chain.db.run(_withdraw_taken_out)
    keys = [key for key, _ in _waiting(chain)]
    sent = []
    for key in keys:
        try:
            sent.append(chain.sender.submit(key, SETTLEMENT))
        except AlreadyOnChain:  # the mirror will say so
            continue
        except Refused as refusal:
            reason = explained(chain, refusal.message)
            if reason == refusal.message and (meant := explain(reason)) is not None:
                reason = meant.of(reason)
            if any(name in refusal.message for name in _PASSES):
                waits = partial(cosign.keep_signed, key=key, alarm=reason)
                if chain.db.run(waits):
                    trouble = trouble or Refused(reason, details=refusal.details)
                    continue
            chain.db.run(partial(confirm.fail, key=key, error=reason))
        except OF_ONE as error:
            trouble = trouble or error
            if not isinstance(error, NotTaken):  # which is noted where it is sent
                chain.db.run(partial(intents.set_alarm, key=key, alarm=error.message))
    return _or_raise(sent, trouble)


def _withdraw_taken_out(session: Session) -> None:
    """Withdraw planned batches with a trade that is cancelled: others had proposed them, and a fork took that back."""
    query = (
        select(VppSettlementBatch.batch_key)
        .join(VppSettlementItem, VppSettlementItem.batch_id == VppSettlementBatch.id)
        .join(VppTradingRecord, VppTradingRecord.id == VppSettlementItem.trade_id)
        .where(
            VppSettlementBatch.state == BatchState.PLANNED,
            VppTradingRecord.status == TradeStatus.CANCELLED,
        )
        .distinct()
    )
    for key in session.scalars(query).all():
        cancel.withdraw(session, key, "a trade of it was cancelled")


def _sign_ours(chain: Chain) -> TruetonneError | None:
    """Have batches signed with the keys at hand; return the first reason why one was not."""
    trouble: TruetonneError | None = None
    with chain.db.read() as session:
        unsigned = cosign.waiting_for_signatures(session)
    for key in unsigned:
        try:
            cosign.sign_ours(chain, key)
        except OF_ONE as error:
            trouble = trouble or error
        except SignerDown as error:  # it would be asked in vain again: what is signed can be sent
            return trouble or error
    return trouble


def _or_raise(sent: list[str], trouble: TruetonneError | None) -> list[str]:
    if trouble is not None:
        raise trouble
    return sent


def _waiting(chain: Chain) -> list[tuple[str, str]]:
    """Return what is to be sent, key and sender, in order: single trades, then batches."""
    query = (
        select(ChainIntent.key, ChainIntent.sender_address)
        .join(VppSettlementBatch, VppSettlementBatch.batch_key == ChainIntent.key)
        .where(VppSettlementBatch.state == BatchState.PLANNED)
        .order_by(VppSettlementBatch.id)
    )
    with chain.db.read() as session:
        planned = [(key, sender) for key, sender in session.execute(query)]
        return singles.waiting(session) + planned


def finalize_due(chain: Chain) -> list[str]:
    """Finalise the proposed batches whose window has passed; return the transactions' hashes.

    The contract finalises in order, and a call is tried by what stands in blocks: what is behind a batch is sent when
    that is in one. Where blocks come for transactions, that is at once; elsewhere one batch is sent in each round, and
    ``settle run`` and the job go on with the next block. While an earlier batch is open, nothing is tried but to
    finalise that one where it is of others and its window has passed for a while (``OTHERS_FIRST``). The first refusal
    ends the round; the next round goes on from there. Closed batches that keep the contract from finding ours are
    passed first (see ``order``). Calls about batches that have ended since are given up (see ``ended``).

    Raises
    ------
    Refused
        If the next one's credits do not move, if a dispute over it has timed out, or the contract refuses it otherwise.
    DependencyDown
        If the node does not answer.
    """
    operator = chain.deployment.accounts.get("operator")
    chain.sender.send_from({kind: operator for kind in (FINALIZE, SKIP) if operator})
    with chain.db.read() as session:
        some_left = bool(ended.without_use(session))
    if some_left:
        chain.db.run(ended.give_up)
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


def _finalize_following(chain: Chain, following: int, least: int) -> list[str]:
    """Finalise the one batch that the contract takes next, and try those before it of which the books know no end.

    Parameters
    ----------
    following
        Number in the contract of the batch that is the next to be finalised.
    least
        Batches before this one were tried already.
    """
    head = chain.client.block("latest")
    now = datetime.fromtimestamp(head.timestamp if head else 0, UTC)

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
                return sent + order.pass_closed(chain, _batch_id(chain, key))
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


_MET = ("AssetNotTransferable", "BatchNotProposed", "OutOfOrder", "WindowOpen")
"""Refusals of a finalisation that the round itself goes by."""


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
