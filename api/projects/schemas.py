"""Parameters and answers of the projects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainAnswer, ChainPage
from api.pagination import PageParameters
from api.sites.schemas import IssuanceItem, Month
from api.texts import BlockParameter, DecimalText, Document, IntegerText, ShortCodeText


class ProjectParameters(PageParameters):
    """Filters of the list of projects."""

    site: ShortCodeText | None = Field(
        None, description="Only projects of the site with this code."
    )
    methodology: ShortCodeText | None = Field(
        None, description="Only projects under the methodology with this code."
    )


class OneProjectParameters(BaseModel):
    """As of when a project is shown."""

    model_config = ConfigDict(extra="forbid")

    as_of_block: BlockParameter | None = Field(
        None,
        description="Credits and issuances as they stood at the end of this block; months and the project itself "
        "are always as they are.",
    )


class Project(Document):
    """An activity that is credited under one methodology."""

    id: int = Field(description="Row number.")
    code: str = Field(description="Code of the project, and of its site on chain.")
    site: str = Field(description="Code of the site.")
    methodology: str = Field(description="Code of the methodology.")
    methodology_version: str = Field(description="Version of the methodology.")
    factor: str = Field(description="Code of the baseline's emission factor.")
    program: str = Field(description="Programme that it is credited under.")


class ProjectPage(ChainPage):
    """One page of projects."""

    items: list[Project] = Field(description="The projects of the page.")


class ProjectCredits(Document):
    """All credits of a project as the mirror has them, in kilograms."""

    batches: int = Field(description="How many batches there are.")
    issued_kg: IntegerText = Field(description="Issued.")
    active_kg: IntegerText = Field(description="Neither retired nor cancelled.")
    retired_kg: IntegerText = Field(description="Retired.")
    cancelled_kg: IntegerText = Field(
        description="Cancelled by holders, or with a whole batch that is cancelled."
    )


class ProjectAnswer(Project, ChainAnswer):
    """One project, with its credits, its issuances and what each month brought."""

    time_zone: str = Field(description="Zone that its legal days are counted in.")
    factor_version: str = Field(description="Version of the factor.")
    factor_value: str = Field(description="Value of the factor as published, in its unit.")
    factor_unit: str = Field(description="Unit of the factor.")
    completeness_min: DecimalText = Field(
        description="Share of the expected slots under which a period is refused."
    )
    leakage_share: str = Field(description="Share of the baseline that is deducted as leakage.")
    uncertainty_share: str = Field(
        description="Share of the reductions that is deducted for uncertainty."
    )
    credits: ProjectCredits = Field(description="Its credits.")
    devices: list[str] = Field(description="Codes of the devices that count for it.")
    months: list[Month] = Field(
        description="What each legal month brought, oldest first; the last 120."
    )
    issuances: list[IssuanceItem] = Field(description="Its issuances, oldest first; the last 500.")
