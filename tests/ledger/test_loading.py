"""Rows are loaded into MariaDB without ever opening a file for it, exactly, and all or none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from ledger.db import Database, bulk
from ledger.db.loading import FILE_REFUSED, LoadingConnection
from ledger.errors import DependencyDown
from ledger.models import DeviceData, DeviceType, EmissionFactor
from tests.support.forms import times
from tests.support.hostile import LOCAL_FILES, Answer, HostileServer
from tests.support.mariadb import MariaDbServer

SECRET = b"/etc/passwd"
NOW = "2014-01-01 00:00:00.000000"


def linked(server: HostileServer, **options: Any) -> LoadingConnection:
    """Return a connection to a server that asks for files."""
    return LoadingConnection(
        host="127.0.0.1", port=server.port, user="u", ssl_disabled=True, **options
    )


# ------------------------------------------------------------------ what a hostile server gets


@pytest.mark.parametrize("name", [SECRET, b"", b"truetonne-" + b"0" * 32, b"\xff\xfe", b"/" * 999])
def test_a_server_that_asks_for_a_file_gets_nothing(name: bytes) -> None:
    with HostileServer(lambda said: [name] if said == b"SELECT 1" else None) as server:
        link = linked(server)
        with pytest.raises(pymysql.err.OperationalError, match="which no statement of ours") as got:
            link.cursor().execute("SELECT 1")
        assert got.value.args[0] == FILE_REFUSED
        assert not link.open
    assert server.capabilities & LOCAL_FILES
    assert server.sent == [b""]


def test_it_gets_nothing_while_a_connection_is_opened_either() -> None:
    with (
        HostileServer(lambda said: [SECRET] if said == b"SET time_zone" else None) as server,
        pytest.raises(pymysql.err.OperationalError, match=r"asked for the file '/etc/passwd'"),
    ):
        linked(server, init_command="SET time_zone")
    assert server.sent == [b""]


def test_it_gets_nothing_where_the_driver_reads_the_answer_by_hand() -> None:
    with (
        HostileServer(lambda said: [SECRET] if said.startswith(b"SET NAMES") else None) as server,
        pytest.raises(pymysql.err.OperationalError),
    ):
        linked(server, read_timeout=1)
    assert server.statements[0].startswith(b"SET NAMES")
    assert server.sent == []  # it still waits


def test_it_gets_nothing_through_a_streaming_cursor() -> None:
    with HostileServer(lambda said: [SECRET] if said == b"SELECT 1" else None) as server:
        link = linked(server)
        with pytest.raises(pymysql.err.OperationalError, match="which no statement of ours"):
            link.cursor(pymysql.cursors.SSCursor).execute("SELECT 1")
    assert server.sent == [b""]


def test_a_load_of_ours_is_not_answered_with_a_file_of_theirs() -> None:
    with HostileServer(lambda said: [SECRET] if said.startswith(b"LOAD") else None) as server:
        link = linked(server)
        with link.offering(b"1\t2\n", 1) as name, pytest.raises(pymysql.err.OperationalError):
            link.cursor().execute(f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE t")
    assert server.sent == [b""]


def named(said: bytes) -> list[bytes] | None:
    """Ask for the file that a statement names."""
    found = re.search(rb"'(truetonne-[0-9a-f]{32})'", said)
    return [found[1]] if found else None


def test_what_is_offered_is_given_once() -> None:
    names: list[bytes] = []

    def answer(said: bytes) -> list[bytes] | None:
        names.extend(named(said) or [])
        return [names[0], names[0]] if said.startswith(b"LOAD") else None

    with HostileServer(answer) as server:
        link = linked(server)
        with link.offering(b"1\t2\n", 1) as name, pytest.raises(pymysql.err.OperationalError):
            link.cursor().execute(f"LOAD DATA LOCAL INFILE '{name}' INTO TABLE t")
    assert server.sent == [b"1\t2\n"]  # the second request was never answered


def test_nothing_is_given_under_an_old_name() -> None:
    names: list[bytes] = []

    def answer(said: bytes) -> list[bytes] | None:
        names.extend(named(said) or [])
        return [names[0]] if said == b"SELECT 1" else None

    with HostileServer(answer) as server:
        link = linked(server)
        with (
            link.offering(b"1\t2\n", 1) as name,
            pytest.raises(pymysql.err.DataError, match="of 1 rows 0 were loaded"),
        ):
            link.cursor().execute(f"DO '{name}'")  # no load: nothing is asked for
        with pytest.raises(pymysql.err.OperationalError, match="which no statement of ours"):
            link.cursor().execute("SELECT 1")
    assert names
    assert server.sent == [b""]


def test_names_cannot_be_guessed_from_others() -> None:
    with HostileServer(lambda _: None) as server:
        link = linked(server)
        names = set()
        for _ in range(50):
            with link.offering(b"", 0) as name:
                names.add(name)
        link.close()
    assert len(names) == 50


@pytest.mark.parametrize("asked", ["local_infile=1", "local_infile=true"])
def test_the_ledger_says_who_asked_for_a_file_whatever_its_address_allows(asked: str) -> None:
    answer: Answer = lambda said: [SECRET] if b"VERSION" in said.upper() else None  # noqa: E731
    with HostileServer(answer) as server:
        url = f"mysql+pymysql://u:p@127.0.0.1:{server.port}/n?tls=off&{asked}"
        database = Database(url)
        with pytest.raises(DependencyDown, match=r"'/etc/passwd'.*ssl_verify_identity"):
            database.ping()
        database.close()
    assert server.sent
    assert set(server.sent) == {b""}


# ------------------------------------------------------------------ on a real server


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Load however few rows there are; the rows of each load that was answered."""
    monkeypatch.setattr(bulk, "LOAD_ROWS", 1)
    seen: list[int] = []
    usual = LoadingConnection.taken

    def taken(self: LoadingConnection, name: bytes) -> bytes | None:
        content = usual(self, name)
        if content is not None:
            seen.append(content.count(b"\n"))
        return content

    monkeypatch.setattr(LoadingConnection, "taken", taken)
    return seen


def factors(texts: list[str], years: list[int | None], version: str) -> dict[str, list[Any]]:
    """Return rows of emission factors by column."""
    return {"code": texts, "data_year": years, "version": [version] * len(texts)}


CONSTANTS: dict[str, bulk.Plain] = {
    "purpose": "fuel",
    "value": "1",
    "unit": "100% 'x'\t\\",
    "source": "\\ ? %s \n",
    "verified": 1,
    "content_sha256": "0" * 64,
    "created_at": NOW,
}


def types_of(session: Session) -> list[str]:
    """Return the names of all types of devices."""
    return list(session.scalars(select(DeviceType.type_name).order_by(DeviceType.id)))


def types(*names: str, category: str | None = "c") -> dict[str, list[Any]]:
    """Return types of devices by column."""
    return {"type_name": list(names), "category": [category] * len(names)}


PLAIN = st.text(st.characters(codec="utf-8"), max_size=40)
NASTY = st.text(st.sampled_from("\\\t\n\r\0'\"%N,;\x1a\u00e9\u4f60\U0001f32c "), max_size=40)


@pytest.mark.mariadb
@settings(max_examples=times(20, 150), deadline=None)
@given(
    st.lists(
        st.tuples(
            PLAIN | NASTY | st.just("\\N"), st.none() | st.integers(-(2**31), 2**31 - 1), NASTY
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[0].rstrip(" "),  # an index of the server's takes them for one
    )
)
def test_a_load_stores_what_an_insert_stores(mariadb_schema: Database, rows: Any) -> None:
    codes, years, sources = (list(column) for column in zip(*rows, strict=True))
    columns = {**factors(codes, years, "t"), "source": sources}
    constants = {name: value for name, value in CONSTANTS.items() if name != "source"}
    database = mariadb_schema
    read = (
        "SELECT code, data_year, version, source, purpose, value, unit, verified, created_at, "
        "HEX(code), HEX(source) FROM emission_factors WHERE version = 't' ORDER BY id"
    )
    stored = []
    for least in (1, 10**9):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="undone"):
            patch.setattr(bulk, "LOAD_ROWS", least)
            with database.write() as session:
                database.insert_columns(session, "emission_factors", columns, constants)
                stored.append(session.execute(text(read)).all())
                raise RuntimeError("undone")
    assert stored[0] == stored[1]
    assert [(row[0], row[1], row[3]) for row in stored[0]] == list(rows)


@pytest.mark.mariadb
def test_rows_are_loaded_and_not_inserted(mariadb_db: Database, loads: list[int]) -> None:
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session,
            "emission_factors",
            factors([f"a{place}" for place in range(7)], [None] * 7, "t"),
            CONSTANTS,
        )
        assert session.scalar(text("SELECT COUNT(*) FROM emission_factors")) == 7
    assert loads == [7]
    with mariadb_db.read() as session:
        row = session.scalars(select(EmissionFactor)).first()
        assert row is not None
        assert (row.unit, row.source) == ("100% 'x'\t\\", "\\ ? %s \n")
        assert row.created_at == datetime(2014, 1, 1, tzinfo=UTC)


@pytest.mark.mariadb
def test_many_packets_make_one_load(mariadb_db: Database, loads: list[int]) -> None:
    count = 30_000  # 2.6 MB: forty packets
    names = [f"{place:05}" + "x" * 60 for place in range(count)]
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session, "emission_factors", factors(names, [None] * count, "t"), CONSTANTS
        )
    assert loads == [count]
    with mariadb_db.read() as session:
        stored = session.scalars(select(EmissionFactor.code).order_by(EmissionFactor.id)).all()
    assert list(stored) == names


@pytest.mark.mariadb
@pytest.mark.parametrize("least", [1, 10**9])
def test_a_duplicate_is_refused_as_by_an_insert_and_nothing_stays(
    least: int, mariadb_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LOAD_ROWS", least)
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(session, "device_types", types("old"), {"created_at": NOW})
        with pytest.raises(IntegrityError, match="Duplicate entry 'b'") as refused:
            mariadb_db.insert_columns(
                session, "device_types", types("a", "b", "b", "c"), {"created_at": NOW}
            )
        assert refused.value.orig is not None
        assert refused.value.orig.args[0] == 1062
        assert types_of(session) == ["old"]  # although the unit of work goes on
    with mariadb_db.read() as session:
        assert types_of(session) == ["old"]


@pytest.mark.mariadb
def test_a_row_without_its_parent_is_refused(mariadb_db: Database, loads: list[int]) -> None:
    columns: dict[str, list[Any]] = {"meter_id": [77], "start_s": [0], "issuance_id": [77]}
    with pytest.raises(IntegrityError, match="foreign key"), mariadb_db.write() as session:
        mariadb_db.insert_columns(session, "reading_claims", columns, {})
    assert loads == [1]
    with mariadb_db.read() as session:
        assert session.scalar(text("SELECT COUNT(*) FROM reading_claims")) == 0


@pytest.mark.mariadb
def test_a_warning_ends_the_load(mariadb_db: Database, loads: list[int]) -> None:
    # Of times nothing is checked beforehand: the server's warning must do.
    columns = types("a", "b") | {"created_at": [NOW, "2014-13-01 00:00:00.000000"]}
    with mariadb_db.write() as session:
        with pytest.raises((DataError, OperationalError), match="created_at"):
            mariadb_db.insert_columns(session, "device_types", columns, {})
        assert types_of(session) == []
    assert loads == [2]


@pytest.mark.mariadb
def test_a_warning_ends_the_load_also_where_none_are_kept(
    mariadb_db: Database, loads: list[int]
) -> None:
    columns = types("a", "b") | {"created_at": [NOW, "2014-13-01 00:00:00.000000"]}
    with mariadb_db.write() as session:
        session.execute(text("SET SESSION max_error_count = 0"))
        try:
            with pytest.raises(DataError, match="of 2 rows 2 were loaded, with 1 warnings"):
                mariadb_db.insert_columns(session, "device_types", columns, {})
        finally:
            session.execute(text("SET SESSION max_error_count = DEFAULT"))
        assert types_of(session) == []
    assert loads == [2]


DATA: dict[str, bulk.Plain] = {"device_id": 1, "metric_name": "m", "unit": "kW", "created_at": NOW}


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("table", "columns", "constants"),
    [
        ("device_data", {"value": ["1000000000.000000"], "recorded_at": [NOW]}, DATA),
        ("device_data", {"value": [None], "recorded_at": [NOW]}, DATA),
        ("device_data", {"value": ["1e3x"], "recorded_at": [NOW]}, DATA),
        ("device_data", {"value": ["1.5"], "recorded_at": [NOW]}, DATA | {"device_id": 2**31}),
        ("device_data", {"value": ["1.5"], "recorded_at": [NOW]}, DATA | {"unit": "x" * 21}),
        ("device_types", {"type_name": ["x" * 300]}, {"category": "c", "created_at": NOW}),
        ("device_types", {"type_name": ["x"]}, {"created_at": NOW}),
        ("emission_factors", factors(["a"], [2**31], "t"), CONSTANTS),
        ("emission_factors", factors(["a"], [1], "t"), CONSTANTS | {"purpose": "fun"}),
        ("emission_factors", factors(["a"], [1], "t"), CONSTANTS | {"content_sha256": "é" * 64}),
    ],
)
def test_what_a_column_cannot_hold_is_never_loaded_but_refused_by_an_insert(
    table: str, columns: Any, constants: Any, mariadb_db: Database, loads: list[int]
) -> None:
    with mariadb_db.write() as session:
        before = session.scalar(text(f"SELECT COUNT(*) FROM {table}"))
        with pytest.raises((DataError, IntegrityError, OperationalError)):
            mariadb_db.insert_columns(session, table, columns, constants)
        assert session.scalar(text(f"SELECT COUNT(*) FROM {table}")) == before
    assert loads == []


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("value", "kept"),
    [("999999999.999999", True), ("-999999999.999999", True), ("0.0000001", False)],
)
def test_decimals_are_loaded_only_when_they_fit(
    value: str, kept: bool, mariadb_db: Database, loads: list[int]
) -> None:
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session, "device_data", {"value": [value], "recorded_at": [NOW]}, DATA
        )
        stored = session.scalars(select(DeviceData.value)).all()
    # An INSERT rounds what has too many decimals, and always has: callers do not hand that in.
    assert [str(number) for number in stored] == [value if kept else "0.000000"]
    assert loads == ([1] if kept else [])


@pytest.mark.mariadb
def test_half_a_character_is_no_text(mariadb_db: Database, loads: list[int]) -> None:
    with pytest.raises(UnicodeEncodeError), mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session, "device_types", types("a", "\ud83d"), {"created_at": NOW}
        )
    with mariadb_db.write() as session:  # the connection is as it was
        assert types_of(session) == []
    assert loads == []


@pytest.fixture
def without_local_files(mariadb_server: MariaDbServer) -> Iterator[None]:
    """A server that allows no LOCAL INFILE, for one test."""
    mariadb_server.execute("SET GLOBAL local_infile = OFF")
    yield
    mariadb_server.execute("SET GLOBAL local_infile = ON")


@pytest.mark.mariadb
@pytest.mark.usefixtures("without_local_files")
def test_a_server_that_allows_no_load_gets_inserts(
    mariadb_db: Database, loads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "INSERT_ROWS", 3)
    tried: list[str] = []
    usual = LoadingConnection.query

    def query(self: LoadingConnection, sql: str | bytes, unbuffered: bool = False) -> int:
        said = sql.decode() if isinstance(sql, bytes) else sql
        tried.append(said.split(maxsplit=1)[0])
        return usual(self, sql, unbuffered)

    monkeypatch.setattr(LoadingConnection, "query", query)
    names = [f"t{place}" for place in range(8)]
    with mariadb_db.write() as session:
        for _ in range(2):
            mariadb_db.insert_columns(session, "device_types", types(*names), {"created_at": NOW})
            assert types_of(session) == names
            session.execute(text("DELETE FROM device_types"))
    assert tried.count("LOAD") == 1  # it is not asked again
    assert tried.count("INSERT") == 6
    assert loads == []


@pytest.mark.mariadb
@pytest.mark.usefixtures("without_local_files")
def test_inserts_in_pieces_are_taken_back_together(
    mariadb_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "INSERT_ROWS", 2)
    with mariadb_db.write() as session:
        with pytest.raises(IntegrityError, match="Duplicate"):
            mariadb_db.insert_columns(
                session, "device_types", types("a", "b", "c", "a"), {"created_at": NOW}
            )
        assert types_of(session) == []


@pytest.mark.mariadb
def test_a_statement_of_ours_that_names_a_file_gets_none(
    mariadb_db: Database, tmp_path: Path
) -> None:
    file = tmp_path / "secret.tsv"
    file.write_text("secret\n")
    with (
        pytest.raises(DependencyDown, match="which no statement of ours names"),
        mariadb_db.write() as session,
    ):
        session.connection().exec_driver_sql(
            f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE device_types (type_name)"
        )
    with mariadb_db.read() as session:
        assert types_of(session) == []


@pytest.mark.mariadb
def test_a_killed_load_leaves_nothing(
    mariadb_db: Database, mariadb_server: MariaDbServer, loads: list[int]
) -> None:
    with pytest.raises(DependencyDown), mariadb_db.write() as session:
        mariadb_db.insert_columns(session, "device_types", types("a"), {"created_at": NOW})
        number = session.scalar(text("SELECT CONNECTION_ID()"))
        mariadb_server.execute(f"KILL {number}")
        mariadb_db.insert_columns(session, "device_types", types("b"), {"created_at": NOW})
    assert loads == [1]
    with mariadb_db.read() as session:
        assert types_of(session) == []
