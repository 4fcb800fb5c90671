"""Parameters and answers about the quality of readings."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from api.pagination import PageParameters
from api.texts import CodeText, DayParameter, Document, ShortCodeText, Time


class QualityParameters(BaseModel):
    """Which meters, and which legal days."""

    model_config = ConfigDict(extra="forbid")

    site: ShortCodeText = Field(description="The site with this code.")
    device: CodeText | None = Field(None, description="The device with this code; all without it.")
    start: DayParameter | None = Field(
        None, alias="from", description="First legal day; that of the first reading without it."
    )
    end: DayParameter | None = Field(
        None,
        alias="to",
        description="The day after the last; that after the last reading without it.",
    )


class Period(Document):
    """Legal days of a site."""

    start: date = Field(alias="from", description="First day.")
    end: date = Field(alias="to", description="The day after the last.")


class FirstReading(Document):
    """The first reading of a quality."""

    at: Time = Field(description="When its interval begins.")
    file: str | None = Field(None, description="File that it came in; null: no file has it.")
    line: int | None = Field(None, description="Line in that file, the header is 1.")


class Reason(Document):
    """Why readings do not count, or count though others contradict them."""

    number: int | None = Field(
        description="The quality as in the evidence; null: no row stands for the slot."
    )
    quality: str = Field(description="What became of them.")
    reason: str | None = Field(description="Why.")
    readings: int = Field(description="How many.")
    first: FirstReading = Field(description="The first of them.")


class Counts(Document):
    """What became of slots: expected = used + missing + outlier."""

    expected: int = Field(description="Slots that there should be.")
    used: int = Field(description="Slots that count.")
    missing: int = Field(description="Slots without a value that was in time.")
    absent: int = Field(description="Of the missing: those of which there is no row.")
    outlier: int = Field(description="Slots whose value is impossible.")
    above: int = Field(description="Of the outliers: above the limit.")
    below: int = Field(description="Of the outliers: below the limit.")
    stuck: int = Field(description="Of the outliers: in a flat line.")
    fell: int = Field(description="Of the outliers: the register fell.")
    conflict: int = Field(description="Slots with several different values.")
    superseded: int = Field(description="Readings that another one of their slot stands for.")
    late: int = Field(description="Readings that came after their period was issued.")


class DayQuality(Counts):
    """One legal day of a meter."""

    day: date = Field(description="The legal day.")
    reasons: list[Reason] = Field(description="Why readings do not count.")


class DeviceQuality(Document):
    """The days of one meter."""

    device: str = Field(description="Code of the device.")
    meter: str = Field(description="Serial number of its meter.")
    role: str = Field(description="What the meter measures.")
    interval_minutes: int = Field(description="Length of a slot.")
    total: Counts = Field(description="All days together.")
    reasons: list[Reason] = Field(description="Why readings do not count.")
    days: list[DayQuality] = Field(description="Each legal day.")


class Quality(Document):
    """What became of the slots of a site's meters."""

    site: str = Field(description="Code of the site.")
    time_zone: str = Field(description="Zone that its legal days are counted in.")
    period: Period = Field(description="The days that are answered.")
    devices: list[DeviceQuality] = Field(description="Each meter.")


class FileParameters(PageParameters):
    """Which meter files."""

    site: ShortCodeText = Field(description="Those of the site with this code.")
    source: CodeText | None = Field(
        None, description="Those of the source with this name; of all without it."
    )


class ImportedFile(Document):
    """A meter file as it was imported once: read = new + unchanged + conflicts + rejected."""

    id: int = Field(description="Row number of the import.")
    file: str = Field(description="Name of the file.")
    sha256: str = Field(description="SHA-256 of its bytes.")
    source: str = Field(description="Source of the site file as which it was read.")
    device: str | None = Field(
        description="Device that the source is of; null: the file names its devices."
    )
    imported_at: Time = Field(description="When it was imported.")
    read: int = Field(description="Rows that were read.")
    new: int = Field(description="Rows that brought a reading.")
    unchanged: int = Field(description="Rows that were there already.")
    conflicts: int = Field(description="Rows that contradict another value of their time.")
    rejected: int = Field(description="Rows that could not be used.")


class FilePage(Document):
    """One page of meter files."""

    items: list[ImportedFile] = Field(description="The imports of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")
