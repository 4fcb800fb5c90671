"""Rows that MariaDB sends as one text are those that it sends one by one, whatever stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from ledger.db import Database, Many, packed
from tests.support.forms import times

QUERY = Many(("m", "n"), ("w",), ("t", "u"), "FROM packed_rows WHERE m >= ?", "m, t")
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
        wanted = [(number, n, w, t, u) for number, (n, w, t, u) in enumerate(rows)]
        for share in (False, True):
            assert [*db.many(session, QUERY, (0,), share=share)] == wanted
        assert [*db.many(session, QUERY, (len(rows),))] == []
        drop(session)


@pytest.mark.mariadb
def test_what_the_server_cuts_is_asked_for_row_by_row(
    mariadb_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(number, "used", "x" * 50, "last value") for number in range(100)]
    wanted = [(number, n, w, t, u) for number, (n, w, t, u) in enumerate(rows)]
    with mariadb_db.write() as session:
        fill(session, rows)
        link = session.connection()
        assert packed._unpacked(link, QUERY, (0,)) is not None
        whole = sum(len(f"{number}|{n}|{w}|{t}|{u}|") for number, n, w, t, u in wanted)
        inside_the_last = range(whole - len("last value|") + 1, whole)
        for length in (4, 1_000, whole - 100, *inside_the_last):
            link.exec_driver_sql(f"SET SESSION group_concat_max_len={length}")
            assert packed._unpacked(link, QUERY, (0,)) is None
            assert [*mariadb_db.many(session, QUERY, (0,))] == wanted
        link.exec_driver_sql(f"SET SESSION group_concat_max_len={whole}")
        assert packed._unpacked(link, QUERY, (0,)) is not None
        drop(session)
        link.exec_driver_sql(f"SET SESSION group_concat_max_len={packed.BYTES_MAX}")
