"""Energy certificates: energy that was sold or issued under another instrument, and is not credited here.

Ours, beyond the customer's 41.
"""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, created_at, int_id, options
from ledger.models.types import Varchar


class EnergyCertificate(Base):
    """A declared certificate of a meter: an amount of what it supplied in some days, or a share of it."""

    __tablename__ = "energy_certificates"

    id: Mapped[int] = int_id()
    meter_id: Mapped[int] = mapped_column(
        ForeignKey("meters.id"), comment="Row number of the meter."
    )
    instrument: Mapped[str] = mapped_column(
        Varchar(40), comment="What it is, such as GEC, I-REC or GO."
    )
    reference: Mapped[str] = mapped_column(
        Varchar(100), comment="Its number or range of numbers in the registry that issued it."
    )
    from_day: Mapped[date] = mapped_column(comment="First legal day of the energy.")
    to_day: Mapped[date] = mapped_column(comment="Last legal day of the energy.")
    energy_mwh: Mapped[str | None] = mapped_column(
        Varchar(40), comment="How much, a decimal text, MWh; null: a share."
    )
    share: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Which share of what was supplied, a decimal text; null: an amount."
    )
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        UniqueConstraint("meter_id", "instrument", "reference"),
        CheckConstraint("(energy_mwh IS NULL) <> (share IS NULL)", name="amount"),
        CheckConstraint("from_day <= to_day", name="days"),
        options("Energy certified elsewhere.", writer="ledger.sites", origin=BEYOND, changes=ALL),
    )
