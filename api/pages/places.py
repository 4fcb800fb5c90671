"""The pages of a project, a site and a settlement batch."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.context import ReadContext
from api.pages.figures import columns_of
from api.pages.payments import payments_picture
from api.pages.rendering import page
from api.projects.queries import show_project
from api.settlements.queries import show_settlement
from api.sites.queries import show_site

router = APIRouter(include_in_schema=False)
_CHARTS = ("production_kwh", "reductions_kg", "issued_kg")


@router.get("/projects/{code}")
def project(request: Request, context: ReadContext, code: str) -> HTMLResponse:
    """Show one project: its credits, and what each month brought."""
    with context.reading() as (session, view):
        found = show_project(session, view, code)
    charts = {name: columns_of(found.months, name) for name in _CHARTS}
    return page(request, "project", found=found, charts=charts)


@router.get("/sites/{code}")
def site(request: Request, context: ReadContext, code: str) -> HTMLResponse:
    """Show one site: its meters, and what each month brought."""
    with context.reading() as (session, view):
        found = show_site(session, view, code)
    charts = {name: columns_of(found.months, name) for name in _CHARTS}
    return page(request, "site", found=found, charts=charts)


@router.get("/settlements/{name}")
def settlement(request: Request, context: ReadContext, name: str) -> HTMLResponse:
    """Show one settlement batch: trades, net positions, and who paid whom."""
    with context.reading() as (session, view):
        found = show_settlement(session, view, name)
    return page(request, "settlement", found=found, picture=payments_picture(found))
