"""Parameters and answers of the search."""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.finality import ChainAnswer
from api.texts import Document

LENGTH_MAX = 200
"""Characters of the longest thing that has a name here, with room to spare."""
LIMIT_MAX = 50


class HitKind(StrEnum):
    """What a result is."""

    CREDIT = "credit"
    BATCH = "batch"
    RETIREMENT = "retirement"
    PROJECT = "project"
    SITE = "site"
    DEVICE = "device"
    PLANT = "plant"
    SETTLEMENT = "settlement"
    TRANSACTION = "transaction"
    CONTRACT = "contract"
    HOLDER = "holder"


def cleaned(text: str) -> str:
    """Return a text without the marks that nobody sees: they come along when text is copied from a page.

    Raises
    ------
    ValueError
        If nothing is left, or it holds a control character.
    """
    # Cf: writing direction, joiners, soft hyphens; Cc: NUL, line ends and their like.
    shown = "".join(sign for sign in text if unicodedata.category(sign) != "Cf").strip()
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in shown):
        raise ValueError("it holds a control character; search for one line of text")
    if not shown:
        raise ValueError("it is empty; write a serial, a code, a number, a hash or an address")
    return shown


class SearchParameters(BaseModel):
    """What is looked for."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, AfterValidator(cleaned)] = Field(
        min_length=1,
        max_length=LENGTH_MAX,
        description="A serial, batch, code, number, key, transaction hash, address or beneficiary, or a page of ours.",
    )
    limit: int = Field(20, ge=1, le=LIMIT_MAX, description="Results of one answer.")


class Hit(Document):
    """One thing that was found."""

    kind: HitKind = Field(description="What it is.")
    id: str = Field(
        description="What it is named by; where a path can hold that, it stands in its link."
    )
    title: str = Field(description="What it is, for people.")
    link: str = Field(description="Path of its answer in this API.")
    exact: bool = Field(description="Whether the text names it; else the text is a part of a name.")


class SearchAnswer(ChainAnswer):
    """What was found, exact results first."""

    q: str = Field(description="The text that was looked for, without marks that nobody sees.")
    items: list[Hit] = Field(description="What was found; none when nothing has such a name.")
    more: bool = Field(description="Whether there is more than `limit`: write more of the name.")
