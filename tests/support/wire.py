"""The least that speaks HTTP to a node on this machine: one kept connection for each thread."""

from __future__ import annotations

import http.client
import threading
from typing import Any
from urllib.parse import urlsplit

import msgspec


class Wire:
    """A way to one node."""

    def __init__(self, rpc_url: str) -> None:
        parts = urlsplit(rpc_url)
        assert parts.hostname is not None and parts.port is not None
        self._place = (parts.hostname, parts.port)
        self._threads = threading.local()
        self._open: list[http.client.HTTPConnection] = []

    def post(self, body: bytes) -> bytes:
        """Send a request and return the answer's body."""
        link = getattr(self._threads, "link", None)
        if link is None:
            link = http.client.HTTPConnection(*self._place, timeout=60)
            self._threads.link = link
            self._open.append(link)
        link.request("POST", "/", body, {"content-type": "application/json"})
        return link.getresponse().read()

    def ask(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        """Return the results of several calls; all of them must have one."""
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(calls)
        ]
        answers = msgspec.json.decode(self.post(msgspec.json.encode(body)))
        by_id = {answer["id"]: answer for answer in answers}
        assert all("result" in answer for answer in answers), answers
        return [by_id[number]["result"] for number in range(len(calls))]

    def close(self) -> None:
        """Close all connections."""
        for link in self._open:
            link.close()
