"""Factors in use whose time ends soon or is over, that nobody compared with their source, or that have a successor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Device, EmissionFactor, Meter, Project, Site

SOON = timedelta(days=60)
"""How long before its last day a factor is spoken of."""
_DAY = timedelta(days=1)
_AT_ONCE = " and apply it"
"""The inventory has for each day the version of that day, whichever is named."""
_ISSUED_FIRST = " once all up to then is issued, and apply it"
"""A period is issued with the version that is named, and refused where that is not for all of its days."""


def factor_alarms(session: Session, today: date) -> list[str]:
    """Return a sentence for every factor in use that a person should look at, with what to do.

    Parameters
    ----------
    today
        The day, in UTC.
    """
    found = []
    for use, factor, apply in _in_use(session):
        name = f"factor {factor.code} {factor.version} of {use}"
        last = factor.valid_to
        if last is not None and last - today <= SOON:
            when = "was" if last < today else "is"
            successor = _successor(session, factor, max(today, last + _DAY))
            mend = (
                f"its version {successor} is in the books: name that in the site file"
                if successor
                else "add its next version to the site file, name that"
            )
            found.append(f"{name} {when} for days up to {last}: {mend}{apply}")
        if not factor.verified:
            found.append(
                f"{name} was not compared with its source: do that, and set verified = true under a new version"
            )
    return found


def _in_use(session: Session) -> Iterator[tuple[str, EmissionFactor, str]]:
    """Yield every use of a factor, of a project, a device's fuel, a site's inventories; and when another is applied."""
    projects = select(Project.code, EmissionFactor).join(
        EmissionFactor, EmissionFactor.id == Project.factor_id
    )
    for code, factor in session.execute(projects.order_by(Project.code)):
        yield f"project {code}", factor, _ISSUED_FIRST
    fuels = (
        select(Device.device_id, EmissionFactor)
        .join(Meter, Meter.device_id == Device.id)
        .join(EmissionFactor, EmissionFactor.id == Meter.fuel_factor_id)
    )
    for code, factor in session.execute(fuels.order_by(Device.device_id)):
        yield f"device {code}", factor, _ISSUED_FIRST
    for column, what in (
        (Site.inventory_factor_id, "inventory"),
        (Site.market_factor_id, "market-based inventory"),
    ):
        sites = select(Site.code, EmissionFactor).join(EmissionFactor, EmissionFactor.id == column)
        for code, factor in session.execute(sites.order_by(Site.code)):
            yield f"the {what} of site {code}", factor, _AT_ONCE


def _successor(session: Session, factor: EmissionFactor, day: date) -> str | None:
    """Return the version of a later row with the same code and purpose that is valid on a day."""
    query = (
        select(EmissionFactor)
        .where(
            EmissionFactor.code == factor.code,
            EmissionFactor.purpose == factor.purpose,
            EmissionFactor.id > factor.id,
        )
        .order_by(EmissionFactor.id.desc())
    )
    for other in session.scalars(query):
        begun = other.valid_from is None or other.valid_from <= day
        if begun and (other.valid_to is None or other.valid_to >= day):
            return other.version
    return None
