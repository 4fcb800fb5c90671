"""A load of our own: so many connections that each ask, wait for the whole answer, and ask again.

Raw sockets and no parser of HTTP beyond ``Content-Length``, so that what is measured is the server.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 16
_LENGTH = re.compile(rb"content-length: ([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What came of a load."""

    requests: int
    seconds: float
    latencies_s: Sequence[float]
    last_body: bytes

    @property
    def p99_ms(self) -> float:
        """The latency that 99 of a hundred answers did not pass, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)]


def press(port: int, paths: Sequence[str], connections: int = CONNECTIONS) -> Load:
    """Ask for each path once, over some connections at a time.

    Raises
    ------
    ValueError
        If an answer is not 200.
    """
    return asyncio.run(_press(port, paths, connections))


async def _press(port: int, paths: Sequence[str], connections: int) -> Load:
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n".encode()
        for path in paths
    ]
    latencies: list[float] = []
    began = time.perf_counter()
    parts = [requests[number::connections] for number in range(connections)]
    bodies = await asyncio.gather(*(_ask(port, part, latencies) for part in parts if part))
    return Load(len(requests), time.perf_counter() - began, latencies, bodies[-1])


async def _ask(port: int, requests: Sequence[bytes], latencies: list[float]) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b""
    for request in requests:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200") or found is None:
            raise ValueError(f"{request[:200]!r} was answered with {head[:200]!r}")
        body = await reader.readexactly(int(found[1]))
        latencies.append(time.perf_counter() - began)
    writer.close()
    return body
