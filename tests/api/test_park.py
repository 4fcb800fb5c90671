"""Records of a park over HTTP: lists, items, cursors, filters; alerts that are handled; the data of devices."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ledger.models import DeviceAlert, DeviceData
from ledger.models.devices import AlertSeverity, AlertStatus
from ledger.models.users import UserRole
from ledger.park import KINDS, configuration
from ledger.sealing import load_sealer
from tests.api.schemas import mismatches
from tests.support.forms import few, long, rest
from tests.support.identity import House, new_house
from tests.support.records import examples, fill, take

T0 = datetime(2026, 11, 20, tzinfo=UTC)
ADMIN: dict[str, str] = {}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with the records of the page, and an admin."""
    folder = tmp_path_factory.mktemp("park")
    with new_house(folder) as house:
        fill(house.db, folder)
        rows = "".join(
            f"day-ahead,quarter,2026-11-26T{n // 4:02d}:{n % 4 * 15:02d}:00Z,900,{n - 8}.5,EUR\n"
            for n in range(40)
        )
        head = "market,product,starts_at,duration_s,price,currency\n"
        assert take(house.db, folder, "prices", head + rows).new == 40
        with house.db.write() as session:
            for n in range(30):
                for metric, value, unit in (("soc", f"{n}.5", "%"), ("power", f"-{n}", "kW")):
                    at = T0 + timedelta(hours=n)
                    session.add(
                        DeviceData(
                            device_id=1,
                            metric_name=metric,
                            value=Decimal(value),
                            unit=unit,
                            recorded_at=at,
                        )
                    )
            for n in range(3):
                session.add(
                    DeviceAlert(
                        device_id=2,
                        alert_type=f"test-{n}",
                        severity=AlertSeverity.LOW,
                        message="x.",
                        status=AlertStatus.ACTIVE,
                        triggered_at=T0 + timedelta(hours=n),
                    )
                )
            configuration.put(session, "alerts.silent_days", "12")
            sealer = load_sealer(folder / "sealing", make=True)
            configuration.put(
                session,
                "partner.token",
                "tt-secret",
                kind=configuration.ValueType.SECRET,
                sealer=lambda: sealer,
            )
        house.add("anna", UserRole.ADMIN)
        ADMIN.update(house.sign_in("anna"))
        yield house


def get(house: House, path: str, status: int = 200) -> Any:
    answer = house.client.get(path, headers=ADMIN)
    assert answer.status_code == status, answer.text
    return answer.json()


def walked(house: House, path: str) -> list[dict[str, Any]]:
    """Follow the links of a list."""
    found: list[dict[str, Any]] = []
    while path:
        answer = house.client.get(path, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        links = dict(reversed(part.split("; ")) for part in answer.headers["Link"].split(", "))
        path = links.get('rel="next"', "").strip("<>")
    return found


@few(3)
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_listed_and_shown_as_its_file_says(house: House, name: str) -> None:
    kind = KINDS[name]
    items = walked(house, f"/v1/{name}?order=asc")
    assert items
    ending, text = examples()[name]
    if ending == "json":
        told = json.loads(text)
        for item, row in zip(items, told, strict=False):
            for column, value in row.items():
                if kind.field(column).sort.value in ("text", "one of"):
                    assert item[column] == value
    for item in items[:2]:
        number = item[kind.code] if kind.code else item["id"]
        assert get(house, f"/v1/{name}/{number}") == item
    document = house.app.openapi()
    answer = house.client.get(f"/v1/{name}", headers=ADMIN)
    schema = document["paths"][f"/v1/{name}"]["get"]["responses"]["200"]["content"][
        "application/json"
    ]["schema"]
    assert mismatches(answer.json(), schema, document) == []
    again = house.client.get(
        f"/v1/{name}", headers={**ADMIN, "If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304
    nobody = "none" if kind.code else "999999"
    missing = get(house, f"/v1/{name}/{nobody}", 404)
    assert missing["code"] == "not-found"
    assert missing["detail"].endswith(f"; /v1/{name} has all of them")  # no command of a shell
    assert get(house, f"/v1/{name}?surprise=1", 422)["code"] == "bad-request"


def test_a_battery_is_what_its_file_says(house: House) -> None:
    found = get(house, "/v1/resources/BESS-1")
    for name in ("created_at", "updated_at"):
        assert found.pop(name).endswith("Z")
    assert found == {
        "id": 2,
        "resource_code": "BESS-1",
        "name": "Battery container 1",
        "type": "battery",
        "capacity": "500.000",
        "unit": "kW",
        "location": "Yard north",
        "status": "active",
        "technical_params": {
            "energy_kwh": "1000",
            "charge_kw": "400",
            "discharge_kw": "500",
            "soc_min": 10,
            "soc_max": 95,
        },
    }


@long
@pytest.mark.parametrize("order", rest(["asc", "desc"], "desc"))
def test_prices_of_a_market_come_in_order_of_time_whatever_the_page(
    house: House, order: str
) -> None:
    whole = walked(house, f"/v1/prices?market=day-ahead&order={order}&limit=200")
    times = [item["starts_at"] for item in whole]
    assert times == sorted(times, reverse=order == "desc") and len(times) == 42
    for limit in (1, 7, 41, 42):
        path = f"/v1/prices?market=day-ahead&order={order}&limit={limit}"
        assert walked(house, path) == whole, limit
    part = walked(
        house,
        f"/v1/prices?market=day-ahead&order={order}&limit=3&time_from=2026-11-26T02:00:00Z&time_before=2026-11-26T03:00:00Z",
    )
    assert [item["price"] for item in part] == [
        f"{n - 8}.5000" for n in (range(8, 12) if order == "asc" else range(11, 7, -1))
    ]
    assert walked(house, "/v1/prices?market=nowhere") == []
    swapped = "time_from=2026-11-26T03:00:00Z&time_before=2026-11-26T02:00:00Z"
    for asked in ("prices?market=day-ahead", "bids?vpp_code=none"):
        assert get(house, f"/v1/{asked}&{swapped}", 422)["code"] == "empty-period"
    swapped = swapped.replace("time_", "done_")
    assert get(house, f"/v1/audit-log?{swapped}", 422)["code"] == "empty-period"


def test_a_name_that_reads_as_a_command_is_given_back_as_it_was(house: House) -> None:
    """What was asked for stands in the sentence before the route, and is no command of ours."""
    for name in ("`x bad list`", "`x park list prices` has", "`x webhooks deliveries 5`"):
        detail = get(house, f"/v1/devices/{quote(name)}", 404)["detail"]
        assert detail.endswith(f" {name!r}; /v1/devices has all of them")


def test_filters_keep_what_they_say(house: House) -> None:
    assert [
        item["vpp_code"] for item in walked(house, "/v1/shares?resource_code=BESS-1&order=asc")
    ] == ["VPP-NORTH", "VPP-SOUTH"]
    assert [item["device_code"] for item in walked(house, "/v1/devices?status=offline")] == [
        "CP-01"
    ]
    assert {
        item["alert_type"] for item in walked(house, "/v1/alerts?status=active&device_code=BESS-1")
    } == {"door_open"}
    assert walked(house, "/v1/bids?vpp_code=VPP-NONE") == []
    assert "name it, too" in get(house, "/v1/bids?time_from=2026-01-01T00:00:00Z", 422)["detail"]
    assert get(house, "/v1/devices?status=asleep", 422)["code"] == "bad-request"
    first = get(house, "/v1/prices?market=day-ahead&limit=1")["next_cursor"]
    assert get(house, f"/v1/prices?limit=1&cursor={first}", 422)["code"] == "bad-cursor"


@pytest.mark.parametrize("place", [2**63 - 1, 253_402_300_799 * 10**6, 2**63])
@pytest.mark.parametrize(
    "url",
    [
        "/v1/prices?market=day-ahead&limit=1",
        "/v1/devices/BESS-1/data?recorded_from=2026-11-20T00:00:00Z&limit=1",
    ],
)
def test_a_cursor_beyond_the_calendar_is_refused(house: House, url: str, place: int) -> None:
    """The mark in it is no secret: anybody can make one."""
    given = get(house, url)["next_cursor"]
    mark, *last = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    assert len(last) == 2
    text = json.dumps([mark, place, 1], separators=(",", ":"))
    forged = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    assert get(house, f"{url}&cursor={forged}", 422)["code"] == "bad-cursor"


def test_a_device_may_have_any_name(house: House, tmp_path: Path) -> None:
    cells = "x,battery_container,Y,online"
    rows = f'device_code,name,type,location,status\n设备 1,{cells}\n"a"">b",{cells}\n'
    assert take(house.db, tmp_path, "devices", rows).new == 2
    try:
        for code in ("设备 1", 'a">b'):
            path = f"/v1/devices/{quote(code, safe='')}/data"
            answer = house.client.get(f"{path}?recorded_from=2026-11-20T00:00:00Z", headers=ADMIN)
            assert answer.status_code == 200, answer.text
            assert answer.headers["link"].startswith(f"<{path}?")
    finally:
        house.sql("DELETE FROM devices WHERE device_id IN (?, ?)", "设备 1", 'a">b')


def test_the_last_values_of_a_device_and_its_day(house: House) -> None:
    found = get(house, "/v1/devices/BESS-1/latest")
    assert [
        (item["metric"], item["value"], item["unit"], item["recorded_at"])
        for item in found["items"]
    ] == [
        ("power", "-29.000000", "kW", "2026-11-21T05:00:00Z"),
        ("soc", "29.500000", "%", "2026-11-21T05:00:00Z"),
    ]
    assert get(house, "/v1/devices/CP-01/latest")["items"] == []
    assert get(house, "/v1/devices/none/latest", 404)["code"] == "not-found"
    newest = get(house, "/v1/newest-values")
    assert [
        (item["device_code"], item["recorded_at"], [value["value"] for value in item["items"]])
        for item in newest["items"]
    ] == [("BESS-1", "2026-11-21T05:00:00Z", ["-29.000000", "29.500000"])]
    assert newest["next_cursor"] is None
    pages = [get(house, f"/v1/newest-values?order={order}&limit=1") for order in ("asc", "desc")]
    assert [page["next_cursor"] is None for page in pages] == [False, False]
    assert walked(house, "/v1/newest-values?limit=1") == newest["items"]
    assert walked(house, "/v1/newest-values?limit=1&order=desc") == newest["items"]
    day = "/v1/devices/BESS-1/data?recorded_from=2026-11-20T00:00:00Z&order=asc"
    values = walked(house, f"{day}&metric=soc&limit=5")
    assert [item["value"] for item in values] == [f"{n}.500000" for n in range(24)]
    assert len(walked(house, f"{day}&limit=7")) == 48
    assert len(walked(house, f"{day}&recorded_before=2026-11-20T01:00:00Z")) == 2
    assert get(house, "/v1/devices/BESS-1/data", 422)["errors"][0]["name"] == "recorded_from"
    assert "31 days" in get(house, f"{day}&recorded_before=2027-11-20T01:00:00Z", 422)["detail"]
    assert (
        get(house, "/v1/devices/none/data?recorded_from=2026-11-20T00:00:00Z", 404)["code"]
        == "not-found"
    )


def test_an_alert_is_handled_once_and_told_in_the_same_commit(house: House) -> None:
    number = walked(house, "/v1/alerts?device_code=CP-01&status=active&order=asc")[0]["id"]
    path = f"/v1/alerts/{number}"
    key = {**ADMIN, "Idempotency-Key": "acknowledged-once-1"}
    first = house.client.post(f"{path}/acknowledgement", json={"note": "on my way"}, headers=key)
    assert first.status_code == 201, first.text
    assert (first.json()["status"], first.json()["details"]["acknowledged_by"]) == (
        "acknowledged",
        "anna",
    )
    again = house.client.post(f"{path}/acknowledgement", json={"note": "on my way"}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    twice = house.client.post(f"{path}/acknowledgement", json={}, headers=ADMIN)
    assert (twice.status_code, twice.json()["code"]) == (409, "alert-state")
    empty = house.client.post(f"{path}/resolution", json={}, headers=ADMIN)
    assert (empty.status_code, empty.json()["code"]) == (422, "bad-input")
    done = house.client.post(f"{path}/resolution", json={"note": "fuse replaced"}, headers=ADMIN)
    assert (done.status_code, done.json()["status"]) == (201, "resolved")
    assert done.json()["resolved_at"] is not None
    told = [entry for entry in house.audit() if entry[0].startswith("alerts.")]
    assert told == [
        ("alerts.acknowledge", f"device_alerts/{number}"),
        ("alerts.resolve", f"device_alerts/{number}"),
    ]
    assert (
        house.client.post(
            "/v1/alerts/99999/resolution", json={"note": "x"}, headers=ADMIN
        ).status_code
        == 404
    )
    assert (
        house.client.post(f"{path}/resolution", json={"note": "x" * 501}, headers=ADMIN).status_code
        == 422
    )


def test_settings_are_shown_with_their_types_and_secrets_never(house: House) -> None:
    items = walked(house, "/v1/config?order=asc")
    assert [(item["key"], item["type"], item["value"]) for item in items] == [
        ("alerts.silent_days", "integer", 12),
        ("partner.token", "secret", "***"),
    ]
    assert get(house, "/v1/config/alerts.silent_days")["value"] == 12
    missing = get(house, "/v1/config/none.such", 404)
    assert missing["detail"].endswith("in the database; /v1/config has all of them")
    assert [item["key"] for item in walked(house, "/v1/config?category=partner")] == [
        "partner.token"
    ]
    assert "tt-secret" not in house.client.get("/v1/config", headers=ADMIN).text
    assert "tt-secret" not in house.client.get("/v1/audit-log", headers=ADMIN).text


def test_a_text_that_no_column_holds_is_refused_with_its_place(house: House) -> None:
    codes = [kind for kind in KINDS.values() if kind.code is not None]
    for path in [f"/v1/{kind.name}" for kind in codes]:
        longest = 200 if path == "/v1/models" else 100  # of VARCHAR columns of the tables' design
        assert house.client.get(f"{path}/{'m' * longest}", headers=ADMIN).status_code == 404, path
        answer = house.client.get(f"{path}/{'m' * (longest + 1)}", headers=ADMIN)
        assert (answer.status_code, answer.json()["errors"][0]["name"]) == (422, "code"), path
    for kind in KINDS.values():
        for name in kind.filters:
            if kind.field(name).choices:
                continue
            answer = house.client.get(f"/v1/{kind.name}", params={name: "m" * 201}, headers=ADMIN)
            message = answer.json()["errors"][0]["message"]
            longest = int(message.split()[-2])
            given = {name: "m" * longest}
            answer = house.client.get(f"/v1/{kind.name}", params=given, headers=ADMIN)
            assert (answer.status_code, longest in (50, 100, 200)) == (200, True), (kind.name, name)
