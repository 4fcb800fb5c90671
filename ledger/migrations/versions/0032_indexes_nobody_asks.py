"""Transfers lose the index of their batch, movements that of their account: nothing asks by them, and rows pay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

INDEXES = {
    "credit_transfers": "idx_credit_transfers_batch_id",
    "settlement_movements": "idx_settlement_movements_account",
}


def upgrade() -> None:
    """Drop the indexes, unless they are gone."""
    for table, index in INDEXES.items():
        there = {item["name"] for item in sa.inspect(op.get_bind()).get_indexes(table)}
        if index in there:
            op.drop_index(index, table)
