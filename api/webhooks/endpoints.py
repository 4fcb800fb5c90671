"""``/v1/webhooks``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.access import Asking, Caller, forbidden, needs
from api.bodies import JsonRoute
from api.context import ReadContext, no_body, no_query
from api.errors import responses
from api.once import Answer, OneTime, created
from api.pagination import link_header, page_of, paged
from api.webhooks.schemas import (
    Delivery,
    DeliveryPage,
    DeliveryParameters,
    Endpoint,
    EndpointChange,
    EndpointPage,
    EndpointParameters,
    MadeEndpoint,
    NewEndpoint,
    NewSecret,
    Replay,
    Replayed,
)
from ledger.clock import utc_now
from ledger.models import WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry
from ledger.models.webhooks import EndpointState
from ledger.sealing import Sealer, load_sealer
from ledger.webhooks import endpoints, outbox
from ledger.webhooks.log import deliveries
from ledger.webhooks.telling import wants_alerts

router = APIRouter(route_class=JsonRoute, tags=["webhooks"])

_READ = [needs("webhooks:read")]
_WRITE = [needs("webhooks:write"), Depends(no_query)]

EndpointId = Annotated[int, Path(ge=1, lt=2**31, description="Row number of the endpoint.")]


@router.get(
    "/v1/webhooks",
    dependencies=_READ,
    responses=responses(401, 403, 422, 503),
    summary="List webhook endpoints",
)
def list_endpoints(
    context: ReadContext, parameters: Annotated[EndpointParameters, Query()], response: Response
) -> EndpointPage:
    """Who is told of events, page by page; those that were removed only when asked for."""
    query = select(WebhookEndpoint)
    if parameters.state is None:
        query = query.where(WebhookEndpoint.state != EndpointState.REMOVED)
    else:
        query = query.where(WebhookEndpoint.state == parameters.state)
    with context.database.read() as session:
        found = session.scalars(paged(query, parameters, WebhookEndpoint.id)).all()
    page = page_of(parameters, found, [row.id for row in found])
    response.headers["Link"] = link_header("/v1/webhooks", parameters, page.next_cursor)
    return EndpointPage(
        items=[Endpoint(**_fields(row)) for row in page.rows], next_cursor=page.next_cursor
    )


@router.post(
    "/v1/webhooks",
    status_code=201,
    dependencies=_WRITE,
    response_model=None,
    responses={
        **created(MadeEndpoint, "The endpoint, with its secret, shown this once."),
        **responses(401, 403, 409, 422, 503),
    },
    summary="Add a webhook endpoint",
)
def add_endpoint(
    context: ReadContext, body: NewEndpoint, asking: Asking, once: OneTime
) -> Response:
    """Have an address told of what is final on chain, and of alerts of devices."""
    settings = context.settings
    _check_rights(asking, body.event_types)

    def work(session: Session, sealer: Sealer) -> Answer:
        secret, row = endpoints.add(
            session,
            sealer,
            body.url,
            body.event_types,
            body.description,
            asking.by,
            private=settings.webhook_private_targets,
            from_block=body.from_block,
        )
        made = MadeEndpoint(**_fields(row), secret=secret)
        return Answer(201, made, {"Location": f"/v1/webhooks/{row.id}"})

    return once.run(work, lambda: load_sealer(settings.sealing_key_file, make=True))


@router.get(
    "/v1/webhooks/{endpoint_id}",
    dependencies=[*_READ, Depends(no_query)],
    responses=responses(401, 403, 404, 422, 503),
    summary="Show a webhook endpoint",
)
def show_endpoint(context: ReadContext, endpoint_id: EndpointId) -> Endpoint:
    """One endpoint."""
    with context.database.read() as session:
        return Endpoint(**_fields(endpoints.shown(session, endpoint_id)))


@router.patch(
    "/v1/webhooks/{endpoint_id}",
    dependencies=_WRITE,
    responses=responses(401, 403, 404, 422, 503),
    summary="Change a webhook endpoint",
)
def change_endpoint(
    context: ReadContext, endpoint_id: EndpointId, body: EndpointChange, asking: Asking
) -> Endpoint:
    """Change address, events or description; pause it, or let it go on."""

    def work(session: Session) -> Endpoint:
        row = endpoints.get(session, endpoint_id)
        _check_rights(asking, (*row.event_types, *(body.event_types or ())))
        # What it was told before may be due still, or be asked for again.
        if body.url is not None and not asking.may("park:read") and outbox.has_alerts(session, row):
            raise forbidden("park:read", asking)
        endpoints.change(
            session,
            row,
            asking.by,
            private=context.settings.webhook_private_targets,
            url=body.url,
            events=body.event_types,
            description=body.description,
            state=EndpointState(body.state) if body.state is not None else None,
        )
        return Endpoint(**_fields(row))

    return context.database.run(work)


@router.delete(
    "/v1/webhooks/{endpoint_id}",
    status_code=204,
    dependencies=_WRITE,
    responses=responses(401, 403, 404, 422, 503),
    summary="Remove a webhook endpoint",
)
def remove_endpoint(context: ReadContext, endpoint_id: EndpointId, asking: Asking) -> None:
    """End an endpoint for good; the log of its deliveries stays."""
    context.database.run(
        lambda session: endpoints.remove(session, endpoints.get(session, endpoint_id), asking.by)
    )


@router.post(
    "/v1/webhooks/{endpoint_id}/secret",
    status_code=201,
    dependencies=[*_WRITE, Depends(no_body)],
    response_model=None,
    responses={
        **created(NewSecret, "The secret, shown this once."),
        **responses(401, 403, 404, 409, 422, 503),
    },
    summary="Give a webhook endpoint another secret",
)
def rotate_secret(
    context: ReadContext, endpoint_id: EndpointId, asking: Asking, once: OneTime
) -> Response:
    """Give an endpoint another secret; the former one signs as well for a day."""

    def work(session: Session, sealer: Sealer) -> Answer:
        row = endpoints.get(session, endpoint_id)
        secret = endpoints.rotate(session, sealer, row, asking.by, utc_now())
        assert row.former_until is not None
        return Answer(201, NewSecret(secret=secret, former_until=row.former_until))

    return once.run(work, lambda: load_sealer(context.settings.sealing_key_file))


@router.get(
    "/v1/webhooks/{endpoint_id}/deliveries",
    dependencies=_READ,
    responses=responses(401, 403, 404, 422, 503),
    summary="List the deliveries of a webhook endpoint",
)
def list_deliveries(
    context: ReadContext,
    endpoint_id: EndpointId,
    parameters: Annotated[DeliveryParameters, Query()],
    response: Response,
) -> DeliveryPage:
    """Show what an endpoint was sent, and what it answered last, page by page."""
    query = deliveries(endpoint_id, ordered=False, state=parameters.state)
    with context.database.read() as session:
        endpoints.shown(session, endpoint_id)
        found = session.execute(paged(query, parameters, WebhookDelivery.id)).all()
    page = page_of(parameters, found, [row.id for row, _, _ in found])
    path = f"/v1/webhooks/{endpoint_id}/deliveries"
    response.headers["Link"] = link_header(path, parameters, page.next_cursor)
    return DeliveryPage(items=[_delivery(*row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/v1/webhooks/{endpoint_id}/replays",
    status_code=201,
    dependencies=_WRITE,
    response_model=None,
    responses={
        **created(Replayed, "How many messages are due again."),
        **responses(401, 403, 404, 409, 422, 503),
    },
    summary="Send an endpoint messages again",
)
def replay(endpoint_id: EndpointId, body: Replay, asking: Asking, once: OneTime) -> Response:
    """Make messages due again: some, all that failed, or everything from a block on."""

    def work(session: Session, _: None) -> Answer:
        row = endpoints.get(session, endpoint_id)
        if body.from_block is not None:
            count = outbox.tell_from(session, row, body.from_block, asking.by, utc_now())
        else:
            which: dict[str, Any] = {
                "message_ids": body.message_ids or (),
                "failed": bool(body.failed),
            }
            if not asking.may("park:read") and outbox.has_alerts(session, row, **which):
                raise forbidden("park:read", asking)
            count = outbox.again(session, row, asking.by, utc_now(), **which)
        return Answer(201, Replayed(due=count))

    return once.run(work, lambda: None)


def _fields(row: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": row.id,
        "url": row.url,
        "description": row.description,
        "event_types": list(row.event_types),
        "state": row.state,
        "reason": row.reason,
        "told_block": row.told_block,
        "heard_at": row.heard_at,
        "created_at": row.created_at,
    }


def _delivery(row: WebhookDelivery, message: WebhookMessage, last: WebhookTry | None) -> Delivery:
    return Delivery(
        id=row.id,
        message_id=message.message_id,
        event_type=message.event_type,
        tx_hash=message.tx_hash,
        block_number=message.block_number,
        state=row.state,
        tries=row.tries,
        due_at=row.due_at,
        delivered_at=row.delivered_at,
        last_try_at=last.at if last is not None else None,
        last_status=last.http_status if last is not None else None,
        last_error=last.error if last is not None else None,
    )


def _check_rights(asking: Caller, patterns: Iterable[str]) -> None:
    """Refuse to have alerts told by somebody who may not see them.

    Raises
    ------
    Problem
        403 when they lack the right.
    """
    if wants_alerts(patterns) and not asking.may("park:read"):
        raise forbidden("park:read", asking)
