"""The quick way of the answers that are asked for most: byte for byte the ordinary one, and only where it may be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.app import create_app
from api.context import Context
from api.credits import quick as credits_
from api.retirements import quick as retirements
from ledger.db import Database
from ledger.db.quick import Quick
from ledger.models import CarbonCredit, CreditRetirement, Reconciliation
from ledger.settings import Settings, load_settings
from tests.api.conftest import EPOCH, give_odd_forms, key_of
from tests.support.forms import long, times

ONE_DATABASE = "the quick way of MariaDB has tests of its own"

SAME = ("content-type", "content-length", "etag", "cache-control", "link", "x-content-type-options")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Nothing comes from the cache, which has tests of its own."""
    return replace(settings, cache_mib=0)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def ordinary(settings: Settings) -> Iterator[TestClient]:
    app = create_app(settings)
    app.state.context.database.quick = None
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def alike(quick: TestClient, ordinary: TestClient, url: str) -> None:
    mine, other = quick.get(url), ordinary.get(url)
    assert mine.status_code == other.status_code, url
    if mine.status_code == 200:
        assert mine.content == other.content, url
    assert {name: mine.headers.get(name) for name in SAME[:1]} == {
        name: other.headers.get(name) for name in SAME[:1]
    }
    if mine.status_code == 200:
        for name in SAME:
            assert mine.headers.get(name) == other.headers.get(name), (url, name)


def went(context: Context, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what is answered the quick way."""
    for name in ("credit", "page"):
        original = getattr(credits_, name)

        def noted(*arguments: object, _name: str = name, _original: object = original) -> object:
            found = _original(*arguments)  # type: ignore[operator]
            if found is not None:
                calls.append(_name)
            return found

        monkeypatch.setattr(credits_, name, noted)


def test_every_credit_and_page_is_the_same(
    client: TestClient, ordinary: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    context: Context = client.app.state.context  # type: ignore[attr-defined]
    went(context, calls, monkeypatch)
    names = [item["credit_id"] for item in client.get("/v1/credits?limit=200").json()["items"]]
    urls = [f"/v1/credits/{name}" for name in names[:: times(3, 1)]]
    for limit, order in ((1, "asc"), (7, "desc"), (50, "asc"), (200, "desc")):
        url: str | None = f"/v1/credits?limit={limit}&order={order}"
        while url is not None:
            urls.append(url)
            page = ordinary.get(url).json()
            cursor = page["next_cursor"]
            url = f"/v1/credits?limit={limit}&order={order}&cursor={cursor}" if cursor else None
            if limit == 1 and len(urls) > times(80, 200):
                break
    calls.clear()
    for each in (*urls, "/v1/credits"):
        alike(client, ordinary, each)
    assert len(calls) == len(urls) + 1
    calls.clear()
    left = (
        "/v1/credits?status=retired",
        "/v1/credits?as_of_block=90",
        "/v1/credits?limit=0",
        "/v1/credits?limit=5&limit=6",
        "/v1/credits?cursor=x",
        "/v1/credits?&",
        "/v1/credits?limit=%zz",
        "/v1/credits/",
        "/v1/credits/1",
        "/v1/credits/none",
        "/v1/credits/" + key_of(50),
        "/v1/credits/park-a-2015-1-1-10",
        f"/v1/credits/{names[0]}?as_of_block=90",
        f"/v1/credits/{names[0]}?x=1",
        "/v1/credits/%00",
        "/v1/credits/export?status=retired",
    )
    for each in left:
        if "export" not in each:
            alike(client, ordinary, each)
    assert calls == []


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings for a copy of the books, with retirements of every form."""
    file = tmp_path / "own.db"
    with (
        closing(sqlite3.connect(settings.database_url.removeprefix("sqlite:///"))) as books,
        closing(sqlite3.connect(file)) as copy,
    ):
        books.backup(copy)
    give_odd_forms(f"sqlite:///{file}")
    return replace(settings, database_url=f"sqlite:///{file}")


@pytest.fixture
def own_clients(own: Settings) -> Iterator[tuple[TestClient, TestClient]]:
    """Clients of these books: the quick way, and the ordinary one."""
    apps = [create_app(own), create_app(own)]
    apps[1].state.context.database.quick = None
    with TestClient(apps[0]) as quick, TestClient(apps[1]) as ordinary:
        yield quick, ordinary


@long
def test_every_retirement_is_the_same(
    own_clients: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    original = retirements.retirement

    def noted(context: Context, name: str) -> bytes | None:
        found = original(context, name)
        calls.append("left" if found is None else "quick")
        return found

    monkeypatch.setattr(retirements, "retirement", noted)
    items = own_clients[1].get("/v1/retirements?limit=200").json()["items"]
    for name in ("document_hash", "country", "consumption_start", "replaced_batch_id", "credit_id"):
        assert {item[name] is None for item in items} == {True, False}, name
    for item in items:
        if item["credit_id"] is not None:
            alike(*own_clients, f"/v1/credits/{item['credit_id']}")
    numbers = [item["retirement_id"] for item in items]
    for number in (*numbers, f"00{numbers[0]}"):
        alike(*own_clients, f"/v1/retirements/{number}")
    assert calls == ["quick", "left"] * (len(numbers) + 1)
    calls.clear()
    for name in (items[0]["key"], "x", "-1", "9" * 19, "%F0%9F%98%80", "1/2", "%D9%A3"):
        alike(*own_clients, f"/v1/retirements/{name}")
    assert set(calls) == {"left"}
    calls.clear()
    for query in ("?as_of_block=90", "?x=1", "?as_of_block=x"):
        alike(*own_clients, f"/v1/retirements/{numbers[0]}{query}")
    assert calls == []


def test_a_credit_says_of_its_retirement_what_the_retirement_says(
    own_clients: tuple[TestClient, TestClient],
) -> None:
    """Whoever starts from the credit had not the time of consumption, nor the hash of the document."""
    said = {}
    for item in own_clients[1].get("/v1/retirements?limit=3&order=asc").json()["items"]:
        alike(*own_clients, path := f"/v1/credits/{item['credit_id']}")
        said[item["retirement_id"]] = retirement = own_clients[0].get(path).json()["retirement"]
        assert retirement == {name: item[name] for name in retirement}
    assert [row["document_hash"] for row in said.values()] == ["0x" + "d0" * 32, None, None]
    assert [(row["consumption_start"], row["consumption_end"]) for row in said.values()] == [
        (None, None),
        ("2014-05-13T16:53:20Z", "2014-05-14T16:53:20Z"),
        (None, None),
    ]


def test_that_there_is_no_retirement_is_said_alike(
    own: Settings, own_clients: tuple[TestClient, TestClient]
) -> None:
    """The same document, headers and page; and what comes into the books shows at once."""
    number = 999_999_999
    for accept in ("*/*", "text/html"):
        headers = {"X-Request-Id": "one", "Accept": accept}
        mine, other = (
            each.get(f"/v1/retirements/{number}", headers=headers) for each in own_clients
        )
        assert (mine.status_code, mine.content) == (404, other.content)
        assert mine.headers == other.headers
    assert own_clients[0].head(f"/v1/retirements/{number}").status_code == 404
    database = Database(own.database_url)
    with database.write() as session:
        session.execute(
            update(CreditRetirement)
            .where(CreditRetirement.retirement_id == 31)
            .values(retirement_id=number)
        )
    database.close()
    alike(*own_clients, f"/v1/retirements/{number}")
    assert own_clients[0].get(f"/v1/retirements/{number}").status_code == 200


def test_tags_hold_on_both_ways(client: TestClient) -> None:
    url = "/v1/credits/park-a-2015-1-1-400"
    tag = client.get(url).headers["ETag"]
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
    assert client.head(url).headers["ETag"] == tag
    assert client.head(url).content == b""


@long
def test_odd_times_and_names(sqlite_template: Path, tmp_path: Path) -> None:
    """Microseconds, an end, and a name that JSON must escape."""
    file = tmp_path / "books.db"
    file.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{file}")
    from cli.bench.api.books import make_books

    names = make_books(database, 30)
    with database.write() as session:
        session.execute(
            update(CarbonCredit).values(
                issued_at=EPOCH.replace(microsecond=120), expires_at=EPOCH, issuer='0x"\\ü\x7f绿'
            )
        )
        session.execute(
            update(Reconciliation).values(ok=False, compared_at=EPOCH.replace(microsecond=5))
        )
    clients = []
    for quick in (True, False):
        app = create_app(
            load_settings(
                None,
                {"TRUETONNE_DATABASE_URL": f"sqlite:///{file}", "TRUETONNE_HOME": str(tmp_path)},
            )
        )
        if not quick:
            app.state.context.database.quick = None
        clients.append(TestClient(app))
    for url in ("/v1/credits?limit=200", *(f"/v1/credits/{name}" for name in names)):
        alike(*clients, url)
    database.close()


def test_a_file_that_cannot_be_read_is_left_to_the_ordinary_way(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "none.db")
    assert quick.try_read(lambda read: read("SELECT 1", ())) is None
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "some.db").write_bytes(b"")
    quick = Quick(tmp_path / "some.db")
    assert quick.try_read(lambda read: read("SELECT 1", ())) == [(1,)]
    assert quick.try_read(lambda read: read("SELECT * FROM credit_serials", ())) is None
    assert quick.try_read(lambda read: read("SELECT 2", ())) == [(2,)]
    with pytest.raises(ZeroDivisionError):
        quick.try_read(lambda read: 1 // 0)
    assert quick.try_read(lambda read: read("SELECT 3", ())) == [(3,)]
    quick.close()


@pytest.mark.parametrize("folder", ["Park #2", "why?", "half%20"])
def test_a_folder_may_have_any_name(folder: str, tmp_path: Path) -> None:
    file = tmp_path / folder / "some.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE t AS SELECT 7 AS a")
        quick = Quick(file)
        assert quick.try_read(lambda read: read("SELECT a FROM t", ())) == [(7,)]
        before = quick.version()
        assert before is not None and quick.version() == before
        other.execute("INSERT INTO t VALUES (8)")
        assert quick.version() != before
        quick.close()
    assert [found.name for found in tmp_path.iterdir()] == [folder]
