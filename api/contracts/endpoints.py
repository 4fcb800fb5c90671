"""``/v1/contracts``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.contracts import queries
from api.contracts.schemas import ContractPage, ContractParameters
from api.errors import responses
from api.pagination import link_header

router = APIRouter(tags=["contracts"])


@router.get("/v1/contracts", responses=responses(422, 503), summary="List contracts")
def list_contracts(
    context: ReadContext, parameters: Annotated[ContractParameters, Query()], response: Response
) -> ContractPage:
    """Our contracts, page by page."""
    with context.reading() as (session, view):
        page = queries.list_contracts(session, view, parameters)
    response.headers["Link"] = link_header("/v1/contracts", parameters, page.next_cursor)
    return page
