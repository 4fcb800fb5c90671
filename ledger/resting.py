"""How long a server asks to be left alone: ``Retry-After`` of RFC 9110, section 10.2.3."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def asked_rest_s(value: str | None, now: datetime) -> float | None:
    """Return for how many seconds from now on a ``Retry-After`` asks for rest; None if it cannot be read.

    Parameters
    ----------
    value
        A whole number of seconds, or a date; one without a zone is in UTC, as dates of HTTP are.
    now
        With its zone.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter: a year or an offset beyond every number
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max((then - now).total_seconds(), 0.0)
