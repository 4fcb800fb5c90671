"""How Python behaves while many blocks are read: it looks for garbage more rarely, and changes threads more often."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (50_000, 20, 50)
"""Objects before the youngest are looked at, and how often the older ones are."""

_SWITCH_S = 0.0005
"""So long, at most, does the thread that hands rows to the database wait for the one that makes them ready."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect more rarely than Python's 700 objects, which a range has in a few blocks: its rows are no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def quick_switches() -> Iterator[None]:
    """Let threads in more quickly than after Python's 5 ms, which is as long as a statement takes for its rows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
