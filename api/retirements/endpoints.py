"""``/v1/retirements``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.context import ReadContext
from api.credits.schemas import AsOfParameters, RetirementAnswer
from api.errors import responses
from api.retirements import queries
from api.retirements.schemas import RetirementPage, RetirementParameters

router = APIRouter(tags=["retirements"])


@router.get("/v1/retirements", responses=responses(422, 503), summary="List retirements")
def list_retirements(
    context: ReadContext, parameters: Annotated[RetirementParameters, Query()], response: Response
) -> RetirementPage:
    """Retirements, page by page: who benefits, and which serials."""
    return context.listed("/v1/retirements", parameters, response, queries.list_retirements)


@router.get(
    "/v1/retirements/{retirement_id}",
    responses=responses(404, 422, 503),
    summary="Show a retirement",
)
def show_retirement(
    context: ReadContext,
    retirement_id: Annotated[str, Path(description="Its number, or its key.")],
    parameters: Annotated[AsOfParameters, Query()],
) -> RetirementAnswer:
    """One retirement: who benefits, and which serials."""
    with context.reading() as (session, view):
        return queries.show_retirement(session, view, retirement_id, parameters.as_of_block)
