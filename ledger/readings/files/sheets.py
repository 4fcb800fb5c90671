"""What stands in the cells of a workbook's sheets, however the workbook is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from ledger.units import DAY_S

CELL_MAX = 65_536
"""Characters of a cell, as in CSV; spreadsheets have half of that."""
DAMAGED = "the workbook is damaged, cut short or no workbook; fetch it again, or save it again in a spreadsheet"
_DAYS_1904 = 1462
"""Days from the first one of the system of 1900 to that of 1904, which old Macintoshes began."""
_FIRST = datetime(1899, 12, 30)
"""Day 0 of the system of 1900, which counts a 29 February 1900: from March 1900 on."""
_SERIALS_END = 2_958_466
"""The day after 9999-12-31."""
_WHOLE_MAX = 2**53


class BrokenWorkbook(Exception):
    """A workbook cannot be read, or not on; with what is wrong, and what to do."""


class Stamp(int):
    """A date and time, in whole seconds since day 0; a time of day alone is below a day."""

    @property
    def moment(self) -> datetime:
        """The time on the clock, on the last day at most: .NET's largest date is rounded beyond it."""
        return _FIRST + timedelta(seconds=min(self, _SERIALS_END * DAY_S - 1))


class Uncomputed:
    """A formula whose value the file does not have."""


UNCOMPUTED: Final = Uncomputed()
Value = str | float | Stamp | Uncomputed | None
"""What a cell holds: a text, a number, a date or time; None where it is empty."""
Row = tuple[int, list[Value]]
"""The number of a row, as spreadsheets show it, and its cells up to the last that is there."""


class Sheet(NamedTuple):
    """A sheet of an open workbook."""

    name: str
    hidden: bool
    rows: Callable[[], Iterator[Row]]
    """Yields the rows in which something stands; it raises ``BrokenWorkbook``."""


def stamp_of(serial: float, *, from_1904: bool) -> Stamp | float:
    """Return what a number means that is shown as a date or time; itself where it is none.

    It is taken to the nearest second: a column in which each time is the one before and 1/96 of a day drifts from it by
    milliseconds.
    """
    if not 0 <= serial < _SERIALS_END:
        return serial
    days = _DAYS_1904 if from_1904 and serial >= 1 else 0
    return Stamp(round(serial * DAY_S) + days * DAY_S)


def stamp_at(moment: datetime) -> Stamp:
    """Return a time on the clock as a stamp."""
    return Stamp(round((moment - _FIRST).total_seconds()))


def number_text(value: float, decimal: str) -> str:
    """Return the decimal that a number of a cell is: 15 significant digits, as spreadsheets show, and no exponent.

    Whole numbers below 2^53 are in full.

    Parameters
    ----------
    value
        The binary64 of the cell.
    decimal
        What the source has before decimals.
    """
    if value.is_integer() and abs(value) < _WHOLE_MAX:
        return str(int(value))
    text = format(value, ".15g")
    return (format(Decimal(text), "f") if "e" in text else text).replace(".", decimal)
