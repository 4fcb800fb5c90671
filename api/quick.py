"""The layer of quick answers, before any route is looked for."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.context import Context
from api.credits import quick as credits_
from api.credits.schemas import CreditParameters
from api.errors import problem_of, respond
from api.retirements import quick as retirements
from ledger.errors import BadInput, NotFound

_ALL_CREDITS = "/v1/credits"
_ONE_CREDIT = "/v1/credits/"
_ONE_RETIREMENT = "/v1/retirements/"


class QuickAnswers:
    """The layer that answers about one credit, one retirement, and a page of all credits, before any route.

    Finding the route and reading its parameters would cost as much as the answer. Everything else, every
    other name and every parameter that is not as it should be goes on to the application.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answer(scope["path"], scope["query_string"])
        except NotFound as error:
            await respond(Request(scope), problem_of(error))(scope, receive, send)
            return
        if answer is None:
            await self._app(scope, receive, send)
            return
        body, more = answer
        headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            *more,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, path: str, query: bytes
    ) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
        if path == _ALL_CREDITS:
            return self._page(query)
        body = None
        if query:
            return None
        if path.startswith(_ONE_CREDIT):
            body = credits_.credit(self._context, path[len(_ONE_CREDIT) :])
        elif path.startswith(_ONE_RETIREMENT):
            name = path[len(_ONE_RETIREMENT) :]
            if retirements.is_waited_for(self._context, name):
                body = await run_in_threadpool(retirements.retirement, self._context, name)
            else:
                body = retirements.retirement(self._context, name)
        return None if body is None else (body, [])

    def _page(self, query: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
        try:
            pairs = parse_qsl(
                query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query)
            )
            parameters = CreditParameters.model_validate(dict(pairs))
            found = credits_.page(self._context, parameters)
        except (ValueError, BadInput):
            return None
        if found is None:
            return None
        return found[0], [(b"link", _link(parameters, found[1]).encode())]


def _link(parameters: CreditParameters, cursor: str | None) -> str:
    """Return what ``link_header`` does, of parameters that need no quoting."""
    here = f"{_ALL_CREDITS}?limit={parameters.limit}&order={parameters.order.value}"
    first = f'<{here}>; rel="first"'
    return first if cursor is None else f'{first}, <{here}&cursor={cursor}>; rel="next"'
