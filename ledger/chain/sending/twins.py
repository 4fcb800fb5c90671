"""Finds what does the same as an intent under another key, to warn whoever asks for the same thing twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from ledger.db import tables
from ledger.models import BlockchainTransaction, ChainBlock, ChainInclusion, ChainIntent
from ledger.models.sending import UNDER_WAY, IntentState

_LATELY = timedelta(hours=1)
_LATELY_BLOCKS = 3_600
"""How many of the newest blocks are looked through: an hour of a quick chain."""


def twin_of(session: Session, own: ChainIntent) -> ChainIntent | None:
    """Return another intent that does the same, key aside: under way, or done in the last hour."""
    lately = datetime.now(UTC) - _LATELY
    query = select(ChainIntent).where(
        ChainIntent.key != own.key,
        ChainIntent.kind == own.kind,
        ChainIntent.contract_address == own.contract_address,
        ChainIntent.sender_address == own.sender_address,
        or_(
            ChainIntent.state.in_(UNDER_WAY),
            and_(ChainIntent.state == IntentState.CONFIRMED, ChainIntent.created_at > lately),
        ),
    )
    wanted = _without_key(own)
    for other in session.scalars(query.order_by(ChainIntent.created_at.desc())):
        if _without_key(other) == wanted:
            return other
    return None


def twin_on_chain(session: Session, own: ChainIntent) -> BlockchainTransaction | None:
    """Return a transaction of the last hour that did the same, and that no intent of these books sent: they lost it.

    That is the chain's hour: what the books lost they know by the time of its block alone.
    """
    newest, at = _newest(session)
    lately = at - _LATELY
    query = (
        select(BlockchainTransaction)
        .join(
            ChainInclusion,
            tables.read_first(ChainInclusion.tx_hash) == BlockchainTransaction.tx_hash,
        )
        .where(
            ChainInclusion.block_number > newest - _LATELY_BLOCKS,
            ChainInclusion.sender == own.sender_address,
            ChainInclusion.intent_key.is_(None),
            ChainInclusion.error.is_(None),
            BlockchainTransaction.contract_address == own.contract_address,
            BlockchainTransaction.function_name == own.function_name,
            BlockchainTransaction.created_at > lately,
        )
        .order_by(ChainInclusion.block_number.desc())
    )
    wanted = _without_key(own)
    for found in session.scalars(query):
        said = found.parameters or {}
        if said.keys() == own.parameters.keys() and wanted.items() <= said.items():
            return found
    return None


def _newest(session: Session) -> tuple[int, datetime]:
    """Return number and time of the newest block that is mirrored."""
    number = session.scalar(select(func.max(ChainBlock.number))) or 0
    at = session.scalar(select(ChainBlock.block_time).where(ChainBlock.number == number))
    return number, at or datetime.now(UTC)


def _without_key(intent: ChainIntent) -> dict[str, Any]:
    return {name: value for name, value in intent.parameters.items() if value != intent.key}
