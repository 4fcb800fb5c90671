"""A problem as a page: what went wrong in the reader's language, with the status that the API has for it."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.errors import Problem
from api.pages.language import wishes_of
from api.pages.rendering import page
from api.pages.signing import UNDONE, next_place, page_of_form

_NO_PAGES = ("/v1/", "/static/", "/openapi.json", "/livez", "/readyz", "/metrics")
"""Where programs ask: they get the problem as a document, whatever they say that they accept."""
_ROOMS = ("/account", "/sign-out")
"""Pages for those who have signed in: a person who has not is shown the way."""
_NOT_WANTED = re.compile(r"q=0(\.0*)?", re.ASCII)


def wants_page(accept: str) -> bool:
    """Return whether an ``Accept`` header names pages, and not as what is not wanted (RFC 9110, 12.4.2)."""
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_type == "text/html":
            return not any(_NOT_WANTED.fullmatch(text) for text in parameters)
    return False


def problem_page(request: Request, problem: Problem) -> Response | None:
    """Return the page of a problem, or None for a program that wants the document."""
    path = request.url.path
    if not wants_page(request.headers.get("accept", "")) or path.startswith(_NO_PAGES):
        return None
    sent = request.method == "POST"
    if problem.code == "not-signed-in" and path.startswith(_ROOMS):
        headers = {"Cache-Control": "no-store", "Vary": "Cookie"}
        response = RedirectResponse(_to_sign_in(path, sent), status_code=303, headers=headers)
        wishes_of(request).remember(request, response)
        return response
    headers = {"Cache-Control": "no-store", **problem.headers}
    return page(
        request,
        "problem",
        status=problem.status,
        headers=headers,
        problem=problem,
        sent=sent,
        form=page_of_form(path) if sent and path.startswith("/account") else None,
        request_id=str(request.scope.get("state", {}).get("request_id", "")),
        credits=[str(name) for name in problem.extensions.get("credits", [])][:50],
    )


def _to_sign_in(path: str, sent: bool) -> str:
    """Return the way to sign in, and from there back; who sent a form hears that nothing of it was done."""
    if not sent:
        return f"/sign-in?{urlencode({'next': next_place(path)})}"
    if not path.startswith("/account"):  # who signs out is out
        return "/sign-in"
    return f"/sign-in?{urlencode({'next': page_of_form(path), UNDONE: 1})}"
