"""Parameters and answers of the inventory."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import CodeText, DayParameter, DecimalText, Document, ShortCodeText


class EmissionPeriod(StrEnum):
    """What emissions are summed by."""

    DAY = "day"
    MONTH = "month"


class EmissionMethod(StrEnum):
    """How emissions are calculated; the values are those of ``carbon_emissions``."""

    SCOPE1_FUEL = "scope1_fuel"
    LOCATION_BASED = "location_based"
    MARKET_BASED = "market_based"


class EmissionFilters(BaseModel):
    """Which part of the inventories."""

    model_config = ConfigDict(extra="forbid")

    site: ShortCodeText | None = Field(
        None, description="The site with this code; all sites without it."
    )
    device: CodeText | None = Field(None, description="Only the device with this code.")
    scope: int | None = Field(None, ge=1, le=2, description="Only this scope, 1 or 2.")
    method: EmissionMethod | None = Field(None, description="Only this method.")
    start: DayParameter | None = Field(
        None, alias="from", description="First legal day; that of the first row without it."
    )
    end: DayParameter | None = Field(
        None, alias="to", description="The day after the last; that after the last row without it."
    )
    by: EmissionPeriod = Field(EmissionPeriod.MONTH, description="Legal `day` or `month`.")


class EmissionParameters(PageParameters, EmissionFilters):
    """Which part of an inventory, page by page."""


class EmissionItem(Document):
    """What a device emitted in a period, by one method with one factor."""

    period: str = Field(description="The legal day, YYYY-MM-DD, or month, YYYY-MM.")
    device: str = Field(description="Code of the device.")
    site: str = Field(description="Code of the device's site.")
    scope: int | None = Field(description="Scope of the GHG Protocol, 1 or 2.")
    method: str = Field(
        description="scope1_fuel, location_based or market_based; the two of scope 2 are never added."
    )
    factor: str | None = Field(description="Code of the emission factor.")
    version: str | None = Field(description="Its version.")
    value: str | None = Field(description="Its value as published, in its unit.")
    unit: str | None = Field(description="Unit of the value.")
    consumption_kwh: DecimalText | None = Field(
        description="Electricity that it is for, kWh; null: fuel."
    )
    fuel_kg: DecimalText | None = Field(description="Fuel that it is for, kg; null: electricity.")
    emissions_t: DecimalText = Field(description="Tonnes of CO2 equivalent.")


class EmissionTotal(Document):
    """All emissions that the filters keep, by scope and method."""

    scope: int | None = Field(description="Scope of the GHG Protocol.")
    method: str = Field(description="Method.")
    emissions_t: DecimalText = Field(description="Tonnes of CO2 equivalent, over all pages.")


class EmissionPage(ChainPage):
    """One page of an inventory."""

    site: str | None = Field(description="Code of the site that was asked for; null: all sites.")
    time_zone: str | None = Field(
        description="Zone that its legal days are counted in; null: each site by its own."
    )
    totals: list[EmissionTotal] = Field(description="Sums over all pages; methods are never added.")
    items: list[EmissionItem] = Field(description="Rows of the page, by period.")
