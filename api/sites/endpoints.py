"""``/v1/sites``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.context import ReadContext, no_query
from api.energy.queries import waits_for_time
from api.errors import responses
from api.sites import queries
from api.sites.schemas import SiteAnswer, SitePage, SiteParameters

router = APIRouter(tags=["sites"])


@router.get("/v1/sites", responses=responses(422, 503), summary="List sites")
def list_sites(
    context: ReadContext, parameters: Annotated[SiteParameters, Query()], response: Response
) -> SitePage:
    """Sites, page by page."""
    return context.listed("/v1/sites", parameters, response, queries.list_sites)


@router.get(
    "/v1/sites/{code}",
    dependencies=[Depends(no_query)],
    responses=responses(404, 422, 503),
    summary="Show a site",
)
def show_site(
    context: ReadContext,
    code: Annotated[str, Path(max_length=50, description="Code of the site.")],
    response: Response,
) -> SiteAnswer:
    """One site: its devices, and what each legal month brought."""
    with context.reading() as (session, view):
        found = queries.show_site(session, view, code)
        if waits_for_time(session, code):
            response.headers["Cache-Control"] = "no-cache"  # nor is it kept here
    return found
