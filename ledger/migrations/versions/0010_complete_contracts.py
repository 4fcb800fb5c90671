"""The complete contracts: buffer, gaps of time, invalidation, credits in escrow, disputes, terms.

Rows of contracts of an earlier version keep what they say, and get what was true of all of them: no
buffer, no expiry, no fee, and the currency as the only asset.
"""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the tables of the mirror, and add those that the new events fill."""
    _credit_classes()
    _credit_sites()
    _credit_retirements()
    _credit_batches()
    _settlement_balances()
    _settlement_movements()
    _credit_invalidations()
    _credit_overlaps()
    _settlement_batches()
    _settlement_disputes()
    _settlement_terms()
    _settlement_trades()


def _credit_classes() -> None:
    steps.rebuild_table(
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
            "buffer_bps",
            sa.Integer(),
            nullable=False,
            comment="Share of an issuance that goes to the buffer, in hundredths of a percent.",
        ),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.PrimaryKeyConstraint("class_id"),
        comment="A class of credits on chain.",
        new={"buffer_bps": "0"},
    )


def _credit_sites() -> None:
    steps.rebuild_table(
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
            "minted_until_s",
            sa.BigInteger(),
            nullable=False,
            comment="End of its last period issued, seconds since 1970 UTC; 0: none.",
        ),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.PrimaryKeyConstraint("site_id"),
        comment="A site on chain.",
        new={
            "minted_until_s": "(SELECT COALESCE(MAX(b.period_end_s), 0) FROM credit_batches b "
            "WHERE b.site_id = {old}.site_id)"
        },
    )


def _credit_retirements() -> None:
    steps.rebuild_table(
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
        sa.Column(
            "replaced_batch_id",
            sa.BigInteger(),
            nullable=True,
            comment="Number of the invalidated batch that units of the buffer stand in for; null: none.",
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
        new={"replaced_batch_id": "NULL"},
    )


def _credit_batches() -> None:
    steps.rebuild_table(
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
        sa.Column(
            "gap_start_s",
            sa.BigInteger(),
            nullable=False,
            comment="Start of the time before the period that was never issued upon, seconds since 1970 UTC.",
        ),
        sa.Column(
            "expires_at_s",
            sa.BigInteger(),
            nullable=False,
            comment="From when it no longer moves, seconds since 1970 UTC; 0: never.",
        ),
        sa.Column(
            "buffered_kg",
            sa.BigInteger(),
            nullable=False,
            comment="Of what was issued, what went to the buffer, kg.",
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
                "expired",
                name="status",
                create_constraint=True,
            ),
            nullable=False,
            comment="State on chain.",
        ),
        sa.Column(
            "deficit_kg",
            sa.BigInteger(),
            nullable=True,
            comment="Retired of it and still to be replaced, kg; null: it was never invalidated.",
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
        new={
            "gap_start_s": "(SELECT COALESCE(MAX(b.period_end_s), 0) FROM {old} b "
            "WHERE b.site_id = {old}.site_id AND b.period_end_s <= {old}.period_start_s)",
            "expires_at_s": "0",
            "buffered_kg": "0",
            "deficit_kg": "NULL",
        },
    )


def _settlement_balances() -> None:
    steps.rebuild_table(
        "settlement_balances",
        sa.Column("account", t.Address, nullable=False, comment="Account."),
        sa.Column(
            "asset",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Asset: 0 is the settlement currency, else the number of a credit batch.",
        ),
        sa.Column(
            "balance",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="Balance in base units of the currency, or in kg.",
        ),
        sa.PrimaryKeyConstraint("account", "asset"),
        comment="A balance in the settlement contract.",
        new={"asset": "0"},
    )


def _settlement_movements() -> None:
    steps.rebuild_table(
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
            "asset",
            sa.BigInteger(),
            nullable=False,
            comment="Asset: 0 is the settlement currency, else the number of a credit batch.",
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "deposit",
                "withdrawal",
                "debit",
                "credit",
                "restore",
                "fee",
                "bond",
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
            comment="Change in base units of the currency, or in kg; signed.",
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
        new={"asset": "0"},
    )


def _credit_invalidations() -> None:
    steps.create_table(
        "credit_invalidations",
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
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="Number of the batch."),
        sa.Column(
            "step",
            sa.Enum("proposed", "dropped", "executed", name="step", create_constraint=True),
            nullable=False,
            comment="What happened.",
        ),
        sa.Column(
            "account",
            t.Address,
            nullable=True,
            comment="Account that proposed or executed it; null: it was dropped.",
        ),
        sa.Column(
            "executable_at_s",
            sa.BigInteger(),
            nullable=True,
            comment="From when a proposal may be executed, seconds since 1970 UTC.",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it was proposed."),
        sa.Column(
            "frozen_kg",
            sa.BigInteger(),
            nullable=True,
            comment="Held when it was executed, and never moves again, kg.",
        ),
        sa.Column(
            "deficit_kg",
            sa.BigInteger(),
            nullable=True,
            comment="Retired when it was executed, and to be replaced, kg.",
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "happened_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."
        ),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        comment="A step of the invalidation of a batch.",
        indexes=(("batch_id",),),
    )


def _credit_overlaps() -> None:
    steps.create_table(
        "credit_overlaps",
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
            "first_batch_id", sa.BigInteger(), nullable=False, comment="Number of the one batch."
        ),
        sa.Column(
            "second_batch_id", sa.BigInteger(), nullable=False, comment="Number of the other batch."
        ),
        sa.Column("challenger", t.Address, nullable=False, comment="Account that showed it."),
        sa.Column("meter", t.Hash, nullable=False, comment="Hash of the serial of the meter."),
        sa.Column(
            "first_reading",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="Its reading in the one batch; integers as text.",
        ),
        sa.Column(
            "second_reading",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="Its reading in the other batch; integers as text.",
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column("proven_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        comment="A reading that counts in two batches.",
        indexes=(
            ("first_batch_id",),
            ("second_batch_id",),
        ),
    )


def _settlement_batches() -> None:
    steps.create_table(
        "settlement_batches",
        sa.Column(
            "batch_id",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Number of the batch in the contract.",
        ),
        sa.Column("key", t.Hash, nullable=False, comment="Key of the batch."),
        sa.Column(
            "asset",
            sa.BigInteger(),
            nullable=False,
            comment="Asset of the trades: 0 is energy, else the number of a credit batch.",
        ),
        sa.Column("trade_count", sa.Integer(), nullable=False, comment="How many trades."),
        sa.Column("trades_root", t.Hash, nullable=False, comment="Merkle root of the trades."),
        sa.Column(
            "accounts", sa.JSON(none_as_null=True), nullable=False, comment="Addresses, sorted."
        ),
        sa.Column(
            "nets",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="Net of each address in cents after the fee, as text.",
        ),
        sa.Column(
            "credit_nets",
            sa.JSON(none_as_null=True),
            nullable=False,
            comment="Net of each address in kg of the asset, as text; empty for energy.",
        ),
        sa.Column(
            "finalizable_at_s",
            sa.BigInteger(),
            nullable=False,
            comment="End of the window, seconds since 1970 UTC.",
        ),
        sa.Column(
            "status",
            sa.Enum(
                "proposed",
                "disputed",
                "finalized",
                "cancelled",
                name="status",
                create_constraint=True,
            ),
            nullable=False,
            comment="State on chain.",
        ),
        sa.Column(
            "cosigned_digest",
            t.Hash,
            nullable=True,
            comment="What all parties have signed; null: an operator proposed it.",
        ),
        sa.Column(
            "fee_cents",
            t.ExactDecimal(38, 0),
            nullable=True,
            comment="What the collector got, in cents of the currency; null: not finalised.",
        ),
        sa.Column("fee_collector", t.Address, nullable=True, comment="Account that got the fee."),
        sa.Column("cancelled_by", t.Address, nullable=True, comment="Account that cancelled it."),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it was cancelled."),
        sa.Column(
            "ended_block",
            sa.BigInteger(),
            nullable=True,
            comment="Block that finalised or cancelled it.",
        ),
        sa.Column(
            "block_number", sa.BigInteger(), nullable=False, comment="Block that brought it."
        ),
        sa.Column(
            "log_index", sa.Integer(), nullable=False, comment="Position of the log in its block."
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "proposed_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."
        ),
        sa.PrimaryKeyConstraint("batch_id"),
        sa.UniqueConstraint("key"),
        comment="A settlement batch as it stands on chain.",
        indexes=(
            ("block_number",),
            ("status",),
        ),
    )


def _settlement_disputes() -> None:
    steps.create_table(
        "settlement_disputes",
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
            "batch_id",
            sa.BigInteger(),
            nullable=False,
            comment="Number of the batch in the contract.",
        ),
        sa.Column(
            "step",
            sa.Enum("disputed", "rejected", "upheld", name="step", create_constraint=True),
            nullable=False,
            comment="What happened.",
        ),
        sa.Column("account", t.Address, nullable=False, comment="Account that disputes."),
        sa.Column(
            "seq",
            t.ExactDecimal(20, 0),
            nullable=True,
            comment="Number of the trade, without a unit; null: the dispute is over.",
        ),
        sa.Column(
            "bond_cents",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="Bond taken or given, in cents of the currency.",
        ),
        sa.Column(
            "bond_to",
            t.Address,
            nullable=True,
            comment="Account that got the bond; null: it was taken.",
        ),
        sa.Column(
            "until_s",
            sa.BigInteger(),
            nullable=False,
            comment="From when anybody may cancel the batch; of a rejected dispute the new end of the "
            "window; seconds since 1970 UTC; 0 of an upheld one.",
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "happened_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."
        ),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        comment="A step of a dispute over a batch.",
        indexes=(("batch_id",),),
    )


def _settlement_terms() -> None:
    steps.create_table(
        "settlement_terms",
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
            "notional_cap_cents",
            t.ExactDecimal(20, 0),
            nullable=True,
            comment="Most that one call settles, in cents of the currency; null: the fee changed.",
        ),
        sa.Column(
            "credit_cap_kg",
            t.ExactDecimal(20, 0),
            nullable=True,
            comment="Most credits that one call settles, kg; null: the fee changed.",
        ),
        sa.Column(
            "fee_bps",
            sa.Integer(),
            nullable=True,
            comment="Fee in hundredths of a percent; null: the caps changed.",
        ),
        sa.Column(
            "fee_collector",
            t.Address,
            nullable=True,
            comment="Account that gets the fee; null: the caps changed.",
        ),
        sa.Column(
            "effective_at_s",
            sa.BigInteger(),
            nullable=True,
            comment="From when the fee holds, seconds since 1970 UTC; null: at once.",
        ),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "changed_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."
        ),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        comment="A change of the terms of settlement.",
    )


def _settlement_trades() -> None:
    steps.create_table(
        "settlement_trades",
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
            "seq",
            t.ExactDecimal(20, 0),
            nullable=False,
            comment="Number of the trade, without a unit.",
        ),
        sa.Column("buyer", t.Address, nullable=False, comment="Account of the buyer."),
        sa.Column("seller", t.Address, nullable=False, comment="Account of the seller."),
        sa.Column(
            "asset",
            sa.BigInteger(),
            nullable=False,
            comment="Asset of the trades: 0 is energy, else the number of a credit batch.",
        ),
        sa.Column(
            "quantity",
            sa.BigInteger(),
            nullable=False,
            comment="Thousandths of a kWh for energy, kilograms for credits.",
        ),
        sa.Column(
            "price_e4",
            sa.BigInteger(),
            nullable=False,
            comment="Ten-thousandths of the currency for a thousandfold of the quantity.",
        ),
        sa.Column(
            "cents",
            sa.BigInteger(),
            nullable=False,
            comment="What the buyer paid the seller, in cents; negative: the other way.",
        ),
        sa.Column(
            "fee_cents",
            t.ExactDecimal(38, 0),
            nullable=False,
            comment="What the collector got of it, in cents of the currency.",
        ),
        sa.Column("fee_collector", t.Address, nullable=False, comment="Account that got the fee."),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column(
            "settled_at", t.UtcDateTime(), nullable=False, comment="Time of that block, UTC."
        ),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        sa.UniqueConstraint("seq"),
        comment="A trade that was settled by itself.",
    )
