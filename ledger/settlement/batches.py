"""Plan and submit settlement batches: what a settlement run does, step by step.

Planning freezes batches (see ``planning``): each with its key and its trades in one commit, and with its call
where nobody else has to sign. Submitting has co-signed batches signed, and sends what is complete. A proposal is
finalised after the contract's window (see ``finalizing``). Nothing here says that a trade is settled: see ``confirm``.
"""

from __future__ import annotations

from dataclasses import replace
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
from ledger.chain.sending.sender import AlreadyOnChain, NotTaken, NotTried
from ledger.db import DatabaseBusy
from ledger.errors import BadInput, Refused, TruetonneError
from ledger.models import (
    ChainIntent,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import (
    cancel,
    confirm,
    cosign,
    numbers,
    planning,
    singles,
)
from ledger.settlement.calls import (
    COSIGNED,
    PROPOSE,
)
from ledger.settlement.finding import find_trade
from ledger.settlement.money import currency_symbol, explained
from ledger.settlement.netting import Limits
from ledger.settlement.planning import Plan, PlannedBatch, Scope

_ATTEMPTS_MAX = 5
OF_ONE = (BadInput, PolicyRefused, NotTried, NotTaken)
"""What keeps one batch from being signed or sent, and others perhaps not."""


def plan_batches(chain: Chain, scope: Scope | None = None) -> list[PlannedBatch]:
    """Store batches for the pending trades that stand in none; return them.

    Raises
    ------
    Refused
        As ``require_fit`` and ``require_no_rest``.
    DatabaseBusy
        If another process plans the same trades all the time.
    """
    made = plan_round(chain, scope)
    require_fit(made)
    require_no_rest(made)
    return list(made.batches)


def require_fit(made: Plan) -> None:
    """Say it where trades wait, nothing else is pending, and somebody has to mend one of them (see ``fitting``).

    Raises
    ------
    Refused
        If it is so.
    """
    to_mend = [item for item in made.waiting if not item.unfit.passes]
    if to_mend and not made.batches and not made.left_out:
        raise Refused(to_mend[0].message, code="trade-unfit")


def require_no_rest(made: Plan) -> None:
    """Say it where trades wait as their market rests, when the others are planned: nobody else says what was refused.

    Raises
    ------
    Refused
        If it is so.
    """
    if made.resting:
        raise Refused(made.resting[0].sentence(), code="market-rests")


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
            waits = _keep_or_fail(chain, key, refusal)
            trouble = trouble or waits
        except OF_ONE as error:
            trouble = trouble or error
            if not isinstance(error, NotTaken):  # which is noted where it is sent
                chain.db.run(partial(intents.set_alarm, key=key, alarm=error.message))
    return _or_raise(sent, trouble)


def _keep_or_fail(chain: Chain, key: str, refusal: Refused) -> Refused | None:
    """Fail what the contract refuses, with the reason; a signed batch that may pass later is kept, and says why."""
    reason = explained(chain, refusal.message)
    if reason == refusal.message and (meant := explain(reason)) is not None:
        reason = meant.of(reason)
    if any(name in refusal.message for name in _PASSES) and chain.db.run(
        partial(cosign.keep_signed, key=key, alarm=reason)
    ):
        return Refused(reason, details=refusal.details)
    chain.db.run(partial(confirm.fail, key=key, error=reason))
    return None


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
