"""Parameters and answers of the sites."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from api.finality import ChainAnswer, ChainPage
from api.pagination import PageParameters
from api.texts import CountryText, DecimalText, Document, IntegerText
from ledger.models.credits import BatchStatus
from ledger.models.issuance import IssuanceState
from ledger.models.sites import MeterRole


class SiteParameters(PageParameters):
    """Filters of the list of sites."""

    country: CountryText | None = Field(None, description="Only sites in this country, ISO 3166-1.")


class Site(Document):
    """A park."""

    id: int = Field(description="Row number.")
    code: str = Field(description="Code of the site.")
    name: str = Field(description="Name for people.")
    time_zone: str = Field(description="Zone that its legal days are counted in.")
    country: str = Field(description="Country, ISO 3166-1.")
    projects: list[str] = Field(description="Codes of its projects.")


class SitePage(ChainPage):
    """One page of sites."""

    items: list[Site] = Field(description="The sites of the page.")


class SiteDevice(Document):
    """A device of a site with its meter."""

    code: str = Field(description="Code of the device.")
    name: str = Field(description="Name for people.")
    type: str = Field(description="What it is.")
    meter: str = Field(description="Serial number of its meter.")
    role: MeterRole = Field(description="What the meter measures.")
    rated_kw: DecimalText | None = Field(description="Rated power in kW; null: not stated.")
    project: str | None = Field(description="Code of the project that it counts for.")


class Month(Document):
    """What a legal month brought."""

    month: str = Field(description="The legal month, YYYY-MM.")
    production_kwh: DecimalText = Field(description="Energy produced, kWh.")
    consumption_kwh: DecimalText = Field(
        description="Energy that the site draws, kWh: of loads only where it has no import meter, as in its inventory."
    )
    reductions_kg: DecimalText = Field(
        description="Reductions of the issuances that begin in the month, kg CO2e."
    )
    issued_kg: IntegerText = Field(description="Credits of these issuances, kg CO2e.")


class IssuanceItem(Document):
    """Reductions of a period, and the credits that they became."""

    key: str = Field(description="Key of the issuance, in books and on chain.")
    project: str = Field(description="Code of the project.")
    vintage: int = Field(description="Legal year of the period.")
    start: date = Field(alias="from", description="First legal day of the period.")
    end: date = Field(alias="to", description="The day after the last.")
    state: IssuanceState = Field(description="How far it has come.")
    net_kwh: DecimalText = Field(description="Energy delivered less energy drawn, kWh.")
    reductions_kg: DecimalText = Field(description="Reductions, kg CO2e.")
    issued_kg: IntegerText = Field(description="Credits, kg CO2e.")
    batch_id: IntegerText | None = Field(description="Its batch on chain; null: none yet.")
    batch_status: BatchStatus | None = Field(
        description="Status of the whole batch on chain; `cancelled`: it was invalidated. Null: no batch yet."
    )
    final: bool = Field(description="Whether its batch stands in a final block.")


class SiteAnswer(Site, ChainAnswer):
    """One site, with its devices and what each month brought."""

    inventory_factor: str | None = Field(
        description="Code of the factor of its location-based inventory; null: none."
    )
    market_factor: str | None = Field(
        description="Code of the factor of its market-based inventory; null: none."
    )
    devices: list[SiteDevice] = Field(description="Its devices, by code; at most 500.")
    months: list[Month] = Field(
        description="What each legal month brought, oldest first; the last 120."
    )
    issuances: list[IssuanceItem] = Field(
        description="Issuances of its projects, oldest first; the last 500."
    )
