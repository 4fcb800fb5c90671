"""Parameters and answers of the retirements."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.credits.schemas import RetirementItem
from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import (
    AS_OF_BLOCK,
    AddressText,
    BlockParameter,
    CodeText,
    CountryText,
    HashText,
    TimeParameter,
)

BeneficiaryText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""The name of a beneficiary, or a part of it."""


class RetirementFilters(BaseModel):
    """Filters of the list of retirements."""

    model_config = ConfigDict(extra="forbid")

    batch_id: int | None = Field(
        None, ge=1, lt=2**63, description="Only retirements of credits of this batch."
    )
    site: CodeText | None = Field(
        None,
        description="Only retirements of credits of the site with this code on chain, which is its project's.",
    )
    holder: AddressText | None = Field(None, description="Only retirements by this account.")
    beneficiary: BeneficiaryText | None = Field(
        None,
        description="Only retirements whose beneficiary holds this text, whatever the size of its letters.",
    )
    country: CountryText | None = Field(
        None, description="Only retirements for this country, ISO 3166-1."
    )
    key: HashText | None = Field(None, description="Only the retirement with this key.")
    retired_from: TimeParameter | None = Field(None, description="Only from this time on.")
    retired_before: TimeParameter | None = Field(None, description="Only before this time.")
    as_of_block: BlockParameter | None = Field(None, description=AS_OF_BLOCK)


class RetirementParameters(PageParameters, RetirementFilters):
    """The same, page by page."""


class RetirementPage(ChainPage):
    """One page of retirements."""

    items: list[RetirementItem] = Field(description="The retirements of the page.")
