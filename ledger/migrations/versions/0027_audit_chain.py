"""The audit log is a hash chain; the entries that are there get their places by their numbers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session

from ledger.audit_chain import GENESIS, link_all
from ledger.migrations import steps
from ledger.models import types as t

revision = "0027"
down_revision = "0024"
branch_labels = None
depends_on = None

_PIECE = 10_000


def upgrade() -> None:
    """Create the chain and its end, and give every entry its place."""
    steps.create_table(
        "audit_chain",
        sa.Column(
            "position",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Place in the chain, from 1 on without a gap.",
        ),
        sa.Column("audit_id", t.BigInt, nullable=False, comment="Row number of the entry."),
        sa.Column(
            "previous_hash",
            t.Sha256,
            nullable=False,
            comment="Hash of the place before; zeros: this is the first.",
        ),
        sa.Column(
            "entry_hash",
            t.Sha256,
            nullable=False,
            comment="SHA-256 of place, hash before and entry.",
        ),
        sa.PrimaryKeyConstraint("position"),
        sa.ForeignKeyConstraint(["audit_id"], ["audit_logs.id"]),
        sa.UniqueConstraint("audit_id"),
        comment="The place of an audit entry in the chain; append-only.",
    )
    steps.create_table(
        "audit_heads",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="1, always."),
        sa.Column(
            "position", sa.BigInteger(), nullable=False, comment="The last place; 0: none yet."
        ),
        sa.Column("entry_hash", t.Sha256, nullable=False, comment="Hash of the last place."),
        sa.PrimaryKeyConstraint("id"),
        comment="The end of the audit chain.",
    )
    link = op.get_bind()
    if not link.scalar(sa.text("SELECT COUNT(*) FROM audit_heads")):
        first = sa.text("INSERT INTO audit_heads (id, position, entry_hash) VALUES (1, 0, :hash)")
        link.execute(first, {"hash": GENESIS})
    _link_all(link)
    steps.append_only("audit_chain")


def _link_all(link: sa.Connection) -> None:
    """Give the entries without a place their places, oldest first."""
    loose = sa.text(
        "SELECT a.id FROM audit_logs a LEFT JOIN audit_chain c ON c.audit_id = a.id "
        f"WHERE c.audit_id IS NULL ORDER BY a.id LIMIT {_PIECE}"
    )
    with Session(link, join_transaction_mode="rollback_only") as session:
        while numbers := session.scalars(loose).all():
            link_all(session, numbers)
        session.flush()
