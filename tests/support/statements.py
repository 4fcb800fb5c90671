"""The statements that a piece of work sends, and how SQLite goes about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

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
