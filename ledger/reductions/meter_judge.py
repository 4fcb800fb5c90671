"""The lines of one meter judged anew, by the rules of an import, from their texts alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby, repeat
from operator import add, gt
from typing import Any, NamedTuple

from ledger.errors import BadInput
from ledger.reductions.certificates import marked
from ledger.reductions.flatlines import can_stick, stuck_places
from ledger.reductions.grids import Grid, grid_of
from ledger.reductions.manifest_file import KINDS, certificates_of
from ledger.reductions.manifest_shapes import Manifest1, MeterTable1, MeterTable2
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import Value, judge_slot, limits_of, without_value
from ledger.reductions.readings_file import Line
from ledger.reductions.records import OUTLIER, USED, WITHOUT_VALUE, Kind, Quality
from ledger.reductions.registers import (
    THEN,
    TO,
    Point,
    Rules,
    dips_of,
    energy_of,
    fitted,
    judge_interval,
    rollover_holds,
    width_of,
)
from ledger.reductions.runs import Reading, Readings, Run
from ledger.reductions.zones import TIMES_END_S, day_starts, utc_of, zone
from ledger.units import DAY_S

_UNUSED_INSTANTS = (
    Quality.SUPERSEDED_SAME_VALUE,
    Quality.REGISTER_CONFLICT,
    Quality.REGISTER_DIP,
)


class Difference(NamedTuple):
    """One thing that is not as it should be.

    ``manifest`` is what the manifest or the readings file says, ``recomputed`` what follows.
    """

    path: str
    manifest: Any
    recomputed: Any


class _Row(NamedTuple):
    line: Line
    value: Value


class MeterJudge:
    """Judges the lines of one meter.

    Parameters
    ----------
    manifest, table
        The manifest, and what it says of the meter.
    no_value
        Starts and texts of the rows without a value, where the books are at hand. ``None``: the texts that the
        manifest names are none, but for numbers whose line says that they count as one.
    differences
        Where what contradicts a line is noted.
    """

    def __init__(
        self,
        manifest: Manifest1,
        table: MeterTable1,
        no_value: Collection[tuple[int, str]] | None,
        differences: list[Difference],
    ) -> None:
        more = table if isinstance(table, MeterTable2) else None
        self._table = table
        self._kind = KINDS[table.kind]
        self._scale = UNITS[self._kind][table.unit]
        self._register = more.register if more else False
        self._stuck_hours = more.stuck_hours if more else 0
        self._no_value = no_value
        self._no_value_texts = frozenset(more.no_value_texts if more else ())
        rated = None if table.rated_kw is None else Fraction(table.rated_kw)
        self._limits = limits_of(table.role, rated, self._kind, table.interval_s)
        self._from_s, self._to_s = manifest.period.from_s, manifest.period.to_s
        self._zone_name = manifest.period.zone
        self._grid = self._grid_of_zone()
        self._width: Fraction | None = None
        self._differences = differences

    def _grid_of_zone(self) -> Grid | None:
        try:
            return grid_of(zone(self._zone_name), self._table.interval_s)
        except BadInput:  # said of the period
            return None

    def readings(self, lines: Iterable[Line]) -> list[Reading]:
        """Return the readings that lines of the meter are, in order; each text of a time once."""
        judged: list[tuple[Line, Reading]] = []
        for _, group in groupby(self._rows(lines), key=lambda row: row.line.start_s):
            # An instant of a register may stand before or behind the interval that begins at it.
            judged += sorted(self._slot(list(group)), key=lambda found: found[0].text)
        self._note_dips(judged)
        for place in self._stuck([reading for _, reading in judged]):
            line, reading = judged[place]
            judged[place] = (line, reading._replace(quality=Quality.STUCK))
        readings = marked(
            [reading for _, reading in judged], certificates_of(self._table), self._table.role
        )
        for (line, _), reading in zip(judged, readings, strict=True):
            if line.quality != reading.quality:
                self._note(line, ".quality", _named(line.quality), _named(reading.quality))
        return list(readings)

    def doubtful(self, readings: Readings) -> list[Reading] | None:
        """Return those of a meter's readings that have to be judged, in order; None: all of them together.

        The others are what judging their texts gives, seen a column at a time: each alone in its slot, on the grid,
        beside no other, without a value or with one within the limits. Nearly all readings are, and of a year each
        judged by itself takes as long as all the rest of issuing them.
        """
        alone = self._grid is not None and not self._register
        stuck = can_stick(self._table.role, self._stuck_hours)
        runs = readings.runs
        if not alone or stuck or certificates_of(self._table) or not self._in_order(runs):
            return None
        found: list[Reading] = []
        for place, run in enumerate(runs):
            last = len(run.starts)
            begins = int(place > 0 and runs[place - 1].starts[-1] == run.starts[0])
            ends = last - int(place + 1 < len(runs) and runs[place + 1].starts[0] == run.starts[-1])
            if begins >= ends:
                found += run.readings()
                continue
            inner = run if ends - begins == last else run.part(begins, ends)
            found += run.part(0, begins).readings()
            if not self._is_plain(inner):
                found += inner.readings()
            found += run.part(ends, last).readings()
        return found

    def _in_order(self, runs: Sequence[Run]) -> bool:
        """Return whether slots follow one another within the period, rows of one slot side by side."""
        before_s, end_s = -1, self._from_s
        for run in runs:
            starts, seconds = run.starts, run.shape.seconds
            if starts[0] != before_s and starts[0] < end_s:
                return False
            if seconds <= 0 or any(map(gt, map(add, starts, repeat(seconds)), starts[1:])):
                return False
            before_s, end_s = starts[-1], starts[-1] + seconds
        return end_s <= self._to_s

    def _is_plain(self, run: Run) -> bool:
        """Return whether readings that are alone in their slots are surely what their texts give."""
        seconds, kind, quality, scale = run.shape
        grid = self._grid
        assert grid is not None
        starts: Iterable[int] = run.starts
        if grid.repeats_daily:
            starts = {start_s % DAY_S: start_s for start_s in starts}.values()
        if kind != self._kind or not all(
            grid.start_s(start_s, at_end=False) == start_s and grid.duration_s(start_s) == seconds
            for start_s in starts
        ):
            return False
        if quality == Quality.MISSING:
            return scale == 0 and not any(run.digits) and not any(run.texts)
        low, high = self._limits.bounds(scale, seconds)
        if quality != Quality.USED or min(run.digits) < low or max(run.digits) > high:
            return False
        try:
            values = list(map(parse_value, run.texts, repeat(self._scale)))
        except ValueError:
            return False
        return self._no_value_texts.isdisjoint(run.texts) and values == list(
            zip(run.digits, repeat(scale), strict=False)
        )

    def _rows(self, lines: Iterable[Line]) -> Iterator[_Row]:
        """Yield the lines that can be readings of the meter in the period, with their values."""
        start_s = end_s = self._from_s
        for line in lines:
            instant = self._register and line.kind == Kind.REGISTER
            if not self._from_s <= line.start_s <= line.end_s <= self._to_s:
                found = f"{line.start_s} to {line.end_s}"
                self._note(line, "", found, f"within {self._from_s} to {self._to_s}")
                continue
            if not instant and line.kind != self._kind:
                self._note(line, ".kind", line.kind, int(self._kind))
                continue
            if not self._fits(line, instant):
                continue
            # Several rows of one interval are one slot, of which one counts; a register has one difference from a time.
            beside = line.start_s == start_s and not self._register
            if not instant and not beside and line.start_s < end_s:
                expected = f"{end_s} or later: intervals do not overlap"
                self._note(line, ".start_s", line.start_s, expected)
                continue
            try:
                value = self._value(line, instant)
            except ValueError as error:
                self._note(line, ".text", line.text, str(error))
                continue
            if not instant:
                start_s, end_s = line.start_s, line.end_s
            yield _Row(line, value)

    def _fits(self, line: Line, instant: bool) -> bool:
        """Return whether a line begins and ends where an interval of the meter does."""
        duration_s = line.end_s - line.start_s
        if instant or self._register:
            if (duration_s == 0) is instant:  # none ends before it begins
                return True
            self._note(line, ".end_s", line.end_s, "the start of an instant, later of an interval")
            return False
        if self._grid is None:
            return True
        if self._grid.start_s(line.start_s, at_end=False) != line.start_s:
            self._note(line, ".start_s", line.start_s, f"on the grid of {self._grid.name}")
            return False
        expected = self._grid.duration_s(line.start_s)
        if duration_s != expected:
            self._note(line, ".end_s", line.end_s, line.start_s + expected)
        return duration_s == expected

    def _has_none(self, line: Line) -> bool:
        """Return whether a line says that there is no value.

        A text may mean that in one row and be a number in another of the same meter: ``missing`` was declared after
        the first import, or for one of two sources, or ``9,999`` is stored as ``9.999``, which the source declares.
        Nothing but the row tells, and the root stands over what it says.
        """
        if not line.text:
            return True
        if self._no_value is not None:
            return (line.start_s, line.text) in self._no_value
        return line.text in self._no_value_texts and (
            line.quality in WITHOUT_VALUE or not _is_number(line.text, self._scale)
        )

    def _value(self, line: Line, instant: bool) -> Value:
        text = line.text
        if self._has_none(line):
            return None
        if self._register and not instant:
            return fitted(*energy_of(text, self._scale))
        if TO in text:
            raise ValueError("no number; only a register has differences")
        return parse_value(text, self._scale)

    def _slot(self, slot: list[_Row]) -> Iterator[tuple[Line, Reading]]:
        instants = [row for row in slot if row.line.kind == Kind.REGISTER]
        others = [row for row in slot if row.line.kind != Kind.REGISTER]
        valued = any(row.value is not None for row in slot)
        for line, value in instants:
            yield line, _reading(line, value, _unused(line, value, valued))
        if self._register:
            for line, value in others:
                quality = Quality.MISSING
                if value is not None:
                    duration_s = line.end_s - line.start_s
                    quality = judge_interval(*value, self._limits, duration_s)
                    if THEN in line.text and not rollover_holds(
                        line.text, self._scale, self._limits, duration_s
                    ):
                        quality = Quality.COUNTER_FELL
                    elif THEN in line.text:
                        self._require_one_width(line)
                yield line, _reading(line, value, quality)
        elif others:
            texts = [(row.line.text, row.value) for row in others]
            first = others[0].line
            qualities, _ = judge_slot(
                texts, self._table.role, self._limits, first.end_s - first.start_s
            )
            for (line, value), quality in zip(others, qualities, strict=True):
                yield line, _reading(line, value, quality)

    def _note_dips(self, judged: Sequence[tuple[Line, Reading]]) -> None:
        """Note differences of a register that fell and was soon back: what it had counted counts there again."""
        falls = {Quality.COUNTER_FELL, Quality.REGISTER_DIP}
        if not self._register or not any(
            reading.quality in falls or THEN in line.text for line, reading in judged
        ):
            return
        counted = [
            (line, reading)
            for line, reading in judged
            if TO in line.text and reading.quality in USED | OUTLIER
        ]
        low = [
            Point(line.start_s, line.text, reading.digits, reading.scale)
            for line, reading in judged
            if reading.quality == Quality.REGISTER_DIP
        ]
        ran_over = (
            line.text.partition(THEN)[0].partition(TO)[2]
            for line, reading in counted
            if THEN in line.text and reading.quality != Quality.COUNTER_FELL
        )
        rules = Rules(self._limits, self._scale, next(ran_over, None))
        known = [(line.start_s, line.end_s, line.text) for line, _ in counted]
        in_dips = set(dips_of(known, low, rules))
        expected = "none: the register was soon back at its old value, and the difference runs over the dip"
        for line, _ in counted:
            if (line.start_s, line.end_s) in in_dips:
                self._note(line, ".quality", _named(line.quality), expected)

    def _require_one_width(self, line: Line) -> None:
        """Note a rollover at another width than the first: made up for each fall, none would have to be a reset."""
        width = width_of(line.text, self._scale)
        if self._width is None:
            self._width = width
        if width != self._width:
            expected = f"a rollover at {self._width} kWh, as the first: a meter has one width"
            self._note(line, ".text", line.text, expected)

    def _stuck(self, readings: list[Reading]) -> Iterator[int]:
        """Yield the places of the readings that would count and stand in a flat line."""
        if self._register or not can_stick(self._table.role, self._stuck_hours):
            return
        try:
            starts = day_starts(self._from_s, self._to_s, zone(self._zone_name))
        except BadInput:  # said of the period
            return
        chosen = [
            place
            for place, reading in enumerate(readings)
            if reading.quality in USED or reading.quality in OUTLIER
        ]
        levels = [
            (reading.start_s, reading.end_s, reading.digits, reading.scale)
            for reading in (readings[place] for place in chosen)
        ]
        for line in stuck_places(levels, starts, self._stuck_hours):
            if readings[chosen[line]].quality in USED:
                yield chosen[line]

    def _note(self, line: Line, part: str, found: Any, expected: Any) -> None:
        self._differences.append(Difference(place_of(line) + part, found, expected))


def place_of(line: Line) -> str:
    """Return how a difference names a line."""
    when = str(line.start_s)
    if line.start_s < TIMES_END_S:
        when = f"{utc_of(line.start_s):%Y-%m-%dT%H:%M:%SZ}"
    return f"readings[line {line.number}, {line.meter}, {when}]"


def _reading(line: Line, value: Value, quality: Quality) -> Reading:
    digits, scale = value or (0, 0)
    return Reading(line.start_s, line.end_s, line.kind, quality, digits, scale, line.text)


def _unused(line: Line, value: Value, valued: bool) -> Quality:
    """Return the quality of a register's reading from which no interval begins or ends.

    Whether it repeats the one that counts, contradicts another or stands in a dip, the intervals beside
    it decide, and a declared change of the instrument: all claim nothing, and each is taken as stated.
    So is an empty one beside which no value stands: the value of its instant may begin an interval over the end of the
    period, which is in no file.
    """
    if value is None:
        beside = valued or line.quality == Quality.SUPERSEDED_EMPTY
        return Quality.SUPERSEDED_EMPTY if beside else without_value(line.text)
    for quality in _UNUSED_INSTANTS:
        if line.quality == quality:
            return quality
    return Quality.REGISTER_CONFLICT


def _is_number(text: str, scale: int) -> bool:
    try:
        parse_value(text, scale)
    except ValueError:
        return False
    return True


def _named(quality: int) -> str:
    try:
        return f"{int(quality)} {Quality(quality).name.lower()}"
    except ValueError:
        return f"{quality}, no quality"
