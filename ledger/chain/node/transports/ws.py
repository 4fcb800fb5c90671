"""JSON-RPC over WebSocket, by the library ``websockets``."""

from __future__ import annotations

import re
import socket
from typing import Any, cast

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from ledger.chain.node.transports.base import ChannelTransport
from ledger.chain.node.transports.errors import (
    AnswerTooLarge,
    NodeAnswer,
    NodeClosed,
    NodeDown,
    NodeSlow,
    untrusted,
)
from ledger.chain.node.transports.gateways import authorization, limit_of, outage_of
from ledger.chain.node.transports.turns import Turns, Unread
from ledger.errors import BadInput
from ledger.settings import without_secrets

_CLOSE_S_MAX = 1.0


class WebSocketTransport(ChannelTransport):
    """One node, asked over ``ws://`` or ``wss://``."""

    def channel(self) -> WebSocketChannel:
        """Open a connection."""
        send_s_max = self.bounds.timeout_s
        scheme, user, place = _parts(self.address)

        class InTurns(ClientConnection):
            def __init__(self, connection: socket.socket, *arguments: Any, **options: Any) -> None:
                # It reads in a thread of its own, and bounds no sending.
                turns = Turns(connection, send_s_max)
                super().__init__(cast(socket.socket, turns), *arguments, **options)

        try:
            connection = connect(
                f"{scheme}://{place}",
                additional_headers={"authorization": authorization(user)} if user else None,
                proxy=None,  # a proxy variable must not send a key holder's traffic elsewhere
                compression=None,
                open_timeout=self.bounds.timeout_s,
                close_timeout=_CLOSE_S_MAX,
                max_size=self.bounds.answer_bytes_max,
                create_connection=InTurns,
            )
        except (InvalidURI, ValueError) as error:  # a refused certificate is a ValueError, too
            if (refused := untrusted(self.place, error)) is not None:
                raise refused from error
            why = without_secrets(str(error), self.address)
            raise BadInput(f"rpc_url {self.place!r} is not an address: {why}") from error
        except InvalidStatus as error:
            status, said = error.response.status_code, error.response.headers
            retry_after = next(iter(said.get_all("retry-after")), None)  # each gateway may add one
            trouble = limit_of(self.place, status, retry_after) or outage_of(self.place, status)
            if trouble is None:
                trouble = NodeAnswer(
                    f"{self.place} answers HTTP {status} but opens no WebSocket; check rpc_url"
                )
            raise trouble from error
        except ConnectionClosed as error:  # the end came before our first bytes
            raise self._ended() from error
        except InvalidHandshake as error:
            if isinstance(error.__cause__, EOFError):  # before the first of the node's
                raise self._ended() from error
            raise NodeAnswer(
                f"{self.place} does not speak WebSocket ({type(error).__name__}); check rpc_url"
            ) from error
        except TimeoutError as error:
            raise self._slow() from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise NodeDown(
                f"no node answers at {self.place} ({why}); start it, or set rpc_url"
            ) from error
        return WebSocketChannel(self, connection)

    def _ended(self) -> NodeClosed:
        return NodeClosed(
            f"{self.place} closed the connection before a WebSocket was open on it; check rpc_url if it goes on"
        )

    def _slow(self) -> NodeSlow:
        return NodeSlow(f"{self.place} opened no connection within {self.bounds.timeout_s:g} s")


def _parts(address: str) -> tuple[str, str, str]:
    """Return scheme, name and password, and the rest: `websockets` would send those two as they are written."""
    scheme, _, rest = address.partition("://")
    user, at, _ = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    return scheme, user, rest.removeprefix(user + at)


class WebSocketChannel:
    """One WebSocket connection."""

    def __init__(self, transport: WebSocketTransport, connection: ClientConnection) -> None:
        self._place = transport.place
        self._bounds = transport.bounds
        self._connection = connection

    def send(self, body: bytes) -> None:
        """Send one message."""
        try:
            self._connection.send(body, text=True)
        except ConnectionClosed as error:
            if isinstance(error.__cause__, Unread):
                raise NodeSlow.after(self._bounds.timeout_s, self._place) from error
            raise self._closed(error) from error

    def receive(self, timeout_s: float) -> bytes:
        """Return the next message."""
        try:
            return self._connection.recv(timeout_s, decode=False)
        except TimeoutError as error:
            raise NodeSlow.after(timeout_s, self._place) from error
        except ConnectionClosed as error:
            raise self._closed(error) from error

    def usable(self) -> bool:
        """Return whether the connection is open."""
        return self._connection.protocol.state is State.OPEN

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _closed(self, error: ConnectionClosed) -> NodeClosed | AnswerTooLarge:
        if error.sent is not None and error.sent.code == CloseCode.MESSAGE_TOO_BIG:
            return AnswerTooLarge(
                f"{self._place} answers with more than {self._bounds.answer_bytes_max} bytes; ask for less"
            )
        return NodeClosed(f"{self._place} closed the connection in the middle of an answer")
