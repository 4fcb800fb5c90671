"""Who mirrors a network: one row, held for seconds, renewed while its holder lives.

A second mirror stands by and takes over when the lease ends. All times are of the database's clock, so
that machines whose clocks differ agree. The lease keeps two from doing the same work; that they cannot
both write is the guarded cursor's doing, and does not depend on any clock.

A holder that was killed on the same machine is known to be dead: its successor there need not wait.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.sqltext import clock_ms
from ledger.errors import DependencyDown
from ledger.models import MirrorLease

LEASE_S = 10.0
"""How long a lease lasts without being renewed."""
_RENEWALS_PER_LEASE = 4
_LATELY_S = 60.0
"""What the rate is taken over."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as the database has it."""

    holder: str
    place: str
    remaining_ms: int
    """Until it ends; zero or less when it has ended."""
    held_ms: int
    """Since it was taken."""
    blocks: int
    events: int
    window_ms: int
    """What ``blocks`` and ``events`` were counted over."""
    process: str | None

    @property
    def live(self) -> bool:
        """Whether the lease is in force, and its holder not known to be dead."""
        return self.remaining_ms > 0 and not _is_dead(self.process)


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


class Lease:
    """The lease of one network, for one run of the mirror.

    Parameters
    ----------
    lease_s
        How long it lasts without being renewed, in seconds.
    """

    def __init__(self, db: Database, network: str, lease_s: float = LEASE_S) -> None:
        self.network = network
        self.lease_s = lease_s
        self.rate = Rate()
        self.holder = secrets.token_hex(16)
        self._db = db
        self._now = clock_ms(db.dialect)
        self._place = f"{socket.gethostname()}, process {os.getpid()}"
        self._keeper: _Keeper | None = None

    @property
    def held(self) -> bool:
        """Whether this run holds the lease, as far as it knows."""
        return self._keeper is not None and not self._keeper.lost.is_set()

    def take(self) -> Holder | None:
        """Try to take the lease; return None when it is ours now, else who holds it.

        Raises
        ------
        DependencyDown
            If the database does not answer.
        """
        self.stop_renewing()
        with self._db.read() as session:
            found = holder_of(session, self.network)
        if found is not None and found.holder != self.holder and found.live:
            return found
        try:
            with self._db.write() as session:
                taken = self._insert(session) if found is None else self._overtake(session, found)
        except IntegrityError:  # another run took it first
            taken = False
        if not taken:
            with self._db.read() as session:
                return holder_of(session, self.network)
        self.rate = Rate()
        self._keeper = _Keeper(self)
        self._keeper.start()
        return None

    def renew(self) -> bool:
        """Extend the lease and tell the rate; return False when somebody else has it.

        Raises
        ------
        DependencyDown
            If the database does not answer.
        """
        blocks, events, window_ms = self.rate.lately()
        with self._db.write() as session:
            outcome = session.execute(
                update(MirrorLease)
                .where(MirrorLease.network == self.network, MirrorLease.holder == self.holder)
                .values(until_ms=self._until(), blocks=blocks, events=events, window_ms=window_ms)
                .execution_options(synchronize_session=False)
            )
            return bool(outcome.rowcount == 1)  # type: ignore[attr-defined]

    def release(self) -> None:
        """Let go of the lease, so that whoever stands by need not wait; harmless when it is lost."""
        self.stop_renewing()
        with self._db.write() as session:
            session.execute(
                update(MirrorLease)
                .where(MirrorLease.network == self.network, MirrorLease.holder == self.holder)
                .values(until_ms=self._now)
                .execution_options(synchronize_session=False)
            )

    def stop_renewing(self) -> None:
        """End the thread that renews."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.end()

    # ------------------------------------------------------------------- steps

    def _until(self) -> object:
        return self._now + int(self.lease_s * 1000)

    def _values(self) -> dict[str, object]:
        return {
            "holder": self.holder,
            "place": self._place[:200],
            "process": process_identity(os.getpid()),
            "taken_ms": self._now,
            "until_ms": self._until(),
            "blocks": 0,
            "events": 0,
            "window_ms": 0,
        }

    def _insert(self, session: Session) -> bool:
        session.execute(insert(MirrorLease).values(network=self.network, **self._values()))
        return True

    def _overtake(self, session: Session, found: Holder) -> bool:
        """Take the lease if it is still as it was found: ended, or its holder dead."""
        ended = MirrorLease.until_ms <= self._now
        if found.holder == self.holder or _is_dead(found.process):
            ended = or_(ended, MirrorLease.holder == found.holder)
        outcome = session.execute(
            update(MirrorLease)
            .where(MirrorLease.network == self.network, ended)
            .values(**self._values())
            .execution_options(synchronize_session=False)
        )
        return bool(outcome.rowcount == 1)  # type: ignore[attr-defined]


class _Keeper(threading.Thread):
    """Renews a lease in the background: a range that takes long does not lose it."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(name="lease", daemon=True)
        self._lease = lease
        self._ended = threading.Event()
        self.lost = threading.Event()

    def run(self) -> None:
        last_s = time.monotonic()
        while not self._ended.wait(self._lease.lease_s / _RENEWALS_PER_LEASE):
            try:
                held = self._lease.renew()
            except DependencyDown:  # the loop meets it too, and says so
                held = time.monotonic() - last_s < self._lease.lease_s
            else:
                last_s = time.monotonic()
            if not held:
                self.lost.set()
                return

    def end(self) -> None:
        self._ended.set()
        if self is not threading.current_thread():
            self.join()


def holder_of(session: Session, network: str) -> Holder | None:
    """Return who holds the lease of a network, or held it last; None when nobody ever did."""
    now = clock_ms(session.connection().dialect.name)
    row = session.execute(
        select(
            MirrorLease.holder,
            MirrorLease.place,
            MirrorLease.until_ms - now,
            now - MirrorLease.taken_ms,
            MirrorLease.blocks,
            MirrorLease.events,
            MirrorLease.window_ms,
            MirrorLease.process,
        ).where(MirrorLease.network == network)
    ).one_or_none()
    return None if row is None else Holder(*row)


def process_identity(pid: int) -> str | None:
    """Return what names a process for ever: boot, space of process numbers, number, start.

    None where the system does not tell, or the process is gone.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = Path("/proc/self/ns/pid").readlink()
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, IndexError):
        return None
    state, start = fields[0], fields[19]
    return None if state in "ZX" else f"{boot} {space} {pid} {start}"


def _is_dead(process: str | None) -> bool:
    """Return whether a process is known to have ended: it ran here, and does not any more."""
    ours = process_identity(os.getpid())
    if process is None or ours is None or process.split()[:2] != ours.split()[:2]:
        return False
    return process_identity(int(process.split()[2])) != process
