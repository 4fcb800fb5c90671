"""The processes of the command that mirror a history: started, killed at a request, asked to end."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ledger.errors import INTERRUPTED
from tests.support.differs import HistoryDiffers
from tests.support.nursery import Child, Nursery
from tests.support.proxy import FaultyNode

IN_ORDER = (0, INTERRUPTED, -signal.SIGTERM)
"""How a mirror ends that is asked to: in its loop, before it has come so far, or before the program begins."""
_KILL_WAIT_S = 0.6


class Fleet:
    """Processes of ``truetonne index run`` on the same books.

    Parameters
    ----------
    settings
        The environment of all of them.
    counts
        Where it is counted what happened to them.
    ahead
        Whether they read short ranges ahead, see ``tests.support.ahead``.
    """

    def __init__(
        self,
        nursery: Nursery,
        proxy: FaultyNode,
        settings: dict[str, str],
        folder: Path,
        counts: Counter[str],
        *,
        ahead: bool,
    ) -> None:
        self._nursery = nursery
        self._ahead = ahead
        self._proxy = proxy
        self._settings = settings
        self._folder = folder
        self._counts = counts
        self._children: list[Child] = []
        self._struck_before: dict[int, int] = {}
        """Strikes of all faults when a process was started, by its number."""

    def start(self) -> Child:
        """Start one more."""
        self._counts["processes"] += 1
        log = self._folder / f"log-{self._counts['processes']}"
        log.unlink(missing_ok=True)
        struck = self._proxy.strikes.total()
        child = self._nursery.start(["index", "run"], self._settings, log, ahead=self._ahead)
        self._struck_before[child.pid] = struck
        self._children.append(child)
        return child

    def running(self) -> list[Child]:
        """Return those that run; one that ended by itself must have had a reason."""
        for child in [child for child in self._children if not child.alive()]:
            self._children.remove(child)
            if child.pid not in self._proxy.killed:
                self._check_end(child)
        return list(self._children)

    def one(self) -> Child:
        """Return one that runs, started if there was none."""
        running = self.running()
        return running[0] if running else self.start()

    def stop(self, child: Child) -> None:
        """Ask one to end."""
        self._children.remove(child)
        if child.stop() not in IN_ORDER and child.pid not in self._proxy.killed:
            self._check_end(child)

    def stop_all(self) -> None:
        """Ask all of them to end; none may have anything to complain of."""
        for child in self.running():
            self._children.remove(child)
            if child.stop() not in IN_ORDER:
                raise HistoryDiffers(f"a mirror that was asked to end said: {child.said()}")

    def kill(self, requests: int, delay_s: float, meanwhile: Callable[[], None]) -> bool:
        """End one with SIGKILL at a request of the mirrors, or while it waits; say whether it was.

        It may have ended by itself before.
        """
        child = self.one()
        self._proxy.kill_after(child.pid, requests, delay_s)
        until = time.monotonic() + _KILL_WAIT_S
        while child.alive() and time.monotonic() < until:
            meanwhile()
        self._proxy.spare()
        self._children.remove(child)
        if child.alive():
            child.kill()
            self._counts["killed while it waited"] += 1
        elif child.pid not in self._proxy.killed:
            self._check_end(child)
            return False
        self._counts["kills"] += 1
        return True

    def end(self) -> None:
        """End all of them at once."""
        for child in self._children:
            child.kill()

    def said(self) -> list[str]:
        """Return what those that run have written."""
        return [child.said() for child in self._children]

    def _check_end(self, child: Child) -> None:
        said = child.said()
        self._counts["stopped with a reason"] += 1
        excused = self._proxy.strikes.total() > self._struck_before[child.pid]
        codes = (2, 3) if self._proxy.strikes["wrong chain id"] else (3,)
        if child.code not in codes or not excused or "error: " not in said or "Traceback" in said:
            raise HistoryDiffers(f"a mirror ended with {child.code}: {said}")
