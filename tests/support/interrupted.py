"""A migration that ends at every statement in turn: each run gets one statement further than the one before.

MariaDB commits each change of a table at once and takes nothing of it back, so a migration that is stopped leaves
what it has done until then. Here a run may repeat what earlier runs have done, and do one statement more; before the
next one its connection is gone, as after ``kill -9`` or a power cut. So every state that an interruption can leave
between two statements is one that some run begins in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

from ledger.db import Database

_READS = ("SELECT", "SHOW", "SET", "DESCRIBE", "START", "PRAGMA")
RUNS_MAX = 5_000


class PowerCut(BaseException):
    """The process is gone: nothing catches it, and nothing is tidied up."""


def upgrade_step_by_step(database: Database, revision: str) -> int:
    """Upgrade to a revision, interrupted before every statement that changes something; return how often it was.

    Raises
    ------
    AssertionError
        If it does not come to an end.
    """
    done: set[str] = set()
    for number in range(RUNS_MAX):
        try:
            with _cut_after_one_more(done):
                database.upgrade(revision)
        except PowerCut:
            continue
        assert database.current() == revision
        return number
    raise AssertionError(f"{revision} does not come to an end after {RUNS_MAX} interruptions")


@contextmanager
def _cut_after_one_more(done: set[str]) -> Iterator[None]:
    """Let statements pass that were done before, and one that was not; cut before the second one."""
    new: list[str] = []
    cut: list[Connection] = []

    def before(
        connection: Connection,
        _cursor: Any,
        statement: str,
        parameters: Any,
        _context: Any,
        _many: bool,
    ) -> None:
        if statement.lstrip().upper().startswith(_READS):
            return
        text = f"{statement} {parameters!r}"
        if text in done or text in new:
            return
        if new:
            cut.append(connection)
            # The server sees what it sees when a process dies: the connection ends, and its transaction with it.
            connection.connection.dbapi_connection._force_close()  # type: ignore[union-attr]
            raise PowerCut
        new.append(text)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    except Exception:
        if not cut:
            raise
        raise PowerCut from None  # from the tidying up, over a connection that is gone
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        done.update(new)
