"""Processes that keep the books' partitions, and can be killed before any step of theirs."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from typing import Any

from sqlalchemy import Connection as Link
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from ledger.db import Database, DatabaseBusy
from ledger.keeping.moving import archive, drop_archive
from ledger.keeping.places import Month, archive_schema, open_archive
from ledger.keeping.reading import rows_between
from ledger.models import Device, DeviceData, DeviceType, VppDefinition, VppTradingRecord
from ledger.models.devices import DeviceStatus
from ledger.models.partitions import partitions_of
from ledger.models.trading import TradeStatus, TradeType
from ledger.models.vpp import VppStatus

EVER = (datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
_COMMITTED = ("ALTER TABLE", "CREATE DATABASE", "CREATE TABLE", "DROP TABLE")
"""What MariaDB commits by itself; rows that are written last from a commit on."""


def at(*parts: int) -> datetime:
    """Return a time in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def add_device(db: Database, code: str = "D1") -> int:
    """Add a device; return its row number."""
    with db.write() as session:
        if session.get(DeviceType, 1) is None:
            session.add(DeviceType(id=1, type_name="turbine", category="c"))
            session.flush()
        device = Device(device_id=code, name=code, type="turbine", status=DeviceStatus.ONLINE)
        session.add(device)
        session.flush()
        return device.id


def add_plant(session: Session, code: str = "V") -> int:
    """Add a virtual power plant within a unit of work; return its row number."""
    plant = VppDefinition(
        vpp_id=code, name=code, total_capacity=Decimal(1), status=VppStatus.ACTIVE
    )
    session.add(plant)
    session.flush()
    return plant.id


def sale(plant: int, moment: datetime) -> VppTradingRecord:
    """Return a pending trade of a plant, at a price below zero."""
    return VppTradingRecord(
        vpp_id=plant,
        trade_type=TradeType.SELL,
        quantity=Decimal("1.5"),
        price=Decimal("-0.0100"),
        total_value=Decimal("-0.02"),
        market="M",
        status=TradeStatus.PENDING,
        trade_time=moment,
    )


def put(db: Database, device: int, times: Sequence[datetime], value: str = "1.000001") -> None:
    """Store one value at each time."""
    with db.write() as session:
        store(session, device, times, value)


def store(
    session: Session, device: int, times: Sequence[datetime], value: str = "1.000001"
) -> None:
    """Store one value at each time, within a unit of work."""
    session.add_all(
        DeviceData(
            device_id=device,
            metric_name="active_power",
            value=Decimal(value),
            unit="kW",
            metadata_={"where": "Zürich 园区", "n": [1, None]},
            recorded_at=moment,
        )
        for moment in times
    )


def everything(db: Database) -> list[tuple[Any, ...]]:
    """Return all real-time data wherever they are, without their numbers, in order of time."""
    with rows_between(db, "device_data", *EVER) as rows:
        return sorted(
            tuple(str(value) for name, value in row.items() if name != "id") for row in rows
        )


@contextmanager
def archive_link(db: Database) -> Iterator[tuple[Link, str]]:
    """Yield a connection that changes the archive, and what stands before the names of its tables."""
    if db.dialect == "sqlite":
        archive = open_archive(db)
        with archive.write() as session:
            yield session.connection(), ""
        archive.close()
    else:
        with db.changing() as link:
            yield link, f"{archive_schema(db)}."


def fresh(db: Database) -> None:
    """Bring MariaDB's live table and archive to how they were after the migrations, without rows."""
    year = datetime.now(UTC).year
    start = date(year, 1, 1)
    with db.changing() as link:
        link.exec_driver_sql(f"DROP DATABASE IF EXISTS {archive_schema(db)}")
        link.exec_driver_sql("DELETE FROM device_data")
        link.exec_driver_sql("DELETE FROM archived_devices")
        parts = {part.name: part.end for part in partitions_of(link, "device_data")}
        if parts["pbefore"] != start:
            months = [Month(year, 1).plus(number) for number in range(60)]
            split = [m for m in months if m.plus(1).first <= (parts["pbefore"] or start)]
            texts = [f"PARTITION pbefore VALUES LESS THAN ('{start}')"]
            texts += [
                f"PARTITION p{m.year}{m.number:02d} VALUES LESS THAN ('{m.plus(1).first}')"
                for m in split
            ]
            link.exec_driver_sql(
                f"ALTER TABLE device_data REORGANIZE PARTITION pbefore INTO ({', '.join(texts)})"
            )


@contextmanager
def put_back(db: Database) -> Iterator[None]:
    """Take archive and partitions back to how they were, whatever came of it: the tests after this one share them."""
    if db.dialect != "sqlite":
        fresh(db)
    try:
        yield
    finally:
        if db.dialect == "sqlite":
            drop_archive(db)
        else:
            fresh(db)


def archive_killed(url: str, before: date, step: int, told: Pipe) -> None:
    """Archive, and die before the given statement or commit that lasts; tell how many there were if none was it."""
    count = 0

    def died() -> None:
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_statement(_c: Any, _cur: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(_COMMITTED):
            died()

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "commit", lambda _connection: died())
    db = Database(url, lock_timeout_s=10)
    for _ in archive(db, before):
        pass
    db.close()
    told.send(count)


class Interrupted(BaseException):
    """The run is at its end, as where its process is killed."""


@contextmanager
def interrupted(ends: str, text: str) -> Iterator[None]:
    """End a run at a statement with this text: ``before_cursor_execute`` or ``after_cursor_execute``."""

    def look(_c: Any, _cur: Any, statement: str, *_: Any) -> None:
        if text in statement:
            raise Interrupted

    event.listen(Engine, ends, look)
    try:
        yield
    finally:
        event.remove(Engine, ends, look)


def archive_at_once(url: str, before: date, barrier: Barrier, told: Pipe) -> None:
    """Archive when everybody is ready; tell how many rows were moved."""
    db = Database(url, lock_timeout_s=20)
    db.ping()
    barrier.wait(120)
    told.send(sum(item.rows for item in archive(db, before)))
    db.close()


def ensure_at_once(url: str, today: date, barrier: Barrier, told: Pipe) -> None:
    """Add partitions when everybody is ready; tell which were added."""
    db = Database(url, lock_timeout_s=20)
    db.ping()
    barrier.wait(120)
    told.send([item.added for item in db.ensure_partitions(today)])
    db.close()


@contextmanager
def moving_under_a_look(db: Database, before: date) -> Iterator[list[bool]]:
    """Archive what is old just before somebody first looks into the live table; tell whether that could be done."""
    told: list[bool] = []

    def look(_c: Any, _cur: Any, statement: str, *_: Any) -> None:
        text = statement.partition("FROM device_data")[2]
        if told or not text or text.lstrip().startswith("WHERE FALSE"):
            return
        told.append(False)
        with suppress(DatabaseBusy):
            told[0] = bool(list(archive(db, before)))

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield told
    finally:
        event.remove(Engine, "before_cursor_execute", look)
