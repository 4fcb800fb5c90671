"""The lines of a readings file judged anew: what each is worth, by the rules and not by its word.

A stranger's half of an import: digits and scale follow from text and unit, the quality of a line from
all lines of its slot. What contradicts the file is a ``Difference`` that names the line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from ledger.reductions.manifest_file import KINDS
from ledger.reductions.manifest_shapes import Manifest1
from ledger.reductions.meter_judge import Difference, MeterJudge, place_of
from ledger.reductions.numbers import UNITS
from ledger.reductions.readings_file import Line
from ledger.reductions.records import OUTLIER, USED
from ledger.reductions.registers import TO, ends_of
from ledger.reductions.runs import Reading
from ledger.reductions.zones import utc_of

NAMED_SLOTS_MAX = 5


@dataclass
class Judged:
    """The readings of every meter, judged anew."""

    readings: dict[str, tuple[Reading, ...]]
    lines: int = 0
    differences: list[Difference] = field(default_factory=list)


def judge(
    manifest: Manifest1,
    lines: Iterable[Line],
    no_value: Mapping[str, Collection[tuple[int, str]]] | None = None,
) -> Judged:
    """Return the readings that stand in a file, each with the quality that follows from the rules.

    A line that can be no reading of the period (doubled, moved, outside, of another meter, no number)
    is a difference and counts for nothing.

    Parameters
    ----------
    no_value
        Starts and texts of each meter's rows without a value, as the books have them; ``None``: as the manifest and
        the lines say.
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
        known = None if no_value is None else no_value.get(serial, ())
        meter = MeterJudge(manifest, table, known, judged.differences)
        once = _once(sorted(given, key=_order), judged.differences)
        judged.readings[serial] = tuple(meter.readings(once))
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


def taken_as_changed(manifest: Manifest1, judged: Judged) -> list[tuple[str, int]]:
    """Return meter and start of each difference of a register that begins below where the one before it ended.

    A declared change of the instrument does that and nothing else; that one was declared neither of the two files says.
    """
    found = []
    for table in manifest.meters:
        scale, before = UNITS[KINDS[table.kind]][table.unit], None
        for reading in judged.readings[table.serial]:
            if TO not in reading.text or reading.quality not in USED | OUTLIER:
                continue
            opening, closing = ends_of(reading.text, scale)
            if before is not None and opening < before:
                found.append((table.serial, reading.start_s))
            before = closing
    return found


def alike(manifest: Manifest1, judged: Judged) -> list[tuple[str, str]]:
    """Return each meter of supply that has counted the very same as one before it, with that one.

    Two meters do not, but one that is declared under two serial numbers does.
    """
    found: list[tuple[str, str]] = []
    known: list[tuple[str, list[Reading]]] = []
    for table in manifest.meters:
        if not table.role.supplies:
            continue
        counted = [item for item in judged.readings[table.serial] if item.quality in USED]
        if not any(item.digits > 0 for item in counted):
            continue
        first = next((serial for serial, other in known if _are_equal(counted, other)), None)
        if first is None:
            known.append((table.serial, counted))
        else:
            found.append((table.serial, first))
    return found


def _are_equal(some: list[Reading], others: list[Reading]) -> bool:
    return len(some) == len(others) and all(
        (one.start_s, one.end_s) == (other.start_s, other.end_s)
        and one.digits * 10**other.scale == other.digits * 10**one.scale
        for one, other in zip(some, others, strict=True)
    )


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
        # Counted, and not looked at one by one: the period of a made-up manifest has four thousand million seconds.
        empty = len(period) - sum(start_s in period for start_s in there)
        named = islice((at for at in period if at not in there), NAMED_SLOTS_MAX)
        first = ", ".join(f"{utc_of(start_s):%Y-%m-%dT%H:%M:%SZ}" for start_s in named)
        said.append(
            f"meter {table.serial}: {lacking} lines fewer than the manifest counts; "
            f"{empty} times have no line{f': {first}' if first else ''}"
            f"{', ...' if empty > NAMED_SLOTS_MAX else ''}"
        )
    return said
