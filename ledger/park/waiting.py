"""For which devices one waits, and how the time of day bears on what does not come."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import DeviceAlert, Meter, Site
from ledger.models.devices import AlertStatus
from ledger.park.alert_rules import RuleType
from ledger.park.rules import AHEAD
from ledger.reductions.zones import legal_day_end_s, utc_of, zone


@dataclass(frozen=True)
class Clock:
    """How the time of day bears on what is missing.

    Parameters
    ----------
    now
        The time that it is.
    gone
        Since when the device has no meter: nothing is missed from then on. None: it has one, or never had.
    to_end
        Whether what has not come since the last value is judged.
    anew
        Whether it is told where no alert tells of it yet.
    """

    now: datetime
    gone: datetime | None = None
    to_end: bool = True
    anew: bool = True

    @property
    def until(self) -> datetime:
        """A value of a later time has not come: a clock was wrong."""
        return self.now + AHEAD


LOOK_EVERY = timedelta(hours=1)
"""After a look at all days that found no value of a metric: how long until all of them are looked at again."""
_LATE = timedelta(hours=1)
"""A value that comes later than its time by no more than this is seen at once; others at the next long look."""


@dataclass(frozen=True)
class _Look:
    """A look that found nothing."""

    at: datetime
    long_at: datetime
    """When all the days were looked at."""
    since: datetime
    """When they began."""


@dataclass
class Looked:
    """Of which devices a whole month was looked at for nothing, as the process remembers it that looks each minute.

    No index has device and metric, so that a device that never gives what others do had every value of its month looked
    at, each minute. Who remembers nothing looks at all of it.
    """

    _found_nothing: dict[tuple[int, str], _Look] = field(default_factory=dict)

    def lately(
        self, devices: Collection[int], metric: str, now: datetime, not_before: datetime
    ) -> dict[int, datetime]:
        """Return from when on to look at devices, of those that were looked at wholly within the hour.

        Not of those of which less was looked at than is asked for by now: somebody has set more days.
        """
        looks = {number: self._found_nothing.get((number, metric)) for number in devices}
        return {
            number: look.at - _LATE
            for number, look in looks.items()
            if look is not None
            and look.since <= not_before
            and look.long_at <= look.at <= now < look.long_at + LOOK_EVERY
        }

    def note(
        self, metric: str, nothing: Collection[int], now: datetime, since: datetime | None
    ) -> None:
        """Remember of devices that nothing was found until now: from a time on, or (None) since the last look."""
        for number in nothing:
            key = number, metric
            self._found_nothing[key] = (
                replace(self._found_nothing[key], at=now)
                if since is None
                else _Look(now, now, since)
            )

    def forget(self, metric: str, devices: Collection[int]) -> None:
        """Forget devices that have a value."""
        for number in devices:
            self._found_nothing.pop((number, metric), None)


def missing_since(session: Session) -> dict[tuple[int, str], datetime]:
    """Return since when values are missing by the alerts that go on, by row number of the device and metric."""
    # Columns, no records: a session keeps these as it read them first, and they are read again when they are locked.
    query = select(DeviceAlert.device_id, DeviceAlert.details).where(
        DeviceAlert.status.in_((AlertStatus.ACTIVE, AlertStatus.ACKNOWLEDGED)),
        DeviceAlert.alert_type == RuleType.MISSING.value,
    )
    return {
        (number, details["metric"]): datetime.fromisoformat(details["since"])
        for number, details in session.execute(query)
        if details and {"since", "metric"} <= details.keys()
    }


def gone_since(session: Session, now: datetime) -> dict[int, datetime]:
    """Return since when devices have no meter any more, by their row numbers: the end of its last legal day.

    Parameters
    ----------
    now
        The time that it is, aware.
    """
    query = (
        select(Meter.device_id, Meter.in_service_to, Site.time_zone)
        .join(Site, Site.id == Meter.site_id)
        .where(Meter.in_service_to.is_not(None))
    )
    found = {}
    for number, last, where in session.execute(query):
        if last is not None and now.astimezone(zone(where)).date() > last:
            found[number] = utc_of(legal_day_end_s(last, zone(where)))
    return found
