"""Files of meters and the readings in them. Ours, beyond the 41."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, big_key, options
from ledger.models.types import BigInt, Sha256, Varchar, choice


class ReadingKind(StrEnum):
    """What a reading's value is: mean power in kW, energy in kWh, fuel in kg or litres."""

    POWER = "power"
    ENERGY = "energy"
    FUEL_MASS = "fuel_mass"
    FUEL_VOLUME = "fuel_volume"


class ReadingQuality(StrEnum):
    """Whether a reading counts, and why not."""

    USED = "used"
    MISSING = "missing"
    OUTLIER = "outlier"
    SUPERSEDED = "superseded"
    LATE = "late"


class ImportFile(Base):
    """One import of one file, with its counts."""

    __tablename__ = "import_files"

    id: Mapped[int] = big_id()
    source_id: Mapped[int] = mapped_column(
        ForeignKey("meter_sources.id"), comment="Row number of the source."
    )
    file_name: Mapped[str] = mapped_column(Varchar(255), comment="Name without its folder.")
    file_sha256: Mapped[str] = mapped_column(Sha256, comment="SHA-256 of its bytes.")
    rows_read: Mapped[int] = mapped_column(comment="Rows in the file.")
    rows_new: Mapped[int] = mapped_column(comment="Rows that brought a reading.")
    rows_unchanged: Mapped[int] = mapped_column(comment="Rows that were there already.")
    rows_conflict: Mapped[int] = mapped_column(comment="Rows that contradict another.")
    rows_rejected: Mapped[int] = mapped_column(comment="Rows that cannot be used.")
    imported_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_import_files_source_id", "source_id"),
        Index("idx_import_files_file_sha256", "file_sha256"),
        options("One import of one file.", writer="ledger.readings", origin=BEYOND),
    )


class MeterReading(Base):
    """One value of one meter for one interval, with the text that it came as.

    Several rows of one meter and start are a conflict: one of them counts, all are kept.
    """

    __tablename__ = "meter_readings"

    id: Mapped[int] = big_id()
    meter_id: Mapped[int] = mapped_column(
        ForeignKey("meters.id"), comment="Row number of the meter."
    )
    start_s: Mapped[int] = mapped_column(
        BigInteger, comment="Start of the interval, seconds since 1970 UTC."
    )
    duration_s: Mapped[int] = mapped_column(comment="Length of the interval in seconds.")
    kind: Mapped[ReadingKind] = mapped_column(
        choice(ReadingKind, "kind"), comment="What the value is."
    )
    text: Mapped[str] = mapped_column(Varchar(64), comment="The value as received; empty: none.")
    unit: Mapped[str] = mapped_column(Varchar(20), comment="Unit of the text.")
    value_digits: Mapped[int | None] = mapped_column(
        BigInteger,
        comment="Value times 10^value_scale, in kW for power and kWh for energy; null: none.",
    )
    value_scale: Mapped[int | None] = mapped_column(
        SmallInteger, comment="Decimals of the value in kW or kWh; null: none."
    )
    quality: Mapped[ReadingQuality] = mapped_column(
        choice(ReadingQuality, "quality"), comment="Whether it counts."
    )
    conflict: Mapped[bool] = mapped_column(comment="Whether another value stands for the interval.")
    reason: Mapped[str | None] = mapped_column(Varchar(200), comment="Why it does not count.")
    file_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("import_files.id"), comment="Row number of the import that brought it."
    )
    line: Mapped[int] = mapped_column(comment="Line in that file, the header is 1.")

    __table_args__ = (
        UniqueConstraint("meter_id", "start_s", "text"),
        CheckConstraint("(value_digits IS NULL) = (value_scale IS NULL)", name="value"),
        Index("idx_meter_readings_file_id", "file_id"),
        options(
            "A value of a meter for an interval.",
            writer="ledger.readings",
            origin=BEYOND,
            changes=ALL,
            note="Values of fuel are in kg (`fuel_mass`) or L (`fuel_volume`); those of storage are below zero when it "
            "charges. Rows whose `quality` is not `used` count nowhere.",
        ),
    )


class ReadingWithdrawal(Base):
    """A reading whose value was taken back. Append-only: who gives it back writes a restoration."""

    __tablename__ = "reading_withdrawals"

    reading_id: Mapped[int] = big_key("Row number of the reading.")
    turn: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="Which one of the reading, from 1 on."
    )
    reason: Mapped[str] = mapped_column(Varchar(500), comment="Why.")
    withdrawn_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        options(
            "A reading whose value was taken back.",
            writer="ledger.readings",
            origin=BEYOND,
            changes="insert",
        ),
    )


class ReadingRestoration(Base):
    """A withdrawal that was a mistake: the reading has its value again. Append-only."""

    __tablename__ = "reading_restorations"

    reading_id: Mapped[int] = big_key("Row number of the reading.")
    turn: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="Which of its withdrawals ends."
    )
    reason: Mapped[str] = mapped_column(Varchar(500), comment="Why.")
    restored_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        options(
            "A reading that was withdrawn by mistake, and has its value again.",
            writer="ledger.readings",
            origin=BEYOND,
            changes="insert",
        ),
    )
