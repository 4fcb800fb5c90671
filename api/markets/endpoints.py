"""``/v1/markets``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.errors import responses
from api.markets import queries
from api.markets.schemas import MarketPage, MarketParameters

router = APIRouter(tags=["markets"])


@router.get("/v1/markets", responses=responses(422, 503), summary="List markets")
def list_markets(
    context: ReadContext, parameters: Annotated[MarketParameters, Query()], response: Response
) -> MarketPage:
    """Markets with their settlement accounts and the money of these, page by page."""
    return context.listed("/v1/markets", parameters, response, queries.list_markets)
