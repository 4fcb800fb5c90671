"""Models that learn: tables, keys, what may change, and which rules hold."""

from __future__ import annotations

from ledger.models import (
    AdaptiveParameterAdjustment,
    DecisionHistory,
    MarketTrendPrediction,
    RlExperienceReplay,
    RlModel,
    RlTrainingRun,
)
from ledger.models.settlement import TrainingStatus
from ledger.park import rules, states
from ledger.park.kinds import LEARNING, NOT_NEGATIVE, SHARE, kind_of

KINDS = (
    kind_of(
        "models",
        RlModel,
        "model",
        "A model that learns.",
        "model_name",
        right=LEARNING,
        changes="model_parameters training_config performance_score status last_trained",
        rules=(rules.happened("last_trained"), states.MODEL),
    ),
    kind_of(
        "training-runs",
        RlTrainingRun,
        "training run",
        "One training of a model.",
        "model_name started_at",
        right=LEARNING,
        changes="status episodes",
        once="score error finished_at",
        limits={"episodes": NOT_NEGATIVE},
        rules=(
            rules.happened("started_at", "finished_at"),
            rules.in_order("data_from", "data_to"),
            rules.in_order("started_at", "finished_at", apart=False),
            rules.training_ends,
            rules.error_only_of(TrainingStatus.FAILED),
            states.TRAINING,
        ),
        time="started_at",
        filters=("model_name",),
    ),
    kind_of(
        "decisions",
        DecisionHistory,
        "decision",
        "A decision of a model.",
        "model_name decision_time",
        right=LEARNING,
        once="actual_outcome",
        limits={"confidence_score": SHARE},
        rules=(rules.happened("decision_time"),),
        time="decision_time",
        filters=("model_name",),
    ),
    kind_of(
        "adjustments",
        AdaptiveParameterAdjustment,
        "adjustment",
        "A change of one parameter of a model.",
        "model_name adjusted_at parameter_name",
        right=LEARNING,
        once="performance_impact",
        rules=(rules.happened("adjusted_at"), rules.value_changes),
        time="adjusted_at",
        filters=("model_name",),
    ),
    kind_of(
        "experience",
        RlExperienceReplay,
        "step of experience",
        "One step of experience that a model learns from.",
        "model_name recorded_at action",
        right=LEARNING,
        changes="priority",
        quiet=True,
        limits={"priority": NOT_NEGATIVE},
        rules=(rules.happened("recorded_at"), rules.step_has_next),
        time="recorded_at",
        filters=("model_name",),
    ),
    kind_of(
        "predictions",
        MarketTrendPrediction,
        "prediction",
        "A prediction about a market.",
        "market_name prediction_time prediction_type target_time",
        right=LEARNING,
        once="actual_value",
        limits={"confidence_level": SHARE},
        rules=(
            rules.happened("prediction_time"),
            rules.in_order("prediction_time", "target_time"),
        ),
        time="prediction_time",
        filters=("market_name",),
    ),
)
