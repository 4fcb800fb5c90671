"""Requests of FastAPI's TestClient in one step each.

For a request that client crosses eight times from its thread to the event loop's, so that a body can be read
while it is made, which no test does by it; where nobody entered it, it starts a thread for that first. It was
most of a request's time. Here it crosses once, or not at all. What it was is in ``starlette.testclient``.
"""

import asyncio

from httpx2 import ASGITransport, AsyncByteStream, ByteStream, Request, Response
from httpx2._transports import asgi
from starlette import testclient

_WHOLE = testclient._TestClientTransport.handle_request


def answer_at_once() -> None:
    """Answer each request in one step from now on; websockets as before."""
    testclient._TestClientTransport.handle_request = _handled  # type: ignore[method-assign]
    # It would look for a module that is not installed, in every folder of the path, for each request.
    asgi.is_running_trio = lambda: False


def _handled(self: testclient._TestClientTransport, request: Request) -> Response:
    if request.url.scheme not in ("http", "https"):
        return _WHOLE(self, request)
    request.read()  # a body that is made piece by piece is made in this thread, as before
    app = ASGITransport(
        self.app,
        raise_app_exceptions=self.raise_server_exceptions,
        root_path=self.root_path,
        client=self.client,
    )
    portal = self.portal_factory.__self__.portal  # type: ignore[attr-defined] # of the client
    if portal is None:
        return asyncio.run(_answered(app, request))
    return portal.call(_answered, app, request)  # type: ignore[no-any-return]


async def _answered(app: ASGITransport, request: Request) -> Response:
    made = await app.handle_async_request(request)
    assert isinstance(made.stream, AsyncByteStream)
    body = b"".join([part async for part in made.stream])  # as it was sent: perhaps compressed
    return Response(made.status_code, headers=made.headers, stream=ByteStream(body))
