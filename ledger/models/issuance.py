"""Planned and issued reductions and the readings that they claim. Ours, beyond the 41."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, big_key, created_at, options
from ledger.models.types import BigInt, ExactDecimal, Hash, MediumText, Varchar, choice


class IssuanceState(StrEnum):
    """How far an issuance has come. Only the mirror says ``issued``."""

    PLANNED = "planned"
    ISSUED = "issued"
    VOID = "void"


LIVE = (IssuanceState.PLANNED, IssuanceState.ISSUED)
"""The states of an issuance whose readings are claimed: no other one may use them."""


def claimed_before(call: Mapping[str, Any] | None) -> int:
    """Return the ordinal of the batch before which the arguments of an issuance put it; 0: it is no backfill."""
    claim = (call or {}).get("claim", {})
    return int(claim.get("backfillBefore", 0))


class Issuance(Base):
    """Reductions of a project over a period within one year, and the batch that they become."""

    __tablename__ = "issuances"

    id: Mapped[int] = big_id()
    project_id: Mapped[int] = mapped_column(
        ForeignKey("projects.id"), comment="Row number of the project."
    )
    vintage: Mapped[int] = mapped_column(comment="Legal year of the period.")
    from_date: Mapped[date] = mapped_column(comment="First legal day of the period.")
    to_date: Mapped[date] = mapped_column(comment="Legal day after the last of the period.")
    from_s: Mapped[int] = mapped_column(BigInteger, comment="Start, seconds since 1970 UTC.")
    to_s: Mapped[int] = mapped_column(
        BigInteger, comment="End (exclusive), seconds since 1970 UTC."
    )
    factor_id: Mapped[int] = mapped_column(
        ForeignKey("emission_factors.id"), comment="Row number of the factor."
    )
    readings_expected: Mapped[int] = mapped_column(comment="Slots in the period.")
    readings_used: Mapped[int] = mapped_column(comment="Slots that count.")
    readings_missing: Mapped[int] = mapped_column(comment="Slots without a value.")
    readings_outlier: Mapped[int] = mapped_column(comment="Slots whose value is impossible.")
    readings_conflict: Mapped[int] = mapped_column(comment="Slots with several values.")
    export_kwh: Mapped[Decimal] = mapped_column(
        ExactDecimal(24, 9), comment="Energy delivered, kWh."
    )
    import_kwh: Mapped[Decimal] = mapped_column(ExactDecimal(24, 9), comment="Energy drawn, kWh.")
    net_kwh: Mapped[Decimal] = mapped_column(
        ExactDecimal(24, 9), comment="Delivered less drawn, kWh."
    )
    baseline_t: Mapped[Decimal] = mapped_column(ExactDecimal(24, 9), comment="Baseline, t CO2e.")
    project_t: Mapped[Decimal] = mapped_column(
        ExactDecimal(24, 9), comment="Project emissions, t CO2e."
    )
    leakage_t: Mapped[Decimal] = mapped_column(ExactDecimal(24, 9), comment="Leakage, t CO2e.")
    uncertainty_t: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(24, 9), comment="Deducted for uncertainty, t CO2e; null: before it was known."
    )
    reductions_kg: Mapped[Decimal] = mapped_column(
        ExactDecimal(24, 9), comment="Reductions, kg CO2e."
    )
    carry_in_kg: Mapped[str] = mapped_column(
        Varchar(120),
        comment="Carried in, deficits of corrections too, of a backfill these alone; kg CO2e, an exact fraction n/d.",
    )
    carry_out_kg: Mapped[str] = mapped_column(
        Varchar(120),
        comment="Left over, kg CO2e, an exact fraction n/d; of a backfill it enters no other period.",
    )
    issued_kg: Mapped[int] = mapped_column(BigInteger, comment="Credits, kg CO2e.")
    evidence_root: Mapped[str] = mapped_column(Hash, comment="Merkle root of the readings.")
    leaves: Mapped[int] = mapped_column(comment="Leaves under the root.")
    manifest: Mapped[str] = mapped_column(MediumText, comment="Canonical JSON of the calculation.")
    manifest_hash: Mapped[str] = mapped_column(Hash, comment="keccak-256 of the manifest.")
    key: Mapped[str] = mapped_column(
        Hash, unique=True, comment="Key of the intent, the claim's nonce and the batch."
    )
    state: Mapped[IssuanceState] = mapped_column(
        choice(IssuanceState, "state"), comment="How far it has come."
    )
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        CheckConstraint("from_s < to_s", name="period"),
        Index("idx_issuances_project_id_from_s", "project_id", "from_s"),
        Index("idx_issuances_state", "state"),
        options("Reductions of a period and their batch.", writer="ledger.issuance", origin=BEYOND),
    )


class ReadingClaim(Base):
    """An interval of a meter that an issuance has used up. It cannot be used twice."""

    __tablename__ = "reading_claims"

    meter_id: Mapped[int] = mapped_column(
        ForeignKey("meters.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the meter.",
    )
    start_s: Mapped[int] = big_key("Start of the interval, seconds since 1970 UTC.")
    issuance_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("issuances.id"), comment="Row number of the issuance."
    )

    __table_args__ = (
        Index("idx_reading_claims_issuance_id", "issuance_id"),
        options(
            "An interval that an issuance used up.",
            writer="ledger.issuance",
            origin=BEYOND,
            changes=ALL,
        ),
    )
