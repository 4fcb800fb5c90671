"""Whether the database answers: a line in the log when it went away, and one when it came back."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger("truetonne.database")


class Presence:
    """What one process knows of its database. It says nothing of one that never answered: the caller does.

    Parameters
    ----------
    place
        Where the database is, for people.
    silent
        Whether somebody else tells of it: two lines of one failure are one too many.
    """

    def __init__(self, place: str, *, silent: bool = False) -> None:
        self._place = place
        self._silent = silent
        self._lock = threading.Lock()
        self._answered = False
        self._gone_at_s: float | None = None
        self._node = ""
        self._moved_from = ""

    def at(self, node: str) -> None:
        """Note which node of a cluster a new connection has come to."""
        with self._lock:
            before, self._node = self._node, node
            if not before or before == node:
                return
            missed = self._gone_at_s is not None
            self._moved_from = before if missed else ""
        if not missed:
            self._say("database %s: node %s now, %s before", self._place, node, before)

    def answers(self) -> None:
        """Note that it has done what it was asked for."""
        if self._answered and self._gone_at_s is None:
            return
        with self._lock:
            self._answered = True
            if self._gone_at_s is None:
                return
            away_s, self._gone_at_s = time.monotonic() - self._gone_at_s, None
            before, self._moved_from = self._moved_from, ""
            moved = f": node {self._node} now, {before} before" if before else ""
        self._say("database %s answers again, after %.1f s%s", self._place, away_s, moved)

    def is_gone(self, said: str) -> None:
        """Note that it did not answer, or is not ready."""
        with self._lock:
            if not self._answered or self._gone_at_s is not None:
                return
            self._gone_at_s = time.monotonic()
        self._say("database %s went away: %s", self._place, said)

    def _say(self, line: str, *facts: object) -> None:
        if not self._silent:
            log.warning(line, *facts)
