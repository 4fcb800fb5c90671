"""Secrets among the settings in the database: which key each is sealed with, and sealing them anew."""

from __future__ import annotations

import json
from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import SystemConfig
from ledger.park.configuration import ValueType, context_of, unpacked
from ledger.park.turn import take_turn
from ledger.sealing import Resealed, Sealer, key_number, reseal_rows


def keys_in_use(session: Session) -> Counter[int | None]:
    """Return how many secrets are sealed with each key, by its number."""
    texts = session.scalars(select(SystemConfig.config_value))
    return Counter(key_number(sealed) for text in texts if (sealed := _sealed(text)) is not None)


def reseal(session: Session, sealer: Sealer, after: int, limit: int) -> Resealed:
    """Seal the secrets of some settings with the newest key; see ``ledger.sealing.reseal_rows``."""

    def seal(done: Resealed, row: SystemConfig) -> None:
        old = _sealed(row.config_value)
        if old is None or sealer.is_current(old):
            return
        of = row.id, row.config_key, "config_value"
        new = done.anew(sealer, old, context_of(row.config_key), of)
        if new is not None:
            row.config_value = json.dumps({ValueType.SECRET.value: new}, ensure_ascii=False)

    take_turn(session)  # as whoever sets one does
    return reseal_rows(session, SystemConfig, after, limit, seal)


def _sealed(text: str | None) -> str | None:
    kind, value = unpacked(text)
    return str(value) if kind is ValueType.SECRET else None
