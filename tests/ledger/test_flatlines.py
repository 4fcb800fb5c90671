"""Flat lines: what is stuck, against a second implementation; and stored rows, whatever the order of files."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import EnergyProduction, ImportFile, Issuance, Meter, MeterReading
from ledger.models.issuance import IssuanceState
from ledger.readings import import_file, reductions_for
from ledger.readings.imports.requalify import requalify
from ledger.reductions.flatlines import stuck_places
from ledger.reductions.zones import day_starts, zone
from ledger.sites.site_file import read_site_file
from tests.support.forms import long, times
from tests.support.plant import LHB_FILE, LHB_SITE, SITE, apply, imported, issue, write_csv

PARIS = ZoneInfo("Europe/Paris")
STUCK = "stuck: the same value for hours, a flat line that no meter gives"
JUNE = date(2014, 6, 1), date(2014, 6, 2)

Texts = dict[int, list[str]]
"""Texts of the rows of each slot, by its first second."""


def park(hours: int = 24, role: str = "generation", minutes: int = 10) -> str:
    """Return the site file with ``stuck_hours``, a role and an interval."""
    text = SITE.replace("interval_minutes = 10", f"interval_minutes = {minutes}")
    return text.replace('role = "generation"', f'role = "{role}"\nstuck_hours = {hours}')


def slots_of(day: date, minutes: int = 10, zone: ZoneInfo = PARIS) -> list[int]:
    """Return the first seconds of the slots of a legal day."""
    first = int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
    after = day + timedelta(days=1)
    end = int(datetime(after.year, after.month, after.day, tzinfo=zone).timestamp())
    return list(range(first, end, minutes * 60))


def rows(slots: Iterable[int], text: str) -> list[tuple[str, str]]:
    return [(datetime.fromtimestamp(slot, UTC).isoformat(), text) for slot in slots]


def stuck_by_definition(
    texts: Texts, zone: ZoneInfo, seconds: int, hours: int, rated: Fraction | None = None
) -> set[int]:
    """Return the slots of flat lines: the sentences of docs/meter-files.md, slot by slot, in fractions."""
    days: dict[date, list[tuple[int, Fraction]]] = {}
    for slot in sorted(texts):
        values = [Fraction(text) for text in texts[slot] if text]
        if values:
            day = datetime.fromtimestamp(slot, UTC).astimezone(zone).date()
            days.setdefault(day, []).append((slot, min(values)))
    stuck: set[int] = set()
    for day, valued in days.items():
        whole = Fraction(len(slots_of(day, 1, zone)), 60)
        for place, (_, value) in enumerate(valued):
            line = [valued[place][0]]
            for step in (-1, 1):
                at = place + step
                while 0 <= at < len(valued) and valued[at][1] == value:
                    line.append(valued[at][0])
                    at += step
            long_enough = Fraction(len(line) * seconds, 3600) >= (whole if hours == 24 else hours)
            counts = value > 0 and (rated is None or value <= rated * Fraction(6, 5))
            if hours and counts and long_enough and len(line) > 2:
                stuck.add(valued[place][0])
    return stuck


def number(text: str) -> tuple[int, int]:
    """Return digits and scale of decimal text."""
    whole, _, part = text.partition(".")
    return int(whole + part), len(part)


# ------------------------------------------------------------------ the pure function

SPELLINGS = ["60", "60.0", "60.00", "6", "6.0", "0", "0.0", "-6", "61", ""]
lines = st.lists(
    st.tuples(st.sampled_from(SPELLINGS), st.integers(1, 60)), min_size=1, max_size=12
).map(lambda pieces: [text for text, count in pieces for _ in range(count)])


@settings(max_examples=times(50, 300), deadline=None)
@given(
    lines,
    st.sampled_from([date(2014, 3, 29), date(2014, 10, 25), date(2014, 6, 1)]),
    st.integers(0, 24),
    st.sampled_from([15, 30, 60]),
    st.integers(0, 40),
)
def test_what_is_stuck_is_what_the_definition_says(
    values: list[str], day: date, hours: int, minutes: int, skipped: int
) -> None:
    slots = [slot for n in range(4) for slot in slots_of(day + timedelta(days=n), minutes)][
        skipped:
    ]
    texts = {slot: [text] for slot, text in zip(slots, values, strict=False)}
    levels = [
        (slot, slot + minutes * 60, *number(texts[slot][0])) for slot in texts if texts[slot][0]
    ]
    starts = day_starts(slots[0], slots[-1] + 1, zone("Europe/Paris"))
    found = {levels[place][0] for place in stuck_places(levels, starts, hours)}
    assert found == stuck_by_definition(texts, PARIS, minutes * 60, hours)


def test_a_file_that_takes_the_days_hour_by_hour_hides_no_line(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, park(minutes=60))
    flat, other = slots_of(JUNE[0], 60), slots_of(JUNE[1], 60)
    lines = [
        row
        for hour in range(24)
        for row in rows(flat[hour : hour + 1], "60") + rows(other[hour : hour + 1], str(hour))
    ]
    assert imported(sqlite_db, write_csv(tmp_path / "a.csv", lines)).stuck == 24
    assert stuck_slots(sqlite_db) == set(flat)


def test_two_long_readings_are_no_line_and_one_past_midnight_is_of_no_day() -> None:
    midnight = slots_of(date(2014, 6, 2))[0]
    starts = [midnight - 86400, midnight, midnight + 86400]
    whole_day = (midnight - 86400, midnight, 60, 0)
    assert stuck_places([whole_day], starts, 24) == []
    half = midnight - 43200
    assert (
        stuck_places([(midnight - 86400, half, 60, 0), (half, midnight, 60, 0)], starts, 24) == []
    )
    thirds = [(midnight - 28800 * n, midnight - 28800 * (n - 1), 60, 0) for n in (3, 2, 1)]
    assert stuck_places(thirds, starts, 24) == [0, 1, 2]
    beyond = [*thirds[:2], (midnight - 28800, midnight + 600, 60, 0)]
    assert stuck_places(beyond, starts, 12) == []
    assert stuck_places([(at + 600, end + 600, 60, 0) for at, end, *_ in thirds], starts, 12) == []
    days = [midnight + 86400 * day for day in range(5)]
    assert stuck_places([(day + 600, day + 87000, 60, 0) for day in days[:3]], days, 12) == []
    # Half the energy in half the time is the same power, and another reading.
    unlike = [
        (midnight - 86400 + 3600 * n, midnight - 86400 + 3600 * n + 1800 * (1 + n % 2), 60, 0)
        for n in range(24)
    ]
    assert stuck_places(unlike, starts, 2) == []


# ------------------------------------------------------------------ stored rows


def found(db: Database) -> list[tuple[int, str, str, bool, str | None]]:
    with db.read() as session:
        query = select(MeterReading).order_by(MeterReading.start_s, MeterReading.text)
        return [
            (row.start_s, row.text, row.quality.value, row.conflict, row.reason)
            for row in session.scalars(query)
        ]


def stuck_slots(db: Database) -> set[int]:
    return {row[0] for row in found(db) if row[4] == STUCK}


def produced(db: Database) -> Decimal:
    with db.read() as session:
        return sum(session.scalars(select(EnergyProduction.production)), Decimal(0))


@pytest.mark.parametrize(
    ("day", "count"), [(date(2014, 3, 30), 138), (date(2014, 10, 26), 150), (JUNE[0], 144)]
)
def test_trap_a_whole_legal_day_of_one_value_claims_nothing(
    db: Database, tmp_path: Path, day: date, count: int
) -> None:
    apply(db, park())
    before, after = slots_of(day - timedelta(days=1)), slots_of(day + timedelta(days=1))
    slots = slots_of(day)
    assert len(slots) == count
    # The days beside it have the same value too, but not in all of their slots.
    lines = rows(before[1:], "60") + rows(slots, "60") + rows(after[:-1], "60")
    report = imported(db, write_csv(tmp_path / "a.csv", lines))
    assert (report.stuck, report.as_json()["stuck"]) == (count, count)
    assert stuck_slots(db) == set(slots)
    assert produced(db) == 10 * (len(before) + len(after) - 2)
    with db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", day, day + timedelta(days=1))
    counts = reduction.counts
    assert (counts.expected, counts.used, counts.missing, counts.outlier) == (count, 0, 0, count)
    assert (reduction.net_kwh, reduction.issued_kg, reduction.leaves) == (0, 0, count)


def test_a_row_that_comes_later_ends_a_line_or_completes_it(db: Database, tmp_path: Path) -> None:
    apply(db, park())
    slots = slots_of(JUNE[0])
    imported(db, write_csv(tmp_path / "a.csv", rows(slots[:-1], "60")))
    assert stuck_slots(db) == set()
    assert produced(db) == 1430
    completed = imported(db, write_csv(tmp_path / "b.csv", rows(slots[-1:], "60.0")))
    assert (completed.new, completed.stuck) == (1, 144)
    assert stuck_slots(db) == set(slots)
    assert produced(db) == 0
    # A higher value of a slot is superseded, and changes nothing; a lower one is what counts.
    imported(db, write_csv(tmp_path / "c.csv", rows(slots[70:71], "66")))
    assert stuck_slots(db) == set(slots)
    assert [row[2:] for row in found(db) if row[0] == slots[70]] == [
        ("outlier", True, STUCK),
        ("superseded", True, "another value of the same time claims less"),
    ]
    ended = imported(db, write_csv(tmp_path / "d.csv", rows(slots[71:72], "54")))
    assert (ended.conflicts, ended.stuck) == (1, 0)
    assert stuck_slots(db) == set()
    assert produced(db) == 1439
    assert [row[2:] for row in found(db) if row[0] == slots[0]] == [("used", False, None)]
    assert [row[2:] for row in found(db) if row[0] == slots[70]] == [
        ("used", True, "claims least of several values"),
        ("superseded", True, "another value of the same time claims less"),
    ]


@long
def test_equal_differences_of_a_register_are_no_flat_line(db: Database, tmp_path: Path) -> None:
    site = park(1).replace('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "kWh"')
    apply(db, site.replace('label = "start"\n', ""))
    instants = [*slots_of(JUNE[0]), slots_of(JUNE[1])[0]]
    lines = [row for n, slot in enumerate(instants) for row in rows([slot], str(1000 + 5 * n))]
    assert imported(db, write_csv(tmp_path / "a.csv", lines)).stuck == 0
    with db.write() as session:
        assert requalify(session, session.scalars(select(Meter.id)).one()) == 0
    assert (stuck_slots(db), produced(db)) == (set(), 5 * 144)


def test_only_positive_values_that_would_count_are_stuck(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, park(1))
    day = slots_of(JUNE[0])
    lines = (
        rows(day[:20], "0")
        + rows(day[20:40], "-6")
        + rows(day[40:60], "500")
        + rows(day[60:80], "60")
    )
    lines += rows(day[80:90], "") + rows(day[90:95], "60.0") + rows(day[95:100], "61")
    report = imported(sqlite_db, write_csv(tmp_path / "a.csv", lines))
    # 500 is above the rated power, and is that; empty slots neither end a line nor are of it.
    assert (report.outliers, report.missing, report.stuck) == (20, 10, 25)
    assert stuck_slots(sqlite_db) == set(day[60:80]) | set(day[90:95])


@pytest.mark.parametrize("role", ["import", "load"])
def test_a_meter_of_consumption_is_never_stuck(
    sqlite_db: Database, tmp_path: Path, role: str
) -> None:
    apply(sqlite_db, park(1, role))
    report = imported(sqlite_db, write_csv(tmp_path / "a.csv", rows(slots_of(JUNE[0]), "60")))
    assert report.stuck == 0


def test_nothing_is_stuck_where_it_is_switched_off(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db, park(0))
    report = imported(sqlite_db, write_csv(tmp_path / "a.csv", rows(slots_of(JUNE[0]), "60")))
    assert (report.stuck, stuck_slots(sqlite_db)) == (0, set())


def test_where_no_reading_is_judged_otherwise_nothing_is_said_of_readings(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, park(24))
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows(slots_of(JUNE[0])[:2], "60")))
    changes = apply(sqlite_db, park(0))
    assert changes.updated != []
    assert [text for text in changes.warnings if "judged anew" in text] == []


@long
def test_another_number_of_hours_judges_what_is_stored_anew(db: Database, tmp_path: Path) -> None:
    apply(db, park(0))
    slots = slots_of(JUNE[0])
    imported(db, write_csv(tmp_path / "a.csv", rows(slots[:36], "60") + rows(slots[36:], "61")))
    changes = apply(db, park(6))
    assert [text for text in changes.warnings if "judged anew" in text] == [
        "meter serial-A: 144 readings judged anew by the changed rated power or stuck_hours"
    ]
    assert stuck_slots(db) == set(slots)
    assert produced(db) == 0
    apply(db, park(7))
    assert stuck_slots(db) == set(slots[36:])
    apply(db, park())
    assert stuck_slots(db) == set()
    assert apply(db, park()).updated == []


def test_judged_anew_what_is_above_the_rated_power_is_that_and_no_flat_line(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, park(0))
    slots = slots_of(JUNE[0])
    lines = rows(slots[:72], "500") + rows(slots[72:], "60")
    assert imported(sqlite_db, write_csv(tmp_path / "a.csv", lines)).outliers == 72
    apply(sqlite_db, park(1))
    assert stuck_slots(sqlite_db) == set(slots[72:])


def test_meters_of_before_are_left_as_they_were_until_their_site_file_is_applied(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, park())
    with sqlite_db.write() as session:  # as the migration leaves them
        session.execute(update(Meter).values(stuck_hours=None))
    slots = slots_of(JUNE[0])
    assert imported(sqlite_db, write_csv(tmp_path / "a.csv", rows(slots, "60"))).stuck == 0
    apply(sqlite_db, park())
    assert stuck_slots(sqlite_db) == set(slots)


@long
def test_rows_of_an_issued_day_never_change(db: Database, tmp_path: Path) -> None:
    apply(db, park())
    slots = slots_of(JUNE[0])
    imported(db, write_csv(tmp_path / "a.csv", rows(slots[:-1], "60")))
    issue(db)
    before = found(db)
    # It would have completed the line, and another would have ended it.
    late = imported(db, write_csv(tmp_path / "b.csv", rows(slots[-1:], "60")))
    assert (late.late, late.stuck) == (1, 0)
    assert found(db)[:-1] == before
    with db.write() as session:
        meter = session.scalars(select(Meter.id)).one()
        assert requalify(session, meter) == 0
        session.execute(update(Issuance).values(state=IssuanceState.VOID))
        assert requalify(session, meter) == 144
    assert stuck_slots(db) == set(slots)


days_of_rows = st.lists(
    st.tuples(
        st.integers(0, 60), st.sampled_from(["60", "60.0", "60", "66", "54", "", "-6", "500"])
    ),
    min_size=1,
    max_size=30,
    unique=True,
)


@settings(
    max_examples=times(10, 30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    days_of_rows,
    st.lists(st.integers(1, 49), max_size=3),
    st.sampled_from([2, 5, 24]),
    st.randoms(),
)
def test_the_order_of_rows_and_files_changes_nothing(
    sqlite_db: Database,
    tmp_path: Path,
    spots: list[tuple[int, str]],
    cuts: list[int],
    hours: int,
    random: Random,
) -> None:
    """Two flat days of the clock's change, spoilt here and there, in files of any order."""
    apply(sqlite_db, park(hours, minutes=60))
    slots = slots_of(date(2014, 3, 30), 60) + slots_of(date(2014, 3, 31), 60)
    texts: Texts = {slot: ["60"] for slot in slots}
    for place, text in spots:
        if place < len(slots) and text not in texts[slots[place]]:
            texts[slots[place]].append(text)
    lines = [(slot, text) for slot in slots for text in texts[slot]]

    def stored(files: list[list[tuple[int, str]]]) -> list[tuple[int, str, str, bool, str | None]]:
        with sqlite_db.write() as session:
            session.execute(delete(MeterReading))
            session.execute(delete(ImportFile))
        for file in files:
            if file:
                text = [row for slot, text in file for row in rows([slot], text)]
                imported(sqlite_db, write_csv(tmp_path / "a.csv", text))
        return found(sqlite_db)

    whole = stored([lines])
    assert {row[0] for row in whole if row[4] == STUCK} == stuck_by_definition(
        texts, PARIS, 3600, hours, Fraction(100)
    )
    random.shuffle(lines)
    ends = sorted({0, len(lines), *(cut * len(lines) // 50 for cut in cuts)})
    assert stored([lines[a:b] for a, b in pairwise(ends)]) == whole
    with sqlite_db.write() as session:
        assert requalify(session, session.scalars(select(Meter.id)).one()) == 0


@long
def test_the_real_turbine_has_no_flat_line_of_even_one_hour(
    sqlite_db: Database,
) -> None:
    site = LHB_SITE.read_text().replace("stuck_hours = 24", "stuck_hours = 1")
    assert "stuck_hours = 1 " in site
    apply(sqlite_db, site)
    assert import_file(sqlite_db, "lhb", "scada", LHB_FILE).stuck == 0
    with sqlite_db.read() as session:
        query = select(func.count()).where(MeterReading.reason == STUCK)
        assert session.scalar(query) == 0


# ------------------------------------------------------------------ the site file


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "25",
            "stuck_hours must be from 1 to 24 whole hours, or 0 to judge no flat line, found 25",
        ),
        (
            "-1",
            "stuck_hours must be from 1 to 24 whole hours, or 0 to judge no flat line, found -1",
        ),
        ('"6"', "stuck_hours must be a whole number without quotes, found '6'"),
        ("6.5", "stuck_hours must be a whole number without quotes, found 6.5"),
        ("true", "stuck_hours must be a whole number without quotes, found true"),
    ],
)
def test_a_wrong_number_of_hours_is_said_with_its_line(value: str, said: str) -> None:
    text = SITE.replace('role = "generation"', f'role = "generation"\nstuck_hours = {value}')
    line = text.splitlines().index(f"stuck_hours = {value}") + 1
    with pytest.raises(BadInput, match=f"^park.toml: line {line}, \\[device\\]: ") as raised:
        read_site_file(text, "park.toml")
    assert raised.value.message.endswith(said)


def test_without_a_number_no_flat_line_is_looked_for(sqlite_db: Database, tmp_path: Path) -> None:
    """Some plants are right to stand at one value for a day: who declares the key says that his is not."""
    assert read_site_file(SITE, "park.toml").devices[0].stuck_hours == 0
    apply(sqlite_db, SITE)
    file = write_csv(tmp_path / "a.csv", rows(slots_of(JUNE[0]), "60"))
    assert imported(sqlite_db, file).stuck == 0
