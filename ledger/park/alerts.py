"""Alerts that the rules of device types raise from the data of devices.

What stands in the books is a function of the data and the rules: after an import the time around the new values is
judged again, and the alerts there are brought to what comes out. So one file or many, in any order, once or twice,
give the same alerts. A person's word stays: what was acknowledged or resolved by hand is not opened again, and an
alert that somebody took in hand is kept when later values show that there was none, as *withdrawn*.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.models import Device, DeviceAlert, DeviceType
from ledger.models.devices import AlertStatus
from ledger.park.alert_rules import AlertRule, RuleType, read_rules
from ledger.park.episodes import Episode, Sample, episodes, taken_up
from ledger.park.series import Window, first_value, is_there, last_samples, window
from ledger.park.standing import (
    AlertTally,
    Watched,
    change,
    lasts,
    of_rule,
    outlived,
    own_of,
    raise_alert,
    stored,
    taken_back,
    withdraw,
)
from ledger.park.waiting import Clock, Looked, gone_since, missing_since
from ledger.spreadsheets import Wrong

Span = tuple[datetime, datetime]
"""First and last time of values that came in."""


def follow(session: Session, spans: Mapping[int, Span], now: datetime | None = None) -> AlertTally:
    """Bring the alerts of devices to what their data say, around values that came in.

    Parameters
    ----------
    session
        The unit of work that stored the values.
    spans
        First and last time of what came in, by row number of the device.
    now
        The time that it is: a value of a time well after it says nothing of whether values come. None: all count.
    """
    tally = AlertTally()
    clock = None if now is None else Clock(now, to_end=False)
    for device, rules in _with_rules(session, sorted(spans)):
        for rule in rules:
            _follow(session, Watched(device, rule), spans[device.id], tally, clock)
    session.flush()
    return tally


def evaluate(session: Session, device_ids: Iterable[int], now: datetime | None) -> AlertTally:
    """Judge all the data of devices again, as after a change of rules; what no rule speaks of is withdrawn.

    Parameters
    ----------
    now
        The time that it is, for alerts that something is missing until now; no further ones are raised by it, since
        not every device is waited for. None: only gaps between values count.
    """
    tally = AlertTally()
    wanted = sorted(device_ids)
    there = dict(_with_rules(session, wanted))
    by_id = {device.id: rules for device, rules in there.items()}
    for number in wanted:
        judging = [rule for rule in by_id.get(number, ()) if _judges(session, number, rule)]
        _withdraw_unruled(session, number, judging, tally)
    gone = {} if now is None else gone_since(session, now)
    for device, rules in there.items():
        clock = None if now is None else Clock(now, gone.get(device.id), anew=False)
        for rule in rules:
            _follow(session, Watched(device, rule), None, tally, clock)
    session.flush()
    return tally


def _judges(session: Session, number: int, rule: AlertRule) -> bool:
    """Return whether values of a device can break a rule, or end what it raised: all may be in another unit."""
    if rule.unit is None or first_value(session, number, rule.metric, rule.unit) is not None:
        return True
    return first_value(session, number, rule.metric) is None  # archived, perhaps


def _withdraw_unruled(
    session: Session, number: int, rules: Iterable[AlertRule], tally: AlertTally
) -> None:
    """Withdraw the alerts of a device of which no rule speaks, but what has outlived its values."""
    kept = {(rule.type.value, rule.metric) for rule in rules}
    unruled = defaultdict(list)
    for alert in stored(session, number, None):
        metric = (alert.details or {}).get("metric")
        if (alert.alert_type, metric) not in kept:
            unruled[metric].append(alert)
    for metric, alerts in unruled.items():
        first = first_value(session, number, metric)
        for alert in alerts:
            if not outlived(alert, first):
                withdraw(session, alert, tally)


def watch_missing(
    session: Session, device_ids: Iterable[int], now: datetime, not_before: datetime
) -> AlertTally:
    """Raise alerts for values that have not come until now, and end those of what came or is not waited for any more.

    Parameters
    ----------
    device_ids
        Those that are waited for.
    now
        The time that it is.
    not_before
        A device whose last value is older raises none: it was taken out, or its data are of the past.
    """
    tally = AlertTally()
    asked = in_question(session, device_ids, now, not_before, Looked())
    gone = gone_since(session, now)
    for device, rules in _with_rules(session, sorted({number for number, _ in asked})):
        clock = Clock(now, gone.get(device.id))
        for rule in rules:
            span = asked.get((device.id, rule.metric)) if rule.type is RuleType.MISSING else None
            if span is not None:
                _follow(session, Watched(device, rule), span, tally, clock)
    session.flush()
    return tally


def in_question(
    session: Session,
    device_ids: Iterable[int],
    now: datetime,
    not_before: datetime,
    looked: Looked,
) -> dict[tuple[int, str], Span]:
    """Return the time to judge rules of missing values in, by row number of the device and metric.

    Rules that are not in it are as they were. The number of statements does not depend on that of the devices; nothing
    is locked, and nothing is written.

    Parameters
    ----------
    device_ids
        Those that are waited for.
    now, not_before
        As for ``watch_missing``.
    looked
        What was looked at for nothing before; it is brought up to date.
    """
    open_since = missing_since(session)
    gone = gone_since(session, now)
    wanted = {*device_ids, *(number for number, _ in open_since if number in gone)}
    of_type = defaultdict(set)
    for number, name in session.execute(select(Device.id, Device.type)):
        if number in wanted:
            of_type[name].add(number)
    found: dict[tuple[int, str], Span] = {}
    for name, rules in _rules_of_types(session).items():
        for rule in rules if isinstance(rules, tuple) else ():
            if rule.type is not RuleType.MISSING or not of_type[name]:
                continue
            theirs = {n: at for (n, metric), at in open_since.items() if metric == rule.metric}
            told = {number: theirs[number] for number in of_type[name] & theirs.keys()}
            spans = _of_told(session, rule, told, now, gone)
            quiet = of_type[name] - told.keys() - gone.keys()
            spans |= _of_quiet(session, rule, quiet, Clock(now), not_before, looked)
            found |= {(number, rule.metric): span for number, span in spans.items()}
    return found


def _of_told(
    session: Session,
    rule: AlertRule,
    told: Mapping[int, datetime],
    now: datetime,
    gone: Mapping[int, datetime],
) -> dict[int, Span]:
    """Return the time to judge of devices with an alert that goes on, since when that is."""
    # What came by another way than an import, and a meter that is gone, end what goes on.
    last = last_samples(
        session, told, rule, now - timedelta(minutes=rule.minutes), Clock(now).until
    )
    return {
        number: (since, max(since, last.get(number, since)))
        for number, since in told.items()
        if number in last or number in gone
    }


def _of_quiet(
    session: Session,
    rule: AlertRule,
    devices: Collection[int],
    clock: Clock,
    not_before: datetime,
    looked: Looked,
) -> dict[int, Span]:
    """Return the time to judge of devices without an alert: where the last value is old, that alone."""
    known = looked.lately(devices, rule.metric, clock.now, not_before)
    last = last_samples(
        session, known, rule, max(not_before, min(known.values(), default=clock.now)), clock.until
    )
    looked.note(rule.metric, known.keys() - last.keys(), clock.now, None)
    # Nearly always something came lately, or is known not to: the long look is for the rest.
    lately = clock.now - timedelta(minutes=rule.minutes)
    unknown = set(devices) - known.keys()
    last |= last_samples(session, unknown, rule, lately, clock.until)
    unknown -= last.keys()
    # Of a metric that is mistyped, say, every value of the devices would be looked at.
    if unknown and is_there(session, rule.metric):
        last |= last_samples(session, unknown, rule, not_before, clock.until)
        looked.note(rule.metric, unknown - last.keys(), clock.now, not_before)
    looked.forget(rule.metric, last.keys())
    return {number: (at, at) for number, at in last.items() if at < lately}


def watched_devices(session: Session, now: datetime) -> list[int]:
    """Return the row numbers of the devices whose type has alert rules, and whose meter was not taken out by now.

    Parameters
    ----------
    now
        The time that it is, aware.
    """
    gone = gone_since(session, now)
    types = [name for name, rules in _rules_of_types(session).items() if rules]
    query = select(Device.id).where(Device.type.in_(types)).order_by(Device.id)
    return [number for number in session.scalars(query) if number not in gone]


def _with_rules(session: Session, device_ids: Sequence[int]) -> list[tuple[Device, Any]]:
    """Return devices with their rules, where they have some; the devices are locked."""
    known = {
        name: found for name, found in _rules_of_types(session).items() if isinstance(found, tuple)
    }
    types = sorted(name for name, rules in known.items() if rules)
    if not types:
        return []
    query = select(Device).where(Device.id.in_(device_ids), Device.type.in_(types))
    devices = session.scalars(query.order_by(Device.id).with_for_update())
    return [(device, known[device.type]) for device in devices]


def unreadable_rules(session: Session) -> list[str]:
    """Return a line for each device type whose rules another program wrote, and cannot be read: they raise nothing."""
    found = _rules_of_types(session).items()
    return [f"device type {name}: {said}" for name, said in sorted(found) if isinstance(said, str)]


def _rules_of_types(session: Session) -> dict[str, tuple[AlertRule, ...] | str]:
    """Return the rules of each device type that has some, or what is wrong with them."""
    query = select(DeviceType.type_name, DeviceType.validation_rules).where(
        DeviceType.validation_rules.is_not(None)
    )
    found: dict[str, tuple[AlertRule, ...] | str] = {}
    for name, rules in session.execute(query):
        try:
            found[name] = read_rules(rules)
        except Wrong as wrong:
            found[name] = f"{wrong.column}: {wrong.message}"
    return found


def _follow(
    session: Session,
    watched: Watched,
    span: Span | None,
    tally: AlertTally,
    clock: Clock | None = None,
) -> None:
    """Bring the alerts of one device and rule to what the data say in and around a span (None: ever)."""
    rule = watched.rule
    missing = rule.type is RuleType.MISSING
    part = window(
        session, watched.device.id, rule, span, clock.until if clock and missing else None
    )
    if part is None:
        if missing and clock is not None and clock.to_end and clock.gone is not None:
            _end_without_values(session, watched, clock.gone, tally)
        return
    found = _found(rule, part, clock)
    if part.from_first:
        _take_up(session, watched, part.samples, found, tally)
    episodes_here = list(found.values())
    theirs: dict[str, list[DeviceAlert]] = defaultdict(list)
    for since, alert in of_rule(session, watched, part.start):
        if not part.holds(since):
            continue
        around = _around(episodes_here, since)
        if around is not None:
            theirs[time_text(around.began)].append(alert)
        elif not _still_missing(rule, since, part.last, clock):
            withdraw(session, alert, tally)
    for name, episode in found.items():
        own, others = own_of(theirs[name], episode)
        for alert in others:
            withdraw(session, alert, tally)
        if own is not None:
            change(own, watched, episode, tally)
        elif clock is None or clock.anew or not missing or episode.began != part.last:
            raise_alert(session, watched, episode, tally)


def _end_without_values(
    session: Session, watched: Watched, gone: datetime, tally: AlertTally
) -> None:
    """End what a meter that is gone was missed for, where its last values are archived by now."""
    for since, alert in of_rule(session, watched, None):
        if alert.status is AlertStatus.RESOLVED:
            continue
        if alert.triggered_at < gone:
            change(alert, watched, Episode(since, alert.triggered_at, gone, None), tally)
        else:
            withdraw(session, alert, tally)


def _found(rule: AlertRule, part: Window, clock: Clock | None) -> dict[str, Episode]:
    """Return the episodes that a window holds whole, by the time that they began."""
    judged = part.to_end and clock is not None and clock.to_end
    gone = clock.gone if judged and clock else None
    items = episodes(rule, part.samples, clock.now if judged and clock else None, gone)
    return {time_text(item.began): item for item in items if part.holds(item.began)}


def _around(found: Sequence[Episode], at: datetime) -> Episode | None:
    """Return the episode that a time lies in; they are in order, and none lies over another."""
    place = bisect_right(found, at, key=lambda item: item.began) - 1
    if place < 0:
        return None
    item = found[place]
    return item if item.ended is None or at < item.ended else None


def _take_up(
    session: Session,
    watched: Watched,
    samples: Sequence[Sample],
    found: dict[str, Episode],
    tally: AlertTally,
) -> None:
    """Go on with an alert that began in data which are archived by now: what these samples say is its end, or more."""
    first = samples[0].at
    # Of two that began at one time, one was taken back: the other one counts.
    recorded = sorted(of_rule(session, watched, None), key=lambda item: not taken_back(item[1]))
    theirs = dict(recorded)
    open_ones = [at for at, alert in theirs.items() if at < first and lasts(alert, first)]
    if not open_ones:
        return
    alert = theirs[max(open_ones)]
    worst = (alert.details or {}).get("worst")
    episode = taken_up(
        watched.rule,
        samples,
        max(open_ones),
        alert.triggered_at,
        None if worst is None else Decimal(worst),
    )
    same = [
        name
        for name, item in found.items()
        if watched.rule.type is not RuleType.MISSING
        and (episode.ended is None or item.began < episode.ended)
    ]
    if any(found[name].began in theirs for name in same):
        return  # it was another one, when what came before was known
    for name in same:
        del found[name]
    change(alert, watched, episode, tally)


def _still_missing(
    rule: AlertRule, since: datetime, last: datetime | None, clock: Clock | None
) -> bool:
    """Return whether an alert was raised because nothing came after the last value, and nothing has."""
    judged = clock is not None and clock.to_end
    return rule.type is RuleType.MISSING and not judged and since == last
