"""The values of a device around a time: as far as an episode may reach, and no farther."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ledger.models import DeviceData
from ledger.park.alert_rules import AlertRule, RuleType
from ledger.park.episodes import Sample, breaks

PIECE_ROWS = 500
"""Rows that are read at once when looking for where an episode begins or ends."""


@dataclass(frozen=True)
class Window:
    """Samples that hold every episode that new values may have to do with, whole.

    Parameters
    ----------
    samples
        In order of time; the first lies in no episode, unless it is the device's first.
    start
        Episodes that began earlier are not in it; None: all of them are.
    before
        Episodes that began then or later are not in it; None: there are none.
    """

    samples: Sequence[Sample]
    start: datetime | None
    before: datetime | None

    def holds(self, began: datetime) -> bool:
        """Return whether an episode that began then is in it, whole."""
        after = self.start is None or began >= self.start
        return after and (self.before is None or began < self.before)

    @property
    def to_end(self) -> bool:
        """Whether the last sample is the device's last."""
        return self.before is None

    @property
    def last(self) -> datetime | None:
        """Time of the device's last sample, where it is in the window."""
        return self.samples[-1].at if self.samples and self.to_end else None


def window(
    session: Session, device_id: int, rule: AlertRule, span: tuple[datetime, datetime] | None
) -> Window:
    """Return the samples of a device that a rule must look at.

    Parameters
    ----------
    span
        First and last time of values that came in; None: all samples are looked at.
    """
    query = _values(device_id, rule)
    if span is None:
        rows = session.execute(_in_order(query)).all()
        return Window(list(samples(rows)), None, None)
    first, last = span
    earlier = _reach(session, rule, query.where(DeviceData.recorded_at < first), backward=True)
    later = _reach(session, rule, query.where(DeviceData.recorded_at > last), backward=False)
    inside = query.where(DeviceData.recorded_at.between(first, last))
    middle = list(samples(session.execute(_in_order(inside)).all()))
    found = [*earlier, *middle, *later]
    start = _first_rest(rule, found, len(earlier))
    end = _last_rest(rule, found, len(earlier) + len(middle))
    before = None if end is None else found[end].at
    kept = found[start or 0 : None if end is None else end + 1]
    return Window(kept, None if start is None else found[start].at, before)


def last_sample(
    session: Session, device_id: int, rule: AlertRule, not_before: datetime
) -> datetime | None:
    """Return the time of the last value of a metric; None where none came since ``not_before``."""
    query = (
        select(DeviceData.recorded_at)
        .where(
            DeviceData.device_id == device_id,
            DeviceData.metric_name == rule.metric,
            DeviceData.recorded_at >= not_before,
        )
        .order_by(DeviceData.recorded_at.desc())
        .limit(1)
    )
    return session.scalars(query).first()


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
    query: Select[Any] = select(DeviceData.recorded_at, DeviceData.value).where(
        DeviceData.device_id == device_id, DeviceData.metric_name == rule.metric
    )
    return query if rule.unit is None else query.where(DeviceData.unit == rule.unit)


def _in_order(query: Select[Any], *, backward: bool = False) -> Select[Any]:
    at = DeviceData.recorded_at
    return query.order_by(at.desc() if backward else at)


def _reach(
    session: Session, rule: AlertRule, query: Select[Any], *, backward: bool
) -> list[Sample]:
    """Return the samples on one side of what came in, until an episode cannot reach farther."""
    found: list[Any] = []
    asked = query
    while True:
        piece = session.execute(_in_order(asked, backward=backward).limit(PIECE_ROWS)).all()
        found += piece
        if len(piece) < PIECE_ROWS:
            return _whole(found, backward)
        # The edge may cut values of one time apart: those are left for the next piece.
        edge = piece[-1][0]
        known = _whole([row for row in found if row[0] != edge], backward)
        enough = _first_rest(rule, known, len(known)) if backward else _last_rest(rule, known, 0)
        if enough:
            return known
        found = [row for row in found if row[0] != edge]
        at = DeviceData.recorded_at
        asked = query.where(at <= edge if backward else at >= edge)
        if piece[0][0] == edge:  # more values of one time than a piece holds
            raise RuntimeError(f"more than {PIECE_ROWS} values of one metric at {edge}")


def _whole(rows: list[Any], backward: bool) -> list[Sample]:
    return list(samples(rows[::-1] if backward else rows))


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
