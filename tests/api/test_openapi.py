"""The description of the API is true: answers and problems fit it, and no route is left out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import key_of
from tests.api.schemas import mismatches
from tests.support.forms import few

ONE_DATABASE = "the description is made without books"

ANSWERED = (
    "/v1/credits",
    "/v1/credits/1",
    "/v1/credits/" + key_of(50),
    "/v1/credits/1/history?limit=2",
    "/v1/credits/1/readings",
    "/v1/retirements/31",
    "/v1/retirements/2/certificate",
    "/v1/transactions",
    "/v1/contracts?with_abi=true",
    "/v1/trades",
    "/v1/readings/quality?site=park&from=2014-05-31&to=2014-06-02",
    "/v1/readings/files?site=park&source=scada&order=asc",
    "/v1/search?q=park",
    "/v1/sites",
    "/v1/sites/park",
    "/v1/projects",
    "/v1/projects/park-wind",
    "/v1/markets",
    "/v1/markets?market=spot",
    "/v1/plants",
    "/v1/plants/vpp-north",
    "/v1/plants/vpp-north?by=hour",
    "/v1/settlements",
    "/v1/settlements/1",
    "/v1/settlements?elsewhere=true",
    "/v1/retirements?limit=2",
    "/v1/credits?as_of_block=50&limit=3",
    "/v1/credits/4294967297?as_of_block=50",
    "/v1/holders/0x" + "aa" * 20,
    "/v1/reconciliation",
    "/v1/energy?site=park&by=hour",
    "/v1/emissions?site=park",
    "/v1/status",
    "/livez",
)
REFUSED = (
    "/v1/credits?unknown=1",
    "/v1/credits/none",
    "/v1/credits/1?x=1",
    "/v1/credits/1/bundle",
    "/v1/credits/1/bundle?readings=some",
    "/v1/credits/none/history",
    "/v1/retirements/0",
    "/v1/retirements/0/certificate",
    "/v1/retirements/31/certificate",
    "/v1/readings/1/proof",
    "/v1/readings/none/proof",
    "/v1/transactions?limit=0",
    "/v1/contracts?cursor=x",
    "/v1/trades?traded_from=noon",
    "/v1/readings/quality",
    "/v1/readings/quality?site=nowhere",
    "/v1/readings/files?site=nowhere",
    "/v1/readings/files",
    "/v1/readings/quality?site=park&from=2014-06-02&to=2014-06-01",
    "/v1/status?x=1",
    "/livez?x=1",
    "/readyz?x=1",
    "/readyz",
    "/metrics?x=1",
)


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    """The description, as served."""
    return dict(client.get("/openapi.json").json())


def template(document: dict[str, Any], url: str) -> str:
    """Return the path of the description that a URL belongs to."""
    path = url.partition("?")[0]
    if path in document["paths"]:
        return path
    (found,) = [
        known
        for known in document["paths"]
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path)
    ]
    return str(found)


def response(document: dict[str, Any], url: str, status: int) -> dict[str, Any]:
    return dict(document["paths"][template(document, url)]["get"]["responses"][str(status)])


def described(document: dict[str, Any], url: str, status: int, media_type: str) -> Any:
    return response(document, url, status)["content"][media_type]["schema"]


def headers_of(document: dict[str, Any], answer: Any, url: str) -> tuple[set[str], set[str]]:
    """Return which of the described headers an answer has, and which its description says."""
    known = document["components"]["headers"]
    said = response(document, url, answer.status_code).get("headers", {})
    return {name for name in known if name in answer.headers}, set(said)


@few(3)
@pytest.mark.parametrize("url", ANSWERED)
def test_an_answer_fits_its_description(
    client: TestClient, document: dict[str, Any], url: str
) -> None:
    answer = client.get(url)
    assert answer.status_code == 200
    schema = described(document, url, 200, "application/json")
    assert mismatches(answer.json(), schema, document) == []
    has, said = headers_of(document, answer, url)
    assert has == said
    assert ("Link" in said) == ("next_cursor" in answer.json())
    again = client.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    if again.status_code != 304:  # a status, which the clock may change
        assert again.headers["ETag"] != answer.headers["ETag"]
        return
    has, said = headers_of(document, again, url)
    assert said == {"ETag"} <= has


@pytest.mark.parametrize("url", REFUSED)
def test_a_problem_fits_its_description(
    client: TestClient, document: dict[str, Any], url: str
) -> None:
    answer = client.get(url)
    assert answer.status_code in (404, 409, 422, 503)
    schema = described(document, url, answer.status_code, "application/problem+json")
    assert mismatches(answer.json(), schema, document) == []
    has, said = headers_of(document, answer, url)
    assert has == said


def test_every_route_has_an_answer_above(document: dict[str, Any]) -> None:
    asked = {template(document, url) for url in ANSWERED + REFUSED}
    public = {
        path
        for path, methods in document["paths"].items()
        if "get" in methods and "security" not in methods["get"]
    }
    # Files are read back by test_exports; what needs a right, in test_access.
    assert asked == {path for path in public if not path.endswith("/export")}


def test_the_framework_has_no_errors_of_its_own(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                good = status.startswith("2")
                media_types = {"application/json" if good else "application/problem+json"}
                if good and path.endswith("/export"):
                    media_types = {
                        "text/csv",
                        "application/jsonl",
                        "application/vnd.apache.parquet",
                    }
                if good and path in ("/metrics", "/v1/park/metrics"):
                    media_types = {"text/plain"}
                expected = set() if status in ("204", "304") else media_types
                assert set(response.get("content", ())) == expected, (method, path, status)


def test_every_parameter_and_field_is_described(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (method, path, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        for field, item in schema.get("properties", {}).items():
            assert item.get("description") or "$ref" in item, (name, field)


def test_a_text_is_as_long_as_the_description_lets_it_be(
    client: TestClient, document: dict[str, Any]
) -> None:
    """Whatever a parameter takes is sought; what is longer than its column is refused by its name."""
    tried = 0
    for path, found in document["paths"].items():
        if "get" not in found or path.endswith("/export") or "security" in found["get"]:
            continue
        parameters = found["get"].get("parameters", ())
        for item in parameters:
            forms = (item["schema"], *item["schema"].get("anyOf", ()))
            longest = next((form["maxLength"] for form in forms if "maxLength" in form), None)
            of_a_form = item["in"] == "query" and any("pattern" in form for form in forms)
            if item["name"] == "cursor" or (longest is None and not of_a_form):
                continue
            tries = [(1000, (422,))]  # no form lets as much through
            if longest is not None:
                tries = [(longest, (200, 404)), (longest + 1, (422,))]
            for length, statuses in tries:
                needed = [each for each in parameters if each.get("required")]
                query = {each["name"]: "x" for each in needed if each["in"] == "query"}
                query[item["name"]] = "m" * length
                place = re.sub(r"\{[^}]*\}", query.pop("code", "1"), path)
                answer = client.get(place, params=query)
                assert answer.status_code in statuses, (place, query, answer.text)
            names = [each["name"] for each in answer.json()["errors"]]
            once = names[:1] if longest is None else names  # it may be of one of several forms
            assert once == [item["name"]] and {*names} == {item["name"]}
            tried += 1
    assert tried > 28


def test_how_many_rows_a_page_has(document: dict[str, Any]) -> None:
    """As api.md says: 50 unless asked for others, 200 at most; a history and the newest values have their own."""
    others = {
        "/v1/credits/{credit_id}/history": (1_000, 1_000),
        "/v1/newest-values": (500, 1_000),
        "/v1/search": (20, 50),
    }
    found = {
        path: (item["schema"]["default"], item["schema"]["maximum"])
        for path, methods in document["paths"].items()
        for item in methods.get("get", {}).get("parameters", ())
        if item["name"] == "limit"
    }
    assert len(found) > 40
    assert found == {path: others.get(path, (50, 200)) for path in found}
    assert set(others) <= set(found)


def test_what_succeeds_has_the_status_of_its_page(document: dict[str, Any]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    parts = re.split(r"^### `(POST|PUT|PATCH|DELETE) ([^`]+)`$", page, flags=re.MULTILINE)
    wrong = []
    for method, path, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        told = re.search(r"\b(201|204)\b", text.partition("\n### ")[0])
        responses = document["paths"][path][method.lower()]["responses"]
        successes = [status for status in responses if status < "300"]
        if successes != [told[1] if told else "200"]:
            wrong.append((method, path, successes))
    assert wrong == []
    assert len(parts) > 50
