"""A node that answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ledger.chain.node.client import ChainClient


@contextmanager
def answering(respond: Callable[[Any], tuple[int, bytes]]) -> Iterator[ChainClient]:
    """Serve a function of a request's JSON, which returns status and content; give a client of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, content = respond(
                json.loads(self.rfile.read(int(self.headers["content-length"])))
            )
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    client = ChainClient(f"http://127.0.0.1:{listening.server_port}", timeout_s=60)
    try:
        yield client
    finally:
        client.close()
        listening.shutdown()
        thread.join()
        listening.server_close()
