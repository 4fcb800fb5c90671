"""How long a value may stand still before it is a flat line, for each meter.

Meters that are there get null: their readings stay as they were judged until their site file, which
has a default, is applied again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, unless a run that was cut short did."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("meters")}
    if "stuck_hours" not in there:
        op.add_column(
            "meters",
            sa.Column(
                "stuck_hours",
                sa.SmallInteger(),
                nullable=True,
                comment="Hours of one positive value that are a flat line, 24: the legal day; 0, null: never.",
            ),
        )
