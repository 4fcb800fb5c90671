"""Events lose the index of their transactions: nothing asks by it, and it was the dearest of their table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

INDEX = "idx_chain_events_tx_hash"


def upgrade() -> None:
    """Drop the index, unless it is gone."""
    there = {item["name"] for item in sa.inspect(op.get_bind()).get_indexes("chain_events")}
    if INDEX in there:
        op.drop_index(INDEX, "chain_events")
