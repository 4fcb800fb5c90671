"""Fewer collections of cyclic garbage while many blocks are read: the rows of a range are no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (50_000, 20, 50)
"""Objects before the youngest are looked at, and how often the older ones are."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect more rarely than Python's 700 objects, which a range has in a few blocks."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
