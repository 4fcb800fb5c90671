"""The ten risks of the OWASP API Security Top 10 (2023), each by its number and name.

https://owasp.org/API-Security/editions/2023/en/0x11-t10/
"""

from __future__ import annotations

import http.server
import json
import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from api import etag
from api.app import create_app
from ledger.identity import keys, passwords
from ledger.models.users import UserRole
from tests.support.forms import long
from tests.support.identity import PASSWORD, House, new_house, open_house, settings_for

WRONG = {"username": "vera", "password": "not the password"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Books with an admin and two viewers, copied for every test."""
    folder = tmp_path_factory.mktemp("owasp")
    with new_house(folder) as house:
        house.add("anna", UserRole.ADMIN)
        house.add("vera", UserRole.VIEWER)
        house.add("otto", UserRole.OPERATOR)
        house.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        yield folder / "books.db"


@pytest.fixture
def house(template: Path, tmp_path: Path) -> Iterator[House]:
    """A house of the test's own."""
    shutil.copyfile(template, tmp_path / "books.db")
    house = open_house(settings_for(tmp_path, f"sqlite:///{tmp_path / 'books.db'}"))
    with house.client:
        yield house


def number_of(house: House, name: str) -> int:
    return int(house.sql("SELECT id FROM users WHERE username = ?", name)[0][0])


# ------------------------------------------------------------------ API1


def test_api1_broken_object_level_authorization(house: House) -> None:
    """Objects of others are not found, whoever knows their numbers."""
    otto, vera, anna = (house.sign_in(name) for name in ("otto", "vera", "anna"))
    ((session,),) = house.sql(
        "SELECT session_id FROM user_sessions WHERE user_id = ?", number_of(house, "otto")
    )
    number, program = house.key(otto, "keys:read")
    for thief in (vera, anna):  # not even an admin ends somebody's session by its id
        answer = house.client.delete(f"/v1/sessions/{session}", headers=thief)
        assert (answer.status_code, answer.json()["code"]) == (404, "no-such-session")
    stolen = house.client.delete(f"/v1/api-keys/{number}", headers=vera)
    none = house.client.delete("/v1/api-keys/999999", headers=vera)
    assert stolen.status_code == none.status_code == 404
    assert stolen.json()["detail"] == none.json()["detail"]  # not even that it exists
    assert house.client.get("/v1/me", headers=program).status_code == 200
    assert house.client.get("/v1/api-keys?user=otto", headers=vera).status_code == 403
    assert house.client.get("/v1/api-keys", headers=vera).json()["items"] == []
    listed = house.client.get("/v1/api-keys?user=otto", headers=anna).json()["items"]
    assert [item["id"] for item in listed] == [number]
    assert house.client.delete(f"/v1/api-keys/{number}", headers=anna).status_code == 204


# ------------------------------------------------------------------ API2


def test_api2_broken_authentication_guessing_ends(house: House) -> None:
    """The sixth attempt is refused, with the right password too; other addresses and names go on."""
    codes = [house.client.post("/v1/sessions", json=WRONG).status_code for _ in range(6)]
    assert codes == [401, 401, 401, 401, 401, 429]
    right = house.client.post("/v1/sessions", json={**WRONG, "password": PASSWORD})
    assert (right.status_code, right.json()["code"]) == (429, "too-many-attempts")
    assert 1 <= int(right.headers["Retry-After"]) <= 900
    house.sign_in("otto")
    elsewhere = TestClient(house.app, client=("198.51.100.1", 1))
    assert elsewhere.post("/v1/sessions", json={**WRONG, "password": PASSWORD}).status_code == 201
    house.sql(
        "UPDATE sign_in_attempts SET attempted_at = "
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '-16 minutes') || '000'"
    )
    house.sign_in("vera")
    names = str(house.sql("SELECT * FROM sign_in_attempts"))
    assert "vera" not in names


def guessed(house: House, addresses: Sequence[str]) -> list[int]:
    """Return the statuses of a guess from each address."""
    clients = (TestClient(house.app, client=(address, 1)) for address in addresses)
    return [client.post("/v1/sessions", json=WRONG).status_code for client in clients]


def test_api2_broken_authentication_guessing_from_everywhere_ends(house: House) -> None:
    """Fifty attempts under one name, each from another address, are the last."""
    codes = guessed(house, [f"198.51.100.{number}" for number in range(52)])
    assert codes == [401] * 50 + [429] * 2


def test_api2_broken_authentication_an_ipv6_home_is_one_address(house: House) -> None:
    """Whoever has one of its addresses has 2^64, and could keep everybody out under any name."""
    codes = guessed(house, [f"2001:db8::{number}:1" for number in range(6)])
    assert codes == [401] * 5 + [429]
    neighbour = TestClient(house.app, client=("2001:db8:0:1::1", 1))
    right = {**WRONG, "password": PASSWORD}
    assert neighbour.post("/v1/sessions", json=right).status_code == 201
    at_home = TestClient(house.app, client=("2001:db8::7:1", 1))
    assert at_home.post("/v1/sessions", json=right).status_code == 429


def test_api2_broken_authentication_many_at_once_gain_nothing(house: House) -> None:
    """An attempt counts before its password is looked at, so ten at once are not ten guesses."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(house.client.post, "/v1/sessions", json=WRONG) for _ in range(10)]
        codes = sorted(future.result(60).status_code for future in asked)
    assert codes == [401] * 5 + [429] * 5


@long
def test_api2_broken_authentication_time_tells_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name costs as much CPU as a known one with a wrong password."""
    monkeypatch.setattr(passwords, "ROUNDS", 8)
    stored = passwords.hashed(PASSWORD)

    def cost_s(password: str, against: str | None) -> float:
        begun = time.thread_time()
        assert not passwords.matches(password, against)
        return time.thread_time() - begun

    passwords.matches("x", None)  # the decoy is made once
    cases = {"known": stored, "unknown": None}
    found = {
        name: [cost_s("wrong password", against) for _ in range(9)]
        for name, against in cases.items()
    }
    found["too long"] = [cost_s("x" * 100, stored) for _ in range(9)]
    found["no text"] = [cost_s("\ud800", stored) for _ in range(9)]
    medians = {name: statistics.median(times) for name, times in found.items()}
    assert max(medians.values()) < 1.5 * min(medians.values()), medians


def test_api2_broken_authentication_tokens_are_not_in_addresses(house: House) -> None:
    """A token in the query is none: addresses end up in logs."""
    house.sign_in("anna")
    token = house.tokens["anna"]
    for name in ("token", "access_token", "api_key"):
        assert house.client.get(f"/v1/users?{name}={token}").status_code == 401
    for scheme in ("Basic", "Token", "bearer:", ""):
        headers = {"Authorization": f"{scheme} {token}".strip()}
        assert house.client.get("/v1/users", headers=headers).status_code == 401


# ------------------------------------------------------------------ API3


def test_api3_broken_object_property_level_authorization(house: House) -> None:
    """Nothing is set that is not offered, and nothing is told that is nobody's business."""
    anna, vera = house.sign_in("anna"), house.sign_in("vera")
    path = f"/v1/users/{number_of(house, 'vera')}"
    for extra in (
        {"password_hash": "x"},
        {"id": 1},
        {"username": "root"},
        {"profile": {}},
        {"permissions": []},
        {"updated_at": "2026-01-01T00:00:00Z"},
    ):
        answer = house.client.patch(path, json=extra, headers=anna)
        assert answer.status_code == 422, extra
        assert answer.json()["errors"][0]["message"] == "unknown parameter"
    sneaky = {"current_password": PASSWORD, "password": "staple battery horse", "role": "admin"}
    assert house.client.put("/v1/me/password", json=sneaky, headers=vera).status_code == 422
    assert house.client.get("/v1/me", headers=vera).json()["role"] == "viewer"
    for url in ("/v1/users", path, "/v1/api-keys", "/v1/sessions", "/v1/audit-log", "/v1/me"):
        told = house.client.get(url, headers=anna).text
        assert "password" not in told.replace("users.password", "").replace("sessions:write", "")
        assert "$2b$" not in told and "key_hash" not in told


# ------------------------------------------------------------------ API4


def test_api4_unrestricted_resource_consumption(house: House, tmp_path: Path) -> None:
    """Everything that a caller can make long has an end."""
    anna = house.sign_in("anna")
    for path in ("/v1/credits", "/v1/users", "/v1/audit-log", "/v1/api-keys"):
        assert house.client.get(f"{path}?limit=201", headers=anna).status_code == 422
    assert house.client.get("/v1/credits?site=" + "x" * 5000).status_code == 414
    much = b"x" * (etag.BODY_BYTES_MAX + 1)
    json_type = {"Content-Type": "application/json"}
    said = house.client.post("/v1/sessions", content=much, headers=json_type)
    assert (said.status_code, said.json()["code"]) == (413, "body-too-large")

    def pieces() -> Iterator[bytes]:  # no length is said beforehand
        for _ in range(20):
            yield b"x" * 65_536

    unsaid = house.client.post("/v1/sessions", content=pieces(), headers=json_type)
    assert (unsaid.status_code, unsaid.json()["code"]) == (413, "body-too-large")
    deep = house.client.post("/v1/sessions", content=b"[" * 100_000, headers=json_type)
    assert deep.status_code == 422
    long = {"username": "x" * 201, "password": "x"}
    assert house.client.post("/v1/sessions", json=long).status_code == 422
    limited = open_house(settings_for(tmp_path, str(house.db.url), rate_limit="2"))
    codes = [limited.client.get("/v1/status").status_code for _ in range(3)]
    assert codes == [200, 200, 429]


# ------------------------------------------------------------------ API5


def test_api5_broken_function_level_authorization(house: House) -> None:
    """What an admin may, nobody else may, by whatever method, header or spelling. All routes: test_matrix.py."""
    vera = house.sign_in("vera")
    path = f"/v1/users/{number_of(house, 'vera')}"
    promoted = {"role": "admin"}
    assert house.client.patch(path, json=promoted, headers=vera).status_code == 403
    for header in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        answer = house.client.post("/v1/me", json=promoted, headers={**vera, header: "PATCH"})
        assert answer.status_code == 405
        told = house.client.get(path, headers={**vera, header: "PATCH"})
        assert told.status_code == 403
    for header in ("X-Original-URL", "X-Rewrite-URL"):
        assert house.client.get("/v1/me", headers={**vera, header: "/v1/users"}).json()["rights"]
    for spelling in (
        "/v1/users/",
        "/V1/users",
        "/v1//users",
        "/v1/./users",
        "/v1/users;x",
        "/v1/users%2f",
    ):
        answer = house.client.get(spelling, headers=vera)
        assert answer.status_code in (403, 404), spelling
        assert "items" not in answer.json()
    assert house.client.head("/v1/users", headers=vera).status_code == 403


# ------------------------------------------------------------------ API6


def test_api6_unrestricted_access_to_sensitive_business_flows(house: House) -> None:
    """What could be done by a machine a thousand times has an end, and is written down."""
    otto = house.sign_in("otto")
    body = {"name": "one of many", "scopes": ["keys:read"]}
    codes = [
        house.client.post("/v1/api-keys", json=body, headers=otto).status_code
        for _ in range(keys.ACTIVE_MAX + 1)
    ]
    assert codes == [201] * 25 + [409]
    assert [action for action, _ in house.audit()].count("keys.make") == 25
    # Business data cannot be written over HTTP at all: issuing, trading, retiring, bidding.
    writes = {
        f"{method} {route.path}"
        for route in iter_route_contexts(house.app.routes)
        for method in (route.methods or set()) - {"GET", "HEAD"}
    }
    assert writes - {f"POST {path}" for path in FORMS} == {
        "POST /v1/sessions",
        "DELETE /v1/sessions/{session_id}",
        "POST /v1/users",
        "PATCH /v1/users/{user_id}",
        "PUT /v1/users/{user_id}/password",
        "PUT /v1/users/{user_id}/permissions/{right}",
        "DELETE /v1/users/{user_id}/permissions/{right}",
        "PUT /v1/me/password",
        "POST /v1/api-keys",
        "POST /v1/webhooks",
        "PATCH /v1/webhooks/{endpoint_id}",
        "DELETE /v1/webhooks/{endpoint_id}",
        "POST /v1/webhooks/{endpoint_id}/secret",
        "POST /v1/webhooks/{endpoint_id}/replays",
        "DELETE /v1/api-keys/{key_id}",
        "POST /v1/alerts/{number}/acknowledgement",
        "POST /v1/alerts/{number}/resolution",
    }


# ------------------------------------------------------------------ API7


def test_api7_server_side_request_forgery(house: House) -> None:
    """No request makes the service call an address that the request names.

    Webhooks are what they are; who may add one is in the matrix, and where they may go is tested with them
    (``tests/ledger/test_webhook_parts.py``).
    """
    document = house.client.get("/openapi.json").json()
    named = [
        parameter["name"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
    ]
    sent = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for methods in document["paths"].values()
        for operation in methods.values()
        if "requestBody" in operation
    }
    assert {"NewEndpoint", "EndpointChange"} <= sent
    named += [
        name
        for title in sent - {"NewEndpoint", "EndpointChange"}
        for name in document["components"]["schemas"][title]["properties"]
    ]
    words = ("url", "uri", "host", "callback", "webhook", "endpoint", "redirect", "target")
    named = [name for name in named if name not in ("endpoint_id",)]
    assert [name for name in named if any(word in name.lower() for word in words)] == []

    with listening(b"{}") as (address, calls):
        headers = {
            "Host": address,
            "X-Forwarded-Host": address,
            "Forwarded": f"host={address}",
            "X-Forwarded-For": address,
            "Referer": f"http://{address}/",
        }
        for path in ("/v1/credits/1/bundle", "/readyz", f"/v1/credits/http:%2F%2F{address}"):
            assert house.client.get(path, headers=headers).status_code in (404, 422, 503)
        assert calls == []


# ------------------------------------------------------------------ API8


def test_api8_security_misconfiguration(house: House) -> None:
    """As installed: no other origin, no guessing of types, no caching of what is private, no insides."""
    anna = house.sign_in("anna")
    for path, headers in (
        ("/v1/credits", {}),
        ("/v1/users", anna),
        ("/v1/nothing", {}),
        ("/v1/users", {}),
    ):
        answer = house.client.get(path, headers={**headers, "Origin": "https://evil.example"})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert not {"Server", "X-Powered-By"} & set(answer.headers)
    assert house.client.get("/v1/users", headers=anna).headers["Cache-Control"] == "no-store"
    assert house.client.get("/v1/users").headers["Cache-Control"] == "no-store"
    for path in ("/docs", "/redoc", "/debug", "/.env", "/v1/../../etc/passwd"):
        assert house.client.get(path).status_code == 404
    for method in ("TRACE", "CONNECT", "OPTIONS"):
        assert house.client.request(method, "/v1/users").status_code == 405
    garbage = house.client.post(
        "/v1/users", content=b"\xff\xfe{", headers={**anna, "Content-Type": "application/json"}
    )
    assert garbage.status_code == 422
    assert "Traceback" not in garbage.text and ".py" not in garbage.text


# ------------------------------------------------------------------ API9

PAGES = [
    "/",
    "/credits",
    "/credits/{credit_id}",
    "/credits/{credit_id}/days/{day}",
    "/credits/{credit_id}/bundle.json",
    "/credits/{credit_id}/manifest.json",
    "/credits/{credit_id}/readings.json",
    "/holders/{address}",
    "/operations",
    "/plants",
    "/plants/{code}",
    "/projects",
    "/projects/{code}",
    "/retirements",
    "/retirements/{retirement_id}",
    "/retirements/{retirement_id}/certificate.pdf",
    "/search",
    "/settlements",
    "/settlements/{name}",
    "/sites/{code}",
    "/static/{version}/{name:path}",
    "/transactions/{tx_hash}",
    "/verify",
    "/openapi.json",
    "/sign-in",
    "/account",
    "/account/password",
    "/account/keys",
    "/account/alerts",
    "/account/alerts/{number}",
    "/account/audit",
    "/account/webhooks",
    "/account/webhooks/{endpoint_id}",
    "/account/users",
]
"""For people, and what their browsers fetch."""
FORMS = [
    "/sign-in",
    "/sign-out",
    "/account/sessions/{session_id}/end",
    "/account/password",
    "/account/keys",
    "/account/keys/{key_id}/revoke",
    "/account/alerts/{number}/acknowledgement",
    "/account/alerts/{number}/resolution",
    "/account/users/{user_id}/state",
]
"""What forms of the pages call."""


def test_api9_improper_inventory_management(house: House) -> None:
    """Every route is described, of this version, or one of the few that stand in the list here."""
    document = house.client.get("/openapi.json").json()
    described = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    there = {
        f"{method} {route.path}"
        for route in iter_route_contexts(house.app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described - there == set()
    pages = {f"GET {path}" for path in PAGES} | {f"POST {path}" for path in FORMS}
    assert there - described == pages
    unversioned = {name for name in described if not name.split()[1].startswith("/v1/")}
    assert unversioned == {"GET /livez", "GET /readyz", "GET /metrics"}
    for name, operation in (
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ):
        assert operation["summary"] and operation["description"], name
        assert not operation.get("deprecated"), name


# ------------------------------------------------------------------ API10


@contextmanager
def listening(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server on the loopback that answers everything with these bytes; yield address and calls."""
    calls: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            calls.append(self.rfile.read(length))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>welcome</html>",
        b'{"jsonrpc": "2.0", "id": 1, "result": "0x' + b"f" * 300 + b'"}',
        b'{"jsonrpc": "2.0", "id": 1, "result": {"__class__": "x"}}',
        b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "<script>secret</script>"}}',
        b'{"jsonrpc": "2.0", "id": 1, "result": "' + b"A" * 2_000_000 + b'"}',
        b"[" * 50_000,
    ],
    ids=["nothing", "page", "huge-number", "object", "error", "long", "deep"],
)
def test_api10_unsafe_consumption_of_apis(template: Path, tmp_path: Path, answer: bytes) -> None:
    """A node that answers with nonsense is a dependency that is down; nothing of it is passed on."""
    shutil.copyfile(template, tmp_path / "books.db")
    with listening(answer) as (address, calls):
        settings = settings_for(
            tmp_path,
            f"sqlite:///{tmp_path / 'books.db'}",
            rpc_url=f"http://{address}",
            network="local",
        )
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            told = client.get("/readyz")
            assert calls
            assert told.status_code == 503, told.text
            assert told.headers["Content-Type"] == "application/problem+json"
            assert "secret" not in told.text and "AAAA" not in told.text
            assert address not in told.text
            assert len(told.content) < 2000
            assert json.loads(told.text)["code"].startswith(("node-", "wrong-chain"))
            assert client.get("/v1/credits").status_code == 200  # the books answer without it
