"""``/v1/contracts``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.context import ReadContext
from api.contracts import queries
from api.contracts.schemas import ContractPage, ContractParameters
from api.errors import responses

router = APIRouter(tags=["contracts"])


@router.get("/v1/contracts", responses=responses(422, 503), summary="List contracts")
def list_contracts(
    context: ReadContext, parameters: Annotated[ContractParameters, Query()], response: Response
) -> ContractPage:
    """Our contracts, page by page."""
    return context.listed("/v1/contracts", parameters, response, queries.list_contracts)
