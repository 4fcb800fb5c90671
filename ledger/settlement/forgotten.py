"""Takes over batches of ours that the chain has and these books do not: they were restored from before the planning.

Such a batch is found by its trades. If every one of them is a trade of the books, with the same parties and
figures, the batch is ours. It is *adopted*: stored with its key, its trades and its intent, as it stands on chain,
and never planned again. If some of its trades were planned anew before the mirror had read it, that is withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import cast, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.sending import adoption, intents
from ledger.db import tables
from ledger.models import (
    ChainCursor,
    ChainEvent,
    ChainIntent,
    SettlementBatch,
    SettlementTrade,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType
from ledger.settlement import confirm, cosign, renumbered, singles
from ledger.settlement.calls import proposal_of
from ledger.settlement.elsewhere import (
    ENERGY,
    IS_ON_CHAIN,
    PROPOSED_BY,
    Accounts,
    SettledElsewhere,
    assets_of,
    keys_elsewhere,
    numbers_in_batches,
    settled_among,
    unknown_keys,
)
from ledger.settlement.finding import ROW_MAX, trades_among, words_on_chain
from ledger.settlement.words import Trade, hex_words, nets_of, seq_of, trade_of

STATES = {
    SettlementStatus.PROPOSED: BatchState.PROPOSED,
    SettlementStatus.DISPUTED: BatchState.PROPOSED,
    SettlementStatus.FINALIZED: BatchState.FINALIZED,
    SettlementStatus.CANCELLED: BatchState.CANCELLED,
}
"""How far a batch has come that is known from the chain alone."""
_PLANNED = (
    select(VppSettlementItem.trade_id)
    .join(VppSettlementBatch, VppSettlementBatch.id == VppSettlementItem.batch_id)
    .where(VppSettlementBatch.state == BatchState.PLANNED)
)
"""The numbers of the trades of what is planned, and not sent."""


def adopt(session: Session, chain: Chain) -> list[str]:
    """Adopt the batches that the chain knows and the books do not, or gave up; return the keys of the first."""
    _take_back(session)
    unknown = unknown_keys(session)
    if not unknown:
        return []
    accounts = Accounts.load(session)
    adopted = []
    for batch_id, words in sorted(_to_judge(session, accounts, unknown).items()):
        batch = session.get_one(SettlementBatch, batch_id)
        # No row has a higher one, and SQLite cannot even be asked for it.
        numbers = [number for number in map(seq_of, words) if number <= ROW_MAX]
        records = are_ours(session, accounts, words, batch.accounts, batch.asset)
        if records is None:
            if batch.status is not SettlementStatus.CANCELLED:
                withdraw(session, numbers, f"in batch {batch.key}")
            continue
        withdraw(session, numbers, f"in batch {batch.key}")
        if in_batches(session, numbers):
            continue  # the mirror will take one of them back
        _store(session, chain, batch, words, next(iter(records.values())).market)
        adopted.append(batch.key)
    if adopted:
        _settle(session, chain)
    return adopted


def _to_judge(
    session: Session, accounts: Accounts, unknown: Collection[str]
) -> dict[int, list[int]]:
    """Return the proposed batches that may be ours, or have trades of what is planned here: words by number.

    Together, and by the first trade of each: others may have thousands on the same contract, their trades numbered as
    ours are, and this is asked at every run.

    Parameters
    ----------
    unknown
        The keys of the batches that the books do not know.
    """
    proposals = (
        select(SettlementBatch.batch_id, ChainEvent.args)
        .join(ChainEvent, PROPOSED_BY)
        .where(SettlementBatch.cosigned_digest.is_(None))
    )
    planned = set(session.scalars(_PLANNED))
    found = {}
    for here in tables.among(session, SettlementBatch.key, unknown):
        words, firsts = {}, {}
        for batch_id, args in session.execute(proposals.where(here)):
            words[batch_id] = [int(word) for word in args["words"]]
            firsts[batch_id] = trade_of(args["accounts"], words[batch_id][0])
        known = trades_among(session, {trade.seq for trade in firsts.values()})
        for batch_id, trade in firsts.items():
            record = known.get(trade.seq)
            ours = record is not None and accounts.is_of(record, trade)
            if ours or not planned.isdisjoint(map(seq_of, words[batch_id])):
                found[batch_id] = words[batch_id]
    return found


def _take_back(session: Session) -> None:
    """Have batches that failed here, and that the chain has all the same, hold their trades again.

    Their call had failed in a final block; the chain took that back, and the call came again. One that was signed the
    mirror takes up itself (``confirm.proposed``), unless its trades stood in another batch by then.
    """
    query = (
        select(SettlementBatch, VppSettlementBatch)
        .join(VppSettlementBatch, IS_ON_CHAIN)
        .where(
            VppSettlementBatch.state == BatchState.FAILED,
            SettlementBatch.status != SettlementStatus.CANCELLED,
        )
        .order_by(SettlementBatch.batch_id)
    )
    for batch, row in session.execute(query).all():
        words = words_on_chain(session, batch)
        trades = [trade_of(batch.accounts, word) for word in words]
        if renumbered.left(session, trades, row.created_at):
            continue  # until they have their numbers again
        numbers = [trade.seq for trade in trades]
        withdraw(session, numbers, f"in batch {batch.key}")
        if in_batches(session, numbers):
            continue  # of one that was sent: when it has failed
        for name, value in _as_on_chain(batch).items():
            setattr(row, name, value)
        row.updated_at = datetime.now(UTC)
        _hold(session, row, words)


def execute_late(session: Session, chain: Chain, found: Collection[SettledElsewhere]) -> None:
    """Execute trades that the chain had settled, in final blocks, before the books had them (again).

    The mirror executes the trades that are in the books when their block becomes final. It does not see those that
    are imported later, after a restore for instance.
    """
    final = session.scalar(
        select(ChainCursor.final_number).where(ChainCursor.chain_id == chain.deployment.chain_id)
    )
    if final is not None:
        confirm.execute(session, [item for item in found if item.block_number <= final])


def execute_ended(session: Session, chain: Chain, *, also_in_batches: bool) -> None:
    """Execute trades that had ended here, and that the chain had settled before the books could know it.

    Restored books adopt the cancelled batch of a trade that was settled since; and of what was settled with an account
    that a plant or market got after the backup, they learn whose it is when the site file comes again.

    Parameters
    ----------
    also_in_batches
        Whether those are looked for that were settled in batches, too, not by themselves alone. All batches of others
        are read for that: too much for a run that has nothing to do.
    """
    ended = select(VppTradingRecord.id).where(
        VppTradingRecord.status.in_((TradeStatus.CANCELLED, TradeStatus.FAILED))
    )
    if not (also_in_batches and keys_elsewhere(session)):
        # As the column is compared: SQLite has it as text, and would read all of them for each trade.
        number = cast(VppTradingRecord.id, SettlementTrade.seq.type)
        ended = ended.join(SettlementTrade, SettlementTrade.seq == number)
    execute_late(session, chain, settled_among(session, session.scalars(ended).all()))


def taken_numbers(session: Session) -> set[int]:
    """Return the numbers of trades in batches that are live or final on chain and none of ours, or given up here.

    Another operator may have used up the key of one that these books gave up for that.
    """
    return {
        number
        for here in tables.among(session, SettlementBatch.key, keys_elsewhere(session))
        for number in numbers_in_batches(
            session, here, SettlementBatch.status != SettlementStatus.CANCELLED
        )
    }


def are_ours(
    session: Session, accounts: Accounts, words: Iterable[int], parties: Sequence[str], asset: int
) -> dict[int, VppTradingRecord] | None:
    """Return the books' trades of a batch on chain, by number; None unless all are theirs, with one market's account.

    Markets may share an account. The chain does not know them apart then, and trades that came again after a restore
    may have got each other's numbers.

    Parameters
    ----------
    words, parties
        The batch's trades as the chain has them, and the accounts that they name.
    asset
        What the batch is of: the token, 0 for energy.
    """
    trades = [trade_of(parties, word) for word in words]
    records = trades_among(session, [trade.seq for trade in trades])
    for trade in trades:
        record = records.get(trade.seq)
        if record is None or not accounts.is_of(record, trade):
            return None
    assets = assets_of(session, records)
    alike = {
        (_market_side(records[trade.seq], trade), assets.get(trade.seq, ENERGY)) for trade in trades
    }
    return records if len(alike) == 1 and {of for _, of in alike} == {asset} else None


def _market_side(record: VppTradingRecord, trade: Trade) -> str:
    return trade.seller if record.trade_type is TradeType.BUY else trade.buyer


def in_batches(session: Session, numbers: Collection[int]) -> bool:
    """Return whether any of these trades stands in a batch of the books."""
    query = select(VppSettlementItem.trade_id).where(VppSettlementItem.trade_id.in_(numbers))
    return session.scalars(query).first() is not None


def withdraw_overtaken(session: Session) -> None:
    """Take back what is planned, and not sent, with trades that the chain has settled by other ways meanwhile."""
    alone = singles.not_settled_alone(session)
    settled = settled_among(session, [*session.scalars(_PLANNED), *alone])
    overtaken = {item.trade.seq for item in settled}
    if overtaken:
        withdraw(session, sorted(overtaken), "settled by another way")
        singles.withdraw(
            session, overtaken & alone, "the chain has settled the trade by another way"
        )


def withdraw(session: Session, numbers: list[int], where: str) -> None:
    """Take back batches that were planned with trades of another one, and that no transaction proposes.

    Parameters
    ----------
    numbers
        The trades.
    where
        Where the chain has them, to go on with "the chain has trades of it ...".
    """
    query = select(VppSettlementBatch).where(
        VppSettlementBatch.state == BatchState.PLANNED,
        VppSettlementBatch.id.in_(
            select(VppSettlementItem.batch_id).where(VppSettlementItem.trade_id.in_(numbers))
        ),
    )
    for batch in session.scalars(query).all():
        cosign.take_back(
            session, batch, f"withdrawn, it was not sent: the chain has trades of it {where}"
        )


def _store(
    session: Session, chain: Chain, batch: SettlementBatch, words: list[int], market: str
) -> None:
    now = datetime.now(UTC)
    nets = nets_of(words, len(batch.accounts))
    row = VppSettlementBatch(
        batch_key=batch.key,
        market=market,
        trade_count=len(words),
        accounts=list(batch.accounts),
        nets=[str(net) for net in nets],  # before the fee, as everywhere
        trades_root=batch.trades_root,
        asset=batch.asset or None,
        credit_nets=list(batch.credit_nets) if batch.asset else None,
        created_at=now,
        updated_at=now,
        **_as_on_chain(batch),
    )
    session.add(row)
    session.flush()
    _hold(session, row, words)
    if session.get(ChainIntent, batch.key) is None:
        proposal = proposal_of(chain, batch.key, batch.asset, batch.accounts, words)
        intents.plan(session, chain.deployment.chain_id, proposal)


def _as_on_chain(batch: SettlementBatch) -> dict[str, Any]:
    """Return how far a batch has come on chain, by column of ours."""
    return {
        "state": STATES[batch.status],
        "chain_batch_id": batch.batch_id,
        "finalizable_at": datetime.fromtimestamp(batch.finalizable_at_s, UTC),
        "proposed_block": batch.block_number,
        "finalized_block": batch.ended_block,
        "error": batch.reason,
    }


def _hold(session: Session, row: VppSettlementBatch, words: Sequence[int]) -> None:
    session.add_all(
        VppSettlementItem(batch_id=row.id, trade_id=seq_of(word), word=text)
        for word, text in zip(words, hex_words(words), strict=True)
    )
    session.flush()


def _settle(session: Session, chain: Chain) -> None:
    """Say of what was adopted what the mirror would have said when its blocks became final."""
    query = select(ChainCursor).where(ChainCursor.chain_id == chain.deployment.chain_id)
    cursor = session.scalars(query).first()
    if cursor is not None:
        adoption.adopt_final(session, cursor.final_number, cursor.final_number)
        confirm.settle_final(session, cursor.final_number, cursor.final_number)
