"""Alerts of devices in webhooks: which endpoint was told of which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; a message may tell what is none of the chain's."""
    steps.create_table(
        "webhook_alerts",
        sa.Column(
            "endpoint_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Row number of the endpoint.",
        ),
        sa.Column(
            "alert_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Row number of the alert, which may be withdrawn and gone.",
        ),
        sa.Column(
            "is_open",
            sa.Boolean(),
            nullable=False,
            comment="Whether it was raised when last told of.",
        ),
        sa.Column("times", sa.Integer(), nullable=False, comment="How often it was told of."),
        sa.Column(
            "facts",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="What was told of it when it was raised.",
        ),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"]),
        sa.PrimaryKeyConstraint("endpoint_id", "alert_id"),
        comment="An alert that an endpoint was told of.",
        indexes=(("endpoint_id", "is_open"),),
    )
    if not steps.on_sqlite():
        op.alter_column(
            "webhook_messages",
            "message_id",
            existing_type=t.Varchar(40),
            existing_nullable=False,
            comment="webhook-id: made of what it tells.",
        )
        op.alter_column(
            "webhook_messages",
            "tx_hash",
            existing_type=t.Hash,
            existing_nullable=True,
            comment="Transaction of the event; null: none of the chain's.",
        )
