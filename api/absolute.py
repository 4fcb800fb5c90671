"""Requests whose target is a whole URL, as for a proxy: servers must take it too (RFC 9112, 3.2.2)."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_SCHEMES = (b"http://", b"https://")


class AbsoluteTargets:
    """The layer that reduces such a target to its path; its host replaces the ``Host`` header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and not scope["path"].startswith("/"):
            scope = _of_path(scope)
        await self._app(scope, receive, send)


def _of_path(scope: Scope) -> Scope:
    """Return a request for the path alone; any that names no host, such as that for ``*``, as it is."""
    whole: bytes = scope["raw_path"]
    if not whole.lower().startswith(_SCHEMES):
        return scope
    host, _, rest = whole.partition(b"://")[2].partition(b"/")
    if not host or b"@" in host:  # a name and a password, which nobody sends (RFC 9110, 4.2.4)
        return scope
    others = [pair for pair in scope["headers"] if pair[0] != b"host"]
    return {
        **scope,
        "path": "/" + unquote(rest.decode("ascii")),
        "raw_path": b"/" + rest,
        "headers": [(b"host", host.lower()), *others],
    }
