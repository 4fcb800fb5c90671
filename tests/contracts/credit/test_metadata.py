"""uri: what a batch says of itself."""

import json
from base64 import b64decode
from typing import Any

import pytest

from tests.contracts.park import Park

FIRST, SECOND = (1 << 32) + 1, (1 << 32) + 2
EXPIRY_S = 2_000_000_000
WEEK_S = 7 * 86_400


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park) -> None:
    """A batch that expires and one that does not, with large and small numbers."""
    park.issue(amount=123_851, periodStart=100, periodEnd=1_704_063_600, expiresAt=EXPIRY_S)
    park.issue(amount=1, periodStart=1_704_063_600, periodEnd=1_704_063_601)


def document(credit: Any, batch: int) -> Any:
    """Return the JSON of a batch, strictly decoded."""
    kind, _, body = credit.uri(batch).partition(",")
    assert kind == "data:application/json;base64"
    return json.loads(b64decode(body, validate=True).decode("ascii"))


def expected(name: str, status: str, **numbers: int) -> Any:
    plain = {
        "issued": 123_851,
        "retired": 0,
        "cancelled": 0,
        "period_start": 100,
        "period_end": 1_704_063_600,
        "expires_at": EXPIRY_S,
    }
    assert set(numbers) <= set(plain)
    return {
        "name": f"Carbon credit batch {name}",
        "description": "Verified emission reductions of one site and one monitoring period.",
        "decimals": 3,
        "properties": {"unit": "kg CO2e", "status": status, **plain, **numbers},
    }


def test_uri(credit: Any) -> None:
    """CC-36: name, description, decimals, unit, status, totals, period and expiry."""
    assert document(credit, FIRST) == expected("1-1", "active")
    times = {"period_start": 1_704_063_600, "period_end": 1_704_063_601, "expires_at": 0}
    assert document(credit, SECOND) == expected("1-2", "active", issued=1, **times)


def test_totals(park: Park, credit: Any) -> None:
    """CC-36: as they are now."""
    park.retire(FIRST, 1000, park.owner)
    park.cancel(FIRST, 122_850, park.owner)
    totals = {"retired": 1000, "cancelled": 122_850}
    assert document(credit, FIRST) == expected("1-1", "active", **totals)


def test_statuses(park: Park, credit: Any) -> None:
    """CC-36: each by its name."""

    def status(batch: int = FIRST) -> str:
        return str(document(credit, batch)["properties"]["status"])

    credit.suspend(FIRST, {"from": park.pauser})
    assert status() == "suspended"
    credit.proposeInvalidation(FIRST, "", {"from": park.reverser})
    assert status() == "disputed"
    credit.reinstate(FIRST, {"from": park.admin})
    assert status() == "active"
    park.mine_at(EXPIRY_S)
    credit.expire(FIRST, {"from": park.stranger})
    assert status() == "expired"
    credit.proposeInvalidation(FIRST, "", {"from": park.reverser})
    park.mine_at(park.now + WEEK_S)
    credit.executeInvalidation(FIRST, {"from": park.admin})
    assert status() == "cancelled"
    assert status(SECOND) == "active"


def test_an_unknown_batch(credit: Any) -> None:
    """CC-36: says that it is unknown, and nothing else but zeros."""
    names = ("issued", "period_start", "period_end", "expires_at")
    zeros = dict.fromkeys(names, 0)
    assert document(credit, 7) == expected("0-7", "unknown", **zeros)
    largest = document(credit, 2**256 - 1)
    assert largest == expected(f"{2**224 - 1}-{2**32 - 1}", "unknown", **zeros)


def test_the_event_of_erc_1155_is_not_needed(park: Park) -> None:
    """CC-32, CC-36: a URI is made when it is asked for, so no `URI` event can be out of date."""
    tx = park.issue(periodStart=1_704_063_700, periodEnd=1_704_063_800)
    assert "URI" not in tx.events
