"""Events lose the index of their numbers in the log, retirements that of their blocks: other indexes tell both."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

INDEXES = {
    "chain_events": "idx_chain_events_seq",
    "credit_retirements": "idx_credit_retirements_block_number",
}


def upgrade() -> None:
    """Drop the indexes, unless they are gone."""
    for table, index in INDEXES.items():
        if index in {item["name"] for item in sa.inspect(op.get_bind()).get_indexes(table)}:
            op.drop_index(index, table)
