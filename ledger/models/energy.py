"""Section 5 of the customer's design: energy consumed and produced, and emissions."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, CUSTOMER, Base, big_id, created_at, options
from ledger.models.types import ExactDecimal, Varchar, json_object

DEVICE = "Row number of the device (not its code)."
RECORDED = "Start of the time that it is of, UTC."
STORED = "When it was stored, UTC."


class EnergyConsumption(Base):
    """Energy that a device consumed."""

    __tablename__ = "energy_consumption"

    id: Mapped[int] = big_id()
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id"), comment=DEVICE)
    consumption: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Energy, in the row's unit."
    )
    unit: Mapped[str] = mapped_column(Varchar(10), comment="Unit of the energy.")
    cost: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(10, 2), comment="Cost in the settlement currency."
    )
    recorded_at: Mapped[datetime] = mapped_column(comment=RECORDED)
    created_at: Mapped[datetime] = created_at(STORED)

    __table_args__ = (
        Index("idx_energy_consumption_device_id_recorded_at", "device_id", "recorded_at"),
        options(
            "Energy that a device consumed.",
            writer="ledger.readings",
            origin=CUSTOMER,
            changes=ALL,
            note="By hour, in kWh, of the readings that count. What the grid gave (role `import`) and what loads used "
            "are the same energy twice: sum by `meters.role`. Storage and fuel have no rows. `cost` is always NULL.",
        ),
    )


class EnergyProduction(Base):
    """Energy that a device produced."""

    __tablename__ = "energy_production"

    id: Mapped[int] = big_id()
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id"), comment=DEVICE)
    production: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Energy, in the row's unit."
    )
    unit: Mapped[str] = mapped_column(Varchar(10), comment="Unit of the energy.")
    revenue: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(10, 2), comment="Revenue in the settlement currency."
    )
    recorded_at: Mapped[datetime] = mapped_column(comment=RECORDED)
    created_at: Mapped[datetime] = created_at(STORED)

    __table_args__ = (
        Index("idx_energy_production_device_id_recorded_at", "device_id", "recorded_at"),
        options(
            "Energy that a device produced.",
            writer="ledger.readings",
            origin=CUSTOMER,
            changes=ALL,
            note="By hour, in kWh, of the readings that count. A battery makes no energy and has no rows. `revenue` "
            "is always NULL.",
        ),
    )


class CarbonEmission(Base):
    """Emissions of a device: positive emitted, negative avoided."""

    __tablename__ = "carbon_emissions"

    id: Mapped[int] = big_id()
    device_id: Mapped[int] = mapped_column(ForeignKey("devices.id"), comment=DEVICE)
    emissions: Mapped[Decimal] = mapped_column(ExactDecimal(12, 6), comment="Tonnes of CO2e.")
    calculation_method: Mapped[str] = mapped_column(Varchar(50), comment="How it was calculated.")
    factors: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Factors used; each names its unit."
    )
    recorded_at: Mapped[datetime] = mapped_column(comment=RECORDED)
    created_at: Mapped[datetime] = created_at(STORED)

    __table_args__ = (
        Index("idx_carbon_emissions_device_id_recorded_at", "device_id", "recorded_at"),
        options(
            "Emissions of a device.",
            writer="ledger.readings",
            origin=CUSTOMER,
            changes=ALL,
            note="By legal day of the site. `location_based` and `market_based` are the same electricity: never add "
            "them.",
        ),
    )
