"""What is kept for a time only: sessions that ended, answers that were given once, attempts to sign in."""

from __future__ import annotations

from datetime import datetime

from ledger.db import Database
from ledger.identity import attempts, idempotency, sessions


def forget(db: Database, at: datetime) -> dict[str, int]:
    """Delete what is older than it is kept; return how many rows of what, where there were some.

    Parameters
    ----------
    at
        Time of day, aware.
    """
    counts = {
        "sessions": db.run(lambda session: sessions.forget(session, at)),
        "answers given once": db.run(lambda session: idempotency.forget(session, at)),
        "attempts to sign in": db.run(lambda session: attempts.forget(session, at)),
    }
    return {what: count for what, count in counts.items() if count}
