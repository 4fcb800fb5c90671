"""``/metrics``."""

from __future__ import annotations

from importlib import metadata

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.context import ReadContext, no_query
from api.errors import responses
from api.metrics.text import MEDIA_TYPE, metrics_text

router = APIRouter(tags=["status"], dependencies=[Depends(no_query)])


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Figures in the text format of Prometheus.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **responses(422, 503),
    },
    summary="Figures for Prometheus",
)
def show_metrics(request: Request, context: ReadContext) -> Response:
    """Mirror, reconciliation, jobs, and the answers of this process, for Prometheus."""
    state = request.app.state
    beside = state.backups.count()
    with context.reading() as (session, view):
        kept = {} if state.cache is None else state.cache.counts
        version = metadata.version("truetonne")
        text = metrics_text(session, view, state.answers, kept, version, beside=beside)
    return Response(text, media_type=MEDIA_TYPE)
