"""The quick way of a retirement by its number in MariaDB, and of the state of the books there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pymysql.connections import MySQLResult
from sqlalchemy import event, text, update

from api.app import create_app
from api.retirements import quick
from ledger.db import Database
from ledger.db.quick import Row
from ledger.db.quick_server import QuickServer
from ledger.models import ChainCursor, CreditRetirement
from ledger.settings import Settings, load_settings
from tests.api.conftest import fill, give_odd_forms
from tests.support.forms import long

pytestmark = pytest.mark.mariadb

NONE = 999_999_999
SAME = ("content-type", "content-length", "etag", "cache-control", "link", "x-content-type-options")


@pytest.fixture(scope="module")
def url(
    migrated_mariadb_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Books with retirements of every form."""
    made = migrated_mariadb_url("quick_books")
    fill(made, tmp_path_factory.mktemp("readings"))
    give_odd_forms(made)
    return made


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return load_settings(
        None,
        {
            "TRUETONNE_DATABASE_URL": url,
            "TRUETONNE_HOME": str(tmp_path),
            "TRUETONNE_FINALITY": "8",
            "TRUETONNE_RATE_LIMIT": "0",
            "TRUETONNE_CACHE_MIB": "0",
        },
    )


@pytest.fixture
def clients(settings: Settings) -> Iterator[tuple[TestClient, TestClient]]:
    """Clients of these books: the quick way, and the ordinary one."""
    apps = [create_app(settings), create_app(settings)]
    database_of(apps[1]).quick_server = None
    with TestClient(apps[0]) as first, TestClient(apps[1]) as ordinary:
        yield first, ordinary


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which way each answer went that the server was asked for."""
    calls: list[str] = []
    original = QuickServer.try_one

    def noted(server: QuickServer, sql: str, values: Sequence[Any]) -> list[Row] | None:
        found = original(server, sql, values)
        calls.append("left" if found is None else "quick")
        return found

    monkeypatch.setattr(QuickServer, "try_one", noted)
    return calls


def database_of(app: Any) -> Database:
    found: Database = app.state.context.database
    return found


def server_of(client: TestClient) -> QuickServer:
    found = database_of(client.app).quick_server
    assert found is not None
    return found


def numbers_of(client: TestClient) -> list[str]:
    items = client.get("/v1/retirements?limit=200").json()["items"]
    return [item["retirement_id"] for item in items]


def alike(clients: tuple[TestClient, TestClient], path: str, **headers: str) -> int:
    """Hold one way against the other; return the status."""
    mine, other = (each.get(path, headers={"X-Request-Id": "one", **headers}) for each in clients)
    assert (mine.status_code, mine.content) == (other.status_code, other.content), path
    for name in SAME:
        assert mine.headers.get(name) == other.headers.get(name), (path, name)
    return mine.status_code


@long
def test_no_retirement_is_sought_in_a_whole_batch(
    clients: tuple[TestClient, TestClient], settings: Settings
) -> None:
    """The runs of its batch, all of them, were read for the name of one."""
    server, number = server_of(clients[0]), numbers_of(clients[0])[0]
    plan = server.try_one(f"EXPLAIN {quick._IN_MARIADB}", (settings.network, int(number)))
    assert plan is not None
    (kind,) = (row[3] for row in plan if row[2] == "s")
    assert kind in ("eq_ref", "const"), plan


@long
def test_every_retirement_is_the_same(
    clients: tuple[TestClient, TestClient], ways: list[str]
) -> None:
    items = clients[1].get("/v1/retirements?limit=200").json()["items"]
    for name in ("document_hash", "country", "consumption_start", "replaced_batch_id", "credit_id"):
        assert {item[name] is None for item in items} == {True, False}, name
    numbers = [item["retirement_id"] for item in items]
    for number in (*numbers, f"00{numbers[0]}"):
        assert alike(clients, f"/v1/retirements/{number}") == 200
    assert ways == ["quick"] * (len(numbers) + 1)
    ways.clear()
    for name in (items[0]["key"], "x", "-1", "9" * 19, "%F0%9F%98%80", "1/2", "%D9%A3"):
        alike(clients, f"/v1/retirements/{name}")
    for query in ("?as_of_block=90", "?x=1", "?as_of_block=x"):
        alike(clients, f"/v1/retirements/{numbers[0]}{query}")
    assert ways == []


def test_that_there_is_none_is_said_alike_and_what_comes_shows_at_once(
    clients: tuple[TestClient, TestClient], url: str, ways: list[str]
) -> None:
    for accept in ("*/*", "text/html"):
        assert alike(clients, f"/v1/retirements/{NONE}", Accept=accept) == 404
    assert ways == ["quick"] * 2
    number = int(numbers_of(clients[0])[0])
    _renumber(url, number, NONE)
    assert alike(clients, f"/v1/retirements/{NONE}") == 200
    assert alike(clients, f"/v1/retirements/{number}") == 404
    _renumber(url, NONE, number)


def _renumber(url: str, before: int, after: int) -> None:
    database = Database(url)
    with database.write() as session:
        session.execute(text("SET foreign_key_checks=0"))
        session.execute(
            update(CreditRetirement)
            .where(CreditRetirement.retirement_id == before)
            .values(retirement_id=after)
        )
    database.close()


def test_none_is_asked_of_the_mapper(
    clients: tuple[TestClient, TestClient], ways: list[str]
) -> None:
    number = numbers_of(clients[1])[0]
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    for client in clients:
        event.listen(database_of(client.app)._engine, "before_cursor_execute", note)
    clients[0].get(f"/v1/retirements/{number}")
    clients[0].get(f"/v1/retirements/{NONE}")
    assert statements == []
    clients[1].get(f"/v1/retirements/{number}")
    assert len(statements) > 2


def test_a_replica_is_spared_nothing(settings: Settings, url: str, ways: list[str]) -> None:
    """Who has one has it read: the primary is asked how far it is, and no more."""
    app = create_app(replace(settings, database_read_url=url))
    assert quick.retirement(app.state.context, "1") is None
    assert ways == []
    app.state.context.database.close()


def test_a_connection_that_was_ended_costs_the_way(
    clients: tuple[TestClient, TestClient], ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/retirements/{numbers_of(clients[1])[0]}"
    assert alike(clients, path) == 200
    found = server_of(clients[0]).try_one("SELECT CONNECTION_ID()", ())
    assert found
    ways.clear()
    database = database_of(clients[1].app)
    with database.server() as connection:
        connection.execute(text(f"KILL CONNECTION {found[0][0]:d}"))
    assert alike(clients, path) == 200
    assert ways == ["left"]
    assert alike(clients, path) == 200
    assert ways == ["left"] * 2  # it rests
    monkeypatch.setattr(server_of(clients[0]), "_rests_until_s", 0.0)
    assert alike(clients, path) == 200
    assert ways[2:] == ["quick"]


def test_a_statement_that_does_not_end_is_given_up(
    clients: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(clients[0])
    monkeypatch.setattr("ledger.db.database._QUICK_S", 1)
    assert server.try_one("SELECT SLEEP(600)", ()) is None
    assert server.try_one("SELECT 1", ()) is None
    monkeypatch.setattr(server, "_rests_until_s", 0.0)
    assert server.try_one("SELECT ?", (1,)) == [(1,)]
    assert server.try_one("SELECT * FROM nothing_of_that_name", ()) is None


def test_what_was_not_read_of_an_answer_is_not_the_next_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(url)
    server = database.quick_server
    assert server is not None
    assert server.try_one("SELECT 4", ()) == [(4,)]
    with monkeypatch.context() as patched:
        patched.setattr(MySQLResult, "_read_row_from_packet", lambda *_: int("no number"))
        with pytest.raises(ValueError, match="no number"):
            server.try_one("SELECT 1 UNION SELECT 2", ())
    assert server.try_one("SELECT 5", ()) == [(5,)]
    database.close()


def test_who_finds_no_connection_free_goes_the_ordinary_way(
    clients: tuple[TestClient, TestClient], ways: list[str]
) -> None:
    server = server_of(clients[0])
    path = f"/v1/retirements/{numbers_of(clients[1])[0]}"
    assert alike(clients, path) == 200
    held = []
    engine = server._engine_here()
    while len(held) < 8:
        held.append(engine.raw_connection())
    assert alike(clients, path) == 200
    for link in held:
        link.close()
    assert alike(clients, path) == 200  # nothing failed, so nothing rests
    assert ways == ["quick", "left", "quick"]


def test_many_ask_at_once(clients: tuple[TestClient, TestClient]) -> None:
    server, found = server_of(clients[0]), []

    def ask(number: int) -> None:
        for turn in range(50):
            rows = server.try_one("SELECT ?, ?", (number, turn))
            found.append(rows == [(number, turn)])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 300


def test_books_that_cannot_be_read_are_an_error_of_the_ordinary_way(settings: Settings) -> None:
    gone = replace(settings, database_url="mysql+pymysql://root@127.0.0.1:9/none")
    app = create_app(gone)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/v1/retirements/31")
        assert answer.status_code == 503
        assert answer.json()["code"] == "database-down"


def test_the_state_of_the_books_changes_with_the_mirror(settings: Settings, url: str) -> None:
    app = create_app(replace(settings, cache_mib=4))
    with TestClient(app) as client:
        cache = app.state.cache
        path = "/v1/retirements?limit=1"
        for _ in range(2):
            assert client.get(path).status_code == 200
        assert dict(cache.counts) == {"made": 1, "process": 1}
        database = Database(url)
        with database.write() as session:
            session.execute(update(ChainCursor).values(final_number=ChainCursor.final_number + 1))
        with database.write() as session:
            session.execute(update(ChainCursor).values(final_number=ChainCursor.final_number - 1))
        database.close()
        assert client.get(path).status_code == 200
        assert dict(cache.counts) == {"made": 2, "process": 1}
        server = server_of(client)
        server._rests_until_s = float("inf")
        for _ in range(2):
            assert client.get(path).status_code == 200
        assert dict(cache.counts) == {"made": 2, "process": 1}  # by nobody who could keep it
