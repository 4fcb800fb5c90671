"""Sections 3.6 and 3.7 of the customer's design: strategies and trades of virtual power plants."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, CUSTOMER, Base, big_id, created_at, int_id, options, updated_at
from ledger.models.types import ExactDecimal, Varchar, choice, json_object
from ledger.models.vpp import VppStatus


class StrategyType(StrEnum):
    """What a strategy does."""

    ARBITRAGE = "arbitrage"
    PEAK_SHAVING = "peak_shaving"
    LOAD_FOLLOWING = "load_following"
    FREQUENCY_REGULATION = "frequency_regulation"


class TradeType(StrEnum):
    """Which side of the trade the plant is on."""

    BUY = "buy"
    SELL = "sell"


class TradeStatus(StrEnum):
    """How far a trade has come. Only the mirror says ``executed``."""

    PENDING = "pending"
    EXECUTED = "executed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class VppTradingStrategy(Base):
    """A way of trading of a virtual power plant."""

    __tablename__ = "vpp_trading_strategies"

    id: Mapped[int] = int_id()
    vpp_id: Mapped[int] = mapped_column(
        ForeignKey("vpp_definitions.id"), comment="Row number of the plant (not its code)."
    )
    strategy_name: Mapped[str] = mapped_column(Varchar(200), comment="Name for people.")
    strategy_type: Mapped[StrategyType] = mapped_column(
        choice(StrategyType, "strategy_type"), comment="What it does."
    )
    parameters: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Parameters; each names its unit."
    )
    status: Mapped[VppStatus] = mapped_column(
        choice(VppStatus, "status"), comment="Whether it is in use."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        options("A way of trading of a plant.", writer="ledger.park", origin=CUSTOMER),
    )


class VppTradingRecord(Base):
    """A trade of a virtual power plant on a market. Partitioned by year on MariaDB."""

    __tablename__ = "vpp_trading_records"

    id: Mapped[int] = big_id(
        "Row number, also on chain; MariaDB's primary key is (id, trade_time)."
    )
    vpp_id: Mapped[int] = mapped_column(
        comment="Row number of the plant (not its code); a foreign key on SQLite only."
    )
    strategy_id: Mapped[int | None] = mapped_column(
        comment="Row number of the strategy; a foreign key on SQLite only."
    )
    trade_type: Mapped[TradeType] = mapped_column(
        choice(TradeType, "trade_type"), comment="Side that the plant is on."
    )
    quantity: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Energy in kWh; of credits, t CO2e."
    )
    price: Mapped[Decimal] = mapped_column(
        ExactDecimal(10, 4),
        comment="Price in the settlement currency per kWh, of credits per t; may be negative.",
    )
    total_value: Mapped[Decimal] = mapped_column(
        ExactDecimal(15, 2),
        comment="quantity x price in the settlement currency, half away from zero; signed.",
    )
    market: Mapped[str] = mapped_column(Varchar(50), comment="Market, the other side of the trade.")
    status: Mapped[TradeStatus] = mapped_column(
        choice(TradeStatus, "status"), comment="How far it has come."
    )
    trade_time: Mapped[datetime] = mapped_column(comment="When it was agreed, UTC.")
    settlement_time: Mapped[datetime | None] = mapped_column(
        comment="Time of the block that settled it, UTC."
    )

    __table_args__ = (
        ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]).ddl_if(dialect="sqlite"),
        ForeignKeyConstraint(["strategy_id"], ["vpp_trading_strategies.id"]).ddl_if(
            dialect="sqlite"
        ),
        Index("idx_vpp_trading_records_vpp_id_trade_time", "vpp_id", "trade_time"),
        Index("idx_vpp_trading_records_status", "status"),
        # A foreign key would have brought it; a partitioned table has none.
        Index("idx_vpp_trading_records_strategy_id", "strategy_id"),
        # The number stands on chain for ever: it must not be given out again after a deletion.
        options(
            "A trade of a plant on a market.",
            writer="ledger.settlement",
            origin=CUSTOMER,
            changes=ALL,
            note="A trade that stands in `vpp_trade_credits` is of credits: its `quantity` is t CO2e, its `price` for "
            "a t. `total_value` has no sign for the side.",
            sqlite_autoincrement=True,
        ),
    )
