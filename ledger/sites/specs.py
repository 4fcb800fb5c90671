"""The tables of a site file as records: a field for each key, checked by ``site_file``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from ledger.readings.files.formats import Format
from ledger.reductions.records import Factor

PERIODS = ("month", "quarter", "year")
"""Periods that a job may issue once they are closed."""
ISSUE_AFTER_DAYS = 3
"""How many whole days it waits for late readings where a site file does not say."""


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """``[site]``."""

    code: str
    name: str
    time_zone: str
    country: str
    inventory_factor: str | None
    inventory_factor_version: str | None = None
    market_factor: str | None = None
    market_factor_version: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """``[project]``."""

    code: str
    methodology: str
    methodology_version: str
    factor: str
    factor_version: str | None
    program: str
    completeness_min: Decimal
    leakage_share: str | None = None
    uncertainty_share: str | None = None
    issue_every: str | None = None
    issue_after_days: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """``[[device]]``."""

    code: str
    name: str
    type: str
    location: str | None
    rated_kw: Decimal | None
    meter_serial: str
    role: str
    accuracy_class: str | None
    calibrated: bool
    calibrated_from: date | None
    calibrated_to: date | None
    measured_error: str | None = None
    fuel_factor: str | None = None
    fuel_factor_version: str | None = None
    density_kg_per_l: str | None = None
    stuck_hours: int = 0
    inventory_only: bool = False
    in_service_from: date | None = None
    in_service_to: date | None = None


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """``[[source]]``."""

    name: str
    kind: str
    unit: str
    interval_minutes: int
    label: str
    device: str | None
    device_column: str | None
    time_column: str
    value_column: str
    time_zone: str
    written: Format
    """How the file is written; its fields are keys of the table too."""


@dataclass(frozen=True, slots=True)
class MeterChangeSpec:
    """``[[meter_change]]``; closing and opening in the unit of the meter's source."""

    device: str
    at: datetime
    closing: str
    opening: str
    meter_serial: str | None


@dataclass(frozen=True, slots=True)
class CalibrationSpec:
    """``[[calibration]]``; legal days, the last one included."""

    device: str
    calibrated_from: date
    calibrated_to: date | None
    measured_error: str | None
    certificate_sha256: str | None


@dataclass(frozen=True, slots=True)
class EnergyCertificateSpec:
    """``[[energy_certificate]]``; legal days, the last one included, and an amount or a share."""

    device: str
    instrument: str
    reference: str
    from_day: date
    to_day: date
    energy_mwh: str | None
    share: str | None


@dataclass(frozen=True, slots=True)
class VppSpec:
    """``[[vpp]]``; capacity in kW."""

    code: str
    name: str
    total_capacity: Decimal
    account: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StrategySpec:
    """``[[strategy]]``."""

    vpp: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """``[[market]]``."""

    name: str
    account: str


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A whole site file."""

    name: str
    site: SiteSpec
    factors: tuple[Factor, ...]
    project: ProjectSpec | None
    devices: tuple[DeviceSpec, ...]
    sources: tuple[SourceSpec, ...]
    meter_changes: tuple[MeterChangeSpec, ...]
    calibrations: tuple[CalibrationSpec, ...]
    energy_certificates: tuple[EnergyCertificateSpec, ...]
    vpps: tuple[VppSpec, ...]
    strategies: tuple[StrategySpec, ...]
    markets: tuple[MarketSpec, ...]
