"""Looks again at what became final lately: a chain may break its promise."""

from __future__ import annotations

import logging

from sqlalchemy import select

from ledger.chain.sending import intents
from ledger.chain.sending.broadcasting import included, to_send
from ledger.chain.sending.desk import Desk
from ledger.db import tables
from ledger.models import ChainAttempt, ChainCursor, ChainInclusion, ChainIntent

log = logging.getLogger(__name__)

RECHECKED_BLOCKS = 256
"""How far below the mirror's head, in blocks, final intents are looked at again."""


def taken_back(desk: Desk) -> dict[str, ChainAttempt | None]:
    """Return the intents that are final in the books and in no block of the node, each with the attempt to send again.

    There is none to send (None) where another attempt of the intent stands in a block, or could come into one
    (``broadcasting.to_send``). A node that has not reached an intent's block yet, because it was restored for instance,
    has taken nothing back.

    Nothing is written here: the mirror sees the same, and opens the intents again.

    Raises
    ------
    DependencyDown
        If the node does not answer.
    """
    there = desk.client.block_number()  # before its receipts: what it has now it has then
    with desk.db.read() as session:
        query = select(ChainCursor.block_number).where(ChainCursor.chain_id == desk.chain_id)
        head = session.scalars(query).first() or 0
        # By the mirror's rows, which are found by their blocks: intents are many, and long.
        final = (
            select(ChainIntent)
            .join(ChainInclusion, tables.read_first(ChainInclusion.tx_hash) == ChainIntent.tx_hash)
            .where(
                ChainInclusion.block_number > head - RECHECKED_BLOCKS,
                ChainIntent.chain_id + 0 == desk.chain_id,
                ChainIntent.block_number <= there,
            )
            .order_by(ChainIntent.block_number, ChainIntent.key)
        )
        rows = session.scalars(final).all()
    receipts = desk.client.receipts([str(row.tx_hash) for row in rows])
    gone = [row for row, receipt in zip(rows, receipts, strict=True) if receipt is None]
    found: dict[str, ChainAttempt | None] = {}
    for row in gone:
        log.warning(
            "a reorganisation took back %s of %s, final in block %s",
            row.function_name,
            row.sender_address,
            row.block_number,
        )
        with desk.db.read() as session:
            attempts = intents.attempts_of(session, row.key)
        lost = attempts and row.nonce is not None and not included(desk, attempts)
        found[row.key] = to_send(desk, row, attempts) if lost else None
    return found
