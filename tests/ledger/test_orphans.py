"""Partitioned tables have no foreign keys on MariaDB: what takes their place holds, and the rest is found."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import delete, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from ledger.db import Database, DatabaseBusy
from ledger.keeping.moving import archive
from ledger.keeping.orphans import orphans
from ledger.models import (
    AuditLog,
    Device,
    DeviceData,
    VppDefinition,
    VppTradingRecord,
    VppTradingStrategy,
)
from ledger.models.trading import StrategyType, TradeStatus, TradeType
from ledger.models.vpp import VppStatus
from tests.support.forms import long
from tests.support.keeping import add_device, at, put

YEAR = datetime.now(UTC).year
NEW = [at(YEAR, 4, 1), at(YEAR, 5, 2, 1, 2, 3, 4)]
DEADLINE_S = 180


@pytest.mark.mariadb
def test_orphans_are_found_live_and_archived(mariadb_books: Database) -> None:
    device = add_device(mariadb_books)
    put(mariadb_books, device, NEW)
    put(mariadb_books, 77, [at(YEAR, 1, 5), at(YEAR, 6, 6)])
    assert sum(item.rows for item in archive(mariadb_books, date(YEAR, 4, 1))) == 1
    found = orphans(mariadb_books)
    assert [(o.table, o.column, o.parent, o.number, o.rows, o.first) for o in found] == [
        ("device_data", "device_id", "devices", 77, 1, at(YEAR, 6, 6)),
        (f"device_data_{YEAR}", "device_id", "devices", 77, 1, at(YEAR, 1, 5)),
    ]


@pytest.mark.mariadb
def test_data_that_come_under_a_deletion_are_an_orphan(mariadb_books: Database) -> None:
    """What no trigger on the parent can see: the deletion is first, the data wait for its end."""
    device = add_device(mariadb_books)
    begun = threading.Event()

    def insert() -> None:
        begun.set()
        put(mariadb_books, device, [at(YEAR, 6, 6)])

    thread = threading.Thread(target=insert)
    with mariadb_books.write() as session:
        session.execute(delete(Device))
        thread.start()
        assert begun.wait(DEADLINE_S)
    thread.join(DEADLINE_S)
    (found,) = orphans(mariadb_books)
    assert (found.number, found.rows) == (device, 1)


def test_orphans_of_sqlite_are_found_where_keys_were_off(sqlite_db: Database) -> None:
    with closing(sqlite3.connect(sqlite_db.url.database or "")) as link, link:
        link.execute(
            "INSERT INTO vpp_trading_records (vpp_id, strategy_id, trade_type, quantity, price, "
            "total_value, market, status, trade_time) VALUES (5, 6, 'buy', 1, 1, 1, 'm', 'pending', "
            "'2026-01-01 00:00:00.000000')"
        )
    found = orphans(sqlite_db)
    assert [(o.column, o.parent, o.number) for o in found] == [
        ("strategy_id", "vpp_trading_strategies", 6),
        ("vpp_id", "vpp_definitions", 5),
    ]


def test_what_no_device_is_known_of_leaves_an_sqlite_file_with_the_rest(
    sqlite_db: Database,
) -> None:
    """It would stay, and each run would note that it had moved no row of that month."""
    device = add_device(sqlite_db)
    put(sqlite_db, device, [at(2014, 7, 1)])
    with closing(sqlite3.connect(sqlite_db.url.database or "")) as link, link:
        link.executemany(
            "INSERT INTO device_data (device_id, metric_name, value, recorded_at, created_at) "
            "VALUES (?, 'active_power', 1, ?, ?)",
            [(number, *[str(at(2014, 7, 2))[:19]] * 2) for number in (device + 7, device - 9)],
        )
    moved = [(str(item.month), item.rows) for item in archive(sqlite_db, date(2015, 1, 1))]
    assert moved == [("2014-07", 3)]
    assert list(archive(sqlite_db, date(2015, 1, 1))) == []
    assert {found.table for found in orphans(sqlite_db)} == {"device_data_2014"}


def test_a_parent_keeps_its_number(books: Database) -> None:
    device = add_device(books)
    put(books, device, NEW)
    with pytest.raises(IntegrityError), books.write() as session:
        session.execute(text(f"UPDATE devices SET id = {device + 900} WHERE id = {device}"))
    with books.write() as session:
        session.execute(text(f"UPDATE devices SET name = 'other' WHERE id = {device}"))
    assert orphans(books) == []


@long
@pytest.mark.mariadb
def test_a_parent_waits_for_rows_that_are_about_to_come(mariadb_books: Database) -> None:
    """Deleted or numbered anew under rows that another transaction has not committed: refused either way."""
    url = mariadb_books.url.render_as_string(hide_password=False)
    hasty = Database(url, lock_timeout_s=1)
    device = add_device(mariadb_books)
    with mariadb_books.write() as session:
        plants = [
            VppDefinition(vpp_id=code, name="V", total_capacity=Decimal(1), status=VppStatus.ACTIVE)
            for code in ("V", "W")
        ]
        session.add_all(plants)
        session.flush()
        strategy = VppTradingStrategy(
            vpp_id=plants[0].id,
            strategy_name="s",
            strategy_type=StrategyType.ARBITRAGE,
            status=VppStatus.ACTIVE,
        )
        session.add(strategy)
    # Of the two plants, the one without a strategy: a foreign key holds the other.
    parents = ("devices", "vpp_trading_strategies", "vpp_definitions WHERE vpp_id = 'W'")
    acts = [f"DELETE FROM {name}" for name in parents]
    for name in parents:
        table, where, condition = name.partition(" WHERE ")
        acts.append(f"UPDATE {table} SET id = 900{where}{condition}")
    with mariadb_books.write() as session:
        session.add(
            DeviceData(device_id=device, metric_name="p", value=Decimal(1), recorded_at=NEW[0])
        )
        session.add_all(
            VppTradingRecord(
                vpp_id=plant.id,
                strategy_id=number,
                trade_type=TradeType.SELL,
                quantity=Decimal(1),
                price=Decimal(1),
                total_value=Decimal(1),
                market="m",
                status=TradeStatus.PENDING,
                trade_time=NEW[0],
            )
            for plant, number in zip(plants, (strategy.id, None), strict=True)
        )
        session.flush()
        for act in acts:
            with pytest.raises(DatabaseBusy), hasty.write() as other:
                other.execute(text(act))
    for act in acts:
        with pytest.raises(IntegrityError, match="cannot"), hasty.write() as other:
            other.execute(text(act))
    assert orphans(mariadb_books) == []
    with mariadb_books.write() as session:
        for name in ("vpp_trading_records", "vpp_trading_strategies", "vpp_definitions"):
            session.execute(text(f"DELETE FROM {name}"))
    hasty.close()


@pytest.mark.parametrize("table", ["audit_logs", "emission_factors", "corrections"])
def test_no_way_of_writing_changes_what_only_grows(books: Database, table: str) -> None:
    """Each verb that changes or replaces rows meets a trigger of the table."""
    with books.read() as session:
        link = session.connection()
        if books.dialect == "sqlite":
            rows = link.exec_driver_sql(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?", (table,)
            )
            verbs = {verb for (sql,) in rows for verb in ("UPDATE", "DELETE") if verb in sql}
        else:
            rows = link.exec_driver_sql(
                "SELECT event_manipulation FROM information_schema.triggers WHERE action_timing = "
                "'BEFORE' AND event_object_schema = DATABASE() AND event_object_table = %s",
                (table,),
            )
            verbs = {verb for (verb,) in rows}
    assert verbs == {"UPDATE", "DELETE"}


def test_an_upsert_changes_no_entry_of_the_audit_log(books: Database) -> None:
    with books.write() as session:
        entry = AuditLog(action="a", resource="r")
        session.add(entry)
        session.flush()
        number = entry.id
    words = (
        "INSERT INTO audit_logs (id, action, resource, created_at) "
        f"VALUES ({number}, 'b', 'r', '2026-01-01')"
    )
    ends = {
        "sqlite": "ON CONFLICT (id) DO UPDATE SET action = 'b'",
        "mysql": "ON DUPLICATE KEY UPDATE action = 'b'",
    }
    with pytest.raises(DBAPIError, match="append-only"), books.write() as session:
        session.execute(text(f"{words} {ends[books.dialect]}"))
