"""What the job ``reconcile`` found last. Reads only: nothing is compared for a request."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from api.finality import ChainView
from api.reconciliation.schemas import ReconciliationAnswer, RuleItem
from ledger.models import Reconciliation


def show_reconciliation(session: Session, view: ChainView, now: datetime) -> ReconciliationAnswer:
    """Return the last outcome.

    Parameters
    ----------
    now
        The time of day, aware.
    """
    row = session.get(Reconciliation, view.network)
    if row is None:
        return ReconciliationAnswer(
            **view.fields(),
            network=view.network,
            at=None,
            age_seconds=None,
            block=None,
            blocks_since=None,
            ok=None,
            rules=[],
        )
    since = None if view.as_of_block is None else view.as_of_block - row.block_number
    return ReconciliationAnswer(
        **view.fields(),
        network=view.network,
        at=row.compared_at,
        age_seconds=max((now - row.compared_at) // timedelta(seconds=1), 0),
        block=row.block_number,
        blocks_since=since,
        ok=row.ok,
        rules=[RuleItem.model_validate(rule) for rule in row.rules],
    )
