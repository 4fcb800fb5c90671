"""Devices with values in the archive, which are kept by a foreign key that an archive cannot have."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    steps.create_table(
        "archived_devices",
        sa.Column(
            "device_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Row number of the device (not its code).",
        ),
        sa.Column(
            "created_at",
            t.UtcDateTime(),
            nullable=False,
            comment="When values of it first went there, UTC.",
        ),
        sa.PrimaryKeyConstraint("device_id"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"]),
        comment="A device with archived values.",
    )
