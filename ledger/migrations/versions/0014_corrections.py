"""Corrections of issued periods: found once, counted once, cancelled or carried."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first, and the triggers."""
    _corrections()
    _correction_readings()
    _correction_carries()
    for table in ("corrections", "correction_readings"):
        steps.append_only(table)


def _corrections() -> None:
    steps.create_table(
        "corrections",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "key",
            t.Hash,
            nullable=False,
            comment="Key of the correction; the manifest that carries it names it.",
        ),
        sa.Column("issuance_id", t.BigInt, nullable=False, comment="Row number of the issuance."),
        sa.Column(
            "cause",
            sa.Enum(
                "late_readings", "changed_factor", "other", name="cause", create_constraint=True
            ),
            nullable=False,
            comment="Why it was computed again.",
        ),
        sa.Column(
            "factor_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the factor that it takes.",
        ),
        sa.Column(
            "late_readings",
            sa.Integer(),
            nullable=False,
            comment="Late readings that no correction had counted before.",
        ),
        sa.Column(
            "effect_kg",
            t.Varchar(120),
            nullable=False,
            comment="Reductions as recomputed less those known before, kg CO2e, an exact fraction n/d.",
        ),
        sa.Column(
            "owed_kg",
            t.Varchar(120),
            nullable=False,
            comment="Of it: what was issued too much and not paid yet, kg CO2e, an exact fraction n/d.",
        ),
        sa.Column(
            "cancelled_kg",
            sa.BigInteger(),
            nullable=False,
            comment="What the act cancels, whole kg; the rest of what is owed is carried.",
        ),
        sa.Column(
            "act_key",
            t.Hash,
            nullable=True,
            comment="Key of the cancellation on chain; null: none.",
        ),
        sa.Column(
            "state",
            sa.Enum("recorded", "cancelled", "carried", name="state", create_constraint=True),
            nullable=False,
            comment="What was decided.",
        ),
        sa.Column(
            "manifest",
            t.MediumText,
            nullable=False,
            comment="Canonical JSON of the recomputation.",
        ),
        sa.Column("manifest_hash", t.Hash, nullable=False, comment="keccak-256 of it."),
        sa.Column("found_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sa.UniqueConstraint("act_key"),
        sa.UniqueConstraint("issuance_id", "manifest_hash"),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"]),
        sa.ForeignKeyConstraint(["factor_id"], ["emission_factors.id"]),
        comment="The effect of what was learnt late; append-only.",
    )


def _correction_readings() -> None:
    steps.create_table(
        "correction_readings",
        sa.Column(
            "reading_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Row number of the reading.",
        ),
        sa.Column(
            "correction_id", t.BigInt, nullable=False, comment="Row number of the correction."
        ),
        sa.PrimaryKeyConstraint("reading_id"),
        sa.ForeignKeyConstraint(["correction_id"], ["corrections.id"]),
        comment="A late reading, counted once.",
        indexes=(("correction_id",),),
    )


def _correction_carries() -> None:
    steps.create_table(
        "correction_carries",
        sa.Column(
            "correction_id",
            t.BigInt,
            nullable=False,
            autoincrement=False,
            comment="Row number of the correction.",
        ),
        sa.Column(
            "issuance_id",
            t.BigInt,
            nullable=False,
            autoincrement=False,
            comment="Row number of the issuance that it entered.",
        ),
        sa.Column(
            "carried_kg",
            t.Varchar(120),
            nullable=False,
            comment="What was carried, below zero, kg CO2e, an exact fraction n/d.",
        ),
        sa.PrimaryKeyConstraint("correction_id", "issuance_id"),
        sa.ForeignKeyConstraint(["correction_id"], ["corrections.id"]),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"]),
        comment="A deficit that an issuance paid.",
        indexes=(("issuance_id",),),
    )
