"""Who mirrors a network: a lease (``ledger.leases``) whose holder tells how fast it reads.

That two mirrors cannot both write is the guarded cursor's doing, and does not depend on any clock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from ledger import leases
from ledger.db import Database
from ledger.leases import LEASE_S, Holder, mirror_lease

_LATELY_S = 60.0
"""What the rate is taken over."""


class Rate:
    """Blocks and events of the last minute; used by two threads."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._begin = clock_s()
        self._ticks: deque[tuple[float, int, int]] = deque()

    def add(self, blocks: int, events: int) -> None:
        """Count what a tick brought."""
        with self._lock:
            self._ticks.append((self._clock_s(), blocks, events))

    def lately(self) -> tuple[int, int, int]:
        """Return blocks, events, and the milliseconds that they were counted over."""
        with self._lock:
            now = self._clock_s()
            while self._ticks and self._ticks[0][0] < now - _LATELY_S:
                self._ticks.popleft()
            window_s = min(now - self._begin, _LATELY_S)
            blocks = sum(tick[1] for tick in self._ticks)
            events = sum(tick[2] for tick in self._ticks)
        return blocks, events, int(window_s * 1000)


class Lease(leases.Lease):
    """The lease of one network, for one run of the mirror."""

    def __init__(self, db: Database, network: str, lease_s: float = LEASE_S) -> None:
        super().__init__(db, mirror_lease(network), lease_s)
        self.rate = Rate()

    def take(self) -> Holder | None:
        """Try to take the lease, and count anew when it is ours."""
        other = super().take()
        if other is None:
            self.rate = Rate()
        return other

    def told(self) -> Mapping[str, int]:
        """Return the rate of the last minute."""
        blocks, events, window_ms = self.rate.lately()
        return {"blocks": blocks, "events": events, "window_ms": window_ms}


def holder_of(session: Session, network: str) -> Holder | None:
    """Return who mirrors a network, or mirrored it last; None when nobody ever did."""
    return leases.holder_of(session, mirror_lease(network))
