"""JSON-RPC over HTTP: kept connections, one request after the other on each."""

from __future__ import annotations

import builtins
import socket
import ssl

import msgspec
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    SSLError,
    TimeoutError,
)
from urllib3.util import make_headers, parse_url

from ledger.chain.node.transports.base import Bounds, Transport
from ledger.chain.node.transports.errors import (
    AnswerTooLarge,
    NodeAnswer,
    NodeClosed,
    NodeDown,
    NodeSlow,
    NodeTrouble,
    RequestRefused,
    untrusted,
)
from ledger.chain.node.transports.gateways import authorization, limit_of, outage_of
from ledger.chain.node.transports.whole import bound
from ledger.errors import TOO_MANY_OPEN, BadInput
from ledger.settings import without_secrets

_TOO_LARGE = 413
_REFUSES_US = frozenset({401, 403})
_MOVED = 300
_BAD = 400
_MAY_BE_OF_BATCHES = range(400, 502)
"""A server that knows no batches says 400, 500 or 501 of them, as each writes his own errors."""
_PART_BYTES = 256 * 1024
"""Read at once, at most: as much as has come."""
_KEEPIDLE: int = getattr(socket, "TCP_KEEPIDLE", 0) or getattr(socket, "TCP_KEEPALIVE", 0)
"""macOS has the second name."""
_SOCKET = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, _KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""A kept connection that something on the way has forgotten is found out while nobody waits for an answer on it."""


class HttpTransport(Transport):
    """One node, asked over HTTP or HTTPS."""

    def __init__(self, address: str, bounds: Bounds) -> None:
        super().__init__(address, bounds)
        # No proxy that the environment names: it must not send a key holder's traffic elsewhere.
        # SSL_CERT_FILE is read by the default context, as WebSockets do.
        self._http = bound(
            urllib3.PoolManager(
                num_pools=1,
                maxsize=bounds.in_flight_max,
                timeout=urllib3.Timeout(connect=bounds.timeout_s, read=bounds.timeout_s),
                retries=False,
                socket_options=_SOCKET,
                ssl_context=ssl.create_default_context()
                if address.startswith("https://")
                else None,
            )
        )
        self._headers: dict[str, str] | None = None

    def reset(self) -> None:
        """Do nothing: HTTP itself says which request an answer belongs to."""

    def close(self) -> None:
        """Close the kept connections."""
        super().close()
        self._http.clear()

    def _once(self, body: bytes) -> bytes:
        try:
            if self._headers is None:
                self._headers = _headers(self.address)
            answer = self._http.urlopen(
                "POST",
                self.address,
                body=body,
                headers=self._headers,
                redirect=False,
                preload_content=False,
            )
            try:
                content = self._content(answer)
            except BaseException:
                answer.close()  # whatever comes on it now belongs to nobody
                raise
        except LocationValueError as error:
            why = without_secrets(str(error), self.address)
            raise BadInput(f"rpc_url {self.place!r} is not an address: {why}") from error
        except HTTPError as error:
            raise self._trouble(error) from error
        if answer.status >= _MOVED and not _is_rpc(content):
            raise self._page(answer.status)
        return content

    def _content(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        limits = limit_of(self.place, answer.status, answer.headers.get("retry-after"))
        if limits is not None:
            raise limits
        parts, size = [], 0
        while part := answer.read1(_PART_BYTES):
            parts.append(part)
            size += len(part)
            if size > self.bounds.answer_bytes_max:
                raise AnswerTooLarge(
                    f"{self.place} answers with more than {self.bounds.answer_bytes_max} bytes; ask for less"
                )
        # It may have ended in its headers; of a refusal the status says enough.
        if not parts and answer.status < _BAD and "content-length" not in answer.headers:
            raise self._closed()
        answer.release_conn()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _closed(self) -> NodeClosed:
        return NodeClosed(f"{self.place} closed the connection in the middle of an answer")

    def _trouble(self, error: HTTPError) -> NodeTrouble:
        if (refused := untrusted(self.place, error)) is not None:
            return refused
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in TOO_MANY_OPEN:
            return NodeDown(
                f"no connection to {self.place} can be opened ({cause.strerror}); allow more open files (`ulimit -n`)",
                code="too-many-files",
            )
        if isinstance(error, (NewConnectionError, ConnectTimeoutError, SSLError)):
            why = getattr(cause, "strerror", None) or type(error).__name__
            return NodeDown(f"no node answers at {self.place} ({why}); start it, or set rpc_url")
        if isinstance(error, TimeoutError) or _is_of_sending(error):
            return NodeSlow.after(self.bounds.timeout_s, self.place)
        if isinstance(error, ProtocolError):
            return self._closed()
        return NodeAnswer(
            f"{self.place} answers what cannot be read ({type(error).__name__}); check rpc_url"
        )

    def _page(self, status: int) -> NodeTrouble:
        """Return the error for an answer that some gateway wrote."""
        if (outage := outage_of(self.place, status)) is not None:
            return outage
        if status in _REFUSES_US:
            return NodeAnswer(
                f"{self.place} refuses to answer (HTTP {status}); check the key in rpc_url"
            )
        if status < _BAD:
            return NodeAnswer(
                f"{self.place} answers HTTP {status}, a redirection, which is not followed; "
                "set rpc_url to where it leads"
            )
        if status == _TOO_LARGE:
            return RequestRefused(
                f"{self.place} takes no request as long as ours (HTTP {status}); have the gateway before the node take "
                "1 MiB, or set rpc_url to another"
            )
        kind = RequestRefused if status in _MAY_BE_OF_BATCHES else NodeAnswer
        return kind(f"{self.place} answers HTTP {status} but not JSON-RPC; check rpc_url")


def _is_of_sending(error: HTTPError) -> bool:
    """Return whether the node did not take the request in time; urllib3 calls that an aborted connection."""
    cause = error.args[-1] if isinstance(error, ProtocolError) and error.args else None
    # The system's own has a number: that is of the connection, not of us.
    return isinstance(cause, builtins.TimeoutError) and cause.errno is None


def _headers(address: str) -> dict[str, str]:
    """Return the headers of every request; name and password of the address are among them."""
    found = {**make_headers(accept_encoding=True), "content-type": "application/json"}
    if user := parse_url(address).auth:
        found["authorization"] = authorization(user)
    return found


def _is_rpc(content: bytes) -> bool:
    try:
        answer = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    items = answer if isinstance(answer, list) else [answer]
    return any(isinstance(item, dict) and ("error" in item or "result" in item) for item in items)
