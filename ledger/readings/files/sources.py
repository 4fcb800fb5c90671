"""Reads the rows of a meter file into readings, as the source of the file declares it.

``read_rows`` is the door. Its neighbours do the parts: ``tables`` gives the cells, ``channels`` says which rows are
meant, ``times`` and ``clocks`` read times, ``writing`` reads numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ledger.errors import BadInput
from ledger.readings.files.channels import Channel, is_unit, none_taken, other_unit_in, unit_wrong
from ledger.readings.files.clocks import Doubled, DoubledHours, Notes
from ledger.readings.files.formats import IN_ORDER, ONLY, PLAIN, Format
from ledger.readings.files.tables import BadRow, Table
from ledger.readings.files.timeformats import TurnedDate
from ledger.readings.files.times import DoubledTime, NaiveTime, SkippedTime, TimeReader
from ledger.readings.files.writing import Missing, rewriter_of
from ledger.reductions.numbers import TEXT_MAX, UNITS, parse_value
from ledger.reductions.records import Kind
from ledger.reductions.registers import TEXT_MAX as REGISTER_MAX
from ledger.units import HOUR_S

_MIDNIGHT = re.compile(r"\A0?0(?=(?:[:.]?00|时(?:00分)?)(?:[:.]?00|00秒)?\Z)", re.ASCII)
_CLOCK = re.compile(r"[0-2]?[0-9]:[0-5][0-9](?::00)?", re.ASCII)
_UNKNOWN_DEVICE = "add a [[device]] with this code, or leave it out"


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
    file_format: Format = PLAIN
    counter: bool = False
    """The values are those of a cumulative register, each at one instant."""

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
    """None: there is no value, though ``text`` may be one that is declared to say so."""
    scale: int | None
    line: int
    duration_s: int


class RowError(NamedTuple):
    """One bad row of a file, and what is wrong with it."""

    line: int
    column: str
    message: str
    remedy: str = ""
    """What mends it, where that is said once for all rows of the same column and message."""


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
    table: Table,
    source: Source,
    grid_zone: ZoneInfo,
    devices: Mapping[str, object],
    notes: Notes | None = None,
) -> Iterator[RawReading | RowError]:
    """Yield every row of a file as a reading or as an error, in the file's order.

    Rows of an hour that comes twice are yielded when their order is known, a little later.

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
    notes
        Takes in what is noticed about the times.

    Raises
    ------
    BadInput
        A column is missing, the very first time has no zone, or no row is of the channel that is meant: the source does
        not fit the file.
    """
    return _Reader(table, source, grid_zone, devices, notes or Notes()).rows()


class _Reader:
    """One reading of one file."""

    def __init__(
        self,
        table: Table,
        source: Source,
        grid_zone: ZoneInfo,
        devices: Mapping[str, object],
        notes: Notes,
    ) -> None:
        written = source.file_format
        self._table, self._source, self._devices, self._notes = table, source, devices, notes
        regular = not source.counter and source.kind in (Kind.POWER, Kind.ENERGY)
        notes.expect(source.interval_s, grid_zone, regular=regular)
        self._channel = Channel(table, written.only) if written.only else None
        self._time_place, self._time_name = self._column(source.time_column, "time_column")
        self._date_place, self._date_name = self._column(written.date_column, "date_column")
        self._value_place, self._value_name = self._column(source.value_column, "value_column")
        self._device_place, self._device_name = self._column(source.device_column, "device_column")
        self._header_time, self._header_name = self._time_place, table.columns[self._time_place]
        self._clocks: list[str] = []
        first_value = self._value_place
        if written.last_value_column is not None:
            self._lay_across(written.last_value_column)
        else:
            notes.across = _times_of_day(table.columns[self._value_place :])
        self._unit_place, self._unit_name = self._column(written.unit_column, "unit_column")
        if written.unit_column is None and not self._clocks:
            notes.other_unit = _other_unit(table.columns[self._value_place], source.unit)
        named = {first_value + place for place in range(len(self._clocks) or 1)}
        named |= {table.place_of(column, ONLY) for column, _ in written.only}
        named |= {self._header_time, self._date_place, self._device_place, self._unit_place} - {-1}
        self._read_places = sorted(place for place in named if place < len(table.columns))
        self._times = TimeReader(
            source.time_zone,
            source.interval_s,
            label_is_end=source.label_is_end,
            grid_zone=grid_zone,
            time_format=written.time_format,
            instants=source.counter,
            tolerance_s=written.tolerance_seconds,
        )
        even = source.interval_s <= HOUR_S and not source.counter
        self._fixed_s = source.interval_s if even else None
        self._longest = REGISTER_MAX if source.counter else TEXT_MAX
        self._scale = unit_scale(source.kind, source.unit, f"source {source.name}")
        self._rewrite = rewriter_of(written)
        self._missing = Missing(written.missing, self._rewrite) if written.missing else None
        self._doubled = (
            DoubledHours(source.interval_s) if written.clock_change == IN_ORDER else None
        )

    def _column(self, column: str | None, key: str) -> tuple[int, str]:
        """Return where a column stands, from 0, and what it is called: its number where its name is empty.

        -1 where the source names none.
        """
        if column is None:
            return -1, ""
        place = self._table.place_of(column, key)
        return place, column or str(place + 1)

    def rows(self) -> Iterator[RawReading | RowError]:
        """Yield the rows; see ``read_rows``."""
        source, devices, doubled = self._source, self._devices, self._doubled
        device_place, unit_place = self._device_place, self._unit_place
        time_place, date_place = self._time_place, self._date_place
        value_place, unit = self._value_place, source.unit
        device = source.device_code or ""
        first = True
        for found in self._each_value() if self._clocks else self._meant():
            if isinstance(found, RowError):
                yield found
                continue
            line, cells = found
            if device_place >= 0:
                device = cells[device_place].strip()
            if device not in devices:
                message = f"device {device[:100]!r} is not in the site file"
                error = RowError(line, self._device_name, message, _UNKNOWN_DEVICE)
                yield from self._rejected(cells, error)
                continue
            if unit_place >= 0 and not is_unit(cells[unit_place].strip(), unit):
                yield from self._rejected(cells, self._bad_unit(line, cells[unit_place].strip()))
                continue
            time_text = cells[time_place].strip() if date_place < 0 else self._joined(cells)
            try:
                start_s = self._times.start_s(time_text)
            except NaiveTime as error:
                if first:
                    raise _naive(self._table.path, line, self._time_name, error) from None
                yield RowError(line, self._time_name, str(error))
                continue
            except DoubledTime as error:
                first = False
                self._notes.pass_doubled(device, error.wall)
                if doubled is None:
                    yield RowError(line, self._time_name, str(error))
                    continue
                text = cells[value_place].strip()
                row = Doubled(device, line, text, time_text, error.wall, error.before, error.after)
                yield from self._decided(doubled.add(row))
                continue
            except ValueError as error:
                yield from self._untimely(line, device, cells, error)
                continue
            first = False
            if doubled is not None:
                yield from self._decided(doubled.close(device, self._label_s(start_s)))
            yield self._reading(device, start_s, cells[value_place].strip(), line)
        if doubled is not None:
            yield from self._decided(doubled.rest())
        self._notes.end(self._times.moved, self._table.unfinished_line)

    def _lay_across(self, last: str) -> None:
        """Note the columns of a file whose rows are days: the values, and the time of day that each is named by.

        The time and the value of each are put behind the cells of its row.
        """
        columns, begin = self._table.columns, self._value_place
        end = self._table.place_of(last, "last_value_column")
        if end <= begin:
            line = self._table.header_line
            raise BadInput(
                f"{self._table.path.name}: line {line}: column {last!r} does not come after "
                f"{self._source.value_column!r}; correct value_column or last_value_column in [[source]]",
                code="missing-column",
                details={"file": self._table.path.name, "line": line, "column": last},
            )
        first, *others = columns[begin : end + 1]
        # After other times of the day, midnight is the one that closes it.
        self._clocks = [first, *(_MIDNIGHT.sub("24", name) for name in others)]
        self._date_place, self._time_place = self._time_place, len(columns)
        self._first_value, self._value_place = begin, len(columns) + 1

    def _each_value(self) -> Iterator[tuple[int, list[str]] | RowError]:
        """Yield each value of rows that are days as a row of its own, with its time and itself at the end."""
        columns, begin = self._table.columns, self._first_value
        for found in self._meant():
            if isinstance(found, RowError):
                yield found
                continue
            line, cells = found
            if not any(cell.strip() for cell in cells):
                continue
            for place, clock in enumerate(self._clocks, begin):
                self._value_name = columns[place] or str(place + 1)
                yield line, [*cells, clock, cells[place]]

    def _meant(self) -> Iterator[tuple[int, list[str]] | RowError]:
        """Yield each row of the channel that is meant, and each that is bad before its channel is known."""
        channel, width = self._channel, len(self._table.columns)
        broken = False
        for line, cells in self._table.rows():
            if isinstance(cells, BadRow):
                if channel is None or channel.takes(cells.before):
                    broken = True
                    yield RowError(line, cells.column, cells.message)
            elif len(cells) != width:
                wrong = _unless_blank(cells, RowError(line, "", _wrong_width(cells, width)))
                broken = broken or bool(wrong)
                yield from wrong
            elif channel is None or channel.takes(cells):
                yield line, cells
            else:
                self._is_header(line, cells)  # passed over, unless another table begins
        if channel is not None:
            missed = channel.missed()
            if missed is not None and not broken:
                raise none_taken(self._table, missed)
            self._notes.pass_over(channel.passed_over, missed)

    def _bad_unit(self, line: int, text: str) -> RowError:
        """Return a row whose unit is not the one that the source declares."""
        source, column = self._source, self._unit_name
        return RowError(line, column, *unit_wrong(text, source.unit, source.kind, column))

    def _untimely(
        self, line: int, device: str, cells: list[str], error: ValueError
    ) -> tuple[RowError, ...]:
        """Return the error of a row whose time cannot be used; none where nothing stands in it.

        Of a row that is a day, nothing stands under the times that this day does not have.
        """
        if self._clocks and isinstance(error, SkippedTime) and not cells[-1].strip():
            return ()
        return self._rejected(
            cells, self._empty(line, cells) or self._bad_time(line, device, error)
        )

    def _rejected(self, cells: list[str], error: RowError) -> tuple[RowError, ...]:
        """Return the error of a row; none where nothing stands in it. A header once more may end all."""
        if self._is_header(error.line, cells):
            return (
                RowError(error.line, "", "the header once more; what follows is read as before"),
            )
        return _unless_blank(cells, error)

    def _is_header(self, line: int, cells: list[str]) -> bool:
        """Return whether a row is the header once more; refuse a file in which another table begins.

        Files were joined then, and what follows has other columns: read by the places of the first header, its values
        would be others, or in another unit.
        """
        table, name = self._table, self._header_name
        there = cells[self._header_time].strip("\ufeff ")
        if name not in cells and there.casefold() != name.casefold():
            return False  # as nearly every row
        what = table.header_again(cells[: len(table.columns)], self._header_time, self._read_places)
        if what:
            raise BadInput(
                f"{table.path.name}: line {line} is a header once more, with other columns: {what}; split the file "
                "there, and bring each part as its source says; nothing was imported",
                code="file-unreadable",
                details={"file": table.path.name, "line": line},
            )
        return what is not None

    def _empty(self, line: int, cells: list[str]) -> RowError | None:
        """Return the error of a row without a date or a time, such as one of units or sums; None where both stand."""
        if self._date_place >= 0 and not cells[self._date_place].strip():
            name = self._time_name if self._clocks else self._date_name
            filled = "where a cell of a spreadsheet spans several rows, have it written into each"
            return RowError(line, name, f"the date is empty; {filled}")
        if cells[self._time_place].strip():
            return None
        beside = cells[self._value_place].strip()[:40]
        return RowError(line, self._time_name, f"the time is empty, beside the value {beside!r}")

    def _bad_time(self, line: int, device: str, error: ValueError) -> RowError:
        """Return a row whose time cannot be used."""
        if isinstance(error, SkippedTime):
            self._notes.pass_skipped(device, self._source.time_zone, error.offset, error.last_s)
        if isinstance(error, TurnedDate):
            self._notes.turned = self._notes.turned or error.text
        return RowError(line, self._time_name, str(error))

    def _joined(self, cells: list[str]) -> str:
        """Return date and time of two columns as one text; a date beside an empty time is none of midnight."""
        return f"{cells[self._date_place].strip()} {cells[self._time_place].strip()}"

    def _label_s(self, start_s: int) -> int:
        """Return the moment that the time of a row names."""
        if not self._source.label_is_end:
            return start_s
        return start_s + self._times.duration_s(start_s)

    def _decided(
        self, rows: Iterable[tuple[Doubled, datetime | None]]
    ) -> Iterator[RawReading | RowError]:
        """Yield rows of a doubled hour as their order has decided."""
        for row, moment in rows:
            column = self._time_name
            if moment is None:
                message = (
                    f"{row.time_text!r} comes twice in {self._source.time_zone} (clock change), and the "
                    "order of the rows does not say which one it is; write the offset into the file"
                )
                yield RowError(row.line, column, message)
                continue
            try:
                start_s = self._times.slot_of(moment, row.time_text)
            except ValueError as error:
                yield RowError(row.line, column, str(error))
                continue
            self._notes.clock_change += 1
            yield self._reading(row.device, start_s, row.cell, row.line)

    def _reading(self, device: str, start_s: int, text: str, line: int) -> RawReading | RowError:
        """Return a row whose device and time are known."""
        duration_s = self._fixed_s or self._times.duration_s(start_s)
        self._notes.pass_time(device, start_s, line)
        if not text:
            return RawReading(device, start_s, "", None, None, line, duration_s)
        if self._missing is not None and len(text) <= TEXT_MAX and text in self._missing:
            return RawReading(device, start_s, text, None, None, line, duration_s)
        cell = text
        try:
            if self._rewrite is not None:
                text = self._rewrite(text)
            if len(text) > self._longest:
                raise ValueError(
                    f"a number of {len(text)} characters is longer than {self._longest}"
                )
            digits, scale = parse_value(text, self._scale)
        except ValueError as error:
            # Named as the file has it: nobody would find there what it was rewritten to.
            message = str(error).replace(repr(text), repr(cell))
            return RowError(line, self._value_name, f"{message}{_for_no_value(cell)}")
        return RawReading(device, start_s, text, digits, scale, line, duration_s)


def _times_of_day(columns: list[str]) -> tuple[str, str] | None:
    """Return the first and the last of columns that are named by times of a day; None where the first two are not."""
    named = list(takewhile(_CLOCK.fullmatch, columns))
    return (named[0], named[-1]) if len(named) > 1 else None


def _other_unit(column: str, unit: str) -> str | None:
    """Return what to say of a column whose name has another unit than the source."""
    found = other_unit_in(column, unit)
    if found is None:
        return None
    return f"warning: column {column!r} names {found}, and its values are read as {unit}, as the source says"


def _for_no_value(cell: str) -> str:
    """Return how a text that holds no number may be declared, such as ``--`` or ``#DIV/0!``; or nothing."""
    number = any(sign.isdigit() for sign in cell) and not cell.startswith("#")
    if number or len(cell) > TEXT_MAX or not cell.isprintable() or '"' in cell or "\\" in cell:
        return ""
    return f'; where it means "no value", write missing = ["{cell}"] in [[source]]'


def _wrong_width(cells: list[str], width: int) -> str:
    """Return what is wrong with a row of another number of cells than the header."""
    message = f"{len(cells)} cell{'s' if len(cells) > 1 else ''} where the header has {width}"
    more = len(cells) - width
    if more < 1 or any(cell.strip() for cell in cells[width:]):
        return message
    empty = "the last one is" if more == 1 else f"the last {more} are"
    return (
        f"{message}, and {empty} empty; if every row ends with a delimiter that the header lacks, or with several, and "
        "none has a decimal comma without quotes, write trailing_delimiter = true in [[source]]"
    )


def _unless_blank(cells: Iterable[str], error: RowError) -> tuple[RowError, ...]:
    """Return the error of a row; none where the row has nothing but separators.

    Spreadsheets leave such rows below a table; they are empty lines.
    """
    return (error,) if any(cell.strip() for cell in cells) else ()


def _naive(path: Path, line: int, column: str, error: NaiveTime) -> BadInput:
    return BadInput(
        f"{path.name}: line {line}, column {column}: {error}; nothing was imported",
        code="naive-time",
        details={"file": path.name, "line": line, "column": column},
    )
