"""JSON-RPC over HTTP: kept connections, one request after the other on each."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from ledger.chain.transport import Bounds, Transport
from ledger.chain.transport_errors import (
    AnswerTooLarge,
    NodeAnswer,
    NodeClosed,
    NodeDown,
    NodeLimits,
    NodeSlow,
    NodeTrouble,
    untrusted,
)
from ledger.errors import BadInput

_TOO_MANY_REQUESTS = 429
_GATEWAY_ALONE = frozenset({502, 503, 504})
_REFUSES_US = frozenset({401, 403})
_BAD = 400
_HEADERS = {"content-type": "application/json"}


class HttpTransport(Transport):
    """One node, asked over HTTP or HTTPS."""

    def __init__(self, address: str, bounds: Bounds) -> None:
        super().__init__(address, bounds)
        # trust_env=False: a proxy variable must not send a key holder's traffic elsewhere.
        # So SSL_CERT_FILE is read here, as WebSockets do.
        self._http = httpx.Client(
            timeout=bounds.timeout_s,
            verify=ssl.create_default_context() if address.startswith("https://") else False,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=bounds.in_flight_max,
                max_keepalive_connections=bounds.in_flight_max,
                keepalive_expiry=60.0,
            ),
        )

    def reset(self) -> None:
        """Do nothing: HTTP itself says which request an answer belongs to."""

    def close(self) -> None:
        """Close the kept connections."""
        super().close()
        self._http.close()

    def _once(self, body: bytes) -> bytes:
        until = time.monotonic() + self.bounds.timeout_s
        try:
            with self._http.stream("POST", self.address, content=body, headers=_HEADERS) as answer:
                status = answer.status_code
                rest_s = retry_after_s(answer.headers.get("retry-after"))
                if status == _TOO_MANY_REQUESTS or (
                    status in _GATEWAY_ALONE and rest_s is not None
                ):
                    raise NodeLimits(self.place, rest_s)
                content = self._whole(answer, until)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise BadInput(f"rpc_url {self.place!r} is not an address: {error}") from error
        except httpx.HTTPError as error:
            raise self._trouble(error) from error
        if status >= _BAD and not _is_rpc(content):
            raise self._page(status)
        return content

    def _whole(self, answer: httpx.Response, until: float) -> bytes:
        parts, size = [], 0
        for part in answer.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > self.bounds.answer_bytes_max:
                raise AnswerTooLarge(
                    f"{self.place} answers with more than {self.bounds.answer_bytes_max} bytes; ask for less"
                )
            if time.monotonic() > until:  # httpx bounds the wait for each part, not for all
                raise self._slow()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _slow(self) -> NodeSlow:
        return NodeSlow(
            f"{self.place} did not answer within {self.bounds.timeout_s:g} s; it is overloaded, or out of reach"
        )

    def _trouble(self, error: httpx.HTTPError) -> NodeTrouble:
        if (refused := untrusted(self.place, error)) is not None:
            return refused
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return NodeDown(
                f"no node answers at {self.place} ({type(error).__name__}); start it, or set rpc_url"
            )
        if isinstance(error, httpx.TimeoutException):
            return self._slow()
        if isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError)):
            return NodeClosed(f"{self.place} closed the connection in the middle of an answer")
        return NodeAnswer(
            f"{self.place} answers what cannot be read ({type(error).__name__}); check rpc_url"
        )

    def _page(self, status: int) -> NodeTrouble:
        """Return the error for an answer that some gateway wrote."""
        if status in _GATEWAY_ALONE:
            return NodeDown(f"{self.place} answers HTTP {status}: the node behind it is down")
        if status in _REFUSES_US:
            return NodeAnswer(
                f"{self.place} refuses to answer (HTTP {status}); check the key in rpc_url"
            )
        return NodeAnswer(f"{self.place} answers HTTP {status} but not JSON-RPC; check rpc_url")


def _is_rpc(content: bytes) -> bool:
    try:
        answer = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    items = answer if isinstance(answer, list) else [answer]
    return any(isinstance(item, dict) and ("error" in item or "result" in item) for item in items)


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header: a number, or a date."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max((then - datetime.now(UTC)).total_seconds(), 0.0)
