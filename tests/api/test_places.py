"""Sites, projects and settlement batches: what stands in the books, and sums that are computed another way."""

from __future__ import annotations

from decimal import Decimal

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import h66


def test_a_site_has_its_devices_and_months(client: TestClient) -> None:
    site = client.get("/v1/sites/park").json()
    assert (site["time_zone"], site["country"], site["projects"]) == (
        "Europe/Paris",
        "FR",
        ["park-wind"],
    )
    assert [(item["code"], item["meter"], item["role"]) for item in site["devices"]] == [
        ("A", "serial-A", "generation")
    ]
    # 60 kW over ten minutes; the other two of the half hour do not count. Midnight in Paris is May in UTC.
    assert site["months"] == [
        {
            "month": "2014-06",
            "production_kwh": "10.000",
            "consumption_kwh": "0.000",
            "reductions_kg": "0",
            "issued_kg": "0",
        }
    ]


def test_a_project_has_its_factor_and_credits(client: TestClient) -> None:
    project = client.get("/v1/projects/park-wind").json()
    assert (project["site"], project["factor"], project["factor_value"]) == ("park", "cm", "0.5")
    assert project["credits"]["issued_kg"] == "0"  # the batches are of other projects
    assert project["months"][0]["production_kwh"] == "10.000"


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/v1/sites", 1),
        ("/v1/sites?country=fr", 1),
        ("/v1/sites?country=DE", 0),
        ("/v1/projects?site=park", 1),
        ("/v1/projects?site=elsewhere", 0),
        ("/v1/settlements", 2),
        ("/v1/settlements?state=proposed", 1),
        ("/v1/settlements?market=nowhere", 0),
    ],
)
def test_lists_keep_what_is_named(client: TestClient, path: str, count: int) -> None:
    answer = client.get(path)
    assert len(answer.json()["items"]) == count
    assert answer.json()["as_of_block"] == 98
    assert 'rel="first"' in answer.headers["Link"]


def test_a_settlement_says_who_pays_whom(client: TestClient) -> None:
    batch = client.get(f"/v1/settlements/{h66(0x5B, 1)}").json()
    assert client.get("/v1/settlements/1").json() == batch
    assert (batch["state"], batch["final"], batch["trade_count"]) == ("finalized", True, 24)
    # Trades of 51.98 each; trade 7 of the north has a negative price, so that the north pays for it.
    assert batch["payments"] == [
        {"payer": "day-ahead", "payee": "vpp-north", "amount": "519.80", "trades": 12},
        {"payer": "day-ahead", "payee": "vpp-south", "amount": "623.76", "trades": 12},
    ]
    total = sum(Decimal(trade["total_value"]) for trade in batch["trades"])
    assert total == sum(Decimal(payment["amount"]) for payment in batch["payments"])
    assert [trade["id"] for trade in batch["trades"]] == list(range(1, 25))


@pytest.mark.parametrize(
    "path",
    ["/v1/sites/nowhere", "/v1/projects/x", "/v1/settlements/9", "/v1/settlements/" + h66(1, 1)],
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"
