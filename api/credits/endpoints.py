"""``/v1/credits``."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response

from api.context import ReadContext
from api.credits import history, queries, readings
from api.credits.schemas import (
    AsOfParameters,
    CreditAnswer,
    CreditPage,
    CreditParameters,
    HistoryAnswer,
    HistoryParameters,
    ReadingPage,
    ReadingParameters,
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


@router.get(
    "/v1/credits",
    responses=responses(422, 503),
    summary="List credits",
)
def list_credits(
    context: ReadContext, parameters: Annotated[CreditParameters, Query()], response: Response
) -> CreditPage:
    """Credits, page by page. The rows of a batch partition its serials at every time."""
    return context.listed("/v1/credits", parameters, response, queries.list_credits)


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
    responses=responses(404, 422, 503),
    summary="Show the life of a credit",
)
def show_history(
    context: ReadContext,
    credit_id: CreditName,
    parameters: Annotated[HistoryParameters, Query()],
    response: Response,
) -> HistoryAnswer:
    """Life of the batch of a credit, oldest first: from meter files to retirements."""
    with context.reading() as (session, view):
        page = history.show_history(session, view, credit_id, parameters)
    path = f"/v1/credits/{quote(credit_id, safe='')}/history"
    response.headers["Link"] = link_header(path, parameters, page.next_cursor)
    return page


@router.get(
    "/v1/credits/{credit_id}/readings",
    responses=responses(404, 422, 503),
    summary="List the readings behind a credit",
)
def list_readings(
    context: ReadContext,
    credit_id: CreditName,
    parameters: Annotated[ReadingParameters, Query()],
    response: Response,
) -> ReadingPage:
    """List the readings of a batch's period: those that count, and why others do not."""
    with context.reading() as (session, view):
        page = readings.list_readings(session, view, credit_id, parameters)
    path = f"/v1/credits/{quote(credit_id, safe='')}/readings"
    response.headers["Link"] = link_header(path, parameters, page.next_cursor)
    return page
