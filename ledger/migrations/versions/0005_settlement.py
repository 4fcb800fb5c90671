"""The eight tables that complete the customer's 41."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first."""
    _vpp_market_prices()
    _vpp_settlement_batches()
    _rl_training_runs()
    _vpp_dispatch_commands()
    _vpp_forecasts()
    _vpp_market_bids()
    _vpp_settlement_accounts()
    _vpp_settlement_items()


def _vpp_market_prices() -> None:
    steps.create_table(
        "vpp_market_prices",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("market", t.Varchar(50), nullable=False, comment="Name of the market."),
        sa.Column("product", t.Varchar(50), nullable=False, comment="Product, such as day_ahead."),
        sa.Column("starts_at", t.UtcDateTime(), nullable=False, comment="Start of delivery, UTC."),
        sa.Column(
            "duration_s", sa.Integer(), nullable=False, comment="Length of delivery in seconds."
        ),
        sa.Column(
            "price",
            t.ExactDecimal(10, 4),
            nullable=False,
            comment="Price in the row's currency per kWh; may be negative.",
        ),
        sa.Column(
            "currency", t.Varchar(10), nullable=False, comment="Currency, by its ISO 4217 code."
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("market", "product", "starts_at"),
        comment="The price of a market for a time.",
    )


def _vpp_settlement_batches() -> None:
    steps.create_table(
        "vpp_settlement_batches",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "batch_key",
            t.Hash,
            nullable=False,
            comment="Key of the batch: of the intent, the call and the event.",
        ),
        sa.Column("market", t.Varchar(50), nullable=False, comment="Market of the trades."),
        sa.Column(
            "state",
            sa.Enum(
                "planned",
                "proposed",
                "finalized",
                "cancelled",
                "failed",
                name="state",
                create_constraint=True,
            ),
            nullable=False,
            comment="How far it has come.",
        ),
        sa.Column("trade_count", sa.Integer(), nullable=False, comment="How many trades."),
        sa.Column("accounts", sa.JSON(), nullable=False, comment="Addresses, sorted."),
        sa.Column(
            "nets",
            sa.JSON(),
            nullable=False,
            comment="Net of each address in cents, as text; positive is received.",
        ),
        sa.Column("trades_root", t.Hash, nullable=False, comment="Merkle root of the trades."),
        sa.Column(
            "chain_batch_id",
            sa.BigInteger(),
            nullable=True,
            comment="Number of the batch in the contract.",
        ),
        sa.Column(
            "finalize_key", t.Hash, nullable=True, comment="Key of the intent that finalises it."
        ),
        sa.Column(
            "finalizable_at", t.UtcDateTime(), nullable=True, comment="End of the window, UTC."
        ),
        sa.Column(
            "proposed_block", sa.BigInteger(), nullable=True, comment="Block that proposed it."
        ),
        sa.Column(
            "finalized_block", sa.BigInteger(), nullable=True, comment="Block that finalised it."
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("batch_key"),
        comment="Trades that are settled together.",
        indexes=(("state",),),
    )


def _rl_training_runs() -> None:
    steps.create_table(
        "rl_training_runs",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("model_id", sa.Integer(), nullable=False, comment="Row number of the model."),
        sa.Column(
            "status",
            sa.Enum("running", "finished", "failed", name="status", create_constraint=True),
            nullable=False,
            comment="How it ended.",
        ),
        sa.Column("episodes", sa.Integer(), nullable=False, comment="Episodes trained."),
        sa.Column("configuration", sa.JSON(), nullable=True, comment="How it was trained."),
        sa.Column("data_from", t.UtcDateTime(), nullable=True, comment="Start of the data, UTC."),
        sa.Column(
            "data_to", t.UtcDateTime(), nullable=True, comment="End of the data (exclusive), UTC."
        ),
        sa.Column("score", t.ExactDecimal(8, 6), nullable=True, comment="Score, without a unit."),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed."),
        sa.Column("started_at", t.UtcDateTime(), nullable=False, comment="When it began, UTC."),
        sa.Column("finished_at", t.UtcDateTime(), nullable=True, comment="When it ended, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["model_id"], ["rl_models.id"]),
        comment="One training of a model.",
        indexes=(
            (
                "model_id",
                "started_at",
            ),
        ),
    )


def _vpp_dispatch_commands() -> None:
    steps.create_table(
        "vpp_dispatch_commands",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column(
            "resource_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the resource (not its code).",
        ),
        sa.Column(
            "power_kw",
            t.ExactDecimal(12, 3),
            nullable=False,
            comment="Power in kW; positive delivers to the grid.",
        ),
        sa.Column("starts_at", t.UtcDateTime(), nullable=False, comment="Start, UTC."),
        sa.Column("duration_s", sa.Integer(), nullable=False, comment="Length in seconds."),
        sa.Column(
            "status",
            sa.Enum(
                "planned", "sent", "acknowledged", "failed", name="status", create_constraint=True
            ),
            nullable=False,
            comment="What became of it.",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["resource_id"], ["vpp_resources.id"]),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="An order to a resource.",
        indexes=(
            (
                "vpp_id",
                "starts_at",
            ),
        ),
    )


def _vpp_forecasts() -> None:
    steps.create_table(
        "vpp_forecasts",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column(
            "kind",
            sa.Enum("generation", "load", "price", name="kind", create_constraint=True),
            nullable=False,
            comment="What is forecast.",
        ),
        sa.Column("starts_at", t.UtcDateTime(), nullable=False, comment="Start of the time, UTC."),
        sa.Column(
            "duration_s", sa.Integer(), nullable=False, comment="Length of the time in seconds."
        ),
        sa.Column(
            "value", t.ExactDecimal(15, 6), nullable=False, comment="Forecast, in the row's unit."
        ),
        sa.Column("unit", t.Varchar(20), nullable=False, comment="Unit of the value."),
        sa.Column("method", t.Varchar(100), nullable=False, comment="How it was made."),
        sa.Column("created_at", t.UtcDateTime(), nullable=False, comment="When it was made, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="What a plant expects for a time.",
        indexes=(
            (
                "vpp_id",
                "kind",
                "starts_at",
            ),
        ),
    )


def _vpp_market_bids() -> None:
    steps.create_table(
        "vpp_market_bids",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column("market", t.Varchar(50), nullable=False, comment="Name of the market."),
        sa.Column(
            "side",
            sa.Enum("buy", "sell", name="side", create_constraint=True),
            nullable=False,
            comment="Side of the plant.",
        ),
        sa.Column("quantity", t.ExactDecimal(12, 3), nullable=False, comment="Energy in kWh."),
        sa.Column(
            "price",
            t.ExactDecimal(10, 4),
            nullable=False,
            comment="Limit in the settlement currency per kWh; may be negative.",
        ),
        sa.Column("starts_at", t.UtcDateTime(), nullable=False, comment="Start of delivery, UTC."),
        sa.Column(
            "duration_s", sa.Integer(), nullable=False, comment="Length of delivery in seconds."
        ),
        sa.Column(
            "status",
            sa.Enum(
                "submitted",
                "accepted",
                "rejected",
                "withdrawn",
                name="status",
                create_constraint=True,
            ),
            nullable=False,
            comment="What became of it.",
        ),
        sa.Column(
            "trade_id",
            sa.BigInteger(),
            nullable=True,
            comment="Row number of the trade that it led to; no foreign key.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="An offer of a plant to a market.",
        indexes=(
            (
                "vpp_id",
                "starts_at",
            ),
        ),
    )


def _vpp_settlement_accounts() -> None:
    steps.create_table(
        "vpp_settlement_accounts",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id", sa.Integer(), nullable=True, comment="Row number of the plant (not its code)."
        ),
        sa.Column("market", t.Varchar(50), nullable=True, comment="Name of the market."),
        sa.Column("address", t.Address, nullable=False, comment="Its account."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("(vpp_id IS NULL) <> (market IS NULL)", name="vpp_or_market"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        sa.UniqueConstraint("market"),
        sa.UniqueConstraint("vpp_id"),
        comment="The account of a plant or a market.",
    )


def _vpp_settlement_items() -> None:
    steps.create_table(
        "vpp_settlement_items",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("batch_id", t.BigInt, nullable=False, comment="Row number of the batch."),
        sa.Column(
            "trade_id",
            sa.BigInteger(),
            nullable=False,
            comment="Row number of the trade; no foreign key, trades are partitioned.",
        ),
        sa.Column(
            "word", t.Hash, nullable=False, comment="The trade as the contract reads it, 32 bytes."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["batch_id"], ["vpp_settlement_batches.id"]),
        sa.UniqueConstraint("trade_id"),
        comment="A trade of a batch.",
        indexes=(("batch_id",),),
    )
