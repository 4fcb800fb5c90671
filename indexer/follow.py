"""Following the chain for as long as one is let: a lease, a loop of ticks, waits that know their reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from indexer.backoff import Turns, pause_s
from indexer.lease import Lease
from ledger.chain.node.client import RpcError
from ledger.chain.node.heads import Heads
from ledger.db import NewerTables
from ledger.errors import DependencyDown, MirrorStopped
from ledger.leases import Holder, stand_by_s

if TYPE_CHECKING:
    from indexer.ticks import TickReport


@dataclass
class Listeners:
    """Who is told of what happens; all are optional."""

    on_tick: Callable[[TickReport], None] | None = None
    on_trouble: Callable[[Exception, float], None] | None = None
    """Called with the error and the seconds until the next attempt."""
    on_lead: Callable[[Holder | None], None] | None = None
    """Called when this run takes the lease, with who had stood in its way; None when nobody had."""
    on_stand_by: Callable[[Holder], None] | None = None
    """Called when another run holds the lease."""
    on_recovery: Callable[[float], None] | None = None
    """Called when a trouble is over, with the seconds since it began."""


@dataclass
class Follower:
    """One run that follows the chain while it holds the lease, and stands by while another does.

    Parameters
    ----------
    tick
        Does one step of the mirror.
    """

    tick: Callable[[], TickReport]
    lease: Lease
    heads: Heads
    listeners: Listeners
    _before: Holder | None = field(default=None, init=False)
    """Who held the lease while we stood by."""
    _turns: Turns = field(default_factory=Turns, init=False)
    _failures: int = field(default=0, init=False)
    _trouble_since_s: float | None = field(default=None, init=False)
    _away_since_s: float | None = field(default=None, init=False)
    """Since when this run mirrors nothing for a trouble; None while another mirrors."""
    _asked_s: float = field(default_factory=time.monotonic, init=False)
    """When the last step began: a node that hangs is in trouble from there on, and not once its time is over."""

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop; a range that is being written is finished first.

        Raises
        ------
        MirrorStopped, WrongChain, BooksDiffer
            Waiting would not help; the lease is released.
        NewerTables
            A newer version has upgraded the tables; the lease ends by itself.
        """
        self.heads.start()
        try:
            while not stop.is_set():
                try:
                    self._step(stop)
                except (MirrorStopped, NewerTables):
                    raise
                except (DependencyDown, RpcError) as error:
                    self._rest(error, stop)
        finally:
            self.heads.close()
            with suppress(DependencyDown):
                self.lease.release()

    def _step(self, stop: threading.Event) -> None:
        self._asked_s = time.monotonic()
        if not self.lease.held and not self._lead(stop):
            return
        report = self.tick()
        spins = report.rewound_to is not None and self._turns.note(report.rewound_to)
        if not self._turns.lasts:
            self._failures, self._trouble_since_s = 0, None
            self._recover()
        self.lease.rate.add(report.blocks, report.events)
        if self.listeners.on_tick is not None:
            self.listeners.on_tick(report)
        if spins:
            raise DependencyDown(
                f"the blocks above {report.rewound_to} were taken back again and again: two nodes of different forks "
                "seem to answer behind one address; set rpc_url to one of them, or wait until they agree",
                code="node-forks",
            )
        if report.idle:
            self.heads.wait(lambda: stop.is_set() or not self.lease.held)

    def _lead(self, stop: threading.Event) -> bool:
        """Take the lease, or wait a moment for it; return whether it is ours."""
        other = self.lease.take()
        if other is None:
            # Let go in a trouble, and taken by nobody since: nothing changed for whoever listens.
            again = self._before is None and self._trouble_since_s is not None
            if self.listeners.on_lead is not None and not again:
                self.listeners.on_lead(self._before)
            self._before = None
            return True
        # The other mirrors: what is wrong here from now on is another trouble, and which it was is the other's to say.
        self._failures, self._trouble_since_s, self._away_since_s = 0, None, None
        if self._before is None or self._before.holder != other.holder:
            self._before = other
            if self.listeners.on_stand_by is not None:
                self.listeners.on_stand_by(other)
        stop.wait(stand_by_s(other))
        return False

    def _recover(self) -> None:
        since_s, self._away_since_s = self._away_since_s, None
        if since_s is not None and self.listeners.on_recovery is not None:
            self.listeners.on_recovery(time.monotonic() - since_s)

    def _rest(self, error: Exception, stop: threading.Event) -> None:
        """Wait after a trouble; who has been in trouble for longer than a lease lets another try."""
        self._failures += 1
        now_s = time.monotonic()
        if self._away_since_s is None:
            self._away_since_s = self._asked_s
        if self._trouble_since_s is None:
            self._trouble_since_s = now_s
        elif now_s - self._trouble_since_s > self.lease.lease_s and self.lease.held:
            with suppress(DependencyDown):
                self.lease.release()
        pause = pause_s(error, self._failures)
        if self.listeners.on_trouble is not None:
            self.listeners.on_trouble(error, pause)
        stop.wait(pause)
