"""Whose request it is: the address of the client, also behind proxies that the settings name.

A proxy writes the address of whoever called it at the end of ``X-Forwarded-For``; the last one that is no
proxy of ours is the client. What a stranger writes there is not believed. Some proxies write the port behind it.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.settings.serving import Serving

_HOPS_MAX = 20
_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)
"""``[2001:db8::7]:4711`` or ``198.51.100.9:4711``."""


class Clients:
    """The layer that puts client and scheme into the scope as they were before the proxies."""

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self._app = app
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        client = scope.get("client")
        if scope["type"] == "http" and client is not None and self._serving.trusts(client[0]):
            given = Headers(scope=scope)
            hops = ",".join(given.getlist("x-forwarded-for")).split(",")[-_HOPS_MAX:]
            scope = {**scope, "client": (self._first_stranger(hops, client[0]), 0)}
            # The last word is the proxy's own, also where it adds a line to those that came.
            schemes = ",".join(given.getlist("x-forwarded-proto"))
            scheme = schemes.rpartition(",")[2].strip().lower()
            if scheme in ("http", "https"):
                scope["scheme"] = scheme
        await self._app(scope, receive, send)

    def _first_stranger(self, hops: list[str], proxy: str) -> str:
        host = proxy
        for hop in reversed(hops):
            try:
                host = _address(_without_port(hop.strip()))
            except ValueError:  # nobody that can be named: as far as is known, the proxy before it
                return host
            if not self._serving.trusts(host):
                return host
        return host


def address_of(connection: HTTPConnection) -> str | None:
    """Return the address of the client; None when the server does not know it."""
    try:
        return _address(connection.client.host) if connection.client else None
    except ValueError:
        return None


def _address(text: str) -> str:
    """Return an address as it is noted: one of IPv4 as that, whichever way it is written.

    Raises
    ------
    ValueError
        If it is none.
    """
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _without_port(hop: str) -> str:
    found = _WITH_PORT.fullmatch(hop)
    return hop if found is None else found[1] or found[2]
