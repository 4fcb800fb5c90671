"""Bodies that cannot be used: what is said of them, by every route that takes one, and in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ledger.models.users import UserRole
from tests.api.test_http import problem
from tests.support.forms import few
from tests.support.identity import PASSWORD, House, new_house

ONE_DATABASE = "bodies are read before the books are"
JSON = {"Content-Type": "application/json"}
KEY = {"name": "a", "scopes": ["park:read"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("bodies")
    with new_house(folder) as house:
        house.add("anna", UserRole.ADMIN)
        yield house


@pytest.fixture(scope="module")
def anna(house: House) -> dict[str, str]:
    return house.sign_in("anna")


def taking_a_body(house: House) -> list[tuple[str, str]]:
    """Return method and path of each route that takes a body, with a number where the path has a name."""
    paths = house.client.get("/openapi.json").json()["paths"]
    return [
        (method, re.sub(r"\{right\}", "park:read", path).replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]


def address(path: str) -> str:
    return re.sub(r"/(user_id|endpoint_id|number)\b", "/1", path)


def the_error(answer: Any) -> tuple[str, str, str]:
    document = problem(answer, 422, "bad-request")
    (error,) = document["errors"]  # type: ignore[misc]
    assert document["detail"] == f"{error['name']}: {error['message']}"
    return error["place"], error["name"], error["message"]


@few(2)
@pytest.mark.parametrize(
    ("content", "headers", "name", "said"),
    [
        (
            '{"a": 1}',
            {"Content-Type": "text/plain"},
            "body",
            "is not sent as JSON; send a JSON object, with Content-Type: application/json",
        ),
        (
            '{"a": 1}',
            {},
            "body",
            "is not sent as JSON; send a JSON object, with Content-Type: application/json",
        ),
        (
            "",
            JSON,
            "body",
            "there is none; send a JSON object, with Content-Type: application/json",
        ),
        ("[1]", JSON, "body", "is JSON, and no object"),
        ('"a"', JSON, "body", "is JSON, and no object"),
        (
            '{"a":\n "b',
            JSON,
            "body",
            "the body is not JSON: Unterminated string starting at at line 2, column 2",
        ),
        ('{"a": NaN}', JSON, "body", "the body is not JSON that can be read"),
        (b"\xff\xfe{", JSON, "body", "the body is not JSON that can be read"),
        ("[" * 100_000, JSON, "body", "the body is not JSON that can be read"),
        ('{"a": 1, "b": 2, "a": 1}', JSON, "a", "is given 2 times; give it once"),
        ('{"b": {"a": 1, "\\u0061": 2}}', JSON, "a", "is given 2 times; give it once"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(
    house: House,
    anna: dict[str, str],
    content: str | bytes,
    headers: dict[str, str],
    name: str,
    said: str,
) -> None:
    """By every route that takes one."""
    routes = taking_a_body(house)
    assert len(routes) > 8
    for method, path in routes:
        answer = house.client.request(
            method, address(path), content=content, headers={**anna, **headers}
        )
        assert the_error(answer) == ("body", name, said), path


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"days": True}, "days"),
        ({"days": "30"}, "days"),
        ({"days": 1.5}, "days"),
        ({"name": True}, "name"),
    ],
)
def test_a_truth_is_no_number_and_a_number_no_text(
    house: House, anna: dict[str, str], change: dict[str, object], name: str
) -> None:
    answer = house.client.post("/v1/api-keys", json={**KEY, **change}, headers=anna)
    assert the_error(answer)[:2] == ("body", name)


@pytest.mark.parametrize("value", [1, 0, "true", "no", "off"])
def test_a_number_or_a_text_is_no_truth(house: House, anna: dict[str, str], value: object) -> None:
    for method, path, name in (
        ("PATCH", "/v1/users/1", "is_active"),
        ("PUT", "/v1/users/1/permissions/park:read", "granted"),
    ):
        answer = house.client.request(method, path, json={name: value}, headers=anna)
        assert the_error(answer) == ("body", name, "Input should be a valid boolean")
    body = {"username": "anna", "password": PASSWORD, "cookie": value}
    assert the_error(house.client.post("/v1/sessions", json=body))[1] == "cookie"
    replay = house.client.post("/v1/webhooks/1/replays", json={"from_block": True}, headers=anna)
    assert the_error(replay)[1] == "from_block"


def test_how_a_text_is_written_is_said_in_words(house: House, anna: dict[str, str]) -> None:
    """No pattern of the description stands in an error: each parameter and field that has one is written wrongly."""
    document = house.client.get("/openapi.json").json()
    tried = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()):
                if '"pattern"' not in json.dumps(parameter["schema"]):
                    continue
                name, place = parameter["name"], parameter["in"]
                here = path.replace("{" + name + "}", "~") if place == "path" else path
                here = here.replace("{right}", "park:read").replace("{address}", "0x" + "1" * 40)
                answer = house.client.request(
                    method,
                    re.sub(r"\{\w+\}", "1", here),
                    params={name: "~"} if place == "query" else None,
                    headers={**anna, **({name: "~"} if place == "header" else {})},
                    json={} if "requestBody" in operation else None,
                )
                if answer.status_code == 404:  # a name that is looked up, whatever it is
                    continue
                errors = problem(answer, 422, "bad-request")["errors"]
                said = [e["message"] for e in errors if e["name"].lower() == name.lower()]  # type: ignore[attr-defined]
                assert said and said[0].startswith("write "), (path, name, errors)
                tried.add(name)
    assert {"Idempotency-Key", "key", "user", "session_id", "right", "action", "resource"} <= tried
    assert "address" in tried and "tx_hash" in tried


def test_how_a_field_is_written_is_said_in_words(house: House, anna: dict[str, str]) -> None:
    body = {"username": "E", "email": "eva", "role": "viewer", "password": PASSWORD}
    answer = house.client.post("/v1/users", json=body, headers=anna)
    said = {e["name"]: e["message"] for e in problem(answer, 422, "bad-request")["errors"]}  # type: ignore[attr-defined]
    assert said == {
        "username": "write 2 to 50 of a-z, 0-9, dot, dash and underscore, the first a letter or a digit",
        "email": "write NAME@HOST, at most 64 characters before the @ and 35 after it",
    }
    replay = house.client.post("/v1/webhooks/1/replays", json={"message_ids": ["x"]}, headers=anna)
    assert the_error(replay) == (
        "body",
        "message_ids.0",
        "write the id of a message, as the list of deliveries has it",
    )


def test_a_member_that_is_not_known_is_told_those_that_are(
    house: House, anna: dict[str, str]
) -> None:
    answer = house.client.patch("/v1/users/1", json={"active": False}, headers=anna)
    found = problem(answer, 422, "bad-request")
    assert found["detail"] == "active: unknown parameter; the body may have email, is_active, role"
    assert [item["message"] for item in answer.json()["errors"]] == ["unknown parameter"]
    wrong = house.client.patch("/v1/users/1", json={"is_active": 1}, headers=anna)
    assert "may have" not in str(problem(wrong, 422, "bad-request")["detail"])


def test_a_post_that_takes_no_body_ignores_none(house: House, anna: dict[str, str]) -> None:
    place = "/v1/webhooks/99/secret"
    for sent in (b'{"former_until": null}', b"[]", b"x"):
        refused = house.client.post(place, content=sent, headers={**anna, **JSON})
        found = problem(refused, 422, "bad-request")
        assert found["detail"] == "body: this path takes none; send none, or an empty object"
    problem(house.client.post(place, content=b"x"), 401, "not-signed-in")
    for nothing in (b"", b"{}", b" {\n}\n"):
        answer = house.client.post(place, content=nothing, headers={**anna, **JSON})
        problem(answer, 404, "no-such-endpoint")


def test_who_asks_is_known_before_a_body_is_asked_for(house: House) -> None:
    problem(house.client.post("/v1/api-keys"), 401, "not-signed-in")
    text = house.client.post("/v1/api-keys", content="{}", headers={"Content-Type": "text/plain"})
    problem(text, 401, "not-signed-in")
