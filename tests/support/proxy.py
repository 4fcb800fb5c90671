"""A node that lies or fails: a small HTTP server before the real one that changes chosen answers.

``LyingNode`` changes results. ``FaultyNode`` does what a network, a gateway or a balancer may do as well,
one ``Fault`` at a time, and counts each of them where it struck.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec

from tests.support.wire import Wire

Tamper = Callable[[str, list[Any], Any], Any]
"""Takes method, parameters and true result; returns the result to hand out."""


class NodeError(str):
    """Returned by a tamper to answer with an error of that text."""

    code = -32005
    data: str | None = None


def recorded(code: int, message: str, data: str | None = None) -> NodeError:
    """Return an error as a node of another kind gave it."""
    error = NodeError(message)
    error.code, error.data = code, data
    return error


NO_HASH_THERE = recorded(-32602, "invalid argument 1: argument must be a string")
"""ethereumjs 0.10 to a block that is named by its hash (EIP-1898)."""


def by_hash(params: list[Any]) -> bool:
    """Return whether a call is to be made in the state of a block that is named by its hash."""
    return any(isinstance(each, dict) and "blockHash" in each for each in params)


class LyingNode:
    """Forwards JSON-RPC to a node; ``tamper`` may change every result, ``lies`` counts the changes."""

    def __init__(self, rpc_url: str) -> None:
        self.tamper: Tamper | None = None
        self.lies = 0
        self.lacks: frozenset[str] = frozenset()
        """Methods that this node does not have."""
        self.version: str | None = None
        """What it calls itself; None for what the node behind it says."""
        self._node = Wire(rpc_url)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # one packet for head and body
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:  # its client was killed
                    self.close_connection = True
                    return
                outer._arrived()
                answer = msgspec.json.decode(outer._node.post(body))
                with suppress(OSError):  # a client that was killed hears nothing
                    outer._respond(self, msgspec.json.decode(body), answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._node.close()
        if self._server.defects and kind is None:
            raise self._server.defects[0]

    def _arrived(self) -> None:
        """Called when a request has come, before it is passed on."""

    def _respond(self, handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        deliver(handler, Delivery(msgspec.json.encode(self._changed(calls, answers))))

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
            return _error(calls["id"], result)
        if result != answers["result"]:
            self.lies += 1
        return {**answers, "result": result}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, place: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(place, handler)
        self.defects: list[BaseException] = []
        """What went wrong in the proxy itself."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed; keep whatever else it was."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.defects.append(error)


def _error(number: Any, said: NodeError) -> dict[str, Any]:
    error: dict[str, Any] = {"code": said.code, "message": str(said)}
    if said.data is not None:
        error["data"] = said.data
    return {"jsonrpc": "2.0", "id": number, "error": error}


# ------------------------------------------------------------------------------ faults


@dataclass(frozen=True)
class Delivery:
    """How an answer goes over the wire.

    Parameters
    ----------
    declared
        Length that the head declares, when it is not that of the body.
    pieces
        In how many parts the body is sent, with ``pause_s`` seconds before each.
    close
        Whether the connection is closed afterwards.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    declared: int | None = None
    pieces: int = 1
    pause_s: float = 0.0
    close: bool = False
    silent: bool = False
    """Whether not even a head is sent."""


@dataclass(frozen=True)
class Fault:
    """One thing that may go wrong. Each part returns None where it does not apply.

    Parameters
    ----------
    name
        What it is, in words.
    results
        Changes the result of a call, as ``Tamper``.
    answers
        Changes the answers of a batch of several calls.
    delivery
        Changes how the whole answer is sent.
    whole
        Whether all calls of a request are changed, or each by itself with even odds.
    """

    name: str
    results: Tamper | None = None
    answers: Callable[[list[dict[str, Any]]], list[dict[str, Any]] | None] | None = None
    delivery: Callable[[bytes], Delivery | None] | None = None
    whole: bool = True


ENDLESS = 1 << 30
"""Strikes of a fault that lasts until it is disarmed."""


class FaultyNode(LyingNode):
    """Forwards JSON-RPC to a node, with one fault at a time.

    Parameters
    ----------
    chance
        Decides which requests are struck.
    """

    def __init__(self, rpc_url: str, chance: random.Random) -> None:
        super().__init__(rpc_url)
        self.chance = chance
        self.strikes: Counter[str] = Counter()
        self.requests = 0
        self._fault: Fault | None = None
        self._left = 0
        self._odds = 1.0
        self._doomed: tuple[int, int, float] | None = None
        self._interrupt: tuple[int, Callable[[], object]] | None = None
        self.killed: list[int] = []
        """Processes that were killed at one of their requests."""
        self._lock = threading.Lock()
        self._working = threading.Lock()

    def arm(self, fault: Fault, strikes: int = ENDLESS, odds: float = 1.0) -> None:
        """Let a fault strike so many requests, each with some odds."""
        with self._lock:
            self._fault, self._left, self._odds = fault, strikes, odds

    @property
    def endless(self) -> bool:
        """Whether a fault lasts until it is disarmed."""
        return self._fault is not None and self._left > ENDLESS // 2

    def disarm(self) -> None:
        """Be honest from now on."""
        with self._lock:
            self._fault = None

    def kill_after(self, pid: int, requests: int, delay_s: float) -> None:
        """End a process with SIGKILL, some seconds after so many more requests have come."""
        with self._lock:
            self._doomed = (pid, self.requests + requests, delay_s)

    def interrupt(self, requests: int, work: Callable[[], object]) -> None:
        """Do something when so many more requests have come, before the last of them is passed on."""
        with self._lock:
            self._interrupt = (self.requests + requests, work)

    def spare(self) -> bool:
        """Kill nobody any more, and interrupt nothing; return whether an interruption had not come.

        One that has come is waited for: a mirror reads ahead, and may be done before it is.
        """
        with self._lock:
            left, self._doomed, self._interrupt = self._interrupt, None, None
        with self._working:
            return left is not None

    def _respond(self, handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        listed = calls if isinstance(calls, list) else [calls]
        by_id = {answer["id"]: answer for answer in (answers if listed is calls else [answers])}
        true = [by_id[call["id"]] for call in listed]
        with self._lock:  # one strike is one request: the count ends exactly where it was set to
            struck = self._strike(listed, true)
        told, delivery = struck
        body = msgspec.json.encode(told if listed is calls else told[0])
        delivered = delivery(body) if delivery is not None else None
        deliver(handler, delivered or Delivery(body))

    def _strike(self, calls: list[Any], true: list[Any]) -> tuple[list[Any], Any]:
        fault = self._fault
        if fault is None or self._left == 0 or self.chance.random() >= self._odds:
            return true, None
        told, delivery = true, None
        if fault.results is not None:
            told = [
                self._told(fault, call, answer) for call, answer in zip(calls, true, strict=True)
            ]
        if fault.answers is not None and len(calls) > 1:
            told = fault.answers(told) or told
        if fault.delivery is not None and fault.delivery(b"{}") is not None:
            delivery = fault.delivery
        if told != true or delivery is not None:
            self.strikes[fault.name] += 1
            self._left -= 1
        return told, delivery

    def _told(self, fault: Fault, call: Any, answer: Any) -> Any:
        if "result" not in answer or (not fault.whole and self.chance.random() < 0.5):
            return answer
        assert fault.results is not None
        result = fault.results(call["method"], call["params"], answer["result"])
        if isinstance(result, NodeError):
            return _error(call["id"], result)
        return {**answer, "result": result}

    def _arrived(self) -> None:
        doomed = work = None
        with self._lock:
            self.requests += 1
            if self._doomed is not None and self.requests >= self._doomed[1]:
                doomed, self._doomed = self._doomed, None
            if self._interrupt is not None and self.requests >= self._interrupt[0]:
                (_, work), self._interrupt = self._interrupt, None
                self._working.acquire()
        if work is not None:
            try:
                work()
            finally:
                self._working.release()
        if doomed is not None:
            pid, _, delay_s = doomed
            time.sleep(delay_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


def deliver(handler: BaseHTTPRequestHandler, delivery: Delivery) -> None:
    """Send an answer as it is to be sent."""
    handler.close_connection = handler.close_connection or delivery.close
    if delivery.silent:
        time.sleep(delivery.pause_s)
        return
    handler.send_response(delivery.status)
    for name, value in delivery.headers.items():
        handler.send_header(name, value)
    if "content-type" not in delivery.headers:
        handler.send_header("content-type", "application/json")
    length = len(delivery.body) if delivery.declared is None else delivery.declared
    handler.send_header("content-length", str(length))
    handler.end_headers()
    size = -(-len(delivery.body) // delivery.pieces) or 1
    for start in range(0, len(delivery.body), size):
        if delivery.pieces > 1:
            handler.wfile.flush()
            time.sleep(delivery.pause_s)
        handler.wfile.write(delivery.body[start : start + size])
    handler.wfile.flush()
