"""Inclusions are kept by their place in the chain, and found by the hash as well.

By the hash, which is written all over, each of a long chain's rows went to a page of its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

TABLE = "chain_inclusions"
KEY = ("block_number", "tx_index")


def upgrade() -> None:
    """Change the primary key, unless it is the new one."""
    if steps.on_sqlite():
        _rebuild()
    elif steps.primary_key(TABLE) != KEY:
        op.execute(
            f"ALTER TABLE {TABLE} DROP PRIMARY KEY, ADD PRIMARY KEY ({', '.join(KEY)}), "
            f"ADD UNIQUE KEY uq_{TABLE}_tx_hash (tx_hash), DROP KEY idx_{TABLE}_block_number"
        )


def _rebuild() -> None:
    steps.rebuild_table(
        TABLE,
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Hash of it."),
        sa.Column(
            "block_number",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Block that it is in.",
        ),
        sa.Column("block_hash", t.Hash, nullable=False, comment="Hash of that block."),
        sa.Column(
            "tx_index",
            sa.Integer(),
            nullable=False,
            autoincrement=False,
            comment="Position in that block.",
        ),
        sa.Column("sender", t.Address, nullable=False, comment="Account that sent it."),
        sa.Column("nonce", sa.BigInteger(), nullable=False, comment="Its nonce."),
        sa.Column("intent_key", t.Hash, nullable=True, comment="Key of our intent; null: foreign."),
        sa.Column("error", t.Varchar(500), nullable=True, comment="Why it reverted."),
        sa.PrimaryKeyConstraint(*KEY),
        sa.ForeignKeyConstraint(["tx_hash"], ["blockchain_transactions.tx_hash"]),
        sa.UniqueConstraint("tx_hash"),
        comment="Where a transaction stands.",
        new={},
        key=KEY,
    )
