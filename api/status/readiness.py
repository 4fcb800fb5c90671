"""Whether the service can do its work, asked once for all who want to know at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool

from api.context import Context
from api.status import queries

Found = Mapping[str, str]


class Readiness:
    """The question that is on its way: a node that hangs keeps one thread, and not one for each who asks."""

    def __init__(self) -> None:
        self._asked: asyncio.Task[Found] | None = None

    async def now(self, context: Context) -> Found:
        """Return what ``queries.readiness`` finds.

        Raises
        ------
        DependencyDown
            As it does.
        """
        asked = self._asked
        if asked is None or asked.done():
            work = run_in_threadpool(queries.readiness, context.database, context.settings)
            asked = self._asked = asyncio.create_task(work)
            asked.add_done_callback(_seen)
        return await asyncio.shield(asked)


def _seen(asked: asyncio.Task[Found]) -> None:
    """Take note of an error that all who asked may have left: asyncio would write of it."""
    if not asked.cancelled():
        asked.exception()
