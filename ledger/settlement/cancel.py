"""What shall not be settled: a trade in no batch is taken out by hand, a proposed batch is cancelled on chain.

Either keeps its reason: the trade's in the audit log, the batch's on chain. A batch of which nothing was sent is on
no chain, and is withdrawn here; so is a trade that was to be settled by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.chain.access import Chain
from ledger.chain.sending import intents
from ledger.chain.sending.intents import new_key
from ledger.clock import time_text
from ledger.errors import BadInput, Refused
from ledger.models import (
    ChainIntent,
    SettlementBatch,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.serials import is_key
from ledger.settings.values import is_text
from ledger.settlement import confirm, cosign, signatures, singles, stuck
from ledger.settlement.calls import CANCEL, PROPOSE, call_of, outcome_of, under_way
from ledger.settlement.finding import find_batch, find_trade, resource_of, words_of, words_on_chain

_REASON_MAX = 1000


def cancel_trade(session: Session, number: int, reason: str) -> VppTradingRecord:
    """Cancel a pending trade, and keep the reason in the audit log.

    Parameters
    ----------
    number
        Row number of the trade, which is also its number on chain.

    Raises
    ------
    NotFound
        If there is no such trade.
    BadInput
        If no reason is given, or one of more than 1,000 bytes.
    Refused
        If it is no longer pending, stands in a batch that may be on chain, is on its way there by itself, is settled
        there already, or may still be settled with signatures of a batch that failed.
    """
    _require_reason(reason)
    # Locked, and first: a planner that is at work on this trade is waited for, and its batch seen.
    trade = find_trade(session, number, lock=True)
    if trade.status is not TradeStatus.PENDING:
        opens = f"; `truetonne settle retry trade:{number}` makes it that again"
        raise Refused(
            f"trade {number} is {trade.status.value}; only a pending one can be cancelled"
            + (opens if trade.status is TradeStatus.FAILED else "")
        )
    singles.require_untouched(session, trade)
    _require_no_signatures(session, [number])
    trade.status = TradeStatus.CANCELLED
    audit.record(
        session,
        confirm.TAKEN_OUT,
        resource_of(number),
        {"status": TradeStatus.PENDING.value},
        {"status": TradeStatus.CANCELLED.value, "reason": reason.strip()},
    )
    return trade


def _require_no_signatures(session: Session, numbers: Sequence[int]) -> None:
    """Refuse to cancel a trade that others could settle afterwards.

    Raises
    ------
    Refused
        If signatures for one of them hold.
    """
    signed = signatures.held(session)
    for number in numbers:
        if number in signed:
            longest = signatures.last(signed[number])
            raise Refused(
                f"trade {number} may still be settled by who has its signatures: {longest.said}; cancel it "
                "after that, or have it settled: truetonne settle run",
                code="trade-signed",
                details={"batch_key": longest.batch_key, "until": time_text(longest.until)},
            )


def who_sends(session: Session, name: str) -> str | None:
    """Return the account that is to send a batch whose call waits; None: it has no call, or was sent.

    What it has done on chain must be known (``Sender.check_known``) before the batch is withdrawn: books that were
    restored from before may have forgotten the sending.

    Raises
    ------
    NotFound
        If there is no such batch.
    """
    call = session.get(ChainIntent, find_batch(session, name).batch_key)
    return None if call is None or call.state is not IntentState.PLANNED else call.sender_address


def withdraw(session: Session, name: str, reason: str) -> VppSettlementBatch | None:
    """Take back a batch of which nothing was sent; return it, or None where it was.

    Its trades are free again. Who has signed cannot take that back:
    until its deadline the trades may be settled as they are, and not be cancelled (see ``signatures``).

    Raises
    ------
    NotFound
        If there is no such batch.
    BadInput
        If no reason is given.
    """
    _require_reason(reason)
    batch = find_batch(session, name)
    return batch if cosign.take_back(session, batch, f"withdrawn: {reason.strip()}") else None


def who_settles(session: Session, number: int) -> str | None:
    """Return the account that is to settle a trade by itself, as ``who_sends``; None: it waits for no sending."""
    for intent in singles.planned(session):
        if int(intent.parameters["trade"]["seq"]) == number:
            return intent.sender_address
    return None


def withdraw_single(session: Session, number: int, reason: str) -> str:
    """Take back that a trade was to be settled by itself, of which nothing was sent; return the key of that call.

    The trade is free again, and stays pending.

    Raises
    ------
    NotFound
        If there is no such trade.
    BadInput
        If no reason is given.
    Refused
        If nothing waits to be sent for it.
    """
    _require_reason(reason)
    trade = find_trade(session, number, lock=True)
    taken_back = singles.withdraw(session, [number], f"withdrawn: {reason.strip()}")
    if taken_back:
        return taken_back[0]
    if trade.status is TradeStatus.PENDING:
        singles.require_untouched(session, trade)
        hint = f"`truetonne trades cancel {number} --reason WHY` takes the trade out"
    else:
        hint = f"the trade is {trade.status.value}"
    raise Refused(
        f"trade {number} waits for no settlement by itself that could be withdrawn; {hint}"
    )


def plan_cancellation(session: Session, chain: Chain, name: str, reason: str) -> str:
    """Store the intent to cancel a proposed batch on chain; return its key.

    The contract gives the debtors back what it locked; the trades are cancelled when that is final. Asked
    again while an intent is on its way, it is that one's key that is returned.

    One of others is cancelled from here where anybody may, who would wait for it for ever: see ``stuck.is_anybodys``.

    Parameters
    ----------
    name
        Key or row number of a batch of ours, or the key of a batch of others.

    Raises
    ------
    NotFound
        If there is no such batch.
    BadInput
        If no reason is given.
    Refused
        If the batch is not proposed, a trade of it may still be settled with signatures of one that failed, or it is of
        others and theirs to cancel.
    """
    _require_reason(reason)
    others = of_others(session, name, lock=True)
    if others is not None:
        return _plan_for_others(session, chain, others, reason)
    # Locked, and first: who cancels it at the same moment is waited for, and that intent seen.
    batch = find_batch(session, name, lock=True)
    if batch.state is not BatchState.PROPOSED or batch.chain_batch_id is None:
        sent = session.get(ChainIntent, batch.batch_key)
        if sent is not None and (sent.state, sent.kind) == (IntentState.SUBMITTED, PROPOSE):
            raise Refused(
                f"batch {batch.batch_key} is sent, and in no block yet as far as the mirror has read; it can be "
                "cancelled when it is: give the command again"
            )
        raise Refused(
            f"batch {batch.batch_key} is {batch.state.value}; only a proposed one can be cancelled"
            + (
                f"; {cosign.how_it_ends(session, batch)}"
                if batch.state is BatchState.PLANNED
                else ""
            )
        )
    trades = select(VppSettlementItem.trade_id).where(VppSettlementItem.batch_id == batch.id)
    _require_no_signatures(session, session.scalars(trades).all())
    intent = under_way(session, CANCEL, batch.chain_batch_id)
    if intent is not None:
        return intent.key
    on_chain = session.get_one(SettlementBatch, batch.chain_batch_id)
    return _plan(session, chain, on_chain, words_of(session, batch), reason)


def _plan(
    session: Session, chain: Chain, batch: SettlementBatch, words: Sequence[int], reason: str
) -> str:
    arguments = [batch.batch_id, outcome_of(batch), list(words), reason.strip()]
    call = call_of(chain, new_key(), CANCEL, "cancelBatch", arguments)
    return intents.plan(session, chain.deployment.chain_id, call)


def of_others(session: Session, name: str, *, lock: bool = False) -> SettlementBatch | None:
    """Return the batch of others on chain that a key names; None: it is ours, or none that the mirror knows."""
    if not is_key(name):
        return None
    key = name.lower()
    if stuck.is_ours(session, key):
        return None
    query = select(SettlementBatch).where(SettlementBatch.key == key)
    return session.scalars(query.with_for_update() if lock else query).first()


def _plan_for_others(session: Session, chain: Chain, batch: SettlementBatch, reason: str) -> str:
    intent = under_way(session, CANCEL, batch.batch_id)
    if intent is not None:
        return intent.key
    if not stuck.is_anybodys(session, batch):
        raise Refused(
            f"batch {batch.key} is {batch.status.value} and no batch of these books: its operator or an arbiter "
            "cancels it; from here it can be cancelled when a dispute over it has timed out, or its credits do not move"
        )
    return _plan(session, chain, batch, words_on_chain(session, batch), reason)


def _require_reason(reason: str) -> None:
    if not is_text(reason):
        raise BadInput("the reason is not Unicode text")
    if not reason.strip() or len(reason.encode()) > _REASON_MAX:
        raise BadInput(f"a cancellation needs a reason of at most {_REASON_MAX} bytes")
