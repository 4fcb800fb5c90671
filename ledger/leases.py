"""Who does a work that one process does at a time: a row, held for seconds, renewed while its holder lives.

A second process stands by and takes over when the lease ends. All times are of the database's clock, so
that machines whose clocks differ agree. The lease keeps two from doing the same work; that they could do no
harm if both did is for the work itself to see to, and does not depend on any clock.

A holder that was killed on the same machine is known to be dead: its successor there need not wait.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Exists, Update, and_, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.db import Database, NewerTables
from ledger.db.sqltext import clock_ms
from ledger.models import HeldLease

LEASE_S = 10.0
"""How long a lease lasts without being renewed."""
_STAND_BY_S_MAX = 1.0
_RENEWALS_PER_LEASE = 4
_LENGTH = "lease_ms"
"""Under this name the length of a lease is told, beside what its holder says of its work."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as the database has it."""

    holder: str
    place: str
    remaining_ms: int
    """Until it ends; zero or less when it has ended."""
    held_ms: int
    """Since it was taken; below zero when the database's clock was set back to before that."""
    told: Mapping[str, int]
    """What the holder said of its work when it last renewed."""
    process: str | None
    until_ms: int
    """When it ends, in ms since 1970 by the database's clock."""

    @property
    def outlasts(self) -> bool:
        """Whether it lasts longer than its holder may ask for: the database's clock was set back since."""
        length_ms = self.told.get(_LENGTH)
        return length_ms is not None and self.remaining_ms > length_ms

    @property
    def ends_in_ms(self) -> int:
        """Within which time it is renewed, or free to be taken over; 0 when it has ended."""
        return max(min(self.remaining_ms, self.told.get(_LENGTH, self.remaining_ms)), 0)

    @property
    def live(self) -> bool:
        """Whether the lease is in force, and its holder not known to be dead."""
        return self.remaining_ms > 0 and not _is_dead(self.process)

    @property
    def leads(self) -> bool:
        """Whether its holder is at work, as far as the clock tells: one that ``outlasts`` would have been renewed."""
        return self.live and not self.outlasts

    def away_for(self, length: timedelta) -> bool:
        """Return whether it was nobody's for so long, or was noted before the clock was set back (``outlasts``)."""
        return self.outlasts or timedelta(milliseconds=-self.remaining_ms) > length

    def as_json(self) -> dict[str, str | bool | int]:
        """Return what commands say of it, times in whole seconds."""
        return {
            "place": self.place,
            "live": self.live,
            "lease_ends_in_s": self.ends_in_ms // 1000,
            "since_s": max(self.held_ms, 0) // 1000,
        }


class Lease:
    """One lease, for one run of its work.

    Parameters
    ----------
    name
        Which work: ``mirror:NETWORK``, ``jobs``.
    lease_s
        How long it lasts without being renewed, in seconds.
    """

    def __init__(self, db: Database, name: str, lease_s: float = LEASE_S) -> None:
        self.name = name
        self.lease_s = lease_s
        self.holder = secrets.token_hex(16)
        self.place = f"{socket.gethostname()}, process {os.getpid()}"[:200]
        self._db = db
        self._now = clock_ms(db.dialect)
        self._keeper: _Keeper | None = None
        self._outlasting: tuple[tuple[str, int], float] | None = None

    @property
    def held(self) -> bool:
        """Whether this run holds the lease, as far as it knows."""
        return self._keeper is not None and not self._keeper.lost.is_set()

    def told(self) -> Mapping[str, int]:
        """Return what is written beside the lease at each renewal; nothing, unless a subclass says more."""
        return {}

    def take(self) -> Holder | None:
        """Try to take the lease; return None when it is ours now, else who holds it.

        Raises
        ------
        DependencyDown
            If the database does not answer.
        """
        self.stop_renewing()
        with self._db.read() as session:
            found = holder_of(session, self.name)
        silent = found is not None and self._is_silent(found)
        if found is not None and found.holder != self.holder and found.live and not silent:
            return found
        try:
            taken = self._insert() if found is None else self._overtake(found, silent)
        except IntegrityError:  # another run took it first
            taken = False
        if not taken:
            with self._db.read() as session:
                return holder_of(session, self.name)
        self._keeper = _Keeper(self)
        self._keeper.start()
        return None

    def renew(self) -> bool:
        """Extend the lease and tell of the work; return False when somebody else has it.

        Raises
        ------
        DependencyDown
            If the database does not answer.
        """
        renewal = self._ours().values(until_ms=self._until(), told=self._all_told())
        return self._db.alone(renewal) == 1

    def in_force(self) -> Exists:
        """Return the condition, for a statement, that the lease is ours and in force by the database's clock."""
        return exists().where(
            HeldLease.name == self.name,
            HeldLease.holder == self.holder,
            HeldLease.until_ms > self._now,
        )

    def release(self) -> None:
        """Let go of the lease, so that whoever stands by need not wait; harmless when it is lost."""
        self.stop_renewing()
        self._db.alone(self._ours().values(until_ms=self._now))

    def stop_renewing(self) -> None:
        """End the thread that renews."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.end()

    # ------------------------------------------------------------------- steps

    def _all_told(self) -> dict[str, int]:
        return {_LENGTH: int(self.lease_s * 1000), **self.told()}

    def _is_silent(self, found: Holder) -> bool:
        """Return whether a lease that outlasts its length was watched for that length, and not renewed.

        By the database's clock, which was set back, it would be waited for as long as that was set back by. Who
        lives renews it, and then it is as long as it may be.
        """
        if not found.outlasts:
            self._outlasting = None
            return False
        now_s, seen = time.monotonic(), (found.holder, found.until_ms)
        if self._outlasting is None or self._outlasting[0] != seen:
            self._outlasting = seen, now_s
        return now_s - self._outlasting[1] > found.told[_LENGTH] / 1000

    def _until(self) -> object:
        return self._now + int(self.lease_s * 1000)

    def _values(self) -> dict[str, object]:
        return {
            "holder": self.holder,
            "place": self.place,
            "process": process_identity(os.getpid()),
            "taken_ms": self._now,
            "until_ms": self._until(),
            "told": self._all_told(),
        }

    def _ours(self) -> Update:
        found = HeldLease.name == self.name, HeldLease.holder == self.holder
        return update(HeldLease).where(*found).execution_options(synchronize_session=False)

    def _insert(self) -> bool:
        return self._db.alone(insert(HeldLease).values(name=self.name, **self._values())) == 1

    def _overtake(self, found: Holder, silent: bool) -> bool:
        """Take the lease if it is still as it was found: ended, or its holder dead or silent."""
        ended = HeldLease.until_ms <= self._now
        if found.holder == self.holder or _is_dead(found.process):
            ended = or_(ended, HeldLease.holder == found.holder)
        if silent:
            as_seen = HeldLease.holder == found.holder, HeldLease.until_ms == found.until_ms
            ended = or_(ended, and_(*as_seen))
        taking = update(HeldLease).where(HeldLease.name == self.name, ended)
        taking = taking.values(**self._values()).execution_options(synchronize_session=False)
        return self._db.alone(taking) == 1


class _Keeper(threading.Thread):
    """Renews a lease in the background: a work that takes long does not lose it."""

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
            except NewerTables:  # who takes the lease again is told so, and ends
                held = False
            except Exception:  # whatever it is: the work meets it too, and says so
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


def mirror_lease(network: str) -> str:
    """Return the name of the lease of whoever mirrors a network."""
    return f"mirror:{network}"


def holder_of(session: Session, name: str) -> Holder | None:
    """Return who holds a lease, or held it last; None when nobody ever did."""
    now = clock_ms(session.connection().dialect.name)
    row = session.execute(
        select(
            HeldLease.holder,
            HeldLease.place,
            HeldLease.until_ms - now,
            now - HeldLease.taken_ms,
            HeldLease.told,
            HeldLease.process,
            HeldLease.until_ms,
        ).where(HeldLease.name == name)
    ).one_or_none()
    return None if row is None else Holder(*row)


def stand_by_s(other: Holder) -> float:
    """Return how long to wait before the next look at a lease that another holds, in seconds.

    Not longer than it lasts: it is taken over when it ends, not at the next look.
    """
    return min(max(other.remaining_ms / 1000, 0.05), _STAND_BY_S_MAX)


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
