"""Partitions by time of the two large tables on MariaDB, kept several periods ahead.

Behind the last period stands ``pmax``, which takes what no period covers: it must stay empty, and
rows in it are an alarm. Without it, an insert past the last period fails, and with INSERT IGNORE
the row is gone silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from ledger.errors import DependencyDown

CATCH_ALL = "pmax"
LOCK_WAIT_S = 60
"""How long a process waits while another adds partitions, in seconds."""


@dataclass(frozen=True)
class Partitioning:
    """How a table is partitioned."""

    table: str
    column: str
    """Time that decides; a part of the server's primary key."""
    months: int
    """Length of a period, in months."""
    ahead: int
    """Periods kept beyond the present one."""


PARTITIONED = (
    Partitioning("device_data", "recorded_at", months=1, ahead=6),
    Partitioning("vpp_trading_records", "trade_time", months=12, ahead=3),
)


@dataclass(frozen=True)
class PartitionReport:
    """What ``ensure_partitions`` found and did for one table."""

    table: str
    added: tuple[str, ...]
    """Names of the new partitions."""
    stray_rows: int
    """Rows that no period covered when it began; more than none is an alarm."""


def partition_sql(partitioning: Partitioning, today: date) -> str:
    """Return the statement that partitions a table for the first time.

    All that lies before this year goes into one partition.
    """
    start = date(today.year, 1, 1)
    parts = [_part("pbefore", start)]
    parts += [_part(name, end) for name, end in _periods(partitioning, start, today)]
    parts.append(f"PARTITION {CATCH_ALL} VALUES LESS THAN (MAXVALUE)")
    return (
        f"ALTER TABLE {partitioning.table} "
        f"DROP PRIMARY KEY, ADD PRIMARY KEY (id, {partitioning.column}) "
        f"PARTITION BY RANGE COLUMNS ({partitioning.column}) ({', '.join(parts)})"
    )


def is_partitioned(connection: Connection, table: str) -> bool:
    """Return whether a table of the connected database has partitions."""
    return bool(_bounds(connection, table))


def ensure_partitions(connection: Connection, today: date) -> list[PartitionReport]:
    """Add the periods that are missing; nothing happens when none is.

    Parameters
    ----------
    connection
        MariaDB, in autocommit: under an open transaction the change waits for itself.
    today
        The day, in UTC.

    Raises
    ------
    DependencyDown
        Another process has been at it for a minute.
    """
    # Locks are the server's, not a database's.
    name = "LEFT(CONCAT('truetonne-partitions-', DATABASE()), 64)"
    lock = connection.exec_driver_sql(f"SELECT GET_LOCK({name}, {LOCK_WAIT_S})")
    if lock.scalar_one() != 1:
        raise DependencyDown("another process is adding partitions; wait for it and try again")
    try:
        return [_ensure(connection, partitioning, today) for partitioning in PARTITIONED]
    finally:
        connection.exec_driver_sql(f"SELECT RELEASE_LOCK({name})")


def _ensure(connection: Connection, partitioning: Partitioning, today: date) -> PartitionReport:
    table = partitioning.table
    last = max(_bounds(connection, table))
    strays = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table} PARTITION ({CATCH_ALL})")
    stray_rows = int(strays.scalar_one())
    missing = list(_periods(partitioning, last, today))
    if missing:
        parts = ", ".join(_part(name, end) for name, end in missing)
        connection.exec_driver_sql(
            f"ALTER TABLE {table} REORGANIZE PARTITION {CATCH_ALL} INTO "
            f"({parts}, PARTITION {CATCH_ALL} VALUES LESS THAN (MAXVALUE))"
        )
    return PartitionReport(table, tuple(name for name, _ in missing), stray_rows)


def _periods(partitioning: Partitioning, start: date, today: date) -> Iterator[tuple[str, date]]:
    """Yield name and end of each period from ``start`` to ``ahead`` periods after today's."""
    years_only = partitioning.months == 12
    present = today.year * 12 + (0 if years_only else today.month - 1)
    stop = present + (partitioning.ahead + 1) * partitioning.months
    for month in range(start.year * 12 + start.month - 1, stop, partitioning.months):
        end = month + partitioning.months
        name = f"p{month // 12}" if years_only else f"p{month // 12}{month % 12 + 1:02d}"
        yield name, date(end // 12, end % 12 + 1, 1)


def _bounds(connection: Connection, table: str) -> list[date]:
    """Return the ends of a table's partitions, the catch-all left out."""
    rows = connection.exec_driver_sql(
        "SELECT partition_description FROM information_schema.partitions "
        "WHERE table_schema = DATABASE() AND table_name = %s "
        "AND partition_description <> 'MAXVALUE'",
        (table,),
    )
    return [date.fromisoformat(text.strip("'")[:10]) for (text,) in rows]


def _part(name: str, end: date) -> str:
    return f"PARTITION {name} VALUES LESS THAN ('{end.isoformat()}')"
