"""What the status of HTTP says of the node behind a gateway, before an answer as before a WebSocket."""

from __future__ import annotations

from datetime import UTC, datetime

from ledger.chain.node.transports.errors import GatewayAlone, NodeLimits, NodeSlow, NodeTrouble
from ledger.clock import asked_rest_s

_TOO_MANY_REQUESTS = 429
_GATEWAY_SLOW = frozenset({504, 524})
_GATEWAY_ALONE = _GATEWAY_SLOW | {502, 503, *range(520, 528), 530}
"""Those from 520 on are Cloudflare's, behind which many providers are."""


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
