"""Times: the one of now, as text, and what a text says of one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_BELOW_MICROS = re.compile(r"[.,][0-9]{6}0*[1-9]", re.ASCII)


def utc_now() -> datetime:
    """Return the time of day of this machine, aware."""
    return datetime.now(UTC)


def moment_after(known: datetime | None) -> datetime:
    """Return the present time, or the microsecond after another one if that is not past.

    What is noted with it stands after what was noted before, though this machine's clock was set back or is behind the
    one that noted that; None: nothing was.
    """
    now = utc_now()
    return now if known is None or known < now else known + timedelta(microseconds=1)


def time_text(value: datetime) -> str:
    """Return an aware time in UTC as ISO 8601 text that ends in ``Z``; `TypeError` for one without a zone."""
    if value.tzinfo is None:
        raise TypeError("a time without a zone has no meaning outside this process")
    return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def second_text(value: datetime) -> str:
    """Return a time for people, cut to the second."""
    return time_text(value.replace(microsecond=0))


def is_finer_than_micros(text: str) -> bool:
    """Return whether a time in ISO 8601 has digits below the microsecond, zeros aside: Python drops them unseen."""
    return _BELOW_MICROS.search(text) is not None


def asked_rest_s(value: str | None, now: datetime) -> float | None:
    """Return for how many seconds from now on a ``Retry-After`` asks for rest; None if it cannot be read.

    Parameters
    ----------
    value
        A whole number of seconds, or a date; one without a zone is in UTC, as dates of HTTP are.
    now
        With its zone.
    """
    from email.utils import parsedate_to_datetime  # with what no start needs

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
