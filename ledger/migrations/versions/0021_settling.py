"""Settlement of credits, by the parties' signatures, and without those who cannot pay."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TRADE = "Row number of the trade; no foreign key, trades are partitioned."


def upgrade() -> None:
    """Add columns of batches and three tables; batches that are there are of energy, and proposed."""
    _batches()
    steps.create_table(
        "vpp_trade_credits",
        _trade_id(),
        sa.Column(
            "asset",
            sa.BigInteger(),
            nullable=False,
            comment="Number of the credit batch that the seller delivers.",
        ),
        sa.PrimaryKeyConstraint("trade_id"),
        comment="A trade of credits: quantity in t CO2e, price per t.",
    )
    _signatures()
    _shortfalls()


def _trade_id() -> sa.Column[int]:
    return sa.Column(
        "trade_id", sa.BigInteger(), nullable=False, autoincrement=False, comment=TRADE
    )


def _batches() -> None:
    for name, kind, comment in (
        (
            "asset",
            sa.BigInteger(),
            "Number of the credit batch that is traded; null: energy, for cash alone.",
        ),
        (
            "credit_nets",
            sa.JSON(none_as_null=True),
            "Net of each address in kg of the credits, as text; null: energy.",
        ),
        (
            "netted_from",
            t.UtcDateTime(),
            "Start of the hours that are netted, UTC; null: not planned here.",
        ),
        (
            "signed_until",
            t.UtcDateTime(),
            "Until when its parties' signatures hold, UTC; null: the operator proposes it.",
        ),
    ):
        column: sa.Column[object] = sa.Column(name, kind, nullable=True, comment=comment)
        steps.add_column("vpp_settlement_batches", column)


def _signatures() -> None:
    steps.create_table(
        "vpp_settlement_signatures",
        sa.Column(
            "batch_id",
            t.BigInt,
            nullable=False,
            autoincrement=False,
            comment="Row number of the batch.",
        ),
        sa.Column("account", t.Address, nullable=False, comment="Who signed."),
        sa.Column(
            "signature",
            sa.Text(),
            nullable=False,
            comment="EIP-712 signature, hexadecimal text.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When it was taken in, UTC."
        ),
        sa.PrimaryKeyConstraint("batch_id", "account"),
        sa.ForeignKeyConstraint(["batch_id"], ["vpp_settlement_batches.id"]),
        comment="A party's signature under a batch.",
    )


def _shortfalls() -> None:
    steps.create_table(
        "vpp_trade_shortfalls",
        _trade_id(),
        sa.Column("account", t.Address, nullable=False, comment="Account of the debtor."),
        sa.Column(
            "asset",
            sa.BigInteger(),
            nullable=True,
            comment="Number of the credit batch that is lacking; null: money.",
        ),
        sa.Column(
            "held",
            t.ExactDecimal(20, 0),
            nullable=False,
            comment="What the debtor had in escrow for it, cents or kg.",
        ),
        sa.Column(
            "owed",
            t.ExactDecimal(20, 0),
            nullable=False,
            comment="What it owed with all trades of the batch, cents or kg.",
        ),
        sa.Column(
            "since", t.UtcDateTime(), nullable=False, comment="When it was first left out, UTC."
        ),
        sa.Column(
            "failed_at",
            t.UtcDateTime(),
            nullable=True,
            comment="When the trade failed for it, UTC; null: it is still tried.",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="The same for people."),
        sa.PrimaryKeyConstraint("trade_id"),
        comment="A trade whose debtor lacks funds.",
        indexes=(("failed_at",),),
    )
