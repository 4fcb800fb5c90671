"""The page of a retirement: its certificate, and what happened to the batch since."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.certificates.endpoints import pdf_path
from api.certificates.facts import facts_of
from api.context import ReadContext
from api.pages.endpoints import asked
from api.pages.rendering import page
from api.retirements.queries import list_retirements, show_retirement
from api.retirements.schemas import RetirementParameters
from ledger.models import CreditBatch, CreditRetirement, Project

router = APIRouter(include_in_schema=False)


@router.get("/retirements")
def show_all(request: Request, context: ReadContext) -> HTMLResponse:
    """Show all retirements, page by page."""
    parameters = asked(request, RetirementParameters)
    with context.reading() as (session, view):
        found = list_retirements(session, view, parameters)
    return page(request, "retirements", found=found)


@router.get("/retirements/{retirement_id}")
def show(request: Request, context: ReadContext, retirement_id: str) -> HTMLResponse:
    """Show one retirement; its certificate once it is final."""
    with context.reading() as (session, view):
        found = show_retirement(session, view, retirement_id)
        batch = session.get(CreditBatch, found.batch_id)
        under_key = session.scalar(
            select(func.count()).where(CreditRetirement.key == found.key)
        )  # one act may retire units of several batches, and another holder may use the same key
        facts = sha256 = None
        if found.final:
            from api.certificates.pdf import certificate_sha256

            facts = facts_of(session, view, context.settings, retirement_id)
            sha256 = certificate_sha256(facts)
        is_ours = facts is not None and _is_project(session, facts.site)
        return page(
            request,
            "retirement",
            is_ours=is_ours,
            found=found,
            batch=batch,
            under_key=under_key,
            facts=facts,
            pdf=pdf_path(found.retirement_id),
            sha256=sha256,
        )


def _is_project(session: Session, code: str) -> bool:
    """Return whether a project of these books has the code of a site on chain: others' have no page."""
    return session.scalars(select(Project.id).where(Project.code == code)).first() is not None
