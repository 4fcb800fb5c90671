"""Writes that are done behind: in order, once, all or none, and never beside another statement."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from ledger.db import Database
from ledger.db.behind import behind
from ledger.errors import DependencyDown
from ledger.models import DeviceType

NOW: dict[str, Any] = {"created_at": "2014-01-01 00:00:00.000000", "category": "c"}


def names(database: Database) -> list[str]:
    """Return the types of devices as they were stored."""
    with database.read() as session:
        return list(session.scalars(select(DeviceType.type_name).order_by(DeviceType.id)))


@pytest.mark.parametrize("at_once", [False, True])
def test_writes_are_done_in_order_and_seen_by_the_next_query(db: Database, at_once: bool) -> None:
    with db.write() as session, behind(session, at_once=at_once) as later:
        for place in range(20):
            later.insert("device_types", {"type_name": [f"t{place:02}"]}, NOW)
        count = later.session.scalar(text("SELECT COUNT(*) FROM device_types"))
        assert count == 20
        later.insert("device_types", {"type_name": ["last"]}, NOW)
    assert names(db) == [f"t{place:02}" for place in range(20)] + ["last"]


@pytest.mark.parametrize("at_once", [False, True])
def test_what_fails_is_raised_and_nothing_after_it_is_begun(db: Database, at_once: bool) -> None:
    begun: list[int | None] = []
    with (
        pytest.raises(IntegrityError),
        db.write() as session,
        behind(session, at_once=at_once) as later,
    ):
        later.insert("device_types", {"type_name": ["a"]}, NOW)
        later.insert("device_types", {"type_name": ["a"]}, NOW)
        later.run(lambda: begun.append(1))
        later.wait()
    assert begun == []
    assert names(db) == []


def test_an_error_of_the_author_ends_it_before_the_rest_is_begun(db: Database) -> None:
    begun, go = [], threading.Event()
    with (
        pytest.raises(ValueError, match="mine"),
        db.write() as session,
        behind(session) as later,
    ):
        later.run(lambda: begun.append(go.wait(20)))
        later.run(lambda: begun.append(False))
        threading.Timer(0.2, go.set).start()
        raise ValueError("mine")
    assert begun in ([True], [])
    assert names(db) == []


def test_a_failure_that_nobody_waits_for_still_rolls_back(db: Database) -> None:
    with (
        pytest.raises(IntegrityError),
        db.write() as session,
        behind(session) as later,
    ):
        later.insert("device_types", {"type_name": ["a"]}, NOW)
        later.insert("device_types", {"type_name": ["a"]}, NOW)
    assert names(db) == []


def test_a_statement_beside_them_is_refused(db: Database) -> None:
    go = threading.Event()
    with (
        pytest.raises(RuntimeError, match="take the session of Behind"),
        db.write() as session,
        behind(session) as later,
    ):
        later.run(lambda: go.wait(20))
        threading.Timer(0.2, go.set).start()
        session.execute(text("SELECT 1"))


@pytest.mark.mariadb
def test_a_server_that_goes_away_while_rows_are_made_ready_is_down(mariadb_db: Database) -> None:
    """A write meets it; whoever makes the next ones ready asks a connection that is none any more."""
    many = {"type_name": [f"t{number}" for number in range(300)]}
    with (
        pytest.raises(DependencyDown),
        mariadb_db.write() as session,
        behind(session) as later,
    ):
        mine = session.scalar(text("SELECT CONNECTION_ID()"))
        with mariadb_db.server() as other:
            other.exec_driver_sql(f"KILL {mine}")
        later.insert("device_types", {"type_name": ["a"]}, NOW)
        wait(later._pending)
        later.insert("device_types", many, NOW)


def test_where_no_thread_can_be_started_all_is_done_at_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, db.write() as session, behind(session) as later:
        patch.setattr(threading.Thread, "start", refused)
        for place in range(3):
            later.insert("device_types", {"type_name": [f"t{place}"]}, NOW)
    assert names(db) == ["t0", "t1", "t2"]
