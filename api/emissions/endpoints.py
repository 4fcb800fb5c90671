"""``/v1/emissions``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.emissions import queries
from api.emissions.schemas import EmissionPage, EmissionParameters
from api.errors import responses
from api.pagination import link_header

router = APIRouter(tags=["energy"])


@router.get("/v1/emissions", responses=responses(404, 422, 503), summary="Show an inventory")
def list_emissions(
    context: ReadContext, parameters: Annotated[EmissionParameters, Query()], response: Response
) -> EmissionPage:
    """Emissions of a site, or of all, by legal day or month, device, method and factor; totals by scope and method."""
    with context.reading() as (session, view):
        page = queries.list_emissions(session, view, parameters)
    response.headers["Link"] = link_header("/v1/emissions", parameters, page.next_cursor)
    return page
