"""What a run goes by that has nothing to net: as long as nothing of it has changed, it need not look back again.

Such a run looks for batches of these books that they forgot, for trades that had ended here and were settled all the
same, and for what is planned and was overtaken (``numbers``, ``forgotten``). That reads what was settled from the first
day on. So who runs every few seconds remembers what it went by when it last found nothing: a few newest rows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger import changed_accounts
from ledger.models import (
    AuditLog,
    ChainBlock,
    ChainCursor,
    ChainEvent,
    ChainIntent,
    VppSettlementAccount,
    VppSettlementBatch,
    VppTradingRecord,
)
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import cosign, singles
from ledger.settlement.finding import in_a_batch

LOOK_EVERY_S = 3600.0
"""How long a standstill is believed: other programs may change rows that are not the newest, and `index reindex` put
them right."""
_EVENTS = ("BatchProposed", "BatchFinalized", "BatchCancelled", "TradeSettled")
"""Events that may settle a trade, or take that back."""

State = tuple[object, ...]


@dataclass
class Standstill:
    """The state in which a run last had nothing to net, as the process remembers it."""

    _state: State | None = None
    _until_s: float = 0.0

    def lasts(self, state: State | None) -> bool:
        """Return whether a run would find in a state what the last one found."""
        return state is not None and state == self._state and time.monotonic() < self._until_s

    def note(self, state: State | None) -> None:
        """Note what a run goes by, which was read before it began; None: there was something to net."""
        self._state, self._until_s = state, time.monotonic() + LOOK_EVERY_S


def state_of(session: Session, chain_id: int) -> State | None:
    """Return the newest of what a run goes by, and what is planned; None: there is something to net, or to give up."""
    free = select(VppTradingRecord.id).where(
        VppTradingRecord.status == TradeStatus.PENDING, ~in_a_batch()
    )
    if cosign.late(session) or session.scalar(free.limit(1)) is not None:
        return None
    tops = (
        *(
            select(func.max(ChainEvent.block_number)).where(ChainEvent.event_name == name)
            for name in _EVENTS
        ),
        select(func.max(VppTradingRecord.id)),
        select(func.max(VppSettlementBatch.id)),
        # The accounts that somebody had count as well; by those of today alone, one that came and went is not seen.
        select(func.max(AuditLog.id)).where(AuditLog.action == changed_accounts.ACTION),
    )
    final = select(ChainCursor.final_number).where(ChainCursor.chain_id == chain_id).limit(1)
    asked = (part.scalar_subquery() for part in (*tops, final))
    *newest, final_number = session.execute(select(*asked)).one()
    block = max((number or 0 for number in newest[: len(_EVENTS)]), default=0)
    # After a fork a block of the same number may have other events; and some wait until theirs is final.
    block_hash = session.scalar(select(ChainBlock.hash).where(ChainBlock.number == block))
    # With its call: what is sent cannot be withdrawn, and can be when it has lost its nonce.
    planned = (
        select(VppSettlementBatch.id, ChainIntent.state)
        .outerjoin(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(VppSettlementBatch.state == BatchState.PLANNED)
    )
    account = VppSettlementAccount
    accounts = select(account.vpp_id, account.market, account.address)
    return (
        tuple(newest),
        block_hash,
        (final_number or 0) >= block,
        tuple(map(tuple, session.execute(planned))),
        tuple(key for key, _ in singles.waiting(session)),
        tuple(map(tuple, session.execute(accounts))),
    )
