"""The limit: the calls that the mirror makes, made again, and nothing done with the answers.

One run of the mirror goes through a recording proxy. What it asked is then asked by two threads, each on a
connection that is kept, as fast as the node answers.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from cli.bench.indexer.chain import BenchChain
from cli.bench.indexer.ours import mirror, sqlite_file
from cli.bench.indexer.watch import Spent
from cli.bench.usage import cpu_s, peak_mb
from ledger.errors import DependencyDown

CONNECTIONS = 2
TIMEOUT_S = 120
_HEADERS = {"content-type": "application/json"}


def recorded(chain: BenchChain, rpc_url: str) -> list[bytes]:
    """Return the bodies of all requests that a mirror of the chain makes."""
    bodies: list[bytes] = []
    with _recorder(rpc_url, bodies) as url, sqlite_file() as place:
        mirror(chain, url, place)
    return bodies


def replayed(bodies: Sequence[bytes], rpc_url: str) -> Spent:
    """Make the requests, and time it."""
    waiting: Iterator[bytes] = iter(bodies)
    lock, failed = threading.Lock(), threading.Event()

    def ask() -> None:
        connection = _connection(rpc_url)
        try:
            while not failed.is_set():
                with lock:
                    body = next(waiting, None)
                if body is None:
                    return
                if _post(connection, body)[0] != 200:
                    failed.set()
        except (OSError, http.client.HTTPException):
            failed.set()
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    started, cpu = time.perf_counter(), cpu_s()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed.is_set():
        raise DependencyDown("the node does not answer what it answered before")
    wall = Decimal(str(time.perf_counter() - started)).quantize(Decimal("0.001"))
    return Spent(
        wall,
        (cpu_s() - cpu).quantize(Decimal("0.001")),
        Decimal(0),
        peak_mb().quantize(Decimal("0.001")),
    )


@contextmanager
def _recorder(rpc_url: str, bodies: list[bytes]) -> Iterator[str]:
    """Forward requests to a node and keep them; give the address to ask."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.node = _connection(rpc_url)

        def finish(self) -> None:
            self.node.close()
            super().finish()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                bodies.append(body)
            status, answer = _post(self.node, body)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _connection(rpc_url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(rpc_url).netloc, timeout=TIMEOUT_S)


def _post(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", "/", body, _HEADERS)
    answer = connection.getresponse()
    return answer.status, answer.read()
