"""A line of the log that many requests would write: once a minute, with how often it would have been."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

EVERY_S = 60.0
"""So long a line is only counted after it was written."""
_LINES_MAX = 100


class Lately:
    """Lines that were written lately; used by several threads.

    Parameters
    ----------
    clock
        Seconds, by a clock that nobody sets.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When each was written, and how often it came since."""

    def warn(self, line: str) -> None:
        """Write a line, unless it was written in the last minute."""
        with self._lock:
            at = self._clock()
            written, count = self._lines.pop(line, (None, 0))
            if written is not None and at - written < EVERY_S:
                self._lines[line] = written, count + 1
                return
            self._lines[line] = at, 0
            while len(self._lines) > _LINES_MAX:
                self._lines.popitem(last=False)
        if count:
            self._log.warning("%s (%d times more since this line was written last)", line, count)
        else:
            self._log.warning("%s", line)
