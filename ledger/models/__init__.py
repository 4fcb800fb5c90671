"""The tables: one module per section of the customer's design, in its order, then ours.

Importing this package registers every table with ``Base.metadata``. Annotations are evaluated where they stand (no
``from __future__ import annotations``): of each that is text SQLAlchemy would have to make its value, at every start.
"""

from ledger.models import (
    access,
    advanced,
    blockchain,
    certificates,
    corrections,
    credits,
    devices,
    energy,
    escrow,
    guarded,
    issuance,
    jobs,
    keeping,
    mirror,
    mirror_state,
    oversight,
    park,
    readings,
    sending,
    series,
    settlement,
    settling,
    sites,
    system,
    trading,
    users,
    vpp,
    webhooks,
)
from ledger.models.access import ApiKey, IdempotencyKey, SignInAttempt
from ledger.models.advanced import (
    AdaptiveParameterAdjustment,
    AdvancedTradingConfig,
    ArbitrageOpportunity,
    DecisionHistory,
    DynamicDispatchHistory,
    MarketTrendPrediction,
    MultiObjectiveOptimization,
    PriceOptimizationHistory,
    RiskHedgeRecord,
    RlExperienceReplay,
    RlModel,
)
from ledger.models.base import Base
from ledger.models.blockchain import BlockchainTransaction, CarbonCredit, SmartContract
from ledger.models.certificates import EnergyCertificate
from ledger.models.corrections import (
    Correction,
    CorrectionCarry,
    CorrectionReading,
    CorrectionRegister,
)
from ledger.models.credits import (
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditHolding,
    CreditProject,
    CreditRetirement,
    CreditSerial,
    CreditSite,
    CreditTransfer,
)
from ledger.models.devices import Device, DeviceAlert, DeviceData, DeviceType
from ledger.models.energy import CarbonEmission, EnergyConsumption, EnergyProduction
from ledger.models.escrow import (
    SettlementBalance,
    SettlementBatch,
    SettlementDispute,
    SettlementMovement,
    SettlementTerm,
    SettlementTrade,
)
from ledger.models.guarded import AuditHead, AuditLink, UserContact
from ledger.models.issuance import Issuance, ReadingClaim
from ledger.models.jobs import HeldLease, JobRun, ScheduledJob
from ledger.models.keeping import ArchivedDevice
from ledger.models.mirror import ChainBlock, ChainCursor, ChainEvent, ChainInclusion
from ledger.models.mirror_state import (
    ContractSighting,
    MirrorCheck,
    MirrorReorganisation,
    MirrorVerification,
    Reconciliation,
)
from ledger.models.oversight import CreditInvalidation, CreditOverlap
from ledger.models.park import ParkTurn
from ledger.models.readings import ImportFile, MeterReading, ReadingRestoration, ReadingWithdrawal
from ledger.models.sending import ChainAttempt, ChainIntent, ChainNonceLane, ChainSpending
from ledger.models.series import MeterChange, MeterSeries, RegisterReading
from ledger.models.settlement import (
    RlTrainingRun,
    VppDispatchCommand,
    VppForecast,
    VppMarketBid,
    VppMarketPrice,
    VppSettlementAccount,
    VppSettlementBatch,
    VppSettlementItem,
)
from ledger.models.settling import VppSettlementSignature, VppTradeCredit, VppTradeShortfall
from ledger.models.sites import EmissionFactor, Meter, MeterSource, Project, Site
from ledger.models.system import AuditLog, SystemConfig
from ledger.models.trading import VppTradingRecord, VppTradingStrategy
from ledger.models.users import User, UserPermission, UserSession
from ledger.models.vpp import (
    VppDefinition,
    VppOperationLog,
    VppResource,
    VppResourceAssociation,
    VppResourceInstance,
)
from ledger.models.webhooks import (
    WebhookAlert,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
    WebhookTry,
)

SECTIONS = (
    ("1. Users", (users,)),
    ("2. Devices", (devices,)),
    ("3. Virtual power plants", (vpp, trading)),
    ("4. Advanced trading", (advanced,)),
    ("5. Energy", (energy,)),
    ("6. Blockchain", (blockchain,)),
    ("7. System", (system,)),
    ("8. Completing the 41: settlement, markets, dispatch, training", (settlement,)),
    ("9. Settlement: credits, signatures, shortfalls", (settling,)),
    (
        "10. Evidence: from meters to issued credits",
        (sites, readings, issuance, series, certificates, corrections),
    ),
    (
        "11. Mirror: what goes to a chain and what comes back",
        (sending, mirror, credits, mirror_state, oversight, escrow),
    ),
    ("12. Processes: who works, when, and what came of it", (jobs,)),
    ("13. Access: keys, answers given once, attempts to sign in", (access,)),
    ("14. Webhooks: who is told of what", (webhooks,)),
    ("15. Keeping: what went to the archive", (keeping,)),
    ("16. Park: who writes its records", (park,)),
    ("17. What guards: the chain over the audit log, and what is sealed", (guarded,)),
)
"""Sections of ``docs/schema.md`` and the modules whose tables stand in each."""

__all__ = [
    "SECTIONS",
    "AdaptiveParameterAdjustment",
    "AdvancedTradingConfig",
    "ApiKey",
    "ArbitrageOpportunity",
    "ArchivedDevice",
    "AuditHead",
    "AuditLink",
    "AuditLog",
    "Base",
    "BlockchainTransaction",
    "CarbonCredit",
    "CarbonEmission",
    "ChainAttempt",
    "ChainBlock",
    "ChainCursor",
    "ChainEvent",
    "ChainInclusion",
    "ChainIntent",
    "ChainNonceLane",
    "ChainSpending",
    "ContractSighting",
    "Correction",
    "CorrectionCarry",
    "CorrectionReading",
    "CorrectionRegister",
    "CreditBatch",
    "CreditCancellation",
    "CreditClass",
    "CreditHolding",
    "CreditInvalidation",
    "CreditOverlap",
    "CreditProject",
    "CreditRetirement",
    "CreditSerial",
    "CreditSite",
    "CreditTransfer",
    "DecisionHistory",
    "Device",
    "DeviceAlert",
    "DeviceData",
    "DeviceType",
    "DynamicDispatchHistory",
    "EmissionFactor",
    "EnergyCertificate",
    "EnergyConsumption",
    "EnergyProduction",
    "HeldLease",
    "IdempotencyKey",
    "ImportFile",
    "Issuance",
    "JobRun",
    "MarketTrendPrediction",
    "Meter",
    "MeterChange",
    "MeterReading",
    "MeterSeries",
    "MeterSource",
    "MirrorCheck",
    "MirrorReorganisation",
    "MirrorVerification",
    "MultiObjectiveOptimization",
    "ParkTurn",
    "PriceOptimizationHistory",
    "Project",
    "ReadingClaim",
    "ReadingRestoration",
    "ReadingWithdrawal",
    "Reconciliation",
    "RegisterReading",
    "RiskHedgeRecord",
    "RlExperienceReplay",
    "RlModel",
    "RlTrainingRun",
    "ScheduledJob",
    "SettlementBalance",
    "SettlementBatch",
    "SettlementDispute",
    "SettlementMovement",
    "SettlementTerm",
    "SettlementTrade",
    "SignInAttempt",
    "Site",
    "SmartContract",
    "SystemConfig",
    "User",
    "UserContact",
    "UserPermission",
    "UserSession",
    "VppDefinition",
    "VppDispatchCommand",
    "VppForecast",
    "VppMarketBid",
    "VppMarketPrice",
    "VppOperationLog",
    "VppResource",
    "VppResourceAssociation",
    "VppResourceInstance",
    "VppSettlementAccount",
    "VppSettlementBatch",
    "VppSettlementItem",
    "VppSettlementSignature",
    "VppTradeCredit",
    "VppTradeShortfall",
    "VppTradingRecord",
    "VppTradingStrategy",
    "WebhookAlert",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookMessage",
    "WebhookTry",
]
