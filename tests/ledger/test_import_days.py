"""Days from memory and days compared with the books come to the same, however a file is cut or ordered."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from ledger.db import Database
from ledger.models import (
    CarbonEmission,
    Device,
    DeviceData,
    DeviceType,
    EmissionFactor,
    EnergyConsumption,
    EnergyProduction,
    Meter,
    MeterReading,
)
from ledger.readings import import_file
from ledger.readings.files.sources import RawReading
from ledger.readings.files.times import TimeReader
from ledger.readings.imports import days, importing
from ledger.readings.imports.ahead import ahead
from ledger.readings.imports.days import HeldDays
from ledger.readings.imports.fresh import FreshDays, micros
from ledger.reductions.zones import zone
from ledger.sites import apply_site
from tests.support.books import new_books
from tests.support.forms import few, rest, times

SITE = """
[site]
code = "park"
name = "Park"
time_zone = "{zone}"
country = "FR"
inventory_factor = "grid"

[[factor]]
code = "grid"
version = "1"
purpose = "inventory_location"
value = "56.039"
unit = "g/kWh"
source = "a test"
verified = true

[[device]]
code = "A"
type = "wind_turbine"
rated_kw = "100"
meter_serial = "A"
role = "generation"
stuck_hours = 24

[[device]]
code = "B"
type = "load"
meter_serial = "B"
role = "load"

[[source]]
name = "scada"
kind = "{kind}"
unit = "{unit}"
interval_minutes = 30
label = "start"
device_column = "device"
time_column = "time"
value_column = "value"
time_zone = "offset"
"""
TABLES: list[Any] = [MeterReading, DeviceData, EnergyProduction, EnergyConsumption, CarbonEmission]
Row = tuple[str, str, str]


def rows_of_days(where: str, seed: int) -> list[Row]:
    """Return half-hours of five days about a change of the clocks, with all that happens to readings."""
    chance = random.Random(seed)
    start = datetime(2014, 3, 28, tzinfo=ZoneInfo(where)).astimezone(UTC)
    rows = []
    for slot in range(5 * 48):
        time = (start + timedelta(minutes=30 * slot)).astimezone(ZoneInfo(where)).isoformat()
        value = f"{chance.randint(-20_00, 130_00) / 100:.{chance.choice((0, 1, 2, 7, 12))}f}"
        if chance.random() < 0.2:
            value = ""
        if 90 <= slot < 150:
            value = "12.5"  # a whole legal day of it is a flat line
        rows.append(("A", time, value))
        rows.append(("B", time, str(chance.randint(0, 10**6))))
    return rows


def written(folder: Path, rows: list[Row], name: str = "a.csv") -> Path:
    """Write a file and return its path."""
    file = folder / name
    file.write_text("device,time,value\n" + "".join(",".join(row) + "\n" for row in rows))
    return file


def prepared(
    database: Database, folder: Path, where: str = "Europe/Paris", kind: str = "power"
) -> Database:
    """Return a database that knows the park."""
    site = folder / "site.toml"
    site.write_text(SITE.format(zone=where, kind=kind, unit="kW" if kind == "power" else "kWh"))
    database.run(lambda session: apply_site(session, site))
    return database


def books(database: Database) -> dict[str, list[Any]]:
    """Return what the tables hold, by device and without the times of writing, the same on both databases."""
    found: dict[str, list[Any]] = {}
    with database.read() as session:
        codes = {device.id: device.device_id for device in session.scalars(select(Device))}
        serials = {meter.id: meter.serial for meter in session.scalars(select(Meter))}
        for model in TABLES:
            names = [
                column.key
                for column in model.__mapper__.column_attrs
                if column.key not in ("id", "created_at", "file_id", "line")
            ]
            found[model.__tablename__] = sorted(
                (
                    tuple(
                        codes[value]
                        if name == "device_id"
                        else serials[value]
                        if name == "meter_id"
                        else value
                        for name in names
                        for value in [getattr(row, name)]
                    )
                    for row in session.scalars(select(model))
                ),
                key=repr,
            )
    return found


@few(2)
@pytest.mark.parametrize("kind", ["power", "energy"])
@pytest.mark.parametrize(
    "where",
    rest(
        ["Europe/Paris", "Asia/Kolkata", "Australia/Lord_Howe"],
        "Europe/Paris",
        "Australia/Lord_Howe",
    ),
)
def test_days_from_memory_are_those_that_are_compared(
    where: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, rows_of_days(where, 1))
    fast = prepared(new_books(tmp_path / "fast.db"), tmp_path, where, kind)
    from_memory = []
    usual = FreshDays.store

    def watched(self: FreshDays, *arguments: Any) -> bool:
        from_memory.append(usual(self, *arguments))
        return from_memory[-1]

    monkeypatch.setattr(FreshDays, "store", watched)
    report = import_file(fast, "park", "scada", file)
    assert any(from_memory) is (where != "Asia/Kolkata")  # its days begin at half an hour
    monkeypatch.setattr(FreshDays, "store", lambda *_: False)
    slow = prepared(new_books(tmp_path / "slow.db"), tmp_path, where, kind)
    assert import_file(slow, "park", "scada", file) == report
    assert report.stuck
    assert report.missing
    assert report.outliers
    expected = books(slow)
    assert all(expected.values())
    assert books(fast) == expected


@pytest.fixture(scope="module")
def of_one_file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What the books hold after all rows came in one file, in order."""
    folder = tmp_path_factory.mktemp("whole")
    database = prepared(new_books(folder / "whole.db"), folder)
    import_file(database, "park", "scada", written(folder, rows_of_days("Europe/Paris", 2)))
    return books(database)


@pytest.mark.parametrize(
    "order", rest(["backward", "shuffled", "in files", "in tiny pieces", "little held"], "shuffled")
)
def test_the_order_and_the_cut_of_the_rows_change_nothing(
    order: str,
    db: Database,
    of_one_file: dict[str, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = rows_of_days("Europe/Paris", 2)
    prepared(db, tmp_path)
    monkeypatch.setattr(importing, "PIECE_ROWS", 17 if order == "in tiny pieces" else 100)
    if order == "little held":
        monkeypatch.setattr(days, "HELD_ROWS_MAX", 30)
    if order == "backward":
        rows.reverse()
    elif order == "shuffled":
        random.Random(3).shuffle(rows)
    cut = 131 if order == "in files" else len(rows)
    for first in range(0, len(rows), cut):
        import_file(db, "park", "scada", written(tmp_path, rows[first : first + cut], "b.csv"))
    assert books(db) == of_one_file


def test_a_day_that_comes_in_two_files_is_judged_as_one(tmp_path: Path) -> None:
    rows = [row for row in rows_of_days("Europe/Paris", 4) if row[0] == "A"]
    day = [("A", time, "12.5") for _, time, _ in rows[96:144]]
    database = prepared(new_books(tmp_path / "a.db"), tmp_path)
    first = import_file(database, "park", "scada", written(tmp_path, day[:40]))
    assert (first.new, first.stuck) == (40, 0)
    second = import_file(database, "park", "scada", written(tmp_path, day[40:], "b.csv"))
    assert (second.new, second.stuck) == (8, 46)  # the clocks go forward: the day has 23 hours


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 400)), max_size=60), st.integers(1, 9)
)
def test_held_days_give_every_row_back_once_in_whole_days(rows: list[Any], size: int) -> None:
    where = zone("Europe/Paris")
    made = [
        RawReading(device, 1_388_530_800 + 3600 * hour, str(line), line, 0, line, 3600)
        for line, (device, hour) in enumerate(rows)
    ]
    held, given_back = HeldDays(where), []
    for first in range(0, len(made), size):
        for device in "AB":
            part = [row for row in made[first : first + size] if row.device == device]
            if part:
                given_back.append(held.add(device, part))
    for device in "AB":
        given_back += held.rest(device)
    assert held.count == 0
    assert sorted(row.line for part in given_back for row in part) == list(range(len(made)))
    for part in given_back:
        starts = [row.start_s for row in part]
        assert starts == sorted(starts)


@given(st.integers(0, 36), st.lists(st.integers(-(10**30), 10**30)))
def test_millionths_are_rounded_half_away_from_zero(scale: int, values: list[int]) -> None:
    def rounded(value: Fraction) -> int:
        cut = int(abs(value) + Fraction(1, 2))
        return cut if value >= 0 else -cut

    assert micros(values, scale) == [
        rounded(Fraction(value, 10**scale) * 10**6) for value in values
    ]


@settings(max_examples=times(12, 60))
@given(
    st.sampled_from(["offset", "Europe/Paris", "Asia/Kolkata", "America/New_York"]),
    st.sampled_from(["Europe/Paris", "Asia/Kolkata"]),
    st.booleans(),
    st.sampled_from([0, 61]),
    st.lists(
        st.tuples(
            st.builds(
                lambda day, minutes: datetime.fromisoformat(day) + timedelta(minutes=minutes),
                # Winter, summer, both changes of the clocks, and both ends of what is a time at all.
                st.sampled_from(
                    [
                        "2014-03-28",
                        "2014-03-30",
                        "2014-07-10",
                        "2014-10-25",
                        "1969-12-31",
                        "2106-02-06",
                    ]
                ),
                st.integers(0, 2 * 24 * 60),
            ),
            st.sampled_from(["", "Z", "+01:00", "+02:00", "-07:00"]),
            st.sampled_from(
                [
                    "%Y-%m-%dT%H:%M:%S",
                    "%Y-%m-%d %H:%M",
                    "%Y-%m-%d 24:00",
                    "%Y%m%dT%H%M",
                    "%G-W%V-%uT%H:%M",
                ]
            ),
        ),
        min_size=2,
        max_size=30,
    ),
)
def test_a_reader_that_remembers_reads_as_a_new_one(
    time_zone: str,
    grid: str,
    at_end: bool,
    tolerance_s: int,
    times: list[tuple[datetime, str, str]],
) -> None:
    def reader() -> TimeReader:
        return TimeReader(
            time_zone, 600, label_is_end=at_end, grid_zone=zone(grid), tolerance_s=tolerance_s
        )

    def read(by: TimeReader, said: str) -> tuple[int | str, int]:
        moved = by.moved
        try:
            return by.start_s(said), by.moved - moved
        except ValueError as error:
            # What may mend a time beside the grid depends on those before it.
            return str(error).split("; correct interval_minutes", maxsplit=1)[0], 0

    warm = reader()
    for moment, offset, form in times * 2:
        minute = moment.minute // 10 * 10 + (tolerance_s > 0 and moment.minute % 2)
        said = moment.replace(minute=minute).strftime(form) + offset
        assert read(warm, said) == read(reader(), said)


def test_what_a_reader_remembers_of_winter_is_not_the_time_of_summer() -> None:
    reader = TimeReader("Europe/Paris", 600, label_is_end=False, grid_zone=zone("Europe/Paris"))
    assert reader.start_s("2024-01-10T12:00") == 1_704_884_400
    assert reader.start_s("2024-07-10T00:00") == 1_720_562_400
    assert reader.start_s("2024-07-10T12:00") == 1_720_605_600  # made of the two before
    assert reader.start_s("2024-10-27T12:00") == 1_730_026_800  # summer ended that night


def test_what_a_reader_remembers_makes_no_time_before_1970_or_after_2106() -> None:
    reader = TimeReader("offset", 600, label_is_end=False, grid_zone=zone("Europe/Paris"))
    for said in ("1970-01-02 00:00+01:00", "1970-01-01 01:00+01:00", "1970-01-02 00:00Z"):
        reader.start_s(said)
    assert reader.start_s("1970-01-01 00:00Z") == 0
    with pytest.raises(ValueError, match="is not between 1970 and 2106"):
        reader.start_s("1970-01-01 00:00+01:00")
    for said in ("2106-02-06 06:30Z", "2106-02-07 06:10Z", "2106-02-06 06:20Z"):
        reader.start_s(said)
    assert reader.start_s("2106-02-07 06:20Z") == 2**32 - 496
    with pytest.raises(ValueError, match="is not between 1970 and 2106"):
        reader.start_s("2106-02-07 06:30Z")


def test_what_a_reader_remembers_of_a_long_interval_ends_with_the_sites_clock() -> None:
    """A day of Paris begins at 23:00 UTC in winter and at 22:00 in summer."""
    reader = TimeReader("UTC", 86_400, label_is_end=False, grid_zone=zone("Europe/Paris"))
    assert reader.start_s("2024-01-10T23:00:00") == 1_704_927_600
    assert reader.start_s("2024-07-10T22:00:00") == 1_720_648_800
    for beside in ("2024-07-10T23:00:00", "2024-01-10T22:00:00"):
        with pytest.raises(ValueError, match="2024"):
            reader.start_s(beside)


def test_a_bulk_insert_keeps_every_value_as_it_is(db: Database, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE.format(zone="Europe/Paris", kind="power", unit="kW"))
    db.run(lambda session: apply_site(session, site))
    texts = [
        "a",
        "",
        "it's",
        'a "b"',
        "50%",
        "%s %(a)s %%",
        "\\n\\",
        "你好 🌬",
        "x" * 100,
        ":name ?",
        "a\nb",
    ]
    rows = [(text, None if place % 3 else place, "t") for place, text in enumerate(texts)]
    with db.write() as session:
        db.insert_columns(
            session,
            "emission_factors",
            {
                "code": texts,
                "data_year": [year for _, year, _ in rows],
                "version": ["t"] * len(rows),
            },
            {
                "purpose": "fuel",
                "value": "1",
                "unit": "100% 'x'",
                "source": "\\ ? %s",
                "verified": 1,
                "content_sha256": "0" * 64,
                "created_at": "2014-01-01 00:00:00.000000",
            },
        )
    with db.read() as session:
        query = (
            select(EmissionFactor).where(EmissionFactor.version == "t").order_by(EmissionFactor.id)
        )
        stored = session.scalars(query).all()
        assert [(row.code, row.data_year, row.version) for row in stored] == rows
        assert {row.unit for row in stored} == {"100% 'x'"}
        assert {row.source for row in stored} == {"\\ ? %s"}
        assert {row.created_at for row in stored} == {datetime(2014, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize("value", [True, 1.5, b"x"])
def test_a_bulk_insert_refuses_what_it_cannot_say(db: Database, value: Any) -> None:
    with pytest.raises(TypeError, match="takes int, str and None"), db.write() as session:
        db.insert_columns(session, "devices", {"name": ["a"]}, {"location": value})


def test_a_bulk_insert_ends_with_its_unit_of_work(db: Database) -> None:
    named = select(func.count()).where(DeviceType.type_name.in_(("x", "y")))
    with pytest.raises(RuntimeError, match="stop"), db.write() as session:
        db.insert_columns(
            session,
            "device_types",
            {"type_name": ["x", "y"], "category": ["c", "c"]},
            {"created_at": "2014-01-01 00:00:00.000000"},
        )
        assert session.scalar(named) == 2
        raise RuntimeError("stop")
    with db.read() as session:
        assert session.scalar(named) == 0


def test_what_is_made_ahead_comes_in_order_and_fails_where_it_is_due() -> None:
    def made() -> Any:
        yield from range(1, 4)
        raise ValueError("the fourth")

    taken = []
    with pytest.raises(ValueError, match="the fourth"):
        for item in ahead(made()):
            taken.append(item)
    assert taken == [1, 2, 3]
