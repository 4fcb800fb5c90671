"""Factors in use whose time ends soon or is over, that nobody compared with their source, or that have a successor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import EmissionFactor, Project, Site

SOON = timedelta(days=60)
"""How long before its last day a factor is spoken of."""


def factor_alarms(session: Session, today: date) -> list[str]:
    """Return a sentence for every factor in use that a person should look at, with what to do.

    Parameters
    ----------
    today
        The day, in UTC.
    """
    found = []
    for use, factor in _in_use(session):
        name = f"factor {factor.code} {factor.version} of {use}"
        successor = _successor(session, factor, today)
        mend = (
            f"its version {successor} is in the books: name that in the site file and apply it"
            if successor
            else "add its next version to the site file, name that and apply it"
        )
        if factor.valid_to is not None and factor.valid_to < today:
            found.append(f"{name} was for days up to {factor.valid_to}: {mend}")
        elif factor.valid_to is not None and factor.valid_to - today <= SOON:
            found.append(f"{name} is for days up to {factor.valid_to}: {mend}")
        if not factor.verified:
            found.append(
                f"{name} was not compared with its source: do that, and set verified = true under a new version"
            )
    return found


def _in_use(session: Session) -> Iterator[tuple[str, EmissionFactor]]:
    """Yield every use of a factor: of a project, and of a site's inventories."""
    projects = select(Project.code, EmissionFactor).join(
        EmissionFactor, EmissionFactor.id == Project.factor_id
    )
    for code, factor in session.execute(projects.order_by(Project.code)):
        yield f"project {code}", factor
    for column, what in (
        (Site.inventory_factor_id, "inventory"),
        (Site.market_factor_id, "market-based inventory"),
    ):
        sites = select(Site.code, EmissionFactor).join(EmissionFactor, EmissionFactor.id == column)
        for code, factor in session.execute(sites.order_by(Site.code)):
            yield f"the {what} of site {code}", factor


def _successor(session: Session, factor: EmissionFactor, today: date) -> str | None:
    """Return the version of a later row with the same code and purpose that is valid today."""
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
        begun = other.valid_from is None or other.valid_from <= today
        if begun and (other.valid_to is None or other.valid_to >= today):
            return other.version
    return None
