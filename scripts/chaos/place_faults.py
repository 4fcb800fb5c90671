"""What goes wrong where we run: processes that end, disks that are full, clocks, backups, a second of us."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

from scripts.chaos import clock, rows
from scripts.chaos.process import Process
from scripts.chaos.strikes import Fault, Work
from scripts.chaos.watch import Watch
from tests.support.copied import Restore, back_up
from tests.support.sending import Boundaries

PROCESS_S_MAX = 180.0


class AtSending(Boundaries):
    """Ends the process at the n-th boundary around a sending: before it, after it, and at what comes next."""

    _is_next = False

    def step(self, name: str) -> None:
        """Pass a boundary; those that have nothing to do with a sending do not count."""
        sends = "eth_sendRawTransaction" in name
        if sends or self._is_next:
            super().step(name)
        self._is_next = sends


class Kill(Fault):
    """The process ends at a boundary: before or after a commit, before or after a question to the node."""

    name = "kill"

    def strike(self, work: Work) -> None:
        process = self.on.process
        before = process.crashes.total()
        for _ in range(self.chance.randint(1, 3)):
            kind, most = self.chance.choice(((Boundaries, 10), (Boundaries, 150), (AtSending, 6)))
            at = int(most * self.chance.random())
            self.on.watch.boundaries = kind(at >> self.last_chance)
            work()
            self.on.watch.boundaries = None
        self.struck += process.crashes.total() - before


class Restored(Fault):
    """The books are put back to what they were before a turn, and the chain goes on from where it is."""

    name = "database restored from a backup"

    def strike(self, work: Work) -> None:
        process = self.on.process
        folder = self.on.on.folder / "play"
        folder.mkdir(exist_ok=True)
        before = rows.fingerprint(process.park)
        restore: Restore = back_up(process.park.db, folder)
        work()
        if self.chance.random() < 0.5:
            self.on.mine(2)
            work()
        process.do(process.read)
        after = rows.fingerprint(process.park)
        process.close()
        restore()
        process.reopen()
        assert rows.fingerprint(process.park) == before
        if after != before:
            self.struck += 1
        self.on.forgetful = True


class TwoAtOnce(Fault):
    """Two processes do all the jobs at the same time, without the lease that should keep them apart."""

    name = "two schedulers at once, without a lease"

    def strike(self, work: Work) -> None:
        process = self.on.process
        process.do(self.on.import_all)
        before = rows.attempts(process.park)
        other = Process(self.on.on, self.on.plan, self.on.url, Watch())
        gate = threading.Barrier(2)
        failures: list[BaseException] = []

        def jobs(which: Process) -> None:
            try:
                gate.wait(PROCESS_S_MAX)
                for _ in range(2):
                    for number in range(3):
                        which.do(which.jobs()[number])
                    which.do(which.read)
            except BaseException as error:  # whatever it is, the scenario is wrong
                failures.append(error)

        threads = [threading.Thread(target=jobs, args=(each,)) for each in (process, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        process.said.update(other.said)
        other.close()
        if failures:
            raise failures[0]
        self.struck += rows.attempts(process.park) > before
        work()


class FullDisk(Fault):
    """The disk of the books is full, for some while. SQLite alone: its file may have no more pages."""

    name = "full disk"

    def strike(self, work: Work) -> None:
        process = self.on.process
        if self.chance.random() < 0.5:
            process.do(process.read)
        with closing(sqlite3.connect(process.park.db.url.database or "")) as link:
            (pages,) = link.execute("PRAGMA page_count").fetchone()
        self.on.watch.pages_max = pages + self.chance.randint(0, 2 if self.last_chance else 6)
        before = process.full
        work()
        if process.full == before:  # there was room: fill it
            work()
        self.struck += process.full - before

    def heal(self) -> None:
        self.on.watch.pages_max = None


class ClockJumps(Fault):
    """The machine's clock is set forward and back, by seconds or days."""

    name = "clock that jumps"

    def strike(self, work: Work) -> None:
        for _ in range(self.chance.randint(1, 2)):
            seconds = self.chance.choice((90, 3_600, 100_000, 400_000))
            asked = clock.Wrong.asked
            clock.jump(timedelta(seconds=seconds * self.chance.choice((1, -1))))
            work()
            self.struck += clock.Wrong.asked > asked
