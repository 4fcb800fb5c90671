"""What is said otherwise to MySQL than to MariaDB. No server of its is here: docs/mysql.md says how it is tried."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ledger.db import bulk
from ledger.db.composite_keys import _joined
from ledger.db.engines import _isolate
from ledger.db.findings import Server, State
from ledger.db.grants import Account, statements
from ledger.db.server import RULES
from ledger.db.server_triggers import wanted
from ledger.db.tls import Tls
from ledger.errors import BadInput
from ledger.models import CreditHolding
from tests.support import mysql

ROOT = Path(__file__).resolve().parents[2]
MARIADB, MYSQL = (cast("Any", SimpleNamespace(is_mariadb=each)) for each in (True, False))


@pytest.mark.parametrize(
    ("dialect", "row"), [(MARIADB, "('a',1),('b',2)"), (MYSQL, "ROW('a',1),ROW('b',2)")]
)
def test_rows_that_are_selected_from(dialect: Any, row: str) -> None:
    found = bulk.selection({"name": ["a", "b"], "place": [1, 2]}, dialect)
    assert found == f"(SELECT NULL name, NULL place WHERE 0 UNION ALL VALUES {row})"


def test_rows_that_are_joined_by_two_columns() -> None:
    pair = (CreditHolding.batch_id, CreditHolding.holder)
    rows = [(7, "0x" + "ab" * 20), (8, "0x" + "cd" * 20)]
    for dialect, begins in ((MARIADB, "VALUES (7, _ascii'0x"), (MYSQL, "VALUES ROW(7, _ascii'0x")):
        said = _joined(pair, bulk.row_of(dialect), rows)
        assert begins in said and said.count("ROW(") == (2 if dialect is MYSQL else 0)


def test_who_may_write_reads_with_locks_and_is_told_so_once() -> None:
    said: list[str] = []
    link = cast("Connection", SimpleNamespace(info={}, exec_driver_sql=said.append))
    for writes in (True, True, False, False, True):
        _isolate(link, writes=writes)
    level = "SET SESSION TRANSACTION ISOLATION LEVEL"
    assert said == [f"{level} SERIALIZABLE", f"{level} REPEATABLE READ", f"{level} SERIALIZABLE"]


def test_an_isolation_that_could_not_be_set_is_set_anew() -> None:
    def fails(_: str) -> None:
        raise ConnectionError

    link = cast(
        "Any", SimpleNamespace(info={"isolation": "REPEATABLE READ"}, exec_driver_sql=fails)
    )
    with pytest.raises(ConnectionError):
        _isolate(link, writes=True)
    assert link.info == {}


def test_accounts_in_words_of_mysql() -> None:
    made = statements(Account.WRITE, "books", mysql=True)
    assert made[:3] == [
        "CREATE USER IF NOT EXISTS 'truetonne_write'@'%' IDENTIFIED BY RANDOM PASSWORD",
        "ALTER USER 'truetonne_write'@'%' REQUIRE SSL",
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'truetonne_write'@'%'",
    ]
    assert made[3:] == statements(Account.WRITE, "books")[3:]  # the rights are the same
    with pytest.raises(BadInput, match="no account for backups on MySQL"):
        statements(Account.BACKUP, "books", mysql=True)


@pytest.mark.parametrize(
    ("version", "state", "said"),
    [
        ("9.7.4-2", State.GOOD, "no backups, replicas, promotion or clusters"),
        ("8.4.6", State.UNKNOWN, "tried on 9.7"),
        ("8.0.43", State.BAD, "is older than 8.4"),
        ("11.8.3-MariaDB-log", State.GOOD, "the tested version"),
    ],
)
def test_what_the_doctor_says_of_its_version(version: str, state: State, said: str) -> None:
    found = rule("_version")(server(version))
    assert (found.state, said in found.found) == (state, True)


def test_that_nobody_is_told_of_a_change_is_no_complaint_of_mysql() -> None:
    repeatable = {"transaction_isolation": "REPEATABLE-READ"}
    assert rule("_isolation")(server("9.7.4", repeatable)).state is State.GOOD
    assert rule("_isolation")(server("10.6.1-MariaDB", repeatable)).state is State.BAD


def test_a_trigger_is_made_anew() -> None:
    first = wanted()[0]
    assert first.made(mariadb=True) == first.text.replace("CREATE", "CREATE OR REPLACE", 1)
    dropped, _, made = first.made(mariadb=False).partition("// ")
    assert (dropped, made) == (f"DROP TRIGGER IF EXISTS {first.name}", first.text)


def test_what_is_of_mariadb_alone_is_there() -> None:
    """A test that is renamed, or a file, would run on MySQL again, or not at all."""
    for file in mysql.FILES:
        assert (ROOT / file).is_file(), file
    for file, tests in mysql.TESTS.items():
        text = (ROOT / file).read_text()
        for test in tests:
            assert f"def {test.partition('[')[0]}(" in text, test


def test_a_test_is_known_by_its_file_its_name_or_its_parameters() -> None:
    assert mysql.why("tests/ledger/test_galera.py::test_anything[1]") == "clusters"
    server = "tests/ledger/test_server.py::"
    assert (
        mysql.why(f"{server}test_how_a_connection_is_encrypted[x]") == "which cipher is agreed on"
    )
    assert mysql.why(f"{server}test_a_sound_server_has_no_complaint") is None
    account = "tests/ledger/test_grants.py::test_an_account_may_do_what_the_models_declare_and_nothing_else"
    assert (mysql.why(f"{account}[backup]"), mysql.why(f"{account}[read]")) == ("backups", None)


def rule(name: str) -> Any:
    (found,) = (each for each in RULES if each.__name__ == name)
    return found


def server(version: str, variables: dict[str, str] | None = None) -> Server:
    session, tls = cast("Session", None), cast("Tls", None)
    return Server(session, tls, variables or {}, {"version": version}, "books")
