"""What goes to a chain and what comes back."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first."""
    _chain_blocks()
    _chain_cursor()
    _chain_events()
    _chain_intents()
    _chain_nonce_lanes()
    _credit_batches()
    _credit_cancellations()
    _credit_classes()
    _credit_holdings()
    _credit_projects()
    _credit_retirements()
    _credit_sites()
    _credit_transfers()
    _settlement_balances()
    _settlement_movements()
    _chain_attempts()
    _chain_inclusions()
    _credit_serials()


def _chain_blocks() -> None:
    steps.create_table(
        "chain_blocks",
        sa.Column(
            "number",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the block.",
        ),
        sa.Column("hash", t.Hash, nullable=False, comment="Its hash."),
        sa.Column("parent_hash", t.Hash, nullable=False, comment="Hash of the block before."),
        sa.Column("block_time", t.UtcDateTime(), nullable=False, comment="Its time, UTC."),
        sa.PrimaryKeyConstraint("number"),
        comment="A block that was read.",
    )


def _chain_cursor() -> None:
    steps.create_table(
        "chain_cursor",
        sa.Column("network", t.Varchar(50), nullable=False, comment="Name of the network."),
        sa.Column("chain_id", sa.BigInteger(), nullable=False, comment="Chain."),
        sa.Column(
            "genesis_hash",
            t.Hash,
            nullable=False,
            comment="Hash of block 0, tells two chains apart.",
        ),
        sa.Column("block_number", sa.BigInteger(), nullable=False, comment="Last block mirrored."),
        sa.Column("block_hash", t.Hash, nullable=False, comment="Its hash."),
        sa.Column(
            "final_number", sa.BigInteger(), nullable=False, comment="Last block taken as final."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("network"),
        comment="How far the mirror has come.",
    )


def _chain_events() -> None:
    steps.create_table(
        "chain_events",
        sa.Column(
            "block_number",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Block that brought it.",
        ),
        sa.Column(
            "log_index",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Position of the log in its block.",
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "contract_address", t.Address, nullable=False, comment="Contract that emitted it."
        ),
        sa.Column("event_name", t.Varchar(100), nullable=False, comment="Name of the event."),
        sa.Column(
            "args", sa.JSON(), nullable=False, comment="Arguments by name; integers as text."
        ),
        sa.Column(
            "seq",
            sa.BigInteger(),
            nullable=True,
            comment="Number in the contract's log; null: none.",
        ),
        sa.Column("head", t.Hash, nullable=True, comment="Head of the contract's log after it."),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        comment="A decoded event of our contracts.",
        indexes=(
            ("seq",),
            ("tx_hash",),
        ),
    )


def _chain_intents() -> None:
    steps.create_table(
        "chain_intents",
        sa.Column("key", t.Hash, nullable=False, comment="The one key, made here."),
        sa.Column("chain_id", sa.BigInteger(), nullable=False, comment="Chain that it is for."),
        sa.Column("kind", t.Varchar(40), nullable=False, comment="What it is, such as issue."),
        sa.Column("contract_address", t.Address, nullable=False, comment="Contract to call."),
        sa.Column("function_name", t.Varchar(100), nullable=False, comment="Function to call."),
        sa.Column(
            "parameters", sa.JSON(), nullable=False, comment="Arguments by name; integers as text."
        ),
        sa.Column(
            "call_data", t.MediumText, nullable=False, comment="Encoded call, 0x hex; frozen."
        ),
        sa.Column("sender_address", t.Address, nullable=False, comment="Account that sends it."),
        sa.Column(
            "nonce", sa.BigInteger(), nullable=True, comment="Its nonce; null: not yet sent."
        ),
        sa.Column(
            "state",
            sa.Enum(
                "planned", "submitted", "confirmed", "failed", name="state", create_constraint=True
            ),
            nullable=False,
            comment="How far it has come.",
        ),
        sa.Column(
            "tx_hash", t.Hash, nullable=True, comment="Attempt that was included, else the last."
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed."),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=True, comment="Block that included it."
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When it was planned, UTC."
        ),
        sa.Column(
            "submitted_at", t.UtcDateTime(), nullable=True, comment="When it was signed, UTC."
        ),
        sa.Column(
            "confirmed_at", t.UtcDateTime(), nullable=True, comment="Time of its final block, UTC."
        ),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("chain_id", "sender_address", "nonce"),
        comment="Something that shall happen on chain once.",
        indexes=(
            ("state",),
            ("tx_hash",),
        ),
    )


def _chain_nonce_lanes() -> None:
    steps.create_table(
        "chain_nonce_lanes",
        sa.Column(
            "chain_id", sa.BigInteger(), nullable=False, autoincrement=False, comment="Chain."
        ),
        sa.Column("address", t.Address, nullable=False, comment="Account."),
        sa.Column(
            "next_nonce", sa.BigInteger(), nullable=False, comment="Nonce of its next transaction."
        ),
        sa.PrimaryKeyConstraint("chain_id", "address"),
        comment="The next nonce of an account.",
    )


def _credit_batches() -> None:
    steps.create_table(
        "credit_batches",
        sa.Column(
            "batch_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the batch: site on chain x 2^32 + ordinal.",
        ),
        sa.Column("key", t.Hash, nullable=False, comment="Key of the issuance."),
        sa.Column(
            "site_id", sa.BigInteger(), nullable=False, comment="Number of the site on chain."
        ),
        sa.Column(
            "ordinal", sa.BigInteger(), nullable=False, comment="Number within the site, from 1."
        ),
        sa.Column("vintage", sa.Integer(), nullable=False, comment="Legal year of the period."),
        sa.Column("recipient", t.Address, nullable=False, comment="Account that received it."),
        sa.Column("issued_kg", sa.BigInteger(), nullable=False, comment="Issued, kg."),
        sa.Column("retired_kg", sa.BigInteger(), nullable=False, comment="Retired of it, kg."),
        sa.Column("cancelled_kg", sa.BigInteger(), nullable=False, comment="Cancelled of it, kg."),
        sa.Column(
            "period_start_s",
            sa.BigInteger(),
            nullable=False,
            comment="Start, seconds since 1970 UTC.",
        ),
        sa.Column(
            "period_end_s",
            sa.BigInteger(),
            nullable=False,
            comment="End (exclusive), seconds since 1970 UTC.",
        ),
        sa.Column("evidence_root", t.Hash, nullable=False, comment="Merkle root of the readings."),
        sa.Column(
            "evidence_total_kg",
            t.ExactDecimal(20, 0),
            nullable=False,
            comment="Most that the evidence supports, kg.",
        ),
        sa.Column("manifest_hash", t.Hash, nullable=False, comment="Hash of the calculation."),
        sa.Column("methodology_hash", t.Hash, nullable=False, comment="Hash of the methodology."),
        sa.Column("issuer", t.Address, nullable=False, comment="Account that issued it."),
        sa.Column("verifier", t.Address, nullable=False, comment="Account that signed for it."),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "suspended",
                "disputed",
                "cancelled",
                name="status",
                create_constraint=True,
            ),
            nullable=False,
            comment="State on chain.",
        ),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.Column(
            "log_index", sa.Integer(), nullable=False, comment="Position of the log in its block."
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column("issued_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."),
        sa.PrimaryKeyConstraint("batch_id"),
        sa.UniqueConstraint("key"),
        comment="An issuance as it stands on chain.",
        indexes=(("block_number",),),
    )


def _credit_cancellations() -> None:
    steps.create_table(
        "credit_cancellations",
        sa.Column(
            "block_number",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Block that brought it.",
        ),
        sa.Column(
            "log_index",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Position of the log in its block.",
        ),
        sa.Column("key", t.Hash, nullable=False, comment="Key of the cancellation."),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="Number of the batch."),
        sa.Column(
            "holder", t.Address, nullable=False, comment="Account whose credits were cancelled."
        ),
        sa.Column("first_serial", sa.BigInteger(), nullable=False, comment="First kilogram."),
        sa.Column("amount_kg", sa.BigInteger(), nullable=False, comment="Amount, kg."),
        sa.Column("reason", sa.Text(), nullable=False, comment="What for."),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "cancelled_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."
        ),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        comment="A cancellation by a holder.",
        indexes=(("batch_id",),),
    )


def _credit_classes() -> None:
    steps.create_table(
        "credit_classes",
        sa.Column(
            "class_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the class.",
        ),
        sa.Column("code", t.Varchar(100), nullable=False, comment="Its code."),
        sa.Column("methodology_hash", t.Hash, nullable=False, comment="Hash of its methodology."),
        sa.Column(
            "cap_kg", t.ExactDecimal(20, 0), nullable=False, comment="Most that may be issued, kg."
        ),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.PrimaryKeyConstraint("class_id"),
        comment="A class of credits on chain.",
    )


def _credit_holdings() -> None:
    steps.create_table(
        "credit_holdings",
        sa.Column(
            "batch_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the batch.",
        ),
        sa.Column("holder", t.Address, nullable=False, comment="Account."),
        sa.Column("amount_kg", sa.BigInteger(), nullable=False, comment="Amount, kg."),
        sa.PrimaryKeyConstraint("batch_id", "holder"),
        comment="What a holder has of a batch.",
        indexes=(("holder",),),
    )


def _credit_projects() -> None:
    steps.create_table(
        "credit_projects",
        sa.Column(
            "project_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the project on chain.",
        ),
        sa.Column("class_id", sa.BigInteger(), nullable=False, comment="Number of its class."),
        sa.Column("owner", t.Address, nullable=False, comment="Account of its owner."),
        sa.Column("code", t.Varchar(100), nullable=False, comment="Its code."),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.PrimaryKeyConstraint("project_id"),
        comment="A project on chain.",
    )


def _credit_retirements() -> None:
    steps.create_table(
        "credit_retirements",
        sa.Column(
            "retirement_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the retirement on chain.",
        ),
        sa.Column("key", t.Hash, nullable=False, comment="Key of the retirement."),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="Number of the batch."),
        sa.Column(
            "holder", t.Address, nullable=False, comment="Account whose credits were retired."
        ),
        sa.Column("first_serial", sa.BigInteger(), nullable=False, comment="First kilogram."),
        sa.Column("amount_kg", sa.BigInteger(), nullable=False, comment="Amount, kg."),
        sa.Column("beneficiary", sa.Text(), nullable=False, comment="On whose behalf."),
        sa.Column("reason", sa.Text(), nullable=False, comment="What for."),
        sa.Column(
            "country", sa.CHAR(2), nullable=True, comment="Country of the claim; null: not stated."
        ),
        sa.Column(
            "consumption_start_s",
            sa.BigInteger(),
            nullable=False,
            comment="Start of the consumption, seconds since 1970 UTC; 0: not stated.",
        ),
        sa.Column(
            "consumption_end_s",
            sa.BigInteger(),
            nullable=False,
            comment="End of the consumption (exclusive), seconds since 1970 UTC; 0: not stated.",
        ),
        sa.Column(
            "document_hash", t.Hash, nullable=False, comment="Hash of a document; zero: none."
        ),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.Column(
            "log_index", sa.Integer(), nullable=False, comment="Position of the log in its block."
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "retired_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."
        ),
        sa.PrimaryKeyConstraint("retirement_id"),
        comment="A retirement.",
        indexes=(
            ("batch_id",),
            ("block_number",),
            ("key",),
        ),
    )


def _credit_sites() -> None:
    steps.create_table(
        "credit_sites",
        sa.Column(
            "site_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the site on chain.",
        ),
        sa.Column(
            "project_id", sa.BigInteger(), nullable=False, comment="Number of its project on chain."
        ),
        sa.Column(
            "code", t.Varchar(100), nullable=False, comment="Its code, the first part of a serial."
        ),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.PrimaryKeyConstraint("site_id"),
        comment="A site on chain.",
    )


def _credit_transfers() -> None:
    steps.create_table(
        "credit_transfers",
        sa.Column(
            "block_number",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Block that brought it.",
        ),
        sa.Column(
            "log_index",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Position of the log in its block.",
        ),
        sa.Column(
            "sub_index",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Position within a log that moves several batches.",
        ),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="Number of the batch."),
        sa.Column("from_address", t.Address, nullable=False, comment="Giver; zero: issued."),
        sa.Column(
            "to_address", t.Address, nullable=False, comment="Receiver; zero: retired or cancelled."
        ),
        sa.Column("amount_kg", sa.BigInteger(), nullable=False, comment="Amount, kg."),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.PrimaryKeyConstraint("block_number", "log_index", "sub_index"),
        comment="Credits that moved.",
        indexes=(("batch_id",),),
    )


def _settlement_balances() -> None:
    steps.create_table(
        "settlement_balances",
        sa.Column("account", t.Address, nullable=False, comment="Account."),
        sa.Column(
            "balance",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="Balance in base units of the settlement currency.",
        ),
        sa.PrimaryKeyConstraint("account"),
        comment="A balance in the settlement contract.",
    )


def _settlement_movements() -> None:
    steps.create_table(
        "settlement_movements",
        sa.Column(
            "block_number",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Block that brought it.",
        ),
        sa.Column(
            "log_index",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Position of the log in its block.",
        ),
        sa.Column(
            "sub_index",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Position within a log that changes several balances.",
        ),
        sa.Column("account", t.Address, nullable=False, comment="Account."),
        sa.Column(
            "kind",
            sa.Enum(
                "deposit",
                "withdrawal",
                "debit",
                "credit",
                "restore",
                name="kind",
                create_constraint=True,
            ),
            nullable=False,
            comment="Why.",
        ),
        sa.Column(
            "amount",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="Change in base units of the settlement currency; signed.",
        ),
        sa.Column(
            "batch_id",
            sa.BigInteger(),
            nullable=True,
            comment="Number of the settlement batch in the contract; null: none.",
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.PrimaryKeyConstraint("block_number", "log_index", "sub_index"),
        comment="A change of a settlement balance.",
        indexes=(
            ("account",),
            ("batch_id",),
        ),
    )


def _chain_attempts() -> None:
    steps.create_table(
        "chain_attempts",
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Hash of the transaction."),
        sa.Column("intent_key", t.Hash, nullable=False, comment="Key of the intent."),
        sa.Column(
            "ordinal", sa.Integer(), nullable=False, comment="Number of the attempt, from 1."
        ),
        sa.Column(
            "raw_transaction", t.MediumText, nullable=False, comment="Signed transaction, 0x hex."
        ),
        sa.Column(
            "max_fee_wei",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="Highest fee for a unit of gas, in wei.",
        ),
        sa.Column(
            "priority_fee_wei",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="Tip for a unit of gas, in wei.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When it was signed, UTC."
        ),
        sa.Column(
            "broadcast_at", t.UtcDateTime(), nullable=True, comment="When it was last sent, UTC."
        ),
        sa.PrimaryKeyConstraint("tx_hash"),
        sa.ForeignKeyConstraint(["intent_key"], ["chain_intents.key"]),
        sa.UniqueConstraint("intent_key", "ordinal"),
        comment="A signed transaction of an intent.",
    )


def _chain_inclusions() -> None:
    steps.create_table(
        "chain_inclusions",
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Hash of it."),
        sa.Column("block_number", sa.BigInteger(), nullable=False, comment="Block that it is in."),
        sa.Column("block_hash", t.Hash, nullable=False, comment="Hash of that block."),
        sa.Column("tx_index", sa.Integer(), nullable=False, comment="Position in that block."),
        sa.Column("sender", t.Address, nullable=False, comment="Account that sent it."),
        sa.Column("nonce", sa.BigInteger(), nullable=False, comment="Its nonce."),
        sa.Column("intent_key", t.Hash, nullable=True, comment="Key of our intent; null: foreign."),
        sa.Column("error", t.Varchar(500), nullable=True, comment="Why it reverted."),
        sa.PrimaryKeyConstraint("tx_hash"),
        sa.ForeignKeyConstraint(["tx_hash"], ["blockchain_transactions.tx_hash"]),
        comment="Where a transaction stands.",
        indexes=(("block_number",),),
    )


def _credit_serials() -> None:
    steps.create_table(
        "credit_serials",
        sa.Column("credit_id", t.Varchar(100), nullable=False, comment="The credit."),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="Number of the batch."),
        sa.Column(
            "first_serial", sa.BigInteger(), nullable=False, comment="First kilogram, from 1."
        ),
        sa.Column(
            "last_serial", sa.BigInteger(), nullable=False, comment="Last kilogram (inclusive)."
        ),
        sa.Column(
            "retirement_id",
            sa.BigInteger(),
            nullable=True,
            comment="Number of the retirement; null: not retired.",
        ),
        sa.PrimaryKeyConstraint("credit_id"),
        sa.ForeignKeyConstraint(["credit_id"], ["carbon_credits.credit_id"]),
        comment="The serials of a credit.",
        indexes=(("batch_id",),),
    )
