"""``/v1/readings/quality`` and ``/v1/readings/files``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.errors import responses
from api.pagination import link_header
from api.readings import queries
from api.readings.schemas import FilePage, FileParameters, Quality, QualityParameters

router = APIRouter(tags=["readings"])


@router.get(
    "/v1/readings/quality",
    responses=responses(404, 422, 503),
    summary="Show what became of readings",
)
def show_quality(
    context: ReadContext, parameters: Annotated[QualityParameters, Query()]
) -> Quality:
    """Every slot of a site's meters, by legal day, and why readings do not count; at most 400 days of all meters."""
    with context.database.read() as session:
        return queries.quality(session, parameters)


@router.get(
    "/v1/readings/files",
    responses=responses(404, 422, 503),
    summary="List meter files",
)
def list_files(
    context: ReadContext, parameters: Annotated[FileParameters, Query()], response: Response
) -> FilePage:
    """List imports of a site's meter files, and what became of their rows: one entry for each time that a file came."""
    with context.database.read() as session:
        page = queries.list_files(session, parameters)
    response.headers["Link"] = link_header("/v1/readings/files", parameters, page.next_cursor)
    return page
