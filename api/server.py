"""The API as a server of this process: bound first, so that a port in use is one clear error."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.connections import Connection
from ledger.errors import BadInput, DependencyDown

KEEP_ALIVE_SECONDS = 15
STOP_SECONDS_MAX = 5
"""So long are answers waited for at the end; those that take longer end as if their clients had left."""
_LEAVE_SECONDS_MAX = 2
"""So long may it take what makes them to give back what it holds."""
_START_SECONDS_MAX = 20.0
_BACKLOG = 2048


class ApiServer:
    """One HTTP server.

    Parameters
    ----------
    app
        The application.
    host, port
        Where to listen.

    Raises
    ------
    BadInput
        If the address cannot be bound, as when the port is in use.
    """

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._socket = _bound(host, port)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            _left_quietly(app),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whom to believe is a setting of ours, see api.clients
            http=Connection,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS_MAX + _LEAVE_SECONDS_MAX,
        )
        self._server = _Server(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve until the process is asked to end (SIGINT or SIGTERM)."""
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve in a thread of its own, and return when requests are answered.

        Raises
        ------
        DependencyDown
            If the application does not start.
        """
        self._thread = threading.Thread(target=self.run, name="api", daemon=True)
        self._thread.start()
        waiting = threading.Event()
        for _ in range(int(_START_SECONDS_MAX / 0.02)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            waiting.wait(0.02)
        raise DependencyDown(f"the API at {self.url} did not start; see the log", code="api-down")

    @property
    def alive(self) -> bool:
        """Whether the thread that ``start`` began still serves."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End a server that ``start`` began, and wait for its last answers."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX + 2 * _LEAVE_SECONDS_MAX)
        self._socket.close()


class _Server(uvicorn.Server):
    """A server that ends as if the clients had left for whom it has no more time: nothing of that is a defect."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        late = asyncio.get_running_loop().call_later(STOP_SECONDS_MAX, self._leave)
        await super().shutdown(sockets)
        late.cancel()

    def _leave(self) -> None:
        for each in self.server_state.connections:
            if isinstance(each, Connection):
                each.transport.abort()


def _left_quietly(app: FastAPI) -> ASGIApp:
    """Return an application whose answers may be left at the end: by then nobody waits for them."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise

    return answer


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Said to be TCP, asyncio sends each part of an answer at once. Otherwise the body waits until the other
    # side has acknowledged the head, which it does after 40 ms where a connection is kept.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From here on a request waits for the application instead of being refused.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise BadInput(
            f"cannot listen on {host} port {port} ({error.strerror}); set api_port (TRUETONNE_API_PORT) to a free one, "
            "or api_host",
            code="port-in-use",
        ) from error
    listener.set_inheritable(True)
    return listener
