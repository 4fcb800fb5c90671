"""``/v1/energy``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.energy import queries
from api.energy.schemas import EnergyPage, EnergyParameters
from api.errors import responses
from api.pagination import link_header

router = APIRouter(tags=["energy"])


@router.get("/v1/energy", responses=responses(404, 422, 503), summary="Show energy")
def list_energy(
    context: ReadContext, parameters: Annotated[EnergyParameters, Query()], response: Response
) -> EnergyPage:
    """Energy that meters of a site counted, by hour, day or month of its legal time; counts of readings."""
    with context.reading() as (session, view):
        page = queries.list_energy(session, view, parameters)
        of = parameters.site, parameters.device
        if parameters.end is None and queries.waits_for_time(session, *of):
            response.headers["Cache-Control"] = "no-cache"  # nor is it kept here
    response.headers["Link"] = link_header("/v1/energy", parameters, page.next_cursor)
    return page
