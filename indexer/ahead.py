"""A process that reads the next range of blocks while this one is written.

It gets a node and a deployment, and no database: it can decide nothing and write nothing. An ``Order`` says
which blocks to read, above which hash; the answer is the range, checked and decoded, or nothing. Nothing that goes
wrong there is reported: the range is then read in the open (``ranges``), where the same trouble shows again.

The process ends when its connection does, and so when the one that gives orders ends, however that comes.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from threading import Thread

from indexer.asking import RangeAsked
from indexer.creditlog import CreditLog
from indexer.memory import few_collections, keep_what_is_freed
from indexer.packing import packed, unpacked
from indexer.reading import RangeReading, Read
from ledger.chain.node.client import ChainClient

_READY = b"ready"
"""What it says first: from then on it takes orders."""
PATIENCE_S = 5.0
"""A message that stops on its way for so long will not come."""
_RUN = "import sys; sys.path[:] = sys.argv[2:]; from indexer.ahead import serve; serve(int(sys.argv[1]))"
"""What it does, given where our own modules come from: from nowhere else, as the folder that we stand in."""
_OURS = "TRUETONNE_"
"""How our settings begin: the database's address and its password are not for this process."""


@dataclass(frozen=True)
class Order:
    """A range to be read.

    Parameters
    ----------
    then
        The last block of the range that will probably be ordered after it; 0 for none. It is asked for meanwhile.
    lacks
        Methods that the node does not have, as far as is known.
    """

    first: int
    last: int
    parent_hash: str
    log: CreditLog
    open_hashes: frozenset[str]
    then: int
    lacks: frozenset[str]


class ReadingProcess:
    """The process as its owner sees it, with a thread here that takes in each answer as soon as it comes.

    Parameters
    ----------
    reading
        What ranges are read with here; the process makes the same of it.
    """

    def __init__(self, reading: RangeReading) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = False
        """Whether it is gone, or hangs."""
        self._link: Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="taking-in")
        self._coming: Future[Read | None] | None = None
        self._ready = False
        with suppress(OSError):  # where none can be started, there is no answer
            ours, theirs = _connected()
            self._link = Connection(ours.detach())
            with theirs:
                self._process = _started(theirs.fileno())
        client = reading.client
        asked = client.rpc_url, client.transport.bounds.timeout_s
        self._send((type(reading), *asked, reading.deployment))

    @property
    def pid(self) -> int:
        """The process's number; 0 where there is none."""
        return self._process.pid if self._process is not None else 0

    def ready(self, wait_s: float) -> bool:
        """Return whether it takes orders, or will within some seconds; it never will when it has ``ended``."""
        if self._link is None:
            self.ended = True
        elif not self._ready and not self.ended:
            try:
                self._ready = self._link.poll(wait_s) and self._link.recv_bytes() == _READY
            except (EOFError, OSError):
                self.ended = True
        return self._ready and not self.ended

    def order(self, order: Order) -> None:
        """Have one that is ``ready`` read a range; its answer is to be taken before the next order."""
        self._send(order)
        try:
            self._coming = self._thread.submit(self._taken_in)
        except RuntimeError:  # where no thread can be started, there is no answer either
            self.ended = True

    def answer(self, wait_s: float) -> Read | None:
        """Wait for the next answer; None when the range could not be read, or the process has ``ended``."""
        coming, self._coming = self._coming, None
        if coming is not None and not self.ended:
            with suppress(EOFError, OSError, TimeoutError):
                return coming.result(wait_s)
        self.ended = True
        return None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()  # it has nothing that it could lose
            self._process.communicate()
        self._thread.shutdown(cancel_futures=True)  # its end of the connection is gone
        if self._link is not None:
            self._link.close()

    def _taken_in(self) -> Read | None:
        """Wait for a message and make the range of it, while the one before is written."""
        if self._link is None:
            raise EOFError
        self._link.poll(None)
        content = self._link.recv_bytes()
        return unpacked(content) if content else None

    def _send(self, what: object) -> None:
        try:
            if self._link is not None:
                self._link.send(what)
        except OSError:  # half of an order may be on its way: nothing can follow that
            self.ended = True


def _connected() -> tuple[socket.socket, socket.socket]:
    """Return our end of a connection and the other. Ours waits ``PATIENCE_S`` and no longer within a message."""
    ours, theirs = socket.socketpair()
    seconds, rest = divmod(PATIENCE_S, 1)
    for side in socket.SO_RCVTIMEO, socket.SO_SNDTIMEO:
        ours.setsockopt(socket.SOL_SOCKET, side, struct.pack("ll", int(seconds), int(rest * 1e6)))
    return ours, theirs


def _started(descriptor: int) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _RUN, str(descriptor), *map(os.path.abspath, sys.path)],
        stdin=subprocess.PIPE,  # nothing is ever said on it: it ends when we do
        stdout=subprocess.DEVNULL,
        env=kept,
        pass_fds=[descriptor],
        process_group=0,  # Ctrl-C is for those who decide
    )


def serve(descriptor: int) -> None:
    """Read what is ordered over a socket until that ends."""
    keep_what_is_freed()
    Thread(target=_end_with_stdin, daemon=True).start()
    link = Connection(descriptor)
    with suppress(EOFError, OSError), few_collections():
        kind, rpc_url, timeout_s, deployment = link.recv()
        link.send_bytes(_READY)
        _serve(link, kind(ChainClient(rpc_url, timeout_s), deployment))
    os._exit(0)  # requests may still be on their way


def _end_with_stdin() -> None:
    """Whoever orders is gone, in the middle of a range as well: nobody waits for the answer."""
    sys.stdin.buffer.read()
    os._exit(0)


_Waiting = dict[tuple[int, int], RangeAsked]
"""What was asked for in advance."""


@dataclass(frozen=True)
class _Done:
    """A range that was read, perhaps before it was ordered."""

    order: Order
    content: bytes
    end_hash: str
    log: CreditLog

    def answers(self, order: Order) -> bool:
        """Whether it is what an order asks for, whatever is to be asked for meanwhile."""
        return replace(self.order, then=order.then) == order

    def next(self, order: Order) -> Order | None:
        """Return the order that will probably follow one that this answers; None: there is no block yet."""
        if not order.then:
            return None
        first = order.last + 1
        return replace(
            order, first=first, last=order.then, parent_hash=self.end_hash, log=self.log, then=0
        )


def _serve(link: Connection, reading: RangeReading) -> None:
    """Answer orders, and read meanwhile what will probably be ordered next."""
    waiting: _Waiting = {}
    early: _Done | None = None
    while True:
        order: Order = link.recv()
        if early is not None and early.answers(order):
            done: _Done | None = early
            with suppress(Exception):  # it is asked for again when it is read
                _ask_on(order, reading, waiting)
        else:
            done = _done(order, reading, waiting)
        link.send_bytes(done.content if done is not None else b"")
        following = done.next(order) if done is not None else None
        early = None
        if following is not None and not link.poll():
            early = _done(following, reading, waiting)


def _done(order: Order, reading: RangeReading, waiting: _Waiting) -> _Done | None:
    """Read a range; None: whatever it is that went wrong shows again where the range is read in the open."""
    with suppress(Exception):
        read = _obeyed(order, reading, waiting)
        return _Done(order, packed(read), read.window.last.hash, read.log)
    return None


def _obeyed(order: Order, reading: RangeReading, waiting: _Waiting) -> Read:
    reading.node.lacks = order.lacks
    asked = waiting.pop((order.first, order.last), None)
    while waiting:
        waiting.popitem()[1].cancel()
    if asked is None:
        asked = reading.ask(order.first, order.last)
    _ask_on(order, reading, waiting)
    try:
        return reading.read(asked, order.parent_hash, order.log, order.open_hashes)
    finally:
        asked.cancel()


def _ask_on(order: Order, reading: RangeReading, waiting: _Waiting) -> None:
    if order.then:
        waiting[order.last + 1, order.then] = reading.ask(order.last + 1, order.then)
