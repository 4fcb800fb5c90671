"""Batches are found by the root and the manifest that a certificate prints, and issuances by how far they have come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

INDEXES = (
    ("credit_batches", "evidence_root"),
    ("credit_batches", "manifest_hash"),
    ("issuances", "state"),
)


def upgrade() -> None:
    """Add the indexes that are not there."""
    seen = sa.inspect(op.get_bind())
    for table, column in INDEXES:
        name = f"idx_{table}_{column}"
        if name not in {item["name"] for item in seen.get_indexes(table)}:
            op.create_index(name, table, [column])
