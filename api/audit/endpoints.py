"""``/v1/audit-log``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.access import needs
from api.audit import queries
from api.audit.schemas import AuditPage, AuditParameters
from api.context import ReadContext
from api.errors import responses
from api.pagination import link_header

router = APIRouter(tags=["audit"])


@router.get(
    "/v1/audit-log",
    dependencies=[needs("audit:read")],
    responses=responses(401, 403, 422, 503),
    summary="Read the audit log",
)
def list_entries(
    context: ReadContext, parameters: Annotated[AuditParameters, Query()], response: Response
) -> AuditPage:
    """Who changed what, page by page."""
    with context.database.read() as session:
        page = queries.list_entries(session, parameters)
    response.headers["Link"] = link_header("/v1/audit-log", parameters, page.next_cursor)
    return page
