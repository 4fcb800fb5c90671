"""Whom the service answers at all: clients of the networks that the setting ``allowed_networks`` names."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import Problem, respond
from ledger.settings.serving import Network, within

_EVERYBODY = "/livez"
"""What watches the process may come from anywhere, and learns nothing but that it lives."""


class Allowed:
    """The layer that answers 403 to whoever is outside of the networks: API, pages and files alike.

    It stands behind the layer that finds the client behind our proxies, so an address that a stranger
    writes into a header helps nobody in.
    """

    def __init__(self, app: ASGIApp, networks: tuple[Network, ...]) -> None:
        self._app = app
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] == _EVERYBODY:
            await self._app(scope, receive, send)
            return
        host = str(scope["client"][0]) if scope.get("client") else ""
        if within(self._networks, host):
            await self._app(scope, receive, send)
            return
        problem = Problem(
            403,
            "network-not-allowed",
            "this service does not answer to the network that you come from",
        )
        await respond(Request(scope), problem)(scope, receive, send)
