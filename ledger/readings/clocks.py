"""What the order of a file's rows says about the clock of each device.

Where the clocks go back, an hour comes twice. A source that declares ``clock_change = "in_order"``
promises that its rows stand in the order of time: the first pass of the hour is then before the
change, the second after it. Whatever the order does not decide is rejected, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.reductions.grids import HOUR_S
from ledger.reductions.zones import epoch_s, utc_of

DAY_S = 86400
JUMPS_MAX = 100
_WAITING_MAX = 10_000


@dataclass
class Notes:
    """What was noticed about the times of a file."""

    jump_s: int = DAY_S
    """A step forward of more than this is a jump."""
    clock_change: int = 0
    """Rows of a doubled hour that were put before or after the change by their order."""
    jumps: int = 0
    clock_jumps: list[dict[str, Any]] = field(default_factory=list)
    """The first ``JUMPS_MAX`` of the jumps: line, device, from, to."""
    _last: dict[str, int] = field(default_factory=dict)

    def expect(self, interval_s: int) -> None:
        """Say how far apart times are: a day is no jump where each is a day after the other."""
        if interval_s > HOUR_S:
            self.jump_s = DAY_S + interval_s + HOUR_S

    def pass_time(self, device: str, start_s: int, line: int) -> None:
        """Take in the next time of a device, and note a jump."""
        last = self._last.get(device, start_s)
        if not last <= start_s <= last + self.jump_s:
            self.jumps += 1
            if len(self.clock_jumps) < JUMPS_MAX:
                before, after = utc_of(last).isoformat(), utc_of(start_s).isoformat()
                self.clock_jumps.append(
                    {"line": line, "device": device, "from": before, "to": after}
                )
        self._last[device] = start_s


@dataclass(frozen=True, slots=True)
class Doubled:
    """A row in a doubled hour, until it is known which pass it is of."""

    device: str
    line: int
    cell: str
    """The text of the value."""
    time_text: str
    wall: datetime
    """The time on the clock."""
    before: datetime
    after: datetime


class DoubledHours:
    """Rows of doubled hours by device, kept until a later row says what their order means."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Doubled]] = {}
        self._last_s: dict[str, int] = {}

    def add(self, row: Doubled) -> Iterator[tuple[Doubled, datetime | None]]:
        """Keep a row; yield those of another change of the clocks, which are decided by now."""
        waiting = self._waiting.setdefault(row.device, [])
        if waiting and abs(waiting[0].wall - row.wall).days > 0:
            yield from self.close(row.device, None)
            waiting = self._waiting.setdefault(row.device, [])
        if len(waiting) >= _WAITING_MAX:
            yield row, None
        else:
            waiting.append(row)

    def close(self, device: str, next_s: int | None) -> Iterator[tuple[Doubled, datetime | None]]:
        """Yield the rows kept of a device, each with its moment; None: the order does not say.

        Parameters
        ----------
        device
            Its code.
        next_s
            The moment of the next row that is not doubled; None where none follows.
        """
        rows = self._waiting.pop(device, None)
        if rows:
            second = _second_pass(rows, self._last_s.get(device), next_s)
            for place, row in enumerate(rows):
                if second is None:
                    yield row, None
                else:
                    yield row, row.after if place >= second else row.before
        if next_s is not None:
            self._last_s[device] = next_s

    def rest(self) -> Iterator[tuple[Doubled, datetime | None]]:
        """Yield what is kept at the end of the file."""
        for device in list(self._waiting):
            yield from self.close(device, None)


def _second_pass(rows: list[Doubled], last_s: int | None, next_s: int | None) -> int | None:
    """Return where the second pass begins; None unless the rows are two passes in rising order.

    What stands before them must be earlier, and what follows later.
    """
    walls = [row.wall for row in rows]
    falls = [place for place in range(1, len(walls)) if walls[place] <= walls[place - 1]]
    if len(falls) != 1:
        return None
    if last_s is not None and last_s >= min(epoch_s(row.before) for row in rows):
        return None
    if next_s is not None and next_s <= max(epoch_s(row.after) for row in rows):
        return None
    return falls[0]
