"""Lists: every row once, in both directions, whatever the page size; filters; cursors."""

from __future__ import annotations

import base64
import json
import re

import pytest
from fastapi.testclient import TestClient

from api.pagination import PageParameters, fitting, link_header
from ledger.errors import BadInput
from tests.api.conftest import CREDIT_CONTRACT, CREDITS, TRADES, TRANSACTIONS, h66, key_of
from tests.support.forms import few, rest
from tests.support.statements import listening

RETIREMENTS = 30
LISTS = {
    "/v1/credits": CREDITS,
    "/v1/transactions": TRANSACTIONS,
    "/v1/trades": TRADES,
    "/v1/contracts": 2,
}


def walk(client: TestClient, path: str, **query: str | int) -> list[dict[str, object]]:
    """Follow the ``next`` links to the end, and return all items."""
    items: list[dict[str, object]] = []
    answer = client.get(path, params=query)
    for _ in range(200):
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers["Link"])
        assert (following is None) == (answer.json()["next_cursor"] is None)
        if following is None:
            return items
        answer = client.get(following.group(1))
    raise AssertionError("the list has no end")


@pytest.mark.parametrize(
    "path", ["/v1/trades", "/v1/settlements", "/v1/settlements?elsewhere=true"]
)
def test_a_list_reads_no_positions_of_settlement_batches(client: TestClient, path: str) -> None:
    """They are of up to 200 accounts, and would come with each trade of a batch."""
    # What no test before has asked: answers are kept.
    path += ("&" if "?" in path else "?") + "limit=173"
    said: list[str] = []
    with listening(lambda _c, _cursor, sql, *_: said.append(sql)):
        assert client.get(path).status_code == 200
    assert any("settlement_batches.batch_id" in sql or ".batch_key" in sql for sql in said)
    assert [sql for sql in said if re.search(r"\.(accounts|nets|credit_nets)\b", sql)] == []


@few(3)
@pytest.mark.parametrize(("path", "count"), LISTS.items())
@pytest.mark.parametrize("limit", rest([1, 7, 50, 200], 7))
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_walk_meets_every_row_once(
    client: TestClient, path: str, count: int, limit: int, order: str
) -> None:
    ids = [item["id"] for item in walk(client, path, limit=limit, order=order)]
    assert sorted(ids) == list(range(1, count + 1))
    assert ids == sorted(ids, reverse=order == "desc")


def test_a_page_of_exactly_all_rows_is_the_last(client: TestClient) -> None:
    answer = client.get("/v1/credits", params={"site": "park-b", "limit": 50})
    assert len(answer.json()["items"]) == 50
    assert answer.json()["next_cursor"] is None
    assert answer.headers["Link"] == '</v1/credits?site=park-b&limit=50&order=desc>; rel="first"'
    for path, count in (("/v1/credits", CREDITS), ("/v1/retirements", RETIREMENTS)):  # quick ones
        whole = client.get(path, params={"limit": count}).json()
        assert (len(whole["items"]), whole["next_cursor"]) == (count, None)


@few(9)
@pytest.mark.parametrize(
    ("path", "query", "count"),
    [
        ("/v1/credits", {"status": "retired"}, 30),
        ("/v1/credits", {"status": "cancelled"}, 1),
        ("/v1/credits", {"site": "park-a"}, 81),
        ("/v1/credits", {"vintage": 2014}, 50),
        ("/v1/credits", {"vintage": 2014, "site": "park-a"}, 0),
        ("/v1/credits", {"key": key_of(3)}, 30),
        ("/v1/credits", {"key": key_of(3).upper().replace("0X", "0x")}, 30),
        ("/v1/credits", {"batch_id": (1 << 32) | 3, "status": "active"}, 1),
        ("/v1/retirements", {"beneficiary": "MÜHLE übel"}, RETIREMENTS),
        ("/v1/retirements", {"beneficiary": "übel & söhne", "country": "FR"}, 0),
        ("/v1/retirements", {"beneficiary": "M%hle"}, 0),
        ("/v1/retirements", {"beneficiary": "\0"}, 0),
        ("/v1/transactions", {"status": "failed"}, 20),
        ("/v1/transactions", {"status": "pending"}, 15),
        ("/v1/transactions", {"function_name": "retire"}, 20),
        ("/v1/transactions", {"contract_address": CREDIT_CONTRACT}, TRANSACTIONS),
        ("/v1/transactions", {"contract_address": CREDIT_CONTRACT.upper().replace("X", "x")}, 125),
        ("/v1/transactions", {"tx_hash": h66(0x77, 42)}, 1),
        ("/v1/transactions", {"key": key_of(42)}, 1),
        ("/v1/transactions", {"key": key_of(122)}, 1),
        ("/v1/contracts", {"contract_name": "VppSettlement"}, 1),
        ("/v1/contracts", {"network": "elsewhere"}, 0),
        ("/v1/trades", {"vpp_code": "vpp-north"}, 65),
        ("/v1/trades", {"status": "executed"}, 24),
        ("/v1/trades", {"market": "nowhere"}, 0),
        ("/v1/trades", {"trade_type": "buy"}, 0),
        ("/v1/trades", {"batch_key": h66(0x5B, 2)}, 6),
        ("/v1/trades", {"traded_from": "2024-01-01T05:00:00Z"}, 126),
        ("/v1/trades", {"traded_before": "2024-01-01T06:00:00+01:00"}, 4),
    ],
)
def test_a_filter_keeps_what_it_names(
    client: TestClient, path: str, query: dict[str, str | int], count: int
) -> None:
    assert len(walk(client, path, limit=10, **query)) == count


def test_a_row_that_is_written_during_a_walk_shifts_nothing(client: TestClient) -> None:
    # Keyset: the second page begins after the last row seen, wherever that now stands.
    first = client.get("/v1/trades", params={"limit": 10}).json()
    again = client.get("/v1/trades", params={"limit": 20}).json()
    second = client.get("/v1/trades", params={"limit": 10, "cursor": first["next_cursor"]}).json()
    assert first["items"] + second["items"] == again["items"]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "%%%",
        "bm9uc2Vuc2U",
        "W10",
        "WzEsMiwzXQ",
        "eyJhIjoxfQ",
        "WyIiLC0xXQ",
        "W1tbW1tbW1tb",
        "é",
        "\x00",
        "A" * 201,
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(client: TestClient, cursor: str) -> None:
    answer = client.get("/v1/credits", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "cursor"


def test_a_cursor_with_a_number_that_no_row_can_have_is_refused(client: TestClient) -> None:
    """A row's number has 63 bits and no sign; the databases do not compare with more."""
    given = client.get("/v1/credits", params={"limit": 5}).json()["next_cursor"]
    mark, _ = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    others = ((number, 422) for number in (2**63, -1, True, 1.5, "7", None))
    for number, code in ((2**63 - 1, 200), *others):
        made = base64.urlsafe_b64encode(json.dumps([mark, number]).encode()).decode().rstrip("=")
        answer = client.get("/v1/credits", params={"limit": 5, "cursor": made})
        assert answer.status_code == code, number


@pytest.mark.parametrize(
    ("last", "key"),
    [
        ([7, 100], (7, 100)),
        ([100, 0], (100, 0)),
        ([101, 0], None),  # the first is a time, and there is no such one
        ([7], None),
        ([7, 100, 1], None),
        ([], None),
    ],
)
def test_a_cursor_places_a_row_by_as_many_numbers_as_the_list_has(
    last: list[int], key: tuple[int, ...] | None
) -> None:
    made = PageParameters(cursor=PageParameters().cursor_after(*last))
    if key is not None:
        assert made.after_key(2, 100) == key
        return
    with pytest.raises(BadInput, match="is not a cursor of this service"):
        made.after_key(2, 100)


def test_a_cursor_with_a_sign_of_no_cursor_in_it_is_refused() -> None:
    good = PageParameters().cursor_after(7)
    assert PageParameters(cursor=good).after_id() == 7
    for cursor in (f"{good[:4]}*{good[4:]}", f"{good[:4]}\n***{good[4:]}", "NQ"):  # and 5, in JSON
        with pytest.raises(BadInput, match="is not a cursor of this service"):
            PageParameters(cursor=cursor).after_id()


def test_a_page_holds_what_fits_and_one_row_at_least() -> None:
    assert [fitting(sizes, 6) for sizes in ([3, 3, 3], [3, 4], [7, 1], [6], [1, 1])] == [
        *(2, 1, 1, 1, 2),
    ]


def test_a_link_says_truths_as_they_are_asked_for() -> None:
    class Parameters(PageParameters):
        elsewhere: bool | None = None
        site: str | None = None

    for value, text in ((True, "true"), (False, "false")):
        link = link_header("/v1/settlements", Parameters(elsewhere=value, site="a&b"), "Wz")
        start = f"</v1/settlements?elsewhere={text}&site=a%26b&limit=50&order=desc"
        assert link == f'{start}>; rel="first", {start}&cursor=Wz>; rel="next"'


@pytest.mark.parametrize(
    "other", [{"order": "asc"}, {"status": "active"}, {"order": "desc", "site": "park-a"}]
)
def test_a_cursor_serves_the_question_it_was_made_for(
    client: TestClient, other: dict[str, str]
) -> None:
    cursor = client.get("/v1/credits", params={"limit": 5}).json()["next_cursor"]
    answer = client.get("/v1/credits", params={"limit": 5, "cursor": cursor, **other})
    assert answer.status_code == 422
    assert answer.json()["code"] == "bad-cursor"
    elsewhere = client.get("/v1/trades", params={"limit": 5, "cursor": cursor})
    assert elsewhere.json()["code"] == "bad-cursor"
