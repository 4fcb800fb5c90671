"""How much one client may ask, whose client it is behind a proxy, and whose pages may read the answers."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.requests import HTTPConnection

from api.app import create_app
from api.clients import address_of
from api.context import PROOFS_MAX, SIGN_INS_MAX
from api.limits import CLIENTS_MAX, Buckets, bucket_of
from api.server import ApiServer
from cli.bench.api import books
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown
from ledger.identity import passwords
from ledger.models.users import UserRole
from tests.support.forms import few, long
from tests.support.identity import CHEAP_ROUNDS, House, open_house, settings_for
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that are hashed in a moment."""
    monkeypatch.setattr(passwords, "ROUNDS", CHEAP_ROUNDS)


@pytest.fixture
def url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a database without rows."""
    shutil.copyfile(sqlite_template, tmp_path / "books.db")
    return f"sqlite:///{tmp_path / 'books.db'}"


def house(tmp_path: Path, url: str, **more: str) -> House:
    """Return a house in whose buckets nothing comes back while a test asks, however slowly it does."""
    found = open_house(settings_for(tmp_path, url, **more))
    if found.app.state.buckets is not None:
        found.app.state.buckets._clock = Clock()
    return found


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


# ------------------------------------------------------------------ buckets


def test_a_bucket_fills_again_with_time() -> None:
    clock = Clock()
    buckets = Buckets(6, clock)  # one every ten seconds
    assert [buckets.take("a") for _ in range(6)] == [
        (True, left, 10 * (6 - left)) for left in (5, 4, 3, 2, 1, 0)
    ]
    assert buckets.take("a") == (False, 0, 10)
    assert buckets.take("b") == (True, 5, 10)  # another client's is its own
    clock.s += 9
    assert buckets.take("a") == (False, 0, 1)
    clock.s += 1
    assert buckets.take("a")[0] is True
    assert buckets.take("a")[0] is False
    clock.s += 3600
    assert [buckets.take("a")[0] for _ in range(7)] == [True] * 6 + [False]
    clock.s += 2.5
    assert buckets.take("a") == (False, 0, 8)  # 7.5 s, and no request comes too early


def test_threads_that_take_at_once_get_no_more_than_there_is() -> None:
    buckets = Buckets(5_000, Clock())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(lambda: sum(buckets.take("key 1")[0] for _ in range(2_000)))
                for _ in range(4)
            ]
            assert sum(future.result(60) for future in asked) == 5_000
    finally:
        sys.setswitchinterval(interval)


def test_buckets_are_forgotten_before_they_are_too_many() -> None:
    buckets = Buckets(5, Clock())
    for number in range(CLIENTS_MAX + 10):
        buckets.take(str(number))
    assert len(buckets) == CLIENTS_MAX
    assert buckets.take(str(CLIENTS_MAX))[1] == 3  # one of the last is known still
    assert buckets.take("0")[1] == 4  # the first is not


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),  # the same home, another machine
        ("2001:db8:1:3::1", "2001:db8:1:3::"),  # the home next door
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_whose_bucket(host: str, bucket: str) -> None:
    assert bucket_of({"client": (host, 1)}) == bucket


def test_beyond_the_limit_is_a_problem_that_says_when(tmp_path: Path, url: str) -> None:
    client = house(tmp_path, url, rate_limit="3").client
    answers = [client.get("/v1/credits") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    for answer, left in zip(answers, (2, 1, 0, 0), strict=True):
        assert answer.headers["RateLimit-Policy"] == '"client";q=3;w=60'
        assert answer.headers["RateLimit"].startswith(f'"client";r={left};t=')
        assert answer.headers["X-Request-Id"]
    refused = answers[3]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "too-many-requests"
    assert 1 < int(refused.headers["Retry-After"]) <= 20
    assert refused.json()["detail"].endswith(f"try again in {refused.headers['Retry-After']} s")
    assert client.get("/livez").status_code == 200  # who watches the service is not kept out
    other = TestClient(client.app, client=("192.0.2.8", 1))
    assert other.get("/v1/credits").status_code == 200


def test_a_key_has_one_bucket_wherever_it_is_used(tmp_path: Path, url: str) -> None:
    found = house(tmp_path, url, rate_limit="3")
    found.add("anna", UserRole.ADMIN)
    _, program = found.key(found.sign_in("anna"), "users:read")
    codes = [
        TestClient(found.app, client=(f"198.51.100.{number}", 1)).get("/v1/me", headers=program)
        for number in range(4)
    ]
    assert [answer.status_code for answer in codes] == [200, 200, 200, 429]
    assert codes[3].json()["code"] == "too-many-requests"
    assert int(codes[3].headers["Retry-After"]) >= 1


def test_sessions_have_the_buckets_of_their_addresses_alone(tmp_path: Path, url: str) -> None:
    """One bucket of all that have signed in would let some keep out the others."""
    found = house(tmp_path, url, rate_limit="3")
    found.add("anna", UserRole.ADMIN)
    session = found.sign_in("anna")
    for number in range(5):
        client = TestClient(found.app, client=(f"198.51.100.{number}", 1))
        assert client.get("/v1/me", headers=session).status_code == 200


@long
def test_the_benchmark_is_counted_and_not_refused() -> None:
    with books(100, lambda _: None) as (settings, _):
        buckets = create_app(settings).state.buckets
    assert all(buckets.take("127.0.0.1")[0] for _ in range(20_000))


def test_no_limit_says_nothing(tmp_path: Path, url: str) -> None:
    client = house(tmp_path, url, rate_limit="0").client
    assert {client.get("/livez").status_code for _ in range(20)} == {200}
    assert "RateLimit" not in client.get("/v1/credits").headers


# ------------------------------------------------------------------ proxies


def test_a_stranger_cannot_say_where_it_comes_from(tmp_path: Path, url: str) -> None:
    client = house(tmp_path, url, rate_limit="2").client
    seen = [
        client.get("/v1/credits", headers={"X-Forwarded-For": f"198.51.100.{number}"}).status_code
        for number in range(3)
    ]
    assert seen == [200, 200, 429]


def test_the_server_itself_believes_nobody_either(tmp_path: Path, url: str) -> None:
    # uvicorn would believe whoever calls from the loopback, unless it is told not to.
    found = house(tmp_path, url)
    server = ApiServer(found.app, "127.0.0.1", 0)
    server.start()
    try:
        request = urllib.request.Request(
            f"{server.url}/v1/sessions",
            json.dumps({"username": "nobody", "password": "not a password"}).encode(),
            {"Content-Type": "application/json", "X-Forwarded-For": "198.51.100.9"},
        )
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 401
        assert found.sql("SELECT ip_address FROM sign_in_attempts") == [("127.0.0.1",)]
    finally:
        server.stop()


@few(6)
@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["198.51.100.9"], "198.51.100.9"),
        (["203.0.113.1, 198.51.100.9"], "198.51.100.9"),  # the first was written by the client
        (["203.0.113.1", "198.51.100.9, 10.1.2.3"], "198.51.100.9"),  # through two of ours
        (["198.51.100.9, nonsense"], "10.0.0.1"),
        (["2001:db8::7"], "2001:db8::"),  # attempts are counted by the /64
        (["[2001:db8::7]:4711"], "2001:db8::"),
        (["[2001:db8::7]"], "2001:db8::"),
        (["198.51.100.9:4711, 10.1.2.3:80"], "198.51.100.9"),
        (["::ffff:198.51.100.9"], "198.51.100.9"),
        (["198.51.100.9:a"], "10.0.0.1"),
        ([", ".join(["203.0.113.1"] * 30 + ["198.51.100.9"])], "198.51.100.9"),
        (["[198.51.100.9"], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_the_client_behind_proxies(
    tmp_path: Path, url: str, forwarded: list[str], client: str
) -> None:
    found = house(tmp_path, url, trusted_proxies="10.0.0.1, 10.1.0.0/16")
    behind = TestClient(found.app, client=("10.0.0.1", 1))
    headers = [("X-Forwarded-For", text) for text in forwarded]
    body = {"username": "nobody", "password": "not a password"}
    assert behind.post("/v1/sessions", json=body, headers=headers).status_code == 401
    assert found.sql("SELECT ip_address FROM sign_in_attempts") == [(client,)]


@pytest.mark.parametrize(
    ("host", "noted"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8:0::7", "2001:db8::7"), ("testclient", None)],
)
def test_an_address_is_noted_in_one_way_however_it_is_written(host: str, noted: str | None) -> None:
    assert address_of(HTTPConnection({"type": "http", "client": (host, 1)})) == noted


def test_whoever_comes_from_no_address_is_nobodys_proxy(tmp_path: Path, url: str) -> None:
    """A server that listens on a socket of the machine does not say where a request comes from."""
    found = house(tmp_path, url, trusted_proxies="10.0.0.1")
    body = {"username": "nobody", "password": "not a password"}
    behind = TestClient(found.app, client=None)  # type: ignore[arg-type]
    headers = {"X-Forwarded-For": "198.51.100.9"}
    assert behind.post("/v1/sessions", json=body, headers=headers).status_code == 401
    assert found.sql("SELECT ip_address FROM sign_in_attempts") == [("unknown",)]


def test_a_cookie_is_secure_when_the_proxy_had_tls(tmp_path: Path, url: str) -> None:
    found = house(tmp_path, url, trusted_proxies="10.0.0.1")
    found.add("anna")
    body = {"username": "anna", "password": "correct horse battery", "cookie": True}
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.9"}
    for host, secure in (("10.0.0.1", True), ("192.0.2.1", False)):
        client = TestClient(found.app, client=(host, 1), base_url="http://park.example")
        answer = client.post("/v1/sessions", json=body, headers=headers)
        assert ("secure" in answer.headers["Set-Cookie"].lower()) is secure
    # A proxy that adds a line to what came has the last word.
    behind = TestClient(found.app, client=("10.0.0.1", 1), base_url="http://park.example")
    for said, secure in (
        (("http", "https"), True),
        (("https", "http"), False),
        (("https", "wss"), False),  # what is no scheme of ours says nothing: it came by HTTP
    ):
        lines = [("X-Forwarded-Proto", scheme) for scheme in said]
        answer = behind.post("/v1/sessions", json=body, headers=lines)
        assert ("secure" in answer.headers["Set-Cookie"].lower()) is secure


# ------------------------------------------------------------------ networks that are answered


@few(4)
@pytest.mark.parametrize(
    ("host", "forwarded", "status"),
    [
        ("10.7.0.9", [], 200),
        ("::ffff:10.7.0.9", [], 200),
        ("2001:db8::5", [], 200),
        ("11.0.0.1", [], 403),
        ("2001:db9::5", [], 403),
        ("testclient", [], 403),
        ("", [], 403),
        ("192.0.2.1", ["10.7.0.9"], 200),  # our proxy, and who is behind it
        ("192.0.2.1", ["10.7.0.9, 11.0.0.1"], 403),  # what a stranger writes is not believed
        ("192.0.2.1", [], 403),  # a proxy that says nothing of anybody
        ("11.0.0.1", ["10.7.0.9"], 403),
    ],
)
def test_only_clients_of_named_networks_are_answered(
    tmp_path: Path, url: str, host: str, forwarded: list[str], status: int
) -> None:
    found = house(
        tmp_path, url, allowed_networks="10.0.0.0/8, 2001:db8::/32", trusted_proxies="192.0.2.1"
    )
    client = TestClient(found.app, client=(host, 1))
    headers = [("X-Forwarded-For", text) for text in forwarded]
    for path in ("/v1/credits", "/", "/openapi.json", "/metrics"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == status, path
        if status == 403:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["code"] == "network-not-allowed"
            assert "X-Request-Id" in answer.headers
    body = {"username": "nobody", "password": "not a password"}
    signing = client.post("/v1/sessions", json=body, headers=headers)
    assert signing.status_code == (401 if status == 200 else 403)
    counted = found.sql("SELECT COUNT(*) FROM sign_in_attempts")
    assert counted == [(1 if status == 200 else 0,)]  # nothing was done for a stranger
    assert client.get("/livez", headers=headers).status_code == 200


# ------------------------------------------------------------------ other origins


def test_a_named_origin_may_read_and_no_other(tmp_path: Path, url: str) -> None:
    client = house(
        tmp_path, url, cors_origins="https://a.example, https://b.example:8443", rate_limit="5"
    ).client
    for origin in ("https://a.example", "https://b.example:8443"):
        answer = client.get("/v1/credits", headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Access-Control-Allow-Credentials" not in answer.headers
        readable = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert set(readable) == {
            *("ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"),
            *("Idempotency-Replayed", "WWW-Authenticate"),
            *("Truetonne-As-Of-Block", "Truetonne-Final-Block", "X-Request-Id"),
        }
    asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "PATCH"}
    asks["Access-Control-Request-Headers"] = (
        "Authorization, Content-Type, Idempotency-Key, If-None-Match"
    )
    allowed = client.options("/v1/users", headers=asks)
    assert allowed.status_code == 200
    methods = allowed.headers["Access-Control-Allow-Methods"].split(", ")
    assert methods == ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    for origin in ("https://evil.example", "http://a.example", "null"):
        answer = client.get("/v1/credits", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
    # What is refused can be read by the named page, too.
    refused = client.get("/v1/credits", headers={"Origin": "https://a.example"})
    assert refused.status_code == 429
    assert refused.headers["Access-Control-Allow-Origin"] == "https://a.example"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cors_origins", "*", "no origin"),
        ("cors_origins", "https://a.example/path", "no origin"),
        ("cors_origins", "a.example", "no origin"),
        ("trusted_proxies", "proxy.local", "no address"),
        ("trusted_proxies", "10.0.0.1/8", "no address"),
        ("allowed_networks", "10.0.0.0/8; ::1", "no address"),
        ("database_admin_url", "postgresql://x/y", "is not supported"),
        ("rate_limit", "-1", "whole number"),
        ("rate_limit", "many", "whole number"),
        ("session_hours", "0", "above zero"),
    ],
)
def test_a_setting_that_cannot_be_used(tmp_path: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as error:
        settings_for(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", **{name: value})
    assert name in error.value.message


@long
def test_what_waits_keeps_nobody_else_waiting(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server has 40 threads: proofs, questions to a node that hangs, or passwords behind a writer had all of them."""
    begun: list[None] = []
    over = threading.Event()

    def hang(*_: object) -> None:
        begun.append(None)
        over.wait(120)
        raise DependencyDown("it hangs", code="node-slow")

    def sign_in() -> Response:
        return client.post("/v1/sessions", json={"username": "anna", "password": "x"})

    node = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr("api.proofs.endpoints._client", lambda _: node)
    monkeypatch.setattr("api.proofs.endpoints._deployment", lambda _: None)
    monkeypatch.setattr("api.proofs.endpoints.find_credit", lambda *_: None)
    monkeypatch.setattr("api.proofs.endpoints.build_bundle", hang)
    monkeypatch.setattr("api.status.queries.readiness", hang)
    monkeypatch.setattr("ledger.identity.signing_in.check", hang)
    app = create_app(settings_for(tmp_path, url))
    bundle = "/v1/credits/park-a-2015-1/bundle"
    with TestClient(app) as client, ThreadPoolExecutor(80) as pool:
        proofs = [pool.submit(client.get, bundle) for _ in range(PROOFS_MAX)]
        until(lambda: len(begun) == PROOFS_MAX)
        people = [pool.submit(sign_in) for _ in range(SIGN_INS_MAX)]
        until(lambda: len(begun) == PROOFS_MAX + SIGN_INS_MAX)
        ready = [pool.submit(client.get, "/readyz") for _ in range(45)]
        until(lambda: len(begun) == PROOFS_MAX + SIGN_INS_MAX + 1)
        for refused, code in ((client.get(bundle), "proofs-busy"), (sign_in(), "sign-ins-busy")):
            assert (refused.status_code, refused.json()["code"]) == (503, code)
            assert refused.headers["Retry-After"] == "5"
        assert client.get("/v1/sites").status_code == client.get("/livez").status_code == 200
        assert len(begun) == PROOFS_MAX + SIGN_INS_MAX + 1
        over.set()
        answers = [each.result(60).json()["code"] for each in (*proofs, *people, *ready)]
        assert set(answers) == {"node-slow"}
        assert (
            client.get(bundle).json()["code"] == sign_in().json()["code"] == "node-slow"
        )  # room again


def test_who_waits_for_a_writer_leaves_connections_to_others(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite had fifteen for all: those who sign in during a long import had every one, each for half a minute."""
    monkeypatch.setattr("api.app.Database", partial(Database, lock_timeout_s=600))  # none gives up
    app = create_app(settings_for(tmp_path, url))
    engine, wanted = app.state.context.database._engine, {"username": "anna", "password": "x"}
    with (
        TestClient(app) as client,
        ThreadPoolExecutor(SIGN_INS_MAX) as pool,
        closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as writer,
    ):
        writer.execute("BEGIN IMMEDIATE")
        people = [
            pool.submit(client.post, "/v1/sessions", json=wanted) for _ in range(SIGN_INS_MAX)
        ]
        until(lambda: engine.pool.checkedout() == SIGN_INS_MAX)
        assert client.get("/v1/sites").status_code == 200
        assert not any(each.done() for each in people)  # it needed none of theirs
        writer.execute("COMMIT")
        assert {each.result(60).status_code for each in people} <= {401, 429}
