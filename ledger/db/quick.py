"""Short reads by key on a kept connection of SQLite, without ORM and pool.

A read of the mapper costs some hundred microseconds however little it reads. Where one answer must not, its
few statements are written out, and read here: in one snapshot, by a connection that can write nothing. For
MariaDB see ``quick_server``. Whoever uses either has the ordinary way too.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

Row = tuple[Any, ...]
Read = Callable[[str, Sequence[Any] | Mapping[str, Any]], list[Row]]
"""Executes a statement with ``?`` or ``:name`` for its values, and returns all rows."""
T = TypeVar("T")


class Quick:
    """Quick reads of one SQLite file.

    Parameters
    ----------
    file
        The file; it is opened by the first read of each thread.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._numbers = count()

    def try_read(self, work: Callable[[Read], T | None]) -> T | None:
        """Return what some statements of one snapshot come to; None when the file does not let them.

        It waits for nobody: the caller then asks the ordinary way, and is told what is wrong.
        """
        try:
            with self._snapshot() as read:
                return work(read)
        except sqlite3.Error:
            return None

    def version(self) -> tuple[int, int] | None:
        """Return what another commit to the file changes, whoever made it; None when it cannot be read.

        It is a number of this thread's connection (``PRAGMA data_version``), which says nothing beside that of another
        one: each begins with the same. So the connection's own number stands before it.
        """
        try:
            found: int = self._mine().execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        return self._local.number, found

    @contextmanager
    def _snapshot(self) -> Iterator[Read]:
        execute = self._mine().execute
        execute("BEGIN")
        try:
            yield lambda sql, values: execute(sql, values).fetchall()
        finally:
            execute("COMMIT")

    def _mine(self) -> sqlite3.Connection:
        """Return the connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        return self._open() if connection is None else connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._file.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,  # closed by whoever closes the database
            cached_statements=64,
        )
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA cache_size=-65536")
            # What does not fit the cache is read without a call to the system for each page.
            connection.execute(f"PRAGMA mmap_size={2**30}")
        except sqlite3.Error:
            connection.close()
            raise
        self._local.connection = connection
        self._local.number = next(self._numbers)
        self._opened.append(connection)
        return connection

    def close(self) -> None:
        """Close all connections."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._local = threading.local()
