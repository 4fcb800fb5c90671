"""Readings in runs are the readings, and what is computed from runs is what it is reading by reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reductions import (
    Calibration,
    CalibrationSpan,
    Counts,
    Kind,
    Meter,
    Quality,
    Reading,
    Role,
    compute,
)
from ledger.reductions import evidence as tree
from ledger.reductions.arithmetic import counts_of
from ledger.reductions.energies import (
    each_calibration,
    error_outside,
    error_within,
    is_calibrated,
    result_of,
)
from ledger.reductions.records import OUTLIER, USED
from ledger.reductions.runs import Readings, Shape
from ledger.reductions.zones import zone
from tests.ledger.test_reductions import inputs

SLOT_S, SLOTS = 600, 144
CONFLICT = (Quality.SUPERSEDED_IN_CONFLICT, Quality.REGISTER_CONFLICT)


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    """Draw readings in order of time that are alike over shorter and longer stretches."""
    found: list[Reading] = []
    place = 0
    while place < SLOTS and (not found or draw(st.booleans())):
        quality, kind = draw(st.sampled_from(Quality)), draw(st.sampled_from((1, 2)))
        scale, slots = draw(st.integers(0, 4)), draw(st.sampled_from((1, 1, 2, 7)))
        for _ in range(draw(st.integers(1, 5))):
            if place + slots > SLOTS:
                break
            digits = draw(st.integers(-(10**9), 10**9) | st.just(0))
            text = draw(st.sampled_from((f"{digits}e-{scale}", "", "4>5", "1>2|3")))
            start_s = place * SLOT_S
            found.append(
                Reading(start_s, start_s + slots * SLOT_S, kind, quality, digits, scale, text)
            )
            place += draw(st.sampled_from((slots, slots, slots, slots + 1)))
    return found


ENDS = st.none() | st.integers(0, SLOTS * SLOT_S)
CALIBRATIONS = st.builds(
    Calibration,
    accuracy_class=st.just("0.5S"),
    calibrated=st.booleans(),
    from_s=ENDS,
    to_s=ENDS,
    measured_error=st.sampled_from((None, "0.2", "-3")),
) | st.integers(0, SLOTS).map(
    lambda middle: Calibration(
        "1",
        spans=(
            CalibrationSpan(None, middle * SLOT_S, "2"),
            CalibrationSpan((middle + 3) * SLOT_S, None, None),
        ),
    )
)


def meter(
    rows: Sequence[Reading], role: Role = Role.GENERATION, known: Calibration | None = None
) -> Meter:
    return Meter("s", "d", role, Kind.POWER, "kW", SLOT_S, "100", known or Calibration("0.5"), rows)


def energies(one: Meter) -> tuple[Fraction, Fraction]:
    """Return what a meter supplies and draws: a fraction for each reading, nothing drawn together."""
    supplied = drawn = Fraction(0)
    known = each_calibration(one.calibration, one.serial)
    for reading in one.readings:
        if reading.quality not in USED:
            continue
        within = [each for each in known if is_calibrated(each, reading)]
        error = (
            error_within(within[0], one.serial)
            if within
            else max(error_outside(each, one.serial) for each in known)
        )
        kwh = Fraction(reading.digits, 10**reading.scale)
        if reading.kind == Kind.POWER:
            kwh *= Fraction(reading.end_s - reading.start_s, 3600)
        if one.role is Role.IMPORT:
            drawn += max(kwh, Fraction(0)) * (1 + error)
        else:
            supplied += max(kwh, Fraction(0)) * (1 - error)
            drawn += max(-kwh, Fraction(0)) * (1 + error)
    return supplied, drawn


def counted(one: Meter) -> Counts:
    """Return the counts of a meter, reading by reading."""
    slots, seconds = [0, 0], [0, 0]
    conflicts = set()
    for reading in one.readings:
        if reading.quality in USED or reading.quality in OUTLIER:
            which = int(reading.quality in OUTLIER)
            if ">" in reading.text:
                seconds[which] += reading.end_s - reading.start_s
            else:
                slots[which] += 1
        elif reading.quality in CONFLICT:
            conflicts.add(reading.start_s)
    for which in (0, 1):
        if seconds[which]:
            slots[which] += min(SLOTS - sum(slots), max(1, seconds[which] // SLOT_S))
    return Counts(SLOTS, slots[0], SLOTS - sum(slots), slots[1], len(conflicts))


@given(readings())
def test_runs_hold_the_readings_in_their_order(rows: list[Reading]) -> None:
    kept = Readings.of(rows)
    assert [reading for run in kept.runs for reading in run.readings()] == rows
    assert all(
        one.shape != other.shape for one, other in zip(kept.runs, kept.runs[1:], strict=False)
    )
    columns = Readings.of_columns(
        [Shape(row.end_s - row.start_s, row.kind, row.quality, row.scale) for row in rows],
        [row.start_s for row in rows],
        [row.digits for row in rows],
        [row.text for row in rows],
    )
    assert len(columns) == len(rows) and bool(columns) == bool(rows)
    assert columns == kept == tuple(rows) and hash(columns) == hash(kept)
    assert list(columns) == rows and columns[::-1] == tuple(rows[::-1])
    assert columns.runs == kept.runs
    assert Readings.of(columns) is columns


@given(readings(), st.sampled_from((Role.GENERATION, Role.IMPORT)), CALIBRATIONS)
def test_a_meter_comes_to_what_its_readings_come_to_one_by_one(
    rows: list[Reading], role: Role, known: Calibration
) -> None:
    one = meter(rows, role, known)
    result = result_of(one)
    assert (result.export_kwh, result.import_kwh) == energies(one)
    assert counts_of(one, 0, SLOTS * SLOT_S, zone("UTC")) == counted(one)


@given(st.lists(readings(), min_size=1, max_size=3))
def test_reductions_are_those_of_the_readings_one_by_one(several: list[list[Reading]]) -> None:
    meters = tuple(
        replace(meter(rows), serial=f"meter {number}", device_code=f"device {number}")
        for number, rows in enumerate(several)
    )
    found = compute(inputs(*meters, to_s=SLOTS * SLOT_S))
    leaves = [
        tree.leaf_hash(tree.meter_hash(one.serial), reading)
        for one in meters
        for reading in one.readings
    ]
    assert tree.leaves_of(meters) == leaves
    assert (found.evidence_root, found.leaves) == (
        "0x" + tree.merkle_root(leaves).hex(),
        len(leaves),
    )
    both = [energies(one) for one in meters]
    assert found.export_kwh == sum(supplied for supplied, _ in both)
    assert found.import_kwh == sum(drawn for _, drawn in both)


def test_readings_outside_of_the_period_are_a_mistake() -> None:
    inside = Reading(0, SLOT_S, 1, Quality.USED, 1, 0, "1")
    outside = inside._replace(start_s=SLOTS * SLOT_S - 1, end_s=SLOTS * SLOT_S - 1 + SLOT_S)
    with pytest.raises(ValueError, match="outside the period"):
        compute(inputs(meter([inside, outside])))
