"""What a settlement run does, step by step: plan batches, have them signed, send them.

- **Plan** (``plan_round``, by ``planning``): each batch is stored with its key and its trades in one commit. Where the
  operator proposes it, its call is stored as well; a co-signed one has a call when its parties have signed.
- **Submit** (``submit_planned``): sign co-signed batches with the keys at hand, and send every batch that has a call.

A proposed batch is finalised when the contract's window is over (``finalizing``). Only the mirror says that a trade is
settled (``confirm``).
"""

from __future__ import annotations

from collections.abc import Sequence
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
from ledger.models import ChainIntent, VppSettlementBatch, VppSettlementItem, VppTradingRecord
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import cancel, confirm, cosign, numbers, planning, singles
from ledger.settlement.calls import COSIGNED, PROPOSE, SETTLE_ONE
from ledger.settlement.finding import find_trade
from ledger.settlement.money import currency_symbol, explained
from ledger.settlement.netting import Limits
from ledger.settlement.pending import Scope
from ledger.settlement.planning import Plan, PlannedBatch
from ledger.settlement.standstill import Standstill, state_of

_ATTEMPTS_MAX = 5
OF_ONE = (BadInput, PolicyRefused, NotTried, NotTaken)
"""Errors that keep one batch from being signed or sent; the others are tried all the same."""


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
    """Refuse a plan in which a trade waits for somebody to mend it, and no other is planned or lacks funds.

    Raises
    ------
    Refused
        If it is one; it says what is wrong with the first such trade (see ``fitting``).
    """
    to_mend = [item for item in made.waiting if not item.unfit.passes]
    if to_mend and not made.batches and not made.left_out:
        raise Refused(to_mend[0].message, code="trade-unfit")


def require_no_rest(made: Plan) -> None:
    """Refuse a plan in which trades wait because their market rests after a refusal; the others are planned by now.

    Raises
    ------
    Refused
        If it is one; it says what was refused, and until when the market rests.
    """
    if made.resting:
        raise Refused(made.resting[0].sentence(), code="market-rests")


def plan_round(
    chain: Chain,
    scope: Scope | None = None,
    *,
    dry_run: bool = False,
    looks_back: bool = True,
) -> Plan:
    """Store batches for the pending trades that stand in none; return these, who is left out, and what waits and why.

    Parameters
    ----------
    looks_back
        As of ``planning.plan``.

    Raises
    ------
    DatabaseBusy
        If another process plans the same trades all the time.
    DependencyDown
        If the node does not say what the parties have.
    """
    within = scope or Scope()
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
        work = partial(
            planning.plan,
            chain=chain,
            funds=funds,
            scope=within,
            limits=limits,
            looks_back=looks_back,
        )
        try:
            return chain.db.run(work, keep=not dry_run)
        except IntegrityError as error:
            lost = error  # another process has put one of these trades into a batch meanwhile: look again
    raise DatabaseBusy("another process plans the same trades; try again") from lost


def plan_again(chain: Chain, scope: Scope, standstill: Standstill) -> Plan:
    """Plan as ``plan_round``, for who does so every few seconds: while nothing has changed, it does not look back.

    Raises
    ------
    DatabaseBusy, DependencyDown
        As ``plan_round``.
    """
    with chain.db.read() as session:
        state = state_of(session, chain.deployment.chain_id)
    if state is None or not standstill.lasts(state):
        made = plan_round(chain, scope)
        standstill.note(None if made.held_back else state)
        return made
    if state.waiting is None:
        return Plan()
    return plan_round(chain, scope, looks_back=False)


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
"""Refusals that pass: a role comes back or moves to another account, a pause ends. What was signed is still good."""


def submit_planned(chain: Chain) -> list[str]:
    """Sign what is ours to sign; send every planned batch that has a call, and single trades; return the hashes.

    A batch that the contract refuses is failed with the reason, and its trades are free again. But one that its parties
    have signed stays planned while the contract is paused or its sender lacks the role. So does one that cannot be
    signed or sent for another reason; the others are sent all the same.

    Raises
    ------
    Refused
        If a signed batch waits for a role or for the end of a pause.
    BadInput, PolicyRefused
        If a key is not here, or the signer policy forbids a batch.
    DependencyDown
        If the node cannot try one or does not take it; if node or signer do not answer.

    They are raised when the others were tried, the first of several reasons; but at once where no answer comes when one
    is sent.
    """
    with chain.db.read() as session:
        unsigned, waiting = cosign.waiting_for_signatures(session), _waiting(session)
    trouble = _sign_ours(chain, unsigned)
    if unsigned:  # what was signed has a call by now
        with chain.db.read() as session:
            waiting = _waiting(session)
    if not waiting:
        return _or_raise([], trouble)
    operator = chain.deployment.account("operator")
    chain.sender.send_from(
        {PROPOSE: operator, SETTLE_ONE: operator, COSIGNED: cosign.sender_of(chain)}
    )
    with chain.db.read() as session:
        senders = {sender for _, sender in _waiting(session)}
    # Between these two: what was planned before the mirror had read all is withdrawn, and planned anew.
    for account in senders:
        chain.sender.check_known(account)
    chain.db.run(numbers.give_back)
    chain.db.run(_withdraw_taken_out)
    with chain.db.read() as session:
        keys = [key for key, _ in _waiting(session)]
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
    """Fail a batch that the contract refuses; but keep a signed one that it may take later, and return why it waits."""
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
    """Withdraw planned batches with a cancelled trade: they had been proposed by others, and a fork took that back."""
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


def _sign_ours(chain: Chain, unsigned: Sequence[str]) -> TruetonneError | None:
    """Have batches signed with the keys at hand; return the first reason why one was not."""
    trouble: TruetonneError | None = None
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


def _waiting(session: Session) -> list[tuple[str, str]]:
    """Return what is to be sent, key and sender, in order: single trades, then batches."""
    query = (
        select(ChainIntent.key, ChainIntent.sender_address)
        .join(VppSettlementBatch, VppSettlementBatch.batch_key == ChainIntent.key)
        .where(VppSettlementBatch.state == BatchState.PLANNED)
        .order_by(VppSettlementBatch.id)
    )
    planned = [(key, sender) for key, sender in session.execute(query)]
    return singles.waiting(session) + planned
