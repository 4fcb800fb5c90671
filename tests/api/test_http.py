"""What surrounds an answer: tags, HEAD, request ids, limits, and one form for every error."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import Message

from api.app import create_app
from api.errors import problem_of
from api.server import ApiServer
from ledger.db import Database
from ledger.errors import BadInput, Refused, WrongChain
from ledger.identity.attempts import TooManyAttempts
from ledger.settings import Settings, load_settings
from tests.support.forms import few

ONE_DATABASE = "headers and problems are made before and after the books are read"


def problem(answer: Response, status: int, code: str) -> dict[str, object]:
    """Check the form of a problem and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = dict(answer.json())
    assert document["code"] == code
    assert document["type"] == f"urn:problem-type:truetonne:{code}"
    assert document["status"] == status
    assert document["request_id"] == answer.headers["X-Request-Id"]
    assert document["title"]
    assert document["detail"]
    assert "Traceback" not in answer.text
    return document


def settings_for(folder: Path, **more: str) -> Settings:
    """Return settings whose home is the folder."""
    environ = {"TRUETONNE_HOME": str(folder)}
    environ |= {f"TRUETONNE_{name.upper()}": value for name, value in more.items()}
    return load_settings(None, environ)


def told(client: TestClient, sent: bytes) -> bytes:
    """Send bytes to a real server of the app; return all that it says until it ends the connection."""
    server = ApiServer(cast(FastAPI, client.app), "127.0.0.1", 0)
    server.start()
    try:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as made:
            made.sendall(sent)
            return b"".join(iter(lambda: made.recv(65_536), b""))
    finally:
        server.stop()


def test_no_such_path(client: TestClient) -> None:
    document = problem(client.get("/v1/nothing"), 404, "not-found")
    assert document["instance"] == "/v1/nothing"
    problem(client.get("/v1/credits/"), 404, "not-found")
    named = problem(client.get("/v1/credits/%E5%9B%AD%20%00"), 404, "not-found")
    assert named["instance"] == "/v1/credits/%E5%9B%AD%20%00"  # a URI reference, as RFC 9457 says
    odd = problem(client.get("/v1/credits/a%23b%3Fc"), 404, "not-found")
    assert odd["instance"] == "/v1/credits/a%23b%3Fc"  # and escaped once
    problem(client.get("/docs"), 404, "not-found")


def test_a_body_that_is_sent_in_two_ways_ends_the_connection(client: TestClient) -> None:
    """A proxy that goes by the length would give somebody else the answer to what follows (RFC 9112, 6.1)."""
    said = told(
        client,
        b"POST /v1/sessions HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n",
    )
    assert said.count(b"HTTP/1.1 ") == 1 and said.startswith(b"HTTP/1.1 400 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["code"] == "bad-request"


@few(2)
@pytest.mark.parametrize(
    ("target", "status", "instance"),
    [
        ("http://elsewhere:80/livez", 200, None),
        ("HTTP://[::1]:8600/livez?a=1", 422, "/livez"),
        ("http://here/v1/credits/%E5%9B%AD%2F/http://x", 404, "/v1/credits/%E5%9B%AD//http://x"),
        ("http://here", 200, None),
        ("http:///livez", 404, "http:///livez"),
        ("https://a:b@here/livez", 404, "https://a:b@here/livez"),
    ],
)
def test_a_target_may_be_a_whole_url(
    client: TestClient, target: str, status: int, instance: str | None
) -> None:
    """As a client sends it that takes the service for a proxy (RFC 9112, 3.2.2): every one was not found."""
    said = told(
        client, f"GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode()
    )
    assert said.startswith(f"HTTP/1.1 {status} ".encode())
    if instance is not None:
        assert json.loads(said.partition(b"\r\n\r\n")[2])["instance"] == instance


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_is_not_answered(client: TestClient, method: str) -> None:
    answer = client.request(method, "/v1/credits")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/v1/credits?colour=green", "colour"),
        ("/v1/credits?limit=0", "limit"),
        ("/v1/credits?limit=201", "limit"),
        ("/v1/credits?limit=1e2", "limit"),
        ("/v1/credits?limit=", "limit"),
        ("/v1/credits?order=newest", "order"),
        ("/v1/credits?status=ACTIVE", "status"),
        ("/v1/credits?vintage=20145", "vintage"),
        ("/v1/credits?batch_id=9223372036854775808", "batch_id"),
        ("/v1/credits?key=0x12", "key"),
        ("/v1/credits?key=" + "0x" + "g" * 64, "key"),
        ("/v1/credits?site=", "site"),
        ("/v1/credits?site=" + "a" * 101, "site"),
        ("/v1/transactions?contract_address=0x1", "contract_address"),
        ("/v1/trades?traded_from=2024-01-01T00:00:00", "traded_from"),
        ("/v1/trades?traded_from=1700000000.5", "traded_from"),
        ("/v1/trades?traded_from=0001-01-01T00:00:00%2B14:00", "traded_from"),
        ("/v1/trades?traded_before=9999-12-31T23:59:59-14:00", "traded_before"),
        ("/v1/trades?trade_type=swap", "trade_type"),
        ("/v1/retirements?country=fra", "country"),
        ("/v1/sites?country=F", "country"),
        ("/v1/credits/1?full=true", "full"),
        ("/v1/status?x=", "x"),
        ("/v1/credits/1/bundle?readings=x", "readings"),
        ("/v1/credits/1/bundle?readings=-1", "readings"),
        ("/v1/credits/1/bundle?readings=1001", "readings"),
        ("/livez?probe=1", "probe"),
        ("/readyz?probe=1", "probe"),
    ],
)
def test_a_parameter_that_cannot_be_used(client: TestClient, url: str, name: str) -> None:
    document = problem(client.get(url), 422, "bad-request")
    assert document["errors"] == [
        {"place": "query", "name": name, "message": document["errors"][0]["message"]}  # type: ignore[index]
    ]


def test_a_time_that_cannot_be_used_is_told_how_to_be_written(client: TestClient) -> None:
    whole = "write a day and a time with its zone, such as 2024-01-31T12:00:00Z"
    said = {
        "2024-01-01T00:00:00+01:00": "a plus stands for a blank in an address: write it as '%2B'",
        "2024-01-01": whole,
        "1704067200": whole,
        "1800-01-01T00:00:00Z": "the year must be from 1900 to 2999",
    }
    for text, message in said.items():
        answer = client.get(f"/v1/retirements?retired_from={text}")
        assert problem(answer, 422, "bad-request")["detail"] == f"retired_from: {message}"


@pytest.mark.parametrize("path", ["energy", "emissions", "readings/quality"])
def test_a_day_is_a_day_and_nothing_else(client: TestClient, path: str) -> None:
    """A number was taken for seconds since 1970, and of a time the zone counted for nothing."""
    for text in ("0", "1388880000000", "2014-01-05T00:00:00%2B05:00", "20140105", "2014-1-5"):
        for name in ("from", "to"):
            answer = client.get(f"/v1/{path}?site=park&{name}={text}")
            detail = problem(answer, 422, "bad-request")["detail"]
            assert detail == f"{name}: write a day, such as 2024-01-31", text
    detail = problem(client.get(f"/v1/{path}?site=park&from=2014-02-30"), 422, "bad-request")
    assert "day value is outside expected range" in str(detail["detail"])
    assert client.get(f"/v1/{path}?site=park&from=2014-06-01&to=2014-06-03").status_code == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("trades", "traded"),
        ("trades/export", "traded"),
        ("retirements", "retired"),
        ("retirements/export", "retired"),
    ],
)
def test_a_period_that_ends_before_it_begins_is_refused(
    client: TestClient, path: str, name: str
) -> None:
    """Bounds that were changed for one another had an empty list, as if nothing had been."""
    for end in ("2014-06-01T02:00:00%2B02:00", "2014-05-31T23:59:59Z"):
        asked = f"/v1/{path}?{name}_from=2014-06-01T00:00:00Z&{name}_before={end}"
        document = problem(client.get(asked), 422, "empty-period")
        assert "the period from 2014-06-01T00:00:00Z to" in str(document["detail"])
    later = f"/v1/{path}?{name}_from=2014-06-01T00:00:00Z&{name}_before=2014-06-01T00:00:01Z"
    assert client.get(later).status_code == 200


def test_two_wrong_parameters_are_both_named(client: TestClient) -> None:
    document = problem(client.get("/v1/credits?limit=0&colour=green"), 422, "bad-request")
    assert sorted(item["name"] for item in document["errors"]) == ["colour", "limit"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "again"),
    [
        ("limit=1&limit=2", {"limit": 2}),
        ("limit=1&limit=1", {"limit": 2}),
        ("limit=1&order=asc&li%6Dit=2", {"limit": 2}),
        ("limit=1&limit=", {"limit": 2}),
        ("limit&limit", {"limit": 2}),
        ("b=1&a=1&b=2&a=2&a=3", {"a": 3, "b": 2}),
        ("%ff=1&%FF=2", {"\ufffd": 2}),
    ],
)
@pytest.mark.parametrize("path", ["/v1/credits", "/v1/trades/export", "/livez", "/openapi.json"])
def test_a_parameter_that_is_given_again_is_refused(
    client: TestClient, path: str, query: str, again: dict[str, int]
) -> None:
    document = problem(client.get(f"{path}?{query}"), 422, "bad-request")
    told = {name: f"is given {count} times; give it once" for name, count in again.items()}
    assert document["errors"] == [
        {"place": "query", "name": name, "message": message}
        for name, message in sorted(told.items())
    ]
    assert document["detail"] == "; ".join(f"{name}: {told[name]}" for name in sorted(told))


@pytest.mark.parametrize(
    ("query", "known"),
    [
        (
            "/v1/credits?vintge=2015",
            "as_of_block, batch_id, cursor, key, limit, order, site, status, vintage",
        ),
        ("/v1/energy?site=a&form=2015-01-01", "by, cursor, device, from, limit, order, site, to"),
        ("/v1/credits/1?as_of=1", "as_of_block"),
        ("/verify?language=zh", "lang, theme"),
    ],
)
def test_a_parameter_that_is_not_known_is_told_those_that_are(
    client: TestClient, query: str, known: str
) -> None:
    document = problem(client.get(query), 422, "bad-request")
    (error,) = document["errors"]
    assert error["message"] == "unknown parameter"
    assert document["detail"] == f"{error['name']}: unknown parameter; the query may have {known}"
    wrong = problem(client.get("/v1/credits?limit=0"), 422, "bad-request")
    assert "may have" not in str(wrong["detail"])


def test_the_description_takes_no_parameter(client: TestClient) -> None:
    document = problem(client.get("/openapi.json?bogus=1"), 422, "bad-request")
    assert document["detail"] == "bogus: unknown parameter; the query takes none"
    assert client.get("/openapi.json").status_code == 200


def test_no_route_takes_a_parameter_again(client: TestClient) -> None:
    """The refusal holds for all routes, whoever asks: a route that took a list could not be called."""
    paths = client.get("/openapi.json").json()["paths"]
    taken = [
        (path, method, parameter["name"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and '"array"' in json.dumps(parameter["schema"])
    ]
    assert taken == []
    for path, methods in paths.items():
        for method in methods:
            answer = client.request(method, re.sub(r"\{\w+\}", "1", path) + "?limit=1&limit=2")
            assert problem(answer, 422, "bad-request")["detail"] == (
                "limit: is given 2 times; give it once"
            ), path
    answer = client.get("/search?q=a&q=b", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "text/html; charset=utf-8")


def test_a_problem_of_the_query_is_counted_and_can_be_read_by_other_origins(tmp_path: Path) -> None:
    origin = "https://park.example"
    settings = settings_for(
        tmp_path, database_url=f"sqlite:///{tmp_path / 'books.db'}", cors_origins=origin
    )
    with TestClient(create_app(settings)) as client:
        answer = client.get("/v1/credits?limit=1&limit=2", headers={"Origin": origin})
    assert answer.status_code == 422
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "RateLimit" in answer.headers


def test_what_is_too_long_is_refused(client: TestClient) -> None:
    problem(client.get("/v1/credits?site=" + "a" * 4092), 414, "query-too-long")
    problem(client.get("/v1/credits?site=" + "a" * 4091), 422, "bad-request")
    body = b"x" * (1_048_576 + 1)
    problem(client.request("GET", "/v1/credits", content=body), 413, "body-too-large")
    assert client.request("GET", "/v1/credits", content=body[1:]).status_code == 200
    # One that does not say how long it is, where a body is read.
    headers = {"Content-Type": "application/json"}
    pieces = [body[:1_048_576], b"x"]
    answer = client.post("/v1/sessions", content=iter(pieces), headers=headers)
    assert "Content-Length" not in answer.request.headers
    problem(answer, 413, "body-too-large")
    problem(
        client.post("/v1/sessions", content=iter(pieces[:1]), headers=headers), 422, "bad-request"
    )


def test_a_defect_is_a_problem_without_its_insides(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr("api.credits.queries.list_credits", fail)
    answer = client.get("/v1/credits?status=active")
    problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    (line,) = [each for each in caplog.records if each.name == "truetonne.api"]
    assert line.getMessage().endswith(" failed: GET '/v1/credits'")
    assert line.exc_info is not None


def test_more_requests_than_connections(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object) -> None:
        raise PoolTimeout("QueuePool limit of size 10 overflow 20 reached")

    monkeypatch.setattr("api.credits.queries.list_credits", wait)
    answer = client.get("/v1/credits?status=active")
    problem(answer, 503, "database-busy")
    assert "QueuePool" not in answer.text


def test_what_is_no_fault_of_whoever_asks_is_told_without_places() -> None:
    told = problem_of(WrongChain("the node at http://10.1.2.3:8545/secret serves chain id 1"))
    assert (told.status, told.code) == (503, "wrong-chain")
    assert "10.1.2.3" not in told.detail and told.headers == {"Retry-After": "5"}
    assert problem_of(BadInput("a name is missing")).status == 422
    waits = TooManyAttempts("too many attempts", details={"retry_after_s": 7})
    assert (problem_of(waits).status, problem_of(waits).headers) == (429, {"Retry-After": "7"})
    assert problem_of(HTTPException(400)).status == 422  # the framework's word: it cannot read it


def test_a_refusal_of_a_contract_is_told_in_its_words_unless_it_has_a_name_already() -> None:
    words = "it would be refused: BadPeriod(periodStart=5, periodEnd=4)"
    plain = problem_of(Refused(words))
    named = problem_of(Refused(words, code="void-issuance"))
    assert (plain.status, plain.code, named.code) == (409, "bad-period", "void-issuance")
    assert plain.extensions["contract_error"] == named.extensions["contract_error"]
    assert plain.detail == named.detail != words


def test_a_database_that_is_down(tmp_path: Path) -> None:
    # Port 1 of the loopback: nothing listens there.
    settings = settings_for(tmp_path, database_url="mysql+pymysql://me:secret@127.0.0.1:1/books")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        for path in ("/v1/credits", "/v1/credits/1", "/v1/status", "/readyz"):
            answer = client.get(path)
            problem(answer, 503, "database-down")
            assert answer.headers["Retry-After"] == "5"
            assert "secret" not in answer.text
            assert "127.0.0.1" not in answer.text
        assert client.get("/livez").json() == {"status": "alive"}


def test_a_database_without_tables(tmp_path: Path) -> None:
    with TestClient(create_app(settings_for(tmp_path))) as client:
        problem(client.get("/v1/credits"), 503, "schema-missing")
        problem(client.get("/readyz"), 503, "schema-missing")


def test_a_mirror_that_has_not_begun(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    database = Database(settings.database_url)
    database.upgrade()
    database.close()
    with TestClient(create_app(settings)) as client:
        assert client.get("/v1/credits").json() == {
            "items": [],
            "next_cursor": None,
            "as_of_block": None,
            "finality": {"rule": "finalized", "final_block": None},
            "reconciliation": None,
        }
        problem(client.get("/readyz"), 503, "node-down")
        # A local node whose process lives and that answers nobody is not said to be gone.
        program = shutil.copy(shutil.which("sleep") or "", tmp_path / "anvil")
        with subprocess.Popen([program, "600"]) as node:
            try:
                settings.chain_folder.mkdir(parents=True)
                note = {"rpc_url": "http://127.0.0.1:1", "node_pid": node.pid}
                (settings.chain_folder / "node.json").write_text(json.dumps(note))
                problem(client.get("/readyz"), 503, "node-slow")
            finally:
                node.kill()
        problem(client.get("/readyz"), 503, "node-down")


def test_a_node_that_is_down(books: str, tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, database_url=books, network="local", rpc_url="http://127.0.0.1:1/secret-key"
    )
    with TestClient(create_app(settings)) as client:
        answer = client.get("/readyz")
        problem(answer, 503, "node-down")
        assert "secret-key" not in answer.text
        assert client.get("/v1/credits").status_code == 200  # the books answer without a node


@pytest.mark.parametrize("path", ["/v1/credits", "/v1/credits/1", "/v1/status", "/openapi.json"])
def test_an_unchanged_answer_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["ETag"]
    assert tag.startswith('"')
    assert first.headers["Cache-Control"] == "no-cache"
    for given in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = client.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert "Content-Type" not in again.headers
    lines = [("If-None-Match", tag), ("If-None-Match", '"other"')]
    for listed in (lines, lines[::-1]):  # a list may stand in several lines
        assert client.get(path, headers=listed).status_code == 304
    changed = client.get(path, headers={"If-None-Match": '"other"'})
    assert changed.content == first.content


def test_tags_tell_answers_apart(client: TestClient) -> None:
    tags = {client.get(f"/v1/credits?limit={limit}").headers["ETag"] for limit in (1, 2, 3)}
    assert len(tags) == 3
    assert "ETag" not in client.get("/v1/credits/none").headers


@pytest.mark.parametrize(
    "path", ["/v1/credits", "/v1/credits/1", "/livez", "/v1/nothing", "/v1/status?x=1"]
)
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert head.content == b""
    assert head.status_code == get.status_code
    for name in ("Content-Length", "Content-Type", "ETag", "Link", "Allow"):
        if name == "Content-Length" and get.status_code >= 400:
            continue  # the request id differs in nothing but its digits
        assert head.headers.get(name) == get.headers.get(name)


def test_nothing_is_sent_behind_the_head(client: TestClient) -> None:
    """Of answers that are held whole, and of files: the client above leaves out by itself what comes behind."""
    for path in ("/v1/credits", "/v1/credits/export", "/v1/nothing"):
        sent: list[Message] = []

        async def hear(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        async def nothing() -> Message:
            await anyio.sleep_forever()
            raise AssertionError("for ever is over")

        scope: dict[str, Any] = {"type": "http", "method": "HEAD", "path": path, "headers": []}
        more = {"query_string": b"", "client": ("192.0.2.9", 1)}
        anyio.run(client.app, {**scope, **more}, nothing, hear)
        assert [message["type"] for message in sent[:2]] == [
            "http.response.start",
            "http.response.body",
        ], path
        assert b"".join(message.get("body", b"") for message in sent) == b"", path


def test_a_request_id_is_kept_when_it_is_one(client: TestClient) -> None:
    kept = client.get("/livez", headers={"X-Request-Id": "job-7.abc"})
    assert kept.headers["X-Request-Id"] == "job-7.abc"
    for bad in ("a b", "x" * 65, "<script>", ""):
        made = client.get("/livez", headers={"X-Request-Id": bad})
        assert made.headers["X-Request-Id"] != bad
        assert len(made.headers["X-Request-Id"]) == 32


def test_no_other_site_may_read(client: TestClient) -> None:
    answer = client.get("/v1/credits", headers={"Origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_links_do_not_follow_a_forged_host(client: TestClient) -> None:
    answer = client.get("/v1/credits?limit=1", headers={"Host": "evil.example"})
    assert "evil" not in answer.headers["Link"]


KIND, KEPT = "Content-Type", "Cache-Control"
HEADERS = {
    "/v1/credits": {KIND: "application/json", KEPT: "no-cache"},
    "/v1/nothing": {KIND: "application/problem+json", KEPT: "no-store"},
    "/v1/users": {
        KIND: "application/problem+json",
        KEPT: "no-store",
        "WWW-Authenticate": 'Bearer realm="truetonne"',
    },
    "/v1/credits/export": {
        KIND: "text/csv; charset=utf-8; header=present",
        KEPT: "no-store",
        "Content-Disposition": 'attachment; filename="credits.csv"',
        "Truetonne-As-Of-Block": "98",
        "Truetonne-Final-Block": "90",
    },
    "/v1/credits/export?format=jsonl": {
        KIND: "application/jsonl",
        "Content-Disposition": 'attachment; filename="credits.jsonl"',
    },
    "/metrics": {KIND: "text/plain; version=0.0.4; charset=utf-8"},
    "/credits": {
        KIND: "text/html; charset=utf-8",
        KEPT: "no-cache",
        "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; object-src 'none'",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Vary": "Accept-Language, Cookie, HX-Request",
    },
    "/account": {KEPT: "no-store", "Vary": "Cookie", "Location": "/sign-in?next=%2Faccount"},
    "/sign-in": {KEPT: "no-store"},
}
"""What an answer says of itself, in the words of RFC 9110, 9111, 9457 and 6750, and of the Content Security Policy."""


@pytest.mark.parametrize("path", HEADERS)
def test_what_an_answer_says_of_itself(client: TestClient, path: str) -> None:
    """In literals: browsers, caches and proxies go by these, and no constant of ours tells them what they mean."""
    accept = "application/json" if path.startswith("/v1") else "text/html"
    answer = client.get(path, headers={"Accept": accept}, follow_redirects=False)
    wanted = {**HEADERS[path], "X-Content-Type-Options": "nosniff"}
    assert {name: answer.headers.get(name) for name in wanted} == wanted


def test_a_bundle_of_no_credit_asks_no_node(client: TestClient) -> None:
    """Which does not answer here."""
    for name in ("NONSENSE", "4294967299999", "park-a-2015-1-9999999-9999999"):
        answer = client.get(f"/v1/credits/{name}/bundle")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), name
    assert client.get("/v1/credits/park-a-2015-1/bundle").status_code == 503
