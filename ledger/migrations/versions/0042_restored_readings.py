"""Readings that were withdrawn by mistake have their values again; one may be withdrawn once more after that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

WITHDRAWALS, RESTORATIONS = "reading_withdrawals", "reading_restorations"
KEY = ("reading_id", "turn")


def upgrade() -> None:
    """Give each withdrawal of a reading its number, and add the table of what ends them."""
    if steps.on_sqlite():
        steps.rebuild_table(
            WITHDRAWALS,
            _reading_id(),
            _turn("Which one of the reading, from 1 on."),
            sa.Column("reason", t.Varchar(500), nullable=False, comment="Why."),
            sa.Column("withdrawn_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
            sa.PrimaryKeyConstraint(*KEY),
            comment="A reading whose value was taken back.",
            new={"turn": "1"},
            key=KEY,
        )
        steps.append_only(WITHDRAWALS)  # its triggers went with the old one
    else:
        if steps.primary_key(WITHDRAWALS) != KEY:
            op.execute(
                f"ALTER TABLE {WITHDRAWALS} ADD COLUMN turn INTEGER NOT NULL DEFAULT 1 "
                "COMMENT 'Which one of the reading, from 1 on.' AFTER reading_id, "
                f"DROP PRIMARY KEY, ADD PRIMARY KEY ({', '.join(KEY)})"
            )
        # By itself: in one statement with the column, the rows that are there would get a 0.
        op.execute(f"ALTER TABLE {WITHDRAWALS} ALTER COLUMN turn DROP DEFAULT")
    steps.create_table(
        RESTORATIONS,
        _reading_id(),
        _turn("Which of its withdrawals ends."),
        sa.Column("reason", t.Varchar(500), nullable=False, comment="Why."),
        sa.Column("restored_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint(*KEY),
        comment="A reading that was withdrawn by mistake, and has its value again.",
    )
    steps.append_only(RESTORATIONS)


def _reading_id() -> sa.Column[int]:
    return sa.Column(
        "reading_id",
        sa.BigInteger(),
        autoincrement=False,
        nullable=False,
        comment="Row number of the reading.",
    )


def _turn(comment: str) -> sa.Column[int]:
    return sa.Column("turn", sa.Integer(), autoincrement=False, nullable=False, comment=comment)
