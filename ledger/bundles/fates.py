"""Refuses serials of a bundle that do not share one fate by a block: retired, active or cancelled."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.models import CreditBatch, CreditCancellation, CreditRetirement, CreditSite
from ledger.serials import credit_id, fates, fates_in_words


def refuse_mixed(
    session: Session, batch: CreditBatch, serials: tuple[int, int], block: int | None
) -> None:
    """Refuse serials that do not share one fate: no bundle speaks of such.

    Parameters
    ----------
    block
        By which block; None: by the last one that the mirror has read.

    Raises
    ------
    BadInput
        If they do not; its message says which are what, and names one of the parts.
    """
    retired, cancelled = (
        _kg_of(session, kind, batch.batch_id, block)
        for kind in (CreditRetirement, CreditCancellation)
    )
    parts = fates(serials, batch.issued_kg, retired, cancelled)
    if len(parts) == 1:
        return
    site = session.get_one(CreditSite, batch.site_id)
    part = parts[0].first, parts[0].last
    name = credit_id(site.code, batch.vintage, batch.ordinal, *part)
    raise BadInput(
        f"{fates_in_words(parts)}: name one of these, for instance {name}", code="mixed-serials"
    )


def _kg_of(
    session: Session,
    kind: type[CreditRetirement | CreditCancellation],
    batch_id: int,
    block: int | None,
) -> int:
    query = select(func.sum(kind.amount_kg)).where(kind.batch_id == batch_id)
    if block is not None:
        query = query.where(kind.block_number <= block)
    return int(session.scalar(query) or 0)
