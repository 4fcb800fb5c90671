"""``/v1/settlements``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.context import ReadContext, no_query
from api.errors import responses
from api.settlements import queries
from api.settlements.schemas import SettlementAnswer, SettlementPage, SettlementParameters

router = APIRouter(tags=["settlements"])


@router.get("/v1/settlements", responses=responses(422, 503), summary="List settlement batches")
def list_settlements(
    context: ReadContext, parameters: Annotated[SettlementParameters, Query()], response: Response
) -> SettlementPage:
    """Settlement batches of these books, page by page."""
    return context.listed("/v1/settlements", parameters, response, queries.list_settlements)


@router.get(
    "/v1/settlements/{settlement_id}",
    dependencies=[Depends(no_query)],
    responses=responses(404, 422, 503),
    summary="Show a settlement batch",
)
def show_settlement(
    context: ReadContext,
    settlement_id: Annotated[str, Path(description="Its key, or its row number.")],
) -> SettlementAnswer:
    """One settlement batch: its trades, net positions, and who paid whom."""
    with context.reading() as (session, view):
        return queries.show_settlement(session, view, settlement_id)
