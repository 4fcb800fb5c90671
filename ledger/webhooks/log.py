"""What endpoints were sent: the queries that command line and API share."""

from __future__ import annotations

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, aliased

from ledger.models import WebhookDelivery, WebhookMessage, WebhookTry
from ledger.models.webhooks import DeliveryState


def deliveries(
    endpoint_id: int, *, not_taken: bool = False, ordered: bool = True
) -> Select[WebhookDelivery, WebhookMessage, WebhookTry]:
    """Return the query of an endpoint's deliveries: each with its message and its last try, the latest first.

    Parameters
    ----------
    not_taken
        Only those that it has not taken.
    ordered
        Whether in that order; a caller may have its own.
    """
    one = aliased(WebhookTry)
    last = (
        select(func.max(one.id))
        .where(one.delivery_id == WebhookDelivery.id)
        .correlate(WebhookDelivery)
        .scalar_subquery()
    )
    query = (
        select(WebhookDelivery, WebhookMessage, WebhookTry)
        .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_row)
        .outerjoin(
            WebhookTry, (WebhookTry.delivery_id == WebhookDelivery.id) & (WebhookTry.id == last)
        )
        .where(WebhookDelivery.endpoint_id == endpoint_id)
    )
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
