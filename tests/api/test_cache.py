"""Answers from the cache are those that the books would give, whoever writes and whatever fails."""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import event, update
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import declared
from api.app import create_app
from api.cache.answers import Answer, Shelf
from api.cache.layer import MADE, PROCESS, REDIS, Cache, FromCache
from api.cache.shared import KEPT_S, SharedShelf
from api.cache.stamps import OF_THE_BOOKS, Stamps
from api.context import Context
from cli.bench.api.books import make_books
from ledger.db import Database
from ledger.db.quick import Quick
from ledger.models import Base, CarbonCredit, ChainCursor, CreditBatch, Reconciliation, Site
from ledger.settings import Settings, load_settings
from tests.api.conftest import EPOCH, HEAD_BLOCK, ISSUER, key_of
from tests.support.forms import few, long, times
from tests.support.redis import RedisServer

LONG_ON_MARIADB = (
    "test_answers_are_the_same_and_made_once",
    "test_processes_share_a_redis",
    "test_whatever_is_written_is_answered",
)
ONE = "/v1/credits/park-a-2015-1-1-400"
CALLS = (
    ONE,
    "/v1/credits",
    "/v1/credits?limit=7&order=asc",
    "/v1/credits?status=retired",
    "/v1/credits?as_of_block=60",
    f"/v1/credits/{key_of(7)}",
    f"{ONE}/history",
    "/v1/retirements",
    "/v1/retirements/31",
    f"/v1/holders/{ISSUER}",
    "/v1/markets",
    "/v1/plants",
    "/v1/plants/vpp-north?by=day",
    "/v1/contracts",
    "/v1/projects",
    "/v1/sites",
    "/v1/search?q=park-a",
    "/v1/trades",
    "/v1/transactions",
    "/v1/settlements",
    "/v1/readings/quality?site=park",
    "/v1/readings/files?site=park",
    "/v1/credits/nothing",
    "/v1/credits?limit=0",
)


@contextmanager
def serving(settings: Settings, **changed: Any) -> Iterator[TestClient]:
    with TestClient(
        create_app(replace(settings, **changed)), raise_server_exceptions=False
    ) as client:
        yield client


@contextmanager
def around(app: ASGIApp, settings: Settings) -> Iterator[TestClient]:
    """The layer alone around an application, in one thread as a server has it."""
    context = Context(settings, Database(settings.database_url))
    inside = Starlette(routes=[Mount("/", app)])
    with TestClient(FromCache(inside, context, Cache(settings))) as client:
        yield client
    context.database.close()


def cache_of(client: TestClient) -> Cache:
    found: Cache = client.app.state.cache  # type: ignore[attr-defined]
    return found


def same(cached: TestClient, plain: TestClient, call: str, **more: Any) -> None:
    mine, other = cached.get(call, **more), plain.get(call, **more)
    assert mine.status_code == other.status_code, call
    if mine.status_code != 200:
        assert mine.json() | {"request_id": ""} == other.json() | {"request_id": ""}, call
        return
    assert mine.content == other.content, call
    left_out = ("x-request-id", "ratelimit")
    assert {name: text for name, text in mine.headers.items() if name not in left_out} == {
        name: text for name, text in other.headers.items() if name not in left_out
    }, call


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """The books on SQLite, as a copy that the test may change."""
    file = settings.database_url.removeprefix("sqlite:///")
    if file == settings.database_url:
        pytest.skip("these books are everybody's")
    shutil.copyfile(file, tmp_path / "books.db")
    return replace(settings, database_url=f"sqlite:///{tmp_path / 'books.db'}")


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        try:
            server = RedisServer(Path(folder))
        except FileNotFoundError as reason:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI must run the tests with Redis: {reason}")
            pytest.skip(str(reason))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """A Redis with nothing in it."""
    with redis_server.client() as client:
        client.flushall()
    yield redis_server


# ------------------------------------------------------------------ what is kept


@long
def test_what_is_kept_is_public_and_there(settings: Settings) -> None:
    app = create_app(settings)
    routes = {
        context.path.removeprefix("/v1/"): declared(context)
        for context in iter_route_contexts(app.routes)
        if "GET" in (context.methods or ())
    }
    for kept in OF_THE_BOOKS:
        template = kept.replace("[^/]+", "{}")
        found = [
            needs for path, needs in routes.items() if re.sub(r"\{[^}]*\}", "{}", path) == template
        ]
        assert found == [{"public"}], kept


def test_no_answer_that_grows_older_is_kept(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """How old the last comparison is changes while the books do not."""
    asked: list[datetime] = []

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            asked.append(EPOCH + timedelta(days=len(asked)))
            return asked[-1]

    monkeypatch.setattr("api.reconciliation.endpoints.datetime", Clock)
    writer = Database(own.database_url)
    with writer.write() as session:
        compared = Reconciliation(
            network="local", block_number=1, compared_at=EPOCH, ok=True, rules=[]
        )
        session.merge(compared)
    writer.close()
    with serving(own) as client:
        ages = [client.get("/v1/reconciliation").json()["age_seconds"] for _ in range(3)]
    assert ages == [0, 86_400, 172_800]


def test_what_the_mirror_stamps_is_what_the_mirror_writes(settings: Settings) -> None:
    """Every table behind those routes is the mirror's, so each change of theirs moves the cursor with it."""
    with serving(settings, cache_mib=0) as client:
        key = client.get("/v1/retirements/31").json()["key"]
        database: Database = client.app.state.context.database  # type: ignore[attr-defined]
        database.quick = None  # the ordinary way, which on MariaDB is the only one
        stamps = Stamps(client.app.state.context)  # type: ignore[attr-defined]
        seen: list[str] = []
        engine = database._engine

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        calls = (*CALLS[:6], "/v1/retirements?holder=" + ISSUER, *CALLS[7:9])
        for call in (*calls, f"/v1/retirements/{key}"):
            if stamps.covers(call.partition("?")[0]):
                assert client.get(call).status_code == 200, call
            else:
                assert call not in calls, call
        event.remove(engine, "before_cursor_execute", note)
    tables = {word for text in seen for word in re.findall(r"\w+", text)} & {*Base.metadata.tables}
    writers = {name: Base.metadata.tables[name].info["writer"] for name in tables}
    assert {"carbon_credits", "credit_batches", "credit_retirements"} <= tables
    assert (
        writers.pop("reconciliations") == "ledger.reconcile.report"
    )  # which is in the stamp itself
    assert set(writers.values()) == {"indexer"}, writers


# ------------------------------------------------------------------ right whatever happens


def test_answers_are_the_same_and_made_once(settings: Settings) -> None:
    with serving(settings) as cached, serving(settings, cache_mib=0) as plain:
        assert plain.app.state.cache is None  # type: ignore[attr-defined]
        for call in CALLS:
            for _ in range(3):
                same(cached, plain, call)
        counts = cache_of(cached).counts
        exact = settings.database_url.startswith("sqlite")
        kept = len(CALLS) - 2 if exact else len([*CALLS[:6], *CALLS[7:9]])
        assert counts[PROCESS] == 2 * kept
        assert len(cache_of(cached).own) == kept
        tag = cached.get(ONE).headers["ETag"]
        assert cached.get(ONE, headers={"If-None-Match": tag}).status_code == 304
        head = cached.head(ONE)
        assert (head.headers["ETag"], head.content) == (tag, b"")
        assert cached.get(ONE).headers["X-Request-Id"] != cached.get(ONE).headers["X-Request-Id"]
        assert cached.get(f"{ONE}?x=1").status_code == 422
        assert cached.get(f"{ONE}?as_of_block=90").status_code == 200
        metrics = cached.get("/metrics").text
        assert 'truetonne_cache_answers_total{from="process"}' in metrics


Act = Callable[[Session, random.Random], None]


def retire(session: Session, chance: random.Random) -> None:
    batches = CreditBatch.batch_id % 7 == chance.randrange(7)
    session.execute(update(CreditBatch).where(batches).values(retired_kg=chance.randrange(900)))


def issuer(session: Session, chance: random.Random) -> None:
    session.execute(update(CarbonCredit).values(issuer=f"0x{chance.randrange(16**40):040x}"))


def final(session: Session, chance: random.Random) -> None:
    session.execute(update(ChainCursor).values(final_number=chance.randrange(HEAD_BLOCK)))


def compare(session: Session, chance: random.Random) -> None:
    session.merge(
        Reconciliation(
            network="local",
            block_number=chance.randrange(HEAD_BLOCK),
            compared_at=EPOCH + timedelta(microseconds=chance.randrange(10**15)),
            ok=chance.random() < 0.5,
            rules=[],
        )
    )


def site(session: Session, chance: random.Random) -> None:
    session.execute(update(Site).values(name=f"Park {chance.randrange(1000)}"))


MIRROR_ACTS: tuple[Act, ...] = (retire, issuer, final)


def ask_and_write(
    settings: Settings, calls: Sequence[str], acts: Sequence[Act], rounds: int
) -> Cache:
    """Write at random between random questions: each answer is that of a service without a cache."""
    chance = random.Random(20261126)
    writer = Database(settings.database_url)
    done = set()
    with serving(settings) as cached, serving(settings, cache_mib=0) as plain:
        for _ in range(rounds):
            if chance.random() < 0.4:
                act = chance.choice(acts)
                with writer.write() as session:
                    act(session, chance)
                    if act in MIRROR_ACTS:  # as each commit of the mirror does
                        session.execute(update(ChainCursor).values(updated_at=datetime.now(UTC)))
                done.add(act)
            same(cached, plain, chance.choice(calls))
        found = cache_of(cached)
    writer.close()
    assert done == set(acts)
    assert found.counts[PROCESS] > 5
    return found


@long
def test_whatever_is_written_is_answered(own: Settings) -> None:
    ask_and_write(own, CALLS, (*MIRROR_ACTS, compare, site), rounds=times(140, 200))


@long
@pytest.mark.mariadb
def test_what_the_mirror_writes_is_answered(mariadb_db: Database, tmp_path: Path) -> None:
    names = make_books(mariadb_db, 1_000)
    url = mariadb_db.url.render_as_string(hide_password=False)
    settings = load_settings(
        None,
        {
            "TRUETONNE_DATABASE_URL": url,
            "TRUETONNE_HOME": str(tmp_path),
            "TRUETONNE_RATE_LIMIT": "0",
        },
    )
    calls = [f"/v1/credits/{names[500]}", "/v1/credits", "/v1/retirements", "/v1/credits?limit=3"]
    ask_and_write(settings, calls, (*MIRROR_ACTS, compare), rounds=times(40, 60))


@pytest.mark.mariadb
def test_each_part_of_the_stamp_is_another_state(mariadb_db: Database, tmp_path: Path) -> None:
    """The mirror moves several of them in one commit; none is left to the others, nor to a clock that goes on."""
    url = mariadb_db.url.render_as_string(hide_password=False)
    values = {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_HOME": str(tmp_path)}
    context = Context(load_settings(None, values), mariadb_db)
    make_books(mariadb_db, 2)
    stamps = Stamps(context)
    seen = [anyio.run(stamps.now)]
    assert seen[0] == anyio.run(stamps.now)
    later = datetime(2030, 1, 2, tzinfo=UTC)
    for change in (
        update(ChainCursor).values(updated_at=later),
        update(ChainCursor).values(block_hash="0x" + "5a" * 32, updated_at=later),
        update(ChainCursor).values(final_number=ChainCursor.final_number - 1, updated_at=later),
        update(Reconciliation).values(compared_at=later),
    ):
        with mariadb_db.write() as session:
            session.execute(change)
        seen.append(anyio.run(stamps.now))
    assert None not in seen
    assert len(set(seen)) == 5


def test_made_while_the_books_change_is_not_kept(own: Settings) -> None:
    """The inner application commits before it answers: that answer may be of either state."""
    writer = Database(own.database_url)
    commits = [True, False]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if commits.pop(0):
            with writer.write() as session:
                session.execute(update(ChainCursor).values(block_number=HEAD_BLOCK + 1))
        await Response(b"{}", media_type="application/json")(scope, receive, send)

    with around(app, own) as client:
        assert client.get("/v1/credits").content == b"{}"
        assert client.get("/v1/credits").content == b"{}"  # made again
        assert commits == []
        assert client.get("/v1/credits").content == b"{}"  # kept
    writer.close()


def test_made_between_two_states_is_kept_for_neither(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where servers stand behind one name, the state of before may be seen once more."""
    state, made = [1], count()

    async def now(_stamps: Stamps) -> tuple[int]:
        return (state[0],)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        state[0] = 2
        await Response(str(next(made)))(scope, receive, send)

    monkeypatch.setattr(Stamps, "now", now)
    with around(app, settings) as client:
        assert client.get("/v1/credits").text == "0"
        state[0] = 1
        assert client.get("/v1/credits").text == "1"
        assert client.get("/v1/credits").text == "2"  # the first of one state alone
        assert client.get("/v1/credits").text == "2"


def test_nothing_of_a_person_is_kept(settings: Settings) -> None:
    made = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        made.append(1)
        headers = {"Set-Cookie": "a=b"} if len(made) < 3 else {"Cache-Control": "no-store"}
        await Response(b"{}", headers=headers)(scope, receive, send)

    with around(app, settings) as client:
        for _ in range(5):
            client.get("/v1/credits")
    assert len(made) == 5


def test_what_is_no_reading_is_never_answered_from_what_is_kept(settings: Settings) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(scope["method"].encode())(scope, receive, send)

    with around(app, settings) as client:
        for method in ("GET", "POST", "PUT", "DELETE") * 2:
            assert client.request(method, "/v1/credits").text == method


@pytest.mark.parametrize(("headers", "made"), [([(b"content-length", b"4")], 1), ([], 3)])
def test_an_answer_in_pieces_is_kept_whole_and_a_file_not_at_all(
    settings: Settings, headers: list[tuple[bytes, bytes]], made: int
) -> None:
    asked = count()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        next(asked)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"cd"})

    with around(app, settings) as client:
        assert [client.get("/v1/credits").text for _ in range(3)] == ["abcd"] * 3
    assert next(asked) == made


def test_without_a_state_nothing_is_kept(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is locked for a moment does not let its state be read: the next answer may be another one."""
    made = count()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(str(next(made)))(scope, receive, send)

    monkeypatch.setattr(Quick, "version", lambda quick: None)
    with around(app, own) as client:
        assert [client.get("/v1/credits").text for _ in range(3)] == ["0", "1", "2"]


def test_bytes_that_are_no_text_are_calls_of_their_own(settings: Settings) -> None:
    said: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(repr(scope["query_string"]))(scope, receive, send)

    async def hear(message: Message) -> None:
        said.append(message.get("body", b""))

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ask(layer: FromCache) -> None:
        for query in (b"q=\xe4", b"q=\xf6", "q=\xe4".encode()) * 2:
            asked = {"type": "http", "method": "GET", "path": "/v1/search", "headers": []}
            await layer({**asked, "query_string": query}, nothing, hear)

    context = Context(settings, Database(settings.database_url))
    anyio.run(ask, FromCache(app, context, Cache(settings)))
    context.database.close()
    assert len({*said} - {b""}) == 3, said


def test_a_question_mark_in_a_name_is_not_the_beginning_of_a_query(settings: Settings) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        said = repr((scope["path"], scope["query_string"]))
        await Response(said)(scope, receive, send)

    calls = ("/v1/projects/P%3F", "/v1/projects/P??", "/v1/projects/P%3F%3F", "/v1/projects/P")
    with around(app, settings) as client:
        said = [client.get(call).text for call in calls * 2]
    assert len({*said}) == len(calls), said


def test_each_thread_has_states_of_its_own(own: Settings) -> None:
    """SQLite counts anew for each connection, and each thread has one."""
    database, writer = Database(own.database_url), Database(own.database_url)
    assert database.quick is not None
    seen = []
    for number in range(3):
        with ThreadPoolExecutor(max_workers=1) as thread:
            seen.append(thread.submit(database.quick.version).result())
        with writer.write() as session:
            session.execute(update(ChainCursor).values(block_number=HEAD_BLOCK + number))
    assert len(set(seen)) == 3
    writer.close()
    database.close()


# ------------------------------------------------------------------ Redis


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a Redis are waited for however busy the machine is, and one that failed rests until it is woken."""
    monkeypatch.setattr("api.cache.shared.WAIT_S", 60)
    monkeypatch.setattr("api.cache.shared.REST_S", 600)


@pytest.mark.usefixtures("patient")
def test_processes_share_a_redis(settings: Settings, redis: RedisServer) -> None:
    exact = settings.database_url.startswith("sqlite")
    with (
        serving(settings, cache_url=redis.url) as first,
        serving(settings, cache_url=redis.url) as second,
        serving(settings, cache_url=redis.url, finality="9") as other_rule,
        serving(settings, cache_mib=0) as plain,
    ):
        for client in (first, second):
            for call in CALLS:
                same(client, plain, call)
        assert other_rule.get(ONE).json()["finality"]["rule"] == "9"
        assert cache_of(first).counts[REDIS] == 0
        # The state of an SQLite file is a number of one connection: it is nobody else's.
        assert cache_of(second).counts[REDIS] == (0 if exact else 8)
        with redis.client() as client:
            assert len(client.keys("truetonne:*")) == (0 if exact else 9)


@few(1)
def test_a_redis_that_hangs(
    settings: Settings, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if settings.database_url.startswith("sqlite"):
        pytest.skip("answers about an SQLite file are not shared")
    monkeypatch.setattr("api.cache.shared.REST_S", 600)
    with (
        serving(settings, cache_url=redis.url) as cached,
        serving(settings, cache_mib=0) as plain,
    ):
        shared = cache_of(cached).shared
        assert shared is not None
        same(cached, plain, ONE)  # from here on there is a connection
        cache_of(cached).own.put((), "x", Answer((), b""))
        shared._rests_until = 0.0
        redis.pause()
        try:
            began = time.monotonic()
            same(cached, plain, ONE)
            same(cached, plain, "/v1/credits")  # which does not ask any more
            assert time.monotonic() - began < 60  # it would be waited for without an end
            assert not shared.awake
        finally:
            redis.go_on()


@few(1)
@pytest.mark.usefixtures("patient")
def test_a_redis_that_lies_or_dies(settings: Settings, redis: RedisServer) -> None:
    if settings.database_url.startswith("sqlite"):
        pytest.skip("answers about an SQLite file are not shared")
    with (
        serving(settings, cache_url=redis.url) as cached,
        serving(settings, cache_mib=0) as plain,
        redis.client() as client,
    ):
        cache = cache_of(cached)
        assert cache.shared is not None

        def fresh() -> None:
            """Have nothing in the process, and ask Redis at once."""
            cache.own.put((), "x", Answer((), b""))
            cache.shared._rests_until = 0.0  # type: ignore[union-attr]

        same(cached, plain, ONE)
        (key,) = client.keys("truetonne:*")
        for rubbish in (b"", b"rubbish", b"\x93\x01\x02\x03", b"\xff" * 100):
            client.set(key, rubbish)
            fresh()
            same(cached, plain, ONE)
            assert client.get(key) != rubbish
        assert cache.counts[REDIS] == 0
        fresh()
        redis.kill()
        try:
            same(cached, plain, ONE)
            assert not cache.shared.awake
        finally:
            redis.start()
        fresh()
        before = cache.counts[MADE]
        same(cached, plain, ONE)
        fresh()
        same(cached, plain, ONE)
        assert (cache.counts[MADE] - before, cache.counts[REDIS]) == (1, 1)  # it answers again
        assert 0 < client.ttl(key) <= KEPT_S
        same(cached, plain, ONE)
        assert cache.counts[REDIS] == 1  # what it answered is in the process, too
        client.config_set("maxmemory", 1)  # full: it reads, and takes no more
        try:
            same(cached, plain, "/v1/credits?limit=9")
            assert not cache.shared.awake
        finally:
            client.config_set("maxmemory", 0)


def test_the_key_of_a_shared_answer_has_all_that_it_depends_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(settings, cache_url="redis://127.0.0.1:9/0")
    others = (
        replace(here, network="another"),
        replace(here, finality="9"),
        replace(here, public_url="https://credits.example"),
        replace(here, chain_folder=here.chain_folder / "of-another-database"),
    )
    keys = [SharedShelf(each)._key((1, "a"), ONE) for each in (here, *others)]
    keys += [SharedShelf(here)._key((1, "b"), ONE), SharedShelf(here)._key((1, "a"), "/v1/credits")]
    assert SharedShelf(here)._key((1, "a"), ONE) == keys[0]
    monkeypatch.setattr("api.cache.shared.metadata.version", lambda name: "9.9.9")
    keys.append(SharedShelf(here)._key((1, "a"), ONE))
    assert len({*keys}) == len(keys)


# ------------------------------------------------------------------ the shelf


def answer(size: int) -> Answer:
    return Answer(((b"etag", b'"x"'),), b"x" * size)


def test_the_shelf_is_bounded() -> None:
    shelf = Shelf(100_000)
    for number in range(100):
        shelf.put((1,), f"/{number}", answer(3_500))
    assert len(shelf) == 24  # 4,000 and some bytes each
    assert shelf.get((1,), "/75") is None
    assert shelf.get((1,), "/76") is not None
    shelf.put((1,), "/100", answer(3_500))  # and not the one that was asked for just now
    assert shelf.get((1,), "/76") is not None
    assert shelf.get((1,), "/77") is None
    shelf.put((1,), "/large", answer(10_000))
    assert shelf.get((1,), "/large") is None
    for _ in range(100):  # the same again takes no more room
        shelf.put((1,), "/76", answer(3_500))
    assert len(shelf) == 24


def test_the_shelf_of_a_process_has_the_mebibytes_that_are_set(settings: Settings) -> None:
    shelf = Cache(replace(settings, cache_mib=1)).own
    for size in (104_000, 105_000):  # a tenth is 104,857.6 bytes
        shelf.put((1,), f"/{size}", answer(size))
    assert shelf.get((1,), "/104000") is not None
    assert shelf.get((1,), "/105000") is None


@long
@pytest.mark.parametrize(("size", "headers"), [(175, 1), (175, 7), (1_500, 5), (20_000, 5)])
def test_a_shelf_takes_as_much_memory_as_it_may(size: int, headers: int) -> None:
    def made(number: int) -> Answer:
        names = [(f"header-{place}".encode(), f"{number:030}".encode()) for place in range(headers)]
        return Answer(tuple(names), b"%d" % number * (size // len(str(number))))

    bytes_max = 2**20
    shelf = Shelf(bytes_max)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000, 10_000 + bytes_max // size):
            shelf.put((1,), f"/v1/credits?limit=1&site={number}", made(number))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # With one figure for whatever headers, the second took 2.4 times as much; small answers are easily asked for.
    assert 0.7 * bytes_max < taken < 1.15 * bytes_max


def test_another_state_has_none_of_the_answers() -> None:
    shelf = Shelf(100_000)
    shelf.put((1,), "/a", answer(10))
    assert shelf.get((2,), "/a") is None
    assert shelf.get((1,), "/a") is not None
    shelf.put((2,), "/b", answer(10))
    assert shelf.get((2,), "/a") is None
    assert len(shelf) == 1
    shelf.put((1,), "/c", answer(10))
    assert shelf.get((1,), "/a") is None  # gone: the state may have been another's in between
    for state in range(100):
        shelf.put((state,), "/a", answer(3_500))
    for number in range(24):  # what went takes no room
        shelf.put((99,), f"/{number}", answer(3_500))
    assert len(shelf) == 24
