"""Which transport an address asks for. Each is imported only when an address does."""

from __future__ import annotations

from ledger.chain.node.transports.base import Bounds, Transport
from ledger.settings import socket_path


def open_transport(address: str, bounds: Bounds | None = None) -> Transport:
    """Return the transport of an address; nothing is connected before the first request."""
    bounds = bounds or Bounds()
    path = socket_path(address)
    if path is not None:
        from ledger.chain.node.transports.ipc import IpcTransport

        return IpcTransport(address, path, bounds)
    if address.startswith(("ws://", "wss://")):
        from ledger.chain.node.transports.ws import WebSocketTransport

        return WebSocketTransport(address, bounds)
    from ledger.chain.node.transports.http import HttpTransport

    return HttpTransport(address, bounds)
