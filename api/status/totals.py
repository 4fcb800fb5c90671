"""Sums over all credits and transactions, counted anew only when they may have changed.

Counting takes as long as there are rows. Batches change in the transaction that moves the mirror's cursor and in no
other, transactions there, too, or with a new row: as long as cursor and last row are the same, so are the sums.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.models.blockchain import BlockchainTransaction
from ledger.models.mirror import ChainCursor


class Totals:
    """Remembers what was counted last; one for each application, or one for one answer."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Any]] = {}

    def remembered(self, session: Session, name: str, count: Any) -> Any:
        """Return what ``count(session)`` returns, or returned when cursor and last row were the same."""
        mark = _mark(session)
        known = self._known.get(name)
        if known is not None and known[0] == mark:
            return known[1]
        found = count(session)
        self._known[name] = mark, found
        return found


def _mark(session: Session) -> Any:
    cursors = session.execute(
        select(
            ChainCursor.network,
            ChainCursor.block_hash,
            ChainCursor.final_number,
            ChainCursor.updated_at,
        ).order_by(ChainCursor.network)
    )
    last = session.scalar(select(func.max(BlockchainTransaction.id)))
    return [tuple(row) for row in cursors], last
