"""How far the mirror was held against the chain: one row for each network."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    steps.create_table(
        "mirror_verifications",
        sa.Column("network", t.Varchar(50), nullable=False, comment="Name of the network."),
        sa.Column(
            "from_number",
            sa.BigInteger(),
            nullable=False,
            comment="First block that was compared last.",
        ),
        sa.Column(
            "to_number",
            sa.BigInteger(),
            nullable=False,
            comment="Last block that was compared last.",
        ),
        sa.Column("verified_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.Column(
            "differences",
            sa.BigInteger(),
            nullable=False,
            comment="How many were found; 0: none.",
        ),
        sa.Column(
            "through_number",
            sa.BigInteger(),
            nullable=True,
            comment="Final block to which all is as the chain says, from the first one on; null: none yet.",
        ),
        sa.Column("through_hash", t.Hash, nullable=True, comment="Its hash."),
        sa.PrimaryKeyConstraint("network"),
        comment="How far the mirror was held against the chain.",
    )
