"""What every answer about the chain says of itself: as of which block, and what is final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.texts import Document
from ledger.models.mirror import ChainCursor


class Finality(Document):
    """How final an answer is."""

    rule: str = Field(
        description="When a block is final: `finalized`, as the chain says, or a number of blocks."
    )
    final_block: int | None = Field(description="Last final block; null before the mirror began.")


class ChainAnswer(Document):
    """An answer about the chain."""

    as_of_block: int | None = Field(
        description="Last block that the mirror has read; null before it began."
    )
    finality: Finality = Field(description="How much of the answer is final.")


class ChainPage(ChainAnswer):
    """One page of a list about the chain."""

    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")


@dataclass(frozen=True)
class ChainView:
    """How far the mirror of one network has come."""

    network: str
    rule: str
    as_of_block: int | None
    final_block: int | None

    def is_final(self, block: int | None) -> bool:
        """Return whether no reorganisation can take away what this block brought."""
        return block is not None and self.final_block is not None and block <= self.final_block

    def fields(self) -> dict[str, Any]:
        """Return the fields that ``ChainAnswer`` adds to an answer."""
        finality = Finality(rule=self.rule, final_block=self.final_block)
        return {"as_of_block": self.as_of_block, "finality": finality}


def chain_view(session: Session, network: str, rule: str) -> ChainView:
    """Return how far the mirror has come; read in the session of the answer itself.

    Parameters
    ----------
    network
        Name of the network, as in the settings.
    rule
        The finality setting: ``finalized``, or a number of blocks.
    """
    cursor = session.execute(
        select(ChainCursor.block_number, ChainCursor.final_number).where(
            ChainCursor.network == network
        )
    ).one_or_none()
    head, final = cursor if cursor else (None, None)
    return ChainView(network, rule, head, final)
