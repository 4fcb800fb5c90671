"""Energy that is certified elsewhere, and late readings of registers that corrections have counted."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create two tables, and let a correction have one more cause."""
    steps.add_choices("corrections", "cause", "energy_certificate")
    _energy_certificates()
    _correction_registers()
    steps.append_only("correction_registers")


def _energy_certificates() -> None:
    steps.create_table(
        "energy_certificates",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("meter_id", sa.Integer(), nullable=False, comment="Row number of the meter."),
        sa.Column(
            "instrument",
            t.Varchar(40),
            nullable=False,
            comment="What it is, such as GEC, I-REC or GO.",
        ),
        sa.Column(
            "reference",
            t.Varchar(100),
            nullable=False,
            comment="Its number or range of numbers in the registry that issued it.",
        ),
        sa.Column("from_day", sa.Date(), nullable=False, comment="First legal day of the energy."),
        sa.Column("to_day", sa.Date(), nullable=False, comment="Last legal day of the energy."),
        sa.Column(
            "energy_mwh",
            t.Varchar(40),
            nullable=True,
            comment="How much, a decimal text, MWh; null: a share.",
        ),
        sa.Column(
            "share",
            t.Varchar(40),
            nullable=True,
            comment="Which share of what was supplied, a decimal text; null: an amount.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("meter_id", "instrument", "reference"),
        sa.CheckConstraint("(energy_mwh IS NULL) <> (share IS NULL)", name="amount"),
        sa.CheckConstraint("from_day <= to_day", name="days"),
        sa.ForeignKeyConstraint(["meter_id"], ["meters.id"]),
        comment="Energy certified elsewhere.",
    )


def _correction_registers() -> None:
    steps.create_table(
        "correction_registers",
        sa.Column(
            "register_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Row number of the register reading.",
        ),
        sa.Column(
            "issuance_id",
            t.BigInt,
            nullable=False,
            autoincrement=False,
            comment="Row number of the issuance.",
        ),
        sa.Column(
            "correction_id", t.BigInt, nullable=False, comment="Row number of the correction."
        ),
        sa.PrimaryKeyConstraint("register_id", "issuance_id"),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"]),
        sa.ForeignKeyConstraint(["correction_id"], ["corrections.id"]),
        comment="A late register reading, counted once.",
        indexes=(("issuance_id",), ("correction_id",)),
    )
