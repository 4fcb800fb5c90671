"""Energy and inventory by legal time, beside figures that are known otherwise and a plain second computation."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, select

from api.app import create_app
from api.sites.months import months_of
from api.sites.periods import legal_days
from api.sites.schemas import Month
from ledger.db import Database
from ledger.models import CarbonEmission, Device, DeviceData, MeterReading, Site
from ledger.models.issuance import IssuanceState
from ledger.readings import reductions_for
from ledger.readings.shown.coverage import load_coverage
from ledger.readings.shown.slots import load_days
from ledger.readings.shown.views import gaps_document, quality_document
from ledger.reductions.zones import zone
from ledger.settings import load_settings
from tests.support.forms import long, rest
from tests.support.plant import LHB_FILE, LHB_SITE, SITE, apply, imported, issue, write_csv

PARIS = ZoneInfo("Europe/Paris")


def served(url: Any, folder: Path) -> TestClient:
    environ = {"TRUETONNE_DATABASE_URL": url.render_as_string(hide_password=False)}
    return TestClient(create_app(load_settings(None, {**environ, "TRUETONNE_HOME": str(folder)})))


def walk(client: TestClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return what all pages have; the link of each to the next has all that was asked for, by its name."""
    items: list[dict[str, Any]] = []
    answer = client.get(path, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= query.get("limit", 50)
        items += page["items"]
        following = answer.links.get("next")
        if page["next_cursor"] is None:
            assert following is None
            return items
        assert following is not None and f"cursor={page['next_cursor']}" in following["url"]
        answer = client.get(following["url"])


@pytest.fixture(scope="module")
def turbine(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Database]:
    """Five months of the turbine of the demonstration: with nights, gaps, conflicts and the change of clocks."""
    folder = tmp_path_factory.mktemp("turbine")
    file = folder / "books.db"
    file.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{file}")
    apply(database, LHB_SITE)
    with gzip.open(LHB_FILE, "rt") as lines:
        kept = [line for number, line in enumerate(lines) if number <= 22_000]
    part = folder / "part.csv"
    part.write_text("".join(kept))
    imported(database, part, site="lhb")
    yield database
    database.close()


@pytest.fixture(scope="module")
def client(turbine: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with served(turbine.url, tmp_path_factory.mktemp("home")) as made:
        yield made


@long
def test_a_site_names_the_factors_of_its_inventory(client: TestClient, turbine: Database) -> None:
    def market(same: bool) -> None:
        with turbine.write() as session:
            site = session.scalars(select(Site)).one()
            site.market_factor_id = site.inventory_factor_id if same else None

    market(same=True)
    try:
        site = client.get("/v1/sites/lhb").json()
    finally:
        market(same=False)
    assert (site["inventory_factor"], site["market_factor"]) == ("codecarbon-FRA",) * 2
    assert client.get("/v1/sites/lhb").json()["market_factor"] is None


@long
def test_months_are_what_the_demonstration_credits(client: TestClient) -> None:
    # The net energy and the counts of docs and README, which the reductions come to on their own way.
    known = {
        "2014-01": ("286098.098674771", 4458, 0),
        "2014-02": ("414540.587995413", 4032, 0),
        "2014-03": ("181966.421451588", 4458, 6),
    }
    items = walk(client, "/v1/energy", site="lhb", by="month", order="asc")
    found = {item["period"]: item for item in items}
    for month, (net, used, conflict) in known.items():
        item = found[month]
        # Each of both sums is cut, so that their difference may be off by one of the last digit.
        difference = Decimal(item["positive"]) - Decimal(item["negative"]) - Decimal(net)
        assert abs(difference) <= Decimal("1e-9"), month
        assert (item["readings"]["used"], item["readings"]["conflict"]) == (used, conflict)
        assert item["unit"] == "kWh"


@pytest.mark.parametrize("by", rest(["hour", "day", "month"]))
def test_every_period_is_what_plain_python_says(
    client: TestClient, turbine: Database, by: str
) -> None:
    length = {"hour": 13, "day": 10, "month": 7}[by]
    sums: dict[str, list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
    with turbine.read() as session:
        for row in session.scalars(select(MeterReading).where(MeterReading.quality == "used")):
            local = datetime.fromtimestamp(row.start_s, UTC).astimezone(PARIS).isoformat()
            name = local[:length] + (local[-6:] if by == "hour" else "")
            assert row.value_digits is not None and row.value_scale is not None
            energy = Fraction(row.value_digits, 10**row.value_scale) * Fraction(
                row.duration_s, 3600
            )
            sums[name][energy < 0] += abs(energy)
    query: dict[str, Any] = {"site": "lhb", "by": by, "limit": 200, "order": "asc"}
    if by == "hour":  # the night of the change of clocks: 2 o'clock is skipped
        query |= {"from": "2014-03-29", "to": "2014-04-02"}
    items = walk(client, "/v1/energy", **query)
    for item in items:
        name = item["period"].replace(":00+", "+") if by == "hour" else item["period"]
        expected = sums.get(name, [Fraction(0), Fraction(0)])
        for value, exact in zip((item["positive"], item["negative"]), expected, strict=True):
            assert 0 <= exact - Fraction(value) < Fraction(1, 10**9), item
    if by == "hour":
        assert len(items) == 4 * 24 - 1
        hours = [item["period"] for item in items]
        assert "2014-03-30T01:00+01:00" in hours and "2014-03-30T03:00+02:00" in hours
    else:
        assert {item["period"] for item in items} >= set(sums)
    assert items[::-1] == walk(client, "/v1/energy", **{**query, "order": "desc", "limit": 7})


def test_stored_hours_are_told_beside(client: TestClient) -> None:
    (day,) = walk(client, "/v1/energy", site="lhb", **{"from": "2014-02-03", "to": "2014-02-04"})
    hours = walk(
        client, "/v1/energy", site="lhb", by="hour", **{"from": "2014-02-03", "to": "2014-02-04"}
    )
    assert len(hours) == 24
    assert sum(Decimal(hour["production_kwh"]) for hour in hours) == Decimal(day["production_kwh"])
    # 24 hours, each rounded to a watt-hour
    assert abs(Decimal(day["production_kwh"]) - Decimal(day["positive"])) < Decimal("0.013")
    assert day["readings"]["expected"] == 144


# ------------------------------------------------------------------ by hand, on both databases


@pytest.fixture
def by_hand(db: Database, tmp_path: Path) -> Iterator[TestClient]:
    """A meter that draws 6 kW for 20 minutes on two days of two months, and delivers 12 kW for ten."""
    apply(db, SITE + '[[device]]\ncode = "B"\ntype = "wind_turbine"\nrated_kw = "100"\n'
          'meter_serial = "serial-B"\nrole = "generation"\n')  # fmt: skip
    rows = []
    for day in ("2014-05-31", "2014-06-01"):
        start = datetime.fromisoformat(f"{day}T23:30:00+02:00")
        values = ("-6", "-6", "12", "", "999")
        rows += [
            ((start + timedelta(minutes=10 * slot)).isoformat(), value)
            for slot, value in enumerate(values)
        ]
    imported(db, write_csv(tmp_path / "a.csv", rows))
    with served(db.url, tmp_path) as made:
        yield made


def test_inventory_and_energy_by_hand(by_hand: TestClient, db: Database) -> None:
    days = walk(by_hand, "/v1/energy", site="park", device="A", order="asc")
    assert [
        (item["period"], item["positive"], item["negative"], item["readings"]) for item in days
    ] == [
        # 23:30 to midnight: three slots; the empty and the impossible one begin on the next day.
        ("2014-05-31", "2.000000000", "2.000000000", counts(3, 0, 0)),
        ("2014-06-01", "2.000000000", "2.000000000", counts(3, 1, 1)),
        ("2014-06-02", "0.000000000", "0.000000000", counts(0, 1, 1)),
    ]
    assert [item["production_kwh"] for item in days] == ["2.000", "2.000", "0.000"]
    assert [item["consumption_kwh"] for item in days] == ["2.000", "2.000", "0.000"]
    # 2 kWh a day at 100 g/kWh are 0.2 kg.
    page = by_hand.get("/v1/emissions", params={"site": "park", "order": "asc"}).json()
    assert [
        (item["period"], item["method"], item["consumption_kwh"], item["emissions_t"])
        for item in page["items"]
    ] == [
        ("2014-05", "location_based", "2.000000000", "0.000200"),
        ("2014-06", "location_based", "2.000000000", "0.000200"),
    ]
    assert page["totals"] == [{"scope": 2, "method": "location_based", "emissions_t": "0.000400"}]
    assert {item["factor"] for item in page["items"]} == {"grid-average"}
    file = by_hand.get("/v1/emissions/export", params={"site": "park", "by": "day"}).text
    assert file.splitlines() == [
        "period,device,scope,method,factor,version,value,unit,consumption_kwh,fuel_kg,emissions_t,site",
        "2014-05-31,A,2,location_based,grid-average,1,100,g/kWh,2.000000000,,0.000200,park",
        "2014-06-01,A,2,location_based,grid-average,1,100,g/kWh,2.000000000,,0.000200,park",
    ]
    by_day = walk(by_hand, "/v1/emissions", site="park", by="day", limit=1)
    assert [item["period"] for item in by_day] == ["2014-06-01", "2014-05-31"]
    one = by_hand.get(
        "/v1/emissions", params={"site": "park", "from": "2014-06-01", "method": "location_based"}
    ).json()
    assert one["totals"][0]["emissions_t"] == "0.000200"
    for nothing in ({"scope": 1}, {"method": "market_based"}, {"device": "B"}):
        found = by_hand.get("/v1/emissions", params={"site": "park", **nothing}).json()
        assert (found["items"], found["totals"]) == ([], [])
    both = walk(by_hand, "/v1/energy", site="park", order="asc", limit=1)
    assert [(item["period"], item["device"]) for item in both[:2]] == [
        ("2014-05-31", "A"),
        ("2014-05-31", "B"),
    ]
    with db.read() as session:
        stored = sum(session.scalars(select(CarbonEmission.emissions)).all(), Decimal(0))
    assert stored == Decimal("0.000400")


@long
def test_the_inventories_of_all_sites(by_hand: TestClient, db: Database, tmp_path: Path) -> None:
    """Each by its own legal days: two hours of the evening in Paris are of the next day in Shanghai."""
    far = SITE.replace('"park', '"far').replace("Europe/Paris", "Asia/Shanghai")
    far = far.replace('code = "A"', 'code = "F"').replace('"serial-A"', '"serial-F"')
    apply(db, far.replace('"FR"', '"CN"').replace('device = "A"', 'device = "F"'))
    row = ("2014-05-31T20:00:00+02:00", "-18")
    imported(db, write_csv(tmp_path / "f.csv", [row]), site="far")
    page = by_hand.get("/v1/emissions", params={"order": "asc"}).json()
    assert [
        (item["period"], item["site"], item["device"], item["emissions_t"])
        for item in page["items"]
    ] == [
        ("2014-05", "park", "A", "0.000200"),
        ("2014-06", "park", "A", "0.000200"),
        ("2014-06", "far", "F", "0.000300"),
    ]
    assert (page["site"], page["time_zone"]) == (None, None)
    # As a sum over both of what each has by itself.
    assert page["totals"] == [{"scope": 2, "method": "location_based", "emissions_t": "0.000700"}]
    for by in ("day", "month"):
        whole = by_hand.get("/v1/emissions", params={"by": by}).json()["items"]
        assert len(whole) == 3
        assert walk(by_hand, "/v1/emissions", by=by, limit=1) == whole
        each = [walk(by_hand, "/v1/emissions", by=by, site=site) for site in ("park", "far")]
        assert sorted(map(str, whole)) == sorted(map(str, each[0] + each[1]))
    assert walk(by_hand, "/v1/emissions", device="F") == walk(by_hand, "/v1/emissions", site="far")
    first = {"from": "2014-05-01", "to": "2014-06-01"}
    assert [item["site"] for item in walk(by_hand, "/v1/emissions", **first)] == ["park"]


@long
def test_a_walk_through_the_inventory_while_readings_come(
    by_hand: TestClient, db: Database, tmp_path: Path
) -> None:
    """What is imported writes the rows of its meter and days anew: no page loses or repeats a device for that."""
    more = '[[device]]\ncode = "{0}"\ntype = "wind_turbine"\nrated_kw = "100"\nmeter_serial = "serial-{0}"\n'
    source = '[[source]]\nname = "of {0}"\nkind = "power"\nunit = "kW"\ninterval_minutes = 10\nlabel = "start"\n'
    columns = 'device = "{0}"\ntime_column = "time"\nvalue_column = "value"\ntime_zone = "offset"\n'
    apply(db, SITE + (more + 'role = "generation"\n' + source + columns).format("B"))
    file = write_csv(tmp_path / "b.csv", [("2014-06-01T12:00:00+02:00", "-6")])
    imported(db, file, source="of B")
    for hour, order in ((13, "asc"), (14, "desc")):
        query: dict[str, Any] = {"site": "park", "from": "2014-06-01", "order": order, "limit": 1}
        seen: list[str] = []
        for minute in range(5):
            page = by_hand.get("/v1/emissions", params=query).json()
            seen += [item["device"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
            late = [(f"2014-06-01T{hour}:{minute}0:00+02:00", "-6")]
            imported(db, write_csv(tmp_path / "late.csv", late))
        assert sorted(seen) == ["A", "B"], order


@pytest.mark.parametrize("order", rest(["asc", "desc"]))
def test_a_walk_through_months_while_earlier_readings_come(
    by_hand: TestClient, db: Database, tmp_path: Path, order: str
) -> None:
    """The first month begins with the first reading, which may be another on the next page: it is listed once."""
    query: dict[str, Any] = {"site": "park", "by": "month", "order": order, "limit": 1}
    seen: list[tuple[str, str]] = []
    for day in range(30, 0, -1):
        page = by_hand.get("/v1/energy", params=query).json()
        seen += [(item["period"], item["device"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        earlier = [(f"2014-05-{day}T12:00:00+02:00", "-6")]
        imported(db, write_csv(tmp_path / "earlier.csv", earlier))
    assert sorted(seen) == [(f"2014-0{month}", code) for month in (5, 6) for code in "AB"]


def counts(used: int, missing: int, outlier: int) -> dict[str, int]:
    return {
        "expected": 144,
        "used": used,
        "conflict": 0,
        "missing": missing,
        "outlier": outlier,
        "superseded": 0,
        "late": 0,
    }


@long
def test_no_hour_is_lost_where_days_begin_within_one(db: Database, tmp_path: Path) -> None:
    """In India a day begins half an hour into one of UTC: the first stood in no day, or in a month before."""
    two = '[[device]]\ncode = "B"\ntype = "wind_turbine"\nrated_kw = "100"\nmeter_serial = "B"\nrole = "generation"\n'
    apply(
        db,
        (SITE + two)
        .replace("Europe/Paris", "Asia/Kolkata")
        .replace('device = "A"', 'device_column = "m"'),
    )
    lines = ["m,time,value"]
    for device, first, slots in (("A", "2024-01-31", 288), ("B", "2024-02-01", 144)):
        start = datetime.fromisoformat(f"{first}T00:00:00+05:30")
        lines += [
            f"{device},{(start + timedelta(minutes=10 * slot)).isoformat()},60"
            for slot in range(slots)
        ]
    file = tmp_path / "a.csv"
    file.write_text("\n".join(lines) + "\n")
    imported(db, file)
    daily = Decimal(60 * 24)
    with served(db.url, tmp_path) as client:
        for by in ("hour", "day", "month"):
            items = walk(client, "/v1/energy", site="park", by=by, limit=200, order="asc")
            made = {device: Decimal(0) for device in "AB"}
            for item in items:
                made[item["device"]] += Decimal(item["production_kwh"])
            assert made == {"A": 2 * daily, "B": daily}, by
        # Half of A's hour at the edge of the months is of February; B has nothing before its first.
        edge = {(item["period"], item["device"]): Decimal(item["production_kwh"]) for item in items}
        assert edge == {
            ("2024-01", "A"): daily + 30,
            ("2024-02", "A"): daily - 30,
            ("2024-01", "B"): 0,
            ("2024-02", "B"): daily,
        }
        months = client.get("/v1/sites/park").json()["months"]
    assert [(month["month"], Decimal(month["production_kwh"])) for month in months] == [
        ("2024-01", daily + 30),
        ("2024-02", 2 * daily - 30),
    ]


def test_a_date_that_a_zone_left_out_is_no_day() -> None:
    """Samoa had no 30 December 2011; it was listed with what the day after it has."""
    days, where = (date(2011, 12, 29), date(2012, 1, 1)), zone("Pacific/Apia")
    for newest_first in (False, True):
        found = [period.day.day for period in legal_days(days, where, newest_first=newest_first)]
        assert sorted(found) == [29, 31]


@long
def test_what_a_load_uses_is_not_drawn_a_second_time(sqlite_db: Database, tmp_path: Path) -> None:
    """Of 9 kWh a load uses 3 come through the import meter: months have these alone; and no plan as issued."""

    def metered(code: str, role: str) -> str:
        source = SITE[SITE.index("[[source]]") :].replace('"scada"', f'"{code}"')
        device = (
            f'[[device]]\ncode = "{code}"\ntype = "x"\nmeter_serial = "{code}"\nrole = "{role}"\n'
        )
        return device + source.replace('device = "A"', f'device = "{code}"')

    def month() -> Month:
        with sqlite_db.read() as session:
            ids = session.scalars(select(Device.id)).all()
            (found,) = months_of(session, PARIS, ids, [1])
        return found

    site = SITE + metered("LOAD", "load")
    apply(sqlite_db, site)
    for code, kw in (("scada", "36"), ("LOAD", "54")):
        rows = [("2014-06-01T12:00:00+02:00", kw), ("2014-06-01T12:10:00+02:00", "-0.6")]
        imported(sqlite_db, write_csv(tmp_path / "a.csv", rows), code)
    assert (month().production_kwh, month().consumption_kwh) == (Decimal(6), Decimal("9.1"))
    apply(sqlite_db, site + metered("IMP", "import"))
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [("2014-06-01T12:00:00+02:00", "18")]), "IMP")
    issue(sqlite_db, state=IssuanceState.PLANNED)
    # By the generation meter, at night, and by the import meter.
    assert month().consumption_kwh == Decimal("0.1") + 3
    assert (month().issued_kg, month().reductions_kg) == (0, 0)


def test_a_day_of_23_hours_has_as_many_slots_of_its_clock(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Six hours begin four times on every legal day; the short one had three, and one of daily readings none."""
    daily = '[[device]]\ncode = "B"\ntype = "x"\nmeter_serial = "B"\nrole = "generation"\n'
    source = SITE[SITE.index("[[source]]") :].replace(
        "interval_minutes = 10", "interval_minutes = 1440"
    )
    other = source.replace('"scada"', '"daily"').replace('device = "A"', 'device = "B"')
    apply(
        sqlite_db, SITE.replace("interval_minutes = 10", "interval_minutes = 360") + daily + other
    )
    days = ("2014-03-29T00:00:00+01:00", "2014-03-30T00:00:00+01:00", "2014-03-31T00:00:00+02:00")
    file = write_csv(tmp_path / "a.csv", [(day, "60") for day in days])
    imported(sqlite_db, file)
    imported(sqlite_db, file, "daily")
    with served(sqlite_db.url, tmp_path) as client:
        for by, slots in (("day", [4, 1] * 3), ("month", [12, 3]), ("hour", [None, None] * 71)):
            items = walk(client, "/v1/energy", site="park", by=by, limit=200, order="asc")
            assert [item["readings"]["expected"] for item in items] == slots, by
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", date(2014, 3, 29), date(2014, 4, 1))
    assert reduction.counts.expected == 12 + 3


def test_no_slot_is_expected_of_days_on_which_a_meter_is_not_there(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """As a reduction counts them, and the lists of readings."""
    there = 'role = "generation"\nin_service_from = "2014-03-29"\nin_service_to = "2014-03-30"'
    apply(sqlite_db, SITE.replace('role = "generation"', there))
    days = ("2014-03-28T00:00:00+01:00", "2014-03-30T00:00:00+01:00", "2014-03-31T00:00:00+02:00")
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(day, "0") for day in days]))
    with served(sqlite_db.url, tmp_path) as client:
        for by, slots in (("day", [0, 6 * 24, 6 * 23, 0]), ("month", [6 * (24 + 23)])):
            items = walk(client, "/v1/energy", site="park", by=by, limit=200, order="asc")
            assert [item["readings"]["expected"] for item in items] == slots, by
    first, end = date(2014, 3, 28), date(2014, 4, 1)
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", first, end)
        (quality,) = quality_document(session, load_days(session, "park", None, first, end))[
            "devices"
        ]
        (gaps,) = gaps_document(load_coverage(session, "park", None, first, end))["devices"]
    counts = reduction.counts
    assert (counts.expected, counts.used, counts.missing) == (6 * 47, 1, 6 * 47 - 1)
    assert (quality["total"]["expected"], quality["total"]["used"]) == (6 * 47, 1)
    assert [day["expected"] for day in quality["days"]] == [0, 6 * 24, 6 * 23, 0]
    assert (gaps["expected"], gaps["missing"]) == (6 * 47, 6 * 47 - 1)


@long
def test_digits_that_no_integer_holds_together(db: Database, tmp_path: Path) -> None:
    # 18 digits each: the sum of their digits passes 2^63, which SQLite's own SUM refuses.
    apply(db)
    start = datetime.fromisoformat("2014-06-01T00:00:00+02:00")
    rows = [
        ((start + timedelta(minutes=10 * slot)).isoformat(), "60.0000000000000006")
        for slot in range(144)
    ]
    imported(db, write_csv(tmp_path / "a.csv", rows))
    with served(db.url, tmp_path) as client:
        (item,) = walk(client, "/v1/energy", site="park")
        assert item["positive"] == "1440.000000000"
        (item,) = walk(client, "/v1/energy", site="park", by="month")
        exact = Fraction("60.0000000000000006") * 24
        assert 0 <= exact - Fraction(item["positive"]) < Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/v1/energy", {}, 422, "bad-request"),
        ("/v1/energy", {"site": "nowhere"}, 404, "not-found"),
        ("/v1/energy", {"site": "lhb", "device": "x"}, 404, "not-found"),
        ("/v1/energy", {"site": "lhb", "by": "week"}, 422, "bad-request"),
        ("/v1/energy", {"site": "lhb", "from": "2014-02-02", "to": "2014-02-02"}, 422, "empty-period"),
        ("/v1/emissions", {"site": "lhb", "from": "yesterday"}, 422, "bad-request"),
        ("/v1/emissions", {"site": "lhb", "scope": 3}, 422, "bad-request"),
        ("/v1/emissions", {"site": "nowhere"}, 404, "not-found"),
        ("/v1/emissions", {"device": "nowhere"}, 404, "not-found"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered(
    client: TestClient, path: str, query: dict[str, Any], status: int, code: str
) -> None:
    answer = client.get(path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_cursor_beyond_the_calendar_is_refused(client: TestClient, turbine: Database) -> None:
    """The mark in it is no secret: anybody can make one."""
    query = {"site": "lhb", "by": "day", "limit": 1}
    given = client.get("/v1/energy", params=query).json()["next_cursor"]
    mark, *last = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    assert len(last) == 2
    for place in (2**63 - 1, 253_402_300_799):
        text = json.dumps([mark, place, 1], separators=(",", ":"))
        forged = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        answer = client.get("/v1/energy", params={**query, "cursor": forged})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-cursor")


def test_a_page_of_hours_takes_few_statements(client: TestClient) -> None:
    """Each hour had three of its own, and a file of two years of hours kept a core busy for minutes."""
    engine = client.app.state.context.database._engine  # type: ignore[attr-defined]
    said: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    # Over the change of clocks, and so in two runs of hours.
    query = {"site": "lhb", "by": "hour", "limit": "200", "from": "2014-03-28", "order": "asc"}
    answer = client.get("/v1/energy", params=query)
    event.remove(engine, "before_cursor_execute", note)
    assert len(answer.json()["items"]) == 200
    assert len(said) < 30


def test_fuel_has_the_unit_that_it_has_in_the_tables(sqlite_db: Database, tmp_path: Path) -> None:
    site = SITE.replace('role = "generation"', 'role = "fuel"').replace(
        'kind = "power"', 'kind = "fuel"'
    )
    apply(sqlite_db, site.replace('unit = "kW"', 'unit = "m3"'))
    file = write_csv(tmp_path / "gas.csv", [("2014-06-01T00:00:00+02:00", "1.5")])
    imported(sqlite_db, file)
    with sqlite_db.read() as session:
        stored = session.execute(select(DeviceData.value, DeviceData.unit)).one()
    with served(sqlite_db.url, tmp_path) as client:
        (shown,) = walk(client, "/v1/energy", site="park", by="month")
    assert (Decimal(shown["positive"]), shown["unit"]) == tuple(stored) == (1500, "L")


@long
def test_a_reading_of_the_far_future_makes_no_decades_of_days(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One year in a meter file was mistyped; who asks for that day finds it."""
    file = tmp_path / "books.db"
    file.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{file}")
    apply(database, LHB_SITE)
    with gzip.open(LHB_FILE, "rt") as lines:
        head, first = next(lines), next(lines)
    part = tmp_path / "part.csv"
    part.write_text(head + first + first.replace("2014-01-01", "2099-03-05", 1))
    imported(database, part, site="lhb")
    with served(database.url, tmp_path) as client:
        days = [item["period"] for item in walk(client, "/v1/energy", site="lhb", by="day")]
        assert len(days) == len(set(days)) == 1
        asked = {"site": "lhb", "by": "month", "limit": 1}
        for now_s, month in ((time.time(), "2014-01"), (4_076_352_000, "2099-03")):  # that day
            monkeypatch.setattr(
                "api.energy.queries.time", SimpleNamespace(time=lambda at=now_s: at)
            )
            (newest,) = client.get("/v1/energy", params=asked).json()["items"]
            assert newest["period"] == month  # though the books are the same: no answer from before
        far = walk(client, "/v1/energy", site="lhb", **{"from": "2099-03-01", "to": "2099-04-01"})
        assert sum(item["readings"]["used"] for item in far) == 1
    database.close()
