"""A connection to MariaDB that says nothing: whether its statement still runs is asked of the server, on another one.

A statement may take minutes, and nobody knows how long: a limit would end a reindex, or leave a lost connection
waited for that long. A proxy in between may swallow packets and keep the connection open: the operating system
sees nothing wrong with it. So who waits asks, each time that nothing came for ``SILENCE_S``. A statement that runs is
waited for as long as it runs; a connection without one, or of a server that does not answer, is given up.

A server whose disk is full may let a commit wait for room, for ever (the binary log does). That is said, and waited
for: what becomes of it is known to nobody else.

What is given up may hold locks at the server, which has not heard of it. It is ended (KILL, which everybody may do to
his own account's connections) as soon as the server answers.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from pymysql import err
from pymysql.connections import Connection

SILENCE_S = 10
"""After how many seconds without an answer the server is asked what it does."""
WRITE_S = 60
"""How long a packet of up to 16 MB may take to be sent, in seconds."""
ASK_S = 10
"""How long each part of asking may take, in seconds."""
_ON_ITS_WAY_S = 2
"""An answer that was sent while the server was asked is there by then."""
_FULL = frozenset({1040, 1203, 1226})
"""The server is there, and takes no further connection: whether the statement runs cannot be asked now."""
_IDLE = "Sleep"
_NO_ROOM = "free space"
"""In what MariaDB says of a statement that waits for room on its disk: ``Waiting for someone to free space``."""
SAID_EACH_S = 600
"""How often it is said that a server waits for room, in seconds: as often as the server says it in its own log."""
_SECOND = 1
"""Servers say whole ones."""
SERVER = "CONCAT_WS(' ', @@hostname, @@port, @@server_id)"
"""In SQL: what tells a server from others."""

Known = tuple[str, int]
"""A server as it names itself, and the number that it has given a connection."""

log = logging.getLogger("truetonne.database")


class Room:
    """What a connection has said of a server that waits for room: not at each look."""

    def __init__(self) -> None:
        self._said_s: float | None = None

    def is_lacking(self, server: str) -> None:
        """Say it, unless that was done lately."""
        now_s = time.monotonic()
        if self._said_s is None or now_s - self._said_s > SAID_EACH_S:
            self._said_s = now_s
            log.warning(
                "database server %s waits for room on its disk, which is full: free space there; it goes on within a "
                "minute then, and so does what is done here",
                server.partition(" ")[0],
            )


class Socket(Protocol):
    """What is used of a socket, with TLS or without."""

    def recv_into(self, buffer: Any, /) -> int:
        """Receive what has come."""

    def settimeout(self, seconds: float | None, /) -> None:
        """Set how long to wait."""

    def gettimeout(self) -> float | None:
        """Return how long is waited."""


class GivenUp:
    """Connections that were given up and may still stand at their server; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[tuple[Known, float]] = []

    def add(self, known: Known) -> None:
        """Note one."""
        with self._lock:
            self._open.append((known, time.monotonic()))

    def end(self, link: Connection[Any], server: str) -> None:
        """End those of a server by a new connection to it; one that has ended meanwhile is no error."""
        if not self._open:
            return
        with self._lock:
            here = [(known[1], since) for known, since in self._open if known[0] == server]
            self._open = [(known, since) for known, since in self._open if known[0] != server]
        if not here:
            return
        with suppress(err.Error), link.cursor() as cursor:
            connections = _connections(link)
            for number, since in here:
                # One that has done something since has the number of it after a restart, and is another's.
                _, seconds, _ = connections.get(number, ("", -_SECOND, ""))
                if seconds + _SECOND > time.monotonic() - since:
                    cursor.execute(f"KILL CONNECTION {number:d}")


class Listening(io.RawIOBase):
    """What a connection receives; where nothing comes, the server is asked whether its statement runs.

    Parameters
    ----------
    sock
        Its time-out is how long nothing comes before the server is asked.
    runs
        Says whether the statement runs at the server.
    is_given_up
        Called when nothing will come.
    """

    def __init__(
        self, sock: Socket, runs: Callable[[], bool], is_given_up: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._runs = runs
        self._is_given_up = is_given_up

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Receive what has come.

        Raises
        ------
        TimeoutError
            Nothing came, and nothing will.
        """
        while True:
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                if self._runs():
                    continue
            return self._last(buffer)

    def _last(self, buffer: Any) -> int:
        silence_s = self._sock.gettimeout()
        self._sock.settimeout(_ON_ITS_WAY_S)
        try:
            return self._sock.recv_into(buffer)
        except TimeoutError:
            self._is_given_up()
            raise TimeoutError(
                f"nothing came for {silence_s:g} s, and the statement does not run at a server that answers"
            ) from None
        finally:
            self._sock.settimeout(silence_s)


def runs(known: Known, link: Connection[Any], room: Room) -> bool:
    """Return whether a connection runs a statement at the server of another connection; say if it waits for room."""
    if server_of(link) != known[0]:  # the proxy leads elsewhere now
        return False
    does, _, state = _connections(link).get(known[1], (_IDLE, 0, ""))
    if _NO_ROOM in state:
        room.is_lacking(known[0])
    return does != _IDLE


def server_of(link: Connection[Any]) -> str:
    """Return what tells a server from others."""
    with link.cursor() as cursor:
        cursor.execute(f"SELECT {SERVER}")
        ((server,),) = cursor.fetchall()
    return str(server)


def is_full(error: Exception) -> bool:
    """Return whether a server is there and takes no further connection, so that it cannot be asked now."""
    return bool(error.args) and error.args[0] in _FULL


def _connections(link: Connection[Any]) -> dict[int, tuple[str, int, str]]:
    """Return what each connection of the account does, for how many seconds, and how, by its number."""
    with link.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        rows = cursor.fetchall()
    return {int(row[0]): (str(row[4]), int(row[5] or 0), str(row[6] or "")) for row in rows}
