"""Triggers: books that only grow, and no parent deleted under the rows of a partitioned table."""

from __future__ import annotations

from alembic import op

from ledger.migrations import steps

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit_logs", "emission_factors")
PARENTS = (
    # parent, partitioned child, the child's column
    ("devices", "device_data", "device_id"),
    ("vpp_definitions", "vpp_trading_records", "vpp_id"),
    ("vpp_trading_strategies", "vpp_trading_records", "strategy_id"),
)


def upgrade() -> None:
    """Create each trigger unless it is there."""
    for table in APPEND_ONLY:
        steps.append_only(table)
    if not steps.on_sqlite():  # SQLite has the foreign keys themselves
        for parent, child, column in PARENTS:
            _keep_parent(parent, child, column)


def _keep_parent(parent: str, child: str, column: str) -> None:
    """Refuse, with a foreign key's error, to delete a parent that has rows.

    The read locks: a plain one does not see rows that another transaction is about to commit.
    """
    op.execute(
        f"CREATE TRIGGER IF NOT EXISTS {parent}_keeps_{child} BEFORE DELETE ON {parent} "
        "FOR EACH ROW BEGIN DECLARE found BIGINT; "
        f"SELECT id INTO found FROM {child} WHERE {column} = OLD.id LIMIT 1 FOR UPDATE; "
        "IF found IS NOT NULL THEN SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1451, "
        f"MESSAGE_TEXT = '{parent} row has {child}: it cannot be deleted'; END IF; END"
    )
