"""``/v1/status``, ``/livez`` and ``/readyz``."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from api.context import ReadContext, no_query
from api.errors import responses
from api.status import queries
from api.status.readiness import Readiness
from api.status.schemas import Alive, Ready, Status

router = APIRouter(tags=["status"], dependencies=[Depends(no_query)])


@router.get("/v1/status", responses=responses(422, 503), summary="Show how the books stand")
def show_status(request: Request, context: ReadContext) -> Status:
    """How far the mirror has come, and totals of credits, transactions and trades."""
    beside = request.app.state.backups.count()
    with context.reading() as (session, view):
        return queries.status(session, view, request.app.state.totals, beside=beside)


@router.get("/livez", responses=responses(422), summary="Is the process alive?")
async def livez() -> Alive:
    """Answers as long as the process runs; asks nobody."""
    return Alive(status="alive")


@router.get("/readyz", responses=responses(422, 503), summary="Can the service do its work?")
async def readyz(request: Request, context: ReadContext) -> Ready:
    """Answers 503 when the database or the node does not answer, or they do not belong together."""
    found: Readiness = request.app.state.readiness
    return Ready(status="ready", checks=dict(await found.now(context)))
