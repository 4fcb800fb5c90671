"""Files: the same rows as the lists, in three forms, read back by others' readers; one snapshot; flat memory."""

from __future__ import annotations

import asyncio
import csv
import gc
import http.client
import io
import json
import os
import re
import sys
import tracemalloc
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert

from api.app import create_app
from api.context import Context
from api.credits.schemas import RetirementItem
from api.exports import stream
from api.exports.columns import Kind
from api.exports.formats import CsvWriter, Format, JsonLinesWriter
from api.exports.lists import EXPORTS
from api.server import ApiServer
from api.transactions import queries as transactions
from api.users.schemas import Permission
from cli.main import run
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import BlockchainTransaction
from ledger.models.blockchain import TransactionStatus
from ledger.settings import load_settings
from tests.support.forms import few, long, rest

LONG_ON_MARIADB = ("test_who_reads_slowly_leaves_a_place_for_others",)

QUERIES = {
    "credits": ("", "status=retired", "site=park-b&vintage=2014", "as_of_block=45"),
    "retirements": ("", "country=de", "as_of_block=60"),
    "transactions": ("", "status=pending"),
    "trades": ("", "traded_from=2024-01-02T00:00:00Z&status=pending"),
    "energy": ("site=park&by=hour",),
}
CASES = [(name, query) for name, queries in QUERIES.items() for query in queries]


def walked(client: TestClient, name: str, query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    url = f"/v1/{name}?order=asc&limit=200&{query}"
    while True:
        answer = client.get(url)
        items += answer.json()["items"]
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers["Link"])
        if following is None:
            return items
        url = following.group(1)


def test_a_text_of_others_ends_no_line() -> None:
    """A reason on chain is anybody's text: clients that split at all that Unicode calls the end of a line lost rows."""
    reason = "a\u2028b\x85c\u2029d"
    item = Permission(right=reason, granted=True, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    (line,) = JsonLinesWriter().rows([item]).decode().splitlines()
    assert json.loads(line)["right"] == reason


def flat(name: str, item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a list as a row of a file has it, from the answer's JSON alone."""
    row: dict[str, Any] = {}
    for field, value in item.items():
        inner = {"settlement", "readings", "explanation"}
        if field in inner:
            parts = [column.name for column in EXPORTS[name].columns]
            for part in parts:
                if part.startswith(f"{field}_") and part not in item:
                    row[part] = (value or {}).get(part.removeprefix(f"{field}_"))
        else:
            row[field] = value
    return row


@few(2)
@pytest.mark.parametrize(("name", "query"), CASES)
def test_a_file_has_the_rows_of_its_list(
    client: TestClient, name: str, query: str, tmp_path: Path
) -> None:
    expected = [flat(name, item) for item in walked(client, name, query)]
    assert expected
    columns = {column.name: column.kind for column in EXPORTS[name].columns}
    assert set(expected[0]) == set(columns)  # no field of the list is left out
    answers = {
        form: client.get(f"/v1/{name}/export?format={form}&{query}")
        for form in ("csv", "jsonl", "parquet")
    }
    for form, answer in answers.items():
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.{form}"'
        assert "ETag" not in answer.headers and "Content-Length" not in answer.headers
        block = re.search("as_of_block=([0-9]+)", query)
        assert answer.headers["Truetonne-As-Of-Block"] == (block.group(1) if block else "98")
        assert answer.headers["Truetonne-Final-Block"] == "90"

    lines = answers["jsonl"].text.splitlines()
    assert [flat(name, json.loads(line)) for line in lines] == expected

    rows = list(csv.DictReader(io.StringIO(answers["csv"].content.decode(), newline="")))
    assert list(rows[0]) == [column.name for column in EXPORTS[name].columns]
    assert [
        {field: cell(columns[field], value) for field, value in row.items()} for row in expected
    ] == rows

    file = tmp_path / "file.parquet"
    file.write_bytes(answers["parquet"].content)
    with duckdb.connect() as reader:
        found = reader.execute("SELECT * FROM read_parquet(?)", [str(file)])
        names = [column[0] for column in found.description]
        read = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        types = dict(
            reader.execute(
                "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet(?))",
                [str(file)],
            ).fetchall()
        )
    assert [
        {field: typed(columns[field], value) for field, value in row.items()} for row in expected
    ] == read
    for column in EXPORTS[name].columns:
        if column.kind is Kind.DECIMAL:
            assert types[column.name] == "DECIMAL({},{})".format(*column.digits)


def cell(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    if kind is Kind.JSON:
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def typed(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind is Kind.JSON:
        return json.dumps(value, separators=(",", ":"))
    if kind is Kind.INTEGER:
        return int(value)
    if kind is Kind.DECIMAL:
        return Decimal(value)
    if kind is Kind.TIME:
        return datetime.fromisoformat(value)
    return value


def test_nothing_is_a_file_too(client: TestClient, tmp_path: Path) -> None:
    query = "/v1/trades/export?market=nowhere&format="
    assert client.get(query + "csv").text.startswith("id,vpp_code,")
    assert client.get(query + "jsonl").content == b""
    file = tmp_path / "empty.parquet"
    file.write_bytes(client.get(query + "parquet").content)
    with duckdb.connect() as reader:
        count = reader.execute("SELECT count(*) FROM read_parquet(?)", [str(file)]).fetchone()
    assert count == (0,)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1"])
def test_no_text_is_a_formula(text: str) -> None:
    item = RetirementItem(
        key="0x" + "11" * 32,
        holder="0x" + "22" * 20,
        replaced_batch_id=None,
        beneficiary=text,
        reason='he said "no",\r\nand left',
        country=None,
        tx_hash="0x" + "33" * 32,
        block_number=1,
        retired_at=datetime(2024, 1, 1, tzinfo=UTC),
        retirement_id=1,
        batch_id=1,
        first_serial=1,
        last_serial=1,
        amount_kg=1,
        consumption_start=None,
        consumption_end=None,
        document_hash=None,
        credit_id=None,
        final=True,
    )
    writer = CsvWriter(EXPORTS["retirements"].columns)
    (row,) = csv.DictReader(io.StringIO((writer.rows([item]) + writer.end()).decode(), newline=""))
    assert row["beneficiary"] == "'" + text
    assert row["reason"] == 'he said "no",\r\nand left'


def test_a_negative_number_is_none_either(client: TestClient) -> None:
    rows = list(csv.DictReader(io.StringIO(client.get("/v1/trades/export").text)))
    assert rows[6]["total_value"] == "-51.98"


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("/v1/credits/export?format=xlsx", 422, "bad-request"),
        ("/v1/credits/export?limit=5", 422, "bad-request"),
        ("/v1/credits/export?cursor=x", 422, "bad-request"),
        ("/v1/credits/export?as_of_block=99", 422, "block-not-mirrored"),
        ("/v1/energy/export", 422, "bad-request"),
        ("/v1/energy/export?site=nowhere", 404, "not-found"),
    ],
)
def test_what_cannot_be_exported(client: TestClient, url: str, status: int, code: str) -> None:
    answer = client.get(url)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_head_sends_no_file(client: TestClient) -> None:
    answer = client.head("/v1/trades/export")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Truetonne-As-Of-Block"] == "98"


def test_before_the_mirror_began_no_block_is_named(
    sqlite_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was called None, which is a text where a number is read."""
    (tmp_path / "books.db").write_bytes(sqlite_template.read_bytes())
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", f"sqlite:///{tmp_path / 'books.db'}")
    monkeypatch.setenv("TRUETONNE_HOME", str(tmp_path))
    with TestClient(create_app(load_settings(None, os.environ))) as client:
        answer = client.get("/v1/trades/export?format=parquet")
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("truetonne-")]
    about = pq.read_schema(io.BytesIO(answer.content)).metadata
    assert about[b"list"] == b"trades" and b"as_of_block" not in about
    assert run(["export", "trades", "-o", str(tmp_path / "t.csv")]) == 0
    assert capsys.readouterr().out.endswith(", before the mirror began\n")


@long
def test_only_so_many_files_at_once(client: TestClient) -> None:
    context: Context = client.app.state.context  # type: ignore[attr-defined]
    for _ in range(4):
        assert context.files.acquire(blocking=False)
    try:
        answer = client.get("/v1/trades/export")
        assert (answer.status_code, answer.json()["code"]) == (503, "exports-busy")
        assert answer.headers["Retry-After"] == "10"
    finally:
        for _ in range(4):
            context.files.release()
    for url in ("/v1/trades/export", "/v1/trades/export?batch_key=x", "/v1/energy/export?site=x"):
        for _ in range(5):  # each gives its place back, whatever becomes of it
            client.get(url)
    assert client.get("/v1/trades/export").status_code == 200


def test_a_client_that_goes_away_gives_its_place_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not when garbage is looked for: its snapshot of the database ends with it."""
    app, context = client.app, client.app.state.context  # type: ignore[attr-defined]
    monkeypatch.setattr(stream, "ROWS_AT_ONCE", 1)
    parts: list[dict[str, Any]] = []

    async def leave_in_the_middle() -> None:
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            parts.append(message)
            if message.get("more_body"):
                gone.set()
                await asyncio.sleep(3600)

        await app(_asked_by("127.0.0.1"), receive, send)  # type: ignore[arg-type]

    async def leave_five_times() -> list[bool]:
        for _ in range(5):
            await leave_in_the_middle()
        return [context.files.acquire(blocking=False) for _ in range(4)]

    gc.disable()
    try:
        free = asyncio.run(leave_five_times())
    finally:
        gc.enable()
    assert [part["status"] for part in parts if "status" in part] == [200] * 5
    assert free == [True] * 4
    for _ in range(4):
        context.files.release()


def _asked_by(host: str) -> dict[str, Any]:
    """Return an ASGI request for an export, as it comes from a machine."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/v1/trades/export",
        "raw_path": b"/v1/trades/export",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"x")],
        "client": (host, 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def test_who_reads_slowly_leaves_a_place_for_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four connections of one stranger, each read a little now and then, kept everybody from every file for hours."""
    app, context = client.app, client.app.state.context  # type: ignore[attr-defined]
    monkeypatch.setattr(stream, "ROWS_AT_ONCE", 1)

    async def ask(host: str, parts: list[dict[str, Any]], hold: asyncio.Event) -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(3600)
            return {}

        async def send(message: dict[str, Any]) -> None:
            parts.append(message)
            if message.get("more_body"):
                await hold.wait()

        await app(_asked_by(host), receive, send)  # type: ignore[arg-type]

    async def several() -> list[tuple[int, bytes]]:
        hold, free = asyncio.Event(), asyncio.Event()
        free.set()
        slow: list[asyncio.Task[None]] = []
        for last in range(1, 4):  # one machine, by its /64
            parts: list[dict[str, Any]] = []
            slow.append(asyncio.create_task(ask(f"2001:db8::{last}", parts, hold)))
            while len(parts) < 2:
                await asyncio.sleep(0.01)
        found = []
        for host in ("2001:db8::4", "192.0.2.1"):
            parts = []
            await ask(host, parts, free)
            found.append((parts[0]["status"], parts[1]["body"]))
        hold.set()
        await asyncio.gather(*slow)
        parts = []
        await ask("2001:db8::4", parts, free)
        found.append((parts[0]["status"], parts[1]["body"]))
        return found

    (refused, body), (others, _), (later, _) = asyncio.run(several())
    assert (refused, others, later) == (503, 200, 200)
    assert json.loads(body)["code"] == "exports-busy"
    assert json.loads(body)["detail"].startswith("3 files are being sent to you, ")
    assert [context.files.acquire(blocking=False) for _ in range(5)] == [True] * 4 + [False]
    for _ in range(4):
        context.files.release()


# ------------------------------------------------------------------ many rows


def many(db: Database, first: int, count: int, length: int = 0) -> None:
    with db.write() as session:
        session.execute(
            insert(BlockchainTransaction),
            [
                {
                    "tx_hash": f"0x{number:064x}",
                    "function_name": "retire",
                    "parameters": {"amount": f"{number:03}"}
                    | ({"data": "4" * length} if length else {}),
                    "status": TransactionStatus.PENDING,
                }
                for number in range(first, first + count)
            ],
        )


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ROWS_AT_ONCE", 50)


@pytest.fixture
def served(db: Database, tmp_path: Path) -> Iterator[Context]:
    url = db.url.render_as_string(hide_password=False)
    environ = {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_HOME": str(tmp_path)}
    app = create_app(load_settings(None, environ))
    with TestClient(app):
        yield app.state.context


@pytest.mark.usefixtures("small_pieces")
def test_a_file_is_of_one_moment(db: Database, served: Context) -> None:
    many(db, 1, 200)
    export = EXPORTS["transactions"]
    sent = stream.pieces(
        served.reading, export, export.parameters(order="asc"), Format.JSONL  # type: ignore[call-arg]
    )  # fmt: skip
    next(sent)
    text = next(sent)
    many(db, 201, 100)
    text += b"".join(sent)
    assert len(text.splitlines()) == 200


@long
@pytest.mark.parametrize(
    "order,counts",
    [("asc", [1, 1, 52, 52, 66]), ("desc", [66, 52, 52, 1, 1])],
    ids=("asc", "desc"),
)
def test_a_page_of_long_inputs_ends_early_and_none_is_lost(
    order: str, counts: list[int], served: Context, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may send them: one page was 48 MB of 200 such, and a file held a thousand of them at once."""
    monkeypatch.setattr(transactions, "PARAMETERS_MAX", 54_000)
    many(db, 1, 2, 60_000)
    many(db, 3, 120, 1_000)  # 1,028 characters with names, quotes and number
    many(db, 123, 50)
    export = EXPORTS["transactions"]
    found, cursor = [], None
    while cursor or not found:
        asked = export.parameters(limit=66, order=order, cursor=cursor)  # type: ignore[call-arg]
        with served.reading() as (session, view):
            page = export.query(session, view, asked)
        found.append([int(item.tx_hash, 16) for item in page.items])
        cursor = page.next_cursor
    assert [len(page) for page in found] == counts
    numbers = [number for page in found for number in page]
    assert numbers == (list(range(1, 173)) if order == "asc" else list(range(172, 0, -1)))


@long
@pytest.mark.parametrize("form", rest(Format, Format.PARQUET))
def test_memory_does_not_grow_with_the_length_of_inputs(
    form: Format, sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "PARAMETERS_MAX", 100_000)
    monkeypatch.setattr("api.exports.parquet.DOCUMENTS_MAX", 200_000)
    many(sqlite_db, 1, 100, 50_000)
    environ = {"TRUETONNE_DATABASE_URL": str(sqlite_db.url), "TRUETONNE_HOME": str(tmp_path)}
    context: Context = create_app(load_settings(None, environ)).state.context
    export = EXPORTS["transactions"]
    tracemalloc.start()
    pieces = stream.pieces(context.reading, export, export.parameters(), form)
    largest = max(len(piece) for piece in pieces if isinstance(piece, bytes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest < 150_000
    assert peak < 2_500_000  # half of the inputs
    context.database.close()


@long
@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", rest(Format, Format.PARQUET))
def test_memory_does_not_grow_with_the_rows(
    form: Format, sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.exports.formats.ROW_GROUP", 100)
    environ = {"TRUETONNE_DATABASE_URL": str(sqlite_db.url), "TRUETONNE_HOME": str(tmp_path)}
    context: Context = create_app(load_settings(None, environ)).state.context
    export, peaks = EXPORTS["transactions"], []
    gc.freeze()  # what was there before need not be looked through; it stays so for the tests that follow
    for first, count in ((1, 300), (301, 1200)):
        many(sqlite_db, first, count)
        for warm in (True, False):
            tracemalloc.start()
            largest = 0
            for piece in stream.pieces(context.reading, export, export.parameters(), form):
                largest = max(largest, len(piece) if isinstance(piece, bytes) else 0)
                # When garbage is looked for is a matter of all that the process holds.
                gc.collect()
            if not warm:
                peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert largest < 100_000
    context.database.close()
    assert peaks[1] < 1.3 * peaks[0], peaks  # five times the rows


def trades_break_off(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """Have the third reading of trades fail; return the list that grows with each."""
    query, calls = EXPORTS["trades"].query, []

    def fails(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return query(*arguments)

    monkeypatch.setitem(EXPORTS, "trades", replace(EXPORTS["trades"], query=fails))
    return calls


def test_a_file_that_breaks_off_has_no_end(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "ROWS_AT_ONCE", 50)
    calls = trades_break_off(monkeypatch, RuntimeError("secret insides"))
    with (
        TestClient(client.app, raise_server_exceptions=True) as strict,
        pytest.raises(RuntimeError),
    ):
        strict.get("/v1/trades/export?format=jsonl")
    calls[:] = [1, 1]
    answer = client.get("/v1/trades/export?format=jsonl")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "secret" not in answer.text


def test_a_database_that_goes_away_in_a_file_is_no_defect(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection ends before the file does, and the log has lines, not the insides of the program."""
    monkeypatch.setattr(stream, "ROWS_AT_ONCE", 50)
    trades_break_off(monkeypatch, DependencyDown("the server is gone", code="database-down"))
    server = ApiServer(client.app, "127.0.0.1", 0)  # type: ignore[arg-type]
    server.start()
    try:
        with (
            pytest.raises(http.client.IncompleteRead),
            urllib.request.urlopen(f"{server.url}/v1/trades/export", timeout=60) as answer,
        ):
            answer.read()
    finally:
        server.stop()
    assert "/v1/trades/export' broke off" in caplog.text
    assert "Traceback" not in caplog.text


# ------------------------------------------------------------------ the command


@pytest.fixture
def at_books(books: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", books)
    monkeypatch.setenv("TRUETONNE_HOME", str(tmp_path))
    return tmp_path


@few(1)
def test_the_command_writes_what_the_api_sends(
    client: TestClient, at_books: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("csv", "jsonl", "parquet"):
        out = at_books / f"credits.{form}"
        words = ["export", "credits", "--format", form, "-o", str(out), "--where", "status=retired"]
        assert run([*words, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["rows"], document["as_of_block"], document["list"]) == (30, 98, "credits")
        sent = client.get(f"/v1/credits/export?status=retired&format={form}").content
        if form != "parquet":  # whose metadata names the settings of its maker
            assert out.read_bytes() == sent
            assert run(words[:4] + words[6:]) == 0  # without a file
            assert capsys.readouterr().out.encode() == sent
    assert list(at_books.glob("*.part")) == []


@long
def test_without_a_file_json_lists_the_rows(
    client: TestClient, at_books: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "credits", "--where", "status=retired", "--json"]
    assert run(words) == 0
    document = json.loads(capsys.readouterr().out)
    page = client.get("/v1/credits?status=retired&limit=200&order=asc").json()
    assert document.pop("items") == page["items"] and len(page["items"]) == 30
    of_block = {"as_of_block": 98, "final_block": page["finality"]["final_block"]}
    assert document == {"list": "credits", "rows": 30, **of_block}
    for form in ("csv", "parquet"):  # --json is for every command: it says what stdout carries
        assert run([*words, "--format", form]) == 0
        assert json.loads(capsys.readouterr().out) == {**document, "items": page["items"]}


@long
def test_parquet_goes_into_a_pipe_and_not_onto_a_terminal(
    at_books: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["export", "credits", "--format", "parquet"]
    assert run(words) == 0
    sent = capfdbinary.readouterr().out
    assert run([*words, "-o", str(at_books / "credits.parquet")]) == 0
    assert sent == (at_books / "credits.parquet").read_bytes()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    capfdbinary.readouterr()
    assert run(words) == 2
    assert b"it is binary, and not for a terminal" in capfdbinary.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["credits", "--where", "status=gone"], "--where status"),
        (["credits", "--where", "colour=green"], "is no filter of the list"),
        (["credits", "--where", "status"], "write NAME=VALUE"),
        (["credits", "--where", "limit=5"], "is no filter of the list"),
        (["energy"], "--where site=...: this list needs it"),
        (["credits", "--where", "as_of_block=99"], "has come to block 98"),
        (["users"], "invalid value"),
    ],
)
def test_what_the_command_refuses(
    at_books: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    out = at_books / "file.csv"
    assert run(["export", *words, "-o", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert list(at_books.glob("*.part")) + list(at_books.glob("file.csv*")) == []
