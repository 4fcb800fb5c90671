"""A proxy that may swallow what passes through it, and keeps every connection open all the same."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

_PART_BYTES = 1 << 16


class SwallowingProxy:
    """Passes bytes on to a port of this machine, both ways, until it is told to swallow them."""

    def __init__(self, port: int) -> None:
        self._there = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._swallowed: set[socket.socket] = set()
        self._all = False
        self._left: int | None = None
        self.struck = threading.Event()
        """Set when something was swallowed."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        with self._lock:
            for pair in self._open:
                for end in pair:
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def swallow_open(self) -> None:
        """Swallow what comes on the connections that are open; new ones are passed on."""
        with self._lock:
            self._swallowed |= {end for pair in self._open for end in pair}

    def swallow_answers(self) -> None:
        """Swallow what servers say on the connections that are open; what they are told is passed on."""
        with self._lock:
            self._swallowed |= {there for _, there in self._open}

    def swallow_all(self, after_bytes: int = 0) -> None:
        """Swallow everything, once so many more bytes have passed; new connections are taken, and hear nothing."""
        with self._lock:
            self._left = after_bytes
            self._all = after_bytes == 0

    def pass_on(self) -> None:
        """Pass new connections on; those of before stay silent."""
        with self._lock:
            if self._all:
                self._swallowed |= {end for pair in self._open for end in pair}
            self._all, self._left = False, None

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._there)
            except OSError:
                return
            for end in (here, there):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.append((here, there))
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while part := one.recv(_PART_BYTES):
                if self._is_swallowed(one, len(part)):
                    self.struck.set()
                else:
                    other.sendall(part)
        # Whoever is on a connection that swallows is not told of its end either.
        if not self._is_swallowed(one, 0):
            with suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)

    def _is_swallowed(self, one: socket.socket, size: int) -> bool:
        with self._lock:
            if self._left is not None and not self._all:
                self._left -= size
                self._all = self._left < 0
            return self._all or one in self._swallowed
