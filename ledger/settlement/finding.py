"""Which batch or trade a person means: a key, a row number, ``batch:3``, ``trade:17``."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import BadInput, NotFound
from ledger.models import VppSettlementBatch

_KEY = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_BATCH = re.compile(r"(?:batch:)?([1-9][0-9]{0,17})", re.ASCII)
_TRADE = re.compile(r"trade:([1-9][0-9]{0,17})", re.ASCII)


def named_trade(text: str) -> int | None:
    """Return the number of the trade that a text names, ``trade:17``; None: it names none."""
    found = _TRADE.fullmatch(text)
    return int(found[1]) if found else None


def is_key(text: str) -> bool:
    """Return whether a text is written as the key of a batch is."""
    return _KEY.fullmatch(text) is not None


def find_batch(session: Session, text: str) -> VppSettlementBatch:
    """Return a batch by its key, its row number, or ``batch:NUMBER``.

    Raises
    ------
    NotFound
        If there is none.
    """
    batch = None
    if is_key(text):
        query = select(VppSettlementBatch).where(VppSettlementBatch.batch_key == text.lower())
        batch = session.scalars(query).first()
    elif number := _BATCH.fullmatch(text):
        batch = session.get(VppSettlementBatch, int(number[1]))
    if batch is None:
        raise NotFound(
            f"there is no settlement batch {text[:80]!r}; `truetonne settle status` has all of them, and a "
            "trade is named trade:NUMBER"
        )
    return batch


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
