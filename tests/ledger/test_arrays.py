"""Rows go into MariaDB as an array, exactly, and all or none; and no server gets a file."""

from __future__ import annotations

import ssl
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from cli.bench.mariadb import MariaDbServer as BenchServer
from ledger.db import Database, bulk
from ledger.db.arrays import FILE_REFUSED, ArrayConnection
from ledger.db.cells import Array, array_of
from ledger.errors import DependencyDown
from ledger.models import DeviceData, DeviceType, EmissionFactor
from tests.support.forms import long, times
from tests.support.hostile import LOCAL_FILES, Answer, HostileServer
from tests.support.mariadb import MariaDbServer

SECRET = b"/etc/passwd"
NOW = "2014-01-01 00:00:00.000000"


def linked(server: HostileServer, **options: Any) -> ArrayConnection:
    """Return a connection to a server that asks for files."""
    return ArrayConnection(
        host="127.0.0.1", port=server.port, user="u", ssl_disabled=True, **options
    )


def test_connections_that_say_nothing_of_tls_share_a_context() -> None:
    """Each attempt made its own, with the authorities of the system: a megabyte and 8 ms while a server is away."""
    one, other = (ArrayConnection(host="127.0.0.1", defer_connect=True) for _ in range(2))
    assert one.ctx is other.ctx
    assert (one.ctx.verify_mode, one.ctx.check_hostname) == (ssl.CERT_NONE, False)
    assert one.ctx.cert_store_stats()["x509"] == 0
    proving = ssl.create_default_context()
    asked = ArrayConnection(host="127.0.0.1", defer_connect=True, ssl=proving)
    assert asked.ctx is proving


# ------------------------------------------------------------------ what a hostile server gets


@pytest.mark.parametrize("name", [SECRET, b"", b"\xff\xfe", b"/" * 999])
def test_a_server_that_asks_for_a_file_gets_nothing(name: bytes) -> None:
    with HostileServer(lambda said: [name] if said == b"SELECT 1" else None) as server:
        link = linked(server)
        with pytest.raises(pymysql.err.OperationalError, match="which no statement of ours") as got:
            link.cursor().execute("SELECT 1")
        assert got.value.args[0] == FILE_REFUSED
        assert not link.open
    assert not server.capabilities & LOCAL_FILES
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
        linked(server, connect_timeout=1, read_timeout=1)
    assert server.statements[0].startswith(b"SET NAMES")
    assert server.sent == []  # it still waits


def test_it_gets_nothing_through_a_streaming_cursor() -> None:
    with HostileServer(lambda said: [SECRET] if said == b"SELECT 1" else None) as server:
        link = linked(server)
        with pytest.raises(pymysql.err.OperationalError, match="which no statement of ours"):
            link.cursor(pymysql.cursors.SSCursor).execute("SELECT 1")
    assert server.sent == [b""]


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
def stored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Take an array however few rows there are; the rows of each that was sent."""
    monkeypatch.setattr(bulk, "ARRAY_ROWS", 1)
    seen: list[int] = []
    usual = ArrayConnection.offering

    def offering(self: ArrayConnection, array: Array) -> AbstractContextManager[None]:
        seen.append(array.rows)
        return usual(self, array)

    monkeypatch.setattr(ArrayConnection, "offering", offering)
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
def test_an_array_stores_what_an_insert_stores(mariadb_schema: Database, rows: Any) -> None:
    codes, years, sources = (list(column) for column in zip(*rows, strict=True))
    columns = {**factors(codes, years, "t"), "source": sources}
    constants = {name: value for name, value in CONSTANTS.items() if name != "source"}
    database = mariadb_schema
    read = (
        "SELECT code, data_year, version, source, purpose, value, unit, verified, created_at, "
        "HEX(code), HEX(source) FROM emission_factors WHERE version = 't' ORDER BY id"
    )
    found = []
    for least in (1, 10**9):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="undone"):
            patch.setattr(bulk, "ARRAY_ROWS", least)
            with database.write() as session:
                database.insert_columns(session, "emission_factors", columns, constants)
                found.append(session.execute(text(read)).all())
                raise RuntimeError("undone")
    assert found[0] == found[1]
    assert [(row[0], row[1], row[3]) for row in found[0]] == list(rows)


@pytest.mark.mariadb
def test_many_rows_are_one_array(mariadb_db: Database, stored: list[int]) -> None:
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session,
            "emission_factors",
            factors([f"a{place}" for place in range(7)], [None] * 7, "t"),
            CONSTANTS,
        )
        assert session.scalar(text("SELECT COUNT(*) FROM emission_factors")) == 7
    assert stored == [7]
    with mariadb_db.read() as session:
        row = session.scalars(select(EmissionFactor)).first()
        assert row is not None
        assert (row.unit, row.source) == ("100% 'x'\t\\", "\\ ? %s \n")
        assert row.created_at == datetime(2014, 1, 1, tzinfo=UTC)


@pytest.mark.mariadb
@pytest.mark.parametrize("way", ["", "off", "unverified"])
def test_arrays_go_over_either_kind_of_connection(
    way: str, mariadb_db: Database, stored: list[int]
) -> None:
    """With TLS the greeting is said twice: once to ask for it, and once over it."""
    said = f"?tls={way}" if way else ""
    url = mariadb_db.url.set(query={}).render_as_string(False)
    database = Database(url + said)
    with database.write() as session:
        cipher = session.execute(text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).one()[1]
        assert bool(cipher) is (way != "off")
        database.insert_columns(session, "device_types", types("a", "b"), {"created_at": NOW})
        assert types_of(session) == ["a", "b"]
    database.close()
    assert stored == [2]


@pytest.mark.mariadb
def test_very_many_rows_are_several_arrays_and_stored_together(
    mariadb_db: Database, stored: list[int]
) -> None:
    count = 9_000
    names = [f"{place:05}" + "x" * 60 for place in range(count)]
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session, "emission_factors", factors(names, [None] * count, "t"), CONSTANTS
        )
        again = factors([*names[1:], names[0]], [None] * count, "u") | {
            "version": ["u"] * (count - 1) + ["t"]
        }
        with pytest.raises(IntegrityError, match="Duplicate"):
            mariadb_db.insert_columns(session, "emission_factors", again, CONSTANTS)
    assert stored[:3] == [4_000, 4_000, 1_000]
    with mariadb_db.read() as session:
        kept = session.scalars(select(EmissionFactor.code).order_by(EmissionFactor.id)).all()
    assert list(kept) == names


@pytest.mark.mariadb
def test_an_array_may_be_longer_than_a_packet(mariadb_db: Database, stored: list[int]) -> None:
    """A packet of the protocol ends at 16 MB less a byte: one of that length is followed by an empty one."""
    with mariadb_db.write() as session:
        session.execute(text("CREATE TEMPORARY TABLE long_texts (a LONGTEXT)"))
        for length in (250, 251, 65_535, 65_536, 15_000_000):
            mariadb_db.insert_columns(session, "long_texts", {"a": ["é" * (length // 2)]}, {})
            found = session.scalars(text("SELECT a FROM long_texts")).one()
            assert found == "é" * (length // 2)
            session.execute(text("DELETE FROM long_texts"))
        mariadb_db.insert_columns(session, "long_texts", {"a": ["b" * 251, "c" * 37]}, {})
        assert session.scalars(text("SELECT LENGTH(a) FROM long_texts")).all() == [251, 37]
    assert len(stored) == 6


@pytest.mark.mariadb
@pytest.mark.parametrize("least", [1, 10**9])
def test_a_duplicate_is_refused_as_by_an_insert_and_nothing_stays(
    least: int, mariadb_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "ARRAY_ROWS", least)
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
def test_a_row_without_its_parent_is_refused(mariadb_db: Database, stored: list[int]) -> None:
    columns: dict[str, list[Any]] = {"meter_id": [77], "start_s": [0], "issuance_id": [77]}
    with pytest.raises(IntegrityError, match="foreign key"), mariadb_db.write() as session:
        mariadb_db.insert_columns(session, "reading_claims", columns, {})
    assert stored == [1]
    with mariadb_db.read() as session:
        assert session.scalar(text("SELECT COUNT(*) FROM reading_claims")) == 0


@pytest.mark.mariadb
def test_a_time_that_is_none_is_refused(mariadb_db: Database, stored: list[int]) -> None:
    columns = types("a", "b") | {"created_at": [NOW, "2014-13-01 00:00:00.000000"]}
    with mariadb_db.write() as session:
        with pytest.raises((DataError, OperationalError), match=r"created_at.*row 2"):
            mariadb_db.insert_columns(session, "device_types", columns, {})
        assert types_of(session) == []
    assert stored == [2]


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
        ("emission_factors", factors(["a"], [2**64], "t"), CONSTANTS),
        (
            "emission_factors",
            factors(["a"], [1], "t") | {"content_sha256": ["é" * 64]},
            {name: value for name, value in CONSTANTS.items() if name != "content_sha256"},
        ),
    ],
)
def test_what_a_column_cannot_hold_is_refused(
    table: str, columns: Any, constants: Any, mariadb_db: Database, stored: list[int]
) -> None:
    with mariadb_db.write() as session:
        before = session.scalar(text(f"SELECT COUNT(*) FROM {table}"))
        with pytest.raises((DataError, IntegrityError, OperationalError)):
            mariadb_db.insert_columns(session, table, columns, constants)
        assert session.scalar(text(f"SELECT COUNT(*) FROM {table}")) == before
    assert stored == [1]


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("999999999.999999", "999999999.999999"),
        ("-999999999.999999", "-999999999.999999"),
        # An INSERT rounds what has too many decimals, and always has: callers do not hand that in.
        ("0.0000001", "0.000000"),
    ],
)
def test_decimals_are_those_of_an_insert(
    value: str, kept: str, mariadb_db: Database, stored: list[int]
) -> None:
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session, "device_data", {"value": [value], "recorded_at": [NOW]}, DATA
        )
        values = session.scalars(select(DeviceData.value)).all()
    assert [str(number) for number in values] == [kept]
    assert stored == [1]


@pytest.mark.mariadb
def test_half_a_character_is_no_text(mariadb_db: Database, stored: list[int]) -> None:
    with pytest.raises(UnicodeEncodeError), mariadb_db.write() as session:
        mariadb_db.insert_columns(
            session, "device_types", types("a", "\ud83d"), {"created_at": NOW}
        )
    with mariadb_db.write() as session:  # the connection is as it was
        assert types_of(session) == []
    assert stored == []


@pytest.fixture
def without_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of MySQL: the server knows nothing beyond it."""
    monkeypatch.setattr(ArrayConnection, "_knows_more", False)


@pytest.fixture
def rows_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements of three rows at most."""
    monkeypatch.setattr(bulk, "_ROWS_MAX", 3)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first words of all statements."""
    said: list[str] = []
    usual = ArrayConnection.query

    def query(self: ArrayConnection, sql: str | bytes, unbuffered: bool = False) -> int:
        whole = sql.decode() if isinstance(sql, bytes) else sql
        said.append(" ".join(whole.split()[:2]))
        return usual(self, sql, unbuffered)

    monkeypatch.setattr(ArrayConnection, "query", query)
    return said


@pytest.mark.mariadb
@pytest.mark.usefixtures("without_arrays", "rows_of_three")
def test_a_server_that_takes_no_arrays_gets_inserts(
    mariadb_db: Database, stored: list[int], tried: list[str]
) -> None:
    names = [f"t{place}" for place in range(8)]
    with mariadb_db.write() as session:
        mariadb_db.insert_columns(session, "device_types", types(*names), {"created_at": NOW})
        assert types_of(session) == names
    assert tried.count("INSERT INTO") == 3
    assert stored == []


@pytest.mark.mariadb
@pytest.mark.usefixtures("rows_of_three")
@pytest.mark.parametrize("refusal", [1295, 1461, 4033])
def test_a_server_that_refuses_an_array_gets_inserts_and_is_not_asked_again(
    refusal: int,
    mariadb_db: Database,
    stored: list[int],
    tried: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(self: ArrayConnection, sql: str | bytes, array: Array) -> int:
        raise pymysql.err.OperationalError(refusal, "not here")

    monkeypatch.setattr(ArrayConnection, "_execute", refused)
    names = [f"t{place}" for place in range(8)]
    with mariadb_db.write() as session:
        for _ in range(2):
            mariadb_db.insert_columns(session, "device_types", types(*names), {"created_at": NOW})
            assert types_of(session) == names
            session.execute(text("DELETE FROM device_types"))
    assert stored == [3]
    assert tried.count("INSERT INTO") == 1 + 6


@long
@pytest.mark.mariadb
def test_a_binary_log_of_statements_takes_no_array(folder: Path) -> None:
    """4033 is its own word for it."""
    options = ["--log-bin=log", "--server-id=1", "--binlog-format=STATEMENT"]
    server = BenchServer(folder, options)
    server.start()
    try:
        server.execute("CREATE DATABASE n", "CREATE TABLE n.t (a INT)")
        database = Database(server.url("n"))
        rows = list(range(bulk.ARRAY_ROWS))
        with database.write() as session:
            database.insert_columns(session, "t", {"a": rows}, {})
            assert session.scalars(text("SELECT a FROM t ORDER BY a")).all() == rows
        database.close()
    finally:
        server.stop()


@pytest.mark.mariadb
@pytest.mark.usefixtures("without_arrays", "rows_of_three")
def test_inserts_in_pieces_are_taken_back_together(mariadb_db: Database) -> None:
    with mariadb_db.write() as session:
        with pytest.raises(IntegrityError, match="Duplicate"):
            mariadb_db.insert_columns(
                session, "device_types", types("a", "b", "c", "d", "a"), {"created_at": NOW}
            )
        assert types_of(session) == []


@pytest.mark.mariadb
def test_a_connection_goes_on_after_arrays_and_forgets_their_statements(
    mariadb_db: Database, stored: list[int]
) -> None:
    with mariadb_db.write() as session:
        before = session.execute(text("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")).one()[1]
        for name in ("a", "b", "c"):
            mariadb_db.insert_columns(session, "device_types", types(name), {"created_at": NOW})
            with pytest.raises(IntegrityError, match="Duplicate"):
                mariadb_db.insert_columns(session, "device_types", types(name), {"created_at": NOW})
        with pytest.raises(ProgrammingError, match="no_table"):
            mariadb_db.insert_columns(session, "no_table", types("a"), {})
        assert types_of(session) == ["a", "b", "c"]
        now = session.execute(text("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")).one()[1]
    assert stored == [1] * 7
    assert now == before


@pytest.mark.mariadb
def test_other_rows_than_were_given_are_an_error(mariadb_db: Database, stored: list[int]) -> None:
    with mariadb_db.write() as session:
        link = session.connection().connection.driver_connection
        assert isinstance(link, ArrayConnection)
        two = array_of([["a", "b"]])
        with (
            link.offering(Array(two.types, two.values, 3)),
            pytest.raises(pymysql.err.DataError, match="of 3 rows 2 were stored"),
        ):
            link.query(
                "INSERT INTO device_types (type_name, category, created_at) "
                f"VALUES (?, 'c', '{NOW}')"
            )
        with (
            link.offering(two),
            pytest.raises(pymysql.err.ProgrammingError, match="2 places for 1"),
        ):
            link.query("INSERT INTO device_types (type_name, category) VALUES (?, ?)")
        assert link.query("SELECT 1") == 1
        session.rollback()


@pytest.mark.mariadb
def test_a_statement_of_ours_that_names_a_file_gets_none(
    mariadb_db: Database, tmp_path: Path
) -> None:
    file = tmp_path / "secret.tsv"
    file.write_text("secret\n")
    with (
        pytest.raises(OperationalError, match="disabled the local infile capability"),
        mariadb_db.write() as session,
    ):
        session.connection().exec_driver_sql(
            f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE device_types (type_name)"
        )
    with mariadb_db.read() as session:
        assert types_of(session) == []


@pytest.mark.mariadb
def test_a_killed_connection_leaves_nothing(
    mariadb_db: Database, mariadb_server: MariaDbServer, stored: list[int]
) -> None:
    with pytest.raises(DependencyDown), mariadb_db.write() as session:
        mariadb_db.insert_columns(session, "device_types", types("a"), {"created_at": NOW})
        number = session.scalar(text("SELECT CONNECTION_ID()"))
        mariadb_server.execute(f"KILL {number}")
        mariadb_db.insert_columns(session, "device_types", types("b"), {"created_at": NOW})
    assert stored == [1, 1]
    with mariadb_db.read() as session:
        assert types_of(session) == []


# ------------------------------------------------------------------ what goes back into the pool


def rolled_back(db: Database) -> int:
    """How often the one connection that is used was rolled back, by its server."""
    with db.read() as session:
        said = session.execute(text("SHOW SESSION STATUS LIKE 'Com_rollback'")).one()
    return int(said[1])


@pytest.mark.mariadb
def test_what_was_just_committed_is_not_rolled_back(mariadb_db: Database) -> None:
    """Each unit of work ended with both, and each statement by itself with a rollback of nothing."""
    before = rolled_back(mariadb_db)
    with mariadb_db.write() as session:
        session.execute(text("UPDATE device_types SET id = id"))
    mariadb_db.alone(text("UPDATE device_types SET id = id"))
    assert rolled_back(mariadb_db) == before
    with pytest.raises(ValueError, match="no"), mariadb_db.write() as session:
        session.execute(text("UPDATE device_types SET id = id"))
        raise ValueError("no")
    assert rolled_back(mariadb_db) == before + 1


@pytest.mark.mariadb
@pytest.mark.parametrize(
    ("begun", "rolls_back"),
    [
        (["COMMIT"], 1),
        (["SET autocommit = 1"], 0),
        (["START TRANSACTION"], 1),
        (["SET autocommit = 1", "START TRANSACTION"], 1),
    ],
)
def test_what_may_be_open_is_rolled_back(
    mariadb_db: Database, begun: list[str], rolls_back: int
) -> None:
    """A statement that fails may have begun a transaction, though the answer does not say so."""
    with mariadb_db.server() as link:
        driver = link.connection.driver_connection
        assert isinstance(driver, ArrayConnection)
        cursor = driver.cursor()

        def rolled() -> int:
            cursor.execute("SHOW SESSION STATUS LIKE 'Com_rollback'")
            return int(cursor.fetchall()[0][1])

        driver.autocommit(False)
        before = rolled()
        driver.commit()
        for statement in begun:
            cursor.execute(statement)
        with pytest.raises(pymysql.err.OperationalError, match="nothing"):
            cursor.execute("UPDATE device_types SET nothing = 1")
        for _ in range(2):
            driver.rollback()
        assert rolled() - before == rolls_back
        driver.autocommit(True)
