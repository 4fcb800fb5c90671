"""The eight tables that complete the customer's 41: settlement, markets, dispatch, training."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, COMPLETES, Base, big_id, created_at, int_id, options, updated_at
from ledger.models.trading import TradeType
from ledger.models.types import (
    Address,
    BigInt,
    ExactDecimal,
    Hash,
    Varchar,
    choice,
    json_array,
    json_object,
)

PLANT = "Row number of the plant (not its code)."


class BatchState(StrEnum):
    """How far a settlement batch has come. Only the mirror goes beyond ``planned``."""

    PLANNED = "planned"
    PROPOSED = "proposed"
    FINALIZED = "finalized"
    CANCELLED = "cancelled"
    FAILED = "failed"


class BidStatus(StrEnum):
    """What became of a bid."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class ForecastKind(StrEnum):
    """What is forecast."""

    GENERATION = "generation"
    LOAD = "load"
    PRICE = "price"


class CommandStatus(StrEnum):
    """What became of a command."""

    PLANNED = "planned"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"


class TrainingStatus(StrEnum):
    """How a training run ended."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class VppSettlementAccount(Base):
    """The account on chain of a plant or of a market."""

    __tablename__ = "vpp_settlement_accounts"

    id: Mapped[int] = int_id()
    vpp_id: Mapped[int | None] = mapped_column(
        ForeignKey("vpp_definitions.id"),
        unique=True,
        comment="Row number of the plant (not its code).",
    )
    market: Mapped[str | None] = mapped_column(
        Varchar(50), unique=True, comment="Name of the market."
    )
    address: Mapped[str] = mapped_column(Address, comment="Its account.")
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        CheckConstraint("(vpp_id IS NULL) <> (market IS NULL)", name="vpp_or_market"),
        options("The account of a plant or a market.", writer="ledger.sites", origin=COMPLETES),
    )


class VppSettlementBatch(Base):
    """Trades that are settled together on chain."""

    __tablename__ = "vpp_settlement_batches"

    id: Mapped[int] = big_id()
    batch_key: Mapped[str] = mapped_column(
        Hash, unique=True, comment="Key of the batch: of the intent, the call and the event."
    )
    market: Mapped[str] = mapped_column(Varchar(50), comment="Market of the trades.")
    state: Mapped[BatchState] = mapped_column(
        choice(BatchState, "state"), comment="How far it has come."
    )
    trade_count: Mapped[int] = mapped_column(comment="How many trades.")
    accounts: Mapped[list[str]] = mapped_column(json_array(), comment="Addresses, sorted.")
    nets: Mapped[list[str]] = mapped_column(
        json_array(), comment="Net of each address in cents, as text; positive is received."
    )
    trades_root: Mapped[str] = mapped_column(Hash, comment="Merkle root of the trades.")
    asset: Mapped[int | None] = mapped_column(
        BigInteger,
        comment="Number of the credit batch that is traded; null: energy, for cash alone.",
    )
    credit_nets: Mapped[list[str] | None] = mapped_column(
        json_array(), comment="Net of each address in kg of the credits, as text; null: energy."
    )
    netted_from: Mapped[datetime | None] = mapped_column(
        comment="Start of the hours that are netted, UTC; null: not planned here."
    )
    signed_until: Mapped[datetime | None] = mapped_column(
        comment="Until when its parties' signatures hold, UTC; null: the operator proposes it."
    )
    chain_batch_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="Number of the batch in the contract."
    )
    finalize_key: Mapped[str | None] = mapped_column(
        Hash, comment="Key of the intent that finalises it."
    )
    finalizable_at: Mapped[datetime | None] = mapped_column(comment="End of the window, UTC.")
    proposed_block: Mapped[int | None] = mapped_column(
        BigInteger, comment="Block that proposed it."
    )
    finalized_block: Mapped[int | None] = mapped_column(
        BigInteger, comment="Block that finalised it."
    )
    error: Mapped[str | None] = mapped_column(Text, comment="Why it failed.")
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        Index("idx_vpp_settlement_batches_state", "state"),
        options("Trades that are settled together.", writer="ledger.settlement", origin=COMPLETES),
    )


class VppSettlementItem(Base):
    """One trade of a batch. A trade stands in one batch only."""

    __tablename__ = "vpp_settlement_items"

    id: Mapped[int] = big_id()
    batch_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("vpp_settlement_batches.id"), comment="Row number of the batch."
    )
    trade_id: Mapped[int] = mapped_column(
        BigInteger,
        unique=True,
        comment="Row number of the trade; no foreign key, trades are partitioned.",
    )
    word: Mapped[str] = mapped_column(Hash, comment="The trade as the contract reads it, 32 bytes.")

    __table_args__ = (
        Index("idx_vpp_settlement_items_batch_id", "batch_id"),
        options("A trade of a batch.", writer="ledger.settlement", origin=COMPLETES, changes=ALL),
    )


class VppMarketPrice(Base):
    """The price of a market for a time."""

    __tablename__ = "vpp_market_prices"

    id: Mapped[int] = big_id()
    market: Mapped[str] = mapped_column(Varchar(50), comment="Name of the market.")
    product: Mapped[str] = mapped_column(Varchar(50), comment="Product, such as day_ahead.")
    starts_at: Mapped[datetime] = mapped_column(comment="Start of delivery, UTC.")
    duration_s: Mapped[int] = mapped_column(comment="Length of delivery in seconds.")
    price: Mapped[Decimal] = mapped_column(
        ExactDecimal(10, 4), comment="Price in the row's currency per kWh; may be negative."
    )
    currency: Mapped[str] = mapped_column(Varchar(10), comment="Currency, by its ISO 4217 code.")
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        UniqueConstraint("market", "product", "starts_at"),
        Index("idx_vpp_market_prices_market_starts_at", "market", "starts_at"),
        options("The price of a market for a time.", writer="ledger.park", origin=COMPLETES),
    )


class VppMarketBid(Base):
    """An offer of a plant to a market."""

    __tablename__ = "vpp_market_bids"

    id: Mapped[int] = big_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    market: Mapped[str] = mapped_column(Varchar(50), comment="Name of the market.")
    side: Mapped[TradeType] = mapped_column(choice(TradeType, "side"), comment="Side of the plant.")
    quantity: Mapped[Decimal] = mapped_column(ExactDecimal(12, 3), comment="Energy in kWh.")
    price: Mapped[Decimal] = mapped_column(
        ExactDecimal(10, 4), comment="Limit in the settlement currency per kWh; may be negative."
    )
    starts_at: Mapped[datetime] = mapped_column(comment="Start of delivery, UTC.")
    duration_s: Mapped[int] = mapped_column(comment="Length of delivery in seconds.")
    status: Mapped[BidStatus] = mapped_column(
        choice(BidStatus, "status"), comment="What became of it."
    )
    trade_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="Row number of the trade that it led to; no foreign key."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        Index("idx_vpp_market_bids_vpp_id_starts_at", "vpp_id", "starts_at"),
        options("An offer of a plant to a market.", writer="ledger.park", origin=COMPLETES),
    )


class VppForecast(Base):
    """What a plant expects for a time."""

    __tablename__ = "vpp_forecasts"

    id: Mapped[int] = big_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    kind: Mapped[ForecastKind] = mapped_column(
        choice(ForecastKind, "kind"), comment="What is forecast."
    )
    starts_at: Mapped[datetime] = mapped_column(comment="Start of the time, UTC.")
    duration_s: Mapped[int] = mapped_column(comment="Length of the time in seconds.")
    value: Mapped[Decimal] = mapped_column(
        ExactDecimal(15, 6), comment="Forecast, in the row's unit."
    )
    unit: Mapped[str] = mapped_column(Varchar(20), comment="Unit of the value.")
    method: Mapped[str] = mapped_column(Varchar(100), comment="How it was made.")
    created_at: Mapped[datetime] = created_at("When it was made, UTC.")

    __table_args__ = (
        Index("idx_vpp_forecasts_vpp_id_kind_starts_at", "vpp_id", "kind", "starts_at"),
        Index("idx_vpp_forecasts_vpp_id_starts_at", "vpp_id", "starts_at"),
        options("What a plant expects for a time.", writer="ledger.park", origin=COMPLETES),
    )


class VppDispatchCommand(Base):
    """An order to a resource to run at a power for a time."""

    __tablename__ = "vpp_dispatch_commands"

    id: Mapped[int] = big_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    resource_id: Mapped[int] = mapped_column(
        ForeignKey("vpp_resources.id"), comment="Row number of the resource (not its code)."
    )
    power_kw: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Power in kW; positive delivers to the grid."
    )
    starts_at: Mapped[datetime] = mapped_column(comment="Start, UTC.")
    duration_s: Mapped[int] = mapped_column(comment="Length in seconds.")
    status: Mapped[CommandStatus] = mapped_column(
        choice(CommandStatus, "status"), comment="What became of it."
    )
    error: Mapped[str | None] = mapped_column(Text, comment="Why it failed.")
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        Index("idx_vpp_dispatch_commands_vpp_id_starts_at", "vpp_id", "starts_at"),
        Index("idx_vpp_dispatch_commands_resource_id_starts_at", "resource_id", "starts_at"),
        options("An order to a resource.", writer="ledger.park", origin=COMPLETES),
    )


class RlTrainingRun(Base):
    """One training of a model."""

    __tablename__ = "rl_training_runs"

    id: Mapped[int] = int_id()
    model_id: Mapped[int] = mapped_column(
        ForeignKey("rl_models.id"), comment="Row number of the model."
    )
    status: Mapped[TrainingStatus] = mapped_column(
        choice(TrainingStatus, "status"), comment="How it ended."
    )
    episodes: Mapped[int] = mapped_column(comment="Episodes trained.")
    configuration: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="How it was trained."
    )
    data_from: Mapped[datetime | None] = mapped_column(comment="Start of the data, UTC.")
    data_to: Mapped[datetime | None] = mapped_column(comment="End of the data (exclusive), UTC.")
    score: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(8, 6), comment="Score, without a unit."
    )
    error: Mapped[str | None] = mapped_column(Text, comment="Why it failed.")
    started_at: Mapped[datetime] = mapped_column(comment="When it began, UTC.")
    finished_at: Mapped[datetime | None] = mapped_column(comment="When it ended, UTC.")

    __table_args__ = (
        Index("idx_rl_training_runs_model_id_started_at", "model_id", "started_at"),
        options("One training of a model.", writer="ledger.park", origin=COMPLETES),
    )
