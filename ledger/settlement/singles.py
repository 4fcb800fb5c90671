"""One trade settled by itself: gross, at once and for good, on the operator's word.

Dearer than a batch, and without its window: for a trade that must not wait. The intent is the lock: while it
is on its way, no batch takes the trade; when it was refused, the trade is free again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.sending import intents
from ledger.chain.sending.intents import new_key
from ledger.chain.sending.marks import mark_of
from ledger.db import tables
from ledger.errors import Refused
from ledger.models import (
    ChainAttempt,
    ChainInclusion,
    ChainIntent,
    SettlementTrade,
    VppTradingRecord,
)
from ledger.models.sending import UNDER_WAY, IntentState
from ledger.models.trading import TradeStatus
from ledger.settlement import confirm, cosign, renumbered, signatures
from ledger.settlement.calls import SETTLE_ONE, call_of
from ledger.settlement.elsewhere import ENERGY, assets_of, settled_among
from ledger.settlement.finding import batch_holding, find_trade
from ledger.settlement.fitting import Terms, fitting
from ledger.settlement.words import Trade


def under_way(session: Session) -> set[int]:
    """Return the numbers of trades that are on their way to be settled by themselves.

    A planner that began before such an intent was stored may miss it. Then the contract takes the trade
    once all the same, and what came second is withdrawn (``forgotten``) or refused.
    """
    query = select(ChainIntent.parameters).where(
        ChainIntent.kind == SETTLE_ONE, ChainIntent.state.in_(UNDER_WAY)
    )
    return {int(parameters["trade"]["seq"]) for parameters in session.scalars(query)}


def unseen(session: Session) -> list[tuple[Trade, int | None]]:
    """Return the trades that are on their way and in no block that the mirror has read; each with its credits.

    None stands for energy.
    """
    # By the hashes of what was signed: there are as many inclusions as the chain has transactions of ours or others.
    included = exists().where(
        ChainAttempt.intent_key == ChainIntent.key,
        ChainInclusion.tx_hash == ChainAttempt.tx_hash,
    )
    query = select(ChainIntent).where(
        ChainIntent.kind == SETTLE_ONE, ChainIntent.state.in_(UNDER_WAY), ~included
    )
    return [
        (_trade_of(intent), int(intent.parameters["asset"]) or None)
        for intent in session.scalars(query).all()
        if mark_of(session, intent) is None
    ]


def _trade_of(intent: ChainIntent) -> Trade:
    said = intent.parameters["trade"]
    return Trade(
        seq=int(said["seq"]),
        buyer=str(said["buyer"]).lower(),
        seller=str(said["seller"]).lower(),
        quantity_milli=int(said["quantity"]),
        price_e4=int(said["price"]),
    )


def settled_by_us(session: Session, numbers: Collection[int]) -> set[int]:
    """Return which of some trades were settled by themselves by a transaction of these books.

    Without those that got their number after that was planned: another trade had it then.
    """
    planned: dict[int, datetime] = {}
    alone = select(SettlementTrade.seq, ChainIntent.created_at).where(
        ChainIntent.kind == SETTLE_ONE
    )
    confirmed = alone.join(ChainIntent, ChainIntent.tx_hash == SettlementTrade.tx_hash)
    attempted = alone.join(ChainAttempt, ChainAttempt.tx_hash == SettlementTrade.tx_hash).join(
        ChainIntent, ChainIntent.key == ChainAttempt.intent_key
    )
    for here in tables.among(session, SettlementTrade.seq, [Decimal(n) for n in numbers]):
        for query in (confirmed, attempted):
            planned |= {int(number): at for number, at in session.execute(query.where(here))}
    return planned.keys() - renumbered.given_since(session, planned)


def sent_without_number(session: Session) -> dict[int, tuple[Trade, int]]:
    """Return the trades that are on their way, sent under a number that is not theirs any more, with their asset."""
    query = select(ChainIntent).where(
        ChainIntent.kind == SETTLE_ONE, ChainIntent.state == IntentState.SUBMITTED
    )
    found = {}
    for intent in session.scalars(query).all():
        trade = _trade_of(intent)
        if renumbered.left(session, [trade], intent.created_at):
            found[trade.seq] = trade, int(intent.parameters["asset"])
    return found


def plan_single(session: Session, chain: Chain, number: int) -> str:
    """Store the intent to settle a pending trade by itself; return its key.

    Raises
    ------
    NotFound
        If there is no such trade.
    Refused
        If it is not pending, stands in a batch, is on its way already, is settled, or cannot be (see ``fitting``).
    """
    record = find_trade(session, number, lock=True)
    require_pending(record)
    require_untouched(session, record)
    of = assets_of(session, [number]).get(number)
    trade = fitting(record, of, Terms.load(session, () if of is None else (of,)))
    fields = (
        trade.seq,
        trade.buyer,
        trade.seller,
        trade.quantity_milli,
        trade.price_e4,
        trade.cents,
    )
    call = call_of(chain, new_key(), SETTLE_ONE, "settleOne", [of or ENERGY, fields])
    return intents.plan(session, chain.deployment.chain_id, call)


def require_pending(record: VppTradingRecord) -> None:
    """Refuse a trade that is not pending."""
    if record.status is not TradeStatus.PENDING:
        raise Refused(f"trade {record.id} is {record.status.value}; only a pending one is settled")


def is_settled(session: Session, record: VppTradingRecord) -> bool:
    """Return whether the chain has settled a trade in no batch of these books.

    By its number alone nobody can tell: others may have given that to a trade of theirs. This one then gets another
    (``numbers.give_back``), by the same rule.
    """
    found = settled_among(session, [record.id])
    if not found:
        return False
    if next(confirm.records_of(session, found), None) is not None:
        return True  # else it may have been edited since
    ours = settled_by_us(session, [record.id]) | signatures.settled_as_signed(session)
    return record.id in ours


def require_untouched(session: Session, record: VppTradingRecord) -> None:
    """Refuse a pending trade that something is done with already.

    Raises
    ------
    Refused
        If it stands in a batch, is on its way by itself, or is settled on chain.
    """
    number = record.id
    batch = batch_holding(session, number)
    if batch is not None:
        raise Refused(
            f"trade {number} stands in the settlement batch {batch.batch_key} ({batch.state.value}); "
            f"{cosign.how_it_ends(session, batch)}",
            code="trade-in-batch",
            details={"batch_key": batch.batch_key},
        )
    if number in under_way(session):
        raise Refused(
            f"trade {number} is on its way to be settled by itself; see `truetonne settle status trade:{number}`",
            code="trade-under-way",
        )
    if is_settled(session, record):
        raise Refused(
            f"trade {number} is settled on chain, though in no batch of these books; it is executed once "
            "that is final",
            code="trade-settled",
        )


def withdraw(session: Session, numbers: Collection[int], reason: str) -> list[str]:
    """Take back what is planned for trades, and not sent; return the keys."""
    taken_back = []
    for intent in planned(session):
        if int(intent.parameters["trade"]["seq"]) in numbers:
            refused = intents.refuse(session, intent.key, reason)
            if refused.state is IntentState.FAILED:  # else another process has sent it meanwhile
                taken_back.append(intent.key)
    return taken_back


def planned(session: Session) -> Sequence[ChainIntent]:
    """Return what shall settle trades by themselves and is not sent."""
    query = select(ChainIntent).where(
        ChainIntent.kind == SETTLE_ONE, ChainIntent.state == IntentState.PLANNED
    )
    return session.scalars(query).all()


def not_settled_alone(session: Session) -> set[int]:
    """Return the numbers of trades whose intents are planned, and that no transaction settled by itself as they are.

    One that somebody else's did is ended by the mirror (``ledger.chain.sending.adoption``).
    """
    return {
        int(intent.parameters["trade"]["seq"])
        for intent in planned(session)
        if mark_of(session, intent) is None
    }


def waiting(session: Session) -> list[tuple[str, str]]:
    """Return key and sender of trades that shall be settled by themselves and are not sent yet, in order."""
    query = select(ChainIntent.key, ChainIntent.sender_address).where(
        ChainIntent.kind == SETTLE_ONE, ChainIntent.state == IntentState.PLANNED
    )
    ordered = query.order_by(ChainIntent.created_at, ChainIntent.key)
    return [(key, sender) for key, sender in session.execute(ordered)]
