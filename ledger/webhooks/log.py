"""What endpoints were sent, and what of it a person should look at: the queries that command line and API share."""

from __future__ import annotations

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, aliased

from ledger.models import WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry
from ledger.models.webhooks import DeliveryState, EndpointState
from ledger.units import counted

IN_VAIN = 5
"""Tries of one message in vain after which a person should look: 36 minutes after the first, by the waits between."""


def deliveries(
    endpoint_id: int,
    *,
    not_taken: bool = False,
    ordered: bool = True,
    state: DeliveryState | None = None,
) -> Select[WebhookDelivery, WebhookMessage, WebhookTry]:
    """Return the query of an endpoint's deliveries: each with its message and its last try, the latest first.

    Parameters
    ----------
    not_taken
        Only those that it has not taken.
    ordered
        Whether in that order; a caller may have its own, by the number of the delivery.
    state
        Only those in this state.
    """
    one = aliased(WebhookTry)
    last = (
        select(func.max(one.id))
        .where(one.delivery_id == WebhookDelivery.id)
        .correlate(WebhookDelivery)
        .scalar_subquery()
    )
    # A page lies together in the table: by its index of endpoints, or of states, SQLite sorts all of one's deliveries.
    # Those that are not taken are few, and are found by the index of states.
    few = (DeliveryState.PENDING, DeliveryState.FAILED)
    of_endpoint = WebhookDelivery.endpoint_id if state in few else WebhookDelivery.endpoint_id + 0
    query = (
        select(WebhookDelivery, WebhookMessage, WebhookTry)
        .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_row)
        .outerjoin(
            WebhookTry, (WebhookTry.delivery_id == WebhookDelivery.id) & (WebhookTry.id == last)
        )
        .where(of_endpoint == endpoint_id)
    )
    if state is not None:
        alike = WebhookDelivery.state.not_in(few)
        query = query.where(WebhookDelivery.state == state if state in few else alike)
    if not_taken:
        query = query.where(WebhookDelivery.state != DeliveryState.DELIVERED)
    return query.order_by(WebhookDelivery.id.desc()) if ordered else query


def not_taken(session: Session) -> dict[int, int]:
    """Return how many messages each endpoint was sent in vain and has not taken since, by its row number."""
    query = (
        select(WebhookDelivery.endpoint_id, func.count())
        .where(
            WebhookDelivery.state.in_((DeliveryState.PENDING, DeliveryState.FAILED)),
            or_(WebhookDelivery.tries > 0, WebhookDelivery.state == DeliveryState.FAILED),
        )
        .group_by(WebhookDelivery.endpoint_id)
    )
    return {number: count for number, count in session.execute(query)}


def alarms(session: Session) -> list[str]:
    """Return a sentence for each endpoint that is told nothing any more, or does not take what it is told.

    One that a person has paused is none. Addresses may hold what is secret: the number stands for them.
    """
    endpoints = session.scalars(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.state.in_((EndpointState.ACTIVE, EndpointState.DISABLED)))
        .order_by(WebhookEndpoint.id)
    ).all()
    if not endpoints:
        return []
    failed = _counted(session, DeliveryState.FAILED, 0)
    waiting = _counted(session, DeliveryState.PENDING, IN_VAIN)
    found = []
    for row in endpoints:
        look = f"see `truetonne webhooks deliveries {row.id} --not-taken`"
        if row.state is EndpointState.DISABLED:
            found.append(
                f"webhook endpoint {row.id} is told nothing any more, since {row.reason}; when it answers again "
                f"`truetonne webhooks resume {row.id}`, else `truetonne webhooks remove {row.id}`"
            )
        elif row.id in failed:
            found.append(
                f"webhook endpoint {row.id} did not take {counted(failed[row.id], 'message')}, and nobody sends "
                f"{'it' if failed[row.id] == 1 else 'them'} again; "
                f"{look}, then `truetonne webhooks replay {row.id} --failed`"
            )
        elif row.id in waiting:
            heard = f"{row.heard_at:%Y-%m-%d %H:%M:%S} UTC" if row.heard_at else "never"
            found.append(
                f"webhook endpoint {row.id} did not take {counted(waiting[row.id], 'message')} in {IN_VAIN} tries or "
                f"more (the last that it took: {heard}); {look}; each is tried for three days"
            )
    return found


def _counted(session: Session, state: DeliveryState, tries: int) -> dict[int, int]:
    """Return how many deliveries of each endpoint stand so, and were tried so often at least."""
    query = (
        select(WebhookDelivery.endpoint_id, func.count())
        .where(WebhookDelivery.state == state, WebhookDelivery.tries >= tries)
        .group_by(WebhookDelivery.endpoint_id)
    )
    return {number: count for number, count in session.execute(query)}
