"""Energy, blockchain and system."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first."""
    _blockchain_transactions()
    _smart_contracts()
    _system_config()
    _audit_logs()
    _carbon_credits()
    _carbon_emissions()
    _energy_consumption()
    _energy_production()


def _blockchain_transactions() -> None:
    steps.create_table(
        "blockchain_transactions",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Hash of the transaction."),
        sa.Column(
            "contract_address", t.Address, nullable=True, comment="Contract that was called."
        ),
        sa.Column(
            "function_name", t.Varchar(100), nullable=True, comment="Function that was called."
        ),
        sa.Column(
            "parameters", sa.JSON(), nullable=True, comment="Decoded arguments; integers as text."
        ),
        sa.Column(
            "status",
            sa.Enum("pending", "confirmed", "failed", name="status", create_constraint=True),
            nullable=False,
            comment="How far it has come.",
        ),
        sa.Column("gas_used", sa.BigInteger(), nullable=True, comment="Gas that it used."),
        sa.Column(
            "gas_price",
            t.ExactDecimal(20, 0),
            nullable=True,
            comment="Price that was paid for a unit of gas, in wei.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "confirmed_at", t.UtcDateTime(), nullable=True, comment="Time of its final block, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tx_hash"),
        comment="A transaction to one of our contracts.",
        indexes=(
            ("contract_address",),
            ("status",),
        ),
    )


def _smart_contracts() -> None:
    steps.create_table(
        "smart_contracts",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "contract_name",
            t.Varchar(200),
            nullable=False,
            comment="Name, unique over all networks and versions.",
        ),
        sa.Column(
            "contract_address",
            t.Address,
            nullable=False,
            comment="Address; one network has an address once, two networks may share it.",
        ),
        sa.Column("abi", t.MediumText, nullable=False, comment="Interface as JSON."),
        sa.Column("bytecode", t.MediumText, nullable=True, comment="Code that deploys it, 0x hex."),
        sa.Column("network", t.Varchar(50), nullable=False, comment="Name of the network."),
        sa.Column(
            "status",
            sa.Enum("deployed", "verified", "deprecated", name="status", create_constraint=True),
            nullable=False,
            comment="Whether it is in use.",
        ),
        sa.Column(
            "deployed_at",
            t.UtcDateTime(),
            nullable=False,
            comment="Time of the block that deployed it, UTC.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("contract_name"),
        sa.UniqueConstraint("network", "contract_address"),
        comment="A contract of ours on a network.",
        indexes=(("network",),),
    )


def _system_config() -> None:
    steps.create_table(
        "system_config",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("config_key", t.Varchar(100), nullable=False, comment="Name of the setting."),
        sa.Column("config_value", sa.Text(), nullable=True, comment="Its value."),
        sa.Column("description", sa.Text(), nullable=True, comment="What it is for."),
        sa.Column("category", t.Varchar(50), nullable=False, comment="Group of settings."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("config_key"),
        comment="A setting kept in the database.",
        indexes=(("category",),),
    )


def _audit_logs() -> None:
    steps.create_table(
        "audit_logs",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "user_id",
            sa.Integer(),
            nullable=True,
            comment="Row number of the user; null: the system itself.",
        ),
        sa.Column("action", t.Varchar(100), nullable=False, comment="What was done."),
        sa.Column("resource", t.Varchar(200), nullable=False, comment="What it was done to."),
        sa.Column("old_values", sa.JSON(), nullable=True, comment="Values before."),
        sa.Column("new_values", sa.JSON(), nullable=True, comment="Values after."),
        sa.Column("ip_address", t.Varchar(45), nullable=True, comment="Address of the client."),
        sa.Column("created_at", t.UtcDateTime(), nullable=False, comment="When it was done, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        comment="An action and what it changed; append-only.",
        indexes=(
            ("action",),
            (
                "user_id",
                "created_at",
            ),
        ),
    )


def _carbon_credits() -> None:
    steps.create_table(
        "carbon_credits",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "credit_id",
            t.Varchar(100),
            nullable=False,
            comment="Serial: site, vintage, batch, first and last kilogram.",
        ),
        sa.Column(
            "amount", t.ExactDecimal(12, 3), nullable=False, comment="Amount, in the row's unit."
        ),
        sa.Column(
            "unit", t.Varchar(10), nullable=False, comment="tCO2e, tonnes of CO2 equivalent."
        ),
        sa.Column(
            "issuer", t.Varchar(200), nullable=False, comment="Who issued it: the issuer's address."
        ),
        sa.Column(
            "status",
            sa.Enum("active", "retired", "cancelled", name="status", create_constraint=True),
            nullable=False,
            comment="What became of it.",
        ),
        sa.Column("blockchain_tx", t.Hash, nullable=True, comment="Transaction that issued it."),
        sa.Column(
            "issued_at",
            t.UtcDateTime(),
            nullable=False,
            comment="Time of the block that issued it, UTC.",
        ),
        sa.Column(
            "expires_at", t.UtcDateTime(), nullable=True, comment="When it ends, UTC; null: never."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["blockchain_tx"], ["blockchain_transactions.tx_hash"]),
        sa.UniqueConstraint("credit_id"),
        comment="A run of serials of a batch with one status.",
    )


def _carbon_emissions() -> None:
    steps.create_table(
        "carbon_emissions",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "device_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the device (not its code).",
        ),
        sa.Column("emissions", t.ExactDecimal(12, 6), nullable=False, comment="Tonnes of CO2e."),
        sa.Column(
            "calculation_method", t.Varchar(50), nullable=False, comment="How it was calculated."
        ),
        sa.Column(
            "factors", sa.JSON(), nullable=True, comment="Factors used; each names its unit."
        ),
        sa.Column(
            "recorded_at",
            t.UtcDateTime(),
            nullable=False,
            comment="Start of the time that it is of, UTC.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When it was stored, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"]),
        comment="Emissions of a device.",
        indexes=(
            (
                "device_id",
                "recorded_at",
            ),
        ),
    )


def _energy_consumption() -> None:
    steps.create_table(
        "energy_consumption",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "device_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the device (not its code).",
        ),
        sa.Column(
            "consumption",
            t.ExactDecimal(12, 3),
            nullable=False,
            comment="Energy, in the row's unit.",
        ),
        sa.Column("unit", t.Varchar(10), nullable=False, comment="Unit of the energy."),
        sa.Column(
            "cost", t.ExactDecimal(10, 2), nullable=True, comment="Cost in the settlement currency."
        ),
        sa.Column(
            "recorded_at",
            t.UtcDateTime(),
            nullable=False,
            comment="Start of the time that it is of, UTC.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When it was stored, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"]),
        comment="Energy that a device consumed.",
        indexes=(
            (
                "device_id",
                "recorded_at",
            ),
        ),
    )


def _energy_production() -> None:
    steps.create_table(
        "energy_production",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "device_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the device (not its code).",
        ),
        sa.Column(
            "production",
            t.ExactDecimal(12, 3),
            nullable=False,
            comment="Energy, in the row's unit.",
        ),
        sa.Column("unit", t.Varchar(10), nullable=False, comment="Unit of the energy."),
        sa.Column(
            "revenue",
            t.ExactDecimal(10, 2),
            nullable=True,
            comment="Revenue in the settlement currency.",
        ),
        sa.Column(
            "recorded_at",
            t.UtcDateTime(),
            nullable=False,
            comment="Start of the time that it is of, UTC.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When it was stored, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"]),
        comment="Energy that a device produced.",
        indexes=(
            (
                "device_id",
                "recorded_at",
            ),
        ),
    )
