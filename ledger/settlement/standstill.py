"""What a settlement run goes by when it looks back: as long as nothing of it has changed, it need not look back again.

To look back is to find batches of these books that they forgot, trades that had ended here and were settled all the
same, and what is planned and was overtaken (``numbers``, ``forgotten``). That reads what was settled from the first day
on. So who runs every few seconds remembers what it went by when it last did so: a few newest rows, and the trades that
wait. These are netted by each run, as funds come and hours end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import String, cast, func, select
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
    VppTradeCredit,
    VppTradingRecord,
)
from ledger.models.sending import UNDER_WAY
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import cosign
from ledger.settlement.calls import SETTLE_ONE
from ledger.settlement.finding import in_a_batch

LOOK_EVERY_S = 3600.0
"""How long a standstill is believed: other programs may change rows that are not the newest, and `index reindex` put
them right."""
_EVENTS = ("BatchProposed", "BatchFinalized", "BatchCancelled", "TradeSettled")
"""Events that may settle a trade, or take that back."""


@dataclass(frozen=True)
class State:
    """What a run goes by."""

    newest: tuple[object, ...]
    """The newest of what came, what is planned, and whose accounts are which."""
    waiting: bytes | None
    """A digest of the pending trades that stand in no batch, as they are; None: there is none."""


@dataclass
class Standstill:
    """The state in which a run last looked back, as the process remembers it."""

    _state: State | None = None
    _until_s: float = 0.0

    def lasts(self, state: State | None) -> bool:
        """Return whether a run that looks back in a state would find what the last one found."""
        return state is not None and state == self._state and time.monotonic() < self._until_s

    def note(self, state: State | None) -> None:
        """Note the state in which a run began that has looked back; None: the next one shall do so, too."""
        self._state, self._until_s = state, time.monotonic() + LOOK_EVERY_S


def state_of(session: Session, chain_id: int) -> State | None:
    """Return what a run goes by now; None: signatures are late, and what waited for them is to be given up."""
    if cosign.late(session):
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
    # With its call: what is sent cannot be withdrawn, and can be when it has lost its nonce. One that had failed is on
    # its way again when a fork took that back.
    calls = select(VppSettlementBatch.id, ChainIntent.state).outerjoin(
        ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key
    )
    again = calls.where(
        VppSettlementBatch.state == BatchState.FAILED, ChainIntent.state.in_(UNDER_WAY)
    )
    planned = calls.where(VppSettlementBatch.state == BatchState.PLANNED).union_all(again)
    # One of these that fails leaves a trade that may take its number on chain.
    alone = select(ChainIntent.key, ChainIntent.state).where(
        ChainIntent.kind == SETTLE_ONE, ChainIntent.state.in_(UNDER_WAY)
    )
    account = VppSettlementAccount
    accounts = select(account.vpp_id, account.market, account.address)
    return State(
        newest=(
            tuple(newest),
            block_hash,
            (final_number or 0) >= block,
            tuple(map(tuple, session.execute(planned))),
            tuple(map(tuple, session.execute(alone))),
            tuple(map(tuple, session.execute(accounts))),
        ),
        waiting=_waiting(session),
    )


def _waiting(session: Session) -> bytes | None:
    """Return a digest of the trades that wait, by all that the chain may know of them; None: none waits.

    As text, because other programs may have written what is no figure or no time. They may change such a trade at any
    moment, and it may be one that the chain has by then.
    """
    trade, of_credits = VppTradingRecord, VppTradeCredit
    figures = trade.trade_type, trade.quantity, trade.price, trade.total_value, trade.trade_time
    query = (
        select(
            trade.id,
            trade.vpp_id,
            trade.market,
            of_credits.asset,
            *(cast(figure, String) for figure in figures),
        )
        .outerjoin(of_credits, of_credits.trade_id == trade.id)
        .where(trade.status == TradeStatus.PENDING, ~in_a_batch())
        .order_by(trade.id)
    )
    found, digest = False, sha256()
    for row in session.execute(query):
        found = True
        digest.update(repr(tuple(row)).encode(errors="backslashreplace"))
    return digest.digest() if found else None
