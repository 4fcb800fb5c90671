"""The pages of those who have signed in: sessions, API keys, audit log, webhooks, users.

They call the functions of the API's routes, with the same checks and the same entries in the audit log.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.access import Asking, Caller, drop_cookie, needs
from api.audit.endpoints import list_entries
from api.audit.schemas import AuditParameters
from api.context import Context, ReadContext
from api.errors import Problem, problem_of
from api.keys.endpoints import KeyId, list_keys, make_key, revoke_key
from api.keys.schemas import KeyParameters, MadeKey, NewKey
from api.once import once_of_form
from api.pages.endpoints import Model, asked
from api.pages.forms import ONCE, SentForm, form_needs
from api.pages.rendering import page
from api.pages.signing import PRIVATE
from api.sessions.endpoints import SessionId, end_session, list_sessions
from api.users.endpoints import UserId, change_own_password, change_user, list_users
from api.users.schemas import OwnPassword, UserChange, UserParameters
from api.webhooks.endpoints import EndpointId, list_deliveries, list_endpoints, show_endpoint
from api.webhooks.schemas import DeliveryParameters, EndpointParameters
from ledger.errors import BadInput
from ledger.identity import passwords
from ledger.identity.attempts import TooManyAttempts
from ledger.identity.keys import DAYS, DAYS_MAX
from ledger.identity.rights import SCOPES
from ledger.identity.signing_in import WrongCredentials

router = APIRouter(include_in_schema=False)
_ROOMS = (
    ("/account", "sessions", "sessions:read"),
    ("/account/keys", "keys", "keys:read"),
    ("/account/alerts", "alerts", "park:read"),
    ("/account/webhooks", "webhooks", "webhooks:read"),
    ("/account/audit", "audit", "audit:read"),
    ("/account/users", "users", "users:read"),
)
"""Pages, their names, and the rights that they need."""


@router.get("/account", dependencies=[needs("sessions:read")])
@router.get("/account/password", dependencies=[needs("sessions:read")])
def show_sessions(request: Request, context: ReadContext, asking: Asking) -> HTMLResponse:
    """Show who one is, what one may do, and one's sessions.

    By its second address it is found again, in another language too, after the answer to the form for a password.
    """
    return _sessions(request, context, asking)


@router.post("/account/password", dependencies=[form_needs("sessions:write")])
def change_password(
    request: Request, context: ReadContext, form: SentForm, asking: Asking
) -> Response:
    """Change one's own password, which ends all of one's sessions; what is wrong is said beside the form."""
    current, password = form.one("current"), form.one("password")
    try:
        if form.one("again") != password:
            raise BadInput("the new password is not the same in both fields; write it twice alike")
        passwords.check_new(password)  # in words of its own, which stand beside the form
        given = {"current_password": current, "password": password}
        change_own_password(context, checked(OwnPassword, given), asking)
    except (BadInput, WrongCredentials, TooManyAttempts) as error:
        if not asking.may("sessions:read"):  # which the page of the form shows
            raise
        return _sessions(request, context, asking, problem_of(error))
    response = to_room("/sign-in")
    drop_cookie(request, response)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@router.post("/account/sessions/{session_id}/end", dependencies=[form_needs("sessions:write")])
def end(request: Request, context: ReadContext, session_id: SessionId, asking: Asking) -> Response:
    """End a session of one's own."""
    response = to_room("/account")
    end_session(request, context, session_id, asking, response)
    return response


@router.get("/account/keys", dependencies=[needs("keys:read")])
def show_keys(request: Request, context: ReadContext, asking: Asking) -> HTMLResponse:
    """Show one's API keys, and the form to make one."""
    parameters = asked(request, KeyParameters)
    found = list_keys(context, parameters, asking, Response())
    return _keys(request, asking, found=found, made=None)


@router.post("/account/keys", dependencies=[form_needs("keys:write")])
def make(request: Request, context: ReadContext, form: SentForm, asking: Asking) -> HTMLResponse:
    """Make an API key and show it, this once. The page loaded anew asks for no second one."""
    given = {
        "name": form.one("name"),
        "scopes": form.fields().get("scopes", []),
        "days": _number(form.one("days")),
    }
    once = once_of_form(request, context, form.one(ONCE), form.body)
    answer = make_key(checked(NewKey, given), asking, once)
    made = MadeKey.model_validate(json.loads(bytes(answer.body)))
    found = list_keys(context, KeyParameters.model_validate({}), asking, Response())
    return _keys(request, asking, found=found, made=made)


@router.post("/account/keys/{key_id}/revoke", dependencies=[form_needs("keys:revoke")])
def revoke(context: ReadContext, key_id: KeyId, asking: Asking) -> Response:
    """Revoke an API key."""
    revoke_key(context, key_id, asking)
    return to_room("/account/keys")


@router.get("/account/audit", dependencies=[needs("audit:read")])
def show_audit(request: Request, context: ReadContext, asking: Asking) -> HTMLResponse:
    """Show who changed what."""
    filled = {name: value for name, value in request.query_params.items() if value}
    parameters = asked(request, AuditParameters, filled)
    found = list_entries(context, parameters, Response())
    return room(request, asking, "audit", found=found, parameters=parameters)


@router.get("/account/webhooks", dependencies=[needs("webhooks:read")])
def show_webhooks(request: Request, context: ReadContext, asking: Asking) -> HTMLResponse:
    """Show who is told of events."""
    found = list_endpoints(context, asked(request, EndpointParameters), Response())
    return room(request, asking, "webhooks", found=found)


@router.get("/account/webhooks/{endpoint_id}", dependencies=[needs("webhooks:read")])
def show_webhook(
    request: Request, context: ReadContext, endpoint_id: EndpointId, asking: Asking
) -> HTMLResponse:
    """Show one endpoint, and what it was sent."""
    found = show_endpoint(context, endpoint_id)
    parameters = asked(request, DeliveryParameters)
    sent = list_deliveries(context, endpoint_id, parameters, Response())
    return room(request, asking, "webhook", found=found, sent=sent)


@router.get("/account/users", dependencies=[needs("users:read")])
def show_users(request: Request, context: ReadContext, asking: Asking) -> HTMLResponse:
    """Show who may sign in."""
    found = list_users(context, asked(request, UserParameters), Response())
    return room(request, asking, "users", found=found)


@router.post("/account/users/{user_id}/state", dependencies=[form_needs("users:write")])
def change_state(context: ReadContext, user_id: UserId, form: SentForm, asking: Asking) -> Response:
    """Disable a user, who is signed out everywhere; or enable one."""
    given = {"is_active": _truth(form.one("is_active"))}
    change_user(context, user_id, checked(UserChange, given), asking)
    return to_room("/account/users")


def _sessions(
    request: Request, context: Context, asking: Caller, problem: Problem | None = None
) -> HTMLResponse:
    found = list_sessions(context, asking)
    if problem is None:
        return room(request, asking, "account", found=found, problem=None)
    shown = room(request, asking, "account", found=found, problem=problem, status=problem.status)
    shown.headers.update(problem.headers)
    return shown


def _keys(request: Request, asking: Caller, **shown: Any) -> HTMLResponse:
    scopes = [name for name in SCOPES if asking.may(name)]
    return room(
        request,
        asking,
        "keys",
        scopes=scopes,
        days=DAYS,
        days_max=DAYS_MAX,
        once=uuid.uuid4().hex,
        **shown,
    )


def room(request: Request, asking: Caller, template: str, **shown: Any) -> HTMLResponse:
    """Return a page for those who have signed in, with the way to the others that one may see."""
    rooms = [(place, name) for place, name, right in _ROOMS if asking.may(right)]
    return page(request, template, headers=PRIVATE, asking=asking, rooms=rooms, **shown)


def to_room(place: str) -> RedirectResponse:
    """Return the way to one of these pages after a form was done."""
    return RedirectResponse(place, status_code=303, headers=PRIVATE)


def _number(text: str) -> int | str:
    """Return a number of a form, which sends text; what is none is left to the check."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else text


def _truth(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text, text)


def checked(model: type[Model], given: dict[str, Any]) -> Model:
    """Return what a form says, as the API takes it.

    Raises
    ------
    RequestValidationError
        If a field of it cannot be used.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = [{**item, "loc": ("form", *item["loc"])} for item in error.errors()]
        raise RequestValidationError(found) from None
