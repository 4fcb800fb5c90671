"""Where a process of the product can be struck: before and after each commit, and around each question to the node.

``Watch`` is what strikes; ``WatchedBooks`` and ``Line`` are the product's own database and transport, which ask
it at every such place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Engine, Executable
from sqlalchemy.orm import Session

from ledger.chain.node.client import ChainClient
from ledger.chain.node.transports.base import Transport
from ledger.db import Database
from tests.support.sending import Boundaries

PAGES_MAX = 1_073_741_823
"""SQLite's own bound, which is no bound."""
Calls = list[dict[str, Any]]
Before = Callable[[Calls], list[dict[str, Any]] | None]
"""Sees the calls of a request, may raise, change the calls, or answer in the node's place."""
After = Callable[[Calls, list[dict[str, Any]]], list[dict[str, Any]]]
"""Sees the calls and the node's answers, may raise, and returns what the product hears."""


class Watch:
    """What is done at the places where a process can be struck; nothing, unless a fault sets it."""

    def __init__(self) -> None:
        self.boundaries: Boundaries | None = None
        self.before: Before | None = None
        self.after: After | None = None
        self.pages_max: int | None = None
        """How many pages an SQLite file may have; None: as many as it likes."""

    def step(self, name: str) -> None:
        """Pass a boundary."""
        if self.boundaries is not None:
            self.boundaries.step(name)

    def quiet(self) -> None:
        """Strike no more."""
        self.boundaries = self.before = self.after = self.pages_max = None


class WatchedBooks(Database):
    """The product's database, with a boundary before and after each commit."""

    def __init__(self, url: str, watch: Watch) -> None:
        super().__init__(url)
        self._watch = watch

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        writes = engine is not self._reader
        with super()._session(engine) as session:
            if self.dialect == "sqlite":
                pages = self._watch.pages_max or PAGES_MAX
                session.connection().exec_driver_sql(f"PRAGMA max_page_count={pages}")
            yield session
            if writes:
                session.flush()
                self._watch.step("before a commit")
        if writes:
            self._watch.step("after a commit")

    def alone(self, statement: Executable) -> int:
        """Pass the boundaries of a statement that is a unit of work by itself."""
        if self.dialect == "sqlite":
            return super().alone(statement)  # which has a session
        self._watch.step("before a commit")
        found = super().alone(statement)
        self._watch.step("after a commit")
        return found


class Line(Transport):
    """The way to the node, with a boundary before and after each request, and faults between."""

    def __init__(self, real: Transport, watch: Watch) -> None:
        super().__init__(real.address, real.bounds)
        self._real = real
        self._watch = watch

    def reset(self) -> None:
        """Drop the kept connections."""
        self._real.reset()

    def close(self) -> None:
        """Close everything."""
        super().close()
        self._real.close()

    def _once(self, body: bytes) -> bytes:
        watch = self._watch
        if watch.boundaries is None and watch.before is None and watch.after is None:
            return self._real._once(body)
        asked = msgspec.json.decode(body)
        calls: Calls = asked if isinstance(asked, list) else [asked]
        names = ",".join(sorted({call["method"] for call in calls}))
        watch.step(f"before {names}")
        answers = watch.before(calls) if watch.before is not None else None
        if answers is None:
            said = msgspec.json.decode(self._real._once(msgspec.json.encode(asked)))
            answers = said if isinstance(said, list) else [said]
        watch.step(f"after {names}")
        if watch.after is not None:
            by_id = {answer["id"]: answer for answer in answers}
            answers = watch.after(calls, [by_id[call["id"]] for call in calls])
        return msgspec.json.encode(answers if calls is asked else answers[0])


def watched_client(rpc_url: str, watch: Watch) -> ChainClient:
    """Return the product's client, over a line that can fail."""
    client = ChainClient(rpc_url)
    client.go_by(Line(client.transport, watch))
    return client
