"""Alerts by the clock and by command: what has not come until now, and all the data again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import BadInput, NotFound
from ledger.models import Base, Device
from ledger.park import configuration
from ledger.park.alerts import (
    Span,
    evaluate,
    follow,
    in_question,
    unreadable_rules,
    watch_missing,
    watched_devices,
)
from ledger.park.standing import AlertTally
from ledger.park.waiting import Looked

HELD = (Base.metadata.tables["device_data"],)
"""What a unit of work holds (``Database.write``) in which alerts are judged: without the values of months that leave
meanwhile it would take back what they raised."""


def received(session: Session, spans: Mapping[int, Span], now: datetime) -> AlertTally:
    """Note what devices said: when they were last seen, and what alerts their values call for.

    Parameters
    ----------
    session
        The unit of work that stored the values, and that holds ``HELD``.
    spans
        First and last time of what came in, by row number of the device.
    now
        The time that it is, aware; a time after it is not when a device was seen, and none well after it is when
        its values came.
    """
    query = select(Device).where(Device.id.in_(sorted(spans))).order_by(Device.id)
    for device in session.scalars(query.with_for_update()):
        last = min(spans[device.id][1], now)
        if device.last_seen is None or device.last_seen < last:
            device.last_seen = last
    return follow(session, spans, now)


def watch(session: Session, now: datetime, only: Collection[int] | None = None) -> AlertTally:
    """Raise alerts for values that have not come until now, of devices that were not silent for long already.

    Parameters
    ----------
    session
        A unit of work that holds ``HELD``.
    now
        The time that it is, aware.
    only
        Devices, by row number, that are looked at; None: all.
    """
    devices = watched_devices(session, now)
    if only is not None:
        devices = [number for number in devices if number in only]
    return watch_missing(session, devices, now, _not_before(session, now))


def to_watch(session: Session, now: datetime, looked: Looked) -> set[int]:
    """Return the devices of which ``watch`` may have something to say: who has none need not write anything.

    Parameters
    ----------
    session
        May be one that can only read; it holds ``HELD``.
    now
        The time that it is, aware.
    looked
        What the process remembers of looks before; it is brought up to date.
    """
    devices = watched_devices(session, now)
    asked = in_question(session, devices, now, _not_before(session, now), looked)
    return {number for number, _ in asked}


def _not_before(session: Session, now: datetime) -> datetime:
    """Return the time before which a device's last value must not lie for it to be waited for."""
    return now - timedelta(days=configuration.whole(session, configuration.SILENT_DAYS))


def evaluate_all(session: Session, device_code: str | None, now: datetime) -> AlertTally:
    """Judge all the data of one device, or of all, again, and what has not come until now.

    Parameters
    ----------
    session
        A unit of work that holds ``HELD``.

    Raises
    ------
    NotFound
        If there is no such device.
    BadInput
        If the rules of a device type cannot be read.
    """
    if wrong := unreadable_rules(session):
        raise BadInput("; ".join(wrong))
    query = select(Device.id)
    if device_code is not None:
        query = query.where(Device.device_id == device_code)
    devices = list(session.scalars(query))
    if device_code is not None and not devices:
        raise NotFound(
            f"there is no device {device_code!r}; `truetonne park list devices` has all of them"
        )
    tally = evaluate(session, devices, now)
    for name, count in vars(watch(session, now)).items():
        setattr(tally, name, getattr(tally, name) + count)
    return tally
