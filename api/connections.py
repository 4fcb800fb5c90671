"""Connections: how long each may hold a place while its request is not whole, or its answer is not read.

A server answers ``CONNECTIONS_MAX`` at a time. Whoever opens as many and sends a byte now and then would have it for
themselves; so one that waits makes room for one that comes, and none waits for ever. An answer that is on its way to a
slow client is waited for by nobody else: it ends when nothing of it is read, or makes room when there is no other.

HTTP/1.0, which many proxies speak to us, ends a file by ending the connection: one that broke off would look whole.
There a connection is reset while its answer is not.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import uuid
from asyncio import AbstractEventLoop, TimerHandle
from collections import Counter
from typing import Any

import h11
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from api.errors import MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem, document_of
from ledger.settings.serving import machine_of

CONNECTIONS_MAX = 200
"""Connections that are answered at a time; beside theirs, as many requests of clients that have left are worked at."""
REQUEST_SECONDS_MAX = 30.0
"""Within so many seconds of being connected, or of the answer before, a request has come whole."""
STALL_SECONDS_MAX = 60.0
"""So long an answer waits for a client that reads none of it; and so long one keeps its place who reads it slowly."""


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
        self._unread_since = 0.0
        self._machine = ""

    @property
    def due(self) -> float | None:
        """When a request must be whole, by the loop's clock; None while one is answered."""
        return self._late.when() if self._late is not None else None

    @property
    def unread_since(self) -> float | None:
        """Since when there is something that the client has not read, by the loop's clock; None if there is not."""
        return self._unread_since if self._stalled is not None else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, in the place of another that waits where there is no free one."""
        super().connection_made(transport)
        self._machine = machine_of(self.client[0]) if self.client else ""
        transport.set_write_buffer_limits(high=0)  # writing pauses whenever anything is unread
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
        if not self._is_awaited():
            self._rest()

    def handle_events(self) -> None:
        """Have a request answered, unless as many as there are places for are being answered."""
        room = self._has_room() and len(self.tasks) < 2 * CONNECTIONS_MAX
        self.app = self._application if room else _crowded
        super().handle_events()
        self._choose_end()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may be there already."""
        super().on_response_complete()
        self._choose_end()
        self._rest()
        if self._stalled is None:
            self._wait()

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        self._unread_since = self.loop.time()
        self._watch()

    def resume_writing(self) -> None:
        """Go on: with the answer, or with the next request when that was all of it."""
        self._flow()
        self._choose_end()
        super().resume_writing()
        if self._late is None:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP by a problem document; if an answer has begun, by closing the connection."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
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

    def _should_upgrade(self) -> bool:
        """Return False: nothing is upgraded, and to say so in the log at each wish would be a stranger's to fill it."""
        return False

    def _choose_end(self) -> None:
        """Have the system reset the connection if it ends now, however that comes, and the answer is not whole.

        Where the end of the connection is not the end of the answer, nothing is chosen.
        """
        if self.conn.their_http_version != b"1.0":
            return
        cycle = self.cycle
        whole = cycle is None or (cycle.response_complete and self._stalled is None)
        held = self.transport.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", not whole, 0))

    def _is_awaited(self) -> bool:
        """Return whether a request is awaited, or the rest of one."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _wait(self) -> None:
        """Give a request that is awaited its time."""
        if self._is_awaited() and not self.transport.is_closing():
            self._late = self.loop.call_later(REQUEST_SECONDS_MAX, self.transport.abort)

    def _rest(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _watch(self) -> None:
        """Look again later at what is unread now."""
        unread = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(STALL_SECONDS_MAX, self._look, unread)

    def _look(self, unread_before: int) -> None:
        """Give the answer up if nothing was read of it since the last look."""
        if self.transport.get_write_buffer_size() < unread_before:
            self._watch()
        else:
            self.transport.abort()

    def _flow(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _has_room(self) -> bool:
        """Return whether there is a place, made by ending a connection that waits."""
        if len(self.connections) <= CONNECTIONS_MAX:
            return True
        ended = self._dispensable()
        if ended is None:
            return False
        self.connections.discard(ended)
        ended.transport.abort()
        return True

    def _dispensable(self) -> Connection | None:
        """Return who makes room, if anybody may.

        It is the one that has waited the longest for a request, among those of the machine that has the most such: who
        opens them fast ends their own. Otherwise it is who has read the longest at one answer, and too long.
        """
        others = [
            each for each in self.connections if isinstance(each, Connection) and each is not self
        ]
        waiting = [(each.due, each) for each in others if each.due is not None]
        if waiting:
            count = Counter(each._machine for _, each in waiting)
            return min(waiting, key=lambda found: (-count[found[1]._machine], found[0]))[1]
        late = self.loop.time() - STALL_SECONDS_MAX
        slow = [
            (each.unread_since, each)
            for each in others
            if each.unread_since is not None and each.unread_since <= late
        ]
        return min(slow, key=lambda found: found[0])[1] if slow else None


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
