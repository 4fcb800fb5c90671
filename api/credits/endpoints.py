"""``/v1/credits``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.context import ReadContext, no_query
from api.credits import history, queries
from api.credits.schemas import (
    AsOfParameters,
    CreditAnswer,
    CreditPage,
    CreditParameters,
    HistoryAnswer,
)
from api.errors import responses
from api.pagination import link_header

router = APIRouter(tags=["credits"])


CreditName = Annotated[
    str,
    Path(
        description="SITE-VINTAGE-NUMBER, SITE-VINTAGE-NUMBER-FIRST-LAST, a row number, a batch "
        "number, or the key of an issuance.",
    ),
]
"""Which credit, as people name it."""


@router.get("/v1/credits", responses=responses(422, 503), summary="List credits")
def list_credits(
    context: ReadContext, parameters: Annotated[CreditParameters, Query()], response: Response
) -> CreditPage:
    """Credits, page by page. The rows of a batch partition its serials at every time."""
    with context.reading() as (session, view):
        page = queries.list_credits(session, view, parameters)
    response.headers["Link"] = link_header("/v1/credits", parameters, page.next_cursor)
    return page


@router.get(
    "/v1/credits/{credit_id}",
    responses=responses(404, 422, 503),
    summary="Show a credit",
)
def show_credit(
    context: ReadContext,
    credit_id: CreditName,
    parameters: Annotated[AsOfParameters, Query()],
) -> CreditAnswer:
    """One credit with its batch and its retirement."""
    with context.reading() as (session, view):
        return queries.show_credit(session, view, credit_id, parameters.as_of_block)


@router.get(
    "/v1/credits/{credit_id}/history",
    dependencies=[Depends(no_query)],
    responses=responses(404, 422, 503),
    summary="Show the life of a credit",
)
def show_history(context: ReadContext, credit_id: CreditName) -> HistoryAnswer:
    """Life of the batch of a credit, oldest first: from meter files to retirements."""
    with context.reading() as (session, view):
        return history.show_history(session, view, credit_id)
