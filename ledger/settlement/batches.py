"""Plan and submit settlement batches: pending trades are netted by market and proposed on chain.

Planning freezes a batch: its key, its trades and its call data are stored in one commit, and a trade
stands in one live batch at most. Submitting sends the proposal; after the contract's window anyone
finalises it. Nothing here says that a trade is settled: see ``confirm``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.chain import intents
from ledger.chain.access import Chain
from ledger.chain.events import SETTLEMENT
from ledger.chain.intents import NewIntent, new_key
from ledger.chain.sender import AlreadyOnChain
from ledger.db import DatabaseBusy
from ledger.errors import Refused
from ledger.models import (
    ChainIntent,
    SettlementBatch,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.mirror import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.settlement import forgotten, order
from ledger.settlement.elsewhere import ENERGY, Accounts, settled_elsewhere
from ledger.settlement.money import explained
from ledger.settlement.tree import trades_root
from ledger.settlement.words import PackedBatch, Trade, hex_words, pack

TRADES_PER_BATCH_MAX = 500
"""Keeps a proposal well under the 16,777,216 gas that one transaction may use (EIP-7825)."""
ACCOUNTS_PER_BATCH_MAX = 200
"""MAX_ACCOUNTS of the contract."""
_ATTEMPTS_MAX = 5


@dataclass(frozen=True)
class PlannedBatch:
    """A batch that is stored and not yet on chain; nets in cents by account."""

    key: str
    market: str
    trades: int
    nets: dict[str, int]


def plan_batches(
    chain: Chain,
    rest: timedelta = timedelta(0),
    *,
    market: str | None = None,
    dry_run: bool = False,
) -> list[PlannedBatch]:
    """Store batches for all pending trades that stand in none; return them.

    Parameters
    ----------
    rest
        How long a market rests after the contract refused a batch of it: what is repeated all day does
        not fill the books with refusals.

    Raises
    ------
    Refused
        If a trade does not fit the contract's fields.
    DatabaseBusy
        If another process plans the same trades all the time.
    """

    def work(session: Session) -> list[PlannedBatch]:
        planned = _plan(session, chain, rest, market)
        if dry_run:
            session.rollback()
        return planned

    for attempt in range(_ATTEMPTS_MAX):
        try:
            return chain.db.run(work)
        except IntegrityError as error:
            # Another process has put one of these trades into a batch since this one looked: look again.
            if attempt + 1 == _ATTEMPTS_MAX:
                raise DatabaseBusy("another process plans the same trades; try again") from error
    raise AssertionError("unreachable")


def submit_planned(chain: Chain) -> list[str]:
    """Propose every planned batch on chain; return the hashes of the transactions.

    A batch that the contract refuses is failed with the reason, and its trades are free again.
    """
    with chain.db.read() as session:
        query = select(VppSettlementBatch.batch_key).where(
            VppSettlementBatch.state == BatchState.PLANNED
        )
        keys = session.scalars(query.order_by(VppSettlementBatch.id)).all()
    sent = []
    for key in keys:
        try:
            sent.append(chain.sender.submit(key, SETTLEMENT))
        except AlreadyOnChain:  # the mirror will say so
            continue
        except Refused as refusal:
            reason = explained(chain, refusal.message)
            chain.db.run(lambda session, key=key, reason=reason: release(session, key, reason))  # type: ignore[misc]
    return sent


def finalize_due(chain: Chain) -> list[str]:
    """Finalise every proposed batch whose window has passed; return the transactions' hashes.

    The contract finalises in order: while an earlier batch is open there, nothing is tried, and the
    first refusal ends the round. The next round goes on from there. Closed batches that keep the contract
    from finding ours are passed first (see ``order``).
    """
    head = chain.client.block("latest")
    now = datetime.fromtimestamp(head.timestamp if head else 0, UTC)
    following = chain.settlement.next_to_finalize()
    sent: list[str] = []
    for key in chain.db.run(lambda session: _plan_finalization(session, chain, now, following)):
        try:
            sent.append(chain.sender.submit(key, SETTLEMENT))
        except (
            AlreadyOnChain
        ):  # somebody else was faster, or we before a restore: the mirror says so
            continue
        except Refused as refusal:
            chain.db.run(lambda session, key=key: _drop_finalization(session, key))  # type: ignore[misc]
            if (
                "BatchNotProposed" in refusal.message
            ):  # somebody else was faster: the mirror will say so
                continue
            if "OutOfOrder" in refusal.message:
                return sent + order.pass_closed(chain, _batch_id(chain, key))
            if "WindowOpen" in refusal.message:
                break
            raise
    return sent


def release(session: Session, key: str, reason: str) -> None:
    """Fail a batch that will never be on chain, and free its trades for another one."""
    query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == key)
    batch = session.scalars(query.with_for_update()).one()
    if batch.state is not BatchState.PLANNED:
        return
    batch.state = BatchState.FAILED
    batch.error = reason
    batch.updated_at = datetime.now(UTC)
    session.execute(delete(VppSettlementItem).where(VppSettlementItem.batch_id == batch.id))


def _plan(
    session: Session, chain: Chain, rest: timedelta, only: str | None = None
) -> list[PlannedBatch]:
    forgotten.adopt(session, chain)
    accounts = Accounts.load(session)
    resting = _resting_markets(session, rest)
    by_market: dict[str, list[Trade]] = defaultdict(list)
    for record in _free_trades(session):
        if record.market not in resting and only in (None, record.market):
            by_market[record.market].append(_trade(record, accounts))
    return [
        _store(session, chain, market, part)
        for market, trades in sorted(by_market.items())
        for part in _parts(trades)
    ]


def _parts(trades: Sequence[Trade]) -> Iterator[list[Trade]]:
    """Cut trades into what one proposal takes."""
    part: list[Trade] = []
    accounts: set[str] = set()
    for trade in trades:
        parties = {trade.buyer, trade.seller}
        if part and (
            len(part) == TRADES_PER_BATCH_MAX or len(accounts | parties) > ACCOUNTS_PER_BATCH_MAX
        ):
            yield part
            part, accounts = [], set()
        part.append(trade)
        accounts |= parties
    if part:
        yield part


def _resting_markets(session: Session, rest: timedelta) -> set[str]:
    query = select(VppSettlementBatch.market).where(
        VppSettlementBatch.state == BatchState.FAILED,
        VppSettlementBatch.updated_at > datetime.now(UTC) - rest,
    )
    return set(session.scalars(query)) if rest else set()


def _free_trades(session: Session) -> Sequence[VppTradingRecord]:
    taken = select(VppSettlementItem.trade_id)
    query = (
        select(VppTradingRecord)
        .where(VppTradingRecord.status == TradeStatus.PENDING, VppTradingRecord.id.not_in(taken))
        .order_by(VppTradingRecord.id)
        .with_for_update(skip_locked=True)
    )
    records = session.scalars(query).all()
    if not records:
        return []
    elsewhere = {item.trade.seq for item in settled_elsewhere(session, 0, None)}
    elsewhere |= forgotten.taken_numbers(session)
    return [record for record in records if record.id not in elsewhere]


def _trade(record: VppTradingRecord, accounts: Accounts) -> Trade:
    try:
        return accounts.trade(record)
    except KeyError as error:
        raise Refused(
            f"trade {record.id} has no settlement account for {error}; add it to the site file and apply that"
        ) from error


def _store(session: Session, chain: Chain, market: str, trades: Sequence[Trade]) -> PlannedBatch:
    try:
        packed = pack(trades)
    except ValueError as error:
        raise Refused(str(error)) from error
    key, now = new_key(), datetime.now(UTC)
    batch = VppSettlementBatch(
        batch_key=key,
        market=market,
        state=BatchState.PLANNED,
        trade_count=len(trades),
        accounts=list(packed.accounts),
        nets=[str(net) for net in packed.nets],
        trades_root=trades_root(key, packed.accounts, packed.words),
        created_at=now,
        updated_at=now,
    )
    session.add(batch)
    session.flush()
    numbers = sorted(trade.seq for trade in trades)
    session.add_all(
        VppSettlementItem(batch_id=batch.id, trade_id=number, word=word)
        for number, word in zip(numbers, hex_words(packed.words), strict=True)
    )
    intents.plan(session, chain.deployment.chain_id, _proposal(chain, key, packed))
    return PlannedBatch(
        key, market, len(trades), dict(zip(packed.accounts, packed.nets, strict=True))
    )


def _proposal(chain: Chain, key: str, packed: PackedBatch) -> NewIntent:
    return NewIntent(
        key=key,
        kind="propose_batch",
        contract=SETTLEMENT,
        address=chain.deployment.settlement.address,
        function="proposeBatch",
        arguments=[bytes.fromhex(key[2:]), ENERGY, list(packed.accounts), list(packed.words)],
        sender=chain.deployment.account("operator"),
    )


def _plan_finalization(session: Session, chain: Chain, now: datetime, following: int) -> list[str]:
    """Return the keys of what is due, in order; none when the contract has an earlier open batch."""
    query = (
        select(VppSettlementBatch, SettlementBatch)
        .join(SettlementBatch, SettlementBatch.key == VppSettlementBatch.batch_key)
        .where(
            VppSettlementBatch.state == BatchState.PROPOSED,
            SettlementBatch.status == SettlementStatus.PROPOSED,  # a disputed one waits
            VppSettlementBatch.finalizable_at <= now,
        )
        .order_by(VppSettlementBatch.chain_batch_id)
        .with_for_update(skip_locked=True)
    )
    keys: list[str] = []
    due = session.execute(query).all()
    if due and (due[0][0].chain_batch_id or 0) > following:
        return keys
    for batch, on_chain in due:
        earlier = session.get(ChainIntent, batch.finalize_key) if batch.finalize_key else None
        if earlier is not None and earlier.state is not IntentState.FAILED:
            if earlier.state is IntentState.PLANNED:
                keys.append(earlier.key)
            continue
        batch.finalize_key = new_key()
        # As the contract published them: a fee has changed what we planned.
        nets = [[int(net) for net in nets] for nets in (on_chain.nets, on_chain.credit_nets)]
        arguments = [batch.chain_batch_id, (on_chain.accounts, *nets)]
        intents.plan(
            session,
            chain.deployment.chain_id,
            NewIntent(
                key=batch.finalize_key,
                kind="finalize_batch",
                contract=SETTLEMENT,
                address=chain.deployment.settlement.address,
                function="finalizeBatch",
                arguments=arguments,
                sender=chain.deployment.account("operator"),
            ),
        )
        keys.append(batch.finalize_key)
    return keys


def _batch_id(chain: Chain, key: str) -> int:
    """Return the number on chain of the batch that an intent finalises."""
    with chain.db.read() as session:
        return int(intents.get(session, key).parameters["batchId"])


def _drop_finalization(session: Session, key: str) -> None:
    query = select(VppSettlementBatch).where(VppSettlementBatch.finalize_key == key)
    for batch in session.scalars(query):
        batch.finalize_key = None
