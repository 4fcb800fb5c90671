"""Short reads by key on a few connections kept to MariaDB, without ORM and transaction.

It is for MariaDB what ``quick`` is for SQLite, with two differences. Each statement is a snapshot of its own, because
to open one for several statements would cost as much as a statement. And whoever asks waits for the network, so a
server asks in a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pymysql
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ledger.db.quick import Row

REST_S = 5.0
"""How long nothing is asked here after an attempt that failed, in seconds; the ordinary way tells why it failed."""


class QuickServer:
    """Quick reads of one MariaDB.

    Parameters
    ----------
    open_engine
        Makes an engine by ``engines.create`` with ``quick=True``; called by the first read.
    """

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open = open_engine
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._rests_until_s = 0.0

    def try_one(self, sql: str, values: Sequence[Any]) -> list[Row] | None:
        """Return all rows of one statement with ``?`` for its values; None when it cannot be had soon.

        That is so when others have all the connections, or the server does not answer within two seconds, or not as it
        should: the caller then asks the ordinary way. Times are text as SQLite has it,
        ``2024-01-01 00:00:00.000000``.
        """
        if time.monotonic() < self._rests_until_s:
            return None
        try:
            link = self._engine_here().raw_connection()
        except SQLAlchemyError:  # others have them all
            return None
        except (pymysql.err.Error, OSError):
            self._rest()
            return None
        try:
            cursor = link.cursor()
            cursor.execute(sql.replace("?", "%s"), tuple(values))
            return list(cursor.fetchall())
        except (pymysql.err.Error, OSError):
            link.invalidate()
            self._rest()
            return None
        except BaseException:
            link.invalidate()  # what is left of its answer is not the next one's
            raise
        finally:
            link.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    def _engine_here(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _rest(self) -> None:
        self._rests_until_s = time.monotonic() + REST_S
