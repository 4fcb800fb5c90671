"""A source: how the files of one origin are read, row by row, into readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ledger.errors import BadInput
from ledger.reductions.numbers import UNITS, parse_value
from ledger.readings.tables import Table
from ledger.readings.times import NaiveTime, TimeReader
from ledger.reductions.records import Kind

INTERVALS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)
"""Minutes that divide an hour, so that slots never straddle a change of the clocks."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a ``[[source]]`` of a site file says, checked."""

    name: str
    kind: Kind
    unit: str
    interval_minutes: int
    label_is_end: bool
    device_code: str | None
    device_column: str | None
    time_column: str
    value_column: str
    time_zone: str

    @property
    def interval_s(self) -> int:
        """Length of an interval in seconds."""
        return self.interval_minutes * 60


class RawReading(NamedTuple):
    """One good row of a file, before its quality is known."""

    device: str
    start_s: int
    text: str
    digits: int | None
    scale: int | None
    line: int


class RowError(NamedTuple):
    """One bad row of a file, and what is wrong with it."""

    line: int
    column: str
    message: str
    unknown_device: str | None = None


def unit_scale(kind: Kind, unit: str, where: str) -> int:
    """Return the power of ten of a unit.

    Raises
    ------
    BadInput
        The unit is not one of the kind's; there is no default.
    """
    known = UNITS[kind]
    if unit not in known:
        close = [name for name in known if name.lower() == unit.lower()]
        hint = f"write {close[0]}" if close else f"use one of {', '.join(known)}"
        raise BadInput(
            f"{where}: unknown unit {unit!r} for {kind.name.lower()}; {hint}", code="unknown-unit"
        )
    return known[unit]


def read_rows(
    table: Table, source: Source, grid_zone: ZoneInfo, devices: Mapping[str, object]
) -> Iterator[RawReading | RowError]:
    """Yield every row of a file as a reading or as an error, in the file's order.

    Parameters
    ----------
    table
        The open file.
    source
        How to read it.
    grid_zone
        The site's legal zone.
    devices
        The known device codes.

    Raises
    ------
    BadInput
        A column is missing, or the very first time has no zone: the source does not fit the file.
    """
    time_place = table.place_of(source.time_column)
    value_place = table.place_of(source.value_column)
    device_place = -1 if source.device_column is None else table.place_of(source.device_column)
    width = len(table.columns)
    scale_of_unit = unit_scale(source.kind, source.unit, f"source {source.name}")
    times = TimeReader(
        source.time_zone, source.interval_s, label_is_end=source.label_is_end, grid_zone=grid_zone
    )
    device = source.device_code or ""
    first = True
    for line, cells in table.rows():
        if len(cells) != width:
            yield RowError(line, "", f"{len(cells)} cells where the header has {width}")
            continue
        if device_place >= 0:
            device = cells[device_place].strip()
        if device not in devices:
            message = f"device {device!r} is not in the site file"
            yield RowError(line, source.device_column or "", message, device)
            continue
        try:
            start_s = times.start_s(cells[time_place].strip())
        except NaiveTime as error:
            if first:
                raise _naive(table.path, line, source, error) from None
            yield RowError(line, source.time_column, str(error))
            continue
        except ValueError as error:
            yield RowError(line, source.time_column, str(error))
            continue
        first = False
        text = cells[value_place].strip()
        if not text:
            yield RawReading(device, start_s, "", None, None, line)
            continue
        try:
            digits, scale = parse_value(text, scale_of_unit)
        except ValueError as error:
            yield RowError(line, source.value_column, str(error))
            continue
        yield RawReading(device, start_s, text, digits, scale, line)


def _naive(path: Path, line: int, source: Source, error: NaiveTime) -> BadInput:
    return BadInput(
        f"{path.name}: line {line}, column {source.time_column}: {error}; nothing was imported",
        code="naive-time",
        details={"file": path.name, "line": line, "column": source.time_column},
    )
