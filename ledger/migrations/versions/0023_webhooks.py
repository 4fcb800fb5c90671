"""Webhooks: endpoints, messages, deliveries, tries."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

STATES = ("active", "paused", "disabled", "removed")
STEPS = ("pending", "delivered", "failed")


def upgrade() -> None:
    """Create four tables."""
    _endpoints()
    _messages()
    _deliveries()
    _tries()


def _endpoints() -> None:
    steps.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "url", t.Varchar(2000), nullable=False, comment="Address that messages are posted to."
        ),
        sa.Column("description", t.Varchar(200), nullable=True, comment="Whose it is, for people."),
        sa.Column(
            "event_types",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="Types that it wants; a last part `*` stands for any.",
        ),
        sa.Column(
            "secret_sealed",
            t.Varchar(400),
            nullable=False,
            comment="Secret that messages are signed with, encrypted.",
        ),
        sa.Column(
            "former_sealed",
            t.Varchar(400),
            nullable=True,
            comment="Secret before it, encrypted; signs as well for a while.",
        ),
        sa.Column(
            "former_until", t.UtcDateTime(), nullable=True, comment="Until when it does, UTC."
        ),
        sa.Column(
            "state",
            sa.Enum(*STATES, name="state", create_constraint=True),
            nullable=False,
            comment="Whether it is told anything.",
        ),
        sa.Column("reason", t.Varchar(500), nullable=True, comment="Why it is disabled."),
        sa.Column(
            "told_block",
            sa.BigInteger(),
            nullable=False,
            comment="Last final block whose events became deliveries to it.",
        ),
        sa.Column(
            "heard_at",
            t.UtcDateTime(),
            nullable=True,
            comment="When it last took a message, UTC; null: never.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at",
            t.UtcDateTime(),
            nullable=False,
            comment="When the row last changed, UTC.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="An address that is told of events.",
    )


def _messages() -> None:
    steps.create_table(
        "webhook_messages",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "message_id",
            t.Varchar(40),
            nullable=False,
            comment="webhook-id: made of chain, transaction and log.",
        ),
        sa.Column("event_type", t.Varchar(60), nullable=False, comment="Type of the event."),
        sa.Column(
            "tx_hash", t.Hash, nullable=True, comment="Transaction of the event; null: a test."
        ),
        sa.Column("block_number", sa.BigInteger(), nullable=True, comment="Its final block."),
        sa.Column("body", t.MediumText, nullable=False, comment="Body as posted, JSON."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
        comment="An event as it is told.",
        indexes=(("block_number",),),
    )


def _deliveries() -> None:
    steps.create_table(
        "webhook_deliveries",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "endpoint_id", sa.Integer(), nullable=False, comment="Row number of the endpoint."
        ),
        sa.Column(
            "message_row", sa.BigInteger(), nullable=False, comment="Row number of the message."
        ),
        sa.Column(
            "state",
            sa.Enum(*STEPS, name="state", create_constraint=True),
            nullable=False,
            comment="How far it has come.",
        ),
        sa.Column(
            "tries",
            sa.Integer(),
            nullable=False,
            comment="How often it was sent since it was last due anew.",
        ),
        sa.Column(
            "due_at",
            t.UtcDateTime(),
            nullable=False,
            comment="When it is to be sent (again), UTC.",
        ),
        sa.Column(
            "delivered_at", t.UtcDateTime(), nullable=True, comment="When it was taken, UTC."
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("endpoint_id", "message_row"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"]),
        sa.ForeignKeyConstraint(["message_row"], ["webhook_messages.id"]),
        comment="A message to an endpoint.",
        indexes=(("state", "due_at"),),
    )


def _tries() -> None:
    steps.create_table(
        "webhook_tries",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "delivery_id", sa.BigInteger(), nullable=False, comment="Row number of the delivery."
        ),
        sa.Column("at", t.UtcDateTime(), nullable=False, comment="When it was sent, UTC."),
        sa.Column("duration_ms", sa.Integer(), nullable=False, comment="Until the answer, ms."),
        sa.Column(
            "http_status", sa.Integer(), nullable=True, comment="Status of the answer; null: none."
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="Why it does not count as taken; null: it was taken.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["delivery_id"], ["webhook_deliveries.id"]),
        comment="One sending of a delivery.",
        indexes=(("delivery_id",),),
    )
