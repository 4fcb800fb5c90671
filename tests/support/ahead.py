"""Ranges of few blocks, and every one that follows another read by the process that reads ahead."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from indexer import ranges

SMALL = {"AHEAD_BLOCKS_MIN": 1, "_RANGE_BLOCKS_FIRST": 2}


def small(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Set it so, with the function that sets an attribute."""
    for name, value in SMALL.items():
        put(ranges, name, value)


@contextmanager
def small_if(wanted: bool) -> Iterator[None]:
    """Set it so for a while."""
    before = {name: getattr(ranges, name) for name in SMALL}
    if wanted:
        small()
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(ranges, name, value)
