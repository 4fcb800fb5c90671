"""The time of day, as everything here writes it down: aware, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time of day of this machine, aware."""
    return datetime.now(UTC)
