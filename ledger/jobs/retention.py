"""What is deleted when it is old: logs after a year, and what the rooms of the house keep for a time only.

Evidence, books and the audit log are kept for ever: no deletion of theirs stands here. See docs/retention.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database, tables
from ledger.db.sqltext import clock_of
from ledger.identity import attempts, idempotency, sessions
from ledger.jobs import rows
from ledger.models import VppOperationLog
from ledger.webhooks import forget_delivered, forget_messages

LOGS_KEPT = timedelta(days=366)
"""How long logs are kept: a whole year, also one with a 29 February."""
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Kept:
    """Rows of one kind that are kept for a time.

    Parameters
    ----------
    what
        In a few words, for people.
    tables
        The tables they stand in.
    kept
        For how long.
    forget
        Deletes some of those that are older, given the time of day; returns how many, 0 at the end.
    """

    what: str
    tables: tuple[str, ...]
    kept: timedelta
    forget: Callable[[Session, datetime], int]


def forget_operations(session: Session, at: datetime) -> int:
    """Delete operations on plants that were carried out a year ago; return how many."""
    old = select(VppOperationLog.id).where(VppOperationLog.executed_at < at - LOGS_KEPT)
    numbers = session.scalars(old.limit(_AT_ONCE)).all()
    tables.delete_among(session, VppOperationLog.id, numbers)
    return len(numbers)


KEPT = (
    Kept(
        "runs of jobs",
        ("job_runs",),
        LOGS_KEPT,
        lambda session, at: rows.forget_before(session, at - LOGS_KEPT),
    ),
    Kept(
        "deliveries of webhooks",
        ("webhook_deliveries", "webhook_tries"),
        LOGS_KEPT,
        lambda session, at: forget_delivered(session, at - LOGS_KEPT),
    ),
    Kept(
        "messages about alerts and tests",
        ("webhook_messages",),
        LOGS_KEPT,
        lambda session, at: forget_messages(session, at - LOGS_KEPT),
    ),
    Kept("operations on plants", ("vpp_operation_logs",), LOGS_KEPT, forget_operations),
    Kept("sessions", ("user_sessions",), sessions.KEPT, sessions.forget),
    Kept("answers given once", ("idempotency_keys",), idempotency.KEPT, idempotency.forget),
    Kept("attempts to sign in", ("sign_in_attempts",), attempts.WINDOW, attempts.forget),
)
"""All that is ever deleted for its age."""


def expire(db: Database, at: datetime, dry_run: bool = False) -> dict[str, int]:
    """Delete what is older than it is kept, some thousand rows in each unit of work.

    Old is what is old by this machine's clock and by the database's: one that is ahead must delete nothing that is
    young.

    Parameters
    ----------
    at
        Time of day by this machine's clock, aware.
    dry_run
        Whether to take everything back: what is returned is what would be deleted.

    Returns
    -------
    dict of str to int
        Rows of each kind.

    Raises
    ------
    DatabaseBusy
        Another writer was in the way; what was deleted stays so.
    """
    with db.read() as session:
        at = min(at, clock_of(session))
    counts = {}
    for kind in KEPT:
        counts[kind.what] = _tried(db, kind, at) if dry_run else _done(db, kind, at)
    return counts


def _done(db: Database, kind: Kept, at: datetime) -> int:
    """Delete in several units of work, so that none holds its locks for long."""
    total = 0
    while count := db.run(lambda session: kind.forget(session, at)):
        total += count
    return total


def _tried(db: Database, kind: Kept, at: datetime) -> int:
    """Delete in one unit of work that is not kept: in several, each would find the same rows again."""

    def work(session: Session) -> int:
        total = 0
        while count := kind.forget(session, at):
            total += count
        return total

    return db.run(work, keep=False)
