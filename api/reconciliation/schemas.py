"""Answers about the reconciliation."""

from __future__ import annotations

from pydantic import Field

from api.finality import ChainAnswer
from api.texts import Document, Time


class RuleItem(Document):
    """A rule that books and chain must agree on."""

    name: str = Field(description="Name of the rule.")
    ok: bool = Field(description="Whether it held.")
    count: int = Field(description="How many differences there were.")
    differences: list[str] = Field(description="The first 20 of them, as sentences.")


class ReconciliationAnswer(ChainAnswer):
    """The last comparison that the job `reconcile` made."""

    network: str = Field(description="Name of the network.")
    at: Time | None = Field(description="When it was made; null: never yet.")
    age_seconds: int | None = Field(description="How long ago that is.")
    block: int | None = Field(description="Block that books and chain were compared at.")
    blocks_since: int | None = Field(description="Blocks that the mirror has read since.")
    ok: bool | None = Field(description="Whether every rule held; null: never compared.")
    rules: list[RuleItem] = Field(description="The rules, in the order of the report.")
