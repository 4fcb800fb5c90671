"""Records of a park as files over HTTP: the rows of their lists; CSV and JSON lines import as all unchanged."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from api.exports.formats import Format
from api.exports.records import pieces
from cli.main import run
from ledger.errors import DependencyDown
from ledger.models.users import UserRole
from ledger.park import KINDS
from ledger.park.fields import Sort
from ledger.park.writing import ROWS_AT_ONCE, csv_pieces, json_pieces
from tests.support.forms import few, long
from tests.support.identity import House, new_house
from tests.support.records import counts, fill, take

ADMIN: dict[str, str] = {}
FORMS = ("csv", "jsonl", "parquet")
ODD = ("=1+1", "-x", "@a", "'=b", "''+c", "'quoted'", "+\u80fd")
HEAD = "resource_code,name,type,capacity,unit,status\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with the records of the page, names that look like formulas, and an admin."""
    folder = tmp_path_factory.mktemp("records")
    with new_house(folder) as house:
        fill(house.db, folder)
        odd = [
            {"resource_code": f"ODD-{n}", "name": name, "type": "solar", "capacity": "1",
             "unit": "kW", "status": "inactive"}
            for n, name in enumerate(ODD)
        ]  # fmt: skip
        assert take(house.db, folder, "resources", json.dumps(odd), "json").new == len(ODD)
        house.add("anna", UserRole.ADMIN)
        ADMIN.update(house.sign_in("anna"))
        yield house


def file(house: House, name: str, form: str, query: str = "") -> bytes:
    answer = house.client.get(f"/v1/park/{name}/export?format={form}{query}", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.{form}"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Content-Length" not in answer.headers
    return answer.content


def listed(house: House, name: str, query: str = "") -> list[dict[str, Any]]:
    """Return the rows of a list as the API answers them, without what the books add to each."""
    answer = house.client.get(f"/v1/{name}?order=asc&limit=200{query}", headers=ADMIN)
    items = answer.json()["items"]
    assert items and answer.json()["next_cursor"] is None
    return [{column: item[column] for column in KINDS[name].columns} for item in items]


def read_parquet(content: bytes, place: Path) -> list[dict[str, Any]]:
    place.write_bytes(content)
    with duckdb.connect() as reader:
        found = reader.execute("SELECT * FROM read_parquet(?)", [str(place)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def typed(sort: Sort, value: Any) -> Any:
    if value is None:
        return None
    if sort is Sort.NUMBER:
        return Decimal(value)
    if sort is Sort.TIME:
        return datetime.fromisoformat(value)
    return value


@few(3)
@pytest.mark.parametrize("name", KINDS)
def test_a_file_has_the_rows_of_its_list(house: House, name: str, tmp_path: Path) -> None:
    kind, expected = KINDS[name], listed(house, name)
    sorts = {column: kind.field(column).sort for column in kind.columns}

    lines = file(house, name, "jsonl").decode()
    assert [json.loads(line) for line in lines.splitlines()] == expected

    text = file(house, name, "csv").decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [list(row) for row in rows] == [list(kind.columns)] * len(expected)
    for row, item in zip(rows, expected, strict=True):
        for column, value in item.items():
            cell = row[column]
            if sorts[column] is Sort.OBJECT and value is not None:
                assert json.loads(cell) == value
            elif sorts[column] is Sort.TRUTH:
                assert cell == str(value).lower()
            else:
                assert cell in ("" if value is None else str(value), f"'{value}")

    found = read_parquet(file(house, name, "parquet"), tmp_path / "f.parquet")
    for row, item in zip(found, expected, strict=True):
        for column, value in item.items():
            stored = row[column]
            if sorts[column] is Sort.OBJECT and stored is not None:
                stored = json.loads(stored)
            assert stored == typed(sorts[column], value), column

    for ending, content in (("csv", text), ("jsonl", lines)):
        again = take(house.db, tmp_path, name, content, ending)
        assert counts(again) == (len(expected), 0, 0, len(expected), 0), (ending, again.errors)


def test_no_spreadsheet_takes_a_text_for_a_formula(house: House) -> None:
    rows = csv.DictReader(io.StringIO(file(house, "resources", "csv").decode(), newline=""))
    names = [row["name"] for row in rows if row["resource_code"].startswith("ODD")]
    assert names == ["'=1+1", "'-x", "'@a", "''=b", "'''+c", "'quoted'", "'+\u80fd"]


@pytest.fixture
def as_it_was(house: House) -> Iterator[None]:
    """Take away what a test adds to the house that the others look at."""
    yield
    house.sql("DELETE FROM vpp_definitions WHERE vpp_id LIKE 'ENDS-%'")
    house.sql("DELETE FROM vpp_resources WHERE resource_id LIKE 'R-%'")


def test_line_ends_within_a_text_come_back(house: House, tmp_path: Path, as_it_was: None) -> None:
    ends = ("a\rb", "a\nb", "a\r\nb", "\u2028a\x85b", "a\x0bb\x1fc", "a\r\n\rb")
    odd = [
        {"vpp_code": f"ENDS-{n}", "name": "Ends", "description": text, "total_capacity": "1",
         "status": "testing"}
        for n, text in enumerate(ends)
    ]  # fmt: skip
    assert take(house.db, tmp_path, "vpps", json.dumps(odd), "json").new == len(ends)
    for form in ("csv", "jsonl"):
        content = file(house, "vpps", form).decode()
        again = take(house.db, tmp_path, "vpps", content, form)
        assert (again.unchanged, again.rejected) == (again.read, 0), (form, again.errors)
    # To Python's ``splitlines``, by which clients of HTTP go, more signs are the end of a line than to JSON lines.
    lines = [json.loads(line) for line in content.splitlines()]
    read = [line["description"] for line in lines if line["name"] == "Ends"]
    assert read == [text.strip() for text in ends]


def test_filters_are_those_of_the_list(house: House, tmp_path: Path) -> None:
    asked = "&status=inactive"
    expected = listed(house, "resources", asked)
    assert 0 < len(expected) < len(listed(house, "resources"))
    lines = file(house, "resources", "jsonl", asked).decode().splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert file(house, "shares", "jsonl", "&vpp_code=NOBODY") == b""
    empty = file(house, "shares", "csv", "&vpp_code=NOBODY").decode()
    assert empty == ",".join(KINDS["shares"].columns) + "\n"
    for form, content in (("csv", empty), ("jsonl", "")):
        assert counts(take(house.db, tmp_path, "shares", content, form)) == (0, 0, 0, 0, 0)
    nobodys = file(house, "shares", "parquet", "&vpp_code=NOBODY")
    assert read_parquet(nobodys, tmp_path / "none.parquet") == []
    for query in ("surprise=1", "format=xls", "limit=1", "status=gone"):
        answer = house.client.get(f"/v1/park/resources/export?{query}", headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-request"), query


def test_the_command_writes_what_the_api_sends(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", house.db.url.render_as_string(False))
    monkeypatch.setenv("TRUETONNE_HOME", str(tmp_path))
    for form in ("csv", "jsonl"):
        out = tmp_path / f"out.{form}"
        assert run(["park", "export", "resources", "--format", form, "-o", str(out)]) == 0
        assert out.read_bytes() == file(house, "resources", form)


@long
def test_a_file_is_streamed_and_gives_its_place_back(
    house: House, tmp_path: Path, as_it_was: None
) -> None:
    more = "".join(f"R-{n},Row,solar,1,kW,active\n" for n in range(2 * ROWS_AT_ONCE))
    take(house.db, tmp_path, "resources", HEAD + more)
    kind, seen = KINDS["resources"], 0

    def counted(records: Any) -> Iterator[Any]:
        nonlocal seen
        for record in records:
            seen += 1
            yield record

    from ledger.park.records import all_records

    for write in (csv_pieces, json_pieces):
        with house.db.read() as session:
            seen = 0
            made = write(kind, counted(all_records(session, kind, {})))
            next(made)
            assert seen == ROWS_AT_ONCE  # and no more of them is held
            made.close()
    context = house.app.state.context

    def fails(*_: Any) -> Iterator[Any]:
        raise DependencyDown("the database went away", code="database-down")
        yield

    with pytest.MonkeyPatch.context() as patched:  # before there is a file: an answer that says so
        patched.setattr("api.exports.records.all_records", fails)
        answer = house.client.get("/v1/park/resources/export", headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (503, "database-down")
    for _ in range(4):
        assert context.files.acquire(blocking=False)
    try:
        answer = house.client.get("/v1/park/resources/export", headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (503, "exports-busy")
    finally:
        for _ in range(4):
            context.files.release()
    for _ in range(5):
        answer = house.client.head("/v1/park/resources/export", headers=ADMIN)
        assert (answer.status_code, answer.content) == (200, b"")
        begun = pieces(context, kind, {}, Format.CSV)
        assert next(begun) == b""
        begun.close()  # whoever asked is gone
    assert file(house, "resources", "csv").count(b"\n") > 2 * ROWS_AT_ONCE
