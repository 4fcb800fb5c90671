"""Alerts as they stand in the books: what becomes of one by what the data say, and what a person said of it stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.models import Device, DeviceAlert
from ledger.models.devices import AlertStatus
from ledger.park.alert_rules import RULE_TYPES, AlertRule
from ledger.park.episodes import Episode
from ledger.park.rows import Row


def settled_by_hand(row: Row) -> tuple[str, ...]:
    """Return what another system cannot know of an alert that a person took in hand here, and what a file leaves.

    It may have the alert active for as long as it lasts there, and knows its end where nobody here has said it.
    """
    by_hand, before = row.before["details"] or {}, row.before["status"]
    # A system of others may have members of the same names, of an alert that is open too.
    if before is AlertStatus.RESOLVED and by_hand.get("resolved_by"):
        return "status", "resolved_at"
    unheard = before is AlertStatus.ACKNOWLEDGED and row["status"] is AlertStatus.ACTIVE
    return ("status",) if unheard and by_hand.get("acknowledged_by") else ()


@dataclass
class AlertTally:
    """What became of alerts."""

    raised: int = 0
    resolved: int = 0
    withdrawn: int = 0
    changed: int = 0

    def as_json(self) -> dict[str, int]:
        """Return the counts that are not zero."""
        return {name: count for name, count in vars(self).items() if count}


@dataclass(frozen=True)
class Watched:
    """A device and one rule that its data are judged by."""

    device: Device
    rule: AlertRule

    def details(self, episode: Episode) -> dict[str, Any]:
        """Return what an alert says of an episode, for programs."""
        rule = self.rule
        limit = None if rule.limit is None else format(rule.limit, "f")
        worst = None if episode.worst is None else format(episode.worst.normalize(), "f")
        named = {"limit": limit, "unit": rule.unit, "minutes": rule.minutes or None, "worst": worst}
        found = {"metric": rule.metric, "since": time_text(episode.began), **named}
        return {name: value for name, value in found.items() if value is not None}

    def message(self, episode: Episode) -> str:
        """Return the sentence of it, for people."""
        since = time_text(episode.began)
        worst = "" if episode.worst is None else f" ({episode.worst.normalize():f} at the worst)"
        return (
            f"{self.device.device_id}: {self.rule.metric} {self.rule.said}, since {since}{worst}."
        )


ACTS = tuple(
    frozenset(f"{verb}_{what}" for what in ("by", "at", "note"))
    for verb in ("acknowledged", "resolved")
)
"""Members of an alert's details that a person's act writes, by act."""
HANDLED = frozenset().union(*ACTS)
"""All of them."""
RETURNED = "values_returned_at"
"""Of an alert that a person resolved, the member of its details that says when its values returned; None until then."""
HAD_RETURNED = "values_had_returned_at"
"""The same of one that was taken back, since no rule bears it for now: where one does so again, it was over."""


def stored(session: Session, device_id: int, start: datetime | None) -> list[DeviceAlert]:
    """Return the alerts of a device that rules raised, from a time on; locked, and as they are now."""
    query = select(DeviceAlert).where(
        DeviceAlert.device_id == device_id, DeviceAlert.alert_type.in_(sorted(RULE_TYPES))
    )
    if start is not None:
        query = query.where(DeviceAlert.triggered_at >= start)
    return list(session.scalars(query.order_by(DeviceAlert.id).with_for_update()))


def of_rule(
    session: Session, watched: Watched, start: datetime | None
) -> list[tuple[datetime, DeviceAlert]]:
    """Return the alerts that a rule raised for a device, from a time on, each with when it began."""
    found = []
    for alert in stored(session, watched.device.id, start):
        details = alert.details or {}
        raised_by = (alert.alert_type, details.get("metric"))
        if raised_by == (watched.rule.type.value, watched.rule.metric) and "since" in details:
            found.append((time_of(details["since"]), alert))
    return found


def own_of(
    alerts: Sequence[DeviceAlert], episode: Episode
) -> tuple[DeviceAlert | None, list[DeviceAlert]]:
    """Return which of the alerts within an episode is its own, and the others.

    One that is open comes first, since people act upon it; then one that a person said something of, which is of the
    whole episode, wherever that begins by what came late.
    """

    def over(alert: DeviceAlert) -> bool:
        return episode.ended is None and _was_over(alert)

    def place(alert: DeviceAlert) -> tuple[bool, bool, bool, bool, datetime]:
        unsaid = HANDLED.isdisjoint(alert.details or {})
        done = alert.status is AlertStatus.RESOLVED
        return taken_back(alert), done, over(alert), unsaid, alert.triggered_at

    in_order = sorted(alerts, key=place)
    if not in_order or over(in_order[0]):
        return None, in_order
    return in_order[0], in_order[1:]


def taken_back(alert: DeviceAlert) -> bool:
    """Return whether an alert was told, and kept though the values did not bear it."""
    details = alert.details or {}
    returned = details.get(RETURNED)
    return "withdrawn" in details or (returned is not None and returned == details.get("since"))


def _was_over(alert: DeviceAlert) -> bool:
    """Return whether a person resolved an alert and its values returned: what goes on now was not meant by that."""
    details = alert.details or {}
    returned = details.get(RETURNED)
    return HAD_RETURNED in details or bool(returned and returned != details.get("since"))


def lasts(alert: DeviceAlert, at: datetime) -> bool:
    """Return whether an alert that began before a time went on then, as far as is known."""
    details = alert.details or {}
    if "withdrawn" in details:
        return False
    returned = details.get(RETURNED)
    ended = alert.resolved_at if RETURNED not in details else returned and time_of(returned)
    return ended is None or ended > at


def outlived(alert: DeviceAlert, first: datetime | None) -> bool:
    """Return whether an alert that is over began before the first value that is there: nobody can judge it again."""
    since = (alert.details or {}).get("since")
    if alert.status is not AlertStatus.RESOLVED or since is None:
        return False
    return first is None or time_of(since) < first


def raise_alert(session: Session, watched: Watched, episode: Episode, tally: AlertTally) -> None:
    """Put an alert of an episode into the books."""
    tally.raised += 1
    tally.resolved += episode.ended is not None
    session.add(
        DeviceAlert(
            device_id=watched.device.id,
            alert_type=watched.rule.type.value,
            severity=watched.rule.severity,
            message=watched.message(episode),
            details=watched.details(episode),
            status=AlertStatus.ACTIVE if episode.ended is None else AlertStatus.RESOLVED,
            triggered_at=episode.told,
            resolved_at=episode.ended,
        )
    )


def change(alert: DeviceAlert, watched: Watched, episode: Episode, tally: AlertTally) -> None:
    """Bring a stored alert to its episode, and leave what a person said of it."""
    # What was taken back, and is so after all, is no longer taken back.
    by_hand = {name: value for name, value in (alert.details or {}).items() if name in HANDLED}
    if "resolved_by" in by_hand:
        _note(alert, {RETURNED: episode.ended and time_text(episode.ended)})
        return
    status = AlertStatus.RESOLVED
    if episode.ended is None:
        status = AlertStatus.ACKNOWLEDGED if "acknowledged_by" in by_hand else AlertStatus.ACTIVE
    values = {
        "severity": watched.rule.severity,
        "message": watched.message(episode),
        "details": {**watched.details(episode), **by_hand},
        "status": status,
        "triggered_at": episode.told,
        "resolved_at": episode.ended,
    }
    differing = {name: value for name, value in values.items() if getattr(alert, name) != value}
    for name, value in differing.items():
        setattr(alert, name, value)
    tally.resolved += differing.get("status") is AlertStatus.RESOLVED
    tally.changed += bool(differing) and differing.get("status") is not AlertStatus.RESOLVED


def withdraw(session: Session, alert: DeviceAlert, tally: AlertTally) -> None:
    """Take back an alert that the data do not bear; keep what somebody took in hand."""
    details = dict(alert.details or {})
    if "resolved_by" in details:
        # The time that it began: no value that ends it is of that time.
        noted = {RETURNED: details.get("since") or time_text(alert.triggered_at)}
        if _was_over(alert):
            noted[HAD_RETURNED] = details.get(HAD_RETURNED) or details[RETURNED]
        _note(alert, noted)
    if "withdrawn" in details or "resolved_by" in details:
        return
    tally.withdrawn += 1
    if "acknowledged_by" not in details:
        session.delete(alert)
        return
    alert.details = {**details, "withdrawn": True}
    alert.status = AlertStatus.RESOLVED
    alert.resolved_at = alert.resolved_at or alert.triggered_at


def _note(alert: DeviceAlert, said: dict[str, Any]) -> None:
    """Write into an alert that a person resolved what its values say of it now."""
    kept = {name: value for name, value in (alert.details or {}).items() if name != HAD_RETURNED}
    noted = {**kept, **said}
    if noted != alert.details:
        alert.details = noted


def time_of(text: str) -> datetime:
    """Return a time as the details of alerts have it."""
    return datetime.fromisoformat(text)
