"""The inventory: Scope 1 and 2 by day, by location and by market, beside the reductions and never in them."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.errors import BadInput, NotFound
from ledger.models import (
    CarbonEmission,
    Device,
    EnergyConsumption,
    EnergyProduction,
    Meter,
    MeterReading,
    ReadingClaim,
    Site,
)
from ledger.models.readings import ReadingQuality
from ledger.readings import import_file, reductions_for
from ledger.readings.inventory import emissions_of
from ledger.readings.periods.evidence_files import files_of_period
from ledger.reconcile.reading_rules import differences
from ledger.sites.factors import FactorFile, import_factors, read_factor_file
from tests.support.forms import few, long
from tests.support.plant import SITE, apply, issue, write_csv

DEVICE = """
[[device]]
code = "{code}"
type = "{role}"
meter_serial = "serial-{code}"
role = "{role}"
{more}

[[source]]
name = "{code}"
kind = "{kind}"
unit = "{unit}"
interval_minutes = 60
label = "start"
device = "{code}"
time_column = "time"
value_column = "value"
time_zone = "offset"
"""
DIESEL = """
[[factor]]
code = "diesel"
version = "2006"
purpose = "fuel"
value = "74100"
unit = "kg CO2/TJ"
source = "a test"
ncv_gj_per_t = "43.0"
verified = true
"""
RESIDUAL = """
[[factor]]
code = "residual"
version = "2023"
purpose = "inventory_market"
value = "0.7"
unit = "kg/kWh"
source = "a test"
verified = true
"""
FUEL = DEVICE.format(
    code="GEN",
    role="fuel",
    kind="fuel",
    unit="L",
    more='fuel_factor = "diesel"\ndensity_kg_per_l = "0.84"',
)
GRID = DEVICE.format(code="GRID", role="import", kind="energy", unit="kWh", more="")
REGISTER = GRID.replace('kind = "energy"', 'kind = "counter"').replace('label = "start"\n', "")
LOAD = DEVICE.format(code="LOAD", role="load", kind="energy", unit="kWh", more="")
BATTERY = DEVICE.format(
    code="BAT", role="storage", kind="energy", unit="kWh", more='rated_kw = "9"'
)
MARKET = SITE.replace(
    'inventory_factor = "grid-average"',
    'inventory_factor = "grid-average"\nmarket_factor = "residual"',
)
JUNE = date(2014, 6, 1), date(2014, 7, 1)
HOURS = [f"2014-06-01T0{hour}:00:00+02:00" for hour in range(9)]


def bring(db: Database, folder: Path, source: str, *values: str, day: int = 1) -> None:
    """Import values of one hour each from midnight in Paris on."""
    rows = [
        (f"2014-06-{day:02d}T{hour:02d}:00:00+02:00", value) for hour, value in enumerate(values)
    ]
    assert import_file(db, "park", source, write_csv(folder / f"{source}.csv", rows)).rejected == 0


def rows(db: Database) -> list[tuple[str, str, Decimal]]:
    with db.read() as session:
        query = (
            select(Device.device_id, CarbonEmission.calculation_method, CarbonEmission.emissions)
            .join(Device, Device.id == CarbonEmission.device_id)
            .order_by(Device.device_id, CarbonEmission.calculation_method)
        )
        return [tuple(row) for row in session.execute(query)]


def test_a_file_of_all_meters_brings_no_energy_as_fuel(sqlite_db: Database, tmp_path: Path) -> None:
    """What a generator has delivered, 5 kWh, was stored as 5 L that it burnt, and its meter was of energy for ever."""
    every = FUEL[FUEL.index("[[source]]") :].replace('name = "GEN"', 'name = "all"')
    every = every.replace('device = "GEN"', 'device_column = "meter"')
    energy = every.replace('"fuel"', '"energy"').replace('"L"', '"kWh"')
    litres = every.replace('"all"', '"fuels"')
    apply(sqlite_db, SITE + DIESEL + FUEL + GRID + energy + litres)
    file = tmp_path / "all.csv"
    file.write_text(f"meter,time,value\nGRID,{HOURS[0]},1\nGEN,{HOURS[0]},5\n")
    for source, said in (
        (
            "all",
            "line 3: source all: device GEN has the role fuel, this file brings energy in kWh;",
        ),
        ("fuels", "line 2: source fuels: device GRID has the role import, this file brings fuel_v"),
    ):
        with pytest.raises(BadInput, match=said) as refused:
            import_file(sqlite_db, "park", source, file)
        assert refused.value.code == "wrong-kind"
    assert rows(sqlite_db) == []
    bring(sqlite_db, tmp_path, "GEN", "1000")


@long
def test_what_came_late_is_not_late_for_a_meter_that_leaves_the_project(
    db: Database, tmp_path: Path
) -> None:
    """Its meter was declared when the period was issued already, and it feeds loads: `readings refresh` lost it."""
    apply(db)
    issue(db)
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "1", "2")
    emitted = rows(db)
    with db.read() as session:
        late = session.scalars(select(MeterReading.quality)).all()
    assert emitted and set(late) == {ReadingQuality.LATE}
    alone = GRID.replace("[[source]]", "inventory_only = true\n\n[[source]]", 1)
    assert [said for said in apply(db, SITE + alone).warnings if "judged anew" in said] == [
        "meter serial-GRID: 2 readings judged anew: what is issued of the project is not of this meter"
    ]
    with db.read() as session:
        assert set(session.scalars(select(MeterReading.quality))) == {ReadingQuality.USED}
        assert not list(differences(session, session.scalars(select(Site)).one()))
    assert rows(db) == emitted
    assert not [said for said in apply(db, SITE + GRID).warnings if "judged anew" in said]


def test_scope_1_and_both_methods_of_scope_2(db: Database, tmp_path: Path) -> None:
    (said,) = apply(db, MARKET + DIESEL + RESIDUAL + FUEL + GRID).warnings
    assert "completeness_min is 0, so that readings of serial-GRID and serial-GEN" in said
    bring(db, tmp_path, "GEN", "600", "", "400")
    bring(db, tmp_path, "GRID", "100", "23.5")
    assert rows(db) == [
        ("GEN", "scope1_fuel", Decimal("2.676492")),  # 840 kg x 43.0 GJ/t x 74.1 t/TJ
        ("GRID", "location_based", Decimal("0.012350")),  # 123.5 kWh x 100 g
        ("GRID", "market_based", Decimal("0.086450")),  # 123.5 kWh x 0.7 kg
    ]
    with db.read() as session:
        shown = emissions_of(session, "park", *JUNE)
        energies = session.scalars(
            select(EnergyConsumption.device_id)
            .join(Device, Device.id == EnergyConsumption.device_id)
            .where(Device.device_id == "GEN")
        ).all()
        text, kind, digits = session.execute(
            select(MeterReading.text, MeterReading.kind, MeterReading.value_digits).order_by(
                MeterReading.id
            )
        ).first() or ("", None, 0)
        factors = session.scalars(
            select(CarbonEmission.factors).where(CarbonEmission.calculation_method == "scope1_fuel")
        ).one()
    assert factors == {  # all that the emissions of the day can be computed from again
        "scope": 1,
        "factor": "diesel",
        "version": "2006",
        "value": "74100",
        "unit": "kg CO2/TJ",
        "ncv_gj_per_t": "43.0",
        "oxidation_share": "1",
        "density_kg_per_l": "0.84",
        "fuel_kg": "840.000000000",
    }
    assert energies == []  # litres are no kilowatt-hours
    assert (text, getattr(kind, "value", None), digits) == ("600", "fuel_volume", 600)
    assert shown["totals"] == [
        {"scope": 1, "method": "scope1_fuel", "emissions_t": "2.676492"},
        {"scope": 2, "method": "location_based", "emissions_t": "0.012350"},
        {"scope": 2, "method": "market_based", "emissions_t": "0.086450"},
    ]
    fuel, location, market = shown["rows"]
    assert fuel == {
        "device": "GEN",
        "scope": 1,
        "method": "scope1_fuel",
        "factor": "diesel",
        "version": "2006",
        "value": "74100",
        "unit": "kg CO2/TJ",
        "fuel_kg": "840.000000000",
        "emissions_t": "2.676492",
    }
    assert location["consumption_kwh"] == market["consumption_kwh"] == "123.500000000"
    assert (market["factor"], market["value"], market["unit"]) == ("residual", "0.7", "kg/kWh")


def test_by_day_and_by_month_in_legal_days(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db, SITE + GRID)
    bring(sqlite_db, tmp_path, "GRID", "10")
    bring(sqlite_db, tmp_path, "GRID", "20", day=30)
    with sqlite_db.read() as session:
        days = emissions_of(session, "park", *JUNE, "day")["rows"]
        months = emissions_of(session, "park", *JUNE, "month")["rows"]
        none = emissions_of(session, "park", date(2014, 6, 2), date(2014, 6, 30))
        with pytest.raises(BadInput, match="write day or month"):
            emissions_of(session, "park", *JUNE, "week")
        with pytest.raises(BadInput, match="is empty"):
            emissions_of(session, "park", JUNE[1], JUNE[0])
        with pytest.raises(NotFound, match="site apply"):
            emissions_of(session, "elsewhere", *JUNE)
    assert [(row["period"], row["emissions_t"]) for row in days] == [
        ("2014-06-01", "0.001000"),
        ("2014-06-30", "0.002000"),
    ]
    assert [(row["period"], row["emissions_t"]) for row in months] == [("2014-06", "0.003000")]
    assert (none["rows"], none["totals"]) == ([], [])


def read_register(db: Database, folder: Path, *rows: tuple[str, str]) -> None:
    """Import what a register showed at hours of June."""
    apply(db, SITE + REGISTER)
    read = [(f"2014-06-{hour}:00:00+02:00", value) for hour, value in rows]
    import_file(db, "park", "GRID", write_csv(folder / "grid.csv", read))


def test_a_difference_over_midnight_is_shared_out_by_time(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """The legal day that begins with the last two hours of a day of UTC has its part, too."""
    read_register(sqlite_db, tmp_path, ("01T21", "0"), ("02T01", "400"))
    with sqlite_db.read() as session:
        days = emissions_of(session, "park", *JUNE, "day")["rows"]
        hours = session.execute(
            select(EnergyConsumption.recorded_at, EnergyConsumption.consumption).order_by(
                EnergyConsumption.recorded_at
            )
        ).all()
    assert [(row["period"], row["consumption_kwh"], row["emissions_t"]) for row in days] == [
        ("2014-06-01", "300.000000000", "0.030000"),
        ("2014-06-02", "100.000000000", "0.010000"),
    ]
    assert [(at.hour, kwh) for at, kwh in hours] == [(hour, 100) for hour in (19, 20, 21, 22)]


def test_another_factor_counts_until_the_last_day_of_a_long_difference(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """The readings of a register that somebody reads every ten days begin ten days before the last day."""
    read_register(sqlite_db, tmp_path, ("01T00", "0"), ("11T00", "2400"))
    apply(sqlite_db, MARKET + RESIDUAL + REGISTER)
    with sqlite_db.read() as session:
        days = emissions_of(session, "park", *JUNE, "day")["rows"]
    # 240 kWh a day, at 100 g and at 0.7 kg
    assert [(row["period"], row["method"], row["emissions_t"]) for row in days] == [
        (f"2014-06-{day:02d}", method, tonnes)
        for day in range(1, 11)
        for method, tonnes in (("location_based", "0.024000"), ("market_based", "0.168000"))
    ]


def test_what_comes_after_its_period_was_issued_is_in_the_inventory(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """The files of import meters come when their days are issued: they drew no less for it, and issued stays issued."""
    register = GRID.replace("GRID", "REG").replace('kind = "energy"', 'kind = "counter"')
    apply(sqlite_db, SITE + GRID + register.replace('label = "start"\n', ""))
    read = [("2014-06-01T00:00:00+02:00", "5"), ("2014-06-02T00:00:00+02:00", "53")]
    import_file(sqlite_db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    bring(sqlite_db, tmp_path, "GRID", "3", "4")
    reduction = issue(sqlite_db, (date(2014, 6, 1), date(2014, 6, 4)))
    bring(sqlite_db, tmp_path, "GRID", "2.5", "4.25", "10")  # of two values the higher one is drawn
    for rows in (read, [("2014-06-01T12:00:00+02:00", "30")]):  # then the difference is split
        import_file(sqlite_db, "park", "REG", write_csv(tmp_path / "b.csv", rows))
    bring(sqlite_db, tmp_path, "GRID", "1", day=5)  # not issued yet
    with sqlite_db.read() as session:
        days = emissions_of(session, "park", *JUNE, "day")["rows"]
        hours = session.scalars(select(EnergyConsumption.consumption)).all()
    assert [(row["period"], row["device"], row["consumption_kwh"]) for row in days] == [
        ("2014-06-01", "GRID", "17.250000000"),
        ("2014-06-01", "REG", "48.000000000"),
        ("2014-06-05", "GRID", "1.000000000"),
    ]
    assert sum(hours) == Decimal("66.25")
    with sqlite_db.read() as session:
        assert issued_again(session) == reduction.import_kwh == 7


def issued_again(session: Session) -> Fraction:
    (reduction,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 4))
    return reduction.import_kwh


def test_market_based_is_there_only_when_declared(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db, SITE + GRID)
    bring(sqlite_db, tmp_path, "GRID", "10")
    assert [method for _, method, _ in rows(sqlite_db)] == ["location_based"]
    changes = apply(sqlite_db, MARKET + RESIDUAL + GRID)
    assert (
        "site park: its inventory is computed anew, by the factors and meters that it has now"
        in (changes.warnings)
    )
    assert [method for _, method, _ in rows(sqlite_db)] == ["location_based", "market_based"]
    apply(sqlite_db, SITE.replace('inventory_factor = "grid-average"\n', "") + GRID)
    assert rows(sqlite_db) == []


def yearly(version: str, value: str, first: str, last: str, more: str = "") -> str:
    """Return a version of the factor of the grid that is published for some days."""
    days = "".join(
        f'{key} = "{day}"\n' for key, day in (("valid_from", first), ("valid_to", last)) if day
    )
    return (
        f'[[factor]]\ncode = "yearly"\nversion = "{version}"\npurpose = "inventory_location"\n'
        f'value = "{value}"\nunit = "kg/kWh"\nsource = "a test"\nverified = true\n{days}{more}'
    )


@few(1)
def test_each_year_has_the_factor_that_was_published_for_it(db: Database, tmp_path: Path) -> None:
    """The one that a site file names for the new year had computed all years before anew."""
    first = yearly("2013", "0.3", "2013-01-01", "2013-12-31")
    second = yearly("2014", "0.2", "2014-01-01", "2014-12-31")
    third = yearly("2015", "0.1", "2015-01-01", "")
    times = ("2013-12-31T23:00:00Z", "2014-12-31T22:00:00Z", "2014-12-31T23:00:00Z")

    def named(version: str) -> str:
        use = f'inventory_factor = "yearly"\ninventory_factor_version = "{version}"'
        return SITE.replace('inventory_factor = "grid-average"', use) + GRID

    def found() -> list[tuple[str, str]]:
        with db.read() as session:
            report = emissions_of(session, "park", date(2013, 1, 1), date(2016, 1, 1), "day")
            site = session.scalars(select(Site)).one()
            assert list(differences(session, site)) == []
        return [(row["version"], row["emissions_t"]) for row in report["rows"]]

    apply(db, named("2013") + first)
    early = ("2013-12-31T22:00:00Z", *times)
    import_file(db, "park", "GRID", write_csv(tmp_path / "a.csv", [(at, "10") for at in early]))
    # Nothing is published for the days of the new year yet: the old one counts for them.
    assert found() == [("2013", "0.003000")] * 4
    changes = apply(db, named("2014") + first + second)
    assert "site park" in changes.updated
    both = [("2013", "0.003000"), *[("2014", "0.002000")] * 3]
    assert found() == both
    with db.write() as session:
        file = FactorFile("f", "0" * 64, read_factor_file(third, "f"))
        import_factors(session, file)
    assert found() == both  # until the site file is applied again
    assert apply(db, named("2014") + first + second).updated == ["site park"]
    years = [*both[:3], ("2015", "0.001000")]
    assert found() == years
    assert apply(db, named("2014") + first + second).updated == []
    apply(db, named("2015") + third)
    assert found() == years
    # A corrected one counts for its year alone, and what comes later is computed by it.
    again = yearly("2013 rev", "0.4", "2013-01-01", "2013-12-31")
    assert "site park" in apply(db, named("2015") + again).updated
    import_file(db, "park", "GRID", write_csv(tmp_path / "b.csv", [("2013-12-31T21:00:00Z", "10")]))
    assert found() == [("2013 rev", "0.008000"), *years[1:]]
    # One that is of all days is what it was: it counts for all of them.
    always = yearly("x", "1", "", "")
    apply(db, named("x") + always)
    assert {version for version, _ in found()} == {"x"}


def test_fuel_has_the_factor_of_its_year_in_the_inventory(
    sqlite_db: Database, tmp_path: Path
) -> None:
    versions = [
        DIESEL.replace("2006", version).replace("74100", value) + f'valid_to = "{last}"\n'
        for version, value, last in (("a", "70000", "2014-06-01"), ("b", "80000", "2014-12-31"))
    ]
    # Both are of the first day, which the named one has; the other is of no day that this one lacks.
    for version, tonnes in (("a", ["2.528400", "2.889600"]), ("b", ["2.889600", "2.889600"])):
        named = f'fuel_factor = "diesel"\nfuel_factor_version = "{version}"'
        site = SITE + "".join(versions) + FUEL.replace('fuel_factor = "diesel"', named)
        apply(sqlite_db, site)
        for day in (1, 2):
            bring(sqlite_db, tmp_path, "GEN", "1000", day=day)
        with sqlite_db.read() as session:
            report = emissions_of(session, "park", *JUNE, "day")
        assert [row["emissions_t"] for row in report["rows"]] == tonnes


def test_a_factor_that_changes_during_an_import_counts_for_what_that_brings(
    mariadb_db: Database, tmp_path: Path
) -> None:
    """The import began with the old factor, and whoever changes it sees no reading before the import is done."""
    apply(mariadb_db, SITE + GRID)
    file = write_csv(tmp_path / "grid.csv", [(HOURS[0], "10")])
    written, changed = threading.Event(), threading.Event()

    def change() -> None:
        assert written.wait(180)
        apply(mariadb_db, MARKET + RESIDUAL + GRID)
        changed.set()

    def before_its_end(_session: Session, _spans: object) -> dict[str, int]:
        written.set()
        changed.wait(1)  # it waits for us, if all is well
        return {}

    with ThreadPoolExecutor(max_workers=1) as pool:
        changing = pool.submit(change)
        import_file(mariadb_db, "park", "GRID", file, after=before_its_end)
        changing.result()
    assert [method for _, method, _ in rows(mariadb_db)] == ["location_based", "market_based"]


def test_trap_a_load_behind_an_import_meter_is_not_counted_a_second_time(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, SITE + LOAD)
    bring(sqlite_db, tmp_path, "LOAD", "50")
    assert rows(sqlite_db) == [("LOAD", "location_based", Decimal("0.005000"))]
    apply(sqlite_db, SITE + LOAD + GRID)  # the import meter takes over
    assert rows(sqlite_db) == []
    bring(sqlite_db, tmp_path, "GRID", "60")
    assert rows(sqlite_db) == [("GRID", "location_based", Decimal("0.006000"))]


def test_a_battery_emits_nothing_and_makes_no_energy(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db, SITE + BATTERY)
    bring(sqlite_db, tmp_path, "BAT", "-9", "8")  # it draws what it is rated for: no outlier
    assert rows(sqlite_db) == []
    with sqlite_db.read() as session:
        assert session.scalars(select(EnergyProduction.id)).all() == []
        assert session.scalars(select(EnergyConsumption.id)).all() == []
        assert {row.value for row in session.scalars(select(MeterReading.quality))} == {"used"}


@pytest.mark.parametrize(
    ("unit", "text", "kilograms"),
    [("g", "840000", "840"), ("kg", "840", "840"), ("t", "0.84", "840"), ("m3", "1", "840")],
)
def test_units_of_fuel_from_the_file_to_project_emissions(
    sqlite_db: Database, tmp_path: Path, unit: str, text: str, kilograms: str
) -> None:
    fuel = FUEL.replace('unit = "L"', f'unit = "{unit}"')
    apply(sqlite_db, SITE + DIESEL + fuel)
    bring(sqlite_db, tmp_path, "GEN", text)
    import_file(sqlite_db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    with sqlite_db.read() as session:
        (found,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
    fuel_result = next(item for item in found.meters if item.serial == "serial-GEN")
    assert fuel_result.fuel_kg == Fraction(kilograms)
    assert found.project_t == Fraction("2.676492")
    assert found.reductions_kg == 5 - Fraction("2676.492")
    assert found.issued_kg == 0


def test_inventory_and_reductions_are_two_books(sqlite_db: Database, tmp_path: Path) -> None:
    # Whatever factors the inventory has, the reductions are the same.
    apply(sqlite_db, SITE + GRID)
    bring(sqlite_db, tmp_path, "GRID", "10")
    import_file(sqlite_db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "120")]))

    def reductions() -> Fraction:
        with sqlite_db.read() as session:
            (found,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
        return found.reductions_kg

    before = reductions()
    assert before == (20 - 10) / Fraction(2)
    apply(sqlite_db, MARKET + RESIDUAL + GRID)
    assert reductions() == before


def test_a_load_or_a_battery_without_a_file_stops_nothing(
    sqlite_db: Database, tmp_path: Path
) -> None:
    devices = (LOAD.partition("[[source]]")[0], BATTERY.partition("[[source]]")[0])
    apply(sqlite_db, SITE + "".join(devices))
    import_file(sqlite_db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    with sqlite_db.read() as session:
        (found,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
    assert [item.serial for item in found.meters] == ["serial-A"]


def test_the_parks_own_import_is_no_part_of_the_project(db: Database, tmp_path: Path) -> None:
    bought = GRID.replace('role = "import"', 'role = "import"\ninventory_only = true')
    assert (
        "is deducted from the generation; if it feeds the park's loads"
        in (apply(db, SITE + LOAD + GRID).warnings[0])
    )
    assert apply(db, SITE + LOAD + bought).warnings == []
    bring(db, tmp_path, "GRID", "40")
    bring(db, tmp_path, "LOAD", "45")
    import_file(db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "120")]))
    with db.read() as session:
        (found,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
    assert found.net_kwh == 20  # generation, once; nothing of what the loads bought
    assert [item.serial for item in found.meters] == ["serial-A", "serial-LOAD"]
    assert rows(db) == [("GRID", "location_based", Decimal("0.004000"))]


def test_a_meter_that_credits_stand_on_stays_with_its_project(
    sqlite_db: Database, tmp_path: Path
) -> None:
    from tests.ledger.test_import import issue

    apply(sqlite_db, SITE)
    import_file(sqlite_db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    issue(sqlite_db)
    with sqlite_db.write() as session:
        session.add(ReadingClaim(meter_id=1, start_s=0, issuance_id=1))
    out = SITE.replace('role = "generation"', 'role = "generation"\ninventory_only = true')
    with pytest.raises(BadInput, match="were issued, so that it stays with its project"):
        apply(sqlite_db, out)


def test_a_meter_that_an_issuance_names_without_readings_stays_as_it_is(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Else its readings of the issued period would come in as in time, and the manifest be false."""
    from tests.ledger.test_import import issue

    def again() -> list[str]:
        with sqlite_db.read() as session:
            (files,) = files_of_period(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
        return [meter["serial"] for meter in json.loads(files.manifest)["meters"]]

    apply(sqlite_db, SITE + GRID)
    import_file(sqlite_db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    issue(sqlite_db)
    assert again() == ["serial-A", "serial-GRID"]
    grid = SITE + GRID
    with pytest.raises(BadInput, match="name its meter serial-GRID, without readings") as caught:
        apply(sqlite_db, grid.replace('role = "import"', 'role = "import"\ninventory_only = true'))
    assert caught.value.code == "meter-issued"
    for changed in (
        grid.replace('"serial-GRID"', '"serial-OTHER"'),
        grid.replace('role = "import"', 'role = "load"'),
    ):
        with pytest.raises(BadInput, match="is named by credits that were issued") as caught:
            apply(sqlite_db, changed)
        assert caught.value.code == "meter-changed"
    bring(sqlite_db, tmp_path, "GRID", "40")
    assert again() == ["serial-A", "serial-GRID"]  # what came is late, and the manifest holds
    with sqlite_db.read() as session:
        qualities = session.scalars(
            select(MeterReading.quality).join(Meter).where(Meter.serial == "serial-GRID")
        ).all()
    assert set(qualities) == {ReadingQuality.LATE}
