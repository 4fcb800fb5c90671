"""Virtual power plants, their strategies and trades."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first."""
    _vpp_definitions()
    _vpp_resources()
    _vpp_operation_logs()
    _vpp_resource_associations()
    _vpp_resource_instances()
    _vpp_trading_strategies()
    _vpp_trading_records()


def _vpp_definitions() -> None:
    steps.create_table(
        "vpp_definitions",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            t.Varchar(100),
            nullable=False,
            comment="Code of the plant; other tables' vpp_id is the row number.",
        ),
        sa.Column("name", t.Varchar(200), nullable=False, comment="Name for people."),
        sa.Column("description", sa.Text(), nullable=True, comment="What it is for."),
        sa.Column(
            "total_capacity", t.ExactDecimal(15, 3), nullable=False, comment="Capacity in kW."
        ),
        sa.Column(
            "status",
            sa.Enum("active", "inactive", "testing", name="status", create_constraint=True),
            nullable=False,
            comment="Whether it is in use.",
        ),
        sa.Column("configuration", sa.JSON(), nullable=True, comment="Configuration."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("vpp_id"),
        comment="A virtual power plant; never deleted while it has trades.",
    )


def _vpp_resources() -> None:
    steps.create_table(
        "vpp_resources",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "resource_id",
            t.Varchar(100),
            nullable=False,
            comment="Code of the resource; other tables' resource_id is the row number.",
        ),
        sa.Column("name", t.Varchar(200), nullable=False, comment="Name for people."),
        sa.Column(
            "type",
            sa.Enum(
                "solar", "wind", "battery", "load", "generator", name="type", create_constraint=True
            ),
            nullable=False,
            comment="What it is.",
        ),
        sa.Column(
            "capacity",
            t.ExactDecimal(12, 3),
            nullable=False,
            comment="Rated capacity, in the row's unit.",
        ),
        sa.Column("unit", t.Varchar(10), nullable=False, comment="Unit of the capacity."),
        sa.Column(
            "technical_params",
            sa.JSON(),
            nullable=True,
            comment="Technical data; each value names its unit.",
        ),
        sa.Column("location", t.Varchar(200), nullable=True, comment="Where it stands."),
        sa.Column(
            "status",
            sa.Enum("active", "inactive", "maintenance", name="status", create_constraint=True),
            nullable=False,
            comment="Whether it may be used.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("resource_id"),
        comment="Something that produces, stores or shifts energy.",
        indexes=(
            ("status",),
            ("type",),
        ),
    )


def _vpp_operation_logs() -> None:
    steps.create_table(
        "vpp_operation_logs",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column("operation_type", t.Varchar(50), nullable=False, comment="Kind of operation."),
        sa.Column(
            "operation_details",
            sa.JSON(),
            nullable=True,
            comment="Values of the operation; each names its unit.",
        ),
        sa.Column(
            "operator_id",
            sa.Integer(),
            nullable=True,
            comment="Row number of the user; null: the system itself.",
        ),
        sa.Column(
            "result",
            sa.Enum("success", "failure", "partial", name="result", create_constraint=True),
            nullable=False,
            comment="How it ended.",
        ),
        sa.Column(
            "executed_at", t.UtcDateTime(), nullable=False, comment="When it was carried out, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["operator_id"], ["users.id"]),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="An operation on a plant.",
    )


def _vpp_resource_associations() -> None:
    steps.create_table(
        "vpp_resource_associations",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
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
            "allocation_ratio",
            t.ExactDecimal(5, 4),
            nullable=False,
            comment="Share of the resource, from 0 to 1.",
        ),
        sa.Column(
            "role",
            sa.Enum("primary", "backup", "reserve", name="role", create_constraint=True),
            nullable=False,
            comment="Part that it plays.",
        ),
        sa.Column("associated_at", t.UtcDateTime(), nullable=False, comment="When it joined, UTC."),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["resource_id"], ["vpp_resources.id"]),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="The share of a resource in a plant.",
    )


def _vpp_resource_instances() -> None:
    steps.create_table(
        "vpp_resource_instances",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "resource_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the resource (not its code).",
        ),
        sa.Column(
            "current_output",
            t.ExactDecimal(12, 3),
            nullable=False,
            comment="Power now, in the resource's unit.",
        ),
        sa.Column(
            "available_capacity",
            t.ExactDecimal(12, 3),
            nullable=False,
            comment="Capacity that can be called on, in the resource's unit.",
        ),
        sa.Column(
            "operational_status",
            sa.Enum(
                "running",
                "stopped",
                "standby",
                "fault",
                name="operational_status",
                create_constraint=True,
            ),
            nullable=False,
            comment="What it is doing.",
        ),
        sa.Column(
            "real_time_data",
            sa.JSON(),
            nullable=True,
            comment="Latest values; each names its unit.",
        ),
        sa.Column(
            "last_updated",
            t.UtcDateTime(),
            nullable=False,
            comment="When the state was last read, UTC.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["resource_id"], ["vpp_resources.id"]),
        comment="The present state of a resource.",
        indexes=(("resource_id",),),
    )


def _vpp_trading_strategies() -> None:
    steps.create_table(
        "vpp_trading_strategies",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column("strategy_name", t.Varchar(200), nullable=False, comment="Name for people."),
        sa.Column(
            "strategy_type",
            sa.Enum(
                "arbitrage",
                "peak_shaving",
                "load_following",
                "frequency_regulation",
                name="strategy_type",
                create_constraint=True,
            ),
            nullable=False,
            comment="What it does.",
        ),
        sa.Column(
            "parameters", sa.JSON(), nullable=True, comment="Parameters; each names its unit."
        ),
        sa.Column(
            "status",
            sa.Enum("active", "inactive", "testing", name="status", create_constraint=True),
            nullable=False,
            comment="Whether it is in use.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="A way of trading of a plant.",
    )


def _vpp_trading_records() -> None:
    steps.create_table(
        "vpp_trading_records",
        sa.Column(
            "id",
            t.BigInt,
            nullable=False,
            comment="Row number, also on chain; MariaDB's primary key is (id, trade_time).",
        ),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code); a foreign key on SQLite only.",
        ),
        sa.Column(
            "strategy_id",
            sa.Integer(),
            nullable=True,
            comment="Row number of the strategy; a foreign key on SQLite only.",
        ),
        sa.Column(
            "trade_type",
            sa.Enum("buy", "sell", name="trade_type", create_constraint=True),
            nullable=False,
            comment="Side that the plant is on.",
        ),
        sa.Column("quantity", t.ExactDecimal(12, 3), nullable=False, comment="Energy in kWh."),
        sa.Column(
            "price",
            t.ExactDecimal(10, 4),
            nullable=False,
            comment="Price in the settlement currency per kWh; may be negative.",
        ),
        sa.Column(
            "total_value",
            t.ExactDecimal(15, 2),
            nullable=False,
            comment="quantity x price in the settlement currency, half away from zero; signed.",
        ),
        sa.Column(
            "market", t.Varchar(50), nullable=False, comment="Market, the other side of the trade."
        ),
        sa.Column(
            "status",
            sa.Enum(
                "pending", "executed", "cancelled", "failed", name="status", create_constraint=True
            ),
            nullable=False,
            comment="How far it has come.",
        ),
        sa.Column(
            "trade_time", t.UtcDateTime(), nullable=False, comment="When it was agreed, UTC."
        ),
        sa.Column(
            "settlement_time",
            t.UtcDateTime(),
            nullable=True,
            comment="Time of the block that settled it, UTC.",
        ),
        sa.PrimaryKeyConstraint("id"),
        *steps.only_sqlite(sa.ForeignKeyConstraint(["strategy_id"], ["vpp_trading_strategies.id"])),
        *steps.only_sqlite(sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"])),
        comment="A trade of a plant on a market.",
        indexes=(
            ("status",),
            ("strategy_id",),
            (
                "vpp_id",
                "trade_time",
            ),
        ),
        sqlite_autoincrement=True,
    )
