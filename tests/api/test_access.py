"""Users, sessions, keys, the audit log and answers that are given once, as programs and pages meet them."""

from __future__ import annotations

import json
import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from ledger.db import Database, DatabaseBusy
from ledger.db.grants import Account, statements
from ledger.errors import DependencyDown
from ledger.identity import idempotency, passwords, rights, sessions, signing_in
from ledger.models import Device, DeviceAlert, DeviceType, User
from ledger.models.devices import AlertSeverity, AlertStatus, DeviceStatus
from ledger.models.users import UserRole
from tests.api.schemas import mismatches
from tests.support.accounts import made_account
from tests.support.forms import long
from tests.support.identity import CHEAP_ROUNDS, PASSWORD, House, bearer, open_house, settings_for
from tests.support.mariadb import MariaDbServer

OTHER = "staple battery horse"
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def cheap() -> Iterator[None]:
    """Passwords that are hashed in a moment."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)
        yield


@pytest.fixture(scope="module")
def house(
    cheap: None, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A house with an admin and an operator, shared by the tests."""
    folder = tmp_path_factory.mktemp("access")
    shutil.copyfile(sqlite_template, folder / "books.db")
    house = open_house(settings_for(folder, f"sqlite:///{folder / 'books.db'}"))
    with house.client:
        house.add("anna", UserRole.ADMIN)
        house.add("otto", UserRole.OPERATOR)
        yield house


@pytest.fixture(scope="module")
def anna(house: House) -> dict[str, str]:
    """The headers of the admin."""
    return house.sign_in("anna")


@pytest.fixture(scope="module")
def otto(house: House) -> dict[str, str]:
    """The headers of the operator."""
    return house.sign_in("otto")


_names = (f"user{number}" for number in range(10_000))


@pytest.fixture
def somebody(house: House) -> str:
    """A new viewer."""
    name = next(_names)
    house.add(name)
    return name


def number_of(house: House, name: str) -> int:
    ((number,),) = house.sql("SELECT id FROM users WHERE username = ?", name)
    return int(number)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    document: dict[str, Any] = answer.json()
    assert document["code"] == code
    return document


# ------------------------------------------------------------------ signing in


def test_a_token_is_told_once_and_not_kept(house: House, anna: dict[str, str]) -> None:
    token = house.tokens["anna"]
    assert re.fullmatch(r"tts_[A-Za-z0-9_-]{43}", token)
    (stored,) = house.sql("SELECT group_concat(session_id) FROM user_sessions")[0]
    assert token not in stored and len(stored.split(",")[0]) == 64
    (item,) = [
        item
        for item in house.client.get("/v1/sessions", headers=anna).json()["items"]
        if item["current"]
    ]
    assert item["id"] in stored
    assert item["ip_address"] == "192.0.2.7"
    assert item["user_agent"] == "testclient"


def test_nobody_learns_which_half_was_wrong(house: House, anna: dict[str, str]) -> None:
    name = next(_names)
    house.add(name)
    house.client.patch(
        f"/v1/users/{number_of(house, name)}", json={"is_active": False}, headers=anna
    )
    said = set()
    for username, password in (
        ("anna", "wrong password!"),
        ("nobody", PASSWORD),
        (name, PASSWORD),
        ("anna", "p" * 80),
    ):
        answer = house.client.post(
            "/v1/sessions", json={"username": username, "password": password}
        )
        document = problem(answer, 401, "wrong-credentials")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="truetonne"'
        said.add(document["detail"])
    assert len(said) == 1


def test_a_session_ends_when_it_was_not_used(house: House, somebody: str) -> None:
    headers = house.sign_in(somebody)
    assert house.client.get("/v1/me", headers=headers).status_code == 200
    user = number_of(house, somebody)
    # Used 50 minutes ago: it has 10 minutes left, and this use gives it 60 again.
    house.sql(
        "UPDATE user_sessions SET expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '+10 minutes') "
        "|| '000' WHERE user_id = ?",
        user,
    )
    assert house.client.get("/v1/me", headers=headers).status_code == 200
    ((left,),) = house.sql(
        "SELECT (julianday(expires_at) - julianday('now')) * 1440 FROM user_sessions "
        "WHERE user_id = ?",
        user,
    )
    assert 59 < left <= 60.01
    house.sql(
        "UPDATE user_sessions SET expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 seconds') "
        "|| '000' WHERE user_id = ?",
        user,
    )
    answer = house.client.get("/v1/me", headers=headers)
    problem(answer, 401, "not-signed-in")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_session_ends_after_twelve_hours_however_much_it_is_used(
    house: House, somebody: str
) -> None:
    headers = house.sign_in(somebody)
    user = number_of(house, somebody)
    house.sql(
        "UPDATE user_sessions SET created_at = strftime('%Y-%m-%d %H:%M:%f', 'now', "
        "'-11 hours', '-50 minutes') || '000', expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', "
        "'+5 minutes') || '000' WHERE user_id = ?",
        user,
    )
    assert house.client.get("/v1/me", headers=headers).status_code == 200
    ((hours,),) = house.sql(
        "SELECT (julianday(expires_at) - julianday(created_at)) * 24 FROM user_sessions "
        "WHERE user_id = ?",
        user,
    )
    assert hours == pytest.approx(12, abs=1e-6)  # from signing in, and not an hour from now


def test_signing_out(house: House, somebody: str) -> None:
    first, second = house.sign_in(somebody), house.sign_in(somebody)
    ids = {
        item["current"]: item["id"]
        for item in house.client.get("/v1/sessions", headers=first).json()["items"]
    }
    ended = house.client.delete(f"/v1/sessions/{ids[False]}", headers=first)
    assert (ended.status_code, ended.content) == (204, b"")
    problem(house.client.get("/v1/me", headers=second), 401, "not-signed-in")
    assert house.client.delete("/v1/sessions/current", headers=first).status_code == 204
    problem(house.client.get("/v1/me", headers=first), 401, "not-signed-in")
    problem(house.client.delete("/v1/sessions/current", headers=first), 401, "not-signed-in")


def test_a_session_too_many_ends_the_oldest(
    house: House, somebody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ACTIVE_MAX", 3)
    tokens = [house.sign_in(somebody) for _ in range(5)]
    codes = [house.client.get("/v1/me", headers=headers).status_code for headers in tokens]
    assert codes == [401, 401, 200, 200, 200]


@long
def test_another_password_ends_all_sessions(
    house: House, somebody: str, anna: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = house.sign_in(somebody), house.sign_in(somebody)
    wrong = {"current_password": "not the password", "password": OTHER}
    problem(
        house.client.put("/v1/me/password", json=wrong, headers=first), 401, "wrong-credentials"
    )
    right = {"current_password": PASSWORD, "password": OTHER}
    assert house.client.put("/v1/me/password", json=right, headers=first).status_code == 204
    for headers in (first, second):
        problem(house.client.get("/v1/me", headers=headers), 401, "not-signed-in")
    third = house.sign_in(somebody, OTHER)
    path = f"/v1/users/{number_of(house, somebody)}/password"
    check = signing_in.check

    def checked_too_early(*given: Any) -> User:
        found = check(*given)  # an admin shuts out whoever knows the password, just then
        monkeypatch.setattr(signing_in, "check", check)
        answer = house.client.put(path, json={"password": PASSWORD}, headers=anna)
        assert answer.status_code == 204
        return found

    monkeypatch.setattr(signing_in, "check", checked_too_early)
    late = {"current_password": OTHER, "password": OTHER + "!"}
    problem(house.client.put("/v1/me/password", json=late, headers=third), 401, "wrong-credentials")
    problem(house.client.get("/v1/me", headers=third), 401, "not-signed-in")
    house.sign_in(somebody)


def test_a_disabled_user_is_out_at_once_and_comes_back_without_sessions(
    house: House, somebody: str, anna: dict[str, str]
) -> None:
    headers = house.sign_in(somebody)
    path = f"/v1/users/{number_of(house, somebody)}"
    for is_active in (False, True):
        answer = house.client.patch(path, json={"is_active": is_active}, headers=anna)
        assert answer.json()["is_active"] is is_active
        problem(house.client.get("/v1/me", headers=headers), 401, "not-signed-in")
    again = house.sign_in(somebody)
    # Also where the row alone was changed, by another program.
    house.sql("UPDATE users SET is_active = 0 WHERE username = ?", somebody)
    problem(house.client.get("/v1/me", headers=again), 401, "not-signed-in")


# ------------------------------------------------------------------ cookies


@pytest.fixture
def page(house: House, somebody: str) -> Iterator[tuple[TestClient, str, Any]]:
    """A browser whose user has signed in, the CSRF token, and the answer of signing in."""
    with_cookies = TestClient(house.app, client=("192.0.2.7", 1), base_url="https://park.example")
    body = {"username": somebody, "password": PASSWORD, "cookie": True}
    answer = with_cookies.post("/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    yield with_cookies, answer.json()["csrf_token"], answer


def test_a_cookie_is_out_of_reach_of_scripts_and_other_sites(
    page: tuple[TestClient, str, Any],
) -> None:
    _, _, answer = page
    given = answer.headers["Set-Cookie"]
    assert {part.strip().lower() for part in given.split(";")[1:]} == {
        "httponly",
        "path=/",
        "samesite=strict",
        "secure",
    }
    assert answer.json()["token"] is None
    name, _, token = given.split(";")[0].partition("=")
    assert name == "__Host-truetonne_session" and token not in answer.text


def test_a_cookie_over_plain_http_can_be_sent_there(house: House, somebody: str) -> None:
    body = {"username": somebody, "password": PASSWORD, "cookie": True}
    client = TestClient(house.app, base_url="http://127.0.0.1:8600")
    answer = client.post("/v1/sessions", json=body)
    assert "secure" not in answer.headers["Set-Cookie"].lower()


def test_what_changes_something_by_cookie_needs_the_second_token(
    page: tuple[TestClient, str, Any],
) -> None:
    client, csrf, answer = page
    me = client.get("/v1/me")  # reading needs the cookie alone
    assert (me.status_code, me.json()["csrf_token"]) == (200, csrf)
    path = f"/v1/sessions/{answer.json()['id']}"
    problem(client.delete(path), 403, "csrf")
    for wrong in ("", "x", csrf[:-1] + ("0" if csrf[-1] != "0" else "1"), "é"):
        header = {"X-CSRF-Token": wrong.encode()}
        problem(client.delete(path, headers=header), 403, "csrf")  # type: ignore[arg-type]
    for site in ("cross-site", "same-site"):
        headers = {"X-CSRF-Token": csrf, "Sec-Fetch-Site": site}
        problem(client.delete(path, headers=headers), 403, "csrf")
    ended = client.delete(path, headers={"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-origin"})
    assert ended.status_code == 204
    assert '__Host-truetonne_session=""' in ended.headers["Set-Cookie"]
    problem(client.get("/v1/me"), 401, "not-signed-in")


def test_a_token_that_is_sent_goes_before_the_cookie(
    page: tuple[TestClient, str, Any], house: House, anna: dict[str, str]
) -> None:
    """A browser sends its cookie whatever else is sent: the token says who asks, and needs no second one."""
    client, _, answer = page
    whose = [client.get("/v1/me", headers=headers).json()["username"] for headers in ({}, anna)]
    assert whose[0] != whose[1] == "anna"
    path = f"/v1/sessions/{answer.json()['id']}"
    problem(client.delete(path, headers=bearer("nobody's")), 401, "not-signed-in")
    problem(client.delete(path, headers=anna), 404, "no-such-session")  # it is none of hers
    assert client.get("/v1/me").status_code == 200


def test_another_sites_form_signs_nobody_in(house: House, somebody: str) -> None:
    body = {"username": somebody, "password": PASSWORD, "cookie": True}
    answer = house.client.post("/v1/sessions", json=body, headers={"Sec-Fetch-Site": "cross-site"})
    problem(answer, 403, "csrf")
    browser = TestClient(house.app)  # its cookie is nobody else's
    typed = browser.post("/v1/sessions", json=body, headers={"Sec-Fetch-Site": "none"})
    assert typed.status_code == 201  # no site's: from the address bar, or a bookmark
    as_text = house.client.post(  # what a form can send without asking first
        "/v1/sessions", content=json.dumps(body), headers={"Content-Type": "text/plain"}
    )
    assert as_text.status_code == 422
    assert "Set-Cookie" not in as_text.headers
    token = {**body, "cookie": False}  # which no page gets from a browser unasked
    other = {"Sec-Fetch-Site": "cross-site"}
    assert house.client.post("/v1/sessions", json=token, headers=other).status_code == 201


# ------------------------------------------------------------------ users and permissions


def test_adding_a_user(house: House, anna: dict[str, str]) -> None:
    body = {"username": "eva", "email": "Eva@Park.Example", "role": "viewer", "password": PASSWORD}
    answer = house.client.post("/v1/users", json=body, headers=anna)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["Location"] == f"/v1/users/{made['id']}"
    assert (made["email"], made["role"], made["is_active"]) == ("eva@park.example", "viewer", True)
    shown = house.client.get(answer.headers["Location"], headers=anna)
    assert shown.json()["rights"] == [
        "keys:read",
        "keys:revoke",
        "park:read",
        "sessions:read",
        "sessions:write",
    ]
    assert shown.headers["Cache-Control"] == "no-store"
    problem(house.client.post("/v1/users", json=body, headers=anna), 409, "user-exists")
    for change, name in (
        ({"username": "Eva"}, "username"),
        ({"username": "e"}, "username"),
        ({"username": "eva\n"}, "username"),
        ({"email": "eva"}, "email"),
        ({"role": "king"}, "role"),
        ({"password": "elevenchars"}, "password"),
        ({"password": "a" * 73}, "password"),
        ({"is_admin": True}, "is_admin"),
        ({"username": "\ud800va"}, "username"),
    ):
        content = json.dumps({**body, **change})
        answer = house.client.post(
            "/v1/users", content=content, headers={**anna, "Content-Type": "application/json"}
        )
        assert problem(answer, 422, "bad-request")["errors"][0]["name"] == name
    for password, code in (("abcabcabcabc", "weak-password"), ("correct\0horse", "weak-password")):
        answer = house.client.post(
            "/v1/users", json={**body, "username": "evi", "password": password}, headers=anna
        )
        problem(answer, 422, code)
    long = {**body, "username": "evi", "email": "evi@park.example", "password": "pässwort" * 9}
    document = problem(
        house.client.post("/v1/users", json=long, headers=anna), 422, "long-password"
    )
    assert "81 bytes" in document["detail"] and "72" in document["detail"]


def test_the_list_of_users(house: House, anna: dict[str, str]) -> None:
    seen: list[str] = []
    answer = house.client.get("/v1/users?limit=1&order=asc", headers=anna)
    while True:
        seen += [item["username"] for item in answer.json()["items"]]
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers["Link"])
        if following is None:
            break
        answer = house.client.get(following[1], headers=anna)
    assert seen == [name for (name,) in house.sql("SELECT username FROM users ORDER BY id")]
    admins = house.client.get("/v1/users?role=admin&is_active=true", headers=anna).json()["items"]
    assert [item["username"] for item in admins] == ["anna"]


def test_the_last_admin_stays(house: House, anna: dict[str, str]) -> None:
    path = f"/v1/users/{number_of(house, 'anna')}"
    for change in ({"role": "viewer"}, {"is_active": False}):
        problem(house.client.patch(path, json=change, headers=anna), 409, "last-admin")
    denial = {"json": {"granted": False}, "headers": anna}
    problem(house.client.put(f"{path}/permissions/users:write", **denial), 409, "last-admin")
    assert house.client.put(f"{path}/permissions/audit:read", **denial).status_code == 200
    house.client.delete(f"{path}/permissions/audit:read", headers=anna)
    assert house.client.get("/v1/me", headers=anna).json()["role"] == "admin"
    for name in ("otto", "anna"):  # a mail address of somebody else, and one's own
        answer = house.client.patch(path, json={"email": f"{name}@park.example"}, headers=anna)
        assert answer.status_code == (409 if name == "otto" else 200), answer.text
    # A condition on a tag is for reading: this is done, and not answered with 304.
    done = house.client.patch(path, json={}, headers={**anna, "If-None-Match": "*"})
    assert (done.status_code, done.json()["username"]) == (200, "anna")


def test_a_denial_wins_and_a_grant_adds(house: House, somebody: str, anna: dict[str, str]) -> None:
    headers = house.sign_in(somebody)
    base = f"/v1/users/{number_of(house, somebody)}/permissions"
    problem(house.client.get("/v1/audit-log", headers=headers), 403, "forbidden")
    granted = house.client.put(f"{base}/audit:read", json={"granted": True}, headers=anna)
    assert granted.json()["permissions"][0]["right"] == "audit:read"
    assert house.client.get("/v1/audit-log", headers=headers).status_code == 200
    # A second row, as another program may have written it: deny wins.
    house.sql(
        "INSERT INTO user_permissions (user_id, resource, action, granted, created_at) "
        "VALUES (?, 'audit', 'read', 0, '2026-01-01 00:00:00.000000')",
        number_of(house, somebody),
    )
    problem(house.client.get("/v1/audit-log", headers=headers), 403, "forbidden")
    assert house.client.delete(f"{base}/audit:read", headers=anna).status_code == 204
    problem(house.client.delete(f"{base}/audit:read", headers=anna), 404, "no-such-permission")
    house.client.put(f"{base}/sessions:read", json={"granted": False}, headers=anna)
    answer = house.client.get("/v1/sessions", headers=headers)
    assert problem(answer, 403, "forbidden")["right"] == "sessions:read"
    assert 'scope="sessions:read"' in answer.headers["WWW-Authenticate"]
    problem(
        house.client.put(f"{base}/moon:walk", json={"granted": True}, headers=anna),
        422,
        "bad-input",
    )


def test_the_page_has_the_table_of_rights() -> None:
    page = (DOCS / "access.md").read_text()
    rows = re.findall(
        r"^\| `(\w+:\w+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", page, re.M
    )
    word = {True: "yes", False: "no"}
    roles = (UserRole.ADMIN, UserRole.OPERATOR, UserRole.VIEWER)
    assert rows == [
        (item.name, item.what, *(word[role in item.roles] for role in roles), word[item.scope])
        for item in rights.RIGHTS
    ]


# ------------------------------------------------------------------ keys


def test_a_key_changes_no_password(house: House, anna: dict[str, str]) -> None:
    _, program = house.key(anna, "users:write")
    path = f"/v1/users/{number_of(house, 'anna')}"
    body = {"password": "another-long-password"}
    said = problem(
        house.client.put(f"{path}/password", json=body, headers=program), 403, "key-cannot"
    )
    assert "`truetonne users password`" in said["detail"]
    assert house.client.get("/v1/me", headers=anna).status_code == 200


def test_a_key_is_shown_once_and_does_what_its_scopes_say(
    house: House, anna: dict[str, str]
) -> None:
    number, program = house.key(anna, "audit:read")
    key = program["Authorization"].removeprefix("Bearer ")
    assert re.fullmatch(r"ttk_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", key)
    stored = house.sql("SELECT * FROM api_keys WHERE id = ?", number)
    assert key.split("_", 2)[2] not in str(stored)
    me = house.client.get("/v1/me", headers=program).json()
    assert (me["rights"], me["api_key"], me["username"]) == (["audit:read"], number, "anna")
    assert me["csrf_token"] is None
    assert house.client.get("/v1/audit-log", headers=program).status_code == 200
    refused = problem(house.client.get("/v1/users", headers=program), 403, "forbidden")
    assert "this key does not carry" in refused["detail"]
    body = {"name": "x", "scopes": ["audit:read"]}
    refused = problem(
        house.client.post("/v1/api-keys", json=body, headers=program), 403, "forbidden"
    )
    # Anna has the right; nothing that an admin grants lets a key make keys.
    assert "no API key carries; sign in" in refused["detail"]
    listed = house.client.get("/v1/api-keys", headers=anna).json()["items"][0]
    assert listed["prefix"] == key[:12] and listed["last_used_at"] is not None
    assert "key" not in listed
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    for other in (wrong, key + "x", key[:12], "ttk_", "x" * 5000):
        problem(house.client.get("/v1/me", headers=bearer(other)), 401, "not-signed-in")
    assert house.client.delete(f"/v1/api-keys/{number}", headers=anna).status_code == 204
    answer = house.client.get("/v1/me", headers=program)
    refused = problem(answer, 401, "not-signed-in")
    assert refused["detail"] == "this API key is not valid, or not any more; use another one"
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_key_can_do_no_more_than_its_user_now(house: House, anna: dict[str, str]) -> None:
    name = next(_names)
    house.add(name, UserRole.ADMIN)
    headers = house.sign_in(name)
    _, program = house.key(headers, "users:read")
    assert house.client.get("/v1/users", headers=program).status_code == 200
    path = f"/v1/users/{number_of(house, name)}"
    house.client.patch(path, json={"role": "operator"}, headers=anna)
    problem(house.client.get("/v1/users", headers=program), 403, "forbidden")
    body = {"name": "x", "scopes": ["users:read"]}
    problem(house.client.post("/v1/api-keys", json=body, headers=headers), 409, "beyond-rights")
    house.client.patch(path, json={"is_active": False}, headers=anna)
    problem(house.client.get("/v1/me", headers=program), 401, "not-signed-in")


def test_a_key_ends(house: House, anna: dict[str, str]) -> None:
    number, program = house.key(anna, "users:read", days=1)
    assert house.client.get("/v1/me", headers=program).status_code == 200
    house.sql(
        "UPDATE api_keys SET expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 seconds') "
        "|| '000' WHERE id = ?",
        number,
    )
    problem(house.client.get("/v1/me", headers=program), 401, "not-signed-in")


def test_a_credential_is_sent_once(house: House, anna: dict[str, str]) -> None:
    """A proxy may go by the one, and we by the other."""
    lines = [("Authorization", anna["Authorization"]), ("Authorization", "Bearer another")]
    for given in (lines, lines[::-1]):
        document = problem(house.client.get("/v1/me", headers=given), 422, "bad-request")
        assert document["errors"][0]["name"] == "Authorization"


def test_a_use_that_cannot_be_noted_is_answered(
    house: House, anna: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The books may be locked by a writer, or their disk be full: who only reads is answered."""
    _, program = house.key(anna, "users:read")
    noted = []

    def alone(self: Database, statement: Any, *, patience_s: int) -> int:
        noted.append(patience_s)
        raise DatabaseBusy("another writer is in the way")

    monkeypatch.setattr(Database, "alone", alone)
    assert house.client.get("/v1/me", headers=program).status_code == 200
    assert noted == [1]  # seconds, and not as long as a statement may wait


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"scopes": []}, 422),
        ({"scopes": ["keys:write"]}, 422),  # a key that makes keys would outlive its revocation
        ({"scopes": ["sessions:write"]}, 422),
        ({"scopes": ["credits:read"]}, 422),
        ({"days": 0}, 422),
        ({"days": 367}, 422),
        ({"name": ""}, 422),
        ({"name": "a\u202eb"}, 422),
        ({"user_id": 1}, 422),
        ({"scopes": ["users:write"]}, 409),
    ],
)
def test_a_key_that_cannot_be(
    house: House, otto: dict[str, str], change: dict[str, Any], status: int
) -> None:
    body = {"name": "a program", "scopes": ["keys:read"], **change}
    assert house.client.post("/v1/api-keys", json=body, headers=otto).status_code == status


# ------------------------------------------------------------------ the audit log


def test_everything_is_in_the_audit_log_without_secrets(house: House, anna: dict[str, str]) -> None:
    before = len(house.audit())
    body = {"username": "gerd", "email": "g@park.example", "role": "viewer", "password": PASSWORD}
    number = house.client.post("/v1/users", json=body, headers=anna).json()["id"]
    path = f"/v1/users/{number}"
    headers = house.sign_in("gerd")
    house.client.patch(path, json={"role": "operator"}, headers=anna)
    house.client.put(f"{path}/permissions/audit:read", json={"granted": True}, headers=anna)
    house.client.delete(f"{path}/permissions/audit:read", headers=anna)
    key, program = house.key(headers, "keys:read")
    house.client.delete(f"/v1/api-keys/{key}", headers=headers)
    house.client.put(f"{path}/password", json={"password": OTHER}, headers=anna)
    assert house.client.patch(path, json={"role": "operator"}, headers=anna).status_code == 200
    house.client.patch(path, json={"is_active": False}, headers=anna)
    session = house.sql("SELECT session_id FROM user_sessions WHERE user_id = ?", number)[0][0]
    assert house.audit()[before:] == [
        ("users.add", f"users/{number}"),
        ("sessions.begin", f"user_sessions/{session}"),
        ("users.change", f"users/{number}"),
        ("permissions.decide", f"users/{number}"),
        ("permissions.leave-to-role", f"users/{number}"),
        ("keys.make", f"api_keys/{key}"),
        ("keys.revoke", f"api_keys/{key}"),
        ("users.password", f"users/{number}"),
        ("sessions.end", f"user_sessions/{session}"),
        ("users.change", f"users/{number}"),
    ]
    log = house.client.get(f"/v1/audit-log?resource=users/{number}&order=asc", headers=anna).json()
    changed = log["items"][1]
    assert (changed["action"], changed["old_values"], changed["new_values"]) == (
        "users.change",
        {"role": "viewer"},
        {"role": "operator"},
    )
    assert (changed["username"], changed["ip_address"]) == ("anna", "192.0.2.7")
    log = house.client.get(f"/v1/audit-log?resource=api_keys/{key}&order=asc", headers=anna).json()
    made, ended = log["items"]
    assert ended["old_values"] == {"revoked_at": None}
    assert ended["new_values"]["prefix"] == made["new_values"]["prefix"]
    assert ended["new_values"]["revoked_at"] is not None
    everything = json.dumps(house.client.get("/v1/audit-log?limit=200", headers=anna).json())
    hashes = [item for (item,) in house.sql("SELECT password_hash FROM users")]
    hashes += [item for (item,) in house.sql("SELECT key_hash FROM api_keys")]
    secrets = [PASSWORD, OTHER, *house.tokens.values(), program["Authorization"][7:], *hashes]
    assert [secret for secret in secrets if secret in everything] == []
    by_gerd = house.client.get("/v1/audit-log?user=gerd&action=keys.make", headers=anna).json()
    assert len(by_gerd["items"]) == 1


def test_what_a_key_did_names_the_key(house: House, anna: dict[str, str]) -> None:
    number, program = house.key(anna, "users:write")
    name = next(_names)
    body = {"username": name, "email": f"{name}@k.example", "role": "viewer", "password": PASSWORD}
    assert house.client.post("/v1/users", json=body, headers=program).status_code == 201
    latest = house.client.get("/v1/audit-log?limit=1", headers=anna).json()["items"][0]
    assert (latest["action"], latest["username"]) == ("users.add", "anna")
    assert latest["new_values"]["by_api_key"] == number


def test_what_was_not_done_is_not_in_the_log(
    house: House, anna: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.audit()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("in the midst of it")

    monkeypatch.setattr("ledger.identity.sessions.end_all", fail)
    name = next(_names)
    house.add(name)
    path = f"/v1/users/{number_of(house, name)}"
    problem(
        house.client.patch(path, json={"is_active": False}, headers=anna), 500, "internal-error"
    )
    assert house.audit() == [*before, ("users.add", f"users/{number_of(house, name)}")]
    assert house.sql("SELECT is_active FROM users WHERE username = ?", name) == [(1,)]


# ------------------------------------------------------------------ once


def test_a_second_request_gets_the_first_answer(house: House, anna: dict[str, str]) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"name": "once", "scopes": ["users:read"]}
    first = house.client.post("/v1/api-keys", json=body, headers={**anna, **key})
    again = house.client.post("/v1/api-keys", json=body, headers={**anna, **key})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    paths = house.client.get("/openapi.json").json()["paths"]
    said = paths["/v1/api-keys"]["post"]["responses"]
    assert set(said["201"]["headers"]) == {"Location", "Idempotency-Replayed"}
    assert set(said["401"]["headers"]) == set(said["403"]["headers"]) == {"WWW-Authenticate"}
    assert set(said["503"]["headers"]) == {"Retry-After"}
    other = house.client.post(
        "/v1/api-keys", json={**body, "name": "twice"}, headers={**anna, **key}
    )
    problem(other, 422, "idempotency-key-reused")
    kept = str(house.sql("SELECT * FROM idempotency_keys"))
    secret = first.json()["key"]
    assert secret not in kept and secret[:12] not in kept and key["Idempotency-Key"] not in kept
    assert house.sql("SELECT count(*) FROM api_keys WHERE name IN ('once', 'twice')") == [(1,)]


def test_a_key_of_one_caller_is_none_of_anothers(
    house: House, anna: dict[str, str], otto: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "the-same-key-for-two"}
    body = {"name": "mine", "scopes": ["keys:read"]}
    answers = [
        house.client.post("/v1/api-keys", json=body, headers={**caller, **key}).json()
        for caller in (anna, otto)
    ]
    assert [answer["username"] for answer in answers] == ["anna", "otto"]


@long
def test_who_asks_again_by_another_session_or_api_key_gets_the_first_answer(
    house: House, anna: dict[str, str]
) -> None:
    """What it was asked by may have expired, or have been revoked, between the two."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"username": "again", "email": "a@x.io", "role": "viewer", "password": PASSWORD}
    number, program = house.key(anna, "users:write")
    first = house.client.post("/v1/users", json=body, headers={**program, **headers})
    assert first.status_code == 201
    assert house.client.delete(f"/v1/api-keys/{number}", headers=anna).status_code == 204
    gone = house.client.post("/v1/users", json=body, headers={**program, **headers})
    problem(gone, 401, "not-signed-in")
    _, other = house.key(anna, "users:write")
    for credential in (other, house.sign_in("anna")):
        again = house.client.post("/v1/users", json=body, headers={**credential, **headers})
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"


@long
def test_signing_in_twice_with_one_key_is_one_session(house: House, somebody: str) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"username": somebody, "password": PASSWORD}
    first = house.client.post("/v1/sessions", json=body, headers=key)
    again = house.client.post("/v1/sessions", json=body, headers=key)
    assert first.json()["token"] == again.json()["token"]
    elsewhere = TestClient(house.app, client=("198.51.100.1", 1))
    stranger = elsewhere.post("/v1/sessions", json={**body, "password": OTHER}, headers=key)
    problem(
        stranger, 401, "wrong-credentials"
    )  # and counted: an answer kept is nothing to try against
    guess = house.client.post("/v1/sessions", json={**body, "password": OTHER}, headers=key)
    problem(guess, 422, "idempotency-key-reused")
    count = house.sql(
        "SELECT count(*) FROM user_sessions WHERE user_id = ?", number_of(house, somebody)
    )
    assert count == [(1,)]


def test_a_refused_request_may_be_tried_again(house: House, somebody: str) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    wrong = {"username": somebody, "password": OTHER}
    for _ in range(2):
        answer = house.client.post("/v1/sessions", json=wrong, headers=key)
        problem(answer, 401, "wrong-credentials")
    body = {"username": somebody, "password": PASSWORD}
    assert house.client.post("/v1/sessions", json=body, headers=key).status_code == 201


@long
def test_an_answer_is_kept_for_a_day(house: House, anna: dict[str, str]) -> None:
    headers = {**anna, "Idempotency-Key": str(uuid.uuid4())}
    body = {"name": "daily", "scopes": ["users:read"]}
    first = house.client.post("/v1/api-keys", json=body, headers=headers).json()
    for ago, same in (("-23 hours", True), ("-25 hours", False)):
        house.sql(
            "UPDATE idempotency_keys SET claimed_at = "
            "strftime('%Y-%m-%d %H:%M:%f', 'now', ?) || '000'",
            ago,
        )
        again = house.client.post("/v1/api-keys", json=body, headers=headers)
        assert (again.json()["id"] == first["id"]) is same, again.text


@pytest.mark.parametrize("key", ["x" * 15, "x" * 129, "with space in it ....", "é" * 20])
def test_a_key_that_is_none(house: House, anna: dict[str, str], key: str) -> None:
    headers = {**anna, "Idempotency-Key": key.encode("utf-8")}
    body = {"name": "x", "scopes": ["users:read"]}
    answer = house.client.post("/v1/api-keys", json=body, headers=headers)  # type: ignore[arg-type]
    assert problem(answer, 422, "bad-request")["errors"][0]["name"] == "Idempotency-Key"


def test_two_at_once_with_one_key_do_it_once(
    db: Database, cheap: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = db.url.render_as_string(hide_password=False)
    house = open_house(settings_for(tmp_path, url))
    with house.client:
        house.add("anna", UserRole.ADMIN)
        anna = house.sign_in("anna")
        headers = {**anna, "Idempotency-Key": str(uuid.uuid4())}
        body = {"username": "eva", "email": "e@x.example", "role": "viewer", "password": PASSWORD}
        entered, go_on = threading.Event(), threading.Event()
        whole = passwords.hashed

        def slow(password: str) -> str:
            entered.set()
            assert go_on.wait(180)
            return whole(password)

        monkeypatch.setattr("api.users.endpoints.passwords.hashed", slow)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(house.client.post, "/v1/users", json=body, headers=headers)
            assert entered.wait(180)
            second = house.client.post("/v1/users", json=body, headers=headers)
            go_on.set()
            assert first.result(180).status_code == 201
        problem(second, 409, "idempotency-in-flight")
        third = house.client.post("/v1/users", json=body, headers=headers)
        assert (third.status_code, third.json()) == (201, first.result().json())
        # Many at the same moment: one does it, the others hear that, or that it is under way.
        headers["Idempotency-Key"] = str(uuid.uuid4())
        body |= {"username": "evi", "email": "evi@x.example"}
        with ThreadPoolExecutor(6) as pool:
            asked = [
                pool.submit(house.client.post, "/v1/users", json=body, headers=headers)
                for _ in range(6)
            ]
            answers = [future.result(60) for future in asked]
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert refused <= {"idempotency-in-flight"}
        with house.db.read() as session:
            rows = session.connection().exec_driver_sql(
                "SELECT count(*) FROM users WHERE username IN ('eva', 'evi')"
            )
            assert rows.scalar_one() == 2


def test_a_request_whose_process_died_is_taken_over(
    house: House, anna: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {**anna, "Idempotency-Key": str(uuid.uuid4())}
    body = {"name": "died", "scopes": ["users:read"]}
    with monkeypatch.context() as patched:  # it died before its work, and released nothing
        patched.setattr(idempotency, "released", lambda *_: None)
        patched.setattr("ledger.identity.keys.make", lambda *_: 1 / 0)
        failed = house.client.post("/v1/api-keys", json=body, headers=headers)
        problem(failed, 500, "internal-error")
    problem(
        house.client.post("/v1/api-keys", json=body, headers=headers), 409, "idempotency-in-flight"
    )
    house.sql(
        "UPDATE idempotency_keys SET claimed_at = "
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '-2 minutes') || '000' WHERE answer IS NULL"
    )
    assert house.client.post("/v1/api-keys", json=body, headers=headers).status_code == 201


# ------------------------------------------------------------------ what the database lets it do


@long
@pytest.mark.mariadb
def test_the_api_needs_no_more_of_the_database_than_the_page_says(
    mariadb_server: MariaDbServer, mariadb_db: Database, cheap: None, tmp_path: Path
) -> None:
    page = (DOCS / "access.md").read_text()
    (printed,) = re.findall(r"```sql\n(.+?)```", page, re.DOTALL)
    assert printed.strip().rstrip(";").split(";\n") == statements(Account.API, "truetonne")
    root = open_house(settings_for(tmp_path, mariadb_server.url("truetonne")))
    with made_account(mariadb_server, Account.API) as made_url:
        url = made_url.render_as_string(hide_password=False)
        house = open_house(settings_for(tmp_path, url))
        with root.client:
            root.add("anna", UserRole.ADMIN)
        with house.client:
            anna = house.sign_in("anna")
            headers = {**anna, "Idempotency-Key": str(uuid.uuid4())}
            body = {"username": "eva", "email": "e@x.io", "role": "viewer", "password": PASSWORD}
            made = house.client.post("/v1/users", json=body, headers=headers)
            again = house.client.post("/v1/users", json=body, headers=headers)
            assert (made.status_code, again.json()) == (201, made.json()), made.text
            refused = {**headers, "Idempotency-Key": str(uuid.uuid4())}
            assert house.client.post("/v1/users", json=body, headers=refused).status_code == 409
            with root.db.write() as session:
                _an_alert(session)
            path = made.headers["Location"]
            right = f"{path}/permissions/audit:read"
            house.sign_in("eva")
            hook = {"url": "https://example.org/", "event_types": ["credit.*"]}
            added = house.client.post("/v1/webhooks", json=hook, headers=anna)
            place = added.headers["Location"]
            number, program = house.key(anna, "users:read")
            assert house.client.get("/v1/users", headers=program).status_code == 200
            statuses = [
                house.client.request(method, url, json=sent, headers=anna).status_code
                for method, url, sent in (
                    ("PUT", right, {"granted": True}),
                    ("PUT", right, {"granted": False}),
                    ("DELETE", right, None),
                    ("PUT", f"{path}/password", {"password": OTHER}),
                    ("PATCH", path, {"role": "admin"}),
                    ("PATCH", path, {"is_active": False}),
                    ("GET", "/v1/audit-log", None),
                    ("POST", "/v1/alerts/1/acknowledgement", {"note": "seen"}),
                    ("POST", "/v1/alerts/1/resolution", {"note": "done"}),
                    ("PATCH", place, {"state": "paused"}),
                    ("POST", f"{place}/secret", None),
                    ("POST", f"{place}/replays", {"from_block": 1}),
                    ("DELETE", place, None),
                    ("DELETE", f"/v1/api-keys/{number}", None),
                    ("DELETE", "/v1/sessions/current", None),
                )
            ]
            users_, hooks = [200, 200, 204, 204, 200, 200, 200], [200, 201, 201, 204]
            assert statuses == [*users_, 201, 201, *hooks, 204, 204]
            with pytest.raises(DependencyDown, match="denied"), house.db.write() as session:
                session.connection().exec_driver_sql("UPDATE carbon_credits SET issuer = 'x'")


def _an_alert(session: Session) -> None:
    """Write a device with an alert, as an import does."""
    session.add(DeviceType(type_name="turbine", category="generation"))
    session.flush()
    session.add(Device(id=1, device_id="W1", name="W1", type="turbine", status=DeviceStatus.ONLINE))
    session.flush()
    session.add(
        DeviceAlert(
            id=1,
            device_id=1,
            alert_type="door_open",
            severity=AlertSeverity.LOW,
            message="Door.",
            status=AlertStatus.ACTIVE,
            triggered_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )


# ------------------------------------------------------------------ the description


@long
def test_answers_fit_the_description(house: House, anna: dict[str, str]) -> None:
    document = house.client.get("/openapi.json").json()
    number = number_of(house, "otto")
    for path, template in (
        ("/v1/users", "/v1/users"),
        (f"/v1/users/{number}", "/v1/users/{user_id}"),
        ("/v1/me", "/v1/me"),
        ("/v1/sessions", "/v1/sessions"),
        ("/v1/api-keys", "/v1/api-keys"),
        ("/v1/audit-log", "/v1/audit-log"),
    ):
        answer = house.client.get(path, headers=anna)
        assert answer.status_code == 200
        described = document["paths"][template]["get"]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        assert mismatches(answer.json(), schema, document) == []
        assert described["security"] == [{"bearer": []}, {"cookie": []}]
        refused = house.client.get(path)
        schema = described["responses"]["401"]["content"]["application/problem+json"]["schema"]
        assert mismatches(refused.json(), schema, document) == []
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}


def test_a_path_says_all_its_methods(house: House) -> None:
    for path, allowed in (
        ("/v1/sessions", "GET, HEAD, POST"),
        ("/v1/users/1", "GET, HEAD, PATCH"),
        ("/v1/me/password", "PUT"),
    ):
        answer = house.client.request("TRACE", path)
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == allowed
