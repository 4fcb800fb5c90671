"""No parent of a partitioned table's rows gets another number: a foreign key would refuse it, too."""

from __future__ import annotations

from alembic import op

from ledger.migrations import steps

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

PARENTS = (
    # parent, partitioned child, the child's column
    ("devices", "device_data", "device_id"),
    ("vpp_definitions", "vpp_trading_records", "vpp_id"),
    ("vpp_trading_strategies", "vpp_trading_records", "strategy_id"),
)


def upgrade() -> None:
    """Create each trigger unless it is there; SQLite has the foreign keys themselves."""
    if steps.on_sqlite():
        return
    for parent, child, column in PARENTS:
        # The read locks, as the one before a deletion does.
        op.execute(
            f"CREATE TRIGGER IF NOT EXISTS {parent}_keeps_number_of_{child} "
            f"BEFORE UPDATE ON {parent} FOR EACH ROW BEGIN DECLARE found BIGINT; "
            "IF NEW.id <> OLD.id THEN "
            f"SELECT id INTO found FROM {child} WHERE {column} = OLD.id LIMIT 1 FOR UPDATE; "
            "IF found IS NOT NULL THEN SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1451, "
            f"MESSAGE_TEXT = '{parent} row has {child}: its number cannot change'; "
            "END IF; END IF; END"
        )
