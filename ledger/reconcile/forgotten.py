"""Settlement batches of ours that the chain has and the books do not: of the rule ``settlement-batches``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import exists, select

from ledger.models import ChainInclusion, ChainIntent, ChainNonceLane, VppSettlementBatch
from ledger.models.escrow import SettlementStatus
from ledger.reconcile.books import Books
from ledger.reconcile.mined import among
from ledger.reconcile.pieces import BATCHES
from ledger.reconcile.replay_escrow import SettledBatch
from ledger.settlement.calls import COSIGNED, PROPOSE
from ledger.settlement.elsewhere import Accounts
from ledger.settlement.finding import trades_among
from ledger.settlement.forgotten import are_ours, in_batches
from ledger.settlement.words import trade_of


def forgotten_batches(books: Books) -> list[str]:
    """Find batches that these books have sent, or would have, and have no row of: they were restored from before."""
    forgotten = _forgotten(books)
    return [*forgotten.values(), *_missing(books, forgotten)]


def _missing(books: Books, forgotten: Collection[str]) -> list[str]:
    """Find other batches of which the books have the intent and no row: on chain they would pass for another's."""
    planned = exists().where(VppSettlementBatch.batch_key == ChainIntent.key)
    query = select(ChainIntent.key).where(ChainIntent.kind.in_((PROPOSE, COSIGNED)), ~planned)
    return [
        f"settlement batch {key}: planned by these books, which have no such batch"
        for key in books.session.scalars(query.order_by(ChainIntent.key))
        if key not in forgotten
    ]


def _forgotten(books: Books) -> dict[str, str]:
    """Return what is said of batches on chain of which the books have no row, by key."""
    session = books.session
    ours = _Ours.load(books)
    found = {}
    batches = books.replay.settled.items()
    while piece := list(islice(batches, BATCHES)):
        keys = [key for key, _ in piece]
        known = {
            row.batch_key
            for row in among(session, VppSettlementBatch, VppSettlementBatch.batch_key, keys)
        }
        for key, batch in piece:
            if key in known or batch.cosigned_digest is not None:
                continue  # what parties signed is held against the trades themselves
            said = batch.proposal
            records = are_ours(session, ours.accounts, said.words, said.accounts, said.asset)
            if records is None:
                lost = _with_lost_trades(books, ours, batch)
                if lost is not None and session.get(ChainIntent, key) is None:
                    found[key] = f"settlement batch {key}: {batch.status.value} on chain, {lost}"
            elif not in_batches(session, records):
                found[key] = (
                    f"settlement batch {key}: {batch.status.value} on chain, with {len(records)} trades that are all "
                    "of these books, which have no such batch; the next settlement takes it over"
                )
    return found


@dataclass(frozen=True)
class _Ours:
    """By what a batch of ours is known where its trades are lost, too."""

    accounts: Accounts
    parties: frozenset[str]
    """The accounts that plants and markets of the books have or had."""
    senders: frozenset[str]
    """The accounts that the books send with."""

    @classmethod
    def load(cls, books: Books) -> _Ours:
        accounts = Accounts.load(books.session)
        parties = {*accounts.plants.values(), *accounts.markets.values()}
        parties.update(*accounts.plants_had.values(), *accounts.markets_had.values())
        lanes = select(ChainNonceLane.address).where(
            ChainNonceLane.chain_id == books.deployment.chain_id
        )
        senders = {*books.session.scalars(lanes), books.deployment.accounts.get("operator", "")}
        return cls(accounts, frozenset(parties), frozenset(senders))


def _with_lost_trades(books: Books, ours: _Ours, batch: SettledBatch) -> str | None:
    """Say that a batch was proposed from here with trades that the books do not have; None: it is not such a one.

    Between plants and markets of these books, by an account of theirs: another operator has an account of its own.
    """
    said = batch.proposal
    if batch.status is SettlementStatus.CANCELLED or not ours.parties.issuperset(said.accounts):
        return None
    trades = [trade_of(said.accounts, word) for word in said.words]
    records = trades_among(books.session, [trade.seq for trade in trades])
    lost = [
        trade.seq
        for trade in trades
        if trade.seq not in records or not ours.accounts.is_of(records[trade.seq], trade)
    ]
    _, tx_hash = batch.proposed_place
    query = select(ChainInclusion.sender).where(ChainInclusion.tx_hash == tx_hash)
    sender = books.session.scalar(query) if lost else None
    if sender not in ours.senders:
        return None
    return (
        f"from {sender}, with which these books send, and they do not have {len(lost)} of its {len(trades)} "
        f"trades, the first of them number {lost[0]}; if they have forgotten them, import them again, and the next "
        "settlement takes the batch over; if other books settle with that account, give them one of their own"
    )
