"""``/v1/reconciliation``."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Depends

from api.context import ReadContext, no_query
from api.errors import responses
from api.reconciliation import queries
from api.reconciliation.schemas import ReconciliationAnswer

router = APIRouter(tags=["status"], dependencies=[Depends(no_query)])


@router.get(
    "/v1/reconciliation",
    responses=responses(422, 503),
    summary="Show the last comparison of books and chain",
)
def show_reconciliation(context: ReadContext) -> ReconciliationAnswer:
    """Rules, differences, block and age of what the job `reconcile` found last; nothing is compared for it."""
    with context.reading() as (session, view):
        return queries.show_reconciliation(session, view, datetime.now(UTC))
