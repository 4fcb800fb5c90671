"""The layer that refuses a parameter which stands twice in a query, for every route.

No route takes a list in its query, and to take one of two values would be a guess at what was meant: the framework
takes the last, other programs on the way the first.
"""

from __future__ import annotations

from collections import Counter

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import Problem, respond


class RefuseDoubled:
    """The layer itself; see the module's description."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or let the application answer."""
        # Most queries have one parameter or none, and need not be read.
        if scope["type"] == "http" and b"&" in scope["query_string"]:
            again = given_again(scope["query_string"])
            if again:
                problem = _refusal(again)
                await respond(Request(scope), problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def given_again(query: bytes) -> dict[str, int]:
    """Return how often each parameter is given that is given more than once, read as the framework reads them."""
    counts = Counter(name for name, _ in QueryParams(query).multi_items())
    return {name: count for name, count in counts.items() if count > 1}


def _refusal(again: dict[str, int]) -> Problem:
    errors = [
        {"place": "query", "name": name, "message": f"is given {count} times; give it once"}
        for name, count in sorted(again.items())
    ]
    detail = "; ".join(f"{error['name']}: {error['message']}" for error in errors)
    return Problem(422, "bad-request", detail, errors=errors)
