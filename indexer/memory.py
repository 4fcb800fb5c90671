"""Python's garbage collector runs less often while many blocks are read: the rows of a range form no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (50_000, 20, 50)
"""Objects made before the youngest generation is collected, and how often the older ones are; see ``gc``."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect less often than after every 700 objects (Python's default), which a range has in a few blocks."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
