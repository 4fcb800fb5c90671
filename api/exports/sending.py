"""A file on its way to a client."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class SentFile(StreamingResponse):
    """A file that is sent piece by piece. However that ends, what its pieces are made of ends with it.

    A client that goes away leaves the pieces that it did not get: they would hold their snapshot of the database,
    and their place among the files that are sent, until garbage is looked for.
    """

    def __init__(
        self, pieces: Generator[bytes], *, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._pieces.close)
