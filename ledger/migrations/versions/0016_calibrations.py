"""Several calibrations of a meter, one after the other."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, unless a run that was cut short did."""
    comment = (
        "Its calibrations in order, where the site file names several; null: the columns above."
    )
    steps.add_column("meters", sa.Column("calibrations", sa.JSON(), nullable=True, comment=comment))
