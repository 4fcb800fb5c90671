"""A run of a job that a person wants now: whoever leads is asked for it, or it is done here when nobody leads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime

from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.jobs import rows
from ledger.jobs.schedules import Schedule
from ledger.leases import Lease
from ledger.models import JobRun

PATIENCE_S = 600.0
"""How long a leader is waited for."""
_POLL_S = 0.1
_POLLS_PER_LEASE_LOOK = 10


def run_now(
    db: Database,
    lease: Lease,
    schedules: Mapping[str, Schedule],
    name: str,
    do_it: Callable[[], object],
    now: Callable[[], datetime],
) -> JobRun:
    """Have a job run once, here or by the leader, and return the run as it was noted.

    Parameters
    ----------
    lease
        That of the jobs; released at the end when it was taken.
    do_it
        Runs the job under the lease.

    Raises
    ------
    NotFound
        If there is no such job, or whoever leads since has none of that name.
    Refused
        If the job is paused.
    DependencyDown
        If the leader does not come to it; it stays asked for.
    """
    db.run(lambda session: rows.have_rows(session, schedules, now()))
    db.run(lambda session: rows.ask(session, name, now()))
    until = time.monotonic() + PATIENCE_S
    polls = 0
    try:
        while time.monotonic() < until:
            if polls % _POLLS_PER_LEASE_LOOK == 0 and lease.take() is None:
                do_it()
            with db.read() as session:
                row = rows.row_named(session, name)
                last = rows.last_run(session, name)
            if row.asked_at is None and row.running_since is None and last is not None:
                return last
            rows.check_runs(row)  # paused while it was waited for
            polls += 1
            time.sleep(_POLL_S)
    finally:
        lease.release()
    raise DependencyDown(
        f"job {name} has not run in {PATIENCE_S:.0f} s; it stays asked for: see truetonne jobs list",
        code="not-run-yet",
    )
