"""A node that lies: a small HTTP server before the real one that changes chosen answers."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import httpx
import msgspec

Tamper = Callable[[str, list[Any], Any], Any]
"""Takes method, parameters and true result; returns the result to hand out."""


class LyingNode:
    """Forwards JSON-RPC to a node; ``tamper`` may change every result, ``lies`` counts the changes."""

    def __init__(self, rpc_url: str) -> None:
        self.tamper: Tamper | None = None
        self.lies = 0
        self.lacks: frozenset[str] = frozenset()
        """Methods that this node does not have."""
        self.version: str | None = None
        """What it calls itself; None for what the node behind it says."""
        node = httpx.Client(
            timeout=30, trust_env=False, headers={"content-type": "application/json"}
        )
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # one packet for head and body
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = msgspec.json.decode(node.post(rpc_url, content=body).content)
                calls = msgspec.json.decode(body)
                content = msgspec.json.encode(outer._changed(calls, answer))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._node = node
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "LyingNode":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._node.close()

    def _changed(self, calls: Any, answers: Any) -> Any:
        if isinstance(calls, list):
            by_id = {answer["id"]: answer for answer in answers}
            return [self._changed(call, by_id[call["id"]]) for call in calls]
        if calls["method"] in self.lacks:
            error = {"code": -32601, "message": "the method does not exist"}
            return {"jsonrpc": "2.0", "id": calls["id"], "error": error}
        if calls["method"] == "web3_clientVersion" and self.version is not None:
            return {**answers, "result": self.version}
        if self.tamper is None or "result" not in answers:
            return answers
        result = self.tamper(calls["method"], calls["params"], answers["result"])
        if isinstance(result, NodeError):
            self.lies += 1
            return {
                "jsonrpc": "2.0",
                "id": calls["id"],
                "error": {"code": -32005, "message": str(result)},
            }
        if result != answers["result"]:
            self.lies += 1
        return {**answers, "result": result}


class NodeError(str):
    """Returned by a tamper to answer with an error of that text."""
