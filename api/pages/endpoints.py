"""The pages of the ledger as a whole: home, lists, search, operations; and the files that pages ask for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.context import ReadContext
from api.credits.queries import list_credits
from api.credits.schemas import CreditParameters
from api.errors import Problem
from api.finality import block_time
from api.pages.assets import assets
from api.pages.figures import shares_of
from api.pages.language import wishes_of
from api.pages.rendering import is_fragment, page
from api.pagination import LIMIT_MAX
from api.projects.queries import list_projects
from api.projects.schemas import ProjectParameters
from api.reconciliation.queries import show_reconciliation
from api.retirements.queries import list_retirements
from api.retirements.schemas import RetirementParameters
from api.search.queries import search
from api.search.schemas import Hit, HitKind, SearchParameters
from api.settlements.queries import list_settlements
from api.settlements.schemas import SettlementParameters
from api.sites.queries import list_sites
from api.sites.schemas import SiteParameters
from api.status.queries import status
from ledger.codes import unreachable
from ledger.models import Project

router = APIRouter(include_in_schema=False)
Model = TypeVar("Model", bound=BaseModel)
_FOREVER = "public, max-age=31536000, immutable"
_LATEST = 6
_OTHERS = 20
"""Settlement batches of others below our own; all of them are a list of their own."""


@router.get("/")
def show_home(request: Request, context: ReadContext) -> HTMLResponse:
    """Show search, the figures of the ledger, how far the mirror has come, and what came last."""
    beside = request.app.state.backups.count()
    with context.reading() as (session, view):
        found = status(session, view, request.app.state.totals, beside=beside)
        if is_fragment(request):
            return page(request, "parts/mirror", found=found)
        return page(
            request,
            "home",
            found=found,
            shares=shares_of(found.credits),
            projects=_count_projects(session),
            block_time=block_time(session, view.as_of_block),
            credits=list_credits(
                session, view, CreditParameters.model_validate({"limit": _LATEST})
            ).items,
            retirements=list_retirements(
                session, view, RetirementParameters.model_validate({"limit": _LATEST})
            ).items,
        )


@router.get("/credits")
def show_credits(request: Request, context: ReadContext) -> HTMLResponse:
    """Show all credits, page by page."""
    parameters = asked(request, CreditParameters)
    with context.reading() as (session, view):
        found = list_credits(session, view, parameters)
        at = block_time(session, found.as_of_block)
    return page(request, "credits", found=found, parameters=parameters, block_time=at)


@router.get("/projects")
def show_projects(request: Request, context: ReadContext) -> HTMLResponse:
    """Show all projects, page by page, and the sites: one that earns no credits has no project that leads to it."""
    parameters = asked(request, ProjectParameters)
    with context.reading() as (session, view):
        found = list_projects(session, view, parameters)
        sites = list_sites(session, view, SiteParameters.model_validate({"limit": LIMIT_MAX}))
    return page(request, "projects", found=found, sites=sites)


@router.get("/settlements")
def show_settlements(request: Request, context: ReadContext) -> HTMLResponse:
    """Show all settlement batches, page by page."""
    parameters = asked(request, SettlementParameters)
    with context.reading() as (session, view):
        found = list_settlements(session, view, parameters)
        others = None
        everything = parameters.filters() == {"elsewhere": False}
        if everything and parameters.cursor is None:
            wanted = SettlementParameters.model_validate({"elsewhere": True, "limit": _OTHERS})
            others = list_settlements(session, view, wanted)
    return page(request, "settlements", found=found, others=others, parameters=parameters)


@router.get("/search")
def show_search(request: Request, context: ReadContext) -> Response:
    """Show what was found; the one thing that a whole name names is shown at once."""
    text = request.query_params.get("q", "")
    template = "parts/hits" if is_fragment(request) else "search"
    if not text.strip():
        return page(request, template, q="", found=None)
    try:
        parameters = SearchParameters.model_validate({"q": text})
    except ValidationError:
        status_ = 200 if is_fragment(request) else 422  # a part that is no success is not shown
        return page(request, template, status=status_, q=text[:200], found=None, refused=True)
    with context.reading() as (session, view):
        found = search(session, view, parameters)
    exact = [hit for hit in found.items if hit.exact]
    if len(found.items) == 1 and exact and not is_fragment(request):
        response = RedirectResponse(_page_of_hit(exact[0]), status_code=303)
        wishes_of(request).remember(request, response)
        return response
    return page(request, template, q=found.q, found=found, page_of_hit=_page_of_hit)


@router.get("/operations")
def show_operations(request: Request, context: ReadContext) -> HTMLResponse:
    """Show the mirror, the jobs, and the last comparison of books and chain."""
    beside = request.app.state.backups.count()
    with context.reading() as (session, view):
        found = status(session, view, request.app.state.totals, beside=beside)
        compared = show_reconciliation(session, view, datetime.now(UTC))
    template = "parts/operations" if is_fragment(request) else "operations"
    return page(request, template, found=found, compared=compared)


@router.get("/static/{version}/{name:path}")
def show_asset(version: str, name: str) -> Response:
    """Return a file that pages ask for; its address changes with its content."""
    found = assets().get(name)
    if found is None or found.version != version:
        raise Problem(404, "not-found", "there is no such file in this version")
    return Response(found.body, media_type=found.media_type, headers={"Cache-Control": _FOREVER})


def asked(request: Request, model: type[Model], sent: Mapping[str, str] | None = None) -> Model:
    """Return the parameters of a list as its page was asked for; what it does not know is not for it.

    Parameters
    ----------
    sent
        What was asked for; without it, the query.

    Raises
    ------
    RequestValidationError
        If one of them cannot be used.
    """
    query = request.query_params if sent is None else sent
    given = {name: value for name, value in query.items() if name in model.model_fields}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = [{**item, "loc": ("query", *item["loc"])} for item in error.errors()]
        raise RequestValidationError(found) from None


def _count_projects(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Project)) or 0


_PAGES = {
    HitKind.CREDIT: "/credits/{id}",
    HitKind.BATCH: "/credits/{id}",
    HitKind.RETIREMENT: "/retirements/{id}",
    HitKind.PROJECT: "/projects/{id}",
    HitKind.SITE: "/sites/{id}",
    HitKind.PLANT: "/plants/{id}",
    HitKind.SETTLEMENT: "/settlements/{id}",
    HitKind.TRANSACTION: "/transactions/{id}",
    HitKind.HOLDER: "/holders/{id}",
    HitKind.CONTRACT: "/operations#contracts",
}


def _page_of_hit(hit: Hit) -> str:
    """Return the page of a result; where there is none, its answer in the API."""
    if hit.kind in (HitKind.CREDIT, HitKind.BATCH) and unreachable(hit.id) is not None:
        return "/credits/" + hit.link.rpartition("/" if hit.kind is HitKind.CREDIT else "=")[2]
    form = _PAGES.get(hit.kind)
    if form is not None:
        return form.format(id=quote(hit.id, safe=""))
    if hit.kind is HitKind.DEVICE:
        return hit.link.replace("/v1/sites/", "/sites/") + "#meters"
    return hit.link
