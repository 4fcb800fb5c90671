"""MariaDB's plans for what operators ask: each goes by an index, and none reads a table whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from api.park import newest, queries
from api.park.alerts import AlertParameters, list_alerts, open_alerts
from api.park.schemas import SCHEMAS, DataParameters, NewestParameters
from ledger.db import Database
from ledger.models import Meter, Site
from ledger.models.sites import MeterRole
from ledger.park import KINDS, Kind
from ledger.park.alerts import follow
from tests.support.records import fill

pytestmark = pytest.mark.mariadb
T0 = datetime(2026, 11, 1, tzinfo=UTC)
ROWS = 4_000
SMALL = {
    *("devices", "device_types", "vpp_definitions", "vpp_resources", "rl_models", "users"),
    *("sites", "meters", "alembic_version"),
}
"""Tables of parents, with a few rows, that a join may well read, and the one that has a single row."""


@pytest.fixture
def books(mariadb_db: Database, tmp_path: Path) -> Database:
    """Books with the page's records, and thousands of rows where there will be millions."""
    db = mariadb_db
    fill(db, tmp_path)
    with db.write() as session:
        link = session.connection()
        # Every table with a time is filled with copies of its first row, a minute apart.
        for kind in KINDS.values():
            if kind.time is None:
                continue
            columns = [item.name for item in kind.model.__table__.columns if item.name != "id"]
            time = kind.field(kind.time).column.name
            said = ", ".join(
                f"t.{name} + INTERVAL s.seq MINUTE" if name == time else f"t.{name}"
                for name in columns
            )
            link.exec_driver_sql(
                f"INSERT IGNORE INTO {kind.table} ({', '.join(columns)}) SELECT {said} FROM {kind.table} t "
                f"JOIN seq_1_to_{ROWS} s WHERE t.id = 1"
            )
        link.exec_driver_sql(
            "INSERT INTO device_data (device_id, metric_name, value, unit, recorded_at, created_at) "
            f"SELECT 1 + MOD(seq, 2), IF(MOD(seq, 3), 'power', 'soc'), MOD(seq, 7), 'kW', "
            "'2026-11-01' + INTERVAL seq MINUTE, NOW() "
            f"FROM seq_1_to_{10 * ROWS}"
        )
        link.exec_driver_sql(
            "INSERT INTO device_alerts "
            "(device_id, alert_type, severity, message, status, triggered_at, resolved_at) "
            "SELECT 1 + MOD(seq, 2), 'x', 'low', 'x.', 'resolved', '2026-11-01' + INTERVAL seq MINUTE, NOW() "
            f"FROM seq_1_to_{ROWS}"
        )
        session.add(Site(id=1, code="park", name="x", time_zone="Asia/Shanghai", country="CN"))
        session.flush()
        role = MeterRole.STORAGE
        session.add(Meter(site_id=1, device_id=1, serial="x", role=role, calibrated=True))
    with db.write() as session:
        tables = ", ".join(
            sorted({kind.table for kind in KINDS.values()} | {"device_data", "meters"})
        )
        session.connection().exec_driver_sql(f"ANALYZE TABLE {tables}")
    return db


def plans(opened: Any, ask: Any) -> list[tuple[str, str, str | None, int]]:
    """Return the plan of every statement that a question makes: table, access, key, rows."""
    made: list[tuple[str, Any]] = []
    found: list[tuple[str, str, str | None, int]] = []
    with opened() as session:
        link = session.connection()

        def note(_link: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            if statement.lstrip().upper().startswith("SELECT"):
                made.append((statement, values))

        event.listen(link, "before_cursor_execute", note)
        try:
            ask(session)
        finally:
            event.remove(link, "before_cursor_execute", note)
        for statement, values in made:
            found += _explained(link, statement, values)
    return found


def plans_of(books: Database, ask: Any) -> list[tuple[str, str, str | None, int]]:
    """Return the plans of a question that opens its own sessions."""
    made: list[tuple[str, Any]] = []

    def note(_link: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            made.append((statement, values))

    event.listen(books._engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(books._engine, "before_cursor_execute", note)
    with books.read() as session:
        link = session.connection()
        return [item for statement, values in made for item in _explained(link, statement, values)]


def _explained(link: Any, statement: str, values: Any) -> list[tuple[str, str, str | None, int]]:
    steps = link.exec_driver_sql(f"EXPLAIN {statement}", values).mappings()
    return [
        (step["table"], step["type"], step["key"], int(step["rows"] or 0))
        for step in steps
        if step["table"] is not None and "information_schema" not in statement
    ]


def check(found: list[tuple[str, str, str | None, int]], most: int) -> None:
    assert found
    for table, access, key, rows in found:
        if table not in SMALL:
            assert access != "ALL" and key is not None, (table, access)
            assert rows <= most, (table, access, key, rows)


def test_no_question_of_an_operator_reads_a_table_whole(books: Database) -> None:
    for kind in KINDS.values():
        for name in (*kind.filters, ""):
            check_list(books, kind.name, name)
    check_list_by_time(books)
    for order in ("asc", "desc"):
        check_data_of_a_device(books, order)
    check_alerts_of_the_pages(books)
    check_following_alerts(books)


def check_alerts_of_the_pages(books: Database) -> None:
    """Of what is open there is little; what is resolved is read a page at a time, in the order of its index."""
    check(plans(books.read, open_alerts), 100)
    for asked in ({}, {"device": "BESS-1"}, {"site": "park"}, {"severity": "high"}):
        for state in ("active", None):
            parameters = AlertParameters.model_validate({**asked, "state": state, "limit": 20})
            found = plans(books.read, lambda session, p=parameters: list_alerts(session, p))
            check(found, 2 * ROWS + 100 if state is None else 100)
    before = _rows_read(books)
    with books.read() as session:
        assert len(list_alerts(session, AlertParameters.model_validate({"limit": 20})).rows) == 20
    assert _rows_read(books) - before < 1_000  # of 4,000


def check_list(books: Database, name: str, filters: str) -> None:
    kind = KINDS[name]
    with books.read() as session:
        model: Any = kind.model
        (first, *_rest) = session.query(model).order_by(model.id).limit(1)
        value = getattr(first, kind.field(filters).attribute) if filters else None
        refers = kind.field(filters).refers if filters else None
        if refers is not None and not refers.by_code:
            parent: Any = refers.model
            value = getattr(session.get(parent, value), refers.code)
    asked: dict[str, Any] = {filters: value} if filters else {}
    if kind.time and kind.key[0] == filters:
        asked |= {"time_from": T0, "time_before": T0 + timedelta(days=60)}
    parameters = SCHEMAS[name].parameters(limit=20, **asked)
    # The server estimates; a page of 20 rows by index is nowhere near the thousands that are there.
    most = 100 if not filters else 2 * ROWS + 100
    check(plans(books.read, lambda session: queries.list_records(session, kind, parameters)), most)


def check_list_by_time(books: Database) -> None:
    for name, asked, index in (
        ("decisions", {"model_name": "evening-discharge"}, "model_id_decision_time"),
        ("prices", {"market": "day-ahead"}, "market_starts_at"),
        ("forecasts", {"vpp_code": "VPP-NORTH"}, "vpp_id_starts_at"),
        ("bids", {"vpp_code": "VPP-NORTH"}, "vpp_id_starts_at"),
        ("predictions", {"market_name": "day-ahead"}, "market_name_prediction_time"),
    ):
        plan = plan_of(books, KINDS[name], SCHEMAS[name].parameters(limit=20, **asked))
        assert f"idx_{KINDS[name].table}_{index}" in plan
        assert "filesort" not in plan, name


def plan_of(books: Database, kind: Kind, parameters: Any) -> str:
    made: list[tuple[str, Any]] = []
    with books.read() as session:
        link = session.connection()
        event.listen(
            link, "before_cursor_execute", lambda *given: made.append((given[2], given[3]))
        )
        queries.list_records(session, kind, parameters)
    ((statement, values),) = [item for item in made if "ORDER BY" in item[0]]
    with books.read() as session:
        explained = session.connection().exec_driver_sql(f"EXPLAIN FORMAT=JSON {statement}", values)
        return str(explained.scalar_one())


def check_data_of_a_device(books: Database, order: str) -> None:
    day = DataParameters(recorded_from=T0 + timedelta(days=3), order=order, limit=50)  # type: ignore[arg-type]
    found = plans_of(books, lambda: queries.device_data(books, "BESS-1", day))
    check(found, 2_000)  # a day has 720 values of it, of 20,000
    assert {key for table, _, key, _ in found if table == "device_data"} == {
        "idx_device_data_device_id_recorded_at"
    }
    check(plans_of(books, lambda: newest.latest(books, "BESS-1")), 2_000)
    asked = NewestParameters()
    # The server says how many rows a device has; in the order of the index it looks at one of them.
    check(plans_of(books, lambda: newest.newest(books, asked)), 11 * ROWS)
    before = _rows_read(books)
    newest.newest(books, asked)
    assert _rows_read(books) - before < 1_000  # of 40,000


def _rows_read(books: Database) -> int:
    """Return how many rows the server has read, for anybody: it serves this test alone."""
    with books.read() as session:
        status = "SHOW GLOBAL STATUS LIKE 'Handler_read%%'"
        return sum(int(value) for _, value in session.connection().exec_driver_sql(status))


def check_following_alerts(books: Database) -> None:
    rules = [
        {"type": kind, "metric": "power", "severity": "low"} | more
        for kind, more in (
            ("above", {"limit": "5"}),
            ("rate", {"limit": "1", "per_minutes": 1}),
            ("missing", {"minutes": 5}),
            ("stuck", {"minutes": 5}),
        )
    ]
    with books.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE device_types SET validation_rules = %s WHERE type_name = 'battery_container'",
            (json.dumps({"alerts": rules}),),
        )
    at = T0 + timedelta(days=5)

    def ask(session: Any) -> None:
        assert 0 < follow(session, {1: (at, at)}).raised < 3_000

    found = [item for item in plans(books.write, ask) if item[0] == "device_data"]
    check(found, 2_000)  # days of it, of 20,000 values
