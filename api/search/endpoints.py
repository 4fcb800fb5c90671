"""``/v1/search``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.context import ReadContext
from api.errors import responses
from api.search import queries
from api.search.schemas import SearchAnswer, SearchParameters

router = APIRouter(tags=["search"])


@router.get("/v1/search", responses=responses(422, 503), summary="Search everything")
def search(context: ReadContext, parameters: Annotated[SearchParameters, Query()]) -> SearchAnswer:
    """One box: serials, batches, codes, numbers, keys, transaction hashes, addresses, certificates."""
    with context.reading() as (session, view):
        return queries.search(session, view, parameters)
