"""Site files: applied once and again, strict about every key, and careful with what credits rest on."""

import hashlib
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from ledger.db import Database
from ledger.errors import BadInput, Refused
from ledger.models import (
    AuditLog,
    Device,
    DeviceType,
    EmissionFactor,
    Meter,
    MeterChange,
    MeterSource,
    Project,
    Site,
    VppDefinition,
    VppResource,
    VppResourceAssociation,
    VppSettlementAccount,
    VppTradingStrategy,
)
from ledger.models.vpp import ResourceType
from ledger.readings import reductions_for
from ledger.readings.periods.period import load_period
from ledger.sites import apply_site, plain_account, read_site_file
from tests.support.forms import few, long, rest
from tests.support.plant import JUNE, LHB_SITE, SERF_SITE, SITE, apply, imported, write_csv

T0 = "2014-06-01T00:00:00+00:00"
INTERFACE = """\
[site]
code = "lhb"
name = "La Haute Borne"
time_zone = "Europe/Paris"
country = "FR"

[[factor]]
code = "CDM-ASB0038-CM-wind-solar"
version = "2018"
purpose = "crediting_cm"            # inventory_location | inventory_market | crediting_cm | fuel
value = "0.4329"
unit = "t/MWh"
source = "CDM ASB0038-2018 v01.0 table 1"
verified = true

[project]
code = "lhb-wind"
methodology = "CCER-01-002"
methodology_version = "V01"
factor = "CDM-ASB0038-CM-wind-solar"
program = "internal"
completeness_min = "0"

[[device]]
code = "R80721"
type = "wind_turbine"
rated_kw = "2050"
meter_serial = "R80721"
role = "generation"
accuracy_class = "0.5"
calibrated_from = "2013-01-01"
calibrated_to = "2016-12-31"

[[source]]
name = "scada"
kind = "power"
unit = "kW"
interval_minutes = 10
label = "start"
device_column = "Wind_turbine_name"
time_column = "Date_time"
value_column = "P_avg"
time_zone = "offset"
"""
"""The example of the interface."""
CERTIFICATE = """
[[energy_certificate]]
device = "A"
instrument = "GEC"
reference = "CN-1"
from_day = "2014-01-01"
to_day = "2014-03-31"
energy_mwh = "120"
"""
METER_CHANGE = """
[[meter_change]]
device = "A"
at = "2014-06-15T12:00:00+02:00"
closing = "103050.5"
opening = "7"
"""
PLANT = """
[[vpp]]
code = "plant"
name = "Plant"
total_capacity = "2050"
account = "anvil:4"
devices = ["A"]
"""


def changed(old: str, new: str, text: str = SITE) -> str:
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return text.replace(old, new)


def test_the_example_of_the_interface_is_applied(db: Database) -> None:
    changes = apply(db, INTERFACE)
    assert changes.created == [
        "factor CDM-ASB0038-CM-wind-solar 2018",
        "site lhb",
        "project lhb-wind",
        "device type wind_turbine",
        "device R80721",
        "meter R80721",
        "source scada",
    ]
    assert (changes.updated, changes.unchanged, changes.warnings) == ([], [], [])
    with db.read() as session:
        site = session.scalars(select(Site)).one()
        factor = session.scalars(select(EmissionFactor)).one()
        project = session.scalars(select(Project)).one()
        meter = session.scalars(select(Meter)).one()
        source = session.scalars(select(MeterSource)).one()
        device = session.scalars(select(Device)).one()
    assert (site.time_zone, site.country) == ("Europe/Paris", "FR")
    assert (factor.value, factor.unit, factor.verified) == ("0.4329", "t/MWh", True)
    assert (project.factor_id, project.completeness_min) == (factor.id, Decimal("0.0000"))
    assert (meter.project_id, meter.device_id) == (project.id, device.id)
    assert meter.rated_kw == Decimal("2050.000000")
    assert (meter.calibrated_from, meter.calibrated_to) == (date(2013, 1, 1), date(2016, 12, 31))
    assert source.device_column == "Wind_turbine_name"
    assert (device.device_id, device.type) == ("R80721", "wind_turbine")


@pytest.mark.parametrize("site", [LHB_SITE, SERF_SITE], ids=lambda path: path.parent.name)
def test_a_second_time_changes_nothing(db: Database, site: Path) -> None:
    first = apply(db, site)
    second = apply(db, site)
    assert (second.created, second.updated) == ([], [])
    types = [label for label in first.created if label.startswith("device type")]
    assert sorted(second.unchanged) == sorted(set(first.created) - set(types))


def test_only_what_differs_is_changed_and_the_audit_log_tells_it(db: Database) -> None:
    bare = changed('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "kWh"')
    text = bare + CERTIFICATE + METER_CHANGE
    apply(db, text)
    with db.write() as session:  # what is known of it by other ways, and no file of a site says
        device = session.scalars(select(Device).filter_by(device_id="A")).one()
        device.specifications = {**(device.specifications or {}), "maker": "Vent & Fils"}
    other = changed('name = "Park"', 'name = "Park am Meer"', bare)
    other = changed('rated_kw = "100"', 'rated_kw = "101"', other)
    apply(db, text)
    changes = apply(db, other)
    taken_out = ["meter change A 2014-06-15T10:00:00Z", "energy certificate GEC CN-1"]
    assert changes.created == []
    assert changes.updated == ["site park", "device A", "meter serial-A", *taken_out]
    with db.read() as session:
        site = session.scalars(select(Site)).one()
        specifications = session.scalars(select(Device.specifications)).one()
        query = select(AuditLog.action, AuditLog.resource, AuditLog.old_values, AuditLog.new_values)
        told = [tuple(row) for row in session.execute(query.order_by(AuditLog.id))]
    rated = {"rated_kw": "101", "meter_serial": "serial-A", "maker": "Vent & Fils"}
    assert (site.name, specifications) == ("Park am Meer", rated)
    first, *changed_rows, last = told
    hashes = [hashlib.sha256(file.encode()).hexdigest() for file in (text, other)]
    for entry, sha256, created, updated in ((first, hashes[0], 10, 0), (last, hashes[1], 0, 5)):
        counts = {"created": created, "updated": updated}
        said = {"file": "site file", "sha256": sha256, **counts}
        assert entry == ("site.apply", "sites/1", {}, said)
    assert changed_rows == [
        ("site.change", "sites/1", {"name": "Park"}, {"name": "Park am Meer"}),
        (
            "site.change",
            "devices/1",
            {"specifications": rated | {"rated_kw": "100"}},
            {"specifications": rated},
        ),
        ("site.change", "meters/1", {"rated_kw": "100"}, {"rated_kw": "101"}),
        (
            "site.remove",
            "meter_changes/1",
            {
                "meter_id": 1,
                "at_s": 1402826400,
                "closing": "103050.5",
                "opening": "7",
                "instrument": None,
            },
            {},
        ),
        (
            "site.remove",
            "energy_certificates/1",
            {
                "meter_id": 1,
                "instrument": "GEC",
                "reference": "CN-1",
                "from_day": "2014-01-01",
                "to_day": "2014-03-31",
                "energy_mwh": "120",
                "share": None,
            },
            {},
        ),
    ]


RESOURCES = (
    ("wind_turbine", "generation", "wind"),
    ("\u98ce\u673a", "generation", "wind"),
    ("PV rooftop", "export", "solar"),
    ("\u5c4b\u9876\u5149\u4f0f", "generation", "solar"),
    ("\u7535\u5316\u5b66\u50a8\u80fd", "storage", "battery"),
    ("flywheel", "storage", "battery"),
    ("cold_storage", "load", "load"),  # no battery, whatever it is called
    ("winder", "import", "load"),
    ("biogas", "generation", "generator"),
)


def test_what_a_device_is_as_a_resource(sqlite_db: Database) -> None:
    tables = [
        f'[[device]]\ncode = "D{number}"\ntype = "{type_}"\nrole = "{role}"\nrated_kw = "9"\n'
        f'meter_serial = "serial {number}"\n'
        for number, (type_, role, _) in enumerate(RESOURCES)
    ]
    codes = ", ".join(f'"D{number}"' for number in range(len(RESOURCES)))
    text = "\n".join([SITE, *tables, changed('["A"]', f"[{codes}]", PLANT)])
    apply(sqlite_db, text)
    query = select(VppResource).order_by(VppResource.id)
    with sqlite_db.write() as session:
        resources = session.scalars(query).all()
        kinds = [kind for _, _, kind in RESOURCES]
        assert [resource.type.value for resource in resources] == kinds
        for resource in resources:
            resource.type = ResourceType.WIND
    apply(sqlite_db, text)
    with sqlite_db.read() as session:
        said = [resource.type.value for resource in session.scalars(query)]
    # Whoever knows better may say so where the file says nothing.
    assert said == [*kinds[:-1], "wind"]


def test_plants_markets_and_strategies(db: Database) -> None:
    apply(db, LHB_SITE)
    with db.read() as session:
        plant = session.scalars(select(VppDefinition)).one()
        resource = session.scalars(select(VppResource)).one()
        share = session.scalars(select(VppResourceAssociation)).one()
        strategy = session.scalars(select(VppTradingStrategy)).one()
        accounts = session.execute(
            select(
                VppSettlementAccount.vpp_id,
                VppSettlementAccount.market,
                VppSettlementAccount.address,
            )
        ).all()
    assert (plant.vpp_id, plant.total_capacity) == ("lhb-vpp", Decimal("2050.000"))
    assert (resource.resource_id, resource.type.value) == ("R80721", "wind")
    assert (resource.capacity, resource.unit) == (Decimal("2050.000"), "kW")
    assert (share.vpp_id, share.resource_id) == (plant.id, resource.id)
    assert share.allocation_ratio == Decimal("1.0000")
    assert (strategy.vpp_id, strategy.strategy_name) == (plant.id, "hourly sales")
    assert {tuple(row) for row in accounts} == {
        (plant.id, None, f"0x{4:040x}"),
        (None, "example-day-ahead", f"0x{6:040x}"),
    }


@long
def test_two_sites_share_a_factor_of_the_same_content(db: Database) -> None:
    apply(db, LHB_SITE)
    assert "factor CDM-ASB0038-CM-wind-solar 2018" in apply(db, SERF_SITE).unchanged


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('value = "0.5"', 'value = "0.4"'),
        ('value = "0.5"', 'value = "0.50"'),
        ('unit = "t/MWh"', 'unit = "kg/MWh"'),
        ('purpose = "crediting_cm"', 'purpose = "inventory_market"'),
    ],
)
def test_a_factor_is_never_changed(db: Database, old: str, new: str) -> None:
    apply(db)
    with pytest.raises(BadInput, match="give the new content a new version") as caught:
        apply(db, changed(old, new))
    assert caught.value.code == "factor-changed"
    assert caught.value.message.startswith("site file: factor cm 1 is recorded as 0.5 t/MWh")


def test_a_new_version_of_a_factor_is_a_new_row_and_the_project_takes_it(db: Database) -> None:
    apply(db)
    newer = changed('code = "cm"\nversion = "1"', 'code = "cm"\nversion = "2"')
    changes = apply(db, changed('value = "0.5"', 'value = "0.4"', newer))
    assert "factor cm 2" in changes.created
    assert changes.updated == ["project park-wind"]
    with db.read() as session:
        assert session.scalars(
            select(EmissionFactor.value).where(EmissionFactor.code == "cm")
        ).all() == ["0.5", "0.4"]


def test_an_unverified_factor_is_flagged(sqlite_db: Database) -> None:
    unverified = SITE.replace("verified = true", "verified = false", 1)
    assert apply(sqlite_db, unverified).warnings == ["factor cm 1 is marked unverified"]


def test_a_project_with_a_factor_of_the_inventory_is_flagged_and_cannot_mint(
    sqlite_db: Database, tmp_path: Path
) -> None:
    changes = apply(sqlite_db, changed('factor = "cm"', 'factor = "grid-average"'))
    assert "cannot mint" in changes.warnings[0]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(T0, "60")]))
    with sqlite_db.read() as session, pytest.raises(Refused, match="cannot mint"):
        reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))


def test_what_readings_rest_on_is_not_changed(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db)
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(T0, "60")]))
    for old, new, says in (
        ('meter_serial = "serial-A"', 'meter_serial = "serial-B"', "declare another"),
        ('role = "generation"', 'role = "export"', "declare another"),
        ('time_zone = "Europe/Paris"', 'time_zone = "UTC"', "cannot change any more"),
    ):
        with pytest.raises(BadInput, match=says):
            apply(sqlite_db, changed(old, new))
    with sqlite_db.read() as session:
        assert session.scalars(select(Meter.serial)).one() == "serial-A"


def test_of_two_sources_of_a_meter_its_readings_say_what_it_measures(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """A site that is to be read every minute, and has been read by the hour up to now."""
    hourly = SITE[SITE.index("[[source]]") :].replace("= 10", "= 60").replace("scada", "by-hour")
    apply(sqlite_db, SITE.replace("= 10", "= 1") + "\n" + hourly)
    file = write_csv(tmp_path / "a.csv", [("2014-06-01T08:00:00Z", "50")])
    assert imported(sqlite_db, file, source="by-hour").new == 1
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *JUNE)
    assert (reduction.counts.expected, reduction.net_kwh) == (24, 50)


def test_numbers_of_a_device_that_can_hardly_be_meant_are_warnings(sqlite_db: Database) -> None:
    """Of a drawing meter nothing was deducted; litres of fuel weighed a thousand times what they do."""
    (warning,) = apply(sqlite_db, changed('rated_kw = "100"', 'rated_kw = "0"')).warnings
    assert warning.startswith(
        "device A: rated_kw is 0, so that whatever its meter says is beyond it"
    )
    diesel = (
        '[[device]]\ncode = "D"\ntype = "x"\nmeter_serial = "D"\nrole = "fuel"\nrated_kw = "0"\n'
        'density_kg_per_l = "840"\nfuel_factor = "d"\n[[factor]]\ncode = "d"\nversion = "1"\npurpose = "fuel"\n'
        'value = "74.1"\nunit = "t CO2/TJ"\nncv_gj_per_t = "43"\nsource = "x"\nverified = true\n'
    )
    asking = SITE.replace('completeness_min = "0"', 'completeness_min = "0.9"')
    assert apply(sqlite_db, asking + diesel).warnings == [
        "device D: density_kg_per_l 840 is more than any fuel has; check the unit: kg/m3 is a thousandth of kg/L"
    ]


def test_who_asks_for_no_completeness_is_told_what_that_means_for_what_is_deducted(
    sqlite_db: Database,
) -> None:
    device = '[[device]]\ncode = "G"\ntype = "x"\nmeter_serial = "G"\nrole = "import"\n'
    (said,) = apply(sqlite_db, SITE + device).warnings
    assert said.startswith("project park-wind: completeness_min is 0, so that readings of G that")
    asking = SITE.replace('completeness_min = "0"', 'completeness_min = "0.0001"')
    assert apply(sqlite_db, asking + device).warnings == []
    assert apply(sqlite_db, SITE + device + "inventory_only = true\n").warnings == []


@long
@pytest.mark.parametrize("role", ["generation", "export"])
def test_a_supplying_meter_without_a_rated_power_has_no_limit(
    sqlite_db: Database, role: str
) -> None:
    bare = changed('rated_kw = "100"\n', "").replace('"generation"', f'"{role}"')
    (warning,) = apply(sqlite_db, bare).warnings
    assert warning.startswith("device A: no rated_kw, so that there is no outlier limit")
    shown = bare.replace('serial-A"', 'serial-A"\ninventory_only = true')
    assert not any("rated_kw" in text for text in apply(sqlite_db, shown).warnings)
    # A battery that is declared to be no part of the project escapes the refusal of one behind an export meter.
    battery = '[[device]]\ncode = "B"\ntype = "x"\nmeter_serial = "B"\nrole = "storage"\ninventory_only = true\n'
    said = [text for text in apply(sqlite_db, bare + battery).warnings if "device B" in text]
    assert [text.split(",")[0] for text in said] == (
        ["device B: the storage is inventory_only"] if role == "export" else []
    )


@long
@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('label = "start"', 'label = "end"', "label"),
        ('time_zone = "offset"', 'time_zone = "UTC"', "time_zone"),
        ('time_zone = "offset"', 'time_zone = "offset"\ntime_format = "unix"', "time_format"),
        (
            'time_zone = "offset"',
            'time_zone = "Europe/Paris"\nclock_change = "in_order"',
            "time_zone and clock_change",
        ),
    ],
)
def test_other_times_of_a_source_with_readings_are_a_warning(
    sqlite_db: Database, tmp_path: Path, old: str, new: str, named: str
) -> None:
    apply(sqlite_db)
    assert apply(sqlite_db, changed(old, new)).warnings == []  # nothing is stored yet
    apply(sqlite_db)
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(T0, "60")]))
    (warning,) = apply(sqlite_db, changed(old, new)).warnings
    assert warning.startswith(f"source scada: {named} changed, and readings of it are stored")
    assert "comes in shifted" in warning
    assert apply(sqlite_db, changed(old, new)).warnings == []


@long
def test_another_missing_of_a_source_with_readings_is_a_warning(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """The same text is unchanged when it comes again: a sentinel that came in as energy goes on counting."""
    site = changed('rated_kw = "100"\n', "")
    with_missing = site.replace(
        'value_column = "value"', 'value_column = "value"\nmissing = ["9999"]'
    )
    apply(sqlite_db, site)
    apply(sqlite_db, with_missing)  # nothing is stored yet: no word of it
    apply(sqlite_db, site)
    path = write_csv(tmp_path / "a.csv", [(T0, "9999")])
    imported(sqlite_db, path)
    *_, warning = apply(sqlite_db, with_missing).warnings
    assert warning.startswith("source scada: missing changed, and readings of it are stored")
    assert imported(sqlite_db, path).unchanged == 1
    with sqlite_db.read() as session:
        (found,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
    assert found.export_kwh == Fraction(9999, 6)
    # What the warning names leaves it out.
    assert "rated_kw" in warning
    apply(sqlite_db, with_missing.replace('role = "gen', 'rated_kw = "100"\nrole = "gen'))
    with sqlite_db.read() as session:
        (found,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
    assert (found.export_kwh, found.counts.outlier) == (0, 1)


@pytest.mark.parametrize(
    "twin",
    rest(
        [
            "a-1",
            "A-1 ",
            "A -1",
            "A-1\u200b",
            "\uff21-1",
            "A-\u00b9",
            "A-1\ufe0f",
            "\u3164A-1",
            "A\u2800-1",
        ],
        *("a-1", "A-1\u200b", "A-1\ufe0f"),
    ),
    ids=ascii,
)
def test_a_serial_that_reads_as_another_is_that_meter(sqlite_db: Database, twin: str) -> None:
    """Its readings would be credited under both, for constraints compare serials as they are written."""
    first = changed('meter_serial = "serial-A"', 'meter_serial = "A-1"')
    apply(sqlite_db, first)

    def second(serial: str) -> str:
        device = first[first.index("[[device]]") : first.index("[[source]]")]
        return first + device.replace('"A"', '"B"').replace('"A-1"', f'"{serial}"')

    with pytest.raises(BadInput, match="reads as 'A-1' of another device") as caught:
        apply(sqlite_db, second(twin))
    assert caught.value.code == "meter-taken"
    # One that was stored before this rule stays, and its site file can be applied.
    apply(sqlite_db, second("B-1"))
    with sqlite_db.write() as session:
        session.execute(update(Meter).where(Meter.serial == "B-1").values(serial=twin))
    apply(sqlite_db, second(twin).replace('rated_kw = "100"', 'rated_kw = "110"'))
    if twin != twin.strip():  # none is new with a blank around it
        return
    # What it has may be changed to what reads as nobody's; what another gives up in the same file is nobody's.
    apply(sqlite_db, second(f"other {twin}"))
    apply(sqlite_db, second(twin.replace("1", "2").replace("\u00b9", "2")))
    apply(sqlite_db, second(twin).replace('"A-1"', '"A-9"'))


@pytest.mark.parametrize("serial", [" S", "S ", "S\u00a0"], ids=ascii)
def test_a_serial_with_a_blank_around_is_refused_and_one_that_is_stored_stays(
    sqlite_db: Database, serial: str
) -> None:
    site = changed('meter_serial = "serial-A"', f'meter_serial = "{serial}"')
    swap = '\n[[meter_change]]\ndevice = "A"\nat = "2014-06-01T12:00:00+02:00"\nclosing = "1"\nopening = "0"\n'
    counter = SITE.replace('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "kWh"')
    changes = counter.replace('label = "start"\n', "") + swap + f'meter_serial = "{serial}"\n'
    says = re.escape(f"meter_serial begins or ends with a blank, {serial!r}; take it out")
    for text in (site, changes):
        with pytest.raises(BadInput, match=says):
            apply(sqlite_db, text)
    apply(sqlite_db, changes.replace(f'"{serial}"', '"T"'))
    with sqlite_db.write() as session:
        session.execute(update(MeterChange).values(instrument=serial))
        session.execute(update(Meter).values(serial=serial))
    stored = changes.replace('"serial-A"', f'"{serial}"')
    assert apply(sqlite_db, stored.replace('rated_kw = "100"', 'rated_kw = "110"')).created == []


@few(1)
@pytest.mark.parametrize("key", ["methodology", "methodology_version", "program"])
def test_a_blank_in_what_a_project_goes_by_is_refused_where_it_is_new(
    sqlite_db: Database, key: str
) -> None:
    blank = re.sub(f'(?m)^({key} = "[^"]+)"$', r'\1 "', SITE)
    assert blank != SITE
    apply(sqlite_db)
    with pytest.raises(BadInput, match=rf"\[project\]: {key} begins or ends with a blank"):
        apply(sqlite_db, blank)
    with sqlite_db.write() as session:
        project = session.scalars(select(Project)).one()
        setattr(project, key, f"{getattr(project, key)} ")
    assert apply(sqlite_db, blank).updated == []
    assert apply(sqlite_db).updated == ["project park-wind"]


def test_a_device_or_meter_of_another_site_is_not_taken(sqlite_db: Database) -> None:
    apply(sqlite_db)
    other = changed('code = "park"\nname', 'code = "other"\nname').replace(
        "park-wind", "other-wind"
    )
    taken = "device 'A' belongs to another site; .*: give this one another"
    with pytest.raises(BadInput, match=taken):
        apply(sqlite_db, other)
    taken = "project 'park-wind' belongs to another site; .*: give this one another"
    with pytest.raises(BadInput, match=taken):
        apply(sqlite_db, changed('code = "park"\nname', 'code = "other"\nname'))
    renamed = other.replace('code = "A"', 'code = "B"').replace('device = "A"', 'device = "B"')
    with pytest.raises(BadInput, match="readings would count twice"):
        apply(sqlite_db, renamed)
    with sqlite_db.read() as session:
        assert session.scalars(select(func.count()).select_from(Site)).one() == 1
        assert session.scalars(select(func.count()).select_from(DeviceType)).one() == 1


@pytest.mark.parametrize("role", rest(["load", "storage"]))
def test_a_load_and_a_battery_are_shown_with_the_project(sqlite_db: Database, role: str) -> None:
    changes = apply(sqlite_db, changed('role = "generation"', f'role = "{role}"'))
    with sqlite_db.read() as session:
        assert session.scalars(select(Meter.project_id)).one() is not None
    assert changes.warnings == [
        "project park-wind: no meter of generation or export; savings on the demand side are refused "
        "until a methodology for them exists"
    ]


def test_since_when_and_until_when_a_meter_is_there(sqlite_db: Database) -> None:
    """In legal days, the last one included; what is taken out of the file is open again."""
    role = 'role = "generation"'
    days = f'{role}\nin_service_from = "2014-01-01"\nin_service_to = "2014-03-30"'
    start = datetime(2013, 12, 31, 23, tzinfo=UTC)
    for text, expected in (
        (days, (start, datetime(2014, 3, 30, 22, tzinfo=UTC))),
        (f'{role}\nin_service_from = "2014-01-01"', (start, None)),
        (role, (None, None)),
    ):
        apply(sqlite_db, changed(role, text))
        with sqlite_db.read() as session:
            inputs = load_period(session, "park-wind", date(2014, 2, 1), date(2014, 3, 1))
        (meter,) = inputs.meters
        found = meter.in_service_from_s, meter.in_service_to_s
        assert found == tuple(None if at is None else int(at.timestamp()) for at in expected)
    with pytest.raises(BadInput, match="in_service_to comes before in_service_from"):
        apply(sqlite_db, changed(role, days.replace("2014-03", "2013-03")))


CALIBRATION = """[[calibration]]
device = "A"
calibrated_from = "2014-01-01"
calibrated_to = "2014-01-31"

"""
CLASS = 'role = "generation"\naccuracy_class = "0.5"'


def calibrated(*tables: str, device: str = CLASS) -> str:
    """Return the site file with calibrations before its source."""
    return changed("[[source]]", "".join(tables) + "[[source]]").replace(
        'role = "generation"', device, 1
    )


def test_calibrations_are_kept_in_order_and_their_days_are_legal_days(sqlite_db: Database) -> None:
    digest = "ab" * 32
    later = CALIBRATION.replace("2014-01-31", "2014-02-28").replace("2014-01-01", "2014-02-01")
    later = later.rstrip() + f'\nmeasured_error = "-0.7"\ncertificate_sha256 = "{digest}"\n\n'
    apply(sqlite_db, calibrated(later, CALIBRATION))
    with sqlite_db.read() as session:
        meter = session.scalars(select(Meter)).one()
        assert (meter.calibrated_from, meter.calibrated_to, meter.calibrated) == (None, None, True)
        assert [item["calibrated_from"] for item in meter.calibrations or ()] == [
            "2014-01-01",
            "2014-02-01",
        ]
        inputs = load_period(session, "park-wind", date(2014, 1, 1), date(2014, 3, 1))
    spans = inputs.meters[0].calibration.spans
    start = datetime(2013, 12, 31, 23, tzinfo=UTC)
    assert [(item.from_s, item.to_s) for item in spans] == [
        (int(start.timestamp()), int((start + timedelta(days=31)).timestamp())),
        (
            int((start + timedelta(days=31)).timestamp()),
            int((start + timedelta(days=59)).timestamp()),
        ),
    ]
    assert [(item.measured_error, item.certificate_sha256) for item in spans] == [
        (None, None),
        ("-0.7", digest),
    ]
    apply(sqlite_db, calibrated())
    with sqlite_db.read() as session:
        assert session.scalars(select(Meter)).one().calibrations is None


@pytest.mark.parametrize(
    ("tables", "device", "says"),
    [
        ([CALIBRATION, CALIBRATION], CLASS, "days are in common with the calibration of 'A'"),
        (
            [CALIBRATION.replace('calibrated_to = "2014-01-31"\n', ""), CALIBRATION],
            CLASS,
            "days are in common",
        ),
        ([CALIBRATION.replace('"A"', '"B"')], CLASS, "no [[device]] has code 'B'"),
        ([CALIBRATION], 'role = "generation"', "accuracy_class of the [[device]] 'A' is missing"),
        ([CALIBRATION], CLASS + '\ncalibrated_from = "2013-01-01"', "of its own"),
        ([CALIBRATION], CLASS + "\ncalibrated = false", "of its own"),
        ([CALIBRATION.replace("2014-01-31", "2013-01-31")], CLASS, "comes before"),
        ([CALIBRATION.replace("calibrated_from", "from")], CLASS, "unknown key 'from'"),
        ([CALIBRATION.rstrip() + '\ncertificate_sha256 = "AB"\n'], CLASS, "64 hexadecimal"),
        ([CALIBRATION.rstrip() + '\nmeasured_error = "100"\n'], CLASS, "percent of the reading"),
    ],
)
def test_a_wrong_calibration_is_one_line(
    sqlite_db: Database, tables: list[str], device: str, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, calibrated(*tables, device=device))
    assert says in str(caught.value)
    assert "line " in str(caught.value)
    assert "\n" not in str(caught.value)


WRONG = [
    ('time_zone = "Europe/Paris"', 'time_zone = "Europe/Atlantis"', 4, "is no IANA time zone"),
    # A file that stands among the zones.
    ('time_zone = "Europe/Paris"', 'time_zone = "leapseconds"', 4, "is no IANA time zone"),
    ('country = "FR"', 'country = "fr"', 5, "'fr' is no country's code (ISO 3166-1, two letters)"),
    ('country = "FR"', 'country = "ZZ"', 5, "'ZZ' is no country's code"),
    ('country = "FR"', 'country = "UK"', 5, "did you mean 'GB'?"),
    ('country = "FR"', 'contry = "FR"', 5, "unknown key 'contry'; did you mean 'country'?"),
    ('country = "FR"\n', "", 1, "'country' is missing"),
    ('code = "park"\n', 'code = "my park"\n', 2, "letters, digits"),
    ('value = "0.5"', "value = 0.5", 12, "must stand in quotes"),
    ('value = "0.5"', 'value = "half"', 12, "plain decimal number"),
    ('value = "0.5"', 'value = "5e-1"', 12, "plain decimal number"),
    ('unit = "t/MWh"', 'unit = "t/kWh"', 13, "unknown unit 't/kWh'; did you mean 't/MWh'?"),
    ('purpose = "crediting_cm"', 'purpose = "crediting"', 11, "did you mean 'crediting_cm'?"),
    ('completeness_min = "0"', 'completeness_min = "1.5"', 32, "from 0 to 1"),
    ('completeness_min = "0"', 'completeness_min = "95"', 32, "is a share, from 0 to 1"),
    ('completeness_min = "0"', 'completeness_min = "0.98765"', 32, "from 0 to 1 with at most 4"),
    ('completeness_min = "0"', 'completeness_min = "0.12345"', 32, "at most 4 decimals"),
    (
        'program = "internal"',
        'program = "internal"\nissue_every = "week"',
        32,
        "month, quarter, year",
    ),
    (
        'program = "internal"',
        'program = "internal"\nissue_after_days = 3',
        32,
        "for a project with",
    ),
    (
        'program = "internal"',
        'program = "internal"\nissue_every = "month"\nissue_after_days = 367',
        33,
        "from 0 to 366 whole days, found 367",
    ),
    ('rated_kw = "100"', 'rated_kw = "-1"', 37, "from 0"),
    ('role = "generation"', 'role = "generator"', 39, "did you mean 'generation'?"),
    (
        'role = "generation"',
        'role = "generation"\ncalibrated = false',
        34,
        "accuracy_class is missing",
    ),
    ('role = "generation"', 'role = "generation"\ncalibrated_from = "1.1.2013"', 40, "a date"),
    ('kind = "power"\n', 'kind = "powr"\n', 43, "did you mean 'power'?"),
    ('kind = "power"\n', 'kind = "counter"\n', 44, "unknown unit 'kW' for energy"),
    (
        'kind = "power"\nunit = "kW"',
        'kind = "fuel"\nunit = "L"',
        43,
        "device 'A' has the role generation: a source of kind fuel feeds the role fuel, and no other",
    ),
    ('unit = "kW"', 'unit = "kw"', 44, "unknown unit 'kw' for power; write kW"),
    ('unit = "kW"', 'unit = "kWh"', 44, "use one of W, kW, MW, GW"),
    ('unit = "kW"\n', "", 41, "a unit has no default"),
    ("interval_minutes = 10", "interval_minutes = 7", 45, "must be one of"),
    ("interval_minutes = 10", 'interval_minutes = "10"', 45, "whole number without quotes"),
    ('label = "start"', 'label = "middle"', 46, "unknown label"),
    ('device = "A"', 'device = "B"', 47, "no [[device]] has code 'B'"),
    ('device = "A"\n', "", 41, "either device"),
    ('time_zone = "offset"', 'time_zone = "local"', 50, "offset"),
    (
        'name = "Park"',
        r'name = "Pa\u0000rk"',
        3,
        "name has a control character, U+0000; take it out",
    ),
    ('code = "A"', r'code = "A\n"', 35, "code has a control character, U+000A"),
    ('code = "A"', 'code = "A "', 35, "code begins or ends with a blank, 'A '"),
    ('name = "scada"', 'name = " scada"', 42, "name begins or ends with a blank"),
    ('role = "generation"', "role = true", 39, "role must be a text in quotes, found true"),
    ('role = "generation"', "role = 2024-01-31", 39, "in quotes, found 2024-01-31"),
    ("[project]", "[[project]]", None, "in single brackets: [project]"),
    ("[[device]]", "[device]", None, "in double brackets: [[device]]"),
    ("[[device]]", "[[devices]]", None, "unknown table 'devices'; did you mean 'device'?"),
    ('factor = "cm"', 'factor = "mc"', None, "no [[factor]] has code 'mc'"),
    ('inventory_factor = "grid-average"', 'inventory_factor = "cm"', None, "inventory_location"),
]


@pytest.mark.parametrize(("old", "new", "line", "says"), WRONG)
def test_a_wrong_site_file_is_one_line_and_leaves_nothing(
    sqlite_db: Database, old: str, new: str, line: int | None, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, changed(old, new))
    error = caught.value
    assert says in error.message
    assert error.message.startswith("site file: ")
    assert "\n" not in error.message
    if line is not None:
        assert error.details["line"] == line
        assert f"line {line}" in error.message
    with sqlite_db.read() as session:
        assert session.scalars(select(func.count()).select_from(Site)).one() == 0
        assert session.scalars(select(func.count()).select_from(EmissionFactor)).one() == 0


@pytest.mark.parametrize("table", ["device", "source", "factor"])
def test_a_table_that_stands_twice(sqlite_db: Database, table: str) -> None:
    begin = SITE.index(f"[[{table}]]")
    end = SITE.find("\n[", begin)
    twice = SITE + "\n" + SITE[begin : None if end < 0 else end]
    with pytest.raises(BadInput, match="stands twice") as caught:
        apply(sqlite_db, twice)
    assert caught.value.details["line"] > 50


@pytest.mark.parametrize("code", ["a/b", "/", ".", ".."])
def test_a_code_that_no_address_leads_to_is_refused(sqlite_db: Database, code: str) -> None:
    device = f'\n[[device]]\ncode = "{code}"\ntype = "t"\nmeter_serial = "s"\nrole = "generation"\n'
    plant = (
        f'\n[[vpp]]\ncode = "{code}"\nname = "V"\ntotal_capacity = "1"\naccount = "0x{"1" * 40}"\n'
        "devices = []\n"
    )
    of_type = device.replace(f'code = "{code}"', 'code = "B"').replace('"t"', f'"{code}"')
    for added, what in ((device, "device"), (plant, "vpp"), (of_type, "device type")):
        with pytest.raises(BadInput, match=re.escape(f"{what} {code}: {code!r} ")) as caught:
            apply(sqlite_db, SITE + added)
        assert caught.value.code == "bad-code"


def test_one_meter_of_two_devices_would_count_twice(sqlite_db: Database) -> None:
    second = (
        '\n[[device]]\ncode = "B"\ntype = "t"\nmeter_serial = "serial-A"\nrole = "generation"\n'
    )
    with pytest.raises(BadInput, match="would count twice"):
        apply(sqlite_db, SITE + second)


def test_a_site_file_that_cannot_be_read(sqlite_db: Database, tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    with pytest.raises(BadInput, match="cannot be read"):
        apply(sqlite_db, absent)
    absent.write_bytes('[site]\ncode = "x"\nname = "光伏"\n'.encode("gb18030"))
    with pytest.raises(
        BadInput, match=r"absent\.toml: line 3: not UTF-8 text \(byte \d+\); save it as UTF-8$"
    ):
        apply(sqlite_db, absent)
    absent.write_text("[site\n")
    with pytest.raises(BadInput, match=r"absent\.toml: line 1, column 6: not valid TOML"):
        apply(sqlite_db, absent)
    for text, to_do in (
        ("[site]\ncode = park\n", r"line 2, column 8: .*; a text stands in quotes"),
        ('[site]\ncode = "a"\ncode = "b"\n', r"line 3, .*; a key stands once in its table"),
        ("[device]\n[[device]]\n", r"line 2, .*; .*, \[\[name\]\]"),
        ("[device]\n[device]\n", r"line 2, .*; .*, \[\[name\]\]"),
        ("[site]\ncode = " + 5000 * "[", r"toml: not valid TOML: it is nested without end"),
        ("# a\u2028b\x85c\n[site]\ncodes = 1\n", r"line 3, \[site\]: unknown key 'codes'"),
        ("", r"table \[site\] is missing"),
    ):
        absent.write_text(text)
        with pytest.raises(BadInput, match=to_do):
            apply(sqlite_db, absent)


def test_a_site_file_may_begin_with_a_byte_order_mark(sqlite_db: Database, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SITE.encode())
    assert "site park" in apply(sqlite_db, file).created


def test_accounts_are_addresses_unless_the_caller_knows_more(sqlite_db: Database) -> None:
    assert plain_account("0x" + "aB" * 20) == "0x" + "ab" * 20
    for text in ("anvil:4", "0x12", "ab" * 21, "0x" + "zz" * 20, ""):
        with pytest.raises(BadInput, match="is not an account"):
            plain_account(text)
    with pytest.raises(BadInput, match="is not an account"), sqlite_db.write() as session:
        apply_site(session, LHB_SITE)


def test_the_bundled_factors_say_where_they_come_from() -> None:
    for path in (LHB_SITE, SERF_SITE):
        file = read_site_file(path.read_text(encoding="utf-8"), path.name)
        found = {factor.purpose: factor for factor in file.factors}
        assert found["crediting_cm"].value == "0.4329"
        inventory = found["inventory_location"]
        assert (inventory.unit, inventory.data_year) == ("g/kWh", 2023)
        assert "codecarbon 3.3.2" in inventory.source
