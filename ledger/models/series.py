"""What the readings of a meter are, and the register readings that intervals are derived from.

Ours, beyond the customer's 41.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, created_at, int_id, options
from ledger.models.readings import ReadingQuality
from ledger.models.types import BigInt, Varchar, choice

METER = "Row number of the meter."


class MeterSeries(Base):
    """What the readings of a meter are. Fixed by its first file: one meter keeps one unit and step."""

    __tablename__ = "meter_series"

    meter_id: Mapped[int] = mapped_column(
        ForeignKey("meters.id"), primary_key=True, autoincrement=False, comment=METER
    )
    source_id: Mapped[int] = mapped_column(
        ForeignKey("meter_sources.id"), comment="Row number of the source of its first file."
    )
    kind: Mapped[str] = mapped_column(
        Varchar(20), comment="What its files hold: the kind of their source."
    )
    unit: Mapped[str] = mapped_column(Varchar(20), comment="Unit of the texts.")
    interval_s: Mapped[int] = mapped_column(
        comment="Nominal step in seconds; slots are counted by it."
    )
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        Index("idx_meter_series_source_id", "source_id"),
        options("What the readings of a meter are.", writer="ledger.readings", origin=BEYOND),
    )


class RegisterReading(Base):
    """One value of a cumulative register at one instant, with the text that it came as."""

    __tablename__ = "register_readings"

    id: Mapped[int] = big_id()
    meter_id: Mapped[int] = mapped_column(ForeignKey("meters.id"), comment=METER)
    at_s: Mapped[int] = mapped_column(
        BigInteger, comment="When it was read, seconds since 1970 UTC."
    )
    text: Mapped[str] = mapped_column(Varchar(64), comment="The value as received; empty: none.")
    unit: Mapped[str] = mapped_column(Varchar(20), comment="Unit of the text.")
    value_digits: Mapped[int | None] = mapped_column(
        BigInteger, comment="Value times 10^value_scale, in kWh; null: none."
    )
    value_scale: Mapped[int | None] = mapped_column(
        SmallInteger, comment="Decimals of the value in kWh; null: none."
    )
    quality: Mapped[ReadingQuality] = mapped_column(
        choice(ReadingQuality, "quality"), comment="Whether intervals are derived from it."
    )
    reason: Mapped[str | None] = mapped_column(Varchar(200), comment="Why none is.")
    file_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("import_files.id"), comment="Row number of the import that brought it."
    )
    line: Mapped[int] = mapped_column(comment="Line in that file, the header is 1.")

    __table_args__ = (
        UniqueConstraint("meter_id", "at_s", "text"),
        CheckConstraint("(value_digits IS NULL) = (value_scale IS NULL)", name="value"),
        Index("idx_register_readings_file_id", "file_id"),
        options("A value of a register at an instant.", writer="ledger.readings", origin=BEYOND),
    )


class MeterChange(Base):
    """One instrument taken out and another put in, with the last and the first reading."""

    __tablename__ = "meter_changes"

    id: Mapped[int] = int_id()
    meter_id: Mapped[int] = mapped_column(ForeignKey("meters.id"), comment=METER)
    at_s: Mapped[int] = mapped_column(BigInteger, comment="When, seconds since 1970 UTC.")
    closing: Mapped[str] = mapped_column(
        Varchar(24), comment="Last value of the old register, in the unit of the meter's texts."
    )
    opening: Mapped[str] = mapped_column(
        Varchar(24), comment="First value of the new register, in the unit of the meter's texts."
    )
    instrument: Mapped[str | None] = mapped_column(
        Varchar(100), comment="Serial number on the new instrument."
    )
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        UniqueConstraint("meter_id", "at_s"),
        options("A change of the instrument.", writer="ledger.sites", origin=BEYOND, changes=ALL),
    )
