"""``/v1/projects``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.context import ReadContext
from api.energy.queries import waits_for_time
from api.errors import responses
from api.projects import queries
from api.projects.schemas import OneProjectParameters, ProjectAnswer, ProjectPage, ProjectParameters

router = APIRouter(tags=["projects"])


@router.get("/v1/projects", responses=responses(422, 503), summary="List projects")
def list_projects(
    context: ReadContext, parameters: Annotated[ProjectParameters, Query()], response: Response
) -> ProjectPage:
    """Projects, page by page."""
    return context.listed("/v1/projects", parameters, response, queries.list_projects)


@router.get(
    "/v1/projects/{code}",
    responses=responses(404, 422, 503),
    summary="Show a project",
)
def show_project(
    context: ReadContext,
    code: Annotated[str, Path(max_length=50, description="Code of the project.")],
    parameters: Annotated[OneProjectParameters, Query()],
    response: Response,
) -> ProjectAnswer:
    """One project: its credits, its issuances, and what each legal month brought."""
    with context.reading() as (session, view):
        found = queries.show_project(session, view, code, parameters.as_of_block)
        if waits_for_time(session, found.site):
            response.headers["Cache-Control"] = "no-cache"  # nor is it kept here
    return found
