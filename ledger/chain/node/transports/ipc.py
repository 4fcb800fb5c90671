"""JSON-RPC over a Unix socket, as a node on the same machine offers it.

Nothing marks the end of a message but the JSON itself (most nodes add a line feed, none must).
"""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ledger.chain.node.transports.base import Bounds, ChannelTransport
from ledger.chain.node.transports.errors import (
    AnswerTooLarge,
    NodeAnswer,
    NodeClosed,
    NodeDown,
    NodeSlow,
)
from ledger.errors import BadInput

_CHUNK_BYTES = 1 << 20
_DECODER = json.JSONDecoder()
_TRUNCATED = "truncated"
"""What msgspec says of JSON that goes on."""


class IpcTransport(ChannelTransport):
    """One node, asked over a Unix socket.

    Parameters
    ----------
    path
        The socket.
    """

    def __init__(self, address: str, path: Path, bounds: Bounds) -> None:
        super().__init__(address, bounds)
        self._path = path

    def channel(self) -> IpcChannel:
        """Open a connection."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.bounds.timeout_s)
        try:
            connection.connect(str(self._path))
        except TimeoutError as error:
            connection.close()
            raise NodeSlow(
                f"{self.place} opened no connection within {self.bounds.timeout_s:g} s"
            ) from error
        except ConnectionRefusedError as error:
            connection.close()
            raise NodeDown(
                f"no node answers at {self.place} (the socket is there, nobody listens); start the node"
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            connection.close()
            if isinstance(error, FileNotFoundError) or self._path.is_socket():
                why = getattr(error, "strerror", None) or error
                raise NodeDown(
                    f"no node answers at {self.place} ({why}); start it, or set rpc_url"
                ) from error
            raise BadInput(
                f"rpc_url {self.place!r} is not the path of a Unix socket: {error}"
            ) from error
        return IpcChannel(self.place, connection, self.bounds)


class IpcChannel:
    """One connection to a Unix socket."""

    def __init__(self, place: str, connection: socket.socket, bounds: Bounds) -> None:
        self._place = place
        self._socket = connection
        self._bounds = bounds
        self._buffer = bytearray()

    def send(self, body: bytes) -> None:
        """Send one message."""
        self._socket.settimeout(self._bounds.timeout_s)
        try:
            self._socket.sendall(body)
        except TimeoutError as error:
            raise NodeSlow.after(self._bounds.timeout_s, self._place) from error
        except OSError as error:
            raise self._closed() from error

    def receive(self, timeout_s: float) -> bytes:
        """Return the next message."""
        until = time.monotonic() + timeout_s
        while True:
            message = self._first()
            if message is not None:
                return message
            remaining_s = until - time.monotonic()
            if remaining_s <= 0:
                raise NodeSlow.after(timeout_s, self._place)
            self._socket.settimeout(remaining_s)
            try:
                chunk = self._socket.recv(_CHUNK_BYTES)
            except TimeoutError as error:
                raise NodeSlow.after(timeout_s, self._place) from error
            except OSError as error:
                raise self._closed() from error
            if not chunk:
                raise self._closed()
            self._buffer += chunk
            if len(self._buffer) > self._bounds.answer_bytes_max:
                raise AnswerTooLarge(
                    f"{self._place} answers with more than {self._bounds.answer_bytes_max} bytes; ask for less"
                )

    def usable(self) -> bool:
        """Return whether the connection is open, and nothing came that nobody waited for."""
        if self._buffer:
            return False
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._socket.close()

    def _first(self) -> bytes | None:
        """Take the first whole message out of the buffer; None while there is none."""
        if not self._buffer:
            return None
        if self._buffer[0] not in b"{[ \t\r\n":
            raise NodeAnswer(f"{self._place} answers what is not JSON-RPC; check rpc_url")
        # The last byte first: a long answer comes in many chunks, and is parsed when it may be whole.
        if self._buffer[-1] not in b"}] \t\r\n":
            return None
        content = bytes(self._buffer).strip()
        if not content:
            self._buffer.clear()
            return None
        try:
            msgspec.json.decode(content, type=msgspec.Raw)
        except msgspec.DecodeError as error:
            return None if _TRUNCATED in str(error) else self._cut(content)
        self._buffer.clear()
        return content

    def _cut(self, content: bytes) -> bytes:
        """Cut the first of several messages off."""
        try:
            text = content.decode()
            _, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise NodeAnswer(
                f"{self._place} answers what is not JSON-RPC; check rpc_url"
            ) from error
        message = text[:end].encode()
        self._buffer = bytearray(content[len(message) :].lstrip())
        return message

    def _closed(self) -> NodeClosed:
        return NodeClosed(f"{self._place} closed the connection in the middle of an answer")
