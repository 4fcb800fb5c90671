"""``/v1/trades``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.errors import responses
from api.trades import queries
from api.trades.schemas import TradePage, TradeParameters

router = APIRouter(tags=["trades"])


@router.get("/v1/trades", responses=responses(422, 503), summary="List trades")
def list_trades(
    context: ReadContext, parameters: Annotated[TradeParameters, Query()], response: Response
) -> TradePage:
    """Trades of virtual power plants, page by page, with the settlement of each."""
    return context.listed("/v1/trades", parameters, response, queries.list_trades)
