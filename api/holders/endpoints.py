"""``/v1/holders``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.context import ReadContext
from api.errors import responses
from api.holders import queries
from api.holders.schemas import HolderPage, HolderParameters
from api.pagination import link_header
from api.texts import AddressText

router = APIRouter(tags=["credits"])


@router.get("/v1/holders/{address}", responses=responses(422, 503), summary="Show a holder")
def show_holder(
    context: ReadContext,
    address: Annotated[AddressText, Path(description="The account.")],
    parameters: Annotated[HolderParameters, Query()],
    response: Response,
) -> HolderPage:
    """Credits of an account by batch, page by page."""
    with context.reading() as (session, view):
        page = queries.show_holder(session, view, address, parameters)
    path = f"/v1/holders/{address.lower()}"
    response.headers["Link"] = link_header(path, parameters, page.next_cursor)
    return page
