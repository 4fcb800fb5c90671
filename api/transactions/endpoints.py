"""``/v1/transactions``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.errors import responses
from api.pagination import link_header
from api.transactions import queries
from api.transactions.schemas import TransactionPage, TransactionParameters

router = APIRouter(tags=["transactions"])


@router.get("/v1/transactions", responses=responses(422, 503), summary="List transactions")
def list_transactions(
    context: ReadContext, parameters: Annotated[TransactionParameters, Query()], response: Response
) -> TransactionPage:
    """Transactions to our contracts, page by page: pending and failed ones too."""
    with context.reading() as (session, view):
        page = queries.list_transactions(session, view, parameters)
    response.headers["Link"] = link_header("/v1/transactions", parameters, page.next_cursor)
    return page
