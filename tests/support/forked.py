"""Processes that begin with everything imported: children of the standard library's fork server.

To start Python and import the program takes a second of a processor; a fork takes some milliseconds. A
child shares nothing with the tests but what it is given, and can be killed.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
"""Where such processes come from: ``FORKED.Process(target=..., args=...)``; a target stands in a module."""
FORKED.set_forkserver_preload(["tests.support.imported"])


def killed_at_fsync(act: Callable[..., Any], *given: Any) -> None:
    """Do something, and die when it first asks the disk to keep what was written; a target for a process."""
    killed_behind_fsyncs(0, act, *given)


def killed_behind_fsyncs(number: int, act: Callable[..., Any], *given: Any) -> None:
    """Do something, and die when it asks the disk to keep what was written, after it has so many times."""
    asked = count()
    keep = os.fsync

    def ask(file: Any) -> None:
        if next(asked) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        keep(file)

    os.fsync = ask  # type: ignore[assignment]
    act(*given)
