"""From final events, and alerts of devices, to deliveries, each once; and again where somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from ledger import audit
from ledger.audit import By
from ledger.db import Database
from ledger.db.counting import rows_found
from ledger.errors import NotFound
from ledger.models import (
    ChainBlock,
    ChainCursor,
    ChainEvent,
    SmartContract,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
)
from ledger.models.webhooks import DeliveryState, EndpointState
from ledger.webhooks import alerts, telling
from ledger.webhooks.endpoints import require_mirrored

EVENTS_AT_ONCE = 500
"""Events that become deliveries in one commit; all of a block's belong together."""
_OF_MESSAGE = WebhookMessage.id == WebhookDelivery.message_row


def collect(db: Database, at: datetime) -> int:
    """Make deliveries of what became final, and of alerts that came and went, since each endpoint was last told.

    Returns how many; only active endpoints are told.

    Parameters
    ----------
    at
        Time of day, aware: the deliveries are due then.
    """
    with db.read() as session:
        active = select(WebhookEndpoint.id).where(WebhookEndpoint.state == EndpointState.ACTIVE)
        endpoints = session.scalars(active.order_by(WebhookEndpoint.id)).all()
    made = 0
    for endpoint in endpoints:
        for step in (_collect, _collect_alerts):
            more = True
            while more:
                count, more = db.run(partial(step, endpoint_id=endpoint, at=at))
                made += count
    return made


def _collect(session: Session, endpoint_id: int, at: datetime) -> tuple[int, bool]:
    endpoint = session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
    cursor = session.scalars(select(ChainCursor)).first()
    if endpoint is None or endpoint.state is not EndpointState.ACTIVE or cursor is None:
        return 0, False
    final: Any = cursor.final_number
    if not isinstance(
        final, int
    ):  # another program's, on SQLite: the mirror stands still and says so
        return 0, False
    last = _last_block(session, endpoint.told_block, final)
    if last is None:
        return 0, False
    contracts = contract_names(session)
    made = 0
    for event in session.scalars(_events(endpoint.told_block, last)).all():
        contract = contracts.get(event.contract_address)
        event_type = telling.type_of(contract, event) if contract is not None else None
        if contract is None or event_type is None:
            continue
        if not telling.wanted(endpoint.event_types, event_type):
            continue
        message = _message(session, event, event_type, cursor.chain_id, contract)
        made += _due(session, endpoint.id, message.id, at)
    endpoint.told_block = last
    session.flush()
    return made, last < final


def _collect_alerts(session: Session, endpoint_id: int, at: datetime) -> tuple[int, bool]:
    endpoint = session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
    if endpoint is None or endpoint.state is not EndpointState.ACTIVE:
        return 0, False
    told, more = alerts.changes(session, endpoint, at)
    made = 0
    for name, event_type, body in told:
        message = _known(session, name) or _new(session, name, event_type, body)
        made += _due(session, endpoint_id, message.id, at)
    return made, more


def again(
    session: Session,
    endpoint: WebhookEndpoint,
    by: By,
    at: datetime,
    *,
    message_ids: Sequence[str] = (),
    failed: bool = False,
) -> int:
    """Make deliveries of an endpoint due once more, however often they were tried; return how many.

    Parameters
    ----------
    message_ids
        These messages.
    failed
        All that failed.

    Raises
    ------
    NotFound
        If the endpoint was never sent one of the messages.
    """
    query = select(WebhookDelivery, WebhookMessage.message_id).join(WebhookMessage, _OF_MESSAGE)
    found = session.execute(query.where(*_chosen(endpoint, message_ids, failed))).all()
    missing = set(message_ids) - {message_id for _, message_id in found}
    if missing and not failed:
        raise NotFound(
            f"message {min(missing)[:60]!r} was never for endpoint {endpoint.id}; "
            f"`truetonne webhooks deliveries {endpoint.id}` shows which were",
            code="no-such-message",
        )
    for delivery, _ in found:
        delivery.state, delivery.tries, delivery.due_at = DeliveryState.PENDING, 0, at
    session.flush()
    what = {"failed": True} if failed else {"message_ids": sorted(message_ids)}
    audit.record(session, "webhooks.replay", f"webhook_endpoints/{endpoint.id}", {}, what, by)
    return len(found)


def has_alerts(
    session: Session,
    endpoint: WebhookEndpoint,
    *,
    message_ids: Sequence[str] = (),
    failed: bool = False,
) -> bool:
    """Return whether an endpoint was sent messages about alerts, among those that ``again`` would choose, or at all."""
    alert = WebhookMessage.event_type.in_((telling.ALERT_RAISED, telling.ALERT_CLEARED))
    query = select(WebhookDelivery.id).join(WebhookMessage, _OF_MESSAGE)
    chosen = query.where(alert, *_chosen(endpoint, message_ids, failed))
    return session.scalar(chosen.limit(1)) is not None


def _chosen(
    endpoint: WebhookEndpoint, message_ids: Sequence[str], failed: bool
) -> Iterator[ColumnElement[bool]]:
    yield WebhookDelivery.endpoint_id == endpoint.id
    if message_ids:
        yield WebhookMessage.message_id.in_(message_ids)
    if failed:
        yield WebhookDelivery.state == DeliveryState.FAILED


def tell_from(session: Session, endpoint: WebhookEndpoint, block: int, by: By, at: datetime) -> int:
    """Tell an endpoint everything from a block on, also what it took before; return how many are due at once.

    What it was never sent follows as the job collects it.

    Raises
    ------
    BadInput
        If the block is beyond those that the books have.
    """
    require_mirrored(session, block, "name one that they have")
    rows = select(WebhookMessage.id).where(WebhookMessage.block_number >= block).scalar_subquery()
    due = rows_found(
        session,
        update(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.message_row.in_(rows))
        .values(state=DeliveryState.PENDING, tries=0, due_at=at),
    )
    endpoint.told_block = min(endpoint.told_block, max(block - 1, 0))
    session.flush()
    what = {"from_block": block}
    audit.record(session, "webhooks.replay", f"webhook_endpoints/{endpoint.id}", {}, what, by)
    return due


def take_back(session: Session, above_block: int, final: int) -> None:
    """Have endpoints that were told beyond a block go on from the last final one: the books had gone too far.

    Somebody had altered the mirror's cursor, or a fork took final blocks back. Else they would be told nothing until
    the chain is there. What they were told, and is on chain still, is told no second time.
    """
    session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.told_block > above_block)
        .values(told_block=final)
        .execution_options(synchronize_session=False)
    )


def test(session: Session, endpoint: WebhookEndpoint, name: str, at: datetime) -> None:
    """Make a test message due at an endpoint.

    Parameters
    ----------
    name
        Its ``webhook-id``, a new one.
    """
    message = _new(session, name, telling.TEST, telling.test_body(at))
    _due(session, endpoint.id, message.id, at)


def contract_names(session: Session) -> dict[str, str]:
    """Return the name of the contract at each address of ours."""
    query = select(SmartContract.contract_address, SmartContract.contract_name)
    return {address: name.partition("@")[0] for address, name in session.execute(query)}


def _last_block(session: Session, told: int, final: int) -> int | None:
    """Return up to which block to go now: at least one block with events, and not too many; None: nothing is new."""
    if final <= told:
        return None
    query = (
        select(ChainEvent.block_number)
        .where(ChainEvent.block_number > told, ChainEvent.block_number <= final)
        .order_by(ChainEvent.block_number)
        .offset(EVENTS_AT_ONCE)
        .limit(1)
    )
    beyond = session.scalar(query)
    if beyond is None:
        return final
    first = session.scalar(
        select(func.min(ChainEvent.block_number)).where(ChainEvent.block_number > told)
    )
    assert first is not None
    return max(first, beyond - 1)


def _events(above: int, last: int) -> Select[ChainEvent]:
    return (
        select(ChainEvent)
        .where(ChainEvent.block_number > above, ChainEvent.block_number <= last)
        .order_by(ChainEvent.block_number, ChainEvent.log_index)
    )


def _message(
    session: Session, event: ChainEvent, event_type: str, chain_id: int, contract: str
) -> WebhookMessage:
    name = telling.message_id(chain_id, event.tx_hash, event.log_index)
    found = _known(session, name)
    if found is not None:
        return found
    moment = session.scalar(
        select(ChainBlock.block_time).where(ChainBlock.number == event.block_number)
    )
    assert moment is not None  # blocks with events of ours are kept
    body = telling.body_of(event_type, chain_id, contract, event, moment)
    return _new(session, name, event_type, body, event)


def _known(session: Session, name: str) -> WebhookMessage | None:
    query = select(WebhookMessage).where(WebhookMessage.message_id == name)
    return session.scalars(query).one_or_none()


def _new(
    session: Session, name: str, event_type: str, body: str, event: ChainEvent | None = None
) -> WebhookMessage:
    message = WebhookMessage(
        message_id=name,
        event_type=event_type,
        tx_hash=None if event is None else event.tx_hash,
        block_number=None if event is None else event.block_number,
        body=body,
    )
    session.add(message)
    session.flush()
    return message


def _due(session: Session, endpoint_id: int, message_row: int, at: datetime) -> int:
    """Make a delivery due, unless there is one; return how many were made."""
    there = session.scalar(
        select(WebhookDelivery.id).where(
            WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.message_row == message_row
        )
    )
    if there is not None:
        return 0
    session.add(
        WebhookDelivery(
            endpoint_id=endpoint_id,
            message_row=message_row,
            state=DeliveryState.PENDING,
            tries=0,
            due_at=at,
            delivered_at=None,
        )
    )
    session.flush()
    return 1
