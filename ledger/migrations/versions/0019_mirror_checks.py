"""What the mirror could not check; mirrors from before have believed what receipts they were told."""

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, with a row for each mirror that there is."""
    steps.create_table(
        "mirror_checks",
        sa.Column("network", t.Varchar(50), nullable=False, comment="Name of the network."),
        sa.Column(
            "told_number",
            sa.BigInteger(),
            nullable=True,
            comment="Last block whose receipts were not held against its hash; null: none.",
        ),
        sa.Column(
            "log_end_reason",
            sa.Text(),
            nullable=True,
            comment="Why the contract's end of the credit log could not be asked at the head; null: it was.",
        ),
        sa.PrimaryKeyConstraint("network"),
        comment="What the mirror could not check.",
    )
    op.execute(
        "INSERT INTO mirror_checks (network, told_number) "
        "SELECT network, block_number FROM chain_cursor "
        "WHERE network NOT IN (SELECT network FROM mirror_checks)"
    )
