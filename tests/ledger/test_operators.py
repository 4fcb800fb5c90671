"""What an operator changes has a bearing on what stands elsewhere: orders, plants, units."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ledger.db import Database
from ledger.db.grants import Account
from ledger.errors import BadInput
from ledger.models import VppDispatchCommand
from ledger.park import ImportReport, kind_named, set_record
from tests.support.accounts import made_account
from tests.support.forms import long
from tests.support.mariadb import MariaDbServer
from tests.support.records import counts, fill, take, wrong
from tests.support.reports import reports

ORDERS = "vpp_code,resource_code,power_kw,starts_at,duration_s,status,error\n"


def change(db: Database, kind: str, **cells: Any) -> ImportReport:
    return db.run(lambda session: set_record(session, kind_named(kind), cells))


def test_no_order_lies_within_a_longer_one_behind_a_shorter(
    sqlite_db: Database, tmp_path: Path
) -> None:
    fill(sqlite_db, tmp_path, "device-types", "devices", "resources", "vpps", "shares")
    long = "VPP-NORTH,BESS-1,100,2026-12-24T00:00:00Z,36000,planned,\n"
    assert counts(take(sqlite_db, tmp_path, "dispatch-commands", ORDERS + long))[1] == 1
    within = [
        f"VPP-NORTH,BESS-1,-50,2026-12-24T{hour}:00:00Z,3600,planned,\n"
        for hour in ("01", "03", "09", "10")
    ]
    report = take(sqlite_db, tmp_path, "dispatch-commands", ORDERS + "".join(within))
    assert counts(report) == (4, 1, 0, 0, 3)
    recorded = "recorded, from 2026-12-24T00:00:00Z to 2026-12-24T10:00:00Z"
    assert [(line, recorded in said) for line, _, said in wrong(report)] == [
        (2, True),
        (3, True),
        (4, True),
    ]


def test_an_order_that_overlaps_a_recorded_one_since_long_goes_on(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """It was taken when nobody looked behind the order between them; it was carried out all the same."""
    fill(sqlite_db, tmp_path, "device-types", "devices", "resources", "vpps", "shares")
    long = "VPP-NORTH,BESS-1,100,2026-12-24T00:00:00Z,36000,{},\n"
    within = "VPP-NORTH,BESS-1,-50,2026-12-24T{}:00:00Z,3600,{},\n"
    take(sqlite_db, tmp_path, "dispatch-commands", ORDERS + within.format("03", "planned"))
    with sqlite_db.write() as session:
        (one,) = session.scalars(select(VppDispatchCommand))
        session.add(
            VppDispatchCommand(
                vpp_id=one.vpp_id,
                resource_id=one.resource_id,
                power_kw=Decimal(100),
                starts_at=one.starts_at - timedelta(hours=3),
                duration_s=36000,
                status=one.status,
            )
        )
    rows = long.format("sent") + within.format("03", "sent") + within.format("05", "planned")
    report = take(sqlite_db, tmp_path, "dispatch-commands", ORDERS + rows)
    assert (report.changed, report.new) == (2, 0)
    assert [line for line, _, _ in wrong(report)] == [4]


@long
def test_a_plant_that_trades_by_itself_is_not_taken_out_of_use(
    sqlite_db: Database, tmp_path: Path
) -> None:
    fill(sqlite_db, tmp_path)
    with pytest.raises(BadInput, match="VPP-NORTH trades by itself; first: truetonne park set"):
        change(sqlite_db, "vpps", vpp_code="VPP-NORTH", status="inactive")
    assert change(sqlite_db, "vpps", vpp_code="VPP-SOUTH", status="inactive").changed == 1
    change(sqlite_db, "trading-config", vpp_code="VPP-NORTH", auto_trading_enabled="false")
    assert change(sqlite_db, "vpps", vpp_code="VPP-NORTH", status="inactive").changed == 1


def test_another_unit_of_a_resource_leaves_no_state_and_no_plant_in_silence(
    sqlite_db: Database, tmp_path: Path
) -> None:
    fill(sqlite_db, tmp_path)
    report = change(sqlite_db, "resources", resource_code="PV-ROOF", capacity="1200", unit="kW")
    assert report.warnings == [
        "resource PV-ROOF: its state of 2026-11-25T11:00:00Z was told in MW, and is read in kW now; import it anew"
    ]
    report = change(sqlite_db, "resources", resource_code="COLD-STORE", capacity="100")
    assert report.warnings == [  # 250 kW of the battery, and 100
        "resource COLD-STORE: its state of 2026-11-25T11:00:00Z is beyond its capacity of 100 kW; import it anew",
        "plant VPP-SOUTH: its capacity of 400.000 kW is more than the shares of its resources come to, 350 kW",
    ]
    assert change(sqlite_db, "resources", resource_code="PV-ROOF", name="Roof").warnings == []


def test_a_state_of_charge_keeps_its_limits_in_a_list_too(
    sqlite_db: Database, tmp_path: Path
) -> None:
    fill(sqlite_db, tmp_path, "device-types", "devices")
    packs = '{"packs": [{"soc": "62.5"}, {"soc": "625"}]}'
    with pytest.raises(BadInput, match="packs, 2: soc: 625 is not between 0 and 100"):
        change(sqlite_db, "devices", device_code="BESS-1", specifications=packs)


@pytest.mark.mariadb
def test_the_report_has_the_forecast_of_a_day_beside_that_of_its_first_hour(
    mariadb_server: MariaDbServer, mariadb_db: Database, tmp_path: Path
) -> None:
    fill(mariadb_db, tmp_path, "device-types", "devices", "resources", "vpps", "shares")
    columns = "vpp_code,kind,starts_at,duration_s,value,unit,method,created_at\n"
    rows = (
        "VPP-NORTH,generation,2026-11-25T00:00:00Z,86400,9000,kWh,mean of days,2026-11-24T18:00:00Z\n"
        "VPP-NORTH,generation,2026-11-25T00:00:00Z,3600,30,kWh,mean,2026-11-24T18:00:00Z\n"
        "VPP-NORTH,generation,2026-11-25T00:00:00Z,3600,40,kWh,mean,2026-11-24T19:00:00Z\n"
    )
    assert counts(take(mariadb_db, tmp_path, "forecasts", columns + rows))[1] == 3
    with made_account(mariadb_server, Account.READ) as url:
        said = reports(url, "+01:00")["Forecast and actual of a plant"]
    assert sorted(row[2] for row in said) == [40, 9000]


def test_who_changes_rules_is_told_that_what_came_before_was_judged_by_others(
    sqlite_db: Database, tmp_path: Path
) -> None:
    fill(sqlite_db, tmp_path, "device-types", "devices")
    rules = (
        '{"alerts": [{"type": "missing", "metric": "energy", "minutes": 30, "severity": "high"}]}'
    )
    changed = {"type_name": "battery_container", "validation_rules": rules}
    assert change(sqlite_db, "device-types", **changed).warnings == [
        "device type battery_container: its rules changed; `truetonne alerts evaluate` judges by them what came before"
    ]
    assert change(sqlite_db, "device-types", **changed).warnings == []
    assert change(sqlite_db, "device-types", **changed, category="stores").warnings == []
    unheard = {"type_name": "charging_point", "validation_rules": rules}
    assert change(sqlite_db, "device-types", **unheard).warnings == []
    other = {"device_code": "BESS-1", "type": "charging_point"}
    assert change(sqlite_db, "devices", **other).warnings == [
        "device BESS-1: it has the rules of its new type; `truetonne alerts evaluate --device BESS-1` judges by them "
        "what came before"
    ]
    silent = {"device_code": "CP-01", "type": "battery_container"}  # nothing ever came from it
    assert change(sqlite_db, "devices", **silent).warnings == []


def test_a_forecast_in_the_unit_of_another_kind_is_named(
    sqlite_db: Database, tmp_path: Path
) -> None:
    fill(sqlite_db, tmp_path, "vpps")
    rows = [
        f"VPP-NORTH,{kind},2026-11-26T{hour}:00:00Z,3600,5,{unit},mean,2026-11-25T18:00:00Z\n"
        for hour, kind, unit in (
            ("00", "price", "kWh"),
            ("01", "price", "CNY/MWh"),
            ("02", "load", "EUR"),
            ("03", "load", "EUR"),
            ("04", "load", "MW"),
            ("05", "generation", "EUR/kWh"),
        )
    ]
    columns = "vpp_code,kind,starts_at,duration_s,value,unit,method,created_at\n"
    report = take(sqlite_db, tmp_path, "forecasts", columns + "".join(rows))
    energy = "energy or power is in W, kW, MW, GW, Wh, kWh, MWh, GWh"
    assert (report.new, report.warnings) == (
        6,
        [
            f"line 7: a forecast of generation in EUR/kWh; {energy}",
            f"line 4: a forecast of load in EUR, and 1 more; {energy}",
            "line 2: a forecast of price in kWh; a price is of money for energy, EUR/kWh",
        ],
    )
