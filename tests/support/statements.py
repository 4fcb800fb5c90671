"""The statements that a piece of work sends, and how SQLite goes about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from ledger.db import Database
from ledger.models import Base
from tests.support.mirror import MIRRORED

GROWING = set(MIRRORED) - {"chain_cursor", "smart_contracts"}
"""Tables of the mirror that grow for as long as the chain does."""


class listening:
    """Hear every statement of every engine, and every commit if asked to."""

    def __init__(
        self, listener: Callable[..., None], commits: Callable[[Connection], None] | None = None
    ) -> None:
        self._heard = [("before_cursor_execute", listener)]
        if commits is not None:
            self._heard.append(("commit", commits))

    def __enter__(self) -> None:
        for name, listener in self._heard:
            event.listen(Engine, name, listener)

    def __exit__(self, *_: object) -> None:
        for name, listener in self._heard:
            event.remove(Engine, name, listener)


def steps_of(connection: Any, sql: str, parameters: Any) -> list[str]:
    """Return the steps of SQLite's plan for a statement, on a connection of its driver."""
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def read_whole(steps: Iterable[str]) -> set[str]:
    """Return the growing tables that a plan reads from end to end."""
    names = {found[1] for step in steps if (found := re.match(r"SCAN (\w+)", step))}
    return GROWING & names


@dataclass(frozen=True)
class ForeignKey:
    """A column that refers to another table, and whether SQLite finds its rows by an index."""

    table: str
    column: str
    indexed: bool


def keys_to(db: Database, tables: Collection[str]) -> Iterator[ForeignKey]:
    """Return the foreign keys of an SQLite file that refer to some tables."""
    with db.read() as session:
        link = session.connection()
        for name in Base.metadata.tables:
            firsts = {
                link.exec_driver_sql(f"PRAGMA index_info({index[1]})").all()[0][2]
                for index in link.exec_driver_sql(f"PRAGMA index_list({name})").all()
            }
            for key in link.exec_driver_sql(f"PRAGMA foreign_key_list({name})").all():
                if key[2] in tables:
                    yield ForeignKey(name, key[3], key[3] in firsts)
