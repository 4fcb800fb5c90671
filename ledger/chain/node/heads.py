"""New blocks as the node announces them: a subscription where the transport has one.

An announcement is a hint to look, never a fact: what the mirror believes it reads by itself. So a lost
one costs a poll's time, and a false one a look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from ledger.chain.node.refusals import is_of_method, told
from ledger.chain.node.transports.base import Channel, Transport
from ledger.chain.node.transports.errors import NodeAnswer, NodeSlow
from ledger.errors import TruetonneError

_METHOD = "eth_subscribe"
_SUBSCRIBE = msgspec.json.encode(
    {"jsonrpc": "2.0", "id": 1, "method": _METHOD, "params": ["newHeads"]}
)
_LISTEN_S = 0.5
_ANSWER_S = 10.0
_AGAIN_S_MAX = 30.0
_DOUBLINGS_MAX = 10
"""By then the pause has long been the longest."""
_SLICE_S = 0.05
"""How long a wait goes on after it was told to stop."""
_END_S = 1.5
"""How long the listener is waited for at the end, in seconds. While it opens a connection to a node that has just
frozen it cannot be called back, for as long as an answer may take; it keeps nobody, and ends by itself."""


class Heads:
    """Waits for the next block of a node.

    Parameters
    ----------
    transport
        The way to the node.
    poll_s
        How long to wait where nothing is announced, in seconds.
    quiet_s
        How long to wait for an announcement before looking all the same: a head that moves back is not
        announced by every node.
    """

    def __init__(self, transport: Transport, poll_s: float, quiet_s: float = 1.0) -> None:
        self._transport = transport
        self._poll_s = poll_s
        self._quiet_s = max(quiet_s, poll_s)
        self._announced = threading.Event()
        self._ended = threading.Event()
        self._subscribed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def subscribed(self) -> bool:
        """Whether the node announces blocks to us now."""
        return self._subscribed.is_set()

    def start(self) -> None:
        """Begin to listen; nothing happens over HTTP."""
        if self._transport.announces:
            self._thread = threading.Thread(target=self._listen, name="heads", daemon=True)
            self._thread.start()

    def wait(self, stopped: Callable[[], bool]) -> None:
        """Wait for a block, or as long as a poll waits, or until told to stop."""
        until = time.monotonic() + (self._quiet_s if self.subscribed else self._poll_s)
        while not stopped():
            remaining_s = until - time.monotonic()
            if remaining_s <= 0 or self._announced.wait(min(remaining_s, _SLICE_S)):
                break
        self._announced.clear()

    def close(self) -> None:
        """End listening, within ``_END_S``."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_S)

    def _listen(self) -> None:
        failures = 0
        while not self._ended.is_set():
            channel: Channel | None = None
            try:
                channel = self._transport.channel()
                if self._ended.is_set() or channel is None or not self._subscribe(channel):
                    return  # nobody waits any more, or the node knows no subscriptions: polling remains
                self._subscribed.set()
                failures = 0
                self._announced.set()  # what came before the subscription
                self._hear(channel)
            except TruetonneError:  # the loop meets the same trouble, and says so
                failures += 1
            finally:
                self._subscribed.clear()
                if channel is not None:
                    channel.close()
            self._ended.wait(min(0.5 * 2 ** min(failures, _DOUBLINGS_MAX), _AGAIN_S_MAX))

    def _subscribe(self, channel: Channel) -> bool:
        channel.send(_SUBSCRIBE)
        answer = _decoded(channel.receive(_ANSWER_S))
        said = answer if isinstance(answer, dict) else {}
        if isinstance(said.get("result"), str):
            return True
        if is_of_method(_METHOD, *told(said.get("error"))):
            return False
        # A limit, or a node that starts: it may pass, and until then the head is looked at far more often.
        raise NodeAnswer(f"{self._transport.place} did not take a subscription")

    def _hear(self, channel: Channel) -> None:
        while not self._ended.is_set():
            try:
                message = _decoded(channel.receive(_LISTEN_S))
            except NodeSlow:  # silence is no trouble here
                continue
            if isinstance(message, dict) and message.get("method") == "eth_subscription":
                self._announced.set()


def _decoded(message: bytes) -> object:
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
