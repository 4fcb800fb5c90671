"""API keys, answers that are given once, attempts to sign in."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create three tables."""
    steps.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "user_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the user for whom it acts.",
        ),
        sa.Column(
            "name", t.Varchar(100), nullable=False, comment="What it is for, in its user's words."
        ),
        sa.Column(
            "prefix",
            t.Varchar(12),
            nullable=False,
            comment="First characters of the key, by which people name it.",
        ),
        sa.Column("key_hash", t.Sha256, nullable=False, comment="SHA-256 of the whole key."),
        sa.Column(
            "scopes",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="Rights that it carries, as far as its user has them.",
        ),
        sa.Column("created_at", t.UtcDateTime(), nullable=False, comment="When it was made, UTC."),
        sa.Column(
            "expires_at", t.UtcDateTime(), nullable=False, comment="When it ends by itself, UTC."
        ),
        sa.Column(
            "last_used_at",
            t.UtcDateTime(),
            nullable=True,
            comment="When it was last used, UTC, to a few minutes; null: never.",
        ),
        sa.Column(
            "revoked_at",
            t.UtcDateTime(),
            nullable=True,
            comment="When it was revoked, UTC; null: it was not.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.UniqueConstraint("prefix"),
        comment="A key by which a program acts for a user.",
        indexes=(("user_id",),),
    )
    _idempotency_keys()
    _sign_in_attempts()


def _idempotency_keys() -> None:
    steps.create_table(
        "idempotency_keys",
        sa.Column(
            "key_hash",
            t.Sha256,
            nullable=False,
            comment="SHA-256 of who asked, what was called, and the key.",
        ),
        sa.Column(
            "salt",
            t.Hex(16, prefix=""),
            nullable=False,
            comment="Salt of what is made from key and request.",
        ),
        sa.Column(
            "fingerprint",
            t.Sha256,
            nullable=False,
            comment="By which the same request is known again; scrypt.",
        ),
        sa.Column(
            "claim", t.Varchar(32), nullable=False, comment="Number of the run that answers it."
        ),
        sa.Column(
            "claimed_at", t.UtcDateTime(), nullable=False, comment="When that run began, UTC."
        ),
        sa.Column(
            "answer",
            t.MediumText,
            nullable=True,
            comment="The answer, encrypted, in base64; null: it is on its way.",
        ),
        sa.PrimaryKeyConstraint("key_hash"),
        comment="A request that is answered once, and its answer.",
        indexes=(("claimed_at",),),
    )


def _sign_in_attempts() -> None:
    steps.create_table(
        "sign_in_attempts",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "name_hash",
            t.Sha256,
            nullable=False,
            comment="SHA-256 of the name: people type passwords into the wrong field.",
        ),
        sa.Column("ip_address", t.Varchar(45), nullable=False, comment="Address of the client."),
        sa.Column("attempted_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        comment="An attempt to sign in that did not succeed.",
        indexes=(
            ("name_hash", "attempted_at"),
            ("ip_address", "attempted_at"),
            ("attempted_at",),
        ),
    )
