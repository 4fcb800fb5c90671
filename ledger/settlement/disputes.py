"""Disputes over proposed batches: a party of a trade brings one; an arbiter rejects it, or cancels the batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.keys.signers import NO_KEY
from ledger.chain.sending import intents
from ledger.chain.sending.intents import new_key
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import ChainIntent, SettlementBatch
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import IntentState
from ledger.serials import is_key
from ledger.settlement.calls import DISPUTE, REJECT, all_under_way, call_of, under_way
from ledger.settlement.finding import find_batch, words_on_chain
from ledger.settlement.money import participants
from ledger.settlement.stuck import disputed_until
from ledger.settlement.tree import fields, proof_of
from ledger.settlement.words import seq_of


@dataclass(frozen=True)
class Disputable:
    """A trade of a batch that is open on chain, ready to be disputed."""

    batch: SettlementBatch
    words: tuple[int, ...]
    place: int
    """Which of the words it is."""

    @property
    def parties(self) -> tuple[str, str]:
        """Accounts of its buyer and its seller."""
        _, buyer, seller, *_ = fields(self.batch.accounts, self.words[self.place])
        return buyer, seller


def plan_dispute(
    session: Session, chain: Chain, name: str, number: int, account: str | None = None
) -> str:
    """Store the intent to dispute a trade of a proposed batch, as a party of the trade; return its key.

    The contract takes a bond from the party's escrow, and the batch waits, with those behind it, until an arbiter has
    decided or the dispute has timed out. A party disputes a batch once: asked again while an intent is on its way, it
    is that one's key that is returned, whatever trade it names. One of another trade that was not sent is given up.

    Parameters
    ----------
    name
        Key or row number of a batch of ours, or the key of a batch of others.
    number
        Number of the trade on chain, which of trades of ours is their row number.
    account
        Who disputes; None: the party whose key is at hand.

    Raises
    ------
    NotFound
        If the mirror knows no such batch, or the batch has no such trade.
    BadInput
        If the account is no party of the trade; or, where none is given, no key of a party is here, or both are.
    Refused
        If the batch is not proposed: it is disputed already, or over.
    """
    batch = _on_chain(session, name, lock=True)
    trade = _trade_of(session, batch, number)
    asked = brought(session, batch.batch_id)
    if not asked:
        _require_proposed(batch)
    party = _party(session, chain, trade, number, account)
    for intent in asked:
        if intent.sender_address == party and not _is_given_up(session, intent, number):
            return intent.key
    _require_proposed(batch)
    proof = proof_of(batch.key, batch.accounts, trade.words, trade.place)
    arguments = [batch.batch_id, fields(batch.accounts, trade.words[trade.place]), proof]
    call = call_of(chain, new_key(), DISPUTE, "disputeTrade", arguments, party)
    return intents.plan(session, chain.deployment.chain_id, call)


def brought(session: Session, batch_id: int) -> list[ChainIntent]:
    """Return the intents to dispute a trade of a batch that are planned or sent, and not final."""
    return all_under_way(session, DISPUTE, batch_id)


def decided_until(session: Session, name: str) -> datetime | None:
    """Return until when an arbiter may decide the dispute over a batch, as the mirror has it; None: there is none."""
    return disputed_until(session, _on_chain(session, name))


def _is_given_up(session: Session, intent: ChainIntent, number: int) -> bool:
    """Give up an intent that disputes another trade and was not sent; return whether it was."""
    if int(intent.parameters["trade"]["seq"]) == number:
        return False
    refused = intents.refuse(
        session, intent.key, f"not sent: trade {number} is disputed in its place"
    )
    return refused.state is IntentState.FAILED


def _require_proposed(batch: SettlementBatch) -> None:
    if batch.status is not SettlementStatus.PROPOSED:
        raise Refused(
            f"batch {batch.key} is {batch.status.value}; only a trade of a proposed one can be disputed",
            code="not-proposed",
            details={"batch_key": batch.key},
        )


def _trade_of(session: Session, batch: SettlementBatch, number: int) -> Disputable:
    """Return a trade of a batch, as the event has it that proposed the batch.

    Raises
    ------
    NotFound
        If the batch has no such trade.
    """
    words = words_on_chain(session, batch)
    numbers = [seq_of(word) for word in words]
    if number not in numbers:
        raise NotFound(
            f"batch {batch.key} has no trade {number}; `truetonne settle status trade:{number}` says where a trade of "
            "these books stands"
        )
    return Disputable(batch, words, numbers.index(number))


def _party(
    session: Session, chain: Chain, trade: Disputable, number: int, account: str | None
) -> str:
    """Return who disputes a trade: who is named, or the one party whose key is here.

    Raises
    ------
    BadInput
        If who is named is no party of it, or nobody is and it cannot be told who shall.
    """
    names = participants(session)
    buyer, seller = (names.get(party, party) for party in trade.parties)
    parties = f"its buyer is {buyer}, its seller {seller}"
    if account is not None:
        if account not in trade.parties:
            name = names.get(account, account)
            raise BadInput(f"{name} is no party of trade {number}: {parties}", code="not-a-party")
        return account
    here = [party for party in trade.parties if party in chain.keyring.addresses]
    if len(here) == 1:
        return here[0]
    if here:
        raise BadInput(
            f"the keys of both parties of trade {number} are here; say with --account who disputes it: {parties}"
        )
    raise BadInput(
        f"no key of a party of trade {number} is here: {parties}; put its keystore file into the keystore folder",
        code=NO_KEY,
    )


def plan_rejection(session: Session, chain: Chain, name: str) -> str:
    """Store the intent to reject the dispute over a batch, as the arbiter; return its key.

    The batch is proposed again for as long as its window was still open, and the bond goes to the collector of the
    fees. Asked again while an intent is on its way, it is that one's key that is returned.

    Parameters
    ----------
    name
        Key or row number of a batch of ours, or the key of a batch of others: an arbiter decides on either.

    Raises
    ------
    NotFound
        If the mirror knows no such batch.
    BadInput
        If the deployment names no arbiter.
    Refused
        If nobody disputes a trade of the batch.
    """
    batch = _on_chain(session, name, lock=True)
    intent = under_way(session, REJECT, batch.batch_id)
    if intent is not None:  # of a dispute that is over by now, too: it is sent to its end
        return intent.key
    if batch.status is not SettlementStatus.DISPUTED:
        raise Refused(
            f"no trade of batch {batch.key} is disputed (it is {batch.status.value})",
            code="not-disputed",
            details={"batch_key": batch.key},
        )
    arbiter = chain.deployment.account("arbiter")
    call = call_of(chain, new_key(), REJECT, "rejectDispute", [batch.batch_id], arbiter)
    return intents.plan(session, chain.deployment.chain_id, call)


def window_end(session: Session, name: str) -> datetime | None:
    """Return until when a batch may be disputed, as the mirror has it; None: it is not proposed."""
    batch = _on_chain(session, name)
    if batch.status is not SettlementStatus.PROPOSED:
        return None
    return datetime.fromtimestamp(batch.finalizable_at_s, UTC)


def _on_chain(session: Session, name: str, *, lock: bool = False) -> SettlementBatch:
    """Return a batch as the mirror has it.

    Parameters
    ----------
    lock
        Whether to keep others from it, and first: who acts on it at the same moment is waited for, and that intent
        seen. Two rejections would end two disputes, the second of which nobody may have read.

    Raises
    ------
    NotFound
        If there is none: of these books, or, by its key, on chain.
    """
    key = name.lower() if is_key(name) else find_batch(session, name, lock=lock).batch_key
    query = select(SettlementBatch).where(SettlementBatch.key == key)
    batch = session.scalars(query.with_for_update() if lock else query).first()
    if batch is None:
        raise NotFound(
            f"settlement batch {key} is not on chain, as far as the mirror has read; `truetonne settle status "
            "--all` has those of these books"
        )
    return batch
