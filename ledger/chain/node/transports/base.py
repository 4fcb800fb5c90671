"""The way to a node: encoded JSON-RPC requests in, raw answers out, over HTTP, WebSocket or IPC.

The address says which: ``http://`` and ``https://``, ``ws://`` and ``wss://``, or the path of a Unix
socket (``ipc://PATH``, or the bare path). A transport knows nothing of methods and results; whoever uses
it encodes and decodes, and holds the ids of the answers against those that it asked.

Every transport may be used from several threads. It has several requests in flight, up to a bound that
all threads share, each on a kept connection of its own: an answer can belong to no other request.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from ledger.chain.node.transports.errors import NodeClosed, NodeLimits
from ledger.settings import redacted

IN_FLIGHT_MAX = 4
"""Requests that wait for an answer at once, of all threads together."""
ANSWER_BYTES_MAX = 128 * 1024 * 1024
"""A longer answer is not taken: it would fill the memory. The mirror asks for a shorter range."""
_REST_S_MAX = 5.0
"""A call sits out a rest that the node asks for up to here; a longer one is for the caller to plan."""
_REST_S_MIN = 0.25
"""The least that is rested: a date may be past by our clock, and a gateway may ask for no rest and refuse again."""


@dataclass(frozen=True)
class Bounds:
    """How much is asked, waited and taken."""

    timeout_s: float = 30.0
    """Seconds for one answer, from the first byte sent to the last byte received."""
    in_flight_max: int = IN_FLIGHT_MAX
    answer_bytes_max: int = ANSWER_BYTES_MAX


class Channel(Protocol):
    """A connection on which a node may also speak unasked: one message after the other, both ways."""

    def send(self, body: bytes) -> None:
        """Send one message."""

    def receive(self, timeout_s: float) -> bytes:
        """Return the next message; ``NodeSlow`` when none came in time, and the channel stays usable."""

    def usable(self) -> bool:
        """Return whether the connection is open, and holds nothing that nobody waited for."""

    def close(self) -> None:
        """Close the connection."""


class Transport(ABC):
    """One node, several requests at once.

    Raises
    ------
    BadInput
        From every request, when the address is none.
    NodeTrouble
        From every request, one subclass for each trouble.
    """

    announces = False
    """Whether ``channel`` opens one: whether a node can be subscribed to."""

    def __init__(self, address: str, bounds: Bounds) -> None:
        self.address = address
        self.place = redacted(address)
        """The address for messages: without secrets."""
        self.bounds = bounds
        self._slots = threading.BoundedSemaphore(bounds.in_flight_max)
        self._rest_until, self._rest_status = 0.0, 429
        self._lock = threading.Lock()
        self._workers: ThreadPoolExecutor | None = None

    def exchange(self, body: bytes, again: bool = False) -> bytes:
        """Send one request (or batch), and return the answer's bytes.

        Parameters
        ----------
        again
            Whether the request may be sent once more when the connection ends under it: true for
            whatever only reads, and for what has the same effect twice.
        """
        with self._slots:
            rested_s = 0.0
            while True:
                rested_s += self._rest(_REST_S_MAX - rested_s)
                try:
                    return self._once(body)
                except NodeLimits as limits:
                    if limits.retry_after_s is None:
                        raise
                    rest_s = max(limits.retry_after_s, _REST_S_MIN)
                    self._rest_until = time.monotonic() + rest_s
                    self._rest_status = limits.status
                except NodeClosed:
                    if not again:
                        raise
                    again = False

    def submit(self, body: bytes, again: bool = False) -> Future[bytes]:
        """Start ``exchange`` in a worker thread; waits there for its turn."""
        with self._lock:
            if self._workers is None:
                self._workers = ThreadPoolExecutor(
                    self.bounds.in_flight_max, thread_name_prefix="node"
                )
            return self._workers.submit(self.exchange, body, again)

    def channel(self) -> Channel | None:
        """Open a connection for subscriptions; None where the transport has none."""
        return None

    @abstractmethod
    def reset(self) -> None:
        """Drop the kept connections: one of them is out of step. The next request opens a new one."""

    def close(self) -> None:
        """Close everything; no request may follow."""
        with self._lock:
            workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown(wait=True, cancel_futures=True)
        self.reset()

    @abstractmethod
    def _once(self, body: bytes) -> bytes:
        """Send one request once."""

    def _rest(self, patience_s: float) -> float:
        """Sit out the rest that the node asked for; return the seconds, or raise if there are too many."""
        rest_s = self._rest_until - time.monotonic()
        if rest_s <= 0:
            return 0.0
        if rest_s > patience_s:
            raise NodeLimits(self.place, rest_s, self._rest_status)
        time.sleep(rest_s)
        return rest_s


class ChannelTransport(Transport):
    """Requests over channels: each takes an idle one, or opens one, and is alone on it until it is answered."""

    announces = True

    def __init__(self, address: str, bounds: Bounds) -> None:
        super().__init__(address, bounds)
        self._idle: list[Channel] = []

    @abstractmethod
    def channel(self) -> Channel:
        """Open a connection."""

    def reset(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for channel in idle:
            channel.close()

    def _once(self, body: bytes) -> bytes:
        channel = self._take()
        until = time.monotonic() + self.bounds.timeout_s
        try:
            channel.send(body)
            answer = channel.receive(max(until - time.monotonic(), 0.001))
        except BaseException:
            channel.close()  # whatever comes on it now belongs to nobody
            raise
        with self._lock:
            self._idle.append(channel)
        return answer

    def _take(self) -> Channel:
        while True:
            with self._lock:
                channel = self._idle.pop() if self._idle else None
            if channel is None:
                return self.channel()
            if channel.usable():
                return channel
            channel.close()
