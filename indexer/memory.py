"""How memory is dealt with while many blocks are read: a range takes as much as the one before, and leaves as much.

So Python's garbage collector runs less often, as the rows of a range form no cycles; and what a range leaves is
kept for the next one, where the C library would give it to the system and take it again, page by page.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (50_000, 20, 50)
"""Objects made before the youngest generation is collected, and how often the older ones are; see ``gc``."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_MALLOPT = getattr(_LIBC, "mallopt", None)
_TRIM = getattr(_LIBC, "malloc_trim", None)  # glibc's: musl, as in Alpine, has neither
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of mallopt(3): how much is free at the end of the heap before it is given back; what size is no longer of it; and how
many heaps threads may have."""
_WHILE_RANGES_FOLLOW = 128 * 2**20, 32 * 2**20
"""Both in bytes. Answers and rows of a range are texts of some megabytes; 32 MB is the upper limit of mallopt(3)."""
_USUALLY = 8 * 2**20, 4 * 2**20
"""What glibc comes to by itself once it has freed a text of four megabytes."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect less often than after every 700 objects (Python's default), which a range has in a few blocks."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def keep_what_is_freed() -> None:
    """Have this process keep memory that becomes free, for what comes next, in whichever thread that is.

    What one thread makes ready, another stores and frees: with a heap for each thread, all grow to the size of a range.
    No further heap is made, then or later, as glibc asks for that limit once; one that is there is handed on.
    """
    if _MALLOPT is not None:
        _MALLOPT(_ARENA_MAX, 1)
    _set(_WHILE_RANGES_FOLLOW)


def give_back() -> None:
    """Give to the system what is free, and what becomes free from now on."""
    _set(_USUALLY)
    if _TRIM is not None:
        _TRIM(0)


def _set(thresholds: tuple[int, int]) -> None:
    if _MALLOPT is not None:
        for parameter, size in zip((_TRIM_THRESHOLD, _MMAP_THRESHOLD), thresholds, strict=True):
            _MALLOPT(parameter, size)
