"""What answers about the chain say beside themselves: the last reconciliation, and states of before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

INDEX = "idx_chain_events_event_name_block_number"


def upgrade() -> None:
    """Add the table of the last outcome, and an index of events by their name."""
    steps.create_table(
        "reconciliations",
        sa.Column("network", t.Varchar(50), nullable=False, comment="Name of the network."),
        sa.Column(
            "block_number",
            sa.BigInteger(),
            nullable=False,
            comment="Block that books and chain were compared at.",
        ),
        sa.Column("compared_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.Column("ok", sa.Boolean(), nullable=False, comment="Whether every rule held."),
        sa.Column(
            "rules",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="Each rule with its name, how many differences, and the first of them.",
        ),
        sa.PrimaryKeyConstraint("network"),
        comment="What the last comparison found.",
    )
    there = {item["name"] for item in sa.inspect(op.get_bind()).get_indexes("chain_events")}
    if INDEX not in there:
        op.create_index(INDEX, "chain_events", ["event_name", "block_number"])
