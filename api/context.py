"""What a handler is given: the database to read, the settings, and small helpers for answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, Semaphore
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session

from api.errors import RETRY_AFTER_SECONDS, Problem
from api.finality import ChainPage, ChainView, chain_view
from api.pagination import PageParameters, link_header
from ledger.db import Database
from ledger.settings import Settings

FILES_MAX = 4
"""Files that are sent at once; each holds a snapshot of the database as long as its reader takes."""
FILES_OF_ONE_MAX = 3
"""Files that one client is sent at once: whoever reads four slowly, for hours, would keep everybody else from any."""
PROOFS_MAX = 8
"""Bundles that are made at once; each holds a thread and a snapshot for as long as the node takes, which may hang."""
SIGN_INS_MAX = 16
"""Passwords that are looked at at once; each holds a thread for as long as another writer has the database."""

Asked = TypeVar("Asked", bound=PageParameters)
Page = TypeVar("Page", bound=ChainPage)


class Shares:
    """How many of the places for all each client has.

    Parameters
    ----------
    most
        What one client may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()
        self._lock = Lock()

    def take(self, client: str) -> bool:
        """Take one more for a client; return False where it has all that it may have."""
        with self._lock:
            if self._taken[client] >= self._most:
                return False
            self._taken[client] += 1
            return True

    def give_back(self, client: str) -> None:
        """Give one back; of a client that has none any more nothing is kept."""
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


@dataclass(frozen=True)
class Context:
    """The application's settings and its database."""

    settings: Settings
    database: Database
    files: Semaphore = field(default_factory=lambda: Semaphore(FILES_MAX))
    """Room for files that are being sent."""
    file_shares: Shares = field(default_factory=lambda: Shares(FILES_OF_ONE_MAX))
    """How much of that room each client has."""
    proofs: Semaphore = field(default_factory=lambda: Semaphore(PROOFS_MAX))
    """Room for bundles that are being made."""
    sign_ins: Semaphore = field(default_factory=lambda: Semaphore(SIGN_INS_MAX))
    """Room for those who are signing in."""

    @contextmanager
    def reading(self) -> Iterator[tuple[Session, ChainView]]:
        """Yield a read-only session, and how far the mirror has come in it."""
        with self.database.look() as session:
            yield session, chain_view(session, self.settings.network, self.settings.finality)

    def listed(
        self,
        path: str,
        parameters: Asked,
        response: Response,
        list_them: Callable[[Session, ChainView, Asked], Page],
    ) -> Page:
        """Return the page of a list that the parameters ask for, and say in ``Link`` where the next one is."""
        with self.reading() as (session, view):
            page = list_them(session, view, parameters)
        response.headers["Link"] = link_header(path, parameters, page.next_cursor)
        return page


def take_place(
    places: Semaphore, *, code: str, detail: str, retry_s: int = RETRY_AFTER_SECONDS
) -> None:
    """Take one of the places for requests of anybody that hold a thread or a snapshot for long.

    Raises
    ------
    Problem
        503 with the code and the detail, if there is none: who waited would have the threads that answer everybody.
    """
    if not places.acquire(blocking=False):
        headers = {"Retry-After": str(retry_s)}
        raise Problem(503, code, f"{detail}; try again later", headers=headers)


@contextmanager
def room(places: Semaphore, *, code: str, detail: str) -> Iterator[None]:
    """Take one of the places, and give it back at the end.

    Raises
    ------
    Problem
        As ``take_place``.
    """
    take_place(places, code=code, detail=detail)
    try:
        yield
    finally:
        places.release()


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


async def no_body(request: Request) -> None:
    """Refuse what a body says, on a route of POST that takes none.

    Raises
    ------
    Problem
        If it says anything; an empty object does not.
    """
    if b"".join((await request.body()).split()) not in (b"", b"{}"):
        message = "this path takes none; send none, or an empty object"
        errors = [{"place": "body", "name": "body", "message": message}]
        detail = f"body: {message}"
        raise Problem(422, "bad-request", detail, errors=errors)


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
        detail += f"; the query may have {', '.join(known)}" if known else "; the query takes none"
        raise Problem(422, "bad-request", detail, errors=errors)


ReadContext = Annotated[Context, Depends(_context)]
