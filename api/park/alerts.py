"""Alerts as a person looks at them: what is open first, the gravest at the top; and how many are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from api.pagination import Order, Page, PageParameters
from ledger.errors import BadInput, NotFound
from ledger.models import Device, DeviceAlert, Meter, Site
from ledger.models.devices import AlertSeverity, AlertStatus
from ledger.park.alert_rules import RuleType
from ledger.park.standing import RETURNED, taken_back
from ledger.reductions.zones import zone

SiteCode = Annotated[str, StringConstraints(max_length=50)]
DeviceCode = Annotated[str, StringConstraints(max_length=100)]
OPEN = (AlertStatus.ACTIVE, AlertStatus.ACKNOWLEDGED)
GRAVEST_FIRST = tuple(reversed(AlertSeverity))
_OVER = len(GRAVEST_FIRST)
"""The place of what is resolved, after all that is open."""
_rank = case({each: at for at, each in enumerate(GRAVEST_FIRST)}, value=DeviceAlert.severity)
_JUDGED = {
    RuleType.ABOVE: "limit",
    RuleType.BELOW: "limit",
    RuleType.RATE: "limit",
    RuleType.MISSING: "minutes",
    RuleType.STUCK: "minutes",
}
"""What a rule of each type cannot be told without."""


class AlertParameters(PageParameters):
    """Which alerts."""

    site: SiteCode | None = Field(None, description="Only those of the devices of this site.")
    device: DeviceCode | None = Field(None, description="Only those of this device.")
    severity: AlertSeverity | None = Field(None, description="Only those that matter so much.")
    state: AlertStatus | None = Field(None, description="Only those in this state.")


@dataclass(frozen=True)
class Rule:
    """What was measured, and what is wrong with it."""

    type: str
    metric: str
    limit: Decimal | None
    minutes: int | None
    worst: Decimal | None
    unit: str


@dataclass(frozen=True)
class Word:
    """What a person said of an alert."""

    by: str
    at: datetime | None
    note: str


@dataclass(frozen=True)
class Alert:
    """One alert, with the device that it is about.

    Parameters
    ----------
    site, zone
        Site of the device's meter, and its legal time; None and UTC where the device has none.
    rule
        None where another system raised it, whose message then says what it is.
    since, told
        When it began, and when that was certain.
    withdrawn
        Later values, or other rules, do not bear it.
    returned
        When the values of what a person resolved were as they should be again; None of what was taken back.
    """

    id: int
    device: str
    name: str
    site: str | None
    zone: tzinfo
    type: str
    severity: AlertSeverity
    state: AlertStatus
    rule: Rule | None
    message: str
    since: datetime
    told: datetime
    ended: datetime | None
    acknowledged: Word | None
    resolved: Word | None
    withdrawn: bool
    returned: datetime | None


def open_alerts(session: Session) -> dict[tuple[AlertSeverity, AlertStatus], int]:
    """Return how many alerts are open, the gravest first, by severity and state; zeros are among them."""
    query = select(DeviceAlert.severity, DeviceAlert.status, func.count())
    counted = session.execute(
        query.where(DeviceAlert.status.in_(OPEN)).group_by(DeviceAlert.severity, DeviceAlert.status)
    )
    found = {(severity, state): count for severity, state, count in counted}
    return {(each, state): found.get((each, state), 0) for each in GRAVEST_FIRST for state in OPEN}


def list_alerts(session: Session, parameters: AlertParameters) -> Page[Alert]:
    """Return one page of alerts: open ones, the gravest first; then the others.

    The latest stand first of each, or, where the oldest are asked for first, these.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    after, limit = parameters.after_key(2, _OVER), parameters.limit
    latest_first = parameters.order is Order.DESC
    by_number = DeviceAlert.id.desc() if latest_first else DeviceAlert.id.asc()

    def beyond(number: int) -> ColumnElement[bool]:
        return DeviceAlert.id < number if latest_first else DeviceAlert.id > number

    # Their numbers first, each part by its own index; the few rows of the page are then read with what is joined.
    places: list[tuple[int, int]] = []
    states = tuple(AlertStatus) if parameters.state is None else (parameters.state,)
    opened = [state for state in states if state in OPEN]
    if opened and (after is None or after[0] < _OVER):
        wanted = _matching(select(_rank, DeviceAlert.id), parameters, opened)
        if after is not None:
            place, number = after
            wanted = wanted.where(or_(_rank > place, and_(_rank == place, beyond(number))))
        ordered = wanted.order_by(_rank, by_number).limit(limit + 1)
        places += [(place, number) for place, number in session.execute(ordered)]
    if AlertStatus.RESOLVED in states and len(places) <= limit:
        others = _matching(select(DeviceAlert.id), parameters, [AlertStatus.RESOLVED])
        if after is not None and after[0] == _OVER:
            others = others.where(beyond(after[1]))
        ordered = others.order_by(by_number).limit(limit + 1 - len(places))
        places += [(_OVER, number) for number in session.scalars(ordered)]
    shown = places[:limit]
    cursor = parameters.cursor_after(*shown[-1]) if len(places) > limit else None
    numbers = [number for _, number in shown]
    read = {found.id: found for found in _read(session, numbers)}
    # What was deleted between the two is not there any more.
    return Page([read[number] for number in numbers if number in read], cursor)


def show_alert(session: Session, number: int) -> Alert:
    """Return one alert.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = _read(session, [number])
    if not found:
        raise NotFound(f"there is no alert {number}; /v1/alerts has all of them")
    return found[0]


def _matching(
    query: Select[Any], parameters: AlertParameters, states: Sequence[AlertStatus]
) -> Select[Any]:
    query = query.where(DeviceAlert.status.in_(states))
    if parameters.severity is not None:
        query = query.where(DeviceAlert.severity == parameters.severity)
    if parameters.device is not None:
        named = select(Device.id).where(Device.device_id == parameters.device)
        query = query.where(DeviceAlert.device_id == named.scalar_subquery())
    if parameters.site is not None:
        metered = select(Meter.device_id).join(Site, Site.id == Meter.site_id)
        query = query.where(DeviceAlert.device_id.in_(metered.where(Site.code == parameters.site)))
    return query


def _read(session: Session, numbers: Sequence[int]) -> list[Alert]:
    query = (
        select(DeviceAlert, Device.device_id, Device.name, Site.code, Site.time_zone)
        .join(Device, Device.id == DeviceAlert.device_id)
        .outerjoin(Meter, Meter.device_id == Device.id)
        .outerjoin(Site, Site.id == Meter.site_id)
        .where(DeviceAlert.id.in_(numbers))
    )
    return [_alert(*row) for row in session.execute(query)]


def _alert(
    row: DeviceAlert, device: str, name: str, site: str | None, zone_name: str | None
) -> Alert:
    details, gone = row.details or {}, taken_back(row)
    return Alert(
        id=row.id,
        device=device,
        name=name,
        site=site,
        zone=_zone(zone_name),
        type=row.alert_type,
        severity=row.severity,
        state=row.status,
        rule=_rule(row.alert_type, details),
        message=row.message,
        since=_time(details.get("since")) or row.triggered_at,
        told=row.triggered_at,
        ended=row.resolved_at,
        acknowledged=_word(details, "acknowledged"),
        resolved=_word(details, "resolved"),
        withdrawn=gone,
        returned=None if gone else _time(details.get(RETURNED)),
    )


def _zone(name: str | None) -> tzinfo:
    try:
        return UTC if name is None else zone(name)
    except BadInput:  # another program's name for it; the offset that stands with each time says so
        return UTC


def _rule(alert_type: str, details: Mapping[str, Any]) -> Rule | None:
    """Return what a rule found; None where the details do not say it: other programs write alerts, too."""
    metric, unit, minutes = (details.get(name) for name in ("metric", "unit", "minutes"))
    if alert_type not in set(RuleType) or not isinstance(metric, str):
        return None
    rule = Rule(
        alert_type,
        metric,
        _decimal(details.get("limit")),
        minutes if type(minutes) is int else None,
        _decimal(details.get("worst")),
        unit if isinstance(unit, str) else "",
    )
    needed = getattr(rule, _JUDGED[RuleType(alert_type)])
    timed = alert_type != RuleType.RATE or rule.minutes is not None
    return rule if needed is not None and timed else None


def _word(details: Mapping[str, Any], verb: str) -> Word | None:
    by, at, note = (details.get(f"{verb}_{what}") for what in ("by", "at", "note"))
    if not isinstance(by, str):
        return None
    return Word(by, _time(at), note if isinstance(note, str) else "")


def _decimal(text: Any) -> Decimal | None:
    try:
        found = Decimal(text) if isinstance(text, str) and len(text) <= 60 else None
    except InvalidOperation:
        return None
    return (
        found if found is not None and found.is_finite() and -60 < found.adjusted() < 60 else None
    )


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if found is None or found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
