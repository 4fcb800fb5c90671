"""Rows that MariaDB sends as one text are those that it sends one by one, whatever stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from ledger.db import Database, Many, packed
from tests.support.forms import times

QUERY = Many(
    numbers=("m", "-m"),
    texts=("t", "u"),
    alike_numbers=("n",),
    alike_words=("w",),
    rest="FROM packed_rows WHERE m >= ?",
    order="m, t",
)
NASTY = [
    "",
    "\x1d",
    "\x1e",
    "\x1f",
    "a\x1fb",
    "\x00",
    "%s",
    "100 %",
    "'",
    "\\",
    "ü绿😀",
    "\n\t",
    "12,5",
]
TEXTS = st.sampled_from(NASTY) | st.text(max_size=8)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.sampled_from([None, "used", "no value in the file"]),
        TEXTS,
        TEXTS,
    ),
    max_size=8,
)


def fill(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    link = session.connection()
    link.exec_driver_sql(
        "CREATE TEMPORARY TABLE packed_rows (n BIGINT, m INT NOT NULL, w VARCHAR(64), "
        "t VARCHAR(64) NOT NULL, u VARCHAR(64) NOT NULL)"
    )
    mark = "?" if link.dialect.name == "sqlite" else "%s"
    for number, (n, w, t, u) in enumerate(rows):
        link.exec_driver_sql(
            f"INSERT INTO packed_rows VALUES ({', '.join([mark] * 5)})", (n, number, w, t, u)
        )


def asked(number: int, n: int | None, w: str | None, t: str, u: str) -> tuple[Any, ...]:
    return (number, -number, t, u, (n, w))


def rows_of(columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*columns, strict=True))


def drop(session: Session) -> None:
    session.connection().exec_driver_sql("DROP TABLE packed_rows")


@settings(
    max_examples=times(12, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
def test_the_rows_come_back(db: Database, rows: list[tuple[Any, ...]]) -> None:
    with db.write() as session:
        fill(session, rows)
        wanted = [asked(number, *row) for number, row in enumerate(rows)]
        for share in (False, True):
            assert rows_of(db.many(session, QUERY, (0,), share=share)) == wanted
            nothing = db.many(session, QUERY, (len(rows),), share=share)
            assert [[*column] for column in nothing] == [[]] * 5
        drop(session)


@pytest.mark.mariadb
def test_what_the_server_cuts_is_asked_for_row_by_row(mariadb_db: Database) -> None:
    rows = [(number, "used", "x" * 50, "last value") for number in range(100)]
    wanted = [asked(number, *row) for number, row in enumerate(rows)]
    with mariadb_db.write() as session:
        fill(session, rows)
        link = session.connection()
        assert packed._unpacked(link, QUERY, (0,)) is not None
        whole = sum(len(f"{t}|{u}|{n}|{w}|") for n, w, t, u in rows)
        numbers = sum(len(f"{number},{-number},") for number in range(len(rows)))
        inside_the_last = range(whole - len("99|used|") + 1, whole)
        for length in (4, numbers - 1, numbers, whole - 100, *inside_the_last):
            link.exec_driver_sql(f"SET SESSION group_concat_max_len={length}")
            assert packed._unpacked(link, QUERY, (0,)) is None
            assert rows_of(mariadb_db.many(session, QUERY, (0,))) == wanted
        link.exec_driver_sql(f"SET SESSION group_concat_max_len={whole}")
        assert packed._unpacked(link, QUERY, (0,)) is not None
        drop(session)
        link.exec_driver_sql(f"SET SESSION group_concat_max_len={packed.BYTES_MAX}")


@pytest.mark.mariadb
def test_a_cut_of_the_numbers_alone_is_seen(mariadb_db: Database) -> None:
    rows: list[tuple[Any, ...]] = [(1, "used", "", "")] * 40
    wanted = [asked(number, *row) for number, row in enumerate(rows)]
    query = replace(QUERY, numbers=("m", *["10000000000 + m"] * 9), texts=("t",))
    with mariadb_db.write() as session:
        fill(session, rows)
        link = session.connection()
        whole = sum(len(f"{number},") + 9 * 12 for number in range(len(rows)))
        for length in range(whole - 14, whole):
            link.exec_driver_sql(f"SET SESSION group_concat_max_len={length}")
            assert packed._unpacked(link, query, (0,)) is None
        link.exec_driver_sql(f"SET SESSION group_concat_max_len={whole}")
        assert packed._unpacked(link, query, (0,)) is not None
        assert rows_of(mariadb_db.many(session, QUERY, (0,))) == wanted
        drop(session)
        link.exec_driver_sql(f"SET SESSION group_concat_max_len={packed.BYTES_MAX}")


@pytest.mark.mariadb
def test_a_cut_that_a_foreign_mark_makes_up_for_is_seen(mariadb_db: Database) -> None:
    rows = [(7, "used", "a\x1fb", ""), (7, "used", "", "")]
    query = replace(QUERY, numbers=("m",), texts=("t",))
    with mariadb_db.write() as session:
        fill(session, rows)
        link = session.connection()
        for length in range(4, len("a|b|7|used||7|used|")):
            link.exec_driver_sql(f"SET SESSION group_concat_max_len={length}")
            assert packed._unpacked(link, query, (0,)) is None
        drop(session)
        link.exec_driver_sql(f"SET SESSION group_concat_max_len={packed.BYTES_MAX}")
