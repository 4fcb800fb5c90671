"""Dates and times that are no texts, as those of workbooks, written as the texts of their source are.

So a source reads them as any others, and one column may be of texts where another one is of dates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from ledger.readings.files.formats import COUNTS
from ledger.readings.files.timeformats import ALIASES, FULL, MONTHS, TOKEN

Writer = Callable[[datetime], str]

_WRITTEN: dict[str, Writer] = {
    "%Y": lambda moment: f"{moment.year:04}",
    "%y": lambda moment: f"{moment.year % 100:02}",
    "%m": lambda moment: f"{moment.month:02}",
    "%b": lambda moment: MONTHS[moment.month - 1],
    "%B": lambda moment: FULL.split("|")[moment.month - 1],
    "%d": lambda moment: f"{moment.day:02}",
    "%H": lambda moment: f"{moment.hour:02}",
    "%I": lambda moment: f"{moment.hour % 12 or 12:02}",
    "%p": lambda moment: "PM" if moment.hour >= 12 else "AM",
    "%M": lambda moment: f"{moment.minute:02}",
    "%S": lambda moment: f"{moment.second:02}",
    "%f": lambda _: "0",
    "%%": lambda _: "%",
}
_OF_DAYS = {"%Y", "%y", "%m", "%b", "%B", "%d"}
_OF_CLOCKS = {"%H", "%I", "%p", "%M", "%S", "%f"}


class Writers(NamedTuple):
    """What writes a time, its day alone, and its time of day alone."""

    whole: Writer
    day: Writer
    clock: Writer


ISO = Writers(str, lambda moment: f"{moment:%F}", lambda moment: f"{moment:%T}")


def writers_of(time_format: str | None) -> Writers:
    """Return what writes times of whole seconds so that a source reads them.

    What its pattern cannot say, such as a second that is not 0, is written in ISO 8601: the source rejects it, and
    nothing is lost unseen.
    """
    if time_format is None or time_format in COUNTS or "%z" in time_format:
        return ISO
    for alias, meaning in ALIASES.items():
        time_format = time_format.replace(alias, meaning)
    tokens = TOKEN.findall(time_format)
    day, clock = _parted(tokens)
    return Writers(
        _writer(tokens, ISO.whole),
        _writer(day, ISO.day) if day else ISO.day,
        _writer(clock, ISO.clock) if clock else ISO.clock,
    )


def _parted(tokens: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the tokens of the day and those of the time of day, where a blank parts them; else none."""
    for place, token in enumerate(tokens):
        before, after = tokens[:place], tokens[place + 1 :]
        apart = _OF_CLOCKS.isdisjoint(before) and _OF_DAYS.isdisjoint(after)
        if token.isspace() and apart and before and after:
            return before, after
    return (), ()


def _writer(tokens: Sequence[str], other: Writer) -> Writer:
    """Return what writes times by a pattern, and in another way where that does not say all of one."""
    there = set(tokens)
    parts = [_WRITTEN.get(token, token) for token in tokens]
    of_days = not there.isdisjoint(_OF_DAYS)

    def fits(moment: datetime) -> bool:
        if "%y" in there and not 1969 <= moment.year <= 2068:
            return False
        if of_days and there.isdisjoint(_OF_CLOCKS) and other is ISO.day:
            return True
        return not (
            (moment.second and "%S" not in there)
            or (moment.minute and "%M" not in there)
            or (moment.hour and there.isdisjoint({"%H", "%I"}))
        )

    def write(moment: datetime) -> str:
        if not fits(moment):
            return other(moment)
        return "".join(part if isinstance(part, str) else part(moment) for part in parts)

    return write
