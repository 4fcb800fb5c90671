"""Waiting until something holds: for minutes if need be, since a machine may stand still for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

DEADLINE_S = 180.0
"""What only a hang takes."""


def until(holds: Callable[[], object], pause_s: float = 0.01) -> None:
    """Wait until something holds; fail when it does not come about."""
    assert comes_true(holds, pause_s=pause_s), "it did not come about in time"


def comes_true(
    holds: Callable[[], object], seconds: float = DEADLINE_S, pause_s: float = 0.01
) -> bool:
    """Return whether something comes to hold within a while."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(pause_s)
    return True


def runs(pid: int) -> bool:
    """Return whether a process is there that has not ended; in a container nobody may bury what has."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
