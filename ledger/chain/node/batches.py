"""How many calls a node takes in one request, as far as it has shown.

Public nodes refuse batches beyond a length of their own, each in its own words: HTTP 413, one error in place of the
answers, or one for each call. What was refused is asked again in halves. A length counts as too long when half of it
was answered: an error that single calls get as well is about something else, and nothing is learnt from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.chain.node.refusals import is_of_call, told

_PROBE_AFTER = 200
"""After how many requests a longer one is tried again: the refusal may have been a passing one."""
_WORDS = ("batch", "response too large")
"""In an error of each call that is about how many came together."""


class BatchLength:
    """How many calls one request may have; used by several threads, each of which may be wrong once."""

    def __init__(self) -> None:
        self._most: int | None = None
        self._since = 0

    def next(self, wanted: int) -> int:
        """Return how many calls the next request has, of so many."""
        if self._most is None or wanted <= self._most:
            return wanted
        self._since += 1
        if self._since > _PROBE_AFTER:
            self._since = 0
            return min(2 * self._most, wanted)
        return self._most

    def refuses(self, calls: int) -> bool:
        """Return whether so many are known to be too many."""
        return self._most is not None and calls > self._most

    def refused(self, calls: int) -> None:
        """Note that so many were too many, and half of them were not."""
        half = calls // 2
        self._most = half if self._most is None else min(half, self._most)
        self._since = 0

    def taken(self, calls: int) -> None:
        """Note that so many were answered."""
        if self._most is not None and calls > self._most:
            self._most = calls


def is_refusal(answers: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the answers to several calls may mean that these were too many for one request."""
    if len(answers) < 2:
        return False
    errors = [answer.get("error") for answer in answers]
    if all(error is not None and error is errors[0] for error in errors):
        return True  # one error for the whole request
    # Some nodes answer the calls that fit, and refuse the others.
    return any(error is not None and _is_of_length(error) for error in errors)


def _is_of_length(error: Any) -> bool:
    if is_of_call(error):
        return False  # ours have batches, too
    said = told(error)[1].lower()
    return "revert" not in said and any(word in said for word in _WORDS)
