"""Section 4 of the customer's design: advanced trading and learning.

Three tables stand in the customer's data dictionary, eight in the diagram alone; their precision,
nullability and states are ours.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import CUSTOMER, Base, big_id, created_at, int_id, options, updated_at
from ledger.models.types import ExactDecimal, Varchar, choice, json_object

PLANT = "Row number of the plant (not its code)."
MODEL = "Row number of the model."


class OpportunityStatus(StrEnum):
    """What became of an opportunity."""

    IDENTIFIED = "identified"
    EXECUTING = "executing"
    COMPLETED = "completed"
    EXPIRED = "expired"


class HedgeStatus(StrEnum):
    """What became of a hedge."""

    OPEN = "open"
    CLOSED = "closed"
    EXPIRED = "expired"


class ModelType(StrEnum):
    """The learning algorithm."""

    DQN = "dqn"
    PPO = "ppo"
    A3C = "a3c"
    DDPG = "ddpg"


class ModelStatus(StrEnum):
    """Whether a model is in use."""

    TRAINING = "training"
    DEPLOYED = "deployed"
    DEPRECATED = "deprecated"


class AdvancedTradingConfig(Base):
    """How a virtual power plant may trade by itself."""

    __tablename__ = "advanced_trading_config"

    id: Mapped[int] = int_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    risk_parameters: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Limits of risk; each names its unit."
    )
    optimization_settings: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Settings of the optimiser."
    )
    market_preferences: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Markets in order of preference."
    )
    auto_trading_enabled: Mapped[bool] = mapped_column(
        comment="Whether it trades without a person."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        options("How a plant may trade by itself.", writer="ledger.park", origin=CUSTOMER),
    )


class ArbitrageOpportunity(Base):
    """A price difference between two markets that was seen."""

    __tablename__ = "arbitrage_opportunities"

    id: Mapped[int] = int_id()
    opportunity_id: Mapped[str] = mapped_column(Varchar(100), unique=True, comment="Code of it.")
    market_pair: Mapped[str] = mapped_column(Varchar(100), comment="The two markets.")
    price_difference: Mapped[Decimal] = mapped_column(
        ExactDecimal(10, 4), comment="Difference in the settlement currency per kWh."
    )
    potential_profit: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 2), comment="Profit if taken, in the settlement currency."
    )
    risk_score: Mapped[Decimal] = mapped_column(ExactDecimal(5, 2), comment="Risk, from 0 to 100.")
    status: Mapped[OpportunityStatus] = mapped_column(
        choice(OpportunityStatus, "status"), comment="What became of it."
    )
    identified_at: Mapped[datetime] = mapped_column(comment="When it was seen, UTC.")
    expires_at: Mapped[datetime] = mapped_column(comment="When it ends, UTC.")

    __table_args__ = (
        options("A price difference between markets.", writer="ledger.park", origin=CUSTOMER),
    )


class PriceOptimizationHistory(Base):
    """A price before and after optimisation."""

    __tablename__ = "price_optimization_history"

    id: Mapped[int] = big_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    original_price: Mapped[Decimal] = mapped_column(
        ExactDecimal(10, 4), comment="Price before, in the settlement currency per kWh."
    )
    optimized_price: Mapped[Decimal] = mapped_column(
        ExactDecimal(10, 4), comment="Price after, in the settlement currency per kWh."
    )
    improvement_percentage: Mapped[Decimal] = mapped_column(
        ExactDecimal(8, 4), comment="Improvement in percent."
    )
    optimization_factors: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="What it was decided on."
    )
    optimized_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_price_optimization_history_vpp_id_optimized_at", "vpp_id", "optimized_at"),
        options("A price before and after optimisation.", writer="ledger.park", origin=CUSTOMER),
    )


class DynamicDispatchHistory(Base):
    """How the resources of a plant were dispatched."""

    __tablename__ = "dynamic_dispatch_history"

    id: Mapped[int] = big_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    resource_allocation: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="Power of each resource in kW, as text."
    )
    total_output: Mapped[Decimal] = mapped_column(
        ExactDecimal(15, 3), comment="Power in all, in kW."
    )
    efficiency_score: Mapped[Decimal] = mapped_column(
        ExactDecimal(8, 6), comment="Efficiency, from 0 to 1."
    )
    market_conditions: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Prices and demand at the time; each names its unit."
    )
    dispatch_time: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_dynamic_dispatch_history_vpp_id_dispatch_time", "vpp_id", "dispatch_time"),
        options("How a plant was dispatched.", writer="ledger.park", origin=CUSTOMER),
    )


class RiskHedgeRecord(Base):
    """A hedge that a plant bought."""

    __tablename__ = "risk_hedge_records"

    id: Mapped[int] = int_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    hedge_type: Mapped[str] = mapped_column(Varchar(50), comment="Kind of hedge.")
    hedge_amount: Mapped[Decimal] = mapped_column(
        ExactDecimal(15, 2), comment="Amount hedged, in the settlement currency."
    )
    hedge_cost: Mapped[Decimal] = mapped_column(
        ExactDecimal(15, 2), comment="Cost, in the settlement currency."
    )
    status: Mapped[HedgeStatus] = mapped_column(
        choice(HedgeStatus, "status"), comment="What became of it."
    )
    created_at: Mapped[datetime] = created_at()
    maturity_date: Mapped[datetime] = mapped_column(comment="When it falls due, UTC.")

    __table_args__ = (options("A hedge of a plant.", writer="ledger.park", origin=CUSTOMER),)


class RlModel(Base):
    """A reinforcement learning model."""

    __tablename__ = "rl_models"

    id: Mapped[int] = int_id()
    model_name: Mapped[str] = mapped_column(Varchar(200), unique=True, comment="Name of the model.")
    model_type: Mapped[ModelType] = mapped_column(
        choice(ModelType, "model_type"), comment="Algorithm."
    )
    model_parameters: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Parameters."
    )
    training_config: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="How it is trained."
    )
    performance_score: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(8, 6), comment="Score of the last evaluation, without a unit."
    )
    status: Mapped[ModelStatus] = mapped_column(
        choice(ModelStatus, "status"), comment="Whether it is in use."
    )
    created_at: Mapped[datetime] = created_at()
    last_trained: Mapped[datetime | None] = mapped_column(comment="When it was last trained, UTC.")

    __table_args__ = (
        options("A reinforcement learning model.", writer="ledger.park", origin=CUSTOMER),
    )


class DecisionHistory(Base):
    """A decision of a model."""

    __tablename__ = "decision_history"

    id: Mapped[int] = big_id()
    model_id: Mapped[int] = mapped_column(ForeignKey("rl_models.id"), comment=MODEL)
    input_state: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="What the model saw."
    )
    decision_output: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="What it decided."
    )
    confidence_score: Mapped[Decimal] = mapped_column(
        ExactDecimal(8, 6), comment="Its confidence, from 0 to 1."
    )
    market_context: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="The market at the time; each value names its unit."
    )
    actual_outcome: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(15, 6), comment="What came of it, in the model's unit of reward."
    )
    decision_time: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_decision_history_model_id_decision_time", "model_id", "decision_time"),
        options("A decision of a model.", writer="ledger.park", origin=CUSTOMER),
    )


class MultiObjectiveOptimization(Base):
    """One run of an optimisation with several aims."""

    __tablename__ = "multi_objective_optimization"

    id: Mapped[int] = int_id()
    vpp_id: Mapped[int] = mapped_column(ForeignKey("vpp_definitions.id"), comment=PLANT)
    objectives: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="Aims and their weights."
    )
    constraints: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Limits; each names its unit."
    )
    solution: Mapped[dict[str, Any] | None] = mapped_column(json_object(), comment="Best found.")
    fitness_score: Mapped[Decimal] = mapped_column(
        ExactDecimal(15, 6), comment="Value of the aim at the solution, without a unit."
    )
    optimized_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_multi_objective_optimization_vpp_id_optimized_at", "vpp_id", "optimized_at"),
        options(
            "A run of an optimisation with several aims.", writer="ledger.park", origin=CUSTOMER
        ),
    )


class AdaptiveParameterAdjustment(Base):
    """A change of one parameter of a model."""

    __tablename__ = "adaptive_parameter_adjustments"

    id: Mapped[int] = big_id()
    model_id: Mapped[int] = mapped_column(ForeignKey("rl_models.id"), comment=MODEL)
    parameter_name: Mapped[str] = mapped_column(Varchar(100), comment="Name of the parameter.")
    old_value: Mapped[Decimal] = mapped_column(
        ExactDecimal(18, 9), comment="Value before, in the parameter's unit."
    )
    new_value: Mapped[Decimal] = mapped_column(
        ExactDecimal(18, 9), comment="Value after, in the parameter's unit."
    )
    adjustment_reason: Mapped[str | None] = mapped_column(Text, comment="Why.")
    performance_impact: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(8, 6), comment="Change of the score that followed, without a unit."
    )
    adjusted_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_adaptive_parameter_adjustments_model_id_adjusted_at", "model_id", "adjusted_at"),
        options("A change of a parameter of a model.", writer="ledger.park", origin=CUSTOMER),
    )


class MarketTrendPrediction(Base):
    """A prediction about a market."""

    __tablename__ = "market_trend_predictions"

    id: Mapped[int] = int_id()
    market_name: Mapped[str] = mapped_column(Varchar(100), comment="Market.")
    prediction_type: Mapped[str] = mapped_column(Varchar(50), comment="What is predicted.")
    prediction_data: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="The prediction; each value names its unit."
    )
    confidence_level: Mapped[Decimal] = mapped_column(
        ExactDecimal(5, 4), comment="Confidence, from 0 to 1."
    )
    prediction_time: Mapped[datetime] = mapped_column(comment="When it was made, UTC.")
    target_time: Mapped[datetime] = mapped_column(comment="Time that it is about, UTC.")
    actual_value: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(15, 6), comment="What came, in the unit of the prediction."
    )

    __table_args__ = (
        Index(
            "idx_market_trend_predictions_market_name_prediction_time",
            "market_name",
            "prediction_time",
        ),
        options("A prediction about a market.", writer="ledger.park", origin=CUSTOMER),
    )


class RlExperienceReplay(Base):
    """One step of experience that a model learns from."""

    __tablename__ = "rl_experience_replay"

    id: Mapped[int] = big_id()
    model_id: Mapped[int] = mapped_column(ForeignKey("rl_models.id"), comment=MODEL)
    state: Mapped[dict[str, Any]] = mapped_column(json_object(), comment="State before.")
    action: Mapped[str] = mapped_column(Varchar(100), comment="What was done.")
    reward: Mapped[Decimal] = mapped_column(
        ExactDecimal(15, 6), comment="Reward, in the model's unit of reward."
    )
    next_state: Mapped[dict[str, Any] | None] = mapped_column(json_object(), comment="State after.")
    done: Mapped[bool] = mapped_column(comment="Whether the episode ended.")
    priority: Mapped[Decimal] = mapped_column(
        ExactDecimal(10, 6), comment="Weight in sampling, without a unit."
    )
    recorded_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_rl_experience_replay_model_id_recorded_at", "model_id", "recorded_at"),
        options("A step of experience of a model.", writer="ledger.park", origin=CUSTOMER),
    )
