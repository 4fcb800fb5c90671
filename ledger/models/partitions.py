"""Partitions by time of the two large tables on MariaDB, kept several periods ahead.

Behind the last period stands ``pmax``, which takes what no period covers: it must stay empty, and
rows in it are an alarm. Without it, an insert past the last period fails, and with INSERT IGNORE
the row is gone silently. Before the first period stands ``pbefore``, which takes all that is older.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from ledger.errors import DependencyDown

CATCH_ALL = "pmax"
BEFORE = "pbefore"
LOCK_WAIT_S = 60
"""How long a process waits while another changes partitions, in seconds."""
_LOCK = "LEFT(CONCAT('truetonne-partitions-', DATABASE()), 64)"
"""Its name, as SQL: locks are the server's, not a database's."""


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
    """Rows that no period covered when it began."""
    stray_left: int
    """Rows that none covers now; more than none is an alarm."""


@dataclass(frozen=True)
class Partition:
    """One partition as the server has it."""

    name: str
    end: date | None
    """First day that lies behind it; None: it takes all that no other covers."""
    rows: int
    """The server's estimate."""
    size_bytes: int
    """Rows and indexes."""


def partition_sql(partitioning: Partitioning, today: date) -> str:
    """Return the statement that partitions a table for the first time.

    All that lies before this year goes into one partition.
    """
    start = date(today.year, 1, 1)
    parts = [part_sql(BEFORE, start)]
    parts += [part_sql(name, end) for name, end in _periods(partitioning, start, today)]
    parts.append(f"PARTITION {CATCH_ALL} VALUES LESS THAN (MAXVALUE)")
    return (
        f"ALTER TABLE {partitioning.table} "
        f"DROP PRIMARY KEY, ADD PRIMARY KEY (id, {partitioning.column}) "
        f"PARTITION BY RANGE COLUMNS ({partitioning.column}) ({', '.join(parts)})"
    )


def is_partitioned(connection: Connection, table: str) -> bool:
    """Return whether a table of the connected database has partitions."""
    return bool(partitions_of(connection, table))


def partitions_of(connection: Connection, table: str, schema: str | None = None) -> list[Partition]:
    """Return the partitions of a table in the order of their times; none for a plain table.

    Parameters
    ----------
    connection
        MariaDB.
    schema
        Database of the table; None: the connected one.
    """
    rows = connection.exec_driver_sql(
        "SELECT partition_name, partition_description, table_rows, data_length + index_length "
        "FROM information_schema.partitions WHERE table_schema = COALESCE(%s, DATABASE()) "
        "AND table_name = %s AND partition_name IS NOT NULL ORDER BY partition_ordinal_position",
        (schema, table),
    )
    return [
        Partition(
            str(name),
            None if end == "MAXVALUE" else date.fromisoformat(str(end).strip("'")[:10]),
            int(count or 0),
            int(size or 0),
        )
        for name, end, count, size in rows
    ]


def ensure_partitions(
    connection: Connection, today: date, until: date | None = None
) -> list[PartitionReport]:
    """Add the periods that are missing; nothing happens when none is.

    Rows that no period covered move into the new periods that cover them: the server copies them
    within the one statement, and none is lost.

    Parameters
    ----------
    connection
        MariaDB, in autocommit: under an open transaction the change waits for itself.
    today
        The day, in UTC.
    until
        A day that is to be covered as well, however far it lies ahead.

    Raises
    ------
    DependencyDown
        Another process has been at it for a minute.
    """
    with alone(connection):
        return [_ensure(connection, partitioning, today, until) for partitioning in PARTITIONED]


@contextmanager
def alone(connection: Connection, wait_s: int = LOCK_WAIT_S) -> Iterator[None]:
    """Keep other processes from changing the partitions of this database while the block runs.

    The server lets go of the lock when the connection ends, however it ends.

    Raises
    ------
    DependencyDown
        Another process has been at it for so long, or copies the server's files.
    """
    lock = connection.exec_driver_sql(f"SELECT GET_LOCK({_LOCK}, {wait_s})")
    if lock.scalar_one() != 1:
        raise DependencyDown(
            "another process changes partitions, or takes a backup, in which changed ones would be lost; wait for it "
            "and try again",
            code="database-busy",
        )
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"SELECT RELEASE_LOCK({_LOCK})")


def is_alone(connection: Connection) -> bool:
    """Return whether a connection holds what ``alone`` took: the server may have been started again since."""
    held = connection.exec_driver_sql(f"SELECT IS_USED_LOCK({_LOCK}) = CONNECTION_ID()")
    return bool(held.scalar_one())


def missing_periods(
    connection: Connection, partitioning: Partitioning, today: date, until: date | None = None
) -> list[tuple[str, date]]:
    """Return name and end of each period that ``ensure_partitions`` would add to a table."""
    ends = [part.end for part in partitions_of(connection, partitioning.table) if part.end]
    return list(_periods(partitioning, max(ends), today, until))


def stray_rows(connection: Connection, table: str) -> int:
    """Return how many rows no period covers."""
    found = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table} PARTITION ({CATCH_ALL})")
    return int(found.scalar_one())


def part_sql(name: str, end: date) -> str:
    """Return the clause of a partition that ends before a day."""
    return f"PARTITION {name} VALUES LESS THAN ('{end.isoformat()}')"


def _ensure(
    connection: Connection, partitioning: Partitioning, today: date, until: date | None
) -> PartitionReport:
    table = partitioning.table
    before = stray_rows(connection, table)
    missing = missing_periods(connection, partitioning, today, until)
    if missing:
        parts = ", ".join(part_sql(name, end) for name, end in missing)
        connection.exec_driver_sql(
            f"ALTER TABLE {table} REORGANIZE PARTITION {CATCH_ALL} INTO "
            f"({parts}, PARTITION {CATCH_ALL} VALUES LESS THAN (MAXVALUE))"
        )
    left = stray_rows(connection, table) if before else 0
    return PartitionReport(table, tuple(name for name, _ in missing), before, left)


def _periods(
    partitioning: Partitioning, start: date, today: date, until: date | None = None
) -> Iterator[tuple[str, date]]:
    """Yield name and end of each period from ``start`` to ``ahead`` periods after today's."""
    years_only = partitioning.months == 12
    stop = _period(partitioning, today) + (partitioning.ahead + 1) * partitioning.months
    if until is not None:
        stop = max(stop, _period(partitioning, until) + partitioning.months)
    for month in range(start.year * 12 + start.month - 1, stop, partitioning.months):
        end = month + partitioning.months
        name = f"p{month // 12}" if years_only else f"p{month // 12}{month % 12 + 1:02d}"
        yield name, date(end // 12, end % 12 + 1, 1)


def _period(partitioning: Partitioning, day: date) -> int:
    """Return the month in which the period of a day begins, counted from the year 0."""
    return day.year * 12 + (0 if partitioning.months == 12 else day.month - 1)
