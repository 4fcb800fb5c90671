"""Signatures that outlive their batch: until their deadline whoever has them can settle its trades.

A co-signed batch that failed stays what its parties signed. They, and any member of the market who saw the call, may
send it later. Its trades may be planned again, as they are: the contract takes each number once. They must not be
cancelled, and not be settled with other figures, while that can happen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.db import tables
from ledger.models import (
    AuditLog,
    ChainBlock,
    ChainCursor,
    ChainEvent,
    ChainIntent,
    SettlementBatch,
    VppSettlementBatch,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import renumbered
from ledger.settlement.calls import words_sent
from ledger.settlement.elsewhere import ENERGY, IS_ON_CHAIN, PROPOSED_BY
from ledger.settlement.finding import words_of
from ledger.settlement.words import Trade, hex_words, seq_of, trade_of

WITHDRAWN = "settlement.withdraw"
"""What the audit log calls a batch that was taken back before all had signed: no call has its trades."""


@dataclass(frozen=True)
class Held:
    """A trade as parties of a failed batch signed it, its asset, and until when the chain takes their signatures."""

    batch_key: str
    until: datetime
    trade: Trade
    asset: int

    @property
    def said(self) -> str:
        """Which signatures, and until when, in words."""
        return (
            f"signatures for batch {self.batch_key}, which failed, hold until "
            f"{self.until:%Y-%m-%d %H:%M:%S} UTC by the chain's clock"
        )


def final_time(session: Session) -> datetime | None:
    """Return the time of the last final block, by which deadlines are over for good; None: there is none."""
    query = select(ChainBlock.block_time).join(
        ChainCursor, ChainCursor.final_number == ChainBlock.number
    )
    return session.scalars(query.limit(1)).first()


def held(session: Session) -> dict[int, list[Held]]:
    """Return the trades of failed batches whose signatures can still be used, by number.

    Those of a batch cannot when a final block is later than their deadline, has its key, or settled a trade of it.
    """
    now = final_time(session)
    failed = select(VppSettlementBatch).where(
        VppSettlementBatch.state == BatchState.FAILED, VppSettlementBatch.signed_until.is_not(None)
    )
    if now is not None:
        failed = failed.where(VppSettlementBatch.signed_until >= now)
    found: dict[int, list[Held]] = defaultdict(list)
    for batch in session.scalars(failed).all():
        words = _words(session, batch)
        if batch.signed_until is None or _is_used_up(session, batch, words):
            continue
        for word in words:
            trade = trade_of(batch.accounts, word)
            asset = batch.asset or ENERGY
            found[trade.seq].append(Held(batch.batch_key, batch.signed_until, trade, asset))
    return dict(found)


def last(signed: Sequence[Held]) -> Held:
    """Return the one of a trade's signatures that holds longest."""
    return max(signed, key=lambda item: item.until)


def note_withdrawal(session: Session, batch: VppSettlementBatch, reason: str) -> None:
    """Keep the trades of a batch that has no call, before its rows are deleted: some parties may have signed it."""
    audit.record(
        session,
        WITHDRAWN,
        _resource(batch),
        {"words": hex_words(words_of(session, batch))},
        {"batch_key": batch.batch_key, "reason": reason},
    )


def settled_as_signed(session: Session) -> set[int]:
    """Return the numbers of trades that the chain settled as a failed batch of ours had them.

    Without those that a trade got after the batch was made: another one had them then.
    """
    query = (
        select(ChainEvent.args, VppSettlementBatch.created_at)
        .join(SettlementBatch, PROPOSED_BY)
        .join(VppSettlementBatch, IS_ON_CHAIN)
        .where(VppSettlementBatch.state == BatchState.FAILED)
    )
    planned = {
        seq_of(int(word)): at for args, at in session.execute(query) for word in args["words"]
    }
    return planned.keys() - renumbered.given_since(session, planned)


def sent_without_number(session: Session) -> dict[int, tuple[Trade, int]]:
    """Return trades of batches that had failed here and are on their way again, as a fork took that back.

    Those whose number is not theirs any more, with their asset.
    """
    query = (
        select(VppSettlementBatch, ChainIntent.parameters)
        .join(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(
            VppSettlementBatch.state == BatchState.FAILED,
            ChainIntent.state == IntentState.SUBMITTED,
        )
    )
    found: dict[int, tuple[Trade, int]] = {}
    for batch, parameters in session.execute(query).all():
        words = words_sent(parameters)
        trades = {seq_of(word): trade_of(batch.accounts, word) for word in words}
        left = renumbered.left(session, trades.values(), batch.created_at)
        found |= {number: (trades[number], batch.asset or ENERGY) for number in left}
    return found


def _words(session: Session, batch: VppSettlementBatch) -> list[int]:
    intent = session.get(ChainIntent, batch.batch_key)
    if intent is not None:
        return words_sent(intent.parameters)
    query = select(AuditLog.old_values).where(
        AuditLog.action == WITHDRAWN, AuditLog.resource == _resource(batch)
    )
    kept: dict[str, Any] = session.scalars(query).first() or {}
    return [int(word, 16) for word in kept.get("words", ())]


def _is_used_up(session: Session, batch: VppSettlementBatch, words: Sequence[int]) -> bool:
    """Return whether a final block has the key, or has settled a trade: then the contract refuses the batch."""
    final = select(ChainCursor.final_number).limit(1).scalar_subquery()
    used = select(SettlementBatch.key).where(
        SettlementBatch.key == batch.batch_key, SettlementBatch.block_number <= final
    )
    if session.scalars(used).first() is not None:
        return True
    numbers = [seq_of(word) for word in words]
    done = VppTradingRecord.status == TradeStatus.EXECUTED
    return any(
        session.scalars(select(VppTradingRecord.id).where(here, done).limit(1)).first() is not None
        for here in tables.among(session, VppTradingRecord.id, numbers)
    )


def _resource(batch: VppSettlementBatch) -> str:
    return f"{VppSettlementBatch.__tablename__}/{batch.id}"
