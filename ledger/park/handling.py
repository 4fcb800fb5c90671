"""What a person says of an alert: seen, or done with. Each in the commit that tells the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.clock import time_text
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import DeviceAlert
from ledger.models.devices import AlertStatus
from ledger.park.alert_rules import RULE_TYPES
from ledger.park.standing import RETURNED

ACKNOWLEDGED, RESOLVED = "alerts.acknowledge", "alerts.resolve"
"""Names of these acts in the audit log."""
NOTE_MAX = 500


def acknowledge(
    session: Session, alert_id: int, note: str, who: str, at: datetime, by: audit.By = audit.HOUSE
) -> DeviceAlert:
    """Say that an alert was seen; it stays until its values return, or somebody resolves it.

    Parameters
    ----------
    note
        What is being done; may be empty.
    who
        Name of the user, or of what acts.
    at
        Time of day, aware.

    Raises
    ------
    NotFound
        If there is no such alert.
    Refused
        If it is not active.
    """
    alert = _locked(session, alert_id)
    if alert.status is not AlertStatus.ACTIVE:
        raise _refused(alert, "acknowledged")
    said = _said("acknowledged", who, at, note)
    return _changed(session, alert, AlertStatus.ACKNOWLEDGED, None, said, by)


def resolve(
    session: Session, alert_id: int, note: str, who: str, at: datetime, by: audit.By = audit.HOUSE
) -> DeviceAlert:
    """Say that an alert is done with; while its values do not return it is not raised again.

    Parameters
    ----------
    note
        Why; the others are those of ``acknowledge``.

    Raises
    ------
    BadInput
        If the note is empty.
    NotFound
        If there is no such alert.
    Refused
        If it is resolved already.
    """
    if not note.strip():
        raise BadInput("say in a note why the alert is done with")
    alert = _locked(session, alert_id)
    if alert.status is AlertStatus.RESOLVED:
        raise _refused(alert, "resolved")
    said = _said("resolved", who, at, note)
    if alert.alert_type in RULE_TYPES:
        alert.details = {**(alert.details or {}), RETURNED: None}
    return _changed(session, alert, AlertStatus.RESOLVED, max(at, alert.triggered_at), said, by)


def _locked(session: Session, alert_id: int) -> DeviceAlert:
    found = session.scalars(
        select(DeviceAlert).where(DeviceAlert.id == alert_id).with_for_update()
    ).first()
    if found is None:
        raise NotFound(
            f"there is no alert {alert_id}; `truetonne alerts list --all` has all of them"
        )
    return found


def _refused(alert: DeviceAlert, wanted: str) -> Refused:
    return Refused(
        f"alert {alert.id} is {alert.status.value}, it cannot be {wanted}", code="alert-state"
    )


def _said(verb: str, who: str, at: datetime, note: str) -> dict[str, str]:
    text = note.strip()
    if len(text) > NOTE_MAX:
        raise BadInput(f"the note has {len(text)} characters, at most {NOTE_MAX}")
    found = {f"{verb}_by": who, f"{verb}_at": time_text(at), f"{verb}_note": text}
    return {name: value for name, value in found.items() if value}


def _changed(
    session: Session,
    alert: DeviceAlert,
    status: AlertStatus,
    resolved_at: datetime | None,
    said: dict[str, str],
    by: audit.By,
) -> DeviceAlert:
    before: dict[str, Any] = {"status": alert.status.value}
    alert.status = status
    alert.resolved_at = resolved_at
    alert.details = {**(alert.details or {}), **said}
    after = {"status": status.value, **said}
    audit.record(
        session,
        ACKNOWLEDGED if status is AlertStatus.ACKNOWLEDGED else RESOLVED,
        f"device_alerts/{alert.id}",
        before,
        after,
        by,
    )
    return alert
