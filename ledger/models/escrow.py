"""The settlement contract as the mirror reads it: balances, batches, disputes, terms. Beyond the 41.

An asset is a number, as in the contract: 0 is the settlement currency, in its base units; any other is
a credit batch, in kilograms.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import BigInteger, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_key, options
from ledger.models.mirror import BLOCK, INDEXER, LOG, TX
from ledger.models.types import Address, ExactDecimal, Hash, choice, json_array

ASSET = "Asset: 0 is the settlement currency, else the number of a credit batch."
TRADED = "Asset of the trades: 0 is energy, else the number of a credit batch."
CURRENCY = 0
"""The number of the settlement currency among the assets."""


class MovementKind(StrEnum):
    """Why an escrow balance changed."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    DEBIT = "debit"
    CREDIT = "credit"
    RESTORE = "restore"
    FEE = "fee"
    BOND = "bond"


class SettlementStatus(StrEnum):
    """State of a settlement batch on chain."""

    PROPOSED = "proposed"
    DISPUTED = "disputed"
    FINALIZED = "finalized"
    CANCELLED = "cancelled"


class DisputeStep(StrEnum):
    """What happened to a dispute."""

    DISPUTED = "disputed"
    REJECTED = "rejected"
    UPHELD = "upheld"


class SettlementMovement(Base):
    """A change of a balance in the settlement contract."""

    __tablename__ = "settlement_movements"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    sub_index: Mapped[int] = big_key("Position within a log that changes several balances.")
    account: Mapped[str] = mapped_column(Address, comment="Account.")
    asset: Mapped[int] = mapped_column(BigInteger, comment=ASSET)
    kind: Mapped[MovementKind] = mapped_column(choice(MovementKind, "kind"), comment="Why.")
    amount: Mapped[Decimal] = mapped_column(
        ExactDecimal(38, 0), comment="Change in base units of the currency, or in kg; signed."
    )
    batch_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="Number of the settlement batch in the contract; null: none."
    )
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)

    __table_args__ = (
        Index("idx_settlement_movements_batch_id", "batch_id"),
        options("A change of a settlement balance.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class SettlementBalance(Base):
    """What an account has of an asset in the settlement contract: the sum of its movements."""

    __tablename__ = "settlement_balances"

    account: Mapped[str] = mapped_column(Address, primary_key=True, comment="Account.")
    asset: Mapped[int] = big_key(ASSET)
    balance: Mapped[Decimal] = mapped_column(
        ExactDecimal(38, 0), comment="Balance in base units of the currency, or in kg."
    )

    __table_args__ = (
        options(
            "A balance in the settlement contract.", writer=INDEXER, origin=BEYOND, changes=ALL
        ),
    )


class SettlementBatch(Base):
    """A settlement batch as it stands on chain, whoever proposed it."""

    __tablename__ = "settlement_batches"

    batch_id: Mapped[int] = big_key("Number of the batch in the contract.")
    key: Mapped[str] = mapped_column(Hash, unique=True, comment="Key of the batch.")
    asset: Mapped[int] = mapped_column(BigInteger, comment=TRADED)
    trade_count: Mapped[int] = mapped_column(comment="How many trades.")
    trades_root: Mapped[str] = mapped_column(Hash, comment="Merkle root of the trades.")
    accounts: Mapped[list[str]] = mapped_column(json_array(), comment="Addresses, sorted.")
    nets: Mapped[list[str]] = mapped_column(
        json_array(), comment="Net of each address in cents after the fee, as text."
    )
    credit_nets: Mapped[list[str]] = mapped_column(
        json_array(), comment="Net of each address in kg of the asset, as text; empty for energy."
    )
    finalizable_at_s: Mapped[int] = mapped_column(
        BigInteger, comment="End of the window, seconds since 1970 UTC."
    )
    status: Mapped[SettlementStatus] = mapped_column(
        choice(SettlementStatus, "status"), comment="State on chain."
    )
    cosigned_digest: Mapped[str | None] = mapped_column(
        Hash, comment="What all parties have signed; null: an operator proposed it."
    )
    fee_cents: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(38, 0),
        comment="What the collector got, in cents of the currency; null: not finalised.",
    )
    fee_collector: Mapped[str | None] = mapped_column(Address, comment="Account that got the fee.")
    cancelled_by: Mapped[str | None] = mapped_column(Address, comment="Account that cancelled it.")
    reason: Mapped[str | None] = mapped_column(Text, comment="Why it was cancelled.")
    ended_block: Mapped[int | None] = mapped_column(
        BigInteger, comment="Block that finalised or cancelled it."
    )
    block_number: Mapped[int] = mapped_column(BigInteger, comment=BLOCK)
    log_index: Mapped[int] = mapped_column(comment=LOG)
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    proposed_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        Index("idx_settlement_batches_status", "status"),
        Index("idx_settlement_batches_block_number", "block_number"),
        options(
            "A settlement batch as it stands on chain.", writer=INDEXER, origin=BEYOND, changes=ALL
        ),
    )


class SettlementDispute(Base):
    """A step of a dispute over a settlement batch. The last step of a batch says where it stands."""

    __tablename__ = "settlement_disputes"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    batch_id: Mapped[int] = mapped_column(
        BigInteger, comment="Number of the batch in the contract."
    )
    step: Mapped[DisputeStep] = mapped_column(choice(DisputeStep, "step"), comment="What happened.")
    account: Mapped[str] = mapped_column(Address, comment="Account that disputes.")
    seq: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(20, 0),
        comment="Number of the trade, without a unit; null: the dispute is over.",
    )
    bond_cents: Mapped[Decimal] = mapped_column(
        ExactDecimal(38, 0), comment="Bond taken or given, in cents of the currency."
    )
    bond_to: Mapped[str | None] = mapped_column(
        Address, comment="Account that got the bond; null: it was taken."
    )
    until_s: Mapped[int] = mapped_column(
        BigInteger,
        comment="From when anybody may cancel the batch; of a rejected dispute the new end of the "
        "window; seconds since 1970 UTC; 0 of an upheld one.",
    )
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    happened_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        Index("idx_settlement_disputes_batch_id", "batch_id"),
        options("A step of a dispute over a batch.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class SettlementTrade(Base):
    """A trade that was settled by itself, in no batch."""

    __tablename__ = "settlement_trades"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    seq: Mapped[Decimal] = mapped_column(
        ExactDecimal(20, 0), unique=True, comment="Number of the trade, without a unit."
    )
    buyer: Mapped[str] = mapped_column(Address, comment="Account of the buyer.")
    seller: Mapped[str] = mapped_column(Address, comment="Account of the seller.")
    asset: Mapped[int] = mapped_column(BigInteger, comment=TRADED)
    quantity: Mapped[int] = mapped_column(
        BigInteger, comment="Thousandths of a kWh for energy, kilograms for credits."
    )
    price_e4: Mapped[int] = mapped_column(
        BigInteger, comment="Ten-thousandths of the currency for a thousandfold of the quantity."
    )
    cents: Mapped[int] = mapped_column(
        BigInteger, comment="What the buyer paid the seller, in cents; negative: the other way."
    )
    fee_cents: Mapped[Decimal] = mapped_column(
        ExactDecimal(38, 0), comment="What the collector got of it, in cents of the currency."
    )
    fee_collector: Mapped[str] = mapped_column(Address, comment="Account that got the fee.")
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    settled_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        options("A trade that was settled by itself.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class SettlementTerm(Base):
    """A change of the terms of settlement: of the caps or of the fee. The constructor set the first."""

    __tablename__ = "settlement_terms"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    notional_cap_cents: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(20, 0),
        comment="Most that one call settles, in cents of the currency; null: the fee changed.",
    )
    credit_cap_kg: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(20, 0),
        comment="Most credits that one call settles, kg; null: the fee changed.",
    )
    fee_bps: Mapped[int | None] = mapped_column(
        comment="Fee in hundredths of a percent; null: the caps changed."
    )
    fee_collector: Mapped[str | None] = mapped_column(
        Address, comment="Account that gets the fee; null: the caps changed."
    )
    effective_at_s: Mapped[int | None] = mapped_column(
        BigInteger, comment="From when the fee holds, seconds since 1970 UTC; null: at once."
    )
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    changed_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        options("A change of the terms of settlement.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )
