"""Rows that refer to each other, written in any order within one unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session


@contextmanager
def deferred_foreign_keys(session: Session) -> Iterator[None]:
    """Let rows of the unit of work refer to rows that are not there yet.

    SQLite checks when the unit of work is committed. MariaDB does not check what is written here: the
    caller answers for it that every row finds what it refers to at the end.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # until the end by itself
        yield
        return
    connection.exec_driver_sql("SET foreign_key_checks = 0")
    try:
        yield
    finally:
        if not connection.invalidated:  # what was lost has no settings any more
            connection.exec_driver_sql("SET foreign_key_checks = 1")
