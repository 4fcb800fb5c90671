"""Lets the database do writes while the caller computes the next ones.

::

    with db.behind(session) as later:
        later.insert("meter_readings", columns, constants)   # made ready now, stored meanwhile
        later.run(partial(refresh, session))
        later.session.execute(...)                           # waits for both first

Writes are done in order, one at a time, on the connection of the unit of work, by a thread: Python goes on
meanwhile, as that thread mostly waits for the server, or is in SQLite, outside of the interpreter's lock. What a
write raises comes out at the next wait, and those after it are not begun. Where nearly all work is Python's, as in
an import into SQLite, a thread gains nothing: there writes are done ``at_once``.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import Session

from ledger.db import bulk

Work = Callable[[], object]
_SWITCH_S = 0.0005
"""How long, at most, the thread that hands rows to the database waits for the one that makes them ready, in seconds."""


class Behind:
    """The writes of one unit of work. From ``run`` to ``wait`` nobody else may use its session."""

    def __init__(self, session: Session, thread: ThreadPoolExecutor | None) -> None:
        self._session = session
        self._connection = session.connection()
        self._thread = thread
        self._pending: deque[Future[None]] = deque()
        self._worker: int | None = None
        self._stopped = False
        if thread is not None:
            event.listen(self._connection, "before_cursor_execute", self._guard)

    @property
    def connection(self) -> Connection:
        """The connection of the unit of work, for those that make a write ready; it may be busy."""
        return self._connection

    @property
    def unwaited(self) -> Session:
        """The session, without waiting: only for work that is handed to ``run``."""
        return self._session

    @property
    def session(self) -> Session:
        """The session; it waits until all writes are done."""
        self.wait()
        return self._session

    def insert(
        self,
        table: str,
        columns: Mapping[str, Sequence[bulk.Plain]],
        constants: Mapping[str, bulk.Plain],
    ) -> None:
        """Insert rows as ``Database.insert_columns`` does; they are made ready at once, see ``prepared``."""
        self.run(self.prepared(table, columns, constants))

    def prepared(
        self,
        table: str,
        columns: Mapping[str, Sequence[bulk.Plain]],
        constants: Mapping[str, bulk.Plain],
    ) -> Work:
        """Encode rows now, and return the work that inserts them, for ``run``; nothing is waited for.

        The columns are not to be changed before that was done.
        """
        return bulk.prepared(self._connection, table, columns, constants)

    def run(self, work: Work) -> None:
        """Hand over a piece of work; it is done after those before it, with the session of the unit of work."""
        if self._thread is None:
            work()
            return
        try:
            self._pending.append(self._thread.submit(self._do, work))
        except RuntimeError:  # where no thread can be started, all is done here
            self._thread = None
            work()

    def wait(self) -> None:
        """Wait until all is done; raise what the first of them raised that failed."""
        while self._pending:
            self._pending.popleft().result()

    def stop(self) -> None:
        """Begin none of what is left."""
        self._stopped = True

    def _do(self, work: Work) -> None:
        if self._stopped:
            return
        self._worker = threading.get_ident()
        try:
            work()
        except BaseException:
            self._stopped = True
            raise

    def _guard(self, *_: Any) -> None:
        if self._pending and threading.get_ident() != self._worker:
            raise RuntimeError("a statement while writes are under way; take the session of Behind")


@contextmanager
def behind(session: Session, *, at_once: bool = False) -> Iterator[Behind]:
    """Open the writes of a unit of work; all are done when the block ends without an error.

    Parameters
    ----------
    at_once
        Do each as it comes, in this thread.
    """
    if at_once:
        yield Behind(session, None)
        return
    with ThreadPoolExecutor(max_workers=1) as thread:
        later = Behind(session, thread)
        try:
            yield later
            later.wait()
        except PendingRollbackError:  # a write lost the connection: what it met is the reason
            later.wait()
            raise
        except BaseException:
            later.stop()
            raise


@contextmanager
def quick_switches() -> Iterator[None]:
    """Let threads in more quickly than after Python's 5 ms, which is as long as a statement takes for its rows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
