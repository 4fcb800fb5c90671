"""What a handler is given: the database to read, the settings, and small helpers for answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Semaphore
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from api.errors import Problem
from api.finality import ChainView, chain_view
from ledger.db import Database
from ledger.settings import Settings

FILES_MAX = 4
"""Files that are sent at once; each holds a snapshot of the database as long as its reader takes."""
PROOFS_MAX = 8
"""Bundles that are made at once; each holds a thread and a snapshot for as long as the node takes, which may hang."""


@dataclass(frozen=True)
class Context:
    """The application's settings and its database."""

    settings: Settings
    database: Database
    files: Semaphore = field(default_factory=lambda: Semaphore(FILES_MAX))
    """Room for files that are being sent."""
    proofs: Semaphore = field(default_factory=lambda: Semaphore(PROOFS_MAX))
    """Room for bundles that are being made."""

    @contextmanager
    def reading(self) -> Iterator[tuple[Session, ChainView]]:
        """Yield a read-only session, and how far the mirror has come in it."""
        with self.database.look() as session:
            yield session, chain_view(session, self.settings.network, self.settings.finality)


async def _context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


async def no_query(request: Request) -> None:
    """Refuse every query parameter, on a route that takes none.

    Raises
    ------
    Problem
        If there is one.
    """
    refuse_others(request, ())


def refuse_others(request: Request, known: Collection[str]) -> None:
    """Refuse every query parameter but those that are known.

    Raises
    ------
    Problem
        If there is one.
    """
    names = sorted(set(request.query_params) - set(known))
    if names:
        errors = [
            {"place": "query", "name": name, "message": "unknown parameter"} for name in names
        ]
        detail = "; ".join(f"{name}: unknown parameter" for name in names)
        raise Problem(422, "bad-request", detail, errors=errors)


ReadContext = Annotated[Context, Depends(_context)]
