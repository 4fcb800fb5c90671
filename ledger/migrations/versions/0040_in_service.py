"""When a meter is there: no reading of another time is missed. And which factors an inventory knows."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, unless a run that was cut short did."""
    for name, which in (("in_service_from", "First"), ("in_service_to", "Last")):
        comment = f"{which} legal day on which it is there; null: open."
        steps.add_column("meters", sa.Column(name, sa.Date(), nullable=True, comment=comment))
    comment = "Row number of the last factor among whose versions its inventory chooses; null: the named ones."
    steps.add_column(
        "sites", sa.Column("factors_until", sa.Integer(), nullable=True, comment=comment)
    )
