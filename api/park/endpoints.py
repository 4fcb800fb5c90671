"""A list and an item for each kind of record; alerts that are handled; the data of devices."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy.orm import Session

from api.access import Asking, needs
from api.bodies import JsonRoute
from api.context import ReadContext, no_query
from api.errors import responses
from api.metrics.text import MEDIA_TYPE, park_text
from api.once import Answer, OneTime, created
from api.pagination import link_header
from api.park import newest, queries
from api.park.alerts import open_alerts
from api.park.schemas import (
    SCHEMAS,
    DataParameters,
    Handled,
    LatestValues,
    NewestPage,
    NewestParameters,
    ValuePage,
    length_of,
)
from ledger.clock import utc_now
from ledger.park import KINDS, Kind, handling

router = APIRouter(route_class=JsonRoute, tags=["park"])


def _place(kind: Kind) -> Any:
    """Return how a path names a record of a kind that has a code."""
    length = length_of(kind.field(kind.code or "").column)
    return Path(min_length=1, max_length=length, description="Its code.")


Number = Annotated[int, Path(ge=1, lt=2**63, description="Row number.")]
AlertNumber = Annotated[int, Path(ge=1, lt=2**31, description="Row number of the alert.")]

Code = Annotated[str, _place(KINDS["devices"])]

_READ = [needs("park:read")]
_HANDLE = [needs("alerts:write"), Depends(no_query)]


@router.get(
    "/v1/devices/{code}/latest",
    dependencies=[*_READ, Depends(no_query)],
    responses=responses(401, 403, 404, 422, 503),
    summary="Show the last values of a device",
)
def show_latest(context: ReadContext, code: Code) -> LatestValues:
    """Show the last value of each metric within the day before the device's last value, live or archived."""
    return newest.latest(context.database, code)


@router.get(
    "/v1/newest-values",
    dependencies=_READ,
    responses=responses(401, 403, 422, 503),
    summary="Show the last values of all devices",
)
def show_newest(
    context: ReadContext, parameters: Annotated[NewestParameters, Query()], response: Response
) -> NewestPage:
    """Show what each device reported last, live or archived, page by page of devices."""
    page = newest.newest(context.database, parameters)
    response.headers["Link"] = link_header("/v1/newest-values", parameters, page.next_cursor)
    return page


@router.get(
    "/v1/devices/{code}/data",
    dependencies=_READ,
    responses=responses(401, 403, 404, 422, 503),
    summary="List the values of a device",
)
def list_data(
    context: ReadContext,
    code: Code,
    parameters: Annotated[DataParameters, Query()],
    response: Response,
) -> ValuePage:
    """Values of a device as received, page by page, in order of time."""
    page = queries.device_data(context.database, code, parameters)
    path = f"/v1/devices/{quote(code, safe='')}/data"
    response.headers["Link"] = link_header(path, parameters, page.next_cursor)
    return page


@router.get(
    "/v1/park/metrics",
    dependencies=[*_READ, Depends(no_query)],
    response_class=Response,
    responses={
        200: {
            "description": "Figures in the text format of Prometheus.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **responses(401, 403, 422, 503),
    },
    summary="Figures of the park for Prometheus",
)
def show_metrics(context: ReadContext) -> Response:
    """How many alerts are open, by severity and state, for Prometheus: `/metrics` is everybody's, and has none."""
    with context.database.read() as session:
        text = park_text(open_alerts(session).items())
    return Response(text, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


@router.post(
    "/v1/alerts/{number}/acknowledgement",
    status_code=201,
    dependencies=_HANDLE,
    response_model=None,
    responses={
        **created(SCHEMAS["alerts"].item, "The alert."),
        **responses(401, 403, 404, 409, 422, 503),
    },
    summary="Acknowledge an alert",
)
def acknowledge(number: AlertNumber, body: Handled, asking: Asking, once: OneTime) -> Response:
    """Say that an alert was seen; it stays until its values return, or somebody resolves it."""
    return _handled(handling.acknowledge, number, body, asking, once)


@router.post(
    "/v1/alerts/{number}/resolution",
    status_code=201,
    dependencies=_HANDLE,
    response_model=None,
    responses={
        **created(SCHEMAS["alerts"].item, "The alert."),
        **responses(401, 403, 404, 409, 422, 503),
    },
    summary="Resolve an alert",
)
def resolve(number: AlertNumber, body: Handled, asking: Asking, once: OneTime) -> Response:
    """Say that an alert is done with, and why; while its values do not return it is not raised again."""
    return _handled(handling.resolve, number, body, asking, once)


def _handled(
    act: Callable[..., Any], number: int, body: Handled, asking: Asking, once: OneTime
) -> Response:
    def work(session: Session, _: None) -> Answer:
        act(session, number, body.note, asking.user.username, utc_now(), asking.by)
        session.flush()
        return Answer(201, queries.show_record(session, KINDS["alerts"], str(number)))

    return once.run(work, lambda: None)


def _lists(kind: Kind) -> Callable[..., Any]:
    """Return the handler of a kind's list."""
    schemas, path = SCHEMAS[kind.name], f"/v1/{kind.name}"

    def list_records(context: ReadContext, parameters: Any, response: Response) -> Any:
        with context.database.read() as session:
            page = queries.list_records(session, kind, parameters)
        response.headers["Link"] = link_header(path, parameters, page.next_cursor)
        return page

    return _signed(list_records, parameters=Annotated[schemas.parameters, Query()])


def _shows(kind: Kind, name: str) -> Callable[..., Any]:
    """Return the handler of one record of a kind; ``name`` is what its path calls it by."""

    def show_record(context: ReadContext, **named: Any) -> Any:
        with context.database.read() as session:
            return queries.show_record(session, kind, str(named[name]))

    code = Number if kind.code is None else Annotated[str, _place(kind)]
    return _signed(show_record, **{name: code})


def _signed(handler: Callable[..., Any], **named: Any) -> Callable[..., Any]:
    """Return a handler with the annotations of its parameters, which are made and not written."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    known: dict[str, Any] = {"context": ReadContext, "response": Response, **named}
    names = [name for name in inspect.signature(handler).parameters if name != "named"]
    parameters = [
        inspect.Parameter(name, keyword, annotation=known[name])
        for name in {**dict.fromkeys(names), **named}
    ]
    handler.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return handler


def _add(kind: Kind) -> None:
    schemas = SCHEMAS[kind.name]
    name = "code" if kind.code is not None else "number"
    many = kind.name.replace("-", " ")
    router.add_api_route(
        f"/v1/{kind.name}",
        _lists(kind),
        response_model=schemas.page,
        dependencies=[needs(kind.right)],
        responses=responses(401, 403, 422, 503),
        summary=f"List {many}",
        description=f"{kind.what} Page by page.",
    )
    router.add_api_route(
        f"/v1/{kind.name}/{{{name}}}",
        _shows(kind, name),
        response_model=schemas.item,
        dependencies=[needs(kind.right), Depends(no_query)],
        responses=responses(401, 403, 404, 422, 503),
        summary=f"Show one of {many}",
        description=kind.what,
    )


for _kind in KINDS.values():
    _add(_kind)
