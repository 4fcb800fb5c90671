"""``/sign-in`` and ``/sign-out``: forms that need no script."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.access import COOKIE, Asking, check_same_site, cookie_name, keep_cookie, lifetime, public
from api.clients import address_of
from api.context import ReadContext
from api.errors import Problem, problem_of
from api.pages.forms import SentForm, check_stranger, form_needs, keep_stranger, stranger
from api.pages.rendering import page
from api.sessions.endpoints import end_session, room_to_sign_in
from ledger.audit import By
from ledger.clock import utc_now
from ledger.identity import sessions, signing_in
from ledger.identity.attempts import TooManyAttempts
from ledger.identity.signing_in import WrongCredentials
from ledger.models import User

router = APIRouter(include_in_schema=False)
HOME = "/account"
PRIVATE = {"Cache-Control": "no-store"}
_NEXT = re.compile(r"/account(/[a-z]+(/[0-9]{1,10})?)?", re.ASCII)
_OF_FORM = re.compile(r"(/account/(?:alerts/[0-9]{1,10}|keys|users|password))(/.*)?", re.ASCII)
UNDONE = "undone"
"""In the query of the page to sign in: it was led to from a form, of which nothing was done."""
_LENGTH_MAX = 200
"""Characters of a name or a password, as the API takes them."""


def next_place(text: str) -> str:
    """Return where a person goes who has signed in: a page for those who have, and no other place whatever."""
    return text if _NEXT.fullmatch(text) else HOME


def page_of_form(path: str) -> str:
    """Return the page that has the form which is sent to a path."""
    found = _OF_FORM.fullmatch(path)
    return found[1] if found else HOME


@router.get("/sign-in")
@public
def show_sign_in(request: Request) -> Response:
    """Show the form to sign in."""
    target = next_place(request.query_params.get("next", ""))
    return _form(request, target, undone=UNDONE in request.query_params)


@router.post("/sign-in")
@public
def sign_in(request: Request, context: ReadContext, form: SentForm) -> Response:
    """Begin a session, as ``POST /v1/sessions`` with a cookie does; what is wrong is said beside the form.

    Raises
    ------
    Problem
        If the form was not made for this browser.
    """
    username, password = form.one("username"), form.one("password")
    target = next_place(form.one("next"))
    check_same_site(request)
    check_stranger(request, form)
    address, agent = address_of(request), request.headers.get("User-Agent")
    try:
        if max(len(username), len(password)) > _LENGTH_MAX:
            raise WrongCredentials("the user name or the password is wrong")
        with room_to_sign_in(context):
            user = signing_in.check(context.database, username, password, address, utc_now())
            token = context.database.run(
                lambda session: _begin(session, context, request, user, agent, address)
            )
    except (WrongCredentials, TooManyAttempts) as error:
        return _form(request, target, username=username[:_LENGTH_MAX], problem=problem_of(error))
    response = RedirectResponse(target, status_code=303, headers=PRIVATE)
    keep_cookie(request, response, token)
    return response


@router.post("/sign-out", dependencies=[form_needs("sessions:write")])
def sign_out(request: Request, context: ReadContext, asking: Asking) -> Response:
    """End the session that asks, and have the browser forget what it kept."""
    response = RedirectResponse("/sign-in", status_code=303, headers=PRIVATE)
    end_session(request, context, "current", asking, response)  # takes the cookie, too
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _begin(
    session: Session,
    context: ReadContext,
    request: Request,
    user: User,
    agent: str | None,
    address: str | None,
) -> str:
    """Begin a session, in place of one that the browser still has."""
    held = sessions.find(session, request.cookies.get(cookie_name(request, COOKIE), ""), utc_now())
    if held is not None:
        row, owner = held
        sessions.end(session, owner.id, row.session_id, By(owner.id, address), utc_now())
    token, _ = signing_in.begin(
        session, user, agent, lifetime(context), By(user.id, address), utc_now()
    )
    return token


def _form(
    request: Request,
    target: str,
    *,
    username: str = "",
    problem: Problem | None = None,
    undone: bool = False,
) -> HTMLResponse:
    token, secret = stranger(request)
    shown: dict[str, Any] = {
        "target": target,
        "token": token,
        "username": username,
        "undone": undone,
    }
    status = problem.status if problem is not None else 200
    headers = {**PRIVATE, **(problem.headers if problem is not None else {})}
    response = page(request, "sign_in", status=status, headers=headers, problem=problem, **shown)
    if secret is not None:
        keep_stranger(request, response, secret)
    return response
