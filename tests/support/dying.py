"""A process that dies, or whose server is struck, at a chosen point of what it does with its database and its node.

Points are before each statement, and after each that changes something; before a commit, while its answer is awaited
(MariaDB), and after it; before and after each request to the node. All are counted, whichever thread meets them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

COMMIT = "COMMIT"
"""Stands in the names of the points around a commit."""
_READS = ("SELECT", "PRAGMA", "SHOW", "SET ", "BEGIN", "START")
_SHOWN = 60


def install(file: Path, at: int | None = None, strike: Sequence[str] = (), only: str = "") -> None:
    """Have this process note the names of its points in a file, and die (``kill -9``) at one of them.

    Parameters
    ----------
    at
        The number of the point, from 0; None: at none.
    strike
        What befalls in place of its death: a socket of MariaDB and statements, or the number of another process,
        which is killed.
    only
        Points without this in their names do not count.
    """
    noted = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    lock = threading.Lock()
    passed = 0

    def point(name: str) -> None:
        nonlocal passed
        if only not in name:
            return
        with lock:
            os.write(noted, f"{name}\n".encode())
            if passed == at:
                _befall(strike)
            passed += 1

    _listen(point)


def _befall(strike: Sequence[str]) -> None:
    if not strike or strike[0].isdecimal():
        os.kill(int(strike[0]) if strike else os.getpid(), signal.SIGKILL)
        return
    from pymysql import connect

    socket, *statements = strike
    with connect(unix_socket=socket, user="root", autocommit=True, ssl_disabled=True) as link:
        for statement in statements:
            link.cursor().execute(statement)


def _listen(point: Callable[[str], None]) -> None:
    from pymysql.connections import Connection
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.engine.default import DefaultDialect

    from ledger.chain.node.client import ChainClient

    def before(_link: Any, _cursor: Any, statement: str, *_: Any) -> None:
        point(f"before {_short(statement)}")

    def after(_link: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(_READS):
            point(f"after {_short(statement)}")

    commit: Any = DefaultDialect.do_commit
    send: Any = Connection._execute_command  # type: ignore[attr-defined]
    ask: Any = ChainClient.request_batch

    def committing(self: Any, link: Any) -> None:
        point(f"before {COMMIT}")
        commit(self, link)
        point(f"after {COMMIT}")

    def sending(self: Any, command: int, sql: Any) -> None:
        send(self, command, sql)
        if sql == COMMIT:
            point(f"amid {COMMIT}")

    def asking(self: Any, calls: Any) -> Any:
        names = ",".join(sorted({method for method, _ in calls}))
        point(f"before {names}")
        answer = ask(self, calls)
        point(f"after {names}")
        return answer

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    changed = (
        (DefaultDialect, "do_commit", committing),
        (Connection, "_execute_command", sending),
        (ChainClient, "request_batch", asking),
    )
    for owner, name, value in changed:
        setattr(owner, name, value)


def _short(statement: str) -> str:
    return " ".join(statement.split())[:_SHOWN]
