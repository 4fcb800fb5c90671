"""A site of many devices is asked about in as many statements as one of few."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, insert, select

from api.energy import queries
from api.finality import ChainView
from api.sites import months
from ledger.db import Database
from ledger.db.tables import ends_among
from ledger.jobs import issuing
from ledger.models import CarbonEmission, Device, EnergyProduction
from ledger.readings import import_file
from ledger.sites import apply_site
from tests.support import plant
from tests.support.forms import few, long
from tests.support.identity import House, open_house, settings_for

FEW, MANY = 3, 40
T0 = datetime(2026, 2, 28, 18, 30, tzinfo=UTC)
"""The first second of March in India, in the midst of an hour of UTC: whose hour that is, the first reading says."""
FIRST_HOUR = T0.replace(minute=0)
SITE = """
[site]
code = "park"
name = "Park"
time_zone = "Asia/Kolkata"
country = "IN"

[[factor]]
code = "cm"
version = "1"
purpose = "crediting_cm"
value = "0.5"
unit = "t/MWh"
source = "a test"
verified = true

[project]
code = "park-pv"
methodology = "internal-grid-renewable"
methodology_version = "1"
factor = "cm"
program = "internal"
issue_every = "month"

[[source]]
name = "scada"
kind = "power"
unit = "kW"
interval_minutes = 30
label = "start"
device_column = "device"
time_column = "time"
value_column = "power"
time_zone = "offset"
"""
DEVICE = """
[[device]]
code = "I{0}"
type = "inverter"
rated_kw = "50"
meter_serial = "I{0}"
role = "generation"
"""


@dataclass
class Asked:
    """A site of so many devices, and the API before it."""

    house: House
    devices: int

    def statements(self, path: str) -> list[str]:
        """Return the statements of a question that was asked before."""
        for _ in range(2):
            with heard(self.house.db) as said:
                answer = self.house.client.get(path, headers={"Accept": "text/html, */*"})
            assert answer.status_code == 200, answer.text
        return said


@contextmanager
def heard(db: Database) -> Iterator[list[str]]:
    """Note every statement to the books."""
    said: list[str] = []

    def note(_link: object, _cursor: object, sql: str, *_: object) -> None:
        said.append(sql)

    event.listen(db._engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(db._engine, "before_cursor_execute", note)


def fill(db: Database, folder: Path, devices: int) -> None:
    """Apply a site of so many devices, with three hours of readings, and emissions of another program."""
    site = folder / "site.toml"
    site.write_text(SITE + "".join(map(DEVICE.format, range(devices))), encoding="utf-8")
    db.run(lambda session: apply_site(session, site))
    rows = [
        f"I{number},{(T0 + timedelta(minutes=30 * place)).isoformat()},{place + 1}"
        for number in range(devices)
        for place in range(6)
    ]
    file = folder / "meters.csv"
    file.write_text("\n".join(["device,time,power", *rows, ""]), encoding="utf-8")
    assert import_file(db, "park", "scada", file).rejected == 0
    with db.write() as session:
        session.execute(
            insert(CarbonEmission),
            [
                {
                    "device_id": number,
                    "emissions": 1,
                    "calculation_method": "location_based",
                    "recorded_at": T0,
                }
                for number in session.scalars(select(Device.id))
            ],
        )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asked, Asked]]:
    found = []
    for devices in (FEW, MANY):
        folder = tmp_path_factory.mktemp("site")
        url = f"sqlite:///{folder / 'books.db'}"
        db = Database(url)
        db.upgrade()
        fill(db, folder, devices)
        db.close()
        found.append(Asked(open_house(settings_for(folder, url, cache_mib="0")), devices))
    yield found[0], found[1]
    for each in found:
        each.house.db.close()


@few(1)
@pytest.mark.parametrize(
    "path",
    [
        "/v1/sites/park",
        "/sites/park",
        "/v1/projects/park-pv",
        "/projects/park-pv",
        "/v1/emissions?site=park",
        *(f"/v1/energy?site=park&by={by}&limit=200" for by in ("hour", "day", "month")),
    ],
)
def test_more_devices_are_not_more_statements(both: tuple[Asked, Asked], path: str) -> None:
    """A site of 125 devices took 522: the first and the last hour of each device were asked for by themselves.

    Of 500, a page of energy took three for each that is on it.
    """
    few, many = (each.statements(path) for each in both)
    assert len(many) == len(few), [sql for sql in many if many.count(sql) > few.count(sql)][:3]


@long
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_each_meter_of_a_page_has_its_own_hours(
    both: tuple[Asked, Asked], monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """They are asked for together, of so many meters at once; those of an hour of UTC count where it begins.

    The first does not: it begins before its reading, half an hour before the legal day.
    """
    monkeypatch.setattr(queries, "_METERS_AT_ONCE", 7)
    asked, found = both[1], {}
    path = f"/v1/energy?site=park&by=hour&limit=200&order={order}"
    cursor = ""
    while cursor is not None:
        page = asked.house.client.get(path + cursor).json()
        for item in page["items"]:
            place = item["device"], item["period"][11:16]
            assert place not in found
            found[place] = item["positive"], item["production_kwh"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    hours = {"00:00": ("1.5", "3"), "01:00": ("3.5", "4.5"), "02:00": ("5.5", "3")}
    devices = {f"I{number}" for number in range(MANY)}
    assert set(found) == {(each, f"{hour:02}:00") for each in devices for hour in range(24)}
    for (_, hour), values in found.items():
        assert tuple(map(Decimal, values)) == tuple(map(Decimal, hours.get(hour, "00"))), hour


def test_where_a_first_period_begins_is_as_many_statements_for_any_number_of_meters(
    both: tuple[Asked, Asked],
) -> None:
    """They were two for each meter, once in a run of the job ``issue``."""
    counts = set()
    for each in both:
        with heard(each.house.db) as said, each.house.db.read() as session:
            (terms,) = issuing._projects(session, T0)
        assert terms.start == date(2026, 3, 1)
        counts.add(len(said))
    assert len(counts) == 1, counts


@long
def test_more_months_are_not_more_statements(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were two a month. Hours are put into legal months one by one here, and some months have none."""
    paris = ZoneInfo("Europe/Paris")
    begin = datetime(2021, 10, 31, 21, tzinfo=UTC)  # two hours before November in Paris
    times = [begin + timedelta(hours=hour) for hour in (*range(5), *range(800, 14_000, 97))]
    times = [at for at in times if at.month != 7]
    device = plant.SITE[plant.SITE.index("[[device]]") : plant.SITE.index("[[source]]")]
    plant.apply(sqlite_db, plant.SITE + device.replace('A"', 'B"'))
    with sqlite_db.write() as session:
        ids = session.scalars(select(Device.id)).all()
        assert len(ids) == 2
        rows = [
            {
                "device_id": number,
                "recorded_at": at,
                "production": number * 1000 + place,
                "unit": "kWh",
            }
            for number in ids
            for place, at in enumerate(times)
        ]
        session.execute(insert(EnergyProduction), rows)
        expected: dict[str, int] = {}
        for row in rows:
            month = f"{row['recorded_at'].astimezone(paris):%Y-%m}"
            expected[month] = expected.get(month, 0) + row["production"]
        for at_once, asked in ((24, 2), (5, 10)):
            monkeypatch.setattr(months, "_MONTHS_AT_ONCE", at_once)
            with heard(sqlite_db) as said:
                found = months.months_of(session, paris, ids, [])
            assert {
                each.month: each.production_kwh for each in found if each.production_kwh
            } == expected
            assert len(found) > len(expected) > 12
            assert sum("sum(" in sql for sql in said) == asked, said


@long
def test_energy_by_month_is_as_many_statements_for_any_number_of_months(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were three for each month, or for each two of one length."""
    plant.apply(sqlite_db)
    paris = ZoneInfo("Europe/Paris")
    begin = datetime(2021, 10, 31, 22, 50, tzinfo=UTC)  # the last ten minutes of October in Paris
    times = [begin + timedelta(minutes=10), *(begin + timedelta(days=3 * n) for n in range(225))]
    times = sorted(at for at in times if at.month != 5)
    made = {at: 6 * (place % 16 + 1) for place, at in enumerate(times)}  # a kWh each by 6 kW
    rows = [(at.isoformat(), str(kw)) for at, kw in made.items()]
    plant.imported(sqlite_db, plant.write_csv(tmp_path / "a.csv", rows))
    expected: dict[str, list[int]] = {}
    for at, kw in made.items():
        expected.setdefault(f"{at.astimezone(paris):%Y-%m}", []).append(kw // 6)
    view = ChainView("local", "finalized", None, None)
    asked = queries.EnergyParameters.model_validate({"site": "park", "by": "month", "limit": 200})
    for at_once, sums in ((24, 3), (5, 15)):
        monkeypatch.setattr(queries, "_RUNS_AT_ONCE", at_once)
        with heard(sqlite_db) as said, sqlite_db.read() as session:
            items = queries.list_energy(session, view, asked).items
        found = {item.period: item for item in items}
        assert len(found) == len(items) == 24
        assert {month for month, item in found.items() if item.readings.used} == set(expected)
        for month, kwh in expected.items():
            item = found[month]
            assert item.positive == item.production_kwh == sum(kwh), month
            assert (item.readings.used, item.negative, item.consumption_kwh) == (len(kwh), 0, 0)
        assert sum("sum(" in sql for sql in said) == sums, said


@pytest.mark.mariadb
def test_the_ends_of_a_device_are_two_looks_on_mariadb(
    mariadb_db: Database, tmp_path: Path
) -> None:
    """By ``min`` and ``max`` it would read all the hours of each."""
    fill(mariadb_db, tmp_path, 2)
    hours = 2_000
    with mariadb_db.write() as session:
        numbers = list(session.scalars(select(Device.id)))
        session.execute(
            insert(EnergyProduction),
            [
                {
                    "device_id": number,
                    "production": 1,
                    "unit": "kWh",
                    "recorded_at": T0 + timedelta(days=1, hours=place),
                }
                for place in range(hours)
                for number in numbers
            ],
        )
    of, at = EnergyProduction.device_id, EnergyProduction.recorded_at
    with mariadb_db.read() as session:
        link = session.connection()
        before = _read(link)
        found = ends_among(session, Device.id, numbers, of, at)
        read = _read(link) - before
    last = T0 + timedelta(days=1, hours=hours - 1)
    assert found == {number: (FIRST_HOUR, last) for number in numbers}
    assert read < hours, read


def _read(link: object) -> int:
    """Return how many rows and entries of indexes this connection has had read."""
    rows = link.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")  # type: ignore[attr-defined]
    return sum(int(number) for _, number in rows)
