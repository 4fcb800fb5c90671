"""How much of the service one client may take: a bucket of tokens for each, refilled all the time.

A bucket holds what a client may ask in a minute, so that a page with many parts opens at once and a loop does
not go on. Buckets are of this process, and of the client's address (an IPv6 client has a /64); they are
forgotten when they are too many. An API key has a bucket of its own beside that of its machine.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, respond
from ledger.settings.serving import machine_of

WINDOW_S = 60
CLIENTS_MAX = 20_000
"""Buckets that are kept; beyond that the one that was longest without a request is forgotten."""
POLICY = "client"


class Buckets:
    """The buckets of all clients.

    Parameters
    ----------
    per_minute
        How many requests a minute, and how many at once.
    clock
        Seconds, by a clock that nobody sets.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._rate = per_minute / WINDOW_S
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> tuple[bool, int, int]:
        """Take a token from a client's bucket.

        Returns
        -------
        tuple
            Whether there was one, how many are left, and in how many seconds there will be one (when there
            is none) or all of them.
        """
        full = float(self.per_minute)
        with self._lock:  # keys are counted in the threads of their requests
            at = self._clock()
            level, before = self._levels.pop(client, (full, at))
            level = min(full, level + (at - before) * self._rate)
            taken = level >= 1
            level -= taken
            self._levels[client] = (level, at)
            while len(self._levels) > CLIENTS_MAX:
                self._levels.popitem(last=False)
        missing = self.per_minute - level if taken else 1 - level
        return taken, int(level), math.ceil(missing / self._rate)

    def __len__(self) -> int:
        return len(self._levels)


class RateLimit:
    """The layer that answers 429 to a client whose bucket is empty."""

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app = app
        self._buckets = buckets
        policy = f'"{POLICY}";q={buckets.per_minute};w={WINDOW_S}'
        self._policy = (b"ratelimit-policy", policy.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] == "/livez":
            await self._app(scope, receive, send)
            return
        taken, left, seconds = self._buckets.take(bucket_of(scope))
        stands = (b"ratelimit", f'"{POLICY}";r={left};t={seconds}'.encode())

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), self._policy, stands]
                message = {**message, "headers": headers}
            await send(message)

        if taken:
            await self._app(scope, receive, telling)
            return
        problem = too_many(self._buckets, seconds)
        await respond(Request(scope), problem)(scope, receive, telling)


def too_many(buckets: Buckets, seconds: int) -> Problem:
    """Return the problem that a bucket is empty, for so many seconds."""
    return Problem(
        429,
        "too-many-requests",
        f"this service answers {buckets.per_minute} requests a minute to one client; try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def bucket_of(scope: Scope) -> str:
    """Return whose bucket a request takes from."""
    return machine_of(str(scope["client"][0]) if scope.get("client") else "")
