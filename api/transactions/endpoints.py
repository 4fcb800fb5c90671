"""``/v1/transactions``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.errors import responses
from api.transactions import queries
from api.transactions.schemas import TransactionPage, TransactionParameters

router = APIRouter(tags=["transactions"])


@router.get("/v1/transactions", responses=responses(422, 503), summary="List transactions")
def list_transactions(
    context: ReadContext, parameters: Annotated[TransactionParameters, Query()], response: Response
) -> TransactionPage:
    """Transactions to our contracts, page by page: pending and failed ones too."""
    return context.listed("/v1/transactions", parameters, response, queries.list_transactions)
