"""What answers about the chain say of themselves: of which block, how final, and when last compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.texts import Document, Time
from ledger.models import Reconciliation as Compared
from ledger.models.mirror import ChainBlock, ChainCursor


class Finality(Document):
    """How final an answer is."""

    rule: str = Field(
        description="When a block is final: `finalized`, as the chain says, or a number of blocks."
    )
    final_block: int | None = Field(description="Last final block; null before the mirror began.")


class Reconciliation(Document):
    """The last comparison of the books with the chain; `/v1/reconciliation` has all of it."""

    at: Time = Field(description="When they were compared.")
    block: int = Field(description="Block that they were compared at.")
    ok: bool = Field(description="Whether every rule held.")


class ChainAnswer(Document):
    """An answer about the chain."""

    as_of_block: int | None = Field(
        description="Block at whose end the answer holds: the last that the mirror has read, "
        "or the one that was asked for; null before it began."
    )
    finality: Finality = Field(description="How much of the answer is final.")
    reconciliation: Reconciliation | None = Field(
        description="Last comparison of books and chain; null before the first."
    )


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
    reconciliation: Reconciliation | None = None

    def is_final(self, block: int | None) -> bool:
        """Return whether no reorganisation can take away what this block brought."""
        return block is not None and self.final_block is not None and block <= self.final_block

    def at(self, block: int) -> ChainView:
        """Return the view of an earlier block."""
        return replace(self, as_of_block=block)

    def headers(self) -> dict[str, str]:
        """Return the headers that say the same of a file, which has no place for it; none before the mirror began."""
        blocks = {
            "Truetonne-As-Of-Block": self.as_of_block,
            "Truetonne-Final-Block": self.final_block,
        }
        return {name: str(block) for name, block in blocks.items() if block is not None}

    def fields(self) -> dict[str, Any]:
        """Return the fields that ``ChainAnswer`` adds to an answer."""
        finality = Finality(rule=self.rule, final_block=self.final_block)
        return {
            "as_of_block": self.as_of_block,
            "finality": finality,
            "reconciliation": self.reconciliation,
        }


def chain_view(session: Session, network: str, rule: str) -> ChainView:
    """Return how far the mirror has come; read in the session of the answer itself.

    Parameters
    ----------
    network
        Name of the network, as in the settings.
    rule
        The finality setting: ``finalized``, or a number of blocks.
    """
    row = session.execute(
        select(
            ChainCursor.block_number,
            ChainCursor.final_number,
            Compared.compared_at,
            Compared.block_number,
            Compared.ok,
        )
        .outerjoin(Compared, Compared.network == ChainCursor.network)
        .where(ChainCursor.network == network)
    ).one_or_none()
    if row is None:
        return ChainView(network, rule, None, None)
    head, final, at, block, ok = row
    compared = None if at is None else Reconciliation(at=at, block=block, ok=ok)
    return ChainView(network, rule, head, final, compared)


def block_time(session: Session, number: int | None) -> datetime | None:
    """Return the time of a block; None where the mirror does not have it."""
    found = session.get(ChainBlock, number) if number is not None else None
    return None if found is None else found.block_time
