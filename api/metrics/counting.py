"""Counts the answers of this process: how many with which status, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Upper bounds of the histogram, in seconds; what takes longer is beyond the last."""


class Answers:
    """What was counted; one for each application, and only its event loop changes it."""

    def __init__(self) -> None:
        self.by_status: Counter[int] = Counter()
        self.by_bound = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0

    def add(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self.by_status[status] += 1
        self.by_bound[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds


class Counting:
    """The layer that counts, around all others."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it; one whose reader went away before it began has status 0."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, perf_counter()

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            self._answers.add(status, perf_counter() - began)
