"""Parks and their meters, the factors and projects that they are computed with. Ours, beyond the 41."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CHAR, ForeignKey, Index, SmallInteger, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ledger.models.base import BEYOND, Base, created_at, int_id, options, updated_at
from ledger.models.devices import Device
from ledger.models.types import ExactDecimal, Sha256, Varchar, choice, json_array, json_object

SITE = "Row number of the site."


class FactorPurpose(StrEnum):
    """What an emission factor is for."""

    INVENTORY_LOCATION = "inventory_location"
    INVENTORY_MARKET = "inventory_market"
    CREDITING_CM = "crediting_cm"
    FUEL = "fuel"


class MeterRole(StrEnum):
    """What a meter measures, as the methodology sees it."""

    GENERATION = "generation"
    IMPORT = "import"
    EXPORT = "export"
    LOAD = "load"
    FUEL = "fuel"
    STORAGE = "storage"


class SourceKind(StrEnum):
    """What a source's values are."""

    POWER = "power"
    ENERGY = "energy"
    COUNTER = "counter"
    FUEL = "fuel"


class SourceLabel(StrEnum):
    """Which end of the interval the file's time names."""

    START = "start"
    END = "end"


class Site(Base):
    """A park."""

    __tablename__ = "sites"

    id: Mapped[int] = int_id()
    code: Mapped[str] = mapped_column(Varchar(50), unique=True, comment="Code of the site.")
    name: Mapped[str] = mapped_column(Varchar(200), comment="Name for people.")
    time_zone: Mapped[str] = mapped_column(
        Varchar(64), comment="IANA name; legal days and years of the site are counted in it."
    )
    country: Mapped[str] = mapped_column(CHAR(2), comment="ISO 3166-1 alpha-2 code.")
    inventory_factor_id: Mapped[int | None] = mapped_column(
        ForeignKey("emission_factors.id"),
        comment="Row number of the factor for the site's inventory.",
    )
    market_factor_id: Mapped[int | None] = mapped_column(
        ForeignKey("emission_factors.id"),
        comment="Row number of the factor for its market-based inventory.",
    )
    factors_until: Mapped[int | None] = mapped_column(
        comment="Row number of the last factor among whose versions its inventory chooses; null: the named ones."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (options("A park.", writer="ledger.sites", origin=BEYOND),)


class EmissionFactor(Base):
    """A published emission factor. Append-only: another value is another version."""

    __tablename__ = "emission_factors"

    id: Mapped[int] = int_id()
    code: Mapped[str] = mapped_column(Varchar(100), comment="Code of the factor.")
    version: Mapped[str] = mapped_column(Varchar(50), comment="Version of its publication.")
    purpose: Mapped[FactorPurpose] = mapped_column(
        choice(FactorPurpose, "purpose"), comment="What it may be used for."
    )
    value: Mapped[str] = mapped_column(
        Varchar(40), comment="Value as published, a decimal text, in the row's unit."
    )
    unit: Mapped[str] = mapped_column(Varchar(20), comment="Unit of the value, such as t/MWh.")
    source: Mapped[str] = mapped_column(Text, comment="Where it is published.")
    data_year: Mapped[int | None] = mapped_column(comment="Year of the data behind it.")
    verified: Mapped[bool] = mapped_column(comment="Whether somebody compared it with the source.")
    content_sha256: Mapped[str] = mapped_column(Sha256, comment="SHA-256 of the row's content.")
    document: Mapped[str | None] = mapped_column(Text, comment="The publication.")
    document_sha256: Mapped[str | None] = mapped_column(
        Sha256, comment="SHA-256 of the publication's bytes."
    )
    gas_set: Mapped[str | None] = mapped_column(
        Varchar(100), comment="Gases that it counts, such as CO2."
    )
    boundary: Mapped[str | None] = mapped_column(Text, comment="What it counts them over.")
    published_at: Mapped[date | None] = mapped_column(comment="Day of its publication.")
    valid_from: Mapped[date | None] = mapped_column(comment="First legal day that it is for.")
    valid_to: Mapped[date | None] = mapped_column(comment="Last legal day that it is for.")
    om: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Operating margin, a decimal text, in the row's unit."
    )
    bm: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Build margin, a decimal text, in the row's unit."
    )
    w_om: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Weight of the operating margin, a decimal text from 0 to 1."
    )
    w_bm: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Weight of the build margin, a decimal text from 0 to 1."
    )
    ncv_gj_per_t: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Net calorific value of a fuel, a decimal text, GJ per tonne."
    )
    density_kg_per_l: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Density of a fuel, a decimal text, kg per litre."
    )
    oxidation_share: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Share of a fuel's carbon that is oxidised, a decimal text."
    )
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        UniqueConstraint("code", "version"),
        options(
            "A published emission factor; append-only.",
            writer="ledger.sites",
            origin=BEYOND,
            changes="insert",
        ),
    )


class Project(Base):
    """An activity that is credited under one methodology."""

    __tablename__ = "projects"

    id: Mapped[int] = int_id()
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id"), comment=SITE)
    code: Mapped[str] = mapped_column(Varchar(50), unique=True, comment="Code of the project.")
    methodology: Mapped[str] = mapped_column(Varchar(50), comment="Code of the methodology.")
    methodology_version: Mapped[str] = mapped_column(Varchar(20), comment="Its version.")
    factor_id: Mapped[int] = mapped_column(
        ForeignKey("emission_factors.id"), comment="Row number of the baseline's factor."
    )
    program: Mapped[str] = mapped_column(
        Varchar(50), comment="Programme that it is credited under."
    )
    completeness_min: Mapped[Decimal] = mapped_column(
        ExactDecimal(5, 4),
        comment="Share of the expected slots, from 0 to 1, under which a period is refused.",
    )
    leakage_share: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Leakage as a share of the baseline, a decimal text; null is none."
    )
    uncertainty_share: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Deduction as a share of reductions, a decimal text; null is none."
    )
    issue_every: Mapped[str | None] = mapped_column(
        Varchar(10),
        comment="Periods that a job issues once they are closed: month, quarter or year; null: none.",
    )
    issue_after_days: Mapped[int | None] = mapped_column(
        comment="Whole days after its end before a period is issued by a job."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    site: Mapped[Site] = relationship(lazy="raise")
    factor: Mapped[EmissionFactor] = relationship(lazy="raise")

    __table_args__ = (
        Index("idx_projects_site_id", "site_id"),
        options("An activity that is credited.", writer="ledger.sites", origin=BEYOND),
    )


class Meter(Base):
    """The meter of a device and what the methodology may rely on."""

    __tablename__ = "meters"

    id: Mapped[int] = int_id()
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id"), comment=SITE)
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("projects.id"), comment="Row number of the project that it counts for."
    )
    device_id: Mapped[int] = mapped_column(
        ForeignKey("devices.id"), unique=True, comment="Row number of the device (not its code)."
    )
    serial: Mapped[str] = mapped_column(Varchar(100), comment="Serial number on the meter.")
    role: Mapped[MeterRole] = mapped_column(choice(MeterRole, "role"), comment="What it measures.")
    rated_kw: Mapped[Decimal | None] = mapped_column(
        ExactDecimal(15, 6), comment="Rated power of the device in kW."
    )
    accuracy_class: Mapped[str | None] = mapped_column(Varchar(10), comment="Accuracy class.")
    calibrated_from: Mapped[date | None] = mapped_column(
        comment="First legal day of the calibration."
    )
    calibrated_to: Mapped[date | None] = mapped_column(comment="Last legal day of the calibration.")
    calibrated: Mapped[bool] = mapped_column(
        comment="False: the maximum permissible error is deducted."
    )
    measured_error: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Error that the calibration found, a decimal text, percent."
    )
    calibrations: Mapped[list[dict[str, Any]] | None] = mapped_column(
        json_array(),
        comment="Its calibrations in order, where the site file names several; null: the columns above.",
    )
    fuel_factor_id: Mapped[int | None] = mapped_column(
        ForeignKey("emission_factors.id"), comment="Row number of the factor of its fuel."
    )
    density_kg_per_l: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Density of its fuel, a decimal text, kg per litre."
    )
    stuck_hours: Mapped[int | None] = mapped_column(
        SmallInteger,
        comment="Hours of one positive value that are a flat line, 24: the legal day; 0, null: never.",
    )
    in_service_from: Mapped[date | None] = mapped_column(
        comment="First legal day on which it is there; null: open."
    )
    in_service_to: Mapped[date | None] = mapped_column(
        comment="Last legal day on which it is there; null: open."
    )
    created_at: Mapped[datetime] = created_at()

    device: Mapped[Device] = relationship(lazy="raise")

    __table_args__ = (
        Index("idx_meters_site_id", "site_id"),
        Index("idx_meters_project_id", "project_id"),
        options("The meter of a device.", writer="ledger.sites", origin=BEYOND),
    )


class MeterSource(Base):
    """How to read the files of one origin."""

    __tablename__ = "meter_sources"

    id: Mapped[int] = int_id()
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id"), comment=SITE)
    name: Mapped[str] = mapped_column(Varchar(100), comment="Name of the source within the site.")
    kind: Mapped[SourceKind] = mapped_column(
        choice(SourceKind, "kind"), comment="What the values are."
    )
    unit: Mapped[str] = mapped_column(Varchar(20), comment="Unit of the values in the file.")
    interval_minutes: Mapped[int] = mapped_column(comment="Length of an interval in minutes.")
    label: Mapped[SourceLabel] = mapped_column(
        choice(SourceLabel, "label"), comment="End of the interval that the time names."
    )
    device_code: Mapped[str | None] = mapped_column(
        Varchar(100), comment="Code of the device when a file is of one device."
    )
    device_column: Mapped[str | None] = mapped_column(
        Varchar(100), comment="Column with the code of the device otherwise."
    )
    time_column: Mapped[str] = mapped_column(Varchar(100), comment="Column with the time.")
    value_column: Mapped[str] = mapped_column(Varchar(100), comment="Column with the value.")
    time_zone: Mapped[str] = mapped_column(
        Varchar(64), comment="`offset` when the text carries it, else an IANA name."
    )
    format_options: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="How the file is written, where not as plain CSV; null: it is."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        UniqueConstraint("site_id", "name"),
        options("How to read the files of one origin.", writer="ledger.sites", origin=BEYOND),
    )
