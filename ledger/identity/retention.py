"""What is kept for a time only: sessions that ended, answers that were given once, attempts to sign in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.identity import attempts, idempotency, sessions

FORGETTING: Mapping[str, Callable[[Session, datetime], int]] = {
    "sessions": sessions.forget,
    "answers given once": idempotency.forget,
    "attempts to sign in": attempts.forget,
}
"""What deletes rows of each kind that are older than they are kept, given the time of day."""


def forget(db: Database, at: datetime) -> dict[str, int]:
    """Delete what is older than it is kept; return how many rows of what, where there were some.

    Parameters
    ----------
    at
        Time of day, aware.
    """
    counts = {
        what: db.run(lambda session, work=work: work(session, at))  # type: ignore[misc]
        for what, work in FORGETTING.items()
    }
    return {what: count for what, count in counts.items() if count}
