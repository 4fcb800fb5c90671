"""Movements of settlement lose the index of their account: nothing asks by it, and rows pay for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TABLE, INDEX = "settlement_movements", "idx_settlement_movements_account"


def upgrade() -> None:
    """Drop the index, unless it is gone."""
    if INDEX in {item["name"] for item in sa.inspect(op.get_bind()).get_indexes(TABLE)}:
        op.drop_index(INDEX, TABLE)
