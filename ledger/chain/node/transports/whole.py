"""HTTP answers that are bounded in time as a whole.

A socket's time-out bounds the wait for each piece alone: whoever sends a byte of a header now and then would keep us
for ever, and with us the lease of the mirror or of the jobs.
"""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Until(io.RawIOBase):
    """Reads a socket until a moment of ``time.monotonic``."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, until: float) -> None:
        super().__init__()
        self._sock, self._raw, self._until = sock, raw, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer is not whole in time")
        timeout_s = self._sock.gettimeout()
        self._sock.settimeout(left_s)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(timeout_s)  # the next request has all of it

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            raw = _Until(sock, self.fp.detach(), time.monotonic() + timeout_s)
            self.fp = io.BufferedReader(raw)


class _Plain(HTTPConnection):
    response_class = _Answer


class _Secure(HTTPSConnection):
    response_class = _Answer


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


def bound(pools: PoolManager) -> PoolManager:
    """Have the read time-out of a manager's requests bound the whole answer, headers and body, and return it."""
    pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return pools
