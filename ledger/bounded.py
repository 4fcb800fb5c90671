"""Somebody's file, of which no more is read than there may be."""

from __future__ import annotations

from pathlib import Path


def read_at_most(path: Path, size_max: int) -> bytes | None:
    """Return what is in a file, or None when that is more than ``size_max`` bytes.

    A pipe and a device such as ``/dev/zero`` have no size to ask for, and are read no further either.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(size_max + 1)
    return data if len(data) <= size_max else None
