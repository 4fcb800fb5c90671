"""``/v1/emissions``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.emissions import queries
from api.emissions.schemas import EmissionPage, EmissionParameters
from api.errors import responses

router = APIRouter(tags=["energy"])


@router.get("/v1/emissions", responses=responses(404, 422, 503), summary="Show an inventory")
def list_emissions(
    context: ReadContext, parameters: Annotated[EmissionParameters, Query()], response: Response
) -> EmissionPage:
    """Emissions of a site, or of all, by legal day or month, device, method and factor; totals by scope and method."""
    return context.listed("/v1/emissions", parameters, response, queries.list_emissions)
