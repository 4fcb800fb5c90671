"""What the books must hold, in a file beside memory: a chain may be longer than memory.

A shelf is used as a dictionary. What was read or put since the last ``settle`` is in memory and may be changed in
place; ``settle`` writes it into a private file of SQLite, which is gone with its connection. So playing a chain
takes memory for one piece of it, however long it is.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec

from ledger.errors import DependencyDown
from ledger.files import temporary_folder

K = TypeVar("K")
V = TypeVar("V")
PIECE = 2_000
"""Values that are in memory at once while all of a shelf are gone through."""
_CACHE_KIB = 16_000
_GONE: Any = object()


@contextmanager
def no_room_said() -> Iterator[None]:
    """Say what is lacking when the file of the shelves cannot be written.

    Raises
    ------
    DependencyDown
        There is no room for it.
    """
    try:
        yield
    except sqlite3.OperationalError as error:  # errors of the books come in another wrapping
        raise _no_room(error) from error


def _no_room(why: object) -> DependencyDown:
    return DependencyDown(
        "the chain's events are put into a file in the folder for temporary files, and that cannot be written: "
        f"{why}; make room, or set TMPDIR to a folder with more",
        code="disk-full",
    )


class Shelves:
    """All shelves of one comparison, in one file."""

    def __init__(self) -> None:
        # A file without a name SQLite would put into a folder of its own choice, which is not Python's.
        folder = temporary_folder()
        try:
            descriptor, name = tempfile.mkstemp(prefix="truetonne-shelves-", dir=folder)
        except OSError as error:
            raise _no_room(error.strerror) from error
        os.close(descriptor)
        try:
            self._file = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        finally:
            os.unlink(name)  # gone with its connection, and nobody else opens it
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._file.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._file.execute("BEGIN")  # never committed: nothing of it is to last
        self._all: list[Shelf[Any, Any]] = []

    def shelf(self) -> Shelf[Any, Any]:
        """Return a new, empty shelf."""
        made: Shelf[Any, Any] = Shelf(self._file, f"shelf_{len(self._all)}")
        self._all.append(made)
        return made

    def settle(self) -> None:
        """Write what all shelves have in memory, and let go of it."""
        for each in self._all:
            each.settle()

    def close(self) -> None:
        """Give the file's room back, which may be gigabytes; no shelf can be read then."""
        self._file.close()


class Shelf(Generic[K, V]):
    """Values by key, in the order in which they were put. Keys are texts, numbers, or tuples of these."""

    def __init__(self, file: sqlite3.Connection, name: str) -> None:
        self._file, self._name = file, name
        self._open: dict[K, V] = {}
        self._looked = 0
        file.execute(
            f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, key BLOB UNIQUE, value BLOB, looked INTEGER DEFAULT 0)"
        )

    def __getitem__(self, key: K) -> V:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: K, value: V) -> None:
        self._open[key] = value

    def __delitem__(self, key: K) -> None:
        self._open[key] = _GONE

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def get(self, key: K) -> V | None:
        """Return a value; None where there is none."""
        found = self._open.get(key)
        if found is None:
            query = f"SELECT value FROM {self._name} WHERE key = ?"
            row = self._file.execute(query, (_encoded(key),)).fetchone()
            if row is None:
                return None
            found = self._open[key] = pickle.loads(row[0])
        return None if found is _GONE else found

    def many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of some keys, those that there are; they cannot be changed in place."""
        self.settle()
        found = {}
        query = f"SELECT value FROM {self._name} WHERE key = ?"
        for key in keys:
            row = self._file.execute(query, (_encoded(key),)).fetchone()
            if row is not None:
                found[key] = pickle.loads(row[0])
        return found

    def settle(self) -> None:
        """Write what is in memory, and let go of it."""
        if not self._open:
            return
        gone = [(_encoded(key),) for key, value in self._open.items() if value is _GONE]
        if gone:
            self._file.executemany(f"DELETE FROM {self._name} WHERE key = ?", gone)
        self._file.executemany(
            f"INSERT INTO {self._name} (key, value) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (
                (_encoded(key), pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
                for key, value in self._open.items()
                if value is not _GONE
            ),
        )
        self._open.clear()

    def append(self: Shelf[K, list[Any]], key: K, value: Any) -> None:
        """Add to a list, which begins with what is added first."""
        held = self.get(key)
        if held is None:
            self[key] = [value]
        else:
            held.append(value)

    def add(self: Shelf[K, dict[str, int]], key: K, name: str, amount: int) -> None:
        """Add to a number; what comes to nought is not there."""
        held = self.get(key) or {name: 0}
        held[name] += amount
        if held[name]:
            self[key] = held
        else:
            del self[key]

    # ------------------------------------------------------------------- all of them

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield keys and values, some of them in memory at a time."""
        for piece in self._pieces():
            yield from piece

    def changing(self) -> Iterator[tuple[K, V]]:
        """Yield keys and values that may be changed in place."""
        for piece in self._pieces():
            yield from piece
            self._open.update(piece)
            self.settle()

    def _pieces(self) -> Iterator[list[tuple[K, V]]]:
        self.settle()
        query = f"SELECT id, key, value FROM {self._name} WHERE id > ? ORDER BY id LIMIT {PIECE}"
        last = 0
        while rows := self._file.execute(query, (last,)).fetchall():
            last = rows[-1][0]
            yield [(_decoded(key), pickle.loads(value)) for _, key, value in rows]

    def values(self) -> Iterator[V]:
        """Yield the values."""
        for _, value in self.items():
            yield value

    def first(self) -> V | None:
        """Return the value that was put first; None when there is none."""
        return next(self.values(), None)

    # --------------------------------------------------------------------- comparing

    def begin_looking(self) -> None:
        """Forget which keys were looked for."""
        self.settle()
        self._looked += 1

    def look(self, keys: Sequence[K]) -> dict[K, V]:
        """Return the values of some keys, and note that they were looked for."""
        found = self.many(keys)
        query = f"UPDATE {self._name} SET looked = {self._looked} WHERE key = ?"
        self._file.executemany(query, ((_encoded(key),) for key in found))
        return found

    def overlooked(self) -> Iterator[K]:
        """Yield the keys that nobody has looked for since ``begin_looking``."""
        query = f"SELECT key FROM {self._name} WHERE looked < ? ORDER BY id"
        rows = self._file.execute(query, (self._looked,))
        while piece := list(islice(rows, PIECE)):
            yield from (_decoded(key) for (key,) in piece)


def _encoded(key: Any) -> bytes:
    return msgspec.json.encode(key, enc_hook=str)


def _decoded(text: bytes) -> Any:
    key = msgspec.json.decode(text)
    return tuple(key) if isinstance(key, list) else key
