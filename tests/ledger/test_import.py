"""Imports: what each row becomes, on SQLite and on MariaDB."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.db import Database
from ledger.models import (
    CarbonEmission,
    DeviceData,
    EnergyConsumption,
    EnergyProduction,
    ImportFile,
    Issuance,
    Meter,
    MeterReading,
    Site,
)
from ledger.models.issuance import IssuanceState
from ledger.readings import import_file, reductions_for
from ledger.readings.imports.requalify import requalify
from ledger.reconcile.reading_rules import differences
from ledger.reductions import Counts, Kind, Quality, Role
from ledger.reductions.quality import Limits, judge_slot, limits_of
from tests.support.forms import long, times
from tests.support.plant import JUNE, SITE, apply, imported, issue, write_csv

SHORT_ON_MARIADB = (
    "test_every_row_has_one_outcome_and_a_second_import_changes_nothing",
    "test_a_corrected_rating_judges_what_is_stored_anew",
    "test_two_importers_at_once_lose_and_double_nothing",
)

START = datetime(2014, 6, 1, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
T0, T1, T2 = ((START + timedelta(minutes=10 * n)).isoformat() for n in range(3))

Row = tuple[str, str, bool, str | None]


def rows_of(db: Database) -> list[Row]:
    with db.read() as session:
        query = select(MeterReading).order_by(MeterReading.start_s, MeterReading.text)
        return [
            (row.text, row.quality.value, row.conflict, row.reason)
            for row in session.scalars(query)
        ]


def counts(db: Database) -> Counts:
    with db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *JUNE)
    return reduction.counts


def contradicting(
    line: int, at: datetime, text: str, other: tuple[str, str, int], imported_at: str | None = None
) -> dict[str, object]:
    """What a report says of a row that contradicts another: its text, file and line."""
    return {
        "line": line,
        "device": "A",
        "at": at.astimezone(PARIS).isoformat(),
        "text": text,
        "other": dict(zip(("text", "file", "line"), other, strict=True))
        | {"imported_at": imported_at},
    }


@pytest.fixture
def park(db: Database) -> Database:
    apply(db)
    return db


@pytest.fixture
def small(sqlite_db: Database) -> Database:
    apply(sqlite_db)
    return sqlite_db


def test_every_row_has_one_outcome_and_a_second_import_changes_nothing(
    park: Database, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "a.csv", [(T0, "60"), (T0, "66"), (T0, "60"), (T1, ""), (T2, "-6")])
    first = imported(park, file)
    assert first.as_json() == {
        "file_sha256": first.file_sha256,
        "read": 5,
        "new": 3,
        "unchanged": 1,
        "conflicts": 1,
        "rejected": 0,
        "errors": [],
        "contradictions": [contradicting(3, START, "66", ("60", "a.csv", 2))],
        "missing": 1,
    }
    stored = rows_of(park)
    assert stored == [
        ("60", "used", True, "claims least of several values"),
        ("66", "superseded", True, "another value of the same time claims less"),
        ("", "missing", False, "no value in the file"),
        ("-6", "used", False, None),
    ]
    second = imported(park, file)
    assert (second.new, second.unchanged, second.conflicts) == (0, 5, 0)
    assert rows_of(park) == stored
    assert counts(park) == Counts(expected=144, used=2, missing=142, conflict=1)


def test_rows_that_contradict_are_named_with_what_counted_before(
    park: Database, tmp_path: Path
) -> None:
    """A count alone was said, and whoever wanted to see the rows of a corrected file had to look for them."""
    ten = timedelta(minutes=10)
    before = [((START + ten * place).isoformat(), str(100 + place)) for place in range(120)]
    first = imported(park, write_csv(tmp_path / "a.csv", [*before, (T0, "90")]))
    assert first.contradictions == [contradicting(122, START, "90", ("100", "a.csv", 2))]
    with park.read() as session:
        moment = session.scalars(select(ImportFile.imported_at)).one()
    then = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    # The newest first, and the slot of two values last: its lowest counts.
    after = [(time, str(200 + place)) for place, (time, _) in enumerate(reversed(before))]
    file = write_csv(tmp_path / "b.csv", [*after, (T1, "101"), (T1, "7")])
    wanted = [
        contradicting(
            2 + place,
            START + ten * (119 - place),
            str(200 + place),
            (str(219 - place), "a.csv", 121 - place),
            then,
        )
        for place in range(100)
    ]
    tried = import_file(park, "park", "scada", file, dry_run=True)
    assert (tried.conflicts, tried.unchanged) == (121, 1)
    assert tried.contradictions == wanted
    assert tried.as_json()["contradictions"] == wanted
    assert len(rows_of(park)) == 121
    short = imported(park, write_csv(tmp_path / "c.csv", [(T1, "7"), (T0, "95"), (T0, "95.0")]))
    assert short.contradictions == [
        contradicting(2, START + ten, "7", ("101", "a.csv", 3), then),
        contradicting(3, START, "95", ("90", "a.csv", 122), then),
    ]


def test_a_clock_that_stands_still_is_read_in_the_time_of_its_rows(
    small: Database, tmp_path: Path
) -> None:
    rows = [(T0, str(60 + place)) for place in range(6_000)]
    begun = process_time()
    report = imported(small, write_csv(tmp_path / "a.csv", rows))
    again = imported(small, write_csv(tmp_path / "b.csv", [*rows, (T0, "59")]))
    assert process_time() - begun < 10  # each compared with each took half a minute
    assert (report.new, report.conflicts) == (1, 5_999)
    assert (again.unchanged, again.conflicts) == (6_000, 1)
    assert [row[0] for row in rows_of(small) if row[1] == "used"] == ["59"]


def test_the_lowest_wins_when_it_comes_in_a_later_file(park: Database, tmp_path: Path) -> None:
    imported(park, write_csv(tmp_path / "a.csv", [(T0, "66")]))
    report = imported(park, write_csv(tmp_path / "b.csv", [(T0, "60")]))
    assert (report.new, report.conflicts) == (0, 1)
    assert [row[:3] for row in rows_of(park)] == [("60", "used", True), ("66", "superseded", True)]
    with park.read() as session:
        produced = session.scalars(select(EnergyProduction.production)).all()
    assert produced == [Decimal("10.000")]


def test_a_value_takes_the_place_of_an_empty_one(park: Database, tmp_path: Path) -> None:
    imported(park, write_csv(tmp_path / "a.csv", [(T0, "")]))
    report = imported(park, write_csv(tmp_path / "b.csv", [(T0, "60")]))
    assert (report.new, report.conflicts) == (1, 0)
    assert [row[:3] for row in rows_of(park)] == [("", "superseded", False), ("60", "used", False)]
    assert counts(park).missing == 143


def test_one_value_in_two_spellings_is_one_reading(park: Database, tmp_path: Path) -> None:
    report = imported(park, write_csv(tmp_path / "a.csv", [(T0, "60.0"), (T0, "60")]))
    assert (report.new, report.conflicts) == (2, 0)
    assert [row[:3] for row in rows_of(park)] == [
        ("60", "used", False),
        ("60.0", "superseded", False),
    ]


def test_beyond_what_the_device_can_do_claims_nothing_and_the_limits_pass(
    park: Database, tmp_path: Path
) -> None:
    times = [(START + timedelta(minutes=10 * n)).isoformat() for n in range(5)]
    values = ["120", "120.000000001", "-20", "-20.000000001", "-1000000"]
    report = imported(park, write_csv(tmp_path / "a.csv", zip(times, values, strict=True)))
    assert report.outliers == 3
    assert [row[1::2] for row in rows_of(park)] == [
        ("used", None),
        ("outlier", "above 1.2 x rated power"),
        ("used", None),
        ("outlier", "below -0.2 x rated power"),
        ("outlier", "below -0.2 x rated power"),
    ]
    assert counts(park).outlier == 3


def test_without_a_rated_power_nothing_is_an_outlier(small: Database, tmp_path: Path) -> None:
    apply(small, SITE.replace('rated_kw = "100"\n', ""))
    assert imported(small, write_csv(tmp_path / "a.csv", [(T0, "100000")])).outliers == 0


def test_trap_capacity_energy_of_a_slot_is_held_against_the_rated_power_over_it(
    small: Database, tmp_path: Path
) -> None:
    apply(small, SITE.replace('kind = "power"\nunit = "kW"', 'kind = "energy"\nunit = "Wh"'))
    # 100 kW over ten minutes are 16,666.7 Wh, and 1.2 times that 20,000.
    report = imported(small, write_csv(tmp_path / "a.csv", [(T0, "20000"), (T1, "20001")]))
    assert report.outliers == 1
    with small.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *JUNE)
    assert reduction.net_kwh == 20


def test_a_corrected_rating_judges_what_is_stored_anew(park: Database, tmp_path: Path) -> None:
    imported(park, write_csv(tmp_path / "a.csv", [(T0, "90"), (T1, "300")]))
    changes = apply(park, SITE.replace('rated_kw = "100"', 'rated_kw = "1000"'))
    assert "meter serial-A" in changes.updated
    assert [row[1] for row in rows_of(park)] == ["used", "used"]
    apply(park, SITE.replace('rated_kw = "100"', 'rated_kw = "50"'))
    assert [row[1] for row in rows_of(park)] == ["outlier", "outlier"]
    with park.read() as session:
        assert session.scalars(select(func.count()).select_from(EnergyProduction)).one() == 0


def test_the_highest_counts_for_consumption(small: Database, tmp_path: Path) -> None:
    apply(small, SITE.replace('role = "generation"', 'role = "import"'))
    imported(small, write_csv(tmp_path / "a.csv", [(T0, "60"), (T0, "66")]))
    assert [row[:2] for row in rows_of(small)] == [("60", "superseded"), ("66", "used")]


def test_the_customers_tables_are_filled(park: Database, tmp_path: Path) -> None:
    rows = [(T0, "60"), (T1, "-6.0000005"), (T2, "500"), (START.isoformat(), "66")]
    imported(park, write_csv(tmp_path / "a.csv", rows))
    with park.read() as session:
        data = session.execute(
            select(
                DeviceData.metric_name, DeviceData.value, DeviceData.unit, DeviceData.recorded_at
            ).order_by(DeviceData.id)
        ).all()
        production = session.execute(
            select(EnergyProduction.production, EnergyProduction.unit, EnergyProduction.recorded_at)
        ).all()
        consumption = session.scalars(select(EnergyConsumption.consumption)).all()
        emission = session.scalars(select(CarbonEmission)).one()
    # As received: outliers and superseded values too, rounded half away from zero to 1e-6.
    assert sorted(data) == sorted(
        [
            ("active_power", Decimal("60.000000"), "kW", START),
            ("active_power", Decimal("-6.000001"), "kW", START + timedelta(minutes=10)),
            ("active_power", Decimal("500.000000"), "kW", START + timedelta(minutes=20)),
            ("active_power", Decimal("66.000000"), "kW", START),
        ]
    )
    assert production == [(Decimal("10.000"), "kWh", START)]
    assert consumption == [Decimal("1.000")]
    assert emission.emissions == Decimal("0.000100")  # 1.0000000833 kWh at 100 g/kWh
    assert emission.calculation_method == "location_based"
    assert emission.recorded_at == datetime(2014, 5, 31, 22, tzinfo=UTC)  # midnight in Paris
    assert emission.factors is not None
    assert emission.factors["factor"] == "grid-average"


def test_trap_a_reading_edited_after_the_issuance_is_late_and_moves_nothing(
    park: Database, tmp_path: Path
) -> None:
    imported(park, write_csv(tmp_path / "a.csv", [(T0, "60")]))
    issue(park)
    with park.read() as session:
        (before,) = reductions_for(session, "park-wind", *JUNE)
    outside = (START + timedelta(days=1)).isoformat()
    report = imported(park, write_csv(tmp_path / "b.csv", [(T0, "6"), (T1, "66"), (outside, "7")]))
    assert (report.new, report.conflicts, report.late) == (2, 1, 2)
    assert report.as_json()["late"] == 2
    assert [row[:2] for row in rows_of(park)] == [
        ("6", "late"),
        ("60", "used"),
        ("66", "late"),
        ("7", "used"),
    ]
    with park.read() as session:
        (after,) = reductions_for(session, "park-wind", *JUNE)
    assert (after.net_kwh, after.evidence_root) == (before.net_kwh, before.evidence_root)


def test_what_came_late_for_a_void_issuance_counts_for_the_next(
    park: Database, tmp_path: Path
) -> None:
    imported(park, write_csv(tmp_path / "a.csv", [(T0, "60")]))
    issue(park)
    imported(park, write_csv(tmp_path / "b.csv", [(T0, "6")]))
    with park.write() as session:
        meter = session.scalars(select(Meter.id)).one()
        assert requalify(session, meter) == 0
    with park.write() as session:
        session.execute(update(Issuance).values(state=IssuanceState.VOID))
        assert requalify(session, meter) == 2
    assert [row[:3] for row in rows_of(park)] == [("6", "used", True), ("60", "superseded", True)]


REGISTER = SITE.replace('"power"\nunit = "kW"', '"counter"\nunit = "kWh"').replace(
    'label = "start"\n', ""
)


@long
@pytest.mark.parametrize(
    ("site", "late", "shown"),
    [(SITE, (0, "50"), [(0, "8.333")]), (REGISTER, (2, "120"), [(0, "10.000"), (1, "100.000")])],
)
def test_what_is_shown_of_late_readings_follows_the_rated_power(
    sqlite_db: Database,
    tmp_path: Path,
    site: str,
    late: tuple[int, str],
    shown: list[tuple[int, str]],
) -> None:
    """They are judged when they are shown: of the days before, `reconcile` said that somebody wrote there."""
    apply(sqlite_db, site)
    hours = [(START + timedelta(hours=n)).isoformat() for n in range(3)]
    rows = [(hours[0], "60")] if site == SITE else [(hours[0], "10"), (hours[1], "20")]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows))
    issue(sqlite_db, (date(2014, 6, 1), date(2014, 6, 2)))
    assert imported(sqlite_db, write_csv(tmp_path / "b.csv", [(hours[late[0]], late[1])])).late == 1
    for rated, expected in (("100", shown), ("40", shown[:-1]), ("100", shown)):
        apply(sqlite_db, site.replace('rated_kw = "100"', f'rated_kw = "{rated}"'))
        query = select(EnergyProduction.recorded_at, EnergyProduction.production)
        with sqlite_db.read() as session:
            found = session.execute(query.order_by(EnergyProduction.recorded_at)).all()
            assert list(differences(session, session.scalars(select(Site)).one())) == []
        assert [(at.hour, str(kwh)) for at, kwh in found] == expected, rated


def test_what_comes_late_while_its_issuance_becomes_void_counts_for_the_next(
    mariadb_db: Database, tmp_path: Path
) -> None:
    """The import found a live issuance, and whoever makes it void began before the import was done."""
    apply(mariadb_db, SITE)
    imported(mariadb_db, write_csv(tmp_path / "a.csv", [(T0, "60")]))
    issue(mariadb_db, (date(2014, 6, 1), date(2014, 6, 4)), state=IssuanceState.PLANNED)
    day_after = (START + timedelta(days=1)).isoformat()
    late = write_csv(tmp_path / "b.csv", [(day_after, "6")])
    begun, written = threading.Event(), threading.Event()

    def void(session: Session) -> None:
        key = session.scalars(select(Issuance.key)).one()
        begun.set()
        assert written.wait(180)
        issuance.fail(session, key, "a test")

    def before_its_end(_session: Session, _spans: object) -> dict[str, int]:
        assert begun.wait(180)
        written.set()
        time.sleep(0.5)  # it waits for the meter by now
        return {}

    with ThreadPoolExecutor(max_workers=1) as pool:
        voiding = pool.submit(mariadb_db.run, void)
        report = import_file(mariadb_db, "park", "scada", late, after=before_its_end)
        voiding.result()
    assert report.late == 1
    assert [row[:2] for row in rows_of(mariadb_db)] == [("60", "used"), ("6", "used")]


def test_the_carry_of_an_issuance_goes_into_the_next_of_its_vintage(
    small: Database, tmp_path: Path
) -> None:
    later = [(START + timedelta(days=d)).isoformat() for d in (1, 214)]  # 2 June, 1 January
    imported(
        small, write_csv(tmp_path / "a.csv", [(T0, "60.7"), *((time, "60") for time in later)])
    )
    issue(small)
    with small.read() as session:
        (issued,) = reductions_for(session, "park-wind", *JUNE)
        (same_year,) = reductions_for(session, "park-wind", date(2014, 6, 2), date(2014, 6, 3))
        (next_year,) = reductions_for(session, "park-wind", date(2015, 1, 1), date(2015, 1, 2))
    assert issued.carry_out_kg == Fraction(607, 10) / 6 / 2 - 5
    assert issued.inputs.carry_in_kg == 0
    assert same_year.inputs.carry_in_kg == issued.carry_out_kg
    assert next_year.inputs.carry_in_kg == 0
    other = SITE.replace('"CCER-01-002"', '"internal-grid-renewable"').replace('"V01"', '"1"')
    apply(small, other)
    with small.read() as session:
        (new_rules,) = reductions_for(session, "park-wind", date(2014, 6, 2), date(2014, 6, 3))
    assert new_rules.inputs.carry_in_kg == 0


def test_a_deficit_is_carried_into_the_next_vintage(small: Database, tmp_path: Path) -> None:
    next_year = (START + timedelta(days=214)).isoformat()
    imported(small, write_csv(tmp_path / "a.csv", [(T0, "-12"), (next_year, "60")]))
    issue(small)
    with small.read() as session:
        (reduction,) = reductions_for(session, "park-wind", date(2015, 1, 1), date(2015, 1, 2))
    assert reduction.inputs.carry_in_kg == -1
    assert reduction.issued_kg == 4


def test_trap_one_meter_does_not_mix_units_or_intervals(small: Database, tmp_path: Path) -> None:
    imported(small, write_csv(tmp_path / "a.csv", [(T0, "60")]))
    for old, new in (('unit = "kW"', 'unit = "W"'), ("minutes = 10", "minutes = 5")):
        apply(small, SITE.replace(old, new))
        with pytest.raises(
            Exception,
            match=r"b\.csv: line 2: source scada: .*one meter keeps one unit and interval",
        ) as caught:
            imported(small, write_csv(tmp_path / "b.csv", [(T1, "60")]))
        assert getattr(caught.value, "exit_code", None) == 2


def test_a_dry_run_says_the_same_and_keeps_nothing(park: Database, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [(T0, "60"), (T1, "x")])
    dry = import_file(park, "park", "scada", file, dry_run=True)
    assert (dry.new, dry.rejected) == (1, 1)
    assert rows_of(park) == []
    with park.read() as session:
        for model in (ImportFile, DeviceData, EnergyProduction):
            assert session.scalars(select(func.count()).select_from(model)).one() == 0
    assert imported(park, file).as_json() == dry.as_json()


def test_every_import_is_recorded_with_its_counts(park: Database, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", [(T0, "60"), (T0, "61"), (T1, "x")], packed=True)
    report = imported(park, file)
    with park.read() as session:
        log = session.scalars(select(ImportFile)).one()
    assert (log.file_name, log.file_sha256) == ("a.csv", report.file_sha256)
    assert (log.rows_read, log.rows_new, log.rows_unchanged) == (3, 1, 0)
    assert (log.rows_conflict, log.rows_rejected) == (1, 1)


def test_two_importers_at_once_lose_and_double_nothing(park: Database, tmp_path: Path) -> None:
    times = [(START + timedelta(minutes=10 * n)).isoformat() for n in range(144)]
    one = write_csv(tmp_path / "a.csv", [(time, "60") for time in times])
    other = write_csv(
        tmp_path / "b.csv", [(time, "60" if n % 2 else "59") for n, time in enumerate(times)]
    )
    errors: list[BaseException] = []
    barrier = threading.Barrier(2)

    def work(file: Path) -> None:
        try:
            barrier.wait()
            imported(park, file)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(file,)) for file in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with park.read() as session:
        (reduction,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 3))
        hours = session.scalars(select(EnergyProduction.production)).all()
    assert (reduction.counts.used, reduction.counts.conflict) == (144, 72)
    assert reduction.net_kwh == 72 * 60 / Fraction(6) + 72 * 59 / Fraction(6)
    assert sum(hours) == Decimal("1428.000")


outcomes = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["", "1", "1.0", "2", "-3", "130", "-50", "1e1"])),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=times(8, 25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(outcomes, st.integers(0, 8), st.randoms())
def test_the_order_of_rows_and_files_changes_nothing(
    small: Database, tmp_path: Path, rows: list[tuple[int, str]], cut: int, random: object
) -> None:
    def result(files: list[list[tuple[int, str]]]) -> tuple[list[Row], list[Decimal]]:
        with small.write() as session:
            session.execute(delete(MeterReading))
            session.execute(delete(EnergyProduction))
        for number, part in enumerate(files):
            if part:
                named = [((T0, T1, T2)[slot], text) for slot, text in part]
                imported(small, write_csv(tmp_path / f"{number}.csv", named))
        with small.read() as session:
            query = select(EnergyProduction.production).order_by(EnergyProduction.recorded_at)
            return rows_of(small), list(session.scalars(query))

    whole = result([rows])
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert result([shuffled[:cut], shuffled[cut:]]) == whole


@given(
    st.lists(
        st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 6)),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    st.sampled_from([Role.GENERATION, Role.EXPORT, Role.IMPORT, Role.LOAD]),
)
@example([(3, 0), (300_000, 5)], Role.GENERATION)  # 300000 * 10**-5 is no 3
def test_one_of_a_slot_counts_and_it_claims_least(
    values: list[tuple[int, int]], role: Role
) -> None:
    rows = [(f"{digits}e-{scale}", (digits, scale)) for digits, scale in values]
    limits = Limits(Fraction(100), Kind.POWER, 600)
    qualities, conflict = judge_slot(rows, role, limits)
    sizes = [Fraction(digits, 10**scale) for digits, scale in values]
    best = min(sizes) if role in (Role.GENERATION, Role.EXPORT) else max(sizes)
    live = [
        size
        for size, quality in zip(sizes, qualities, strict=True)
        if quality // 100 in (Quality.USED // 100, Quality.OUTLIER_ABOVE // 100)
    ]
    assert live == [best]
    assert conflict == (len(set(sizes)) > 1)
    used = any(quality // 100 == 1 for quality in qualities)
    assert used == (-20 <= best <= 120)


@pytest.mark.parametrize("digits", [-101, 10**6])
@pytest.mark.parametrize(
    ("role", "kind", "limited"),
    [
        (Role.GENERATION, Kind.POWER, True),
        (Role.IMPORT, Kind.ENERGY, True),
        (Role.STORAGE, Kind.POWER, False),
        (Role.STORAGE, Kind.ENERGY, False),
        (Role.FUEL, Kind.FUEL_MASS, False),
        (Role.FUEL, Kind.FUEL_VOLUME, False),
    ],
)
def test_a_rated_power_limits_neither_batteries_nor_fuel(
    role: Role, kind: Kind, limited: bool, digits: int
) -> None:
    """A battery of 100 kW charges with 100: a fifth of that would be an outlier of a turbine."""
    found = limits_of(role, Fraction(100), kind, 3600).judge(digits, 0, 3600)
    assert (found is Quality.USED) is not limited
