"""Somebody who wants to be told: a real HTTP server that keeps what it hears and answers by a script."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any


@dataclass
class Heard:
    """One message as it arrived."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Name of the message."""
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        """What the body says."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signatures(self, secret: str) -> list[bool]:
        """Return which signatures are of a secret; written from the Standard Webhooks page alone."""
        key = base64.b64decode(secret.split("_", 1)[1])
        content = b".".join(
            (self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body)
        )
        expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
        return [item == f"v1,{expected}" for item in self.headers["webhook-signature"].split(" ")]


@dataclass
class Listener:
    """Somebody who wants to be told; answers by a script, then 204."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    script: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    wait_s: float = 0.0
    drips: bytes = b""
    """What is sent instead of an answer: a byte each ``drip_s``, for as long as somebody listens."""
    drip_s: float = 0.05
    begins: bytes = b""
    """What is sent at once before the drips."""

    left: threading.Event = field(default_factory=threading.Event)
    """Set when whoever was dripped at went away."""
    closing: threading.Event = field(default_factory=threading.Event)

    def answers(
        self, *statuses: int, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Answer so to the next ones."""
        self.script += [(status, headers or {}, body) for status in statuses]


@contextmanager
def listening() -> Iterator[Listener]:
    """Listen on a port of the loopback interface."""
    found = Listener()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.heard.append(Heard(headers, body))
            found.closing.wait(found.wait_s)
            if found.drips:
                self.close_connection = True
                with suppress(OSError):
                    self.wfile.write(found.begins)
                    for byte in cycle(found.drips):
                        self.wfile.write(bytes([byte]))
                        if found.closing.wait(found.drip_s):
                            break
                found.left.set()
                return
            status, more, said = found.script.pop(0) if found.script else (204, {}, b"")
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/hook?from=park"
    try:
        yield found
    finally:
        found.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
