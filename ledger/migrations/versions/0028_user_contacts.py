"""Mail addresses are sealed: a table for them, and another sense of ``users.email``.

The rows that are there are sealed by ``truetonne db upgrade`` afterwards, and by ``truetonne db keys reseal``:
the key is not in the database, and no business of a migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and say what stands in ``users`` now."""
    steps.create_table(
        "user_contacts",
        sa.Column(
            "user_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Row number of the user.",
        ),
        sa.Column(
            "email_sealed",
            sa.Text(),
            nullable=False,
            comment="Mail address, AES-256-GCM, with the number of its key.",
        ),
        sa.PrimaryKeyConstraint("user_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        comment="The mail address of a user, sealed.",
    )
    if not steps.on_sqlite():
        op.alter_column(
            "users",
            "email",
            existing_type=t.Varchar(100),
            existing_nullable=False,
            comment="Blind index of the mail address, which is sealed in user_contacts.",
        )
        op.alter_column(
            "users",
            "profile",
            existing_type=sa.JSON(none_as_null=True),
            existing_nullable=True,
            comment="Preferences, sealed.",
        )
