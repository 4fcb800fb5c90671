"""Advanced trading and learning."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first."""
    _arbitrage_opportunities()
    _market_trend_predictions()
    _rl_models()
    _adaptive_parameter_adjustments()
    _advanced_trading_config()
    _decision_history()
    _dynamic_dispatch_history()
    _multi_objective_optimization()
    _price_optimization_history()
    _risk_hedge_records()
    _rl_experience_replay()


def _arbitrage_opportunities() -> None:
    steps.create_table(
        "arbitrage_opportunities",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("opportunity_id", t.Varchar(100), nullable=False, comment="Code of it."),
        sa.Column("market_pair", t.Varchar(100), nullable=False, comment="The two markets."),
        sa.Column(
            "price_difference",
            t.ExactDecimal(10, 4),
            nullable=False,
            comment="Difference in the settlement currency per kWh.",
        ),
        sa.Column(
            "potential_profit",
            t.ExactDecimal(12, 2),
            nullable=False,
            comment="Profit if taken, in the settlement currency.",
        ),
        sa.Column(
            "risk_score", t.ExactDecimal(5, 2), nullable=False, comment="Risk, from 0 to 100."
        ),
        sa.Column(
            "status",
            sa.Enum(
                "identified",
                "executing",
                "completed",
                "expired",
                name="status",
                create_constraint=True,
            ),
            nullable=False,
            comment="What became of it.",
        ),
        sa.Column(
            "identified_at", t.UtcDateTime(), nullable=False, comment="When it was seen, UTC."
        ),
        sa.Column("expires_at", t.UtcDateTime(), nullable=False, comment="When it ends, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("opportunity_id"),
        comment="A price difference between markets.",
    )


def _market_trend_predictions() -> None:
    steps.create_table(
        "market_trend_predictions",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("market_name", t.Varchar(100), nullable=False, comment="Market."),
        sa.Column("prediction_type", t.Varchar(50), nullable=False, comment="What is predicted."),
        sa.Column(
            "prediction_data",
            sa.JSON(),
            nullable=False,
            comment="The prediction; each value names its unit.",
        ),
        sa.Column(
            "confidence_level",
            t.ExactDecimal(5, 4),
            nullable=False,
            comment="Confidence, from 0 to 1.",
        ),
        sa.Column(
            "prediction_time", t.UtcDateTime(), nullable=False, comment="When it was made, UTC."
        ),
        sa.Column(
            "target_time", t.UtcDateTime(), nullable=False, comment="Time that it is about, UTC."
        ),
        sa.Column(
            "actual_value",
            t.ExactDecimal(15, 6),
            nullable=True,
            comment="What came, in the unit of the prediction.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="A prediction about a market.",
    )


def _rl_models() -> None:
    steps.create_table(
        "rl_models",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("model_name", t.Varchar(200), nullable=False, comment="Name of the model."),
        sa.Column(
            "model_type",
            sa.Enum("dqn", "ppo", "a3c", "ddpg", name="model_type", create_constraint=True),
            nullable=False,
            comment="Algorithm.",
        ),
        sa.Column("model_parameters", sa.JSON(), nullable=True, comment="Parameters."),
        sa.Column("training_config", sa.JSON(), nullable=True, comment="How it is trained."),
        sa.Column(
            "performance_score",
            t.ExactDecimal(8, 6),
            nullable=True,
            comment="Score of the last evaluation, without a unit.",
        ),
        sa.Column(
            "status",
            sa.Enum("training", "deployed", "deprecated", name="status", create_constraint=True),
            nullable=False,
            comment="Whether it is in use.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "last_trained", t.UtcDateTime(), nullable=True, comment="When it was last trained, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model_name"),
        comment="A reinforcement learning model.",
    )


def _adaptive_parameter_adjustments() -> None:
    steps.create_table(
        "adaptive_parameter_adjustments",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("model_id", sa.Integer(), nullable=False, comment="Row number of the model."),
        sa.Column(
            "parameter_name", t.Varchar(100), nullable=False, comment="Name of the parameter."
        ),
        sa.Column(
            "old_value",
            t.ExactDecimal(18, 9),
            nullable=False,
            comment="Value before, in the parameter's unit.",
        ),
        sa.Column(
            "new_value",
            t.ExactDecimal(18, 9),
            nullable=False,
            comment="Value after, in the parameter's unit.",
        ),
        sa.Column("adjustment_reason", sa.Text(), nullable=True, comment="Why."),
        sa.Column(
            "performance_impact",
            t.ExactDecimal(8, 6),
            nullable=True,
            comment="Change of the score that followed, without a unit.",
        ),
        sa.Column("adjusted_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["model_id"], ["rl_models.id"]),
        comment="A change of a parameter of a model.",
    )


def _advanced_trading_config() -> None:
    steps.create_table(
        "advanced_trading_config",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column(
            "risk_parameters",
            sa.JSON(),
            nullable=True,
            comment="Limits of risk; each names its unit.",
        ),
        sa.Column(
            "optimization_settings", sa.JSON(), nullable=True, comment="Settings of the optimiser."
        ),
        sa.Column(
            "market_preferences",
            sa.JSON(),
            nullable=True,
            comment="Markets in order of preference.",
        ),
        sa.Column(
            "auto_trading_enabled",
            sa.Boolean(),
            nullable=False,
            comment="Whether it trades without a person.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="How a plant may trade by itself.",
    )


def _decision_history() -> None:
    steps.create_table(
        "decision_history",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("model_id", sa.Integer(), nullable=False, comment="Row number of the model."),
        sa.Column("input_state", sa.JSON(), nullable=False, comment="What the model saw."),
        sa.Column("decision_output", sa.JSON(), nullable=False, comment="What it decided."),
        sa.Column(
            "confidence_score",
            t.ExactDecimal(8, 6),
            nullable=False,
            comment="Its confidence, from 0 to 1.",
        ),
        sa.Column(
            "market_context",
            sa.JSON(),
            nullable=True,
            comment="The market at the time; each value names its unit.",
        ),
        sa.Column(
            "actual_outcome",
            t.ExactDecimal(15, 6),
            nullable=True,
            comment="What came of it, in the model's unit of reward.",
        ),
        sa.Column("decision_time", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["model_id"], ["rl_models.id"]),
        comment="A decision of a model.",
    )


def _dynamic_dispatch_history() -> None:
    steps.create_table(
        "dynamic_dispatch_history",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column(
            "resource_allocation",
            sa.JSON(),
            nullable=False,
            comment="Power of each resource in kW, as text.",
        ),
        sa.Column(
            "total_output", t.ExactDecimal(15, 3), nullable=False, comment="Power in all, in kW."
        ),
        sa.Column(
            "efficiency_score",
            t.ExactDecimal(8, 6),
            nullable=False,
            comment="Efficiency, from 0 to 1.",
        ),
        sa.Column(
            "market_conditions",
            sa.JSON(),
            nullable=True,
            comment="Prices and demand at the time; each names its unit.",
        ),
        sa.Column("dispatch_time", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="How a plant was dispatched.",
    )


def _multi_objective_optimization() -> None:
    steps.create_table(
        "multi_objective_optimization",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column("objectives", sa.JSON(), nullable=False, comment="Aims and their weights."),
        sa.Column("constraints", sa.JSON(), nullable=True, comment="Limits; each names its unit."),
        sa.Column("solution", sa.JSON(), nullable=True, comment="Best found."),
        sa.Column(
            "fitness_score",
            t.ExactDecimal(15, 6),
            nullable=False,
            comment="Value of the aim at the solution, without a unit.",
        ),
        sa.Column("optimized_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="A run of an optimisation with several aims.",
    )


def _price_optimization_history() -> None:
    steps.create_table(
        "price_optimization_history",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column(
            "original_price",
            t.ExactDecimal(10, 4),
            nullable=False,
            comment="Price before, in the settlement currency per kWh.",
        ),
        sa.Column(
            "optimized_price",
            t.ExactDecimal(10, 4),
            nullable=False,
            comment="Price after, in the settlement currency per kWh.",
        ),
        sa.Column(
            "improvement_percentage",
            t.ExactDecimal(8, 4),
            nullable=False,
            comment="Improvement in percent.",
        ),
        sa.Column(
            "optimization_factors", sa.JSON(), nullable=True, comment="What it was decided on."
        ),
        sa.Column("optimized_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="A price before and after optimisation.",
    )


def _risk_hedge_records() -> None:
    steps.create_table(
        "risk_hedge_records",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "vpp_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the plant (not its code).",
        ),
        sa.Column("hedge_type", t.Varchar(50), nullable=False, comment="Kind of hedge."),
        sa.Column(
            "hedge_amount",
            t.ExactDecimal(15, 2),
            nullable=False,
            comment="Amount hedged, in the settlement currency.",
        ),
        sa.Column(
            "hedge_cost",
            t.ExactDecimal(15, 2),
            nullable=False,
            comment="Cost, in the settlement currency.",
        ),
        sa.Column(
            "status",
            sa.Enum("open", "closed", "expired", name="status", create_constraint=True),
            nullable=False,
            comment="What became of it.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "maturity_date", t.UtcDateTime(), nullable=False, comment="When it falls due, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["vpp_id"], ["vpp_definitions.id"]),
        comment="A hedge of a plant.",
    )


def _rl_experience_replay() -> None:
    steps.create_table(
        "rl_experience_replay",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("model_id", sa.Integer(), nullable=False, comment="Row number of the model."),
        sa.Column("state", sa.JSON(), nullable=False, comment="State before."),
        sa.Column("action", t.Varchar(100), nullable=False, comment="What was done."),
        sa.Column(
            "reward",
            t.ExactDecimal(15, 6),
            nullable=False,
            comment="Reward, in the model's unit of reward.",
        ),
        sa.Column("next_state", sa.JSON(), nullable=True, comment="State after."),
        sa.Column("done", sa.Boolean(), nullable=False, comment="Whether the episode ended."),
        sa.Column(
            "priority",
            t.ExactDecimal(10, 6),
            nullable=False,
            comment="Weight in sampling, without a unit.",
        ),
        sa.Column("recorded_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["model_id"], ["rl_models.id"]),
        comment="A step of experience of a model.",
    )
