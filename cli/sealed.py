"""What is sealed in the database, whoever keeps it: counted by key, and sealed anew."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.orm import Session

    from ledger.db import Database
    from ledger.sealing import Sealer

    Step = Callable[[Session, Sealer, int, int], tuple[int | None, int]]

BATCH = 100
"""Rows that are sealed anew in one unit of work."""


def keys_in_use(session: Session) -> dict[str, Counter[int | None]]:
    """Return for each table how many values are sealed with which key; None: not sealed yet."""
    from ledger.identity import users
    from ledger.park import secrets
    from ledger.webhooks import endpoints

    return {
        "users": users.keys_in_use(session),
        "webhook_endpoints": endpoints.keys_in_use(session),
        "system_config": secrets.keys_in_use(session),
    }


def seal_what_is_plain(db: Database, path: Path) -> dict[str, int]:
    """Seal what stands plain in rows from before there was a seal; return how many values of each table.

    Parameters
    ----------
    path
        The file of the keys, which is made where it is needed and not there.
    """
    with db.read() as session:
        plain = any(used[None] for used in keys_in_use(session).values())
    return seal_everything(db, path) if plain else {}


def seal_everything(db: Database, path: Path) -> dict[str, int]:
    """Seal everything with the newest key of a file, batch by batch; return how many values of each table it were.

    The file is read again for each batch: a key that somebody adds meanwhile is used from then on.
    """
    from ledger import audit
    from ledger.identity import users
    from ledger.park import secrets
    from ledger.sealing import load_sealer
    from ledger.webhooks import endpoints

    def batch(session: Session, name: str, step: Step, after: int) -> tuple[int | None, int]:
        sealer = load_sealer(path, make=True)
        last, sealed = step(session, sealer, after, BATCH)
        if sealed:
            new = {"key": sealer.newest, "values": sealed}
            audit.record(session, "sealing.reseal", name, {}, new)
        return last, sealed

    done = {}
    steps = {
        "users": users.reseal,
        "webhook_endpoints": endpoints.reseal,
        "system_config": secrets.reseal,
    }
    for name, step in steps.items():
        done[name] = 0
        last: int | None = 0
        while last is not None:
            last, sealed = db.run(partial(batch, name=name, step=step, after=last))
            done[name] += sealed
    return done
