"""``/v1/plants``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.context import ReadContext
from api.errors import responses
from api.plants import queries
from api.plants.schemas import PlantAnswer, PlantPage, PlantParameters, PlantsParameters

router = APIRouter(tags=["plants"])


@router.get("/v1/plants", responses=responses(422, 503), summary="List virtual power plants")
def list_plants(
    context: ReadContext, parameters: Annotated[PlantsParameters, Query()], response: Response
) -> PlantPage:
    """Virtual power plants with their settlement accounts, page by page."""
    return context.listed("/v1/plants", parameters, response, queries.list_plants)


@router.get(
    "/v1/plants/{code}", responses=responses(404, 422, 503), summary="Show a virtual power plant"
)
def show_plant(
    context: ReadContext,
    code: Annotated[str, Path(description="Code of the plant.")],
    parameters: Annotated[PlantParameters, Query()],
) -> PlantAnswer:
    """One plant as settlement sees it: its account, what it holds, its trades, and who paid whom."""
    with context.reading() as (session, view):
        return queries.show_plant(session, view, code, parameters)
