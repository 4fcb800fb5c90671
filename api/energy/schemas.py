"""Parameters and answers about energy."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import CodeText, DayParameter, DecimalText, Document, ShortCodeText, Time
from ledger.models.sites import MeterRole


class EnergyPeriod(StrEnum):
    """What energy is summed by."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class EnergyFilters(BaseModel):
    """Which meters, and which legal days."""

    model_config = ConfigDict(extra="forbid")

    site: ShortCodeText = Field(description="The site with this code.")
    device: CodeText | None = Field(None, description="Only the device with this code.")
    start: DayParameter | None = Field(
        None, alias="from", description="First legal day; that of the first reading without it."
    )
    end: DayParameter | None = Field(
        None,
        alias="to",
        description="The day after the last; that after the last reading without it.",
    )
    by: EnergyPeriod = Field(EnergyPeriod.DAY, description="Legal `hour`, `day` or `month`.")


class EnergyParameters(PageParameters, EnergyFilters):
    """Which meters and days, page by page."""


class ReadingCounts(Document):
    """How many readings begin in a period, by what became of them."""

    expected: int | None = Field(
        description="Slots that there should be; null: a meter whose readings have no fixed step."
    )
    used: int = Field(description="Readings that count.")
    conflict: int = Field(description="Of those: that other readings of the time contradict.")
    missing: int = Field(description="Readings without a value.")
    outlier: int = Field(description="Readings whose value is impossible.")
    superseded: int = Field(description="Readings that another one of their slot stands for.")
    late: int = Field(description="Readings that came after their period was issued.")


class EnergyItem(Document):
    """What one meter counted in one period of legal time."""

    period: str = Field(
        description="YYYY-MM, YYYY-MM-DD, or the hour as YYYY-MM-DDTHH:MM with its offset."
    )
    start: Time = Field(description="Start of the period.")
    end: Time = Field(description="End of the period, not included.")
    device: str = Field(description="Code of the device.")
    role: MeterRole = Field(description="What the meter measures.")
    unit: str = Field(description="Unit of `positive` and `negative`: kWh, kg or L.")
    positive: DecimalText = Field(
        description="Sum of the positive readings that count, exact, cut to 9 decimals."
    )
    negative: DecimalText = Field(
        description="Sum of the negative readings that count, without its sign, cut to 9 decimals."
    )
    production_kwh: DecimalText = Field(
        description="`energy_production` of the period: hours, each rounded to 0.001 kWh."
    )
    consumption_kwh: DecimalText = Field(
        description="`energy_consumption` of the period: hours, each rounded to 0.001 kWh."
    )
    readings: ReadingCounts = Field(description="What became of the readings.")


class EnergyPage(ChainPage):
    """One page of what meters counted."""

    site: str = Field(description="Code of the site.")
    time_zone: str = Field(description="Zone of its legal time.")
    items: list[EnergyItem] = Field(description="Periods of the page, each with every meter.")
