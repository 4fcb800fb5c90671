"""Ranges of few blocks, every one that follows another read by the process that reads ahead."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from indexer import ranges

SMALL = (
    (ranges, "AHEAD_BLOCKS_MIN", 1),
    (ranges, "_RANGE_BLOCKS_FIRST", 2),
    (ranges, "_START_S", 600.0),
)


def small(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Set it so, with the function that sets an attribute."""
    for module, name, value in SMALL:
        put(module, name, value)


@contextmanager
def small_if(wanted: bool) -> Iterator[None]:
    """Set it so for a while."""
    before = [(module, name, getattr(module, name)) for module, name, _ in SMALL]
    if wanted:
        small()
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
