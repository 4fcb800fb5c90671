"""``/v1/readings/quality``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.context import ReadContext
from api.errors import responses
from api.readings import queries
from api.readings.schemas import Quality, QualityParameters

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
