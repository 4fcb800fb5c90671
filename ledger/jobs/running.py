"""One run of a job: noted when it begins and when it ends, whatever becomes of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from ledger.chain.failures.explanations import with_meaning
from ledger.db import Database
from ledger.errors import ContractRefused, DependencyDown, TruetonneError
from ledger.jobs import rows
from ledger.jobs.catalogue import Job
from ledger.jobs.rows import Begun, Result
from ledger.jobs.schedules import Schedule
from ledger.jobs.work import Tools
from ledger.leases import Lease
from ledger.models.jobs import RunOutcome

log = logging.getLogger(__name__)

RETRY = timedelta(minutes=5)
"""After this a job is tried again that a dependency kept from its work, where its schedule is longer."""


@dataclass(frozen=True)
class Runner:
    """Runs jobs under a lease.

    Parameters
    ----------
    schedules
        When each job is due, by name.
    """

    tools: Tools
    lease: Lease
    schedules: Mapping[str, Schedule]
    _told: dict[str, str | None] = field(default_factory=dict)
    """What each job last said of a failure: one that goes on is one line in the log."""

    @property
    def db(self) -> Database:
        """The books."""
        return self.tools.chain.db

    def lead(self, *, once: bool = False) -> list[str]:
        """Make the rows ready for a new leader; return the jobs whose runs the one before left open.

        Parameters
        ----------
        once
            It leads for one run alone: which jobs there are, and when, is left as it is.

        Raises
        ------
        DependencyDown
            If the database does not answer.
        """

        def begin(session: Session) -> list[str]:
            now = self.tools.now()
            (rows.have_rows if once else rows.register)(session, self.schedules, now)
            found = rows.jobs(session, list(self.schedules))
            left = {row.name: row.running_since for row in found if row.running_since is not None}
            return rows.close_lost(session, self.lease, left, now)

        return self.db.run(begin)

    def begin(self, name: str, *, when_due: bool = False) -> Begun | None:
        """Note that a run begins; return None when it may not: see ``rows.begin``.

        Raises
        ------
        DependencyDown
            If the database does not answer.
        """
        started = self.tools.now()
        begins = self.db.alone(rows.begin(self.lease, name, started, when_due=when_due))
        return Begun(name, started) if begins else None

    def run(self, job: Job, *, when_due: bool = False) -> Result | None:
        """Run a job, and note it; return what it came to, None when it may not begin: see ``rows.begin``.

        Raises
        ------
        DependencyDown
            If the database does not answer; a run whose end could not be noted is noted as lost later.
        """
        now = self.tools.now
        begun = self.begin(job.name, when_due=when_due)
        if begun is None:
            return None
        result = self._result(job)
        schedule = self.schedules[job.name]
        # What a power cut takes back of it is done again: the job is due still.
        self.db.run(
            lambda session: rows.end(session, self.lease, begun, result, schedule, now()),
            lasting=False,
        )
        return result

    def _result(self, job: Job) -> Result:
        # Durations by a clock that nobody sets.
        started_s = time.monotonic()
        outcome, again_at, failure, defect = RunOutcome.FAILED, None, None, None
        try:
            said = job.work(self.tools)
            outcome = RunOutcome.IDLE if said is None else RunOutcome.DONE
        except TruetonneError as error:
            said = failure = error.message
            if isinstance(error, ContractRefused):  # as its command says it
                said = failure = with_meaning(error.message)
            if isinstance(error, DependencyDown):
                again_at = self.tools.now() + RETRY
        except Exception as error:
            said = failure = (
                f"internal error: {type(error).__name__}: {error} (a defect of this program)"
            )
            defect = error
        if failure is not None and self._told.get(job.name) != failure:
            log.warning("job %s: %s", job.name, failure, exc_info=defect)
        elif failure is None and self._told.get(job.name) is not None:
            log.warning("job %s: works again", job.name)
        self._told[job.name] = failure
        return Result(outcome, said, int((time.monotonic() - started_s) * 1000), again_at)
