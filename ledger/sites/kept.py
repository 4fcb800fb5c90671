"""Meters that credits stand on: what of them a site file may not change any more."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Meter, MeterSeries, ReadingClaim
from ledger.readings.periods.issued import is_named_by_issuance


def why_as_it_is(session: Session, meter: Meter) -> str | None:
    """Return why a meter keeps serial and role; None: it need not."""
    if session.get(MeterSeries, meter.id) is not None:
        return "has readings"
    return "is named by credits that were issued" if is_named_by_issuance(session, meter) else None


def why_in_project(session: Session, meter: Meter) -> str | None:
    """Return why a meter stays with its project; None: it need not."""
    if meter.project_id is None:
        return None
    query = select(ReadingClaim.issuance_id).where(ReadingClaim.meter_id == meter.id).limit(1)
    if session.scalars(query).first() is not None:
        return f"readings of its meter {meter.serial} were issued"
    if is_named_by_issuance(session, meter):
        return f"credits that were issued name its meter {meter.serial}, without readings"
    return None
