"""Partitions by time for the two large tables on MariaDB; SQLite has none."""

from __future__ import annotations

from datetime import UTC, datetime

from alembic import op

from ledger.migrations import steps
from ledger.models.partitions import PARTITIONED, is_partitioned, partition_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give each table its server's primary key (id, time) and its partitions in one statement."""
    if steps.on_sqlite():
        return
    today = datetime.now(UTC).date()
    for partitioning in PARTITIONED:
        if not is_partitioned(op.get_bind(), partitioning.table):
            op.execute(partition_sql(partitioning, today))
