"""How long to wait for the process that reads ahead, and when to start another after one that died or hangs.

Both follow from how long a range takes. So a hanging process costs as much as some ranges do, whether the node is
fast or slow; and after one death (for want of memory, say) reading ahead is tried again.
"""

from __future__ import annotations

_LEAST_S = 5.0
_TIMES = 10
"""The wait, as a multiple of the longest of the last ranges."""
_FADES = 0.9
"""What is left of a long range's length with each one after it."""
_RESTS_FIRST, _RESTS_MAX = 8, 256
"""Ranges that the mirror reads itself before it starts another process: after a first death, and at most."""


class Patience:
    """What is known of ranges and processes."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._deaths = 0
        """Processes that ended without an answer, one after the other."""
        self._rests = 0

    @property
    def wait_s(self) -> float:
        """How long the next answer is waited for, in seconds, once it is wanted."""
        return max(_LEAST_S, _TIMES * self._longest_s)

    @property
    def may_begin(self) -> bool:
        """Whether a process may be begun."""
        return self._rests == 0

    def read_in_the_open(self, seconds: float) -> None:
        """Note that a range was read without a process."""
        self._rests = max(self._rests - 1, 0)
        self._took(seconds)

    def answered(self, seconds: float) -> None:
        """Note that a process answered, after it was waited for."""
        self._deaths = 0
        self._took(seconds)

    def died(self) -> None:
        """Note that a process died, or hung: the more did, the longer until the next."""
        self._rests = min(_RESTS_FIRST << min(self._deaths, 8), _RESTS_MAX)
        self._deaths += 1

    def _took(self, seconds: float) -> None:
        self._longest_s = max(seconds, _FADES * self._longest_s)
