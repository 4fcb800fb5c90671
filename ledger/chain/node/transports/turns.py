"""A connection that one thread reads while others write: only one at a time is inside of it, and none waits there.

OpenSSL takes no two calls on one connection at once, and Python lets them through. The client of ``websockets`` reads
in a thread of its own: what came while it sent its first bytes could be lost, and one connection in fifty was never
opened. Here is also bounded how long a peer may take nothing of what is sent to it.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

_Done = TypeVar("_Done")
_OTHER_WAY_S = 0.05
"""How long one way waits at a time for what the other may take: TLS may read before it writes, or the reverse."""


class Unread(TimeoutError):
    """The peer takes nothing of what is sent."""


class Turns:
    """A connected socket with the methods that ``websockets`` uses of one.

    Parameters
    ----------
    connection
        Of TCP, or of TLS after its handshake. It belongs to this object from now on.
    send_s_max
        How long one message may take to be sent, in seconds.
    """

    def __init__(self, connection: socket.socket, send_s_max: float) -> None:
        self._connection = connection
        self._send_s_max = send_s_max
        self._timeout_s: float | None = None
        self._turn = threading.Lock()
        connection.setblocking(False)

    def settimeout(self, timeout_s: float | None) -> None:
        """Bound every later wait, in seconds; None waits for ever, and to send never longer than ``send_s_max``."""
        self._timeout_s = timeout_s

    def recv(self, bytes_max: int) -> bytes:
        """Return what came, as soon as something did; nothing at the end.

        Raises
        ------
        TimeoutError
            When nothing came in time.
        """
        until = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        return self._when_ready(partial(self._connection.recv, bytes_max), select.POLLIN, until)

    def sendall(self, content: bytes) -> None:
        """Send all of it.

        Raises
        ------
        Unread
            When the peer did not take it in time.
        """
        bounds_s = [self._send_s_max, *([] if self._timeout_s is None else [self._timeout_s])]
        until = time.monotonic() + min(bounds_s)
        left = memoryview(content)
        try:
            while left:
                send = partial(self._connection.send, left)
                left = left[self._when_ready(send, select.POLLOUT, until) :]
        except TimeoutError as error:
            raise Unread(f"not sent within {min(bounds_s):g} s") from error

    def shutdown(self, how: int) -> None:
        """End one way or both; whoever waits on it is woken."""
        with self._turn:
            self._connection.shutdown(how)

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            self._connection.close()

    def _when_ready(self, act: Callable[[], _Done], own: int, until: float | None) -> _Done:
        """Do it as soon as it needs not wait; ``own`` is what it waits for but for an exchange of TLS itself."""
        while True:
            with self._turn:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    awaited = select.POLLIN
                except ssl.SSLWantWriteError:
                    awaited = select.POLLOUT
                except BlockingIOError:
                    awaited = own
                number = self._connection.fileno()
            self._wait(number, awaited, until, None if awaited == own else _OTHER_WAY_S)

    def _wait(self, number: int, awaited: int, until: float | None, slice_s: float | None) -> None:
        if number < 0:
            raise OSError(errno.EBADF, "the connection is closed")
        waits_s = [] if until is None else [until - time.monotonic()]
        if waits_s and waits_s[0] <= 0:
            raise TimeoutError
        waits_s += [] if slice_s is None else [slice_s]
        poll = select.poll()
        poll.register(number, awaited)
        poll.poll(min(waits_s) * 1000 if waits_s else None)
