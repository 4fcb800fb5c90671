"""How long a month of real-time data takes to leave for the archive, beside deleting the same rows.

One server, one table, two months of as many rows, made by the server itself. One is archived as the job does
it; the other is deleted by one statement, which is what the same would cost without partitions, the copy that
an archive needs not counted. Of the archiving, what holds up others is the time in which the live table
itself is changed: that is named apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, event, text

from cli.bench.report import Result, lower_is_better
from ledger.db import Database
from ledger.errors import TruetonneError
from ledger.keeping.moving import archive
from ledger.keeping.places import Month
from ledger.models import Device, DeviceType
from ledger.models.devices import DeviceStatus

DEVICES = 500


def measure(url: str, rows: int, say: Callable[[str], None]) -> list[Result]:
    """Return the times of archiving and of deleting a month.

    Parameters
    ----------
    url
        An empty MariaDB database; its archive's schema is made beside it.
    rows
        Rows of each month.
    say
        Told of each step.

    Raises
    ------
    DependencyDown
        The server does not answer.
    """
    with closing(Database(url, lock_timeout_s=600)) as db:
        db.upgrade()
        first = Month(datetime.now(UTC).year, 1)
        _devices(db)
        for month in (first, first.plus(1)):
            say(f"writing {rows} rows of {month}")
            _fill(db, month, rows)
        say("archiving one month")
        live: list[float] = []
        stop = _timed(live)
        begun = time.perf_counter()
        moved = sum(item.rows for item in archive(db, first.plus(1).first))
        archived = time.perf_counter() - begun
        stop()
        if moved != rows:
            raise TruetonneError(f"{moved} rows were archived, not {rows}")
        say("deleting the other")
        begun = time.perf_counter()
        with db.write() as session:
            session.execute(
                text("DELETE FROM device_data WHERE recorded_at >= :a AND recorded_at < :b"),
                {"a": first.plus(1).first, "b": first.plus(2).first},
            )
        deleted = time.perf_counter() - begun
    against = "DELETE of as many rows"
    return [
        lower_is_better("archive_s", _s(archived), "s", against, _s(deleted)),
        lower_is_better("live_table_changed_s", _s(sum(live)), "s", against, _s(deleted)),
    ]


def _devices(db: Database) -> None:
    with db.write() as session:
        session.add(DeviceType(type_name="meter", category="bench"))
        session.flush()
        session.add_all(
            Device(id=n, device_id=f"B{n}", name=f"B{n}", type="meter", status=DeviceStatus.ONLINE)
            for n in range(1, DEVICES + 1)
        )


def _fill(db: Database, month: Month, rows: int) -> None:
    """Have the server make the rows: all devices in turn, spread over four weeks of the month."""
    with db.write() as session:
        session.execute(
            text(
                "INSERT INTO device_data (device_id, metric_name, value, unit, recorded_at, created_at) "
                f"SELECT seq % {DEVICES} + 1, 'active_power', seq % 10000 / 7, 'kW', "
                ":start + INTERVAL seq * 2419200 DIV :rows SECOND, UTC_TIMESTAMP(6) "
                f"FROM seq_0_to_{rows - 1}"
            ),
            {"start": month.first, "rows": rows},
        )


def _timed(live: list[float]) -> Callable[[], None]:
    """Note how long each change of the live table takes, until what is returned is called."""
    begun: list[float] = []

    def before(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("ALTER TABLE device_data "):
            begun.append(time.perf_counter())

    def after(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("ALTER TABLE device_data "):
            live.append(time.perf_counter() - begun.pop())

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)

    def stop() -> None:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)

    return stop


def _s(seconds: float) -> Decimal:
    return Decimal(f"{seconds:.3f}")
