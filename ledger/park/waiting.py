"""For which devices one waits, and how the time of day bears on what does not come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
