"""Connections: what one may keep from others while its request is not whole, or its answer is not read.

A server answers ``CONNECTIONS_MAX`` at a time. Whoever opens as many and sends a byte now and then would have it for
themselves; so one that waits makes room for one that comes, and none waits for ever.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from asyncio import AbstractEventLoop, TimerHandle
from typing import Any

import h11
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from api.errors import MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem, document_of

CONNECTIONS_MAX = 200
"""Connections that are answered at a time."""
REQUEST_SECONDS_MAX = 30.0
"""Within so many seconds of being connected, or of the answer before, a request has come whole."""
STALL_SECONDS_MAX = 60.0
"""So long an answer waits for a client that reads none of it."""


class Connection(H11Protocol):
    """One connection of a client, which must send and read in time."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._application = self.app
        self._late: TimerHandle | None = None
        self._stalled: TimerHandle | None = None

    @property
    def due(self) -> float | None:
        """When a request must be whole, by the loop's clock; None while one is answered."""
        return self._late.when() if self._late is not None else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, in the place of whoever has waited the longest where there is no other."""
        super().connection_made(transport)
        self._wait()
        self._has_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._rest()
        self._flow()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._look()

    def handle_events(self) -> None:
        """Have a request answered, unless all places are taken by others that are."""
        self.app = self._application if self._has_room() else _crowded
        super().handle_events()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may be there already."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait()
            self._look()

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        self._flow()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, by a document as everything else."""
        body = _document(Problem(400, "bad-request", "this is no HTTP request"), "")
        head = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events = (
            h11.Response(status_code=400, headers=head, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait(self) -> None:
        self._rest()
        self._late = self.loop.call_later(REQUEST_SECONDS_MAX, self.transport.abort)

    def _rest(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _flow(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _look(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):  # it is whole, or none
            self._rest()

    def _has_room(self) -> bool:
        """Return whether there is a place, made by ending the connection that has waited the longest."""
        if len(self.connections) <= CONNECTIONS_MAX:
            return True
        others = (each for each in self.connections if isinstance(each, Connection))
        waiting = [(each.due, each) for each in others if each.due is not None and each is not self]
        if not waiting:
            return False
        _, longest = min(waiting, key=lambda found: found[0])
        self.connections.discard(longest)
        longest.transport.abort()
        return True


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(
        503, "server-busy", "this service answers as many clients as it can; try again later"
    )
    headers = {
        "Cache-Control": "no-store",
        "Connection": "close",
        "Retry-After": str(RETRY_AFTER_SECONDS),
    }
    body = _document(problem, scope["path"])
    await Response(body, 503, headers, MEDIA_TYPE)(scope, receive, send)


def _document(problem: Problem, path: str) -> bytes:
    return json.dumps(document_of(problem, path, uuid.uuid4().hex)).encode()
