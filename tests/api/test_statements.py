"""A site of many devices is asked about in as many statements as one of few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, insert, select

from ledger.db import Database
from ledger.db.tables import ends_among
from ledger.models import CarbonEmission, Device, EnergyProduction
from ledger.readings import import_file
from ledger.sites import apply_site
from tests.support.identity import House, open_house, settings_for

FEW, MANY = 3, 40
T0 = datetime(2026, 3, 1, tzinfo=UTC)
SITE = """
[site]
code = "park"
name = "Park"
time_zone = "Europe/Paris"
country = "FR"

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
        said: list[str] = []

        def note(_link: object, _cursor: object, sql: str, *_: object) -> None:
            said.append(sql)

        for _ in range(2):
            said.clear()
            event.listen(self.house.db._engine, "before_cursor_execute", note)
            try:
                answer = self.house.client.get(path, headers={"Accept": "text/html, */*"})
            finally:
                event.remove(self.house.db._engine, "before_cursor_execute", note)
            assert answer.status_code == 200, answer.text
        return said


def fill(db: Database, folder: Path, devices: int) -> None:
    """Apply a site of so many devices, with three hours of readings, and emissions of another program."""
    site = folder / "site.toml"
    site.write_text(SITE + "".join(map(DEVICE.format, range(devices))), encoding="utf-8")
    db.run(lambda session: apply_site(session, site))
    rows = [
        f"I{number},{(T0 + timedelta(minutes=30 * place)).isoformat()},{place}"
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


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sites/park",
        "/sites/park",
        "/v1/projects/park-pv",
        "/projects/park-pv",
        "/v1/emissions?site=park",
    ],
)
def test_more_devices_are_not_more_statements(both: tuple[Asked, Asked], path: str) -> None:
    """A site of 125 devices took 522: the first and the last hour of each device were asked for by themselves."""
    few, many = (each.statements(path) for each in both)
    assert len(many) == len(few), [sql for sql in many if many.count(sql) > few.count(sql)][:3]


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
    assert found == {number: (T0, last) for number in numbers}
    assert read < hours, read


def _read(link: object) -> int:
    """Return how many rows and entries of indexes this connection has had read."""
    rows = link.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")  # type: ignore[attr-defined]
    return sum(int(number) for _, number in rows)
