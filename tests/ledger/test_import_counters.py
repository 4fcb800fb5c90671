"""Cumulative registers: what they count between readings, whatever comes between."""

import gzip
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import (
    DeviceData,
    EnergyProduction,
    ImportFile,
    Issuance,
    Meter,
    MeterChange,
    MeterReading,
    MeterSeries,
    ReadingClaim,
    RegisterReading,
)
from ledger.models.issuance import IssuanceState
from ledger.readings import ImportReport, reductions_for
from ledger.readings.imports.requalify import requalify
from ledger.readings.periods.evidence_files import files_of_reduction, require_as_read
from ledger.readings.periods.left_out import over_borders
from ledger.readings.periods.period import load_period
from ledger.readings.rows import chains
from ledger.readings.rows.store import fetch
from ledger.reconcile.books import Sides
from ledger.reconcile.file_rules import imported_files
from ledger.reductions import Counts
from ledger.reductions.arithmetic import compute
from ledger.reductions.quality import Limits
from ledger.reductions.records import Kind, Quality
from ledger.reductions.registers import ends_of, energy_of, judge_instant, rollover_holds
from ledger.units import decimal_floor
from tests.ledger.test_import import issue
from tests.support.forms import few, long, times
from tests.support.independent_registers import Energy, energies_of
from tests.support.plant import SERF_FILE, SERF_SITE, SITE, apply, imported, write_csv

SHORT_ON_MARIADB = (
    "test_a_register_becomes_the_energy_between_its_readings",
    "test_two_importers_of_one_register_at_once_lose_and_double_nothing",
)

START = datetime(2014, 6, 1, tzinfo=UTC)
START_S = int(START.timestamp())
JUNE = date(2014, 6, 1), date(2014, 6, 2)
COUNTER = SITE.replace('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "kWh"').replace(
    'label = "start"\n', ""
)


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def swap(hours: float, closing: str, opening: str) -> str:
    return (
        f'\n[[meter_change]]\ndevice = "A"\nat = "{at(hours)}"\nclosing = "{closing}"\n'
        f'opening = "{opening}"\nmeter_serial = "new"\n'
    )


def bring(db: Database, folder: Path, *rows: tuple[float, str], name: str = "a") -> ImportReport:
    """Import readings of the register, each so many hours after the start."""
    return imported(db, write_csv(folder / f"{name}.csv", [(at(h), text) for h, text in rows]))


def derived(db: Database) -> list[Energy]:
    """What is stored of the intervals, in order."""
    with db.read() as session:
        rows = session.scalars(select(MeterReading).order_by(MeterReading.start_s)).all()
    return [
        (
            row.start_s,
            row.start_s + row.duration_s,
            row.text,
            Fraction(row.value_digits or 0, 10 ** (row.value_scale or 0)),
            row.quality.value,
        )
        for row in rows
    ]


def short(db: Database) -> list[tuple[str, str]]:
    """Text and quality of the intervals."""
    return [(text, quality) for _, _, text, _, quality in derived(db)]


def registers(db: Database) -> list[tuple[str, str, str | None]]:
    with db.read() as session:
        query = select(RegisterReading).order_by(RegisterReading.at_s, RegisterReading.text)
        return [(row.text, row.quality.value, row.reason) for row in session.scalars(query)]


@pytest.fixture
def park(db: Database) -> Database:
    apply(db, COUNTER)
    return db


@pytest.fixture
def small(sqlite_db: Database) -> Database:
    apply(sqlite_db, COUNTER)
    return sqlite_db


def test_more_values_of_one_instant_than_are_read_at_once_end(
    small: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def counted(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        assert asked < 50, "it reads the same rows for ever"
        return fetch(*arguments)

    monkeypatch.setattr(chains, "PIECE_ROWS", 3)
    monkeypatch.setattr(chains, "fetch", counted)
    still = [(1.0, str(1000 + place)) for place in range(20)]
    report = bring(small, tmp_path, (0, "1000"), *still, (2, "1100"))
    assert (report.new, report.conflicts, report.intervals) == (3, 19, 1)
    assert short(small) == [("1000>1100", "used")]


def test_an_empty_row_beside_a_value_whose_interval_leaves_the_period_is_as_it_was_read(
    small: Database, tmp_path: Path
) -> None:
    """The value begins an interval over the end of the day, which is in no file: the row seemed to be altered."""
    bring(small, tmp_path, (0, "1000"), (1, "1060"), (1, ""), (2, ""), (26, "1100"))
    assert registers(small)[1][1:] == ("superseded", "another row has a value for the same time")
    with small.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
    require_as_read(files_of_reduction(day).manifest, day.inputs.meters)
    empty = [
        (item.start_s, item.quality) for item in day.inputs.meters[0].readings if not item.text
    ]
    assert empty == [
        (START_S + 3600, Quality.SUPERSEDED_EMPTY),
        (START_S + 7200, Quality.MISSING),
    ]


def test_an_instant_stands_in_the_order_of_texts_among_the_intervals(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """It was judged before the interval that begins at it, which a smaller text has: both seemed to be altered."""
    apply(sqlite_db, COUNTER.replace('unit = "kWh"', 'unit = "kWh"\nmissing = ["9999"]'))
    bring(sqlite_db, tmp_path, (0, "1000"), (1, "1060"), (1, "9999"), (2, "1100"))
    with sqlite_db.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
    require_as_read(files_of_reduction(day).manifest, day.inputs.meters)
    assert [item.text for item in day.inputs.meters[0].readings] == [
        "1000>1060",
        "1060>1100",
        "9999",
    ]


def test_a_register_becomes_the_energy_between_its_readings(park: Database, tmp_path: Path) -> None:
    first = bring(park, tmp_path, (0, "1000"), (1, "1060.5"), (2, "1060.5"), (26, "1100"))
    assert first.as_json() == {
        "file_sha256": first.file_sha256,
        "read": 4,
        "new": 4,
        "unchanged": 0,
        "conflicts": 0,
        "rejected": 0,
        "errors": [],
        "intervals": 3,
    }
    stored = derived(park)
    assert [(item[1] - item[0], *item[2:]) for item in stored] == [
        (3600, "1000>1060.5", Fraction("60.5"), "used"),
        (3600, "1060.5>1060.5", Fraction(0), "used"),
        (86400, "1060.5>1100", Fraction("39.5"), "used"),
    ]
    again = bring(park, tmp_path, (0, "1000"), (1, "1060.5"), (2, "1060.5"), (26, "1100"))
    assert (again.new, again.unchanged, again.intervals) == (0, 4, 0)
    assert derived(park) == stored
    with park.read() as session:
        produced = session.scalars(
            select(EnergyProduction.production).order_by(EnergyProduction.recorded_at)
        ).all()
        data = session.execute(select(DeviceData.metric_name, DeviceData.value)).all()
    # The day is spread over its hours evenly: 39.5 / 24.
    assert produced == [Decimal("60.500"), Decimal("0.000"), *[Decimal("1.646")] * 24]
    assert ("energy_register", Decimal("1060.500000")) in [tuple(row) for row in data]


def test_trap_a_difference_over_a_gap_is_one_reading_of_the_whole_gap(
    small: Database, tmp_path: Path
) -> None:
    apply(small, COUNTER.replace("interval_minutes = 10", "interval_minutes = 60"))
    bring(small, tmp_path, (-2, "0"), (-1, "10"), (7, "90"), (8, "100"), (22, "240"))
    with small.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
    assert (day.net_kwh, day.leaves) == (240, 4)
    assert day.counts == Counts(expected=24, used=24)


def test_trap_a_difference_over_the_end_of_a_period_belongs_to_none(
    small: Database, tmp_path: Path
) -> None:
    bring(small, tmp_path, (-4, "-5"), (-3, "0"), (-1, "20"), (21, "250"), (23, "270"), (24, "280"))
    with small.read() as session:
        (before,) = reductions_for(session, "park-wind", date(2014, 5, 31), date(2014, 6, 1))
        (day,) = reductions_for(session, "park-wind", *JUNE)
        (after,) = reductions_for(session, "park-wind", date(2014, 6, 2), date(2014, 6, 3))
    # Midnight in Paris is 22:00 UTC: of 20 kWh from 21 to 23 nothing says on which side they came.
    assert [part.net_kwh for part in (before, day, after)] == [5, 230, 10]
    # Which is said, or a register that is read at eight in the morning loses a day of each month unseen.
    first, last = (
        [int((START + timedelta(hours=hour + more)).timestamp()) for more in (0, 2)]
        for hour in (-3, 21)
    )
    with small.read() as session:
        found = [over_borders(session, part.inputs) for part in (before, day, after)]
    assert [[(over.start_s, over.end_s, over.kwh) for over in each] for each in found] == [
        [(*first, 20)],
        [(*first, 20), (*last, 20)],
        [(*last, 20)],
    ]
    # A reading at midnight, when it comes, ends that.
    bring(small, tmp_path, (22, "260"), (-2, "20"), name="b")
    with small.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
        assert (day.net_kwh, over_borders(session, day.inputs)) == (240, [])


def test_late_finer_readings_split_an_interval(park: Database, tmp_path: Path) -> None:
    bring(park, tmp_path, (0, "0"), (4, "40"))
    report = bring(park, tmp_path, (1, "10"), (3, "20"), name="b")
    assert report.intervals == 3
    assert short(park) == [("0>10", "used"), ("10>20", "used"), ("20>40", "used")]
    with park.read() as session:
        hours = session.scalars(
            select(EnergyProduction.production).order_by(EnergyProduction.recorded_at)
        ).all()
    assert hours == [Decimal("10.000"), Decimal("5.000"), Decimal("5.000"), Decimal("20.000")]


def test_trap_a_register_that_runs_over_at_its_width(small: Database, tmp_path: Path) -> None:
    apply(small, COUNTER + "")
    wide = COUNTER.replace('kind = "counter"', 'kind = "counter"\nrollover = "1000000"')
    apply(small, wide)
    bring(small, tmp_path, (0, "999950.5"), (1, "10.25"), (2, "20.25"))
    assert derived(small)[0][2:] == ("999950.5>1000000|0>10.25", Fraction("59.75"), "used")
    assert energy_of("999950.5>1000000|0>10.25", 0) == (5975, 2)


def test_a_fall_that_is_no_plausible_rollover_is_a_reset_and_claims_nothing(
    small: Database, tmp_path: Path
) -> None:
    apply(small, COUNTER.replace('kind = "counter"', 'kind = "counter"\nrollover = "1000000"'))
    # 100 kW: after a wrap of 999,010 kWh in an hour nobody asks.
    report = bring(small, tmp_path, (0, "1000"), (1, "10"), (2, "70"))
    assert report.as_json()["outliers"] == 1
    assert short(small) == [("1000>10", "outlier"), ("10>70", "used")]
    with small.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
        leaf = day.inputs.meters[0].readings[0]
    assert (leaf.quality, leaf.digits, leaf.text) == (304, -990, "1000>10")
    assert (day.net_kwh, day.counts.outlier) == (60, 6)


def test_trap_a_width_that_is_not_declared_is_not_guessed(small: Database, tmp_path: Path) -> None:
    bring(small, tmp_path, (0, "999950"), (1, "10"))
    assert short(small) == [("999950>10", "outlier")]
    changes = apply(
        small, COUNTER.replace('kind = "counter"', 'kind = "counter"\nrollover = "1000000"')
    )
    assert "meter serial-A: 2 intervals derived anew" in changes.warnings
    assert short(small) == [("999950>1000000|0>10", "used")]


def declared(rollover: str, rated_kw: str) -> str:
    site = COUNTER.replace('kind = "counter"', f'kind = "counter"\nrollover = "{rollover}"')
    return site.replace('rated_kw = "100"', f'rated_kw = "{rated_kw}"')


def total(db: Database) -> Fraction:
    return sum((row[3] for row in derived(db) if row[4] == "used"), Fraction(0))


def test_trap_a_jitter_backward_mints_no_width(small: Database, tmp_path: Path) -> None:
    changes = apply(small, declared("100000", "5000"))
    assert changes.warnings == []
    bring(small, tmp_path, (0, "50000"), (24, "50010"), (48, "50009.9"), (72, "50020"))
    assert short(small) == [("50000>50010", "used"), ("50010>50020", "used")]
    assert total(small) == 20


@few(4)
@pytest.mark.parametrize(
    ("before", "after", "hours", "quality"),
    [
        # 100 kW, width 1000: 120 kWh in an hour, 960 in eight.
        ("950", "60", 1, "used"),
        ("950", "70", 1, "used"),
        ("950", "70.001", 1, "outlier"),
        ("501", "460", 8, "used"),
        ("500", "460", 8, "outlier"),  # not beyond the half
        ("501", "461.001", 8, "outlier"),
        ("950", "500", 8, "outlier"),  # not below the half
        ("950", "60", 8.25, "used"),
        ("950", "60", 8.5, "outlier"),  # 1020 kWh: a whole width, and nobody knows how many
        ("950", "60", 25 / 3, "outlier"),  # 1000 kWh, which is one
        ("1000", "60", 1, "outlier"),  # it never stands at its width
    ],
)
def test_a_rollover_is_what_can_be_nothing_else(
    small: Database, tmp_path: Path, before: str, after: str, hours: float, quality: str
) -> None:
    apply(small, declared("1000", "100"))
    bring(small, tmp_path, (0, before), (hours, after))
    text = f"{before}>1000|0>{after}" if quality == "used" else f"{before}>{after}"
    assert short(small) == [(text, quality)]


def test_a_rollover_needs_a_rated_power(sqlite_db: Database) -> None:
    site = declared("1000000", "100").replace('rated_kw = "100"\n', "")
    with pytest.raises(BadInput, match="rollover needs rated_kw in the"):
        apply(sqlite_db, site)


def test_a_width_that_one_step_can_fill_is_warned_of(sqlite_db: Database) -> None:
    # 120 kW over ten minutes are 20 kWh.
    assert apply(sqlite_db, declared("20.001", "100")).warnings == []
    (warning,) = apply(sqlite_db, declared("20", "100")).warnings
    assert warning == (
        "source scada: device A of 100 kW can run over its rollover 20 kWh within 10 minutes, so that "
        "no fall is taken for a rollover; read the register more often"
    )


def test_trap_a_zero_in_between_does_not_count_the_register_again(
    park: Database, tmp_path: Path
) -> None:
    apply(park, COUNTER.replace('rated_kw = "100"', 'rated_kw = "2000"'))
    bring(park, tmp_path, (-2, "30000"), (0, "30500"), (2, "0"), (4, "31500"))
    assert short(park) == [("30000>30500", "used"), ("30500>31500", "used")]
    assert total(park) == 1500
    assert registers(park)[2] == (
        "0",
        "superseded",
        "the register was lower for a while, and is back",
    )
    with park.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
    leaves = [(leaf.kind, leaf.quality, leaf.text) for leaf in day.inputs.meters[0].readings]
    assert leaves == [(2, 100, "30000>30500"), (2, 100, "30500>31500"), (3, 405, "0")]
    assert day.net_kwh == 1500


def test_a_zero_in_hours_whatever_the_order_of_files(park: Database, tmp_path: Path) -> None:
    rows = [(0, "50"), (1, "60"), (2, "0"), (3, "80"), (4, "90")]
    for number, row in enumerate(reversed(rows)):
        bring(park, tmp_path, row, name=str(number))
    assert short(park) == [("50>60", "used"), ("60>80", "used"), ("80>90", "used")]


def test_a_reading_that_is_back_takes_out_what_was_derived_before_it(
    park: Database, tmp_path: Path
) -> None:
    apply(park, COUNTER.replace('rated_kw = "100"', 'rated_kw = "2000"'))
    bring(park, tmp_path, (0, "1000"), (1, "10"), (2, "20"))
    assert short(park) == [("1000>10", "outlier"), ("10>20", "used")]
    bring(park, tmp_path, (167, "1500"), (180, "1600"), name="b")
    assert short(park) == [("1000>1500", "used"), ("1500>1600", "used")]
    bring(park, tmp_path, (0.5, "1499"), name="c")
    assert [text for text, _ in short(park)] == ["1000>1499", "1499>1500", "1500>1600"]
    # The last reading before the fall is one that nothing within a week comes back to.
    bring(park, tmp_path, (0.75, "1550"), name="d")
    assert [text for text, _ in short(park)] == [
        "1000>1499",
        "1499>1550",
        "1550>10",
        "10>20",
        "20>1500",
        "1500>1600",
    ]
    assert {quality for _, quality, _ in registers(park)} == {"used"}


@pytest.mark.parametrize(
    ("hours", "texts"),
    [(168, ["1000>1200"]), (168.25, ["1000>10", "10>20", "20>1200"])],
)
def test_a_register_that_is_back_after_a_week_began_anew(
    small: Database, tmp_path: Path, hours: float, texts: list[str]
) -> None:
    apply(small, COUNTER)
    bring(small, tmp_path, (0, "1000"), (1, "10"), (2, "20"), (hours, "1200"))
    assert [text for text, _ in short(small)] == texts


@long
@pytest.mark.parametrize(("lows", "counted"), [(999, 100), (1000, 190)])
def test_a_register_that_is_back_after_a_thousand_readings_began_anew(
    small: Database, tmp_path: Path, lows: int, counted: int
) -> None:
    low = [(1 + number / 60, "10") for number in range(lows)]
    bring(small, tmp_path, (0, "100"), *low, (24, "200"))
    assert total(small) == counted


def test_a_value_that_the_device_cannot_reach_is_no_way_back(
    small: Database, tmp_path: Path
) -> None:
    # 100 kW: 120 kWh in an hour, so 460.001 in three cannot be, and 580 in four can.
    low = (1, "0"), (2, "10"), (3, "460.001")
    bring(small, tmp_path, (0, "100"), *low, (4, "580"), (5, "590"))
    assert short(small) == [("100>580", "used"), ("580>590", "used")]


@pytest.mark.parametrize("back", ["100", "100.0"])
def test_a_register_that_is_back_where_it_was_counted_nothing(
    small: Database, tmp_path: Path, back: str
) -> None:
    bring(small, tmp_path, (0, "100"), (1, "0"), (2, back))
    assert short(small) == [(f"100>{back}", "used")]


def test_a_dip_that_another_fall_follows_is_a_dip(small: Database, tmp_path: Path) -> None:
    bring(small, tmp_path, (0, "100"), (1, "0"), (2, "110"), (3, "5"))
    assert [text for text, _ in short(small)] == ["100>110", "110>5"]


def test_a_dip_does_not_run_over_a_declared_change(small: Database, tmp_path: Path) -> None:
    apply(small, COUNTER + swap(1.5, "20", "50"))
    bring(small, tmp_path, (0, "100"), (1, "10"), (2, "60"), (3, "110"))
    assert [text for text, _ in short(small)] == ["100>10", "10>20", "50>60", "60>110"]
    bring(small, tmp_path, (1.25, "1000"))  # as high as before, and what no device can do
    texts = ["100>10", "10>1000", "1000>20", "50>60", "60>110"]
    assert [text for text, _ in short(small)] == texts


def test_a_dip_near_the_width_is_no_rollover(small: Database, tmp_path: Path) -> None:
    apply(small, declared("1000", "100"))
    # Around to 970 within two hours would be 1020 kWh.
    bring(small, tmp_path, (0, "950"), (1, "0"), (2, "970"), (3, "40"))
    assert short(small) == [("950>970", "used"), ("970>1000|0>40", "used")]


def test_what_a_register_stood_at_is_the_first_and_the_last_of_a_text() -> None:
    assert ends_of("950.5>960", 0) == (Fraction("950.5"), 960)
    assert ends_of("950>1000|0>60", 3) == (Fraction("0.95"), Fraction("0.06"))


def test_of_texts_of_one_value_the_shortest_counts_whatever_came_first() -> None:
    same, used = Quality.SUPERSEDED_SAME_VALUE, Quality.USED
    rows = [(text, (100, 0)) for text in ("+100", "100.", "0100", "100")]
    assert judge_instant(rows) == ([same, same, same, used], 3)
    assert judge_instant(rows[:3]) == ([used, same, same], 0)


def test_a_rollover_whose_register_comes_round_again_is_no_dip(
    small: Database, tmp_path: Path
) -> None:
    apply(small, declared("1000", "100"))
    # 100 kW: 1010 kWh in ten hours can be.
    bring(small, tmp_path, (0, "950"), (1, "60"), (10, "960"))
    assert short(small) == [("950>1000|0>60", "used"), ("60>960", "used")]


def test_trap_a_dip_over_the_end_of_an_issued_period_claims_nothing_and_moves_nothing(
    park: Database, tmp_path: Path
) -> None:
    apply(park, COUNTER.replace('rated_kw = "100"', 'rated_kw = "2000"'))
    bring(park, tmp_path, (-2, "30000"), (20, "30500"), (21, "0"), (23, "1"))
    issue(park)
    with park.read() as session:
        (before,) = reductions_for(session, "park-wind", *JUNE)
    bring(park, tmp_path, (24, "31500"), (25, "31600"), name="b")
    assert short(park) == [
        ("30000>30500", "used"),
        ("30500>0", "outlier"),
        ("31500>31600", "used"),
    ]
    # Derived from near the border, from the end, and from the beginning: always the same.
    stored = derived(park)
    bring(park, tmp_path, (26, "31700"), name="c")
    bring(park, tmp_path, (24 * 9, "31800"), name="d")
    bring(park, tmp_path, (24 * 10, "31900"), name="e")
    with park.write() as session:
        assert requalify(session, session.scalars(select(Meter.id)).one()) == 0
    assert derived(park)[:3] == stored
    with park.read() as session:
        (after,) = reductions_for(session, "park-wind", *JUNE)
    assert (after.net_kwh, after.evidence_root) == (before.net_kwh, before.evidence_root)


def test_trap_a_meter_swap_with_closing_and_opening_readings(
    park: Database, tmp_path: Path
) -> None:
    apply(park, COUNTER + swap(1.5, "1030.5", "7"))
    bring(park, tmp_path, (0, "1000"), (1, "1020"), (2, "17"), (3, "37"))
    assert [(end - start, *rest) for start, end, *rest in derived(park)] == [
        (3600, "1000>1020", 20, "used"),
        (1800, "1020>1030.5", Fraction("10.5"), "used"),
        (1800, "7>17", 10, "used"),
        (3600, "17>37", 20, "used"),
    ]


@long
@pytest.mark.parametrize("at_once", [True, False])
def test_a_dip_runs_over_a_swap_where_the_register_goes_on(
    small: Database, tmp_path: Path, at_once: bool
) -> None:
    """A meter that was put back, or another that was set to where the old one stood, has not counted the dip."""
    apply(small, COUNTER + swap(1.5, "1000.0", "1000"))
    rows = [(0.0, "1000"), (1.0, "0"), (2.0, "1010")]
    for number, some in enumerate([rows] if at_once else [rows[:1], rows[1:2], rows[2:]]):
        bring(small, tmp_path, *some, name=f"f{number}")
    assert short(small) == [("1000>1000.0", "used"), ("1000>1010", "used")]
    assert [quality for _, quality, _ in registers(small)] == ["used", "superseded", "used"]
    apply(small, COUNTER + swap(1.5, "0", "0"))
    assert short(small) == [("1000>1010", "used")]


def test_a_swap_that_is_declared_afterwards_or_taken_out_derives_anew(
    park: Database, tmp_path: Path
) -> None:
    bring(park, tmp_path, (0, "1000"), (1, "17"))
    assert short(park) == [("1000>17", "outlier")]
    changes = apply(park, COUNTER + swap(0.5, "1010", "0"))
    assert "meter change A 2014-06-01T00:30:00Z" in changes.created
    assert short(park) == [("1000>1010", "used"), ("0>17", "used")]
    assert apply(park, COUNTER + swap(0.5, "1010", "0")).created == []
    changes = apply(park, COUNTER + swap(0.5, "1011", "0"))
    assert "meter change A 2014-06-01T00:30:00Z" in changes.updated
    assert short(park)[0] == ("1000>1011", "used")
    apply(park, COUNTER)
    assert short(park) == [("1000>17", "outlier")]
    with park.read() as session:
        assert session.scalars(select(func.count()).select_from(MeterChange)).one() == 0


def test_a_reading_at_the_instant_of_a_swap_may_only_repeat_it(
    small: Database, tmp_path: Path
) -> None:
    apply(small, COUNTER + swap(1, "1010", "0"))
    bring(small, tmp_path, (0, "1000"), (1, "1010.0"), (2, "20"))
    assert short(small) == [("1000>1010", "used"), ("0>20", "used")]
    assert registers(small)[1] == (
        "1010.0",
        "superseded",
        "same value, written in another way",
    )
    bring(small, tmp_path, (1, "500"), name="b")
    assert short(small) == [("1000>1010", "used"), ("0>20", "used")]
    assert {row[2] for row in registers(small)[1:3]} == {
        "several values of the register at one time"
    }


def test_several_values_at_one_instant_are_not_used_and_are_leaves(
    park: Database, tmp_path: Path
) -> None:
    report = bring(park, tmp_path, (0, "0"), (1, "10"), (1, "11"), (1, "10.0"), (2, "20"))
    assert (report.new, report.conflicts) == (4, 1)
    assert short(park) == [("0>20", "used")]
    with park.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
    leaves = day.inputs.meters[0].readings
    assert [(leaf.kind, leaf.quality, leaf.text, leaf.digits) for leaf in leaves] == [
        (2, 100, "0>20", 20),
        (3, 404, "10", 10),
        (3, 404, "10.0", 100),
        (3, 404, "11", 11),
    ]
    assert all(leaf.start_s == leaf.end_s for leaf in leaves if leaf.kind == 3)
    assert (day.net_kwh, day.leaves) == (20, 4)
    assert day.counts == Counts(expected=144, used=12, missing=132, conflict=1)


def test_what_is_excluded_of_a_register_is_committed_with_its_reason(
    small: Database, tmp_path: Path
) -> None:
    apply(small, COUNTER + 'missing = ["-"]\n')
    report = bring(small, tmp_path, (0, "0"), (0, "0.0"), (0, ""), (1, "-"), (2, ""), (3, "5"))
    assert report.missing == 3
    with small.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
    found = [(leaf.kind, leaf.quality, leaf.text) for leaf in day.inputs.meters[0].readings]
    assert found == [(3, 403, ""), (3, 402, "0.0"), (2, 100, "0>5"), (3, 201, "-"), (3, 200, "")]


def test_above_the_rated_power_over_its_own_length_is_an_outlier(
    small: Database, tmp_path: Path
) -> None:
    # 100 kW: 120 kWh in an hour pass, 480 in four; more does not.
    bring(small, tmp_path, (0, "0"), (1, "120"), (5, "600"), (6, "720.001"), (10, "1200.002"))
    assert [quality for _, quality in short(small)] == ["used", "used", "outlier", "outlier"]


def test_counts_hold_whatever_the_steps(small: Database, tmp_path: Path) -> None:
    apply(small, COUNTER.replace("interval_minutes = 10", "interval_minutes = 60"))
    rows = [(-2 + n * 50 / 60, str(n * 10)) for n in range(30)]
    bring(small, tmp_path, *rows)
    with small.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
    counts = day.counts
    assert counts == Counts(expected=24, used=23, missing=1)
    assert counts.expected == counts.used + counts.missing + counts.outlier


def test_seconds_off_the_grid_are_read_as_they_are(small: Database, tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv",
        [
            ("2014-06-01T00:00:07Z", "0"),
            ("2014-06-01T00:33:41Z", "5"),
            ("2014-06-01T01:00:00.5Z", "9"),
        ],
    )
    report = imported(small, path)
    assert (report.new, report.rejected) == (2, 1)
    assert derived(small)[0][:2] == (START_S + 7, START_S + 33 * 60 + 41)


def test_a_meter_does_not_mix_a_register_with_intervals_or_widths(
    small: Database, tmp_path: Path
) -> None:
    bring(small, tmp_path, (0, "0"), (1, "5"))
    other = COUNTER.replace('kind = "counter"', 'kind = "energy"').replace(
        "interval_minutes", 'label = "start"\ninterval_minutes'
    )
    apply(small, other)
    with pytest.raises(BadInput, match="has readings of counter in kWh"):
        bring(small, tmp_path, (2, "5"), name="b")
    second = COUNTER + COUNTER[COUNTER.index("[[source]]") :].replace("scada", "other").replace(
        'kind = "counter"', 'kind = "counter"\nrollover = "1000"'
    )
    apply(small, second)
    with pytest.raises(BadInput, match="one register has one width"):
        imported(small, write_csv(tmp_path / "c.csv", [(at(3), "7")]), "other")


# ------------------------------------------------------------------ issued periods


def test_trap_a_register_reading_after_the_issuance_is_late_and_moves_nothing(
    park: Database, tmp_path: Path
) -> None:
    bring(park, tmp_path, (-2, "0"), (4, "60"), (21, "200"), (23, "220"))
    issue(park)
    with park.read() as session:
        (before,) = reductions_for(session, "park-wind", *JUNE)
    stored = derived(park)
    report = bring(park, tmp_path, (2, "30"), (4, "61"), (30, "250"), name="b")
    assert (report.new, report.conflicts, report.late) == (2, 1, 2)
    assert derived(park) == [
        *stored,
        (START_S + 23 * 3600, START_S + 30 * 3600, "220>250", 30, "used"),
    ]
    with park.read() as session:
        (after,) = reductions_for(session, "park-wind", *JUNE)
    assert (after.net_kwh, after.evidence_root) == (before.net_kwh, before.evidence_root)


def test_a_reading_at_the_end_of_an_issued_period_opens_the_next_and_adds_nothing_to_it(
    park: Database, tmp_path: Path
) -> None:
    bring(park, tmp_path, (-2, "0"), (21, "200"), (23, "220"))
    issue(park)
    bring(park, tmp_path, (22, "212"), name="b")
    assert short(park) == [("0>200", "used"), ("200>212", "late"), ("212>220", "used")]
    with park.read() as session:
        (day,) = reductions_for(session, "park-wind", *JUNE)
        (after,) = reductions_for(session, "park-wind", date(2014, 6, 2), date(2014, 6, 3))
    assert (day.net_kwh, after.net_kwh) == (200, 8)


def test_another_value_where_an_issued_interval_ends_is_used_on_neither_side(
    park: Database, tmp_path: Path
) -> None:
    bring(park, tmp_path, (-2, "0"), (22, "200"), (23, "220"), (24, "225"))
    issue(park)
    report = bring(park, tmp_path, (22, "150"), name="b")
    assert (report.conflicts, report.late) == (1, 0)
    (named,) = report.contradictions
    assert (named["line"], named["at"], named["text"]) == (2, "2014-06-02T00:00:00+02:00", "150")
    other = [named["other"][key] for key in ("text", "file", "line")]
    assert other == ["200", "a.csv", 3]
    # In time for the next period, which has neither of the two any more; the issued one is for a correction.
    assert short(park) == [("0>200", "used"), ("220>225", "used")]
    with park.read() as session:
        (after,) = reductions_for(session, "park-wind", date(2014, 6, 2), date(2014, 6, 3))
    leaves = [(leaf.kind, leaf.quality, leaf.text) for leaf in after.inputs.meters[0].readings]
    assert leaves == [(3, 404, "150"), (3, 404, "200"), (2, 100, "220>225")]


def test_what_came_late_for_a_void_issuance_counts_for_the_next(
    park: Database, tmp_path: Path
) -> None:
    bring(park, tmp_path, (-2, "0"), (21, "200"), (23, "220"))
    issue(park)
    bring(park, tmp_path, (4, "60"), (22, "212"), name="b")
    with park.write() as session:
        meter = session.scalars(select(Meter.id)).one()
        assert requalify(session, meter) == 0
    with park.write() as session:
        session.execute(update(Issuance).values(state=IssuanceState.VOID))
        assert requalify(session, meter) == 4
    assert short(park) == [
        ("0>60", "used"),
        ("60>200", "used"),
        ("200>212", "used"),
        ("212>220", "used"),
    ]


@settings(
    max_examples=times(8, 40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.tuples(st.integers(-8, 32), st.integers(0, 300)), min_size=1, max_size=10),
    st.lists(st.tuples(st.integers(-8, 32), st.integers(0, 300)), max_size=10),
)
def test_whatever_comes_late_nothing_issued_moves_and_nothing_counts_twice(
    small: Database,
    tmp_path: Path,
    before: list[tuple[int, int]],
    after: list[tuple[int, int]],
) -> None:
    with small.write() as session:
        for model in (MeterReading, RegisterReading, MeterSeries, ReadingClaim, Issuance):
            session.execute(delete(model))
    first = [(hour, str(value)) for hour, value in before]
    bring(small, tmp_path, (-2, "0"), (20, "290"), *first)
    day_s = START_S - 2 * 3600, START_S + 22 * 3600
    issued = [row for row in derived(small) if day_s[0] <= row[0] and row[1] <= day_s[1]]
    with small.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *JUNE)
    issue(small)
    bring(small, tmp_path, (40, "400"), *((hour, str(value)) for hour, value in after), name="b")
    rows = [row for row in derived(small) if row[4] != "late"]
    assert [row for row in rows if day_s[0] <= row[0] and row[1] <= day_s[1]] == issued
    assert all(one[1] <= other[0] for one, other in pairwise(rows))
    with small.read() as session:
        (again,) = reductions_for(session, "park-wind", *JUNE)
    assert (again.net_kwh, again.evidence_root) == (reduction.net_kwh, reduction.evidence_root)


def test_two_importers_of_one_register_at_once_lose_and_double_nothing(
    park: Database, tmp_path: Path
) -> None:
    rows = [(hour / 6, str(hour)) for hour in range(120)]
    errors: list[BaseException] = []
    barrier = threading.Barrier(2)

    def work(number: int) -> None:
        try:
            barrier.wait()
            bring(park, tmp_path, *rows[number::2], name=str(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [row[2] for row in derived(park)] == [f"{n}>{n + 1}" for n in range(119)]


def test_a_swap_within_an_issued_period_is_refused(small: Database, tmp_path: Path) -> None:
    bring(small, tmp_path, (-2, "0"), (22, "200"))
    issue(small)
    with pytest.raises(BadInput, match="lies in a period that was issued"):
        apply(small, COUNTER + swap(5, "60", "0"))
    assert short(small) == [("0>200", "used")]


def test_a_corrected_rating_judges_the_intervals_anew(park: Database, tmp_path: Path) -> None:
    bring(park, tmp_path, (0, "0"), (1, "100"))
    apply(park, COUNTER.replace('rated_kw = "100"', 'rated_kw = "50"'))
    assert short(park) == [("0>100", "outlier")]


# ------------------------------------------------------------------ the site file


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (swap(1, "5", "0").replace('"A"', '"B"'), "no [[device]] has code 'B'"),
        (swap(1, "5", "0") * 2, "device A at 2014-06-01T01:00:00Z stands twice"),
        (swap(1, "-5", "0"), "closing is a register's reading, from 0 up, found -5"),
        (swap(1, "5", "-0.1"), "opening is a register's reading, from 0 up, found -0.1"),
        (swap(1, "five", "0"), "plain decimal number"),
        (swap(1, "5", "0" * 25), "plain decimal number"),
        (swap(1, "9999999999", "0"), "beyond 1e9"),
        (swap(1, "5", "0").replace("+00:00", ""), "a time with its offset"),
        (swap(1, "5", "0").replace("meter_serial", "serial"), "unknown key 'serial'"),
    ],
)
def test_a_wrong_change_is_refused_with_its_line(sqlite_db: Database, more: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, COUNTER + more)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('kind = "counter"', 'kind = "counter"\nrollover = "0"', "rollover is above 0"),
        (
            'kind = "counter"',
            'kind = "counter"\nrollover = "1000000000000"',
            "at most 12 characters",
        ),
        (
            'kind = "counter"',
            'kind = "energy"\nlabel = "end"\nrollover = "10"',
            "rollover is of kind",
        ),
        ('unit = "kWh"', 'unit = "kW"', "unknown unit 'kW' for energy"),
        ('kind = "counter"', 'kind = "register"', "unknown kind 'register'"),
    ],
)
def test_a_wrong_counter_is_refused(sqlite_db: Database, old: str, new: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, COUNTER.replace(old, new))
    assert says in caught.value.message


def test_a_change_that_the_readings_beside_it_contradict_is_warned_of(
    park: Database, tmp_path: Path
) -> None:
    bring(park, tmp_path, (0, "1000"), (1, "1020"), (2, "17"), (3, "37"))
    assert apply(park, COUNTER + swap(1.5, "1020", "17")).warnings == [
        "meter serial-A: 3 intervals derived anew"
    ]
    assert apply(park, COUNTER + swap(1.5, "1019.9", "17.1")).warnings[1:] == [
        "meter change A 2014-06-01T01:30:00Z: closing 1019.9 is below 1020, read before at "
        "2014-06-01T01:00:00Z; nothing counts between them",
        "meter change A 2014-06-01T01:30:00Z: opening 17.1 is above 17, read after at "
        "2014-06-01T02:00:00Z; nothing counts between them",
    ]
    # Each change is compared with the readings up to the next one.
    assert apply(park, COUNTER + swap(1.5, "1020", "0") + swap(1.75, "1", "9")).warnings[1:] == []


def test_a_change_needs_a_counter(sqlite_db: Database) -> None:
    with pytest.raises(BadInput, match="no \\[\\[source\\]\\] of kind 'counter' feeds device 'A'"):
        apply(sqlite_db, SITE + swap(1, "5", "0"))


# ------------------------------------------------------------------ against an independent model


texts = st.one_of(
    st.integers(0, 999).map(str),
    st.integers(0, 9999).map(lambda n: f"{n // 10}.{n % 10}"),
    st.just(""),
)
readings = st.lists(st.tuples(st.integers(0, 40), texts), min_size=1, max_size=14)
swaps = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 999).map(str), st.integers(0, 50).map(str)),
    max_size=2,
    unique_by=lambda item: item[0],
)


@settings(
    max_examples=times(12, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    readings,
    swaps,
    st.sampled_from([None, "1000"]),
    st.sampled_from([None, "100", "700", "3000"]),
    st.lists(st.integers(0, 14), max_size=2),
    st.sampled_from([1, 30]),
    st.randoms(),
)
@example([(0, "1"), (2, "1")], [(1, "0", "0")], None, None, [], 1, Random(1))  # a meter put back
def test_any_order_of_files_gives_what_an_independent_model_gives(
    small: Database,
    tmp_path: Path,
    rows: list[tuple[int, str]],
    changes: list[tuple[int, str, str]],
    width: str | None,
    rated: str | None,
    cuts: list[int],
    stretch: int,
    random: object,
) -> None:
    with small.write() as session:
        for model in (MeterReading, RegisterReading, MeterSeries, MeterChange):
            session.execute(delete(model))
    site = COUNTER
    if width is not None and rated is not None:
        site = site.replace('kind = "counter"', f'kind = "counter"\nrollover = "{width}"')
    site = site.replace('rated_kw = "100"\n', "" if rated is None else f'rated_kw = "{rated}"\n')
    # Of quarters of an hour, or of seven and a half hours: longer than a week.
    rows = [(quarter * stretch, text) for quarter, text in rows]
    changes = [(quarter * stretch, *both) for quarter, *both in changes]
    apply(small, site + "".join(swap(hour / 4, *both) for hour, *both in changes))
    random.shuffle(rows)  # type: ignore[attr-defined]
    edges = [0, *sorted(cuts), len(rows)]
    for number, (first, last) in enumerate(pairwise(edges)):
        if rows[first:last]:
            part = [(hour / 4, text) for hour, text in rows[first:last]]
            bring(small, tmp_path, *part, name=str(number))
    expected = energies_of(
        [(START_S + hour * 900, text) for hour, text in rows],
        [(START_S + hour * 900, *both) for hour, *both in changes],
        width=width,
        rated_kw=None if rated is None else Fraction(rated),
    )
    assert derived(small) == expected


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 6)), min_size=2, max_size=4),
    st.sampled_from([0, 3, -3]),
)
def test_the_energy_of_a_text_is_that_of_plain_fractions(
    numbers: list[tuple[int, int]], unit_scale: int
) -> None:
    if len(numbers) % 2:
        numbers = numbers[:-1]
    written = [format(Decimal(digits).scaleb(-places), "f") for digits, places in numbers]
    written = [text for text in written if Fraction(text) < 10**6]
    if len(written) != len(numbers):
        return
    text = "|".join(f"{a}>{b}" for a, b in zip(written[::2], written[1::2], strict=True))
    digits, scale = energy_of(text, unit_scale)
    total = sum(Fraction(b) - Fraction(a) for a, b in zip(written[::2], written[1::2], strict=True))
    assert Fraction(digits, 10**scale) == total / Fraction(10) ** unit_scale


@pytest.mark.parametrize(
    ("text", "hours", "expected"),
    [
        # 100 kW, as an auditor sees it: the text alone.
        ("950>1000|0>60", 1, True),
        ("950>1000|0>70.001", 1, False),
        ("950>1000|0>60", 8.5, False),
        ("400>1000|0>60", 8, False),
        ("950>1000|5>60", 1, False),
        ("950>1000|0>10|0>5", 1, False),
    ],
)
def test_a_rollover_is_judged_anew_by_its_text(text: str, hours: float, expected: bool) -> None:
    limits = Limits(Fraction(100), Kind.ENERGY, 900)
    assert rollover_holds(text, 0, limits, int(hours * 3600)) is expected
    assert not rollover_holds(text, 0, Limits(None, Kind.ENERGY, 900), 3600)


@pytest.mark.parametrize("text", ["12", "12>", ">12", "1>2|3", "1>2>3", "a>b"])
def test_a_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        energy_of(text, 0)


# ------------------------------------------------------------------ the bundled plant as a register


SERF_MONTHS = [
    # Kilograms and carry as issued from the file of power itself.
    (7, 371, "0.394465638"),
    (8, 373, "0.721631899"),
    (9, 376, "0.874974782"),
    (10, 152, "0.014238005"),
]


def registers_of(path: Path, folder: Path) -> tuple[Path, Path]:
    """Make of a file of power two registers, what was supplied and what was drawn, in Wh.

    They are read at both ends of each interval of 15 minutes that the file has, run over at 1,000,000
    Wh, and are written with semicolons and decimal commas.
    """
    out, drawn = Fraction(0), Fraction(0)
    lines: tuple[list[str], list[str]] = (["time;Wh"], ["time;Wh"])

    def read(moment: datetime) -> None:
        for register, into in zip((out, drawn), lines, strict=True):
            value = register % 1_000_000
            whole, rest = divmod(value, 1)
            part = f"{int(rest * 10**10):010d}"
            assert Fraction(f"{int(whole)}.{part}") == value
            line = f"{moment:%d.%m.%Y %H:%M};{int(whole)},{part}"
            if into[-1] != line:
                into.append(line)

    with gzip.open(path, "rt", encoding="utf-8") as stream:
        next(stream)
        for line in stream:
            if "," not in line:
                continue
            time, text = line.rstrip("\n").split(",")
            start = datetime.fromisoformat(time)
            watt_hours = Fraction(text or 0) / 4
            read(start)
            out += max(watt_hours, Fraction(0))
            drawn += max(-watt_hours, Fraction(0))
            read(start + timedelta(minutes=15))
    made = folder / "supplied.csv", folder / "drawn.csv"
    for file, content in zip(made, lines, strict=True):
        file.write_text("\n".join(content) + "\n")
    return made


@long
def test_the_bundled_rooftop_as_two_registers_gives_the_published_kilograms(
    sqlite_db: Database, tmp_path: Path
) -> None:
    device = SERF_SITE.read_text().split("[[device]]")[1].split("[[source]]")[0]
    site = SERF_SITE.read_text().split("[[source]]")[0]
    site += "[[device]]" + device.replace('"SERF-EAST"', '"DRAWN"').replace("generation", "import")
    for code in ("SERF-EAST", "DRAWN"):
        site += f"""
[[source]]
name = "{code}"
kind = "counter"
unit = "Wh"
interval_minutes = 15
device = "{code}"
time_column = "time"
value_column = "Wh"
time_format = "%d.%m.%Y %H:%M"
time_zone = "Etc/GMT+7"
delimiter = ";"
decimal = ","
rollover = "1000000"
"""
    apply(sqlite_db, site)
    for file, code in zip(registers_of(SERF_FILE, tmp_path), ("SERF-EAST", "DRAWN"), strict=True):
        report = imported(sqlite_db, file, code, "serf-east")
        assert (report.rejected, report.conflicts, report.outliers) == (0, 0, 0)
    carry = Fraction(0)
    found = []
    with sqlite_db.read() as session:
        for month, _, _ in SERF_MONTHS:
            inputs = load_period(
                session,
                "serf-east-pv",
                date(2016, month, 1),
                date(2016, month + 1, 1),
                carry_in_kg=carry,
            )
            reduction = compute(inputs)
            carry = reduction.carry_out_kg
            found.append((month, reduction.issued_kg, str(decimal_floor(carry, 9))))
    assert found == SERF_MONTHS


def test_a_file_of_a_register_whose_readings_are_gone_is_missed(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Each brought one reading, of which one interval follows: that was counted in its place."""
    apply(sqlite_db, COUNTER)
    for hour, text in enumerate(("10", "12", "14")):
        bring(sqlite_db, tmp_path, (hour, text), name=f"day{hour}")

    def said() -> list[str]:
        with sqlite_db.read() as session:
            return imported_files(cast(Sides, SimpleNamespace(session=session)))

    assert said() == []
    with sqlite_db.write() as session:
        session.execute(delete(RegisterReading).where(RegisterReading.text == "14"))
    (line,) = said()
    assert line.startswith(
        "import file 3 (day2.csv): it brought 1 readings, and 0 are there; restore"
    )
    with sqlite_db.write() as session:  # all of it, and the next file gets its number
        session.execute(delete(MeterReading).where(MeterReading.file_id == 3))
        session.execute(delete(ImportFile).where(ImportFile.id == 3))
    bring(sqlite_db, tmp_path, (24, "40"), name="later")
    assert "import file 3 (day2.csv): file is later.csv, the audit log says day2.csv" in said()[0]


def test_what_is_left_out_is_of_some_files_and_of_a_time() -> None:
    """A whole file's readings would be gone with the hour of it that was withdrawn."""
    gone = chains.LeftOut(frozenset({1}), 100, 200)
    asked = [(1, 99), (1, 100), (1, 200), (1, 201), (2, 150)]
    assert [gone.has(*each) for each in asked] == [False, True, True, False, False]
