"""Intents are found by state and time, and by block, attempts by nonce, cancellations by key.

All that were ever sent, or cancelled, were read for it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

INDEXES = (
    ("chain_intents", ("state", "created_at")),
    ("chain_intents", ("block_number",)),
    ("chain_attempts", ("nonce",)),
    ("credit_cancellations", ("key",)),
)
REPLACED, OF = "idx_chain_intents_state", "chain_intents"


def upgrade() -> None:
    """Add the indexes that are not there; drop the one that is the beginning of another, unless it is gone."""
    for table, columns in INDEXES:
        name = "_".join(("idx", table, *columns))
        if name not in _indexes(table):
            op.create_index(name, table, list(columns))
    if REPLACED in _indexes(OF):
        op.drop_index(REPLACED, OF)


def _indexes(table: str) -> set[str]:
    return {str(item["name"]) for item in sa.inspect(op.get_bind()).get_indexes(table)}
