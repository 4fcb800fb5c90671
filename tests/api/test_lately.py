"""What every request of an outage would say stands in the log once a minute."""

from __future__ import annotations

import logging

import pytest

from api import lately
from api.lately import Lately


def test_a_line_comes_once_a_minute_with_how_often_it_would_have(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    said = Lately(logging.getLogger("said"), lambda: now[0])
    for second in range(0, 150, 10):
        now[0] = float(second)
        said.warn("database-down: 100% gone")
    said.warn("node-down: no node answers")
    more = "(5 times more since this line was written last)"
    assert caplog.messages == [
        "database-down: 100% gone",
        f"database-down: 100% gone {more}",
        f"database-down: 100% gone {more}",
        "node-down: no node answers",
    ]


def test_it_keeps_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    said = Lately(logging.getLogger("said"), lambda: 0.0)
    for number in range(10 * lately._LINES_MAX):
        said.warn(f"line {number}")
    assert len(caplog.messages) == 10 * lately._LINES_MAX
    assert len(said._lines) == lately._LINES_MAX
