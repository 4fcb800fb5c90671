"""The values of a device around a time: as far as an episode may reach, and no farther."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from ledger.db.tables import among
from ledger.keeping.noted import archived_before
from ledger.models import Device, DeviceData
from ledger.park.alert_rules import AlertRule, RuleType
from ledger.park.episodes import Sample, breaks

REACH = timedelta(days=1)
"""Time that is read first when looking for where an episode begins or ends; then four times as much, and so on.

By time and not by a number of rows: MariaDB sorts what it reads of several partitions, a limit notwithstanding."""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """Samples that hold every episode that new values may have to do with, whole.

    Parameters
    ----------
    samples
        In order of time; the first lies in no episode, unless it is the device's first.
    start
        Episodes that began earlier are not in it.
    from_first
        Whether the first sample is the device's first that is there: what came before it may be archived.
    before
        Episodes that began then or later are not in it; None: there are none.
    """

    samples: Sequence[Sample]
    start: datetime
    from_first: bool
    before: datetime | None

    def holds(self, began: datetime) -> bool:
        """Return whether an episode that began then is in it, whole."""
        return began >= self.start and (self.before is None or began < self.before)

    @property
    def to_end(self) -> bool:
        """Whether the last sample is the device's last."""
        return self.before is None

    @property
    def last(self) -> datetime | None:
        """Time of the device's last sample, where it is in the window."""
        return self.samples[-1].at if self.samples and self.to_end else None


def window(
    session: Session,
    device_id: int,
    rule: AlertRule,
    span: tuple[datetime, datetime] | None,
    until: datetime | None = None,
) -> Window | None:
    """Return the samples of a device that a rule must look at; None where there are none.

    Parameters
    ----------
    span
        First and last time of values that came in; None: all samples are looked at. Those of archived months are
        not: a late one lies alone there, without what came before and after it.
    until
        Later samples are left out; None: none is.
    """
    query = _values(device_id, rule)
    if until is not None:
        query = query.where(DeviceData.recorded_at <= until)
    border = archived_before(session, device_id)
    if border is not None:
        query = query.where(DeviceData.recorded_at >= border)
    if span is None:
        everything = list(samples(session.execute(_in_order(query)).all()))
        return Window(everything, everything[0].at, True, None) if everything else None
    first, last = span
    if border is not None:
        if last < border:
            return None
        first = max(first, border)
    if until is not None:
        if first > until:
            return None
        last = min(last, until)
    # Two questions: of one, SQLite reads every value of the device.
    least, most = (
        session.scalars(
            select(end(DeviceData.recorded_at)).where(
                DeviceData.device_id == device_id, DeviceData.recorded_at >= (border or _EVER)
            )
        ).one()
        for end in (func.min, func.max)
    )
    earlier = _before(session, rule, query, first, least or first)
    later = _after(session, rule, query, last, most or last)
    inside = query.where(DeviceData.recorded_at.between(first, last))
    middle = list(samples(session.execute(_in_order(inside)).all()))
    found = [*earlier, *middle, *later]
    if not found:
        return None
    start = _first_rest(rule, found, len(earlier))
    end = _last_rest(rule, found, len(earlier) + len(middle))
    before = None if end is None else found[end].at
    kept = found[start or 0 : None if end is None else end + 1]
    return Window(kept, kept[0].at, start is None, before)


def last_samples(
    session: Session, devices: Collection[int], rule: AlertRule, since: datetime, until: datetime
) -> dict[int, datetime]:
    """Return the time of the last value of a metric from one time to another, of each device that has one then."""
    # In order, and not by max(): for that MariaDB reads all of them, since the index does not have the metric.
    query = select(DeviceData.recorded_at).where(
        DeviceData.device_id == Device.id,
        DeviceData.metric_name == rule.metric,
        DeviceData.recorded_at.between(since, until),
    )
    if rule.unit is not None:
        query = query.where(DeviceData.unit == rule.unit)
    last = query.order_by(DeviceData.recorded_at.desc()).limit(1).correlate(Device)
    found: dict[int, datetime | None] = {}
    for some in among(session, Device.id, devices):
        asked = select(Device.id, last.scalar_subquery()).where(some)
        found |= {number: at for number, at in session.execute(asked)}
    return {number: at for number, at in found.items() if at is not None}


def is_there(session: Session, metric: str) -> bool:
    """Return whether any device has values of a metric: an index answers that at once, of one device none does."""
    query = select(DeviceData.id).where(DeviceData.metric_name == metric).limit(1)
    return session.scalars(query).first() is not None


def first_value(
    session: Session, device_id: int, metric: str | None, unit: str | None = None
) -> datetime | None:
    """Return the time of the first value of a metric that can be judged, as ``window`` does; None: there is none.

    Parameters
    ----------
    unit
        Only values in this one count; None: in any.
    """
    border = archived_before(session, device_id) or _EVER
    query = select(DeviceData.recorded_at).where(
        DeviceData.device_id == device_id,
        DeviceData.metric_name == metric,
        DeviceData.recorded_at >= border,
    )
    if unit is not None:
        query = query.where(DeviceData.unit == unit)
    return session.scalars(_in_order(query).limit(1)).first()


def samples(rows: Sequence[Any]) -> Iterator[Sample]:
    """Yield samples of rows in order of time: several values of one time are one sample."""
    at: datetime | None = None
    low = high = Decimal(0)
    for recorded_at, value in rows:
        if recorded_at == at:
            low, high = min(low, value), max(high, value)
            continue
        if at is not None:
            yield Sample(at, low, high)
        at, low, high = recorded_at, value, value
    if at is not None:
        yield Sample(at, low, high)


def _values(device_id: int, rule: AlertRule) -> Select[Any]:
    columns: list[Any] = [DeviceData.recorded_at, DeviceData.value]
    query: Select[Any] = select(*columns).where(
        DeviceData.device_id == device_id, DeviceData.metric_name == rule.metric
    )
    return query if rule.unit is None else query.where(DeviceData.unit == rule.unit)


def _in_order(query: Select[Any]) -> Select[Any]:
    return query.order_by(DeviceData.recorded_at)


def _before(
    session: Session, rule: AlertRule, query: Select[Any], edge: datetime, least: datetime
) -> list[Sample]:
    """Return the samples before a time, back to where no episode reaches farther."""
    rows: list[Any] = []
    step, at = REACH, DeviceData.recorded_at
    while edge > least:
        piece = query.where(at >= edge - step, at < edge)
        rows = [*session.execute(_in_order(piece)).all(), *rows]
        edge, step = edge - step, step * 4
        known = list(samples(rows))
        if edge > least and _first_rest(rule, known, len(known)) is not None:
            return known
    return list(samples(rows))


def _after(
    session: Session, rule: AlertRule, query: Select[Any], edge: datetime, most: datetime
) -> list[Sample]:
    """Return the samples after a time, up to where no episode reaches farther."""
    rows: list[Any] = []
    step, at = REACH, DeviceData.recorded_at
    while edge < most:
        piece = query.where(at > edge, at <= edge + step)
        rows += session.execute(_in_order(piece)).all()
        edge, step = edge + step, step * 4
        known = list(samples(rows))
        if edge < most and _last_rest(rule, known, 0) is not None:
            return known
    return list(samples(rows))


def _first_rest(rule: AlertRule, found: Sequence[Sample], end: int) -> int | None:
    """Return the last place before ``end`` from which on episodes are whole; None: there is none."""
    if rule.type is RuleType.MISSING:
        return end - 1 if end else None
    for number in range(end - 1, 0, -1):
        if not breaks(rule, found[number - 1], found[number]):
            return number
    return None


def _last_rest(rule: AlertRule, found: Sequence[Sample], start: int) -> int | None:
    """Return the first place from ``start`` on where every episode before it has ended; None: there is none."""
    if rule.type is RuleType.MISSING:
        return start if start < len(found) else None
    # Both values of the pair lie after what came in: with and without that, nothing reaches over it.
    for number in range(start + 1, len(found)):
        if not breaks(rule, found[number - 1], found[number]):
            return number
    return None
