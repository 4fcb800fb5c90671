"""What HTTP says of the node behind a gateway, and to it of us, before an answer as before a WebSocket."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from urllib.parse import unquote

from ledger.chain.node.transports.errors import GatewayAlone, NodeLimits, NodeSlow, NodeTrouble
from ledger.clock import asked_rest_s

_TOO_MANY_REQUESTS = 429
_GATEWAY_SLOW = frozenset({504, 524})
_GATEWAY_ALONE = _GATEWAY_SLOW | {502, 503, *range(520, 528), 530}
"""Those from 520 on are Cloudflare's, behind which many providers are."""


def authorization(user: str) -> str:
    """Return what proves who asks, by name and password as an address has them before its host (``me:p%40ss``)."""
    name, _, password = user.partition(":")
    return "Basic " + b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()


def limit_of(place: str, status: int, retry_after: str | None) -> NodeLimits | None:
    """Return the error for who is asked too much, or asks for rest as one that is down does; None for all others."""
    rest_s = asked_rest_s(retry_after, datetime.now(UTC))
    if status == _TOO_MANY_REQUESTS or (status in _GATEWAY_ALONE and rest_s is not None):
        return NodeLimits(place, rest_s, status)
    return None


def outage_of(place: str, status: int) -> NodeTrouble | None:
    """Return the error for a gateway without its node; None for every other status."""
    if status in _GATEWAY_SLOW:
        return NodeSlow(f"{place} answers HTTP {status}: the node behind it did not answer in time")
    if status in _GATEWAY_ALONE:
        return GatewayAlone(f"{place} answers HTTP {status}: the node behind it is down")
    return None
