"""The lines of a readings file judged anew: what each is worth, by the rules and not by its word.

A stranger's half of an import: digits and scale follow from text and unit, the quality of a line from
all lines of its slot. What contradicts the file is a ``Difference`` that names the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from ledger.reductions.manifest_file import KINDS, Manifest1, MeterTable1
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import Value, judge_one, judge_slot, limits_of
from ledger.reductions.readings_file import Line
from ledger.reductions.records import Quality, Reading
from ledger.reductions.zones import utc_of

_YEAR_2106_S = 2**32
NAMED_SLOTS_MAX = 5


class Difference(NamedTuple):
    """One thing that is not as it should be.

    ``manifest`` is what the manifest or the readings file says, ``recomputed`` what follows.
    """

    path: str
    manifest: Any
    recomputed: Any


@dataclass
class Judged:
    """The readings of every meter, judged anew."""

    readings: dict[str, tuple[Reading, ...]]
    lines: int = 0
    differences: list[Difference] = field(default_factory=list)


class _Row(NamedTuple):
    line: Line
    value: Value


def judge(manifest: Manifest1, lines: Iterable[Line]) -> Judged:
    """Return the readings that stand in a file, each with the quality that follows from the rules.

    A line that can be no reading of the period (doubled, moved, outside, of another meter, no number)
    is a difference and counts for nothing.
    """
    tables = {table.serial: table for table in manifest.meters}
    judged = Judged({serial: () for serial in tables})
    by_meter: dict[str, list[Line]] = {}
    last: Line | None = None
    for line in lines:
        judged.lines += 1
        if last is not None and _order(line) < _order(last):
            judged.differences.append(
                Difference(place_of(line), f"stands after line {last.number}", "stands before it")
            )
        last = line
        by_meter.setdefault(line.meter, []).append(line)
    for serial, given in by_meter.items():
        table = tables.get(serial)
        if table is None:
            judged.differences.append(
                Difference(
                    f"readings[{serial}]",
                    f"{len(given)} lines of this meter",
                    f"one of the manifest's meters: {', '.join(tables)}",
                )
            )
            continue
        once = list(_once(sorted(given, key=_order), judged.differences))
        rows = list(_rows(manifest, table, once, judged.differences))
        judged.readings[serial] = tuple(_readings(table, rows, judged.differences))
    return judged


def _order(line: Line) -> tuple[str, int, str]:
    return line.meter, line.start_s, line.text


def _once(lines: Iterable[Line], differences: list[Difference]) -> Iterator[Line]:
    """Yield lines of one meter in order, each text of a time once."""
    before: Line | None = None
    for line in lines:
        if before is not None and _order(line) == _order(before):
            differences.append(
                Difference(place_of(line), f"the same as line {before.number}", "each reading once")
            )
            continue
        before = line
        yield line


def empty_slots(manifest: Manifest1, judged: Judged) -> list[str]:
    """Return a sentence for each meter whose lines are fewer than its manifest says."""
    said = []
    for table in manifest.meters:
        readings = judged.readings[table.serial]
        lacking = sum(table.rows.values()) - len(readings)
        if lacking <= 0:
            continue
        there = {reading.start_s for reading in readings}
        period = range(manifest.period.from_s, manifest.period.to_s, table.interval_s)
        empty = [start_s for start_s in period if start_s not in there]
        first = ", ".join(
            f"{utc_of(start_s):%Y-%m-%dT%H:%M:%SZ}" for start_s in empty[:NAMED_SLOTS_MAX]
        )
        said.append(
            f"meter {table.serial}: {lacking} lines fewer than the manifest counts; "
            f"{len(empty)} times have no line{f': {first}' if first else ''}"
            f"{', ...' if len(empty) > NAMED_SLOTS_MAX else ''}"
        )
    return said


def place_of(line: Line) -> str:
    """Return how a difference names a line."""
    when = (
        f"{utc_of(line.start_s):%Y-%m-%dT%H:%M:%SZ}"
        if line.start_s < _YEAR_2106_S
        else str(line.start_s)
    )
    return f"readings[line {line.number}, {line.meter}, {when}]"


def _rows(
    manifest: Manifest1, table: MeterTable1, lines: list[Line], differences: list[Difference]
) -> Iterator[_Row]:
    """Yield the lines that can be readings of the meter in the period, with their values."""
    kind = KINDS[table.kind]
    scale = UNITS[kind][table.unit]
    from_s, to_s = manifest.period.from_s, manifest.period.to_s
    start_s = end_s = from_s
    for line in lines:
        wrong = None
        if line.start_s < from_s or line.end_s > to_s:
            wrong = Difference(
                place_of(line), f"{line.start_s} to {line.end_s}", f"within {from_s} to {to_s}"
            )
        elif line.end_s - line.start_s != table.interval_s:
            wrong = Difference(
                place_of(line) + ".end_s", line.end_s, line.start_s + table.interval_s
            )
        elif line.start_s != start_s and line.start_s < end_s:
            wrong = Difference(
                place_of(line) + ".start_s",
                line.start_s,
                f"{end_s} or later: intervals do not overlap",
            )
        elif line.kind != kind:
            wrong = Difference(place_of(line) + ".kind", line.kind, int(kind))
        if wrong is None:
            try:
                value = parse_value(line.text, scale) if line.text else None
            except ValueError as error:
                wrong = Difference(place_of(line) + ".text", line.text, str(error))
        if wrong is not None:
            differences.append(wrong)
            continue
        start_s, end_s = line.start_s, line.end_s
        yield _Row(line, value)


def _readings(
    table: MeterTable1, rows: list[_Row], differences: list[Difference]
) -> Iterator[Reading]:
    """Yield readings with their quality, slot by slot."""
    rated = None if table.rated_kw is None else Fraction(table.rated_kw)
    limits = limits_of(table.role, rated, KINDS[table.kind], table.interval_s)
    for _, group in groupby(rows, key=lambda row: row.line.start_s):
        slot = list(group)
        if len(slot) == 1:
            qualities = [judge_one(slot[0].value, limits)]
        else:
            texts = [(row.line.text, row.value) for row in slot]
            qualities, _ = judge_slot(texts, table.role, limits)
        for (line, value), quality in zip(slot, qualities, strict=True):
            if line.quality != quality:
                differences.append(
                    Difference(place_of(line) + ".quality", _named(line.quality), _named(quality))
                )
            digits, scale = value or (0, 0)
            yield Reading(line.start_s, line.end_s, line.kind, quality, digits, scale, line.text)


def _named(quality: int) -> str:
    try:
        return f"{int(quality)} {Quality(quality).name.lower()}"
    except ValueError:
        return f"{quality}, no quality"
