"""Readings whose values were taken back, each with its reason."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, and the triggers that keep it."""
    steps.create_table(
        "reading_withdrawals",
        sa.Column(
            "reading_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Row number of the reading.",
        ),
        sa.Column("reason", t.Varchar(500), nullable=False, comment="Why."),
        sa.Column("withdrawn_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("reading_id"),
        comment="A reading whose value was taken back.",
    )
    steps.append_only("reading_withdrawals")
