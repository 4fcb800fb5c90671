"""Computes an issued period again, together with the readings that came late for it; nothing here writes.

Late intervals are judged together with those that were issued. Of a register the whole chain is taken instead
(``chains``): what the period would have had, if everything had been known when it was issued.

Before an issuance, an impossible value of an import meter has its period refused, where the project asks for
completeness. An issued period cannot be refused any more. So an impossible value that came late is left out: else it
would take a deduction away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy.orm import Session

from ledger import models
from ledger.errors import BooksDiffer
from ledger.readings.periods.certificates import certificates_of
from ledger.readings.periods.evidence_files import meter_ids_of, stated_by
from ledger.readings.periods.issued import issued_periods
from ledger.readings.rows.chains import RegisterChain, Row
from ledger.readings.rows.stored import late_readings_of, readings_of, rows_without_value
from ledger.reductions.certificates import marked
from ledger.reductions.judging import Judged, judge
from ledger.reductions.manifest_file import KINDS, inputs_of, read_manifest
from ledger.reductions.manifest_file import certificates_of as certificates_of_table
from ledger.reductions.manifest_shapes import Manifest1, MeterTable1, MeterTable2
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import limits_of
from ledger.reductions.readings_file import Line
from ledger.reductions.records import (
    OUTLIER,
    USED,
    EnergyCertificate,
    Kind,
    Quality,
    ReductionInputs,
    Role,
)
from ledger.reductions.runs import Reading
from ledger.reductions.zones import zone

Certificates = Mapping[str, tuple[EnergyCertificate, ...]]
"""The energy certificates of each meter by its serial."""


def recomputed_inputs(
    session: Session,
    issuance: models.Issuance,
    *,
    late: bool,
    certificates: Certificates | None = None,
    keeps_deductions: bool = True,
) -> ReductionInputs:
    """Return what a reduction of an issued period is computed from, its readings judged anew from their texts.

    Parameters
    ----------
    late
        Whether readings that came after the issuance count as well.
    certificates
        Those of each meter by serial; None: those that it was issued with.
    keeps_deductions
        Whether impossible values that came late are left out, as the module says; earlier builds let them count.

    Raises
    ------
    BooksDiffer
        A stored reading cannot be one of the period.
    """
    stated = stated_by(issuance)
    rows = _stored_rows(session, issuance, stated, late=late, keeps_deductions=keeps_deductions)
    lines, no_value = rows.lines, rows.no_value
    judged = judge(stated, _in_order(lines), no_value)
    while (possible := _without_impossible(lines, judged, rows.deducted)) is not None:
        lines = possible
        judged = judge(stated, _in_order(lines), no_value)
    wrong = [item for item in judged.differences if not item.path.endswith(".quality")]
    if wrong:
        raise BooksDiffer(
            f"manifest of issuance {issuance.id}: {wrong[0].path} is {wrong[0].manifest}, "
            f"not {wrong[0].recomputed}"
        )
    inputs = inputs_of(stated, judged.readings)
    if certificates is None:
        return inputs
    meters = tuple(
        replace(
            meter,
            certificates=certificates[meter.serial],
            readings=marked(meter.readings, certificates[meter.serial], meter.role),
        )
        for meter in inputs.meters
    )
    return replace(inputs, meters=meters)


class _Rows(NamedTuple):
    """What the books have of an issued period."""

    lines: list[Line]
    """All readings that are to be judged."""
    no_value: dict[str, set[tuple[int, str]]]
    """By meter, starts and texts of those that are declared to mean no value."""
    deducted: dict[str, Sequence[Reading]]
    """By register whose energy is deducted, the readings that it was issued with."""


def _stored_rows(
    session: Session,
    issuance: models.Issuance,
    stated: Manifest1,
    *,
    late: bool,
    keeps_deductions: bool,
) -> _Rows:
    """Read what the books have of an issued period; see ``recomputed_inputs``.

    Of an import meter that is read in intervals, what came late and is impossible is left out here already.
    """
    period = (issuance.from_s, issuance.to_s)
    tables = {table.serial: table for table in stated.meters}
    rows = _Rows([], {}, {})
    asks_for_all = Fraction(stated.completeness_min) > 0
    for serial, meter_id in meter_ids_of(session, issuance).items():
        table = tables[serial]
        # What came late may have texts that the manifest does not know to mean no value, and its quality says nothing.
        rows.no_value[serial] = rows_without_value(session, meter_id, *period)
        keeps = late and keeps_deductions and asks_for_all and table.role is Role.IMPORT
        if late and is_register(table):
            rows.lines.extend(chain_lines(session, stated, table, meter_id))
            if keeps:
                rows.deducted[serial] = readings_of(session, meter_id, *period)
            continue
        rows.lines.extend(_lines(serial, readings_of(session, meter_id, *period)))
        if late:
            came = _lines(serial, late_readings_of(session, meter_id, *period))
            rows.lines.extend(_possible(table, came, rows.no_value[serial]) if keeps else came)
    return rows


def _lines(serial: str, readings: Iterable[Reading]) -> list[Line]:
    return [
        Line(0, serial, start_s, end_s, kind, quality, text)
        for start_s, end_s, kind, quality, _, _, text in readings
    ]


def _in_order(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (line.meter, line.start_s, line.text))


def _possible(
    table: MeterTable1, came: Iterable[Line], no_value: Collection[tuple[int, str]]
) -> list[Line]:
    """Return the late rows of an import meter without those above the highest value that it can draw.

    Of several values of a slot the highest counts. So one above the limit would hide all others, whether they were
    issued or came late. One below the limits hides nothing.
    """
    kind = KINDS[table.kind]
    rated = None if table.rated_kw is None else Fraction(table.rated_kw)
    limits = limits_of(table.role, rated, kind, table.interval_s)

    def is_above(line: Line) -> bool:
        if not line.text or (line.start_s, line.text) in no_value:
            return False
        try:
            digits, scale = parse_value(line.text, UNITS[kind][table.unit])
        except ValueError:  # said of the line where it is judged
            return False
        return limits.judge(digits, scale, line.end_s - line.start_s) is Quality.OUTLIER_ABOVE

    return [line for line in came if not is_above(line)]


def _without_impossible(
    lines: list[Line], judged: Judged, deducted: Mapping[str, Sequence[Reading]]
) -> list[Line] | None:
    """Put back what was issued of registers, where impossible values take a deduction away; None: nowhere.

    A register has no slots. So the lines are compared by stretches of time: where less is deducted now than was when
    the period was issued, and that is for an impossible value, or for a difference that now runs over the end of the
    period, the lines that were issued replace those of now.

    Parameters
    ----------
    deducted
        What was issued of each register whose energy is deducted.
    """
    gone: set[tuple[str, int, str]] = set()
    back: list[Line] = []
    for serial, issued in deducted.items():
        for before, now in _stretches(issued, judged.readings[serial]):
            if _deducted(now) >= _deducted(before):
                continue
            if any(item.quality in OUTLIER for item in now) or _seconds(now) < _seconds(before):
                gone.update((serial, item.start_s, item.text) for item in now)
                back += _lines(serial, before)
    if not back:
        return None
    return [line for line in lines if (line.meter, line.start_s, line.text) not in gone] + back


def _stretches(
    before: Iterable[Reading], now: Iterable[Reading]
) -> Iterator[tuple[list[Reading], list[Reading]]]:
    """Yield the readings of before and of now by stretches of time, so that no reading lies in two stretches."""
    marked = [(item, False) for item in before] + [(item, True) for item in now]
    found: tuple[list[Reading], list[Reading]] = ([], [])
    until_s = None
    for item, is_now in sorted(marked, key=lambda pair: (pair[0].start_s, pair[0].end_s)):
        if until_s is not None and item.start_s >= until_s:
            yield found
            found, until_s = ([], []), None
        found[is_now].append(item)
        until_s = item.end_s if until_s is None else max(until_s, item.end_s)
    if until_s is not None:
        yield found


def _deducted(readings: Iterable[Reading]) -> Fraction:
    """Return the sum of what is deducted of some readings of one register, in kWh."""
    return sum(
        (
            max(Fraction(item.digits, 10**item.scale), Fraction(0))
            for item in readings
            if item.quality in USED
        ),
        Fraction(0),
    )


def _seconds(readings: Iterable[Reading]) -> int:
    """Return how long what counts of some readings lasts."""
    return sum(item.end_s - item.start_s for item in readings if item.quality in USED)


def is_register(table: MeterTable1) -> bool:
    """Return whether a manifest's meter is a cumulative register."""
    return isinstance(table, MeterTable2) and table.register


def known_certificates(manifest: str) -> Certificates:
    """Return the certificates that a manifest names, of each of its meters.

    Raises
    ------
    BadInput
        It is none.
    """
    _, stated = read_manifest(manifest.encode("utf-8"), "manifest")
    return {table.serial: certificates_of_table(table) for table in stated.meters}


def declared_certificates(session: Session, issuance: models.Issuance) -> Certificates:
    """Return the certificates that are declared today for the time of an issuance, of each of its meters."""
    where = zone(stated_by(issuance).period.zone)
    meters = {
        serial: session.get_one(models.Meter, meter_id)
        for serial, meter_id in meter_ids_of(session, issuance).items()
    }
    found = certificates_of(
        session,
        list(meters.values()),
        where,
        (issuance.from_s, issuance.to_s),
        since_s=issuance.from_s,
    )
    return {serial: found[meter.id] for serial, meter in meters.items()}


def changed_registers(session: Session, issuance: models.Issuance) -> bool:
    """Return whether the chain of a register gives an issued period other readings than it was issued with."""
    stated = stated_by(issuance)
    ids = meter_ids_of(session, issuance)
    for table in stated.meters:
        if not is_register(table):
            continue
        issued = readings_of(session, ids[table.serial], issuance.from_s, issuance.to_s)
        before = {(reading.start_s, reading.end_s, reading.text) for reading in issued}
        chain = chain_lines(session, stated, table, ids[table.serial])
        if before != {(line.start_s, line.end_s, line.text) for line in chain}:
            return True
    return False


def chain_lines(
    session: Session, stated: Manifest1, table: MeterTable1, meter_id: int
) -> list[Line]:
    """Return what a register has in a period by all its readings (its chain), as lines of a readings file.

    These are the intervals that lie wholly in it, and the readings in it that stand in none, each with
    what it is worth. Differences are judged by what the manifest says of the meter; width and changes of
    the instrument are those that are declared today.
    """
    from_s, to_s = stated.period.from_s, stated.period.to_s
    rated = None if table.rated_kw is None else Fraction(table.rated_kw)
    limits = limits_of(table.role, rated, Kind.ENERGY, table.interval_s)
    meter = session.get_one(models.Meter, meter_id)
    issued = issued_periods(session, meter_id, meter.project_id)
    series = session.get_one(models.MeterSeries, meter_id)
    chain = RegisterChain(session.info["database"], session, series, limits, issued, lock=False)
    unused: list[tuple[Row, Quality]] = []

    def note(row: Row, quality: Quality) -> None:
        if quality is not Quality.USED and from_s <= row.at_s < to_s:
            unused.append((row, quality))

    def intervals() -> Iterator[Line]:
        for interval in chain.walk(chain.first_s(from_s), note):
            if interval.start_s >= to_s:
                break
            if from_s <= interval.start_s and interval.end_s <= to_s:
                yield Line(
                    0,
                    table.serial,
                    interval.start_s,
                    interval.end_s,
                    Kind.ENERGY,
                    interval.quality,
                    interval.text,
                )

    lines = list(intervals())
    return lines + [
        Line(0, table.serial, row.at_s, row.at_s, Kind.REGISTER, quality, row.text)
        for row, quality in unused
    ]
