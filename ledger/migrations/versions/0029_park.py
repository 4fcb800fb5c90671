"""Records of a park: the turn of whoever writes them, and indexes of the questions that are asked of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

INDEXES = (
    ("device_alerts", "status"),
    ("vpp_operation_logs", "vpp_id", "executed_at"),
    ("price_optimization_history", "vpp_id", "optimized_at"),
    ("dynamic_dispatch_history", "vpp_id", "dispatch_time"),
    ("multi_objective_optimization", "vpp_id", "optimized_at"),
    ("decision_history", "model_id", "decision_time"),
    ("adaptive_parameter_adjustments", "model_id", "adjusted_at"),
    ("rl_experience_replay", "model_id", "recorded_at"),
    ("market_trend_predictions", "market_name", "prediction_time"),
    ("vpp_dispatch_commands", "resource_id", "starts_at"),
    ("vpp_market_prices", "market", "starts_at"),
    ("vpp_forecasts", "vpp_id", "starts_at"),
)


def upgrade() -> None:
    """Add the table, and the indexes that are not there; MariaDB drops those of foreign keys that they replace."""
    steps.create_table(
        "park_turns",
        sa.Column("name", t.Varchar(20), nullable=False, comment="Whose turn it is about."),
        sa.PrimaryKeyConstraint("name"),
        comment="A row that whoever writes records of a park holds until the commit.",
    )
    seen = sa.inspect(op.get_bind())
    for table, *columns in INDEXES:
        name = "_".join(("idx", table, *columns))
        if name not in {item["name"] for item in seen.get_indexes(table)}:
            op.create_index(name, table, columns)
