"""Endpoints that are left alone for a while: nobody answered there more than once, or the answer asked for a rest.

Known to one process alone, since one alone posts at a time (the lease of the jobs): who starts anew asks once more,
and is told the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.webhooks.posting import Answer

SILENT_FIRST = timedelta(seconds=10)
"""Rest after the second try in a row that nobody answered; twice as long after each further one."""
SILENT_MAX = timedelta(minutes=5)
"""Longest rest of an endpoint where nobody answers: so late at most is it noticed that it is back."""


class Known(NamedTuple):
    """What tells that an endpoint is another one now, answered somebody else, or is to be tried again."""

    url: str
    heard_at: datetime | None
    """When it last took a message."""
    resumed_at: datetime | None
    """When a person last had it told again."""


@dataclass(frozen=True)
class _Rest:
    known: Known
    silent: int
    """Tries in a row that nobody answered."""
    since: datetime
    until: datetime


class Rests:
    """Which endpoints rest, and until when. Each endpoint is one thread's at a time."""

    def __init__(self) -> None:
        self._found: dict[int, _Rest] = {}

    def has(self, number: int, known: Known, at: datetime) -> bool:
        """Return whether an endpoint rests; never by a clock that was set back since, nor when it answered since.

        Parameters
        ----------
        number
            Row number of the endpoint.
        at
            Time of day, aware.
        """
        found = self._found.get(number)
        return found is not None and found.known == known and found.since <= at < found.until

    def note(self, number: int, known: Known, answer: Answer, at: datetime) -> None:
        """Note what came of a try at an endpoint."""
        before = self._found.pop(number, None)
        if answer.error is None or (answer.status is not None and answer.after is None):
            return  # somebody is there, and takes more
        silent, rest = 0, answer.after or timedelta()
        if answer.status is None:
            silent = 1 + (before.silent if before is not None and before.known == known else 0)
            doubled = min(silent - 2, 16)  # by then it is the longest, for a long time
            rest = min(SILENT_FIRST * 2**doubled, SILENT_MAX) if silent > 1 else timedelta()
        self._found[number] = _Rest(known, silent, at, at + rest)
