"""The state of the books, as a value that changes whenever an answer could change.

SQLite counts for each connection the commits of all others: any commit is another state, whoever wrote. MariaDB
has no such count. There the state is the mirror's (its block, what is final, when it last moved) with the last
comparison of books and chain, and only answers are kept that are read from tables which the mirror alone
writes: every change of theirs moves the cursor in the same commit.
"""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool

from api.cache.answers import Stamp
from api.context import Context
from ledger.db.quick import Quick

_NAME = "[^/]+"
_LISTS = ("credits", f"credits/{_NAME}", "retirements")
OF_THE_MIRROR = (*_LISTS, "retirements/[0-9]+")
"""Routes under ``/v1`` whose answers are made of the mirror's tables alone; a test holds them to it.

Which retirement is meant by a key depends on what these books sent, too.
"""
OF_THE_BOOKS = (
    *_LISTS,
    f"retirements/{_NAME}",
    f"credits/{_NAME}/history",
    f"credits/{_NAME}/readings",
    "contracts",
    "emissions",
    "energy",
    f"holders/{_NAME}",
    "markets",
    "plants",
    f"plants/{_NAME}",
    "projects",
    f"projects/{_NAME}",
    "readings/files",
    "readings/quality",
    "search",
    "settlements",
    f"settlements/{_NAME}",
    "sites",
    f"sites/{_NAME}",
    "trades",
    "transactions",
)
"""Routes under ``/v1`` that are anybody's, and whose answers depend on books and request alone, not on the clock."""

_OF_THE_MIRROR = (
    "SELECT k.block_hash, k.final_number, k.updated_at, n.compared_at FROM chain_cursor k "
    "LEFT JOIN reconciliations n ON n.network = k.network WHERE k.network = ?"
)


class Stamps:
    """The states of one database.

    Parameters
    ----------
    context
        The database, and the network whose mirror it has.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._quick: Quick | None = context.database.quick
        routes = OF_THE_MIRROR if self._quick is None else OF_THE_BOOKS
        self._path = re.compile(f"/v1/(?:{'|'.join(routes)})")

    def covers(self, path: str) -> bool:
        """Return whether an answer of this path stays the same until the state changes."""
        return self._path.fullmatch(path) is not None

    async def now(self) -> Stamp | None:
        """Return the state of the books; None when it cannot be read, and nothing may be kept."""
        if self._quick is not None:
            return self._quick.version()
        return await run_in_threadpool(self._of_the_mirror)

    def _of_the_mirror(self) -> Stamp | None:
        server = self._context.database.quick_server
        found = server and server.try_one(_OF_THE_MIRROR, (self._context.settings.network,))
        return found[0] if found else None
