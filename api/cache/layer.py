"""The layer that answers from the cache, and keeps what the application answers."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cache.answers import Answer, Shelf
from api.cache.shared import SharedShelf
from api.cache.stamps import Stamps
from api.context import Context
from api.etag import tag_of
from ledger.settings import Settings

PROCESS, REDIS, MADE = "process", "redis", "made"


class Cache:
    """Where answers are kept: this process first, then, where the settings name one, a Redis.

    ``counts`` is how many answers came from where, ``MADE`` those that were kept by none.
    """

    def __init__(self, settings: Settings) -> None:
        self.own = Shelf(settings.cache_mib * 2**20)
        # The state of an SQLite file is a number of one connection, which says nothing to another process.
        several = bool(settings.cache_url) and not settings.database_url.startswith("sqlite")
        self.shared = SharedShelf(settings) if several else None
        self.counts: Counter[str] = Counter()

    async def close(self) -> None:
        """Close connections."""
        if self.shared is not None:
            await self.shared.close()


class FromCache:
    """The layer itself."""

    def __init__(self, app: ASGIApp, context: Context, cache: Cache) -> None:
        self._app = app
        self._stamps = Stamps(context)
        self._cache = cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the cache, or let the application answer."""
        if scope["type"] != "http" or scope["method"] != "GET" or not self._covers(scope):
            await self._app(scope, receive, send)
            return
        stamp = await self._stamps.now()
        if stamp is None:
            await self._app(scope, receive, send)
            return
        own, shared, counts = self._cache.own, self._cache.shared, self._cache.counts
        # Bytes that are no text are a call of their own, whatever they look like. No query has the end of a line in
        # it, and a path may have a question mark.
        call = f"{scope['path']}\n{scope['query_string'].decode('latin-1')}"
        found = own.get(stamp, call)
        if found is not None:
            counts[PROCESS] += 1
            await _send(send, found)
            return
        if shared is not None:
            found = await shared.get(stamp, call)
            if found is not None:
                counts[REDIS] += 1
                own.put(stamp, call, found)
                await _send(send, found)
                return
        counts[MADE] += 1
        made = _Whole(send)
        await self._app(scope, receive, made.send)
        answer = await made.release()
        # Made while the books changed, it may be of either state.
        if answer is not None and await self._stamps.now() == stamp:
            own.put(stamp, call, answer)
            if shared is not None:
                await shared.put(stamp, call, answer)

    def _covers(self, scope: Scope) -> bool:
        return self._stamps.covers(scope["path"])


class _Whole:
    """An answer on its way: held until it is whole, where it says how long it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in message.get("headers", ())}
            if message["status"] == 200 and b"content-length" in names:
                self._start = message
                return
        if self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")

    async def release(self) -> Answer | None:
        """Send what was held; return it when it may be kept."""
        if self._start is None:
            return None
        headers = [*self._start["headers"], (b"etag", tag_of(self._body))]
        answer = Answer(tuple(headers), self._body)
        await _send(self._send, answer)
        personal = {b"set-cookie", b"cache-control"} & {name for name, _ in headers}
        return None if personal else answer


async def _send(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
