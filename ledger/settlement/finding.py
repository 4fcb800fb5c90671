"""Batches and trades of the books, by what a person writes (a key, ``batch:3``, ``trade:17``), or by numbers."""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlalchemy import (
    Exists,
    exists,
    select,
)
from sqlalchemy.orm import Session

from ledger.db import tables
from ledger.errors import BadInput, NotFound
from ledger.models import (
    ChainEvent,
    SettlementBatch,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.serials import is_key
from ledger.settlement.readable import readable

_BATCH = re.compile(r"(?:batch:)?([1-9][0-9]{0,17})", re.ASCII)
_BEGUN = re.compile(r"0x[0-9a-f]{8,63}", re.ASCII | re.IGNORECASE)
"""The begin of a key: of a million batches, eight digits name one alone but for one time in four thousand."""
_KEY_LENGTH = 66
_TRADE = re.compile(r"trade:([1-9][0-9]{0,17})", re.ASCII)
ROW_MAX = 2**63 - 1
"""The highest row number; the contract has room for more."""


def named_trade(text: str) -> int | None:
    """Return the number of the trade that a text names, ``trade:17``; None: it names none."""
    found = _TRADE.fullmatch(text)
    return int(found[1]) if found else None


def number_of_trade(text: str) -> int:
    """Return the number of a trade from ``17`` or ``trade:17``.

    Raises
    ------
    BadInput
        If the text is neither.
    """
    number = named_trade(text if text.startswith("trade:") else f"trade:{text}")
    if number is None:
        raise BadInput(f"{text[:40]!r} is no number of a trade; write for example 17")
    return number


def resource_of(number: int) -> str:
    """Return how the audit log names a trade."""
    return f"{VppTradingRecord.__tablename__}/{number}"


def find_trade(session: Session, number: int, *, lock: bool = False) -> VppTradingRecord:
    """Return a trade by its row number, which is also its number on chain.

    Parameters
    ----------
    lock
        Whether to keep others from it until the end of the unit of work; whoever has it so already is waited for.

    Raises
    ------
    NotFound
        If there is none.
    """
    query = select(VppTradingRecord).where(VppTradingRecord.id == number)
    trade = session.scalars(query.with_for_update() if lock else query).first()
    if trade is None:
        raise NotFound(f"there is no trade {number}; `truetonne trades list` has all of them")
    return trade


def trades_among(session: Session, numbers: Collection[int]) -> dict[int, VppTradingRecord]:
    """Return those of some numbers that are trades of the books; the chain has numbers that are no row's.

    Without those that cannot be read: the mirror, which asks for what others settled, must not stop at one.
    """
    known = {number for number in numbers if number <= ROW_MAX}
    return {
        trade.id: trade
        for here in tables.among(session, VppTradingRecord.id, known)
        for trade in session.scalars(select(VppTradingRecord).where(here, readable(session)))
    }


def find_batch(
    session: Session, text: str, *, shortened: bool = True, lock: bool = False
) -> VppSettlementBatch:
    """Return a batch by its key, its row number, or ``batch:NUMBER``.

    Parameters
    ----------
    shortened
        Whether the first eight digits of a key, or more, will do.
    lock
        Whether to keep others from it until the end of the unit of work. By a whole key or a number that is the first
        statement, so that what is read after it is what whoever had it before has written.

    Raises
    ------
    NotFound
        If there is none.
    BadInput
        If the keys of several begin so.
    """
    batch = None
    if shortened and _BEGUN.fullmatch(text):
        begun = text.lower()
        first, last = begun.ljust(_KEY_LENGTH, "0"), begun.ljust(_KEY_LENGTH, "f")
        query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key.between(first, last))
        found = session.scalars(query.order_by(VppSettlementBatch.id).limit(2)).all()
        if len(found) > 1:
            keys = ", ".join(item.batch_key for item in found)
            raise BadInput(
                f"the keys of several settlement batches begin with {text}: {keys}; write more of it"
            )
        batch = found[0] if found else None
    elif is_key(text):
        query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == text.lower())
        batch = session.scalars(query.with_for_update() if lock else query).first()
    elif number := _BATCH.fullmatch(text):
        locked = True if lock else None
        batch = session.get(VppSettlementBatch, int(number[1]), with_for_update=locked)
    if batch is None:
        raise NotFound(
            f"there is no settlement batch {text[:80]!r}; `truetonne settle status` has the open and the latest "
            "ones, and a trade is named trade:NUMBER"
        )
    return batch


def written_out(session: Session, text: str) -> str:
    """Return the key of the batch that a shortened key names, and any other text as it is.

    Raises
    ------
    NotFound, BadInput
        As ``find_batch``, of a shortened key.
    """
    return find_batch(session, text).batch_key if _BEGUN.fullmatch(text) else text


def batch_holding(session: Session, number: int) -> VppSettlementBatch | None:
    """Return the batch of these books in which a trade stands; None when it stands in none."""
    query = (
        select(VppSettlementBatch)
        .join(VppSettlementItem, VppSettlementItem.batch_id == VppSettlementBatch.id)
        .where(VppSettlementItem.trade_id == number)
    )
    return session.scalars(query).first()


def in_a_batch() -> Exists:
    """Return the condition that a trade stands in a batch of these books; it is looked up for each trade."""
    return exists().where(VppSettlementItem.trade_id == VppTradingRecord.id)


def words_of(session: Session, batch: VppSettlementBatch) -> tuple[int, ...]:
    """Return the trades of a batch as the contract reads them, in its order."""
    query = select(VppSettlementItem.word).where(VppSettlementItem.batch_id == batch.id)
    ordered = query.order_by(VppSettlementItem.trade_id)
    return tuple(int(word, 16) for word in session.scalars(ordered))


def words_on_chain(session: Session, batch: SettlementBatch) -> tuple[int, ...]:
    """Return the same of a batch on chain, whoever proposed it: as the event says that did."""
    event = session.get_one(ChainEvent, (batch.block_number, batch.log_index))
    return tuple(int(word) for word in event.args["words"])
