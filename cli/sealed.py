"""What is sealed in the database, whoever keeps it: counted by key, and sealed anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.orm import Session

    from ledger.db import Database
    from ledger.sealing import Lost, Resealed, Sealer

    Step = Callable[[Session, Sealer, int, int], Resealed]

BATCH = 100
"""Rows that are sealed anew in one unit of work."""


@dataclass
class Done:
    """What sealing everything anew came to."""

    key: int | None = None
    """Number of the key that sealed last; None: there was nothing to do."""
    sealed: dict[str, int] = field(default_factory=dict)
    """How many values of each table."""
    lost: list[Lost] = field(default_factory=list)
    """What no key opens: it stays as it is."""


def sealer_for(path: Path, *, keep: bool) -> Sealer:
    """Return what a command seals with: a trial makes no key file, and has a key that passes where there is none.

    Raises
    ------
    BadInput
        If there is a file that cannot be used.
    """
    from ledger.sealing import load_sealer, passing_sealer

    return load_sealer(path, make=keep) if keep or path.exists() else passing_sealer()


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


def seal_what_is_plain(db: Database, path: Path) -> Done:
    """Seal what stands plain in rows from before there was a seal.

    Parameters
    ----------
    path
        The file of the keys, which is made where it is needed and not there.
    """
    with db.read() as session:
        plain = any(used[None] for used in keys_in_use(session).values())
    return seal_everything(db, path) if plain else Done()


def seal_everything(db: Database, path: Path, *, keep: bool = True) -> Done:
    """Seal everything with the newest key of a file, batch by batch; what no key opens stays as it is.

    The file is read again for each batch: a key that somebody adds meanwhile is used from then on.

    Parameters
    ----------
    path
        The file of the keys, which is made where it is not there and nothing is sealed yet.
    keep
        False: all of it is done, and nothing is kept, as dry runs want it.

    Raises
    ------
    BadInput
        If the file is not there, or is that of other books: nothing plain is sealed with that.
    """
    from ledger import audit
    from ledger.identity import users
    from ledger.park import configuration, secrets
    from ledger.sealing import load_sealer, passing_sealer, require_ours
    from ledger.webhooks import endpoints

    with db.read() as session:
        used = {number for each in keys_in_use(session).values() for number in each}
        samples = [
            sample
            for module in (users, endpoints, configuration)
            for sample in module.newest_sealed(session)
        ]
    unmade = not path.exists() and not used - {None}
    trial = passing_sealer() if unmade and not keep else None
    make = keep and (unmade or path.exists())

    def sealer_now() -> Sealer:
        return trial or load_sealer(path, make=make)

    if None in used:
        require_ours(sealer_now(), samples)

    def batch(session: Session, step: Step, after: int) -> tuple[int, Resealed]:
        sealer = sealer_now()
        found = step(session, sealer, after, BATCH)
        if found.sealed:
            new = {"key": sealer.newest, "values": found.sealed}
            audit.record(session, "sealing.reseal", found.table, {}, new)
        return sealer.newest, found

    done = Done()
    for step in (users.reseal, endpoints.reseal, secrets.reseal):
        last: int | None = 0
        while last is not None:
            done.key, found = db.run(partial(batch, step=step, after=last), keep=keep)
            done.sealed[found.table] = done.sealed.get(found.table, 0) + found.sealed
            done.lost += found.lost
            last = found.last
    return done
