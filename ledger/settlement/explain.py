"""What happened to a batch or a trade, and what to do: from the books alone, for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import (
    AuditLog,
    ChainIntent,
    SettlementBatch,
    SettlementDispute,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import confirm, cosign, disputes, renumbered, signatures, singles
from ledger.settlement.calls import CANCEL, REJECT, SETTLE_ONE, under_way, words_sent
from ledger.settlement.caps import caps_in_books
from ledger.settlement.elsewhere import assets_of, settled_among
from ledger.settlement.finding import (
    batch_holding,
    find_batch,
    find_trade,
    named_trade,
    resource_of,
)
from ledger.settlement.fitting import Terms, above_caps, why_unfit
from ledger.settlement.money import participants_of
from ledger.settlement.stuck import why_held_up
from ledger.settlement.words import seq_of
from ledger.units import counted

_FAILED_MAX = 20
"""How many failed batches of a market are looked through, the newest first."""


@dataclass(frozen=True)
class Story:
    """What happened, in order, and what to do; ``state`` is that of the batch or the trade."""

    subject: str
    state: str
    happened: tuple[str, ...]
    to_do: str
    batch_key: str | None = None


def story_of(session: Session, text: str) -> Story:
    """Tell what happened to a batch or a trade.

    Raises
    ------
    NotFound
        If there is no such thing.
    """
    number = named_trade(text)
    return (
        story_of_batch(session, find_batch(session, text))
        if number is None
        else _trade(session, number)
    )


def story_of_batch(session: Session, batch: VppSettlementBatch) -> Story:
    """Tell what happened to a batch."""
    of = "energy" if batch.asset is None else f"credit batch {batch.asset}"
    hours = f", hours from {_time(batch.netted_from)}" if batch.netted_from else ""
    trades = counted(batch.trade_count, "trade")
    happened = [f"{_time(batch.created_at)} planned: {trades} of {of} on {batch.market}{hours}"]
    intent = session.get(ChainIntent, batch.batch_key)
    to_do = "nothing: the next run goes on with it"
    if batch.signed_until is not None:
        line, missing = _signatures(session, batch)
        happened.append(line)
        if missing and batch.state is BatchState.PLANNED:
            to_do = "let them sign: truetonne settle cosign write -o DIR, sign FILE, read FILE"
    if intent is not None:
        happened += _sent(intent)
        to_do = _after_sending(intent, to_do)
        if intent.alarm and intent.state is IntentState.PLANNED:
            to_do = (
                "mend that, and the next run sends it; or take it back: "
                f"truetonne settle cancel {batch.batch_key} --reason WHY"
            )
    on_chain = session.scalars(
        select(SettlementBatch).where(SettlementBatch.key == batch.batch_key)
    ).first()
    if on_chain is not None and batch.chain_batch_id is not None:
        happened += _on_chain(session, batch, on_chain)
        happened += _held_up(session, batch, on_chain)
        to_do = _after_proposal(session, batch)
    if batch.state is BatchState.FAILED:
        # What was given up has no time that counts: it is set back, so that no market rests for it.
        when = f"{_time(batch.updated_at)} " if batch.updated_at >= batch.created_at else ""
        happened.append(f"{when}failed: {batch.error}; its trades are free again")
        to_do = (
            f"mend that, then: truetonne settle retry {batch.batch_key} (or wait for the next run)"
        )
    return Story(
        f"settlement batch {batch.batch_key}",
        batch.state.value,
        tuple(happened),
        to_do,
        batch.batch_key,
    )


def _signatures(session: Session, batch: VppSettlementBatch) -> tuple[str, bool]:
    names = participants_of(session, batch)
    there = cosign.signatures_of(session, batch)
    missing = [names.get(item, item) for item in batch.accounts if item not in there]
    said = f"{len(there)} of {len(batch.accounts)} parties have signed, until {_time(batch.signed_until)}"
    return said + (f"; missing: {', '.join(missing)}" if missing else ""), bool(missing)


def _sent(intent: ChainIntent) -> list[str]:
    happened = []
    if intent.submitted_at is not None:
        happened.append(
            f"{_time(intent.submitted_at)} {intent.function_name} sent: transaction {intent.tx_hash}"
        )
    if intent.alarm:
        happened.append(f"it waits: {intent.alarm}")
    if intent.state is IntentState.FAILED:
        happened.append(f"{intent.function_name} was refused: {intent.error}")
    if intent.state is IntentState.CONFIRMED:
        happened.append(
            f"{_time(intent.confirmed_at)} {intent.function_name} final, block {intent.block_number}"
        )
    return happened


def _after_sending(intent: ChainIntent, otherwise: str) -> str:
    if intent.alarm:
        return "see truetonne chain intents for what keeps it from a block"
    if intent.state is IntentState.SUBMITTED:
        return "nothing: it is sent again until it is in a block (truetonne index run confirms it)"
    return otherwise


def _on_chain(session: Session, batch: VppSettlementBatch, on_chain: SettlementBatch) -> list[str]:
    way = "co-signed" if on_chain.cosigned_digest else "proposed"
    happened = [
        f"{_time(on_chain.proposed_at)} {way} on chain as batch {batch.chain_batch_id}, "
        f"block {batch.proposed_block}"
    ]
    query = select(SettlementDispute).where(SettlementDispute.batch_id == on_chain.batch_id)
    steps = session.scalars(
        query.order_by(SettlementDispute.block_number, SettlementDispute.log_index)
    )
    names = participants_of(session, batch)
    for step in steps:
        who = names.get(step.account, step.account)
        what = f" of trade {int(step.seq)}" if step.seq is not None else ""
        happened.append(f"{_time(step.happened_at)} dispute{what} by {who}: {step.step.value}")
    if batch.finalized_block is not None:
        why = f": {batch.error}" if batch.error else ""
        happened.append(f"{batch.state.value} in block {batch.finalized_block}{why}")
    return happened


def _held_up(session: Session, batch: VppSettlementBatch, on_chain: SettlementBatch) -> list[str]:
    """Tell why a proposed batch is not finalised: of itself or of one before it; and what is on its way for it."""
    if batch.state is not BatchState.PROPOSED:
        return []
    found = why_held_up(session, batch)
    own_dispute = on_chain.status is SettlementStatus.DISPUTED  # its steps tell that already
    said = [] if found is None or own_dispute else [f"it waits: {found[0]}"]
    cancellation = under_way(session, CANCEL, batch.chain_batch_id)
    if cancellation is not None:
        reason = cancellation.parameters["reason"]
        said += [f"{_time(cancellation.created_at)} its cancellation is planned: {reason}"]
        said += _sent(cancellation)
    for dispute in disputes.brought(session, on_chain.batch_id):
        number = dispute.parameters["trade"]["seq"]
        said += [f"{_time(dispute.created_at)} a dispute of its trade {number} is planned"]
        said += _sent(dispute)
    rejection = under_way(session, REJECT, on_chain.batch_id)
    if rejection is not None:
        said += [f"{_time(rejection.created_at)} the rejection of its dispute is planned"]
        said += _sent(rejection)
    return said


def _after_proposal(session: Session, batch: VppSettlementBatch) -> str:
    if batch.state in (BatchState.FINALIZED, BatchState.CANCELLED):
        return _after_the_end(session, batch)
    act = _under_way(session, batch)
    if act is not None:
        intent, command = act
        return _after_sending(intent, f"truetonne settle {command} sends what is planned")
    held_up = why_held_up(session, batch)
    if held_up is not None:
        return held_up[1]
    finalize = session.get(ChainIntent, batch.finalize_key) if batch.finalize_key else None
    if finalize is not None and finalize.state is not IntentState.FAILED:
        return _after_sending(finalize, "nothing: it is finalised by the next run")
    return f"nothing: truetonne settle run finalises it after {_time(batch.finalizable_at)}, in its order"


def _under_way(session: Session, batch: VppSettlementBatch) -> tuple[ChainIntent, str] | None:
    """Return what a person has asked for about a proposed batch, and the command that goes on with it."""
    cancellation = under_way(session, CANCEL, batch.chain_batch_id)
    if cancellation is not None:
        return cancellation, f"cancel {batch.batch_key} --reason WHY"
    assert batch.chain_batch_id is not None
    rejection = under_way(session, REJECT, batch.chain_batch_id)
    if rejection is not None:
        return rejection, f"reject {batch.batch_key}"
    for dispute in disputes.brought(session, batch.chain_batch_id):
        return dispute, f"dispute {batch.batch_key} {dispute.parameters['trade']['seq']}"
    return None


def _after_the_end(session: Session, batch: VppSettlementBatch) -> str:
    is_settled = batch.state is BatchState.FINALIZED
    done = TradeStatus.EXECUTED if is_settled else TradeStatus.CANCELLED
    query = (
        select(VppTradingRecord.id)
        .join(VppSettlementItem, VppSettlementItem.trade_id == VppTradingRecord.id)
        .where(VppSettlementItem.batch_id == batch.id, VppTradingRecord.status != done)
    )
    if session.scalars(query.limit(1)).first() is not None:
        return f"nothing: its trades are {done.value} once block {batch.finalized_block} is final"
    if is_settled:
        return "nothing: its trades are executed"
    return (
        "nothing: its trades are cancelled; one that shall be settled after all is recorded anew, "
        "with another time"
    )


def _trade(session: Session, number: int) -> Story:
    record = find_trade(session, number)
    subject = (
        f"trade {number}: {record.trade_type.value} {record.quantity} at {record.price}, "
        f"{record.total_value}, {record.market}"
    )
    batch = batch_holding(session, number)
    state = record.status.value
    if batch is not None:
        inner = story_of_batch(session, batch)
        return Story(subject, state, (inner.subject, *inner.happened), inner.to_do, inner.batch_key)
    happened, to_do = _alone(session, record)
    return Story(subject, state, tuple(happened), to_do)


def _alone(session: Session, record: VppTradingRecord) -> tuple[list[str], str]:
    """Tell of a trade that stands in no batch: the first of these that has something to tell.

    That it was refused by itself is no end of it: other things may have happened since, and keep it now.
    """
    tried, is_over = _single(session, record)
    if is_over is not None and record.status is not TradeStatus.CANCELLED:
        return tried, is_over
    for look in (_cancelled, _elsewhere, _unfit, _short):
        found = look(session, record)
        if found is not None:
            return [*tried, *found[0]], found[1]
    if tried:
        return tried, "mend that, then: truetonne settle run, or settle one"
    happened = ["in no batch yet", *_left_by(session, record), *_signed(session, record)]
    return happened, "truetonne settle run takes it"


def _left_by(session: Session, record: VppTradingRecord) -> list[str]:
    """Tell of the newest batch that failed with a trade, as far as it was a call already."""
    query = (
        select(VppSettlementBatch, ChainIntent.parameters)
        .join(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(
            VppSettlementBatch.market == record.market,
            VppSettlementBatch.state == BatchState.FAILED,
        )
        .order_by(VppSettlementBatch.id.desc())
        .limit(_FAILED_MAX)
    )
    for batch, parameters in session.execute(query):
        if record.id in map(seq_of, words_sent(parameters)):
            return [f"batch {batch.batch_key} failed with it: {batch.error}"]
    return []


_Found = tuple[list[str], str] | None


def _cancelled(session: Session, record: VppTradingRecord) -> _Found:
    if record.status is not TradeStatus.CANCELLED:
        return None
    resource = resource_of(record.id)
    query = select(AuditLog).where(
        AuditLog.action == confirm.TAKEN_OUT,
        AuditLog.resource == resource,
        renumbered.of_the_same_trade(),
    )
    entry = session.scalars(query).first()
    why = (entry.new_values or {}).get("reason") if entry else None
    return [f"cancelled by hand: {why}" if why else "cancelled"], "nothing"


def _single(session: Session, record: VppTradingRecord) -> tuple[list[str], str | None]:
    """Tell how it was tried by itself last, and what to do about that; None: that was refused, or it never was."""
    number = ChainIntent.parameters["trade"]["seq"].as_string()  # compared by the database
    query = (
        select(ChainIntent)
        .where(ChainIntent.kind == SETTLE_ONE, number == str(record.id))
        .order_by(ChainIntent.created_at.desc())
        .limit(1)
    )
    intent = session.scalars(query).first()
    if intent is None:
        return [], None
    happened = [f"{_time(intent.created_at)} planned to be settled by itself"]
    happened += _sent(intent)
    if intent.state is IntentState.FAILED:
        return happened, None
    if intent.state is IntentState.CONFIRMED:
        return happened, "nothing"
    take_back = f"truetonne settle cancel trade:{record.id} --reason WHY"
    if intent.state is IntentState.PLANNED and intent.alarm:
        return happened, f"mend that, and the next run sends it; or take it back: {take_back}"
    return happened, _after_sending(
        intent, f"nothing: truetonne settle run sends it; {take_back} takes it back until then"
    )


def _elsewhere(session: Session, record: VppTradingRecord) -> _Found:
    if not settled_among(session, [record.id]):
        return None
    if record.status is TradeStatus.EXECUTED or singles.is_settled(session, record):
        return ["the chain has settled it, in no batch of these books"], "nothing"
    if record.status is not TradeStatus.PENDING:
        return None
    return _unfit(session, record) or (
        ["the chain has another trade under its number"],
        "truetonne settle run gives it a number of its own, and settles it under that; where the chain has it "
        "under another one, it gets that",
    )


def _short(session: Session, record: VppTradingRecord) -> _Found:
    short = session.get(VppTradeShortfall, record.id)
    if short is None:
        return None
    happened = [f"{_time(short.since)} left out: {short.reason}"]
    if short.failed_at is None:
        return happened, "pay in, as that says; every run tries it again"
    happened.append(f"{_time(short.failed_at)} failed: nobody had paid in")
    return happened, f"pay in, then: truetonne settle retry trade:{record.id}"


def _unfit(session: Session, record: VppTradingRecord) -> _Found:
    if record.status is not TradeStatus.PENDING:
        return None
    asset = assets_of(session, [record.id]).get(record.id)
    terms = Terms.load(session, () if asset is None else (asset,))
    unfit = why_unfit(record, asset, terms)
    if unfit is not None:
        return [f"it cannot be settled: {unfit.why}"], unfit.to_do_for(record.id)
    too_much = above_caps(terms.accounts.trade(record), asset, caps_in_books(session))
    # No cap concerns its parties: one that lacks funds was to be signed by them.
    if too_much is None or session.get(VppTradeShortfall, record.id) is not None:
        return None
    return [f"its parties alone can settle it: {too_much.why}"], too_much.to_do_for(record.id)


def _signed(session: Session, record: VppTradingRecord) -> list[str]:
    """Tell of signatures for a trade that hold though their batch failed: until then it cannot be cancelled."""
    signed = signatures.held(session).get(record.id)
    return [signatures.last(signed).said] if signed else []


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
