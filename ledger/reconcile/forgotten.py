"""What these books have settled and do not know: of the rules ``settlement-batches`` and ``trades``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

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
            if key in known:
                continue
            said = batch.proposal
            # What parties signed is held against the trades themselves, as far as the books have them.
            records = (
                are_ours(session, ours.accounts, said.words, said.accounts, said.asset)
                if batch.cosigned_digest is None
                else None
            )
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
        lanes = select(ChainNonceLane.address).where(
            ChainNonceLane.chain_id == books.deployment.chain_id
        )
        senders = {*books.session.scalars(lanes), books.deployment.accounts.get("operator", "")}
        return cls(accounts, accounts.parties, frozenset(senders))

    def what_to_do(self, parties: Iterable[str], trades: str, then: str) -> str:
        """Say how lost trades come back, and whose account is not known yet."""
        strangers = [account for account in parties if account not in self.parties]
        of_whom = f", of account {strangers[0]}, which is nobody's here" if strangers else ""
        first = "apply the site file as it was then, " if strangers else ""
        return (
            f"{of_whom}; if they have forgotten {trades}, {first}import {trades} again, and the next settlement {then}"
            "; if other books settle with that account, give them one of their own"
        )


def _with_lost_trades(books: Books, ours: _Ours, batch: SettledBatch) -> str | None:
    """Say that a batch was sent from here with trades that the books do not have; None: it is not such a one.

    With a plant or a market of these books, by an account of theirs: another operator has an account of its own. Other
    parties may be theirs as well, by accounts of which the books do not know yet.
    """
    said = batch.proposal
    if batch.status is SettlementStatus.CANCELLED or ours.parties.isdisjoint(said.accounts):
        return None
    trades = [trade_of(said.accounts, word) for word in said.words]
    records = trades_among(books.session, [trade.seq for trade in trades])
    cosigned = batch.cosigned_digest is not None
    lost = [
        trade.seq
        for trade in trades
        if trade.seq not in records
        or not (cosigned or ours.accounts.is_of(records[trade.seq], trade))
    ]
    _, tx_hash = batch.proposed_place
    sender = _sender_of(books, ours, tx_hash) if lost else None
    if sender is None:
        return None
    then = "executes them" if cosigned else "takes the batch over"
    return (
        f"sent by {sender}, with which these books send, and they do not have {len(lost)} of its {len(trades)} "
        f"trades, the first of them number {lost[0]}" + ours.what_to_do(said.accounts, "them", then)
    )


def forgotten_singles(books: Books, singles: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say of trades that were settled by themselves, and that the books do not have, which were sent from here.

    Parameters
    ----------
    singles
        What the chain says of them, as rows of ``settlement_trades``.
    """
    ours = _Ours.load(books)
    found = []
    for single in singles:
        accounts = single["buyer"], single["seller"]
        if ours.parties.isdisjoint(accounts):
            continue  # of others, who may have thousands: their senders are not asked for
        sender = _sender_of(books, ours, single["tx_hash"])
        if sender is not None:
            found.append(
                f"trade {single['seq']}: settled on chain by itself, sent by {sender}, with which these books send, "
                "and they do not have it" + ours.what_to_do(accounts, "it", "executes it")
            )
    return found


def _sender_of(books: Books, ours: _Ours, tx_hash: str) -> str | None:
    """Return who sent a transaction, if it is an account that the books send with."""
    query = select(ChainInclusion.sender).where(ChainInclusion.tx_hash == tx_hash)
    sender = books.session.scalar(query)
    return sender if sender in ours.senders else None
