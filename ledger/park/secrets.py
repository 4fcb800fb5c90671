"""Secrets among the settings in the database: which key each is sealed with, and sealing them anew."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import SystemConfig
from ledger.park.configuration import ValueType, context_of, unpacked
from ledger.park.turn import take_turn
from ledger.sealing import Sealer, key_number


def keys_in_use(session: Session) -> Counter[int | None]:
    """Return how many secrets are sealed with each key, by its number."""
    texts = session.scalars(select(SystemConfig.config_value))
    return Counter(key_number(sealed) for text in texts if (sealed := _sealed(text)) is not None)


def reseal(session: Session, sealer: Sealer, after: int, limit: int) -> tuple[int | None, int]:
    """Seal the secrets of some settings with the newest key; the unit of work of a batch.

    Parameters
    ----------
    after
        The row number after which the batch begins.
    limit
        Most rows of it.

    Returns
    -------
    tuple
        The last row number of the batch, None after the last one, and how many secrets were sealed anew.
    """
    take_turn(session)  # as whoever sets one does
    rows = session.scalars(
        select(SystemConfig)
        .where(SystemConfig.id > after)
        .order_by(SystemConfig.id)
        .limit(limit)
        .with_for_update()
    ).all()
    anew = 0
    for row in rows:
        old = _sealed(row.config_value)
        if old is not None and not sealer.is_current(old):
            context = context_of(row.config_key)
            sealed = sealer.seal(sealer.open(old, context), context)
            row.config_value = json.dumps({ValueType.SECRET.value: sealed}, ensure_ascii=False)
            anew += 1
    session.flush()
    return (rows[-1].id if rows else None), anew


def _sealed(text: str | None) -> str | None:
    kind, value = unpacked(text)
    return str(value) if kind is ValueType.SECRET else None
