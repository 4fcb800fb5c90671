"""The pages of alerts, for those who may see them: what is open about devices, and what a person says of it."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.access import Asking, needs
from api.context import ReadContext
from api.once import once_of_form
from api.pages.account import checked, room, to_room
from api.pages.endpoints import asked
from api.pages.forms import ONCE, SentForm, form_needs
from api.park import endpoints as park
from api.park.alerts import GRAVEST_FIRST, AlertParameters, list_alerts, open_alerts, show_alert
from api.park.endpoints import AlertNumber
from api.park.schemas import Handled
from ledger.models.devices import AlertStatus

router = APIRouter(include_in_schema=False)
_PLACE = "/account/alerts"


@router.get(_PLACE, dependencies=[needs("park:read")])
def show_alerts(request: Request, context: ReadContext, asking: Asking) -> HTMLResponse:
    """Show alerts, the open ones first."""
    filled = {name: value for name, value in request.query_params.items() if value}
    parameters = asked(request, AlertParameters, filled)
    with context.database.read() as session:
        found = list_alerts(session, parameters)
        counts = open_alerts(session)
    by_severity = {
        each: sum(count for (of, _), count in counts.items() if of is each)
        for each in GRAVEST_FIRST
    }
    return room(
        request,
        asking,
        "alerts",
        found=found,
        parameters=parameters,
        severities=by_severity,
        states=tuple(AlertStatus),
        filtered=bool(parameters.filters()),
    )


@router.get(f"{_PLACE}/{{number}}", dependencies=[needs("park:read")])
def show_one(
    request: Request, context: ReadContext, number: AlertNumber, asking: Asking
) -> HTMLResponse:
    """Show one alert, and the forms to say that it was seen, or is done with."""
    with context.database.read() as session:
        found = show_alert(session, number)
    # A form sent twice is done once; the two forms are two requests.
    once = {name: uuid.uuid4().hex for name in ("acknowledgement", "resolution")}
    return room(request, asking, "alert", found=found, once=once)


@router.post(f"{_PLACE}/{{number}}/acknowledgement", dependencies=[form_needs("alerts:write")])
def acknowledge(
    request: Request, context: ReadContext, number: AlertNumber, form: SentForm, asking: Asking
) -> Response:
    """Say that an alert was seen."""
    once = once_of_form(request, context, form.one(ONCE), form.body)
    park.acknowledge(number, checked(Handled, {"note": form.one("note")}), asking, once)
    return to_room(f"{_PLACE}/{number}")


@router.post(f"{_PLACE}/{{number}}/resolution", dependencies=[form_needs("alerts:write")])
def resolve(
    request: Request, context: ReadContext, number: AlertNumber, form: SentForm, asking: Asking
) -> Response:
    """Say that an alert is done with, and why."""
    once = once_of_form(request, context, form.one(ONCE), form.body)
    park.resolve(number, checked(Handled, {"note": form.one("note")}), asking, once)
    return to_room(f"{_PLACE}/{number}")
