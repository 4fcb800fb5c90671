"""A walk of kept books whose processes die: jobs, commands and the mirror, before or after any commit or sending.

What a job leaves is for its next tick, and what a command leaves is asked for again, as an operator would who saw it
end without an answer: by the same words at once, or later, where the books show what is still to be sent. Whoever is
dead does nothing more: neither a commit nor a sending follows, whatever tidies up on the way out.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar

import pytest

from indexer.ticks import TickReport
from ledger.backup import planning, restoring, taking
from ledger.backup.manifest import Kind
from ledger.clock import utc_now
from ledger.db import Database
from ledger.errors import NotFound, ProblemFound, Refused
from ledger.issuance import begun
from ledger.registration import register_project, register_site
from tests.support import backups, copied
from tests.support.copied import Restore
from tests.support.escrow_walk import Moments
from tests.support.forked import FORKED, killed_behind_fsyncs
from tests.support.money_walk import FINALITY
from tests.support.park import PROJECT, AfterMining
from tests.support.remote_walk import RemoteWalk
from tests.support.sending import Crash, crashing
from tests.support.stages import Stage

T = TypeVar("T")
SHARE = 0.3
"""So many of the processes are to die, if they come to the moment that was drawn."""
SHARE_OF_RARE = 0.8
"""So many of the rare ones."""
SHARE_OF_MIRROR = 0.05
"""So many runs of the mirror: it reads all the time."""
WITHIN = (2, 6, 16)
"""A process dies at one of the first so many moments; few have more than two commits and a sending."""
SYNCS_OF_RESTORE = 2
"""So often a restoring asks the disk to keep what it wrote."""
PROCESSES = frozenset(
    {
        "plan",
        "plan_as_a_job",
        "submit",
        "sign_in_part",
        "finalise",
        "cancel_a_batch",
        "dispute",
        "reject",
        "single",
        "retry",
        "tend",
        "expire",
        "send_issuances",
        "send_cancellations",
        "send_asked",
        "move",
        "ask_by_name",
        "ask_again",
        "read_order",
        "displace",
        "mirror_anew",
        "others_work",
    }
)
"""Acts that are one process each, which nobody asks for again in its very words: their next turn goes on with it."""
RARE = frozenset(
    {
        "cancel_a_batch",
        "dispute",
        "reject",
        "retry",
        "displace",
        "sign_in_part",
        "single",
        "send_cancellations",
    }
)


class Death(Moments):
    """The moment at which a process dies, and everything after it."""

    def step(self, name: str) -> None:
        if self.crashed_at is not None:
            raise Crash(name)
        super().step(name)


class MortalMirror(AfterMining):
    """The mirror of a walk; one that dies is started again."""

    def __init__(self, walk: DyingWalk, db: Database) -> None:
        super().__init__(db, walk.node.client, walk.node.deployment, FINALITY)
        self._walk = walk

    def run_until(self, target: int | Literal["head"] = "head", *arguments: Any) -> TickReport:
        """Mirror, and again where it died amid that."""
        found = self._walk.command(
            "index run",
            partial(super().run_until, target, *arguments),
            lambda: self._walk.park.mirror.run_until(target, *arguments),
            SHARE_OF_MIRROR,
        )
        assert found is not None
        return found


class DyingWalk(RemoteWalk):
    """The part of a walk of kept books that is about processes that die."""

    in_process = False
    """Whether a process is at work that may die: what it does is no process of its own."""

    def __init__(self, db: Database, on: Stage, seed: int) -> None:
        self.deaths = Random(f"deaths {seed}")
        self.backups = on.folder / f"backups-{seed}"
        super().__init__(db, on, seed)

    def open(self, db: Database) -> None:
        super().open(db)
        self.park.mirror = MortalMirror(self, db)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.backups, ignore_errors=True)

    # ------------------------------------------------------------------ dying

    def command(
        self,
        name: str,
        do: Callable[[], T],
        again: Callable[[], T] | None = None,
        share: float = SHARE,
    ) -> T | None:
        """Give a command, and where its process dies once more.

        Parameters
        ----------
        again
            How it is given then; None: in the same words.
        share
            How many such processes are to die.

        Returns
        -------
        T | None
            None where it was refused the second time, as what it asks for had been committed.
        """
        if self.in_process:
            return do()
        try:
            return self._mortal(name, do, share)
        except Crash as death:
            self._bury(name, death)
            was_done = str(death) == "after a commit"
        try:
            return (again or do)()
        except (ProblemFound, NotFound) as said:
            if not was_done:
                raise
            self.log.append(f"  {name} again: {said.code}: {said.message[:150]}")
        return None

    def _mortal(self, name: str, do: Callable[[], T], share: float) -> T:
        """Run a process that may die."""
        if self.deaths.random() >= share:
            return do()
        death = Death(self.deaths.randrange(self.deaths.choice(WITHIN)))
        self.in_process = True
        try:
            with pytest.MonkeyPatch.context() as patch, crashing(patch, death):
                found = do()
        finally:
            self.in_process = False
        if death.crashed_at is not None:
            raise Crash(death.crashed_at)
        return found

    def _bury(self, name: str, death: Crash) -> None:
        """Begin anew with what the process left."""
        self.done["processes that died"] += 1
        self.done[f"died in {name.replace('_', ' ')}"] += 1
        self.log.append(f"  {name} died {death}")
        self.open(self.park.db)

    def _do(self, name: str, act: Callable[[], object]) -> bool:
        return super()._do(name, partial(self._once, name, act) if name in PROCESSES else act)

    def _once(self, name: str, act: Callable[[], object]) -> object:
        try:
            return self._mortal(name, act, SHARE_OF_RARE if name in RARE else SHARE)
        except Crash as death:
            self._bury(name, death)
            return f"died {death}"

    # ------------------------------------------------------------------ backups

    def back_up(self, db: Database) -> Restore:
        """Take a backup; what is returned restores it, a file by the product, and again where that is killed."""
        if db.dialect != "sqlite":
            return copied.back_up(db, self.on.folder)
        store = backups.store(self.backups)
        (copy,) = taking.take(db, store, Kind.FULL, utc_now())
        wanted = planning.plan(store.items(), planning.Wanted(backup=copy.id))
        place = Path(db.url.database or "")

        def restore() -> None:
            db.close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{place}{suffix}").unlink(missing_ok=True)
            if self.deaths.random() < SHARE:
                self._restore_and_die(store, wanted, place)
            if not place.exists():
                restoring.restore(store, wanted, place)

        return restore

    def _restore_and_die(self, *what: Any) -> None:
        behind = self.deaths.randrange(SYNCS_OF_RESTORE)
        process = FORKED.Process(
            target=killed_behind_fsyncs, args=(behind, restoring.restore, *what)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        self.done["processes that died"] += 1
        self.done["died in db restore"] += 1
        self.log.append(f"  db restore died at sync {behind}")

    # ------------------------------------------------------------------ commands that are given again

    def bring_trades(self, text: str) -> int:
        return self.command("trades import", partial(super().bring_trades, text)) or 0

    def bring_readings(self, rows: list[tuple[str, str]], source: str = "scada") -> None:
        self.command("import", partial(super().bring_readings, rows, source))

    def plan_period(self, start_day: date, end_day: date, project: str = PROJECT) -> list[str]:
        """Plan a period; where that died, go on with what it had planned, as ``credits issue`` does."""
        plan = partial(super().plan_period, start_day, end_day, project)

        def again() -> list[str]:
            with self.park.db.read() as session:
                found = [row.key for row in begun(session, project, start_day, end_day)]
            return found or plan()

        found = self.command("credits issue", plan, again)
        assert found is not None
        return found

    def withdraw_planned(self, key: str) -> bool:
        return bool(self.command("settle cancel", partial(super().withdraw_planned, key)))

    def register(self, project: str) -> None:
        """Register a project and its site; whoever died amid one of them may have sent it."""
        for name, send in (("project", register_project), ("site", register_site)):
            self.command(
                f"register {name}",
                lambda send=send: send(self.park.chain, project),
                lambda send=send: self._register_again(send, project),
            )
            self.park.mirror.run_until("head")

    def _register_again(self, send: Callable[..., str | None], project: str) -> str | None:
        """Do what ``chain register`` does: what was stored before is sent, and tells who is first."""
        chain = self.park.chain
        try:
            return send(chain, project)
        except Refused:
            return None
        finally:
            chain.sender.tend()
