"""What the sender keeps: the nonce of each attempt, alarms, and what an account may still spend today."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and table; attempts that are there have the nonce of their intent."""
    steps.add_column(
        "chain_intents",
        sa.Column(
            "alarm",
            sa.Text(),
            nullable=True,
            comment="What keeps it from a block, and what to do; null: nothing known.",
        ),
    )
    steps.add_column(
        "chain_attempts",
        sa.Column(
            "nonce",
            sa.BigInteger(),
            nullable=True,
            comment="Its nonce; another than the intent's: a stranger took this one.",
        ),
    )
    quote = op.get_bind().dialect.identifier_preparer.quote  # key is a word of SQL
    intents = f"chain_intents.{quote('key')} = chain_attempts.intent_key"
    op.execute(
        "UPDATE chain_attempts SET nonce = "
        f"(SELECT chain_intents.nonce FROM chain_intents WHERE {intents}) WHERE nonce IS NULL"
    )
    steps.create_table(
        "chain_spending",
        sa.Column(
            "chain_id", sa.BigInteger(), nullable=False, autoincrement=False, comment="Chain."
        ),
        sa.Column("address", t.Address, nullable=False, comment="Account."),
        sa.Column("day", sa.Date(), nullable=False, comment="Day, UTC."),
        sa.Column(
            "transactions", sa.Integer(), nullable=False, comment="Nonces that were signed for."
        ),
        sa.Column(
            "cost_wei",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="The most that they can cost, gas times highest fee, in wei.",
        ),
        sa.PrimaryKeyConstraint("chain_id", "address", "day"),
        comment="What was signed for an account on a day.",
    )
