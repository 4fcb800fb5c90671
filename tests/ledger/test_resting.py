"""``Retry-After``, as servers write it and as they should not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ledger.clock import asked_rest_s

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 400, float("inf")),
        ("Fri, 27 Nov 2026 12:01:30 GMT", 90.0),
        ("Fri, 27 Nov 2026 12:01:30", 90.0),  # no zone
        ("Fri, 27 Nov 2026 12:01:30 +0800", 0.0),  # long over
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\xb2", None),  # a digit to Python, and no number
        ("1 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
def test_the_rest_that_is_asked_for(value: str | None, seconds: float | None) -> None:
    assert asked_rest_s(value, NOW) == seconds
    assert asked_rest_s(value, NOW.astimezone(timezone(timedelta(hours=5)))) == seconds
