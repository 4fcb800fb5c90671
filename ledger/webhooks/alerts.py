"""Alerts of devices as they are raised and cleared, told to each endpoint once.

An alert has no place in the chain, and may be opened again or withdrawn as data come in. So each endpoint has a row for
every alert that it was told of, with how it stood then; what differs from how alerts stand now is told, in the commit
that changes the row. An endpoint that is new, or goes on after a pause, is told what is open, and not what came and
went meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.models import Device, DeviceAlert, WebhookAlert, WebhookEndpoint
from ledger.models.devices import AlertStatus
from ledger.webhooks import telling

AT_ONCE = 500
"""Alerts that are told of in one commit."""
_OPEN = (AlertStatus.ACTIVE, AlertStatus.ACKNOWLEDGED)
_SAME = ("device_code", "alert_type", "metric")
"""What tells an alert from one that was withdrawn and had its number: SQLite gives the last one again."""

Told = tuple[str, str, str]
"""Name, type and body of a message."""


def changes(session: Session, endpoint: WebhookEndpoint, at: datetime) -> tuple[list[Told], bool]:
    """Note how alerts stand now for an endpoint; return what is to be told of it, and whether there is more.

    Parameters
    ----------
    endpoint
        An active one, locked.
    at
        Time of day, aware: when an alert that is gone was found to be.
    """
    if not telling.wants_alerts(endpoint.event_types):
        return [], False
    told: list[Told] = []
    for count, (row, event_type, data, moment) in enumerate(_differences(session, endpoint, at)):
        if count == AT_ONCE:
            return told, True
        row.times += 1
        row.is_open = event_type == telling.ALERT_RAISED
        if row.is_open:
            row.facts = data
        if telling.wanted(endpoint.event_types, event_type):
            name = telling.alert_message_id(data, row.times)
            told.append((name, event_type, telling.alert_body(event_type, data, moment)))
    session.flush()
    return told, False


def _differences(
    session: Session, endpoint: WebhookEndpoint, at: datetime
) -> Iterator[tuple[WebhookAlert, str, dict[str, Any], datetime]]:
    """Yield the row of each alert that stands otherwise than an endpoint was told, and what to tell of it, when."""
    query = (
        select(DeviceAlert, Device.device_id)
        .join(Device, Device.id == DeviceAlert.device_id)
        .where(DeviceAlert.status.in_(_OPEN))
    )
    found = session.execute(query.order_by(DeviceAlert.id))
    now = {alert.id: (alert, _facts(alert, code)) for alert, code in found}
    raised = session.scalars(
        select(WebhookAlert)
        .where(WebhookAlert.endpoint_id == endpoint.id, WebhookAlert.is_open)
        .order_by(WebhookAlert.alert_id)
    ).all()
    known = {row.alert_id: row for row in raised}
    for number, row in known.items():
        if number in now and _is_same(row.facts, now[number][1]):
            continue
        alert = session.get(DeviceAlert, number) if number not in now else None
        yield (row, telling.ALERT_CLEARED, *_cleared(row.facts, alert, at))
    for number, (alert, facts) in now.items():
        if number in known and _is_same(known[number].facts, facts):
            continue
        yield (
            _row(session, endpoint.id, number, facts),
            telling.ALERT_RAISED,
            facts,
            alert.triggered_at,
        )


def _row(session: Session, endpoint_id: int, alert_id: int, facts: dict[str, Any]) -> WebhookAlert:
    found = session.get(WebhookAlert, (endpoint_id, alert_id))
    if found is None:
        found = WebhookAlert(
            endpoint_id=endpoint_id, alert_id=alert_id, is_open=False, times=0, facts=facts
        )
        session.add(found)
    return found


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in _SAME)


def _facts(alert: DeviceAlert, code: str) -> dict[str, Any]:
    return {
        "alert": alert.id,
        "device_code": code,
        "alert_type": alert.alert_type,
        "severity": alert.severity.value,
        "message": alert.message,
        "metric": (alert.details or {}).get("metric"),
        "status": alert.status.value,
        "triggered_at": time_text(alert.triggered_at),
        "resolved_at": None,
    }


def _cleared(
    facts: dict[str, Any], alert: DeviceAlert | None, at: datetime
) -> tuple[dict[str, Any], datetime]:
    """Return what is told of an alert that is open no more, and since when: resolved, or withdrawn."""
    if alert is None or "withdrawn" in (alert.details or {}):
        return {**facts, "status": "withdrawn"}, at
    ended = alert.resolved_at or at
    began = time_text(alert.triggered_at)  # which a late value may have moved
    stand = {"message": alert.message, "severity": alert.severity.value, "triggered_at": began}
    resolved = {"status": alert.status.value, "resolved_at": time_text(ended)}
    return {**facts, **stand, **resolved}, ended
