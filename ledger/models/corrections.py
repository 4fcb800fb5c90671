"""Corrections: what an issued period would be by what is known today, and how the difference is paid.

Ours, beyond the customer's 41. An issuance is never edited: a correction is a row of its own.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, big_key, options
from ledger.models.types import BigInt, Hash, MediumText, Varchar, choice

CORRECTIONS = "ledger.corrections"


class CorrectionCause(StrEnum):
    """Why an issued period is computed again."""

    LATE_READINGS = "late_readings"
    CHANGED_FACTOR = "changed_factor"
    OTHER = "other"
    """What is known now beside the period shows it in another light: a register read after its end."""
    CERTIFICATE = "energy_certificate"
    """Energy that was issued is declared to be certified elsewhere."""


class CorrectionState(StrEnum):
    """What was decided about the effect when it was found."""

    RECORDED = "recorded"
    """Nothing is owed: the effect is not negative, or was paid before."""
    CANCELLED = "cancelled"
    """Cancelled on chain, in equal number rounded up, by the act that the row names."""
    CARRIED = "carried"
    """Carried as a deficit into the next issuance, all of it or what could not be cancelled."""


class Correction(Base):
    """The effect on an issuance of what was learnt after it. Append-only."""

    __tablename__ = "corrections"

    id: Mapped[int] = big_id()
    key: Mapped[str] = mapped_column(
        Hash, unique=True, comment="Key of the correction; the manifest that carries it names it."
    )
    issuance_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("issuances.id"), comment="Row number of the issuance."
    )
    cause: Mapped[CorrectionCause] = mapped_column(
        choice(CorrectionCause, "cause"), comment="Why it was computed again."
    )
    factor_id: Mapped[int] = mapped_column(
        ForeignKey("emission_factors.id"), comment="Row number of the factor that it takes."
    )
    late_readings: Mapped[int] = mapped_column(
        comment="Late readings that no correction had counted before."
    )
    effect_kg: Mapped[str] = mapped_column(
        Varchar(120),
        comment="Reductions as recomputed less those known before, kg CO2e, an exact fraction n/d.",
    )
    owed_kg: Mapped[str] = mapped_column(
        Varchar(120),
        comment="Of it: what was issued too much and not paid yet, kg CO2e, an exact fraction n/d.",
    )
    cancelled_kg: Mapped[int] = mapped_column(
        BigInteger,
        comment="What the act cancels, whole kg; the rest of what is owed is carried.",
    )
    act_key: Mapped[str | None] = mapped_column(
        Hash, unique=True, comment="Key of the cancellation on chain; null: none."
    )
    state: Mapped[CorrectionState] = mapped_column(
        choice(CorrectionState, "state"), comment="What was decided."
    )
    manifest: Mapped[str] = mapped_column(
        MediumText, comment="Canonical JSON of the recomputation."
    )
    manifest_hash: Mapped[str] = mapped_column(Hash, comment="keccak-256 of it.")
    found_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        UniqueConstraint("issuance_id", "manifest_hash"),
        options(
            "The effect of what was learnt late; append-only.",
            writer=CORRECTIONS,
            origin=BEYOND,
            changes="insert",
        ),
    )


class CorrectionReading(Base):
    """A late reading that a correction has counted. It is counted once, for ever."""

    __tablename__ = "correction_readings"

    reading_id: Mapped[int] = big_key("Row number of the reading.")
    correction_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("corrections.id"), comment="Row number of the correction."
    )

    __table_args__ = (
        Index("idx_correction_readings_correction_id", "correction_id"),
        options(
            "A late reading, counted once.", writer=CORRECTIONS, origin=BEYOND, changes="insert"
        ),
    )


class CorrectionRegister(Base):
    """A late reading of a register that a correction has counted: once for each issuance that it touches."""

    __tablename__ = "correction_registers"

    register_id: Mapped[int] = big_key("Row number of the register reading.")
    issuance_id: Mapped[int] = mapped_column(
        BigInt,
        ForeignKey("issuances.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the issuance.",
    )
    correction_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("corrections.id"), comment="Row number of the correction."
    )

    __table_args__ = (
        Index("idx_correction_registers_issuance_id", "issuance_id"),
        Index("idx_correction_registers_correction_id", "correction_id"),
        options(
            "A late register reading, counted once.",
            writer=CORRECTIONS,
            origin=BEYOND,
            changes="insert",
        ),
    )


class CorrectionCarry(Base):
    """A deficit of a correction that an issuance has paid."""

    __tablename__ = "correction_carries"

    correction_id: Mapped[int] = mapped_column(
        BigInt,
        ForeignKey("corrections.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the correction.",
    )
    issuance_id: Mapped[int] = mapped_column(
        BigInt,
        ForeignKey("issuances.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the issuance that it entered.",
    )
    carried_kg: Mapped[str] = mapped_column(
        Varchar(120), comment="What was carried, below zero, kg CO2e, an exact fraction n/d."
    )

    __table_args__ = (
        Index("idx_correction_carries_issuance_id", "issuance_id"),
        options(
            "A deficit that an issuance paid.", writer="ledger.issuance", origin=BEYOND, changes=ALL
        ),
    )
