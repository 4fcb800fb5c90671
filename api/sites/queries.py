"""What the books say of sites. Reads only."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.pagination import page_of, paged
from api.sites.months import issuances_of, months_of
from api.sites.schemas import Site, SiteAnswer, SiteDevice, SitePage, SiteParameters
from ledger.errors import NotFound
from ledger.models import Device, EmissionFactor, Meter, Project
from ledger.models import Site as SiteRow
from ledger.reductions.zones import zone

DEVICES_MAX = 500
"""Most devices of one answer."""


def list_sites(session: Session, view: ChainView, parameters: SiteParameters) -> SitePage:
    """Return one page of sites.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = select(SiteRow)
    if parameters.country is not None:
        query = query.where(SiteRow.country == parameters.country.upper())
    found = session.scalars(paged(query, parameters, SiteRow.id)).all()
    page = page_of(parameters, found, [row.id for row in found])
    projects = _projects(session, [row.id for row in page.rows])
    return SitePage(
        items=[_item(row, projects.get(row.id, {})) for row in page.rows],
        next_cursor=page.next_cursor,
        **view.fields(),
    )


def show_site(session: Session, view: ChainView, code: str) -> SiteAnswer:
    """Return one site, with its devices and what each month brought.

    Raises
    ------
    NotFound
        If there is no such site.
    """
    row = session.scalars(select(SiteRow).where(SiteRow.code == code)).first()
    if row is None:
        raise NotFound(f"there is no site {code[:100]!r}; /v1/sites has all of them")
    projects = _projects(session, [row.id]).get(row.id, {})
    of_site = (
        select(Meter, Device)
        .join(Device, Device.id == Meter.device_id)
        .where(Meter.site_id == row.id)
        .order_by(Device.device_id)
    )
    meters = session.execute(of_site.limit(DEVICES_MAX)).all()
    device_ids = session.scalars(of_site.with_only_columns(Device.id)).all()  # months are of all
    factors = {
        number: name
        for number, name in session.execute(
            select(EmissionFactor.id, EmissionFactor.code).where(
                EmissionFactor.id.in_([row.inventory_factor_id, row.market_factor_id])
            )
        )
    }
    return SiteAnswer(
        **dict(_item(row, projects)),
        **view.fields(),
        inventory_factor=factors.get(row.inventory_factor_id or 0),
        market_factor=factors.get(row.market_factor_id or 0),
        devices=[
            SiteDevice(
                code=device.device_id,
                name=device.name,
                type=device.type,
                meter=meter.serial,
                role=meter.role,
                rated_kw=meter.rated_kw,
                project=projects.get(meter.project_id or 0),
            )
            for meter, device in meters
        ],
        months=months_of(session, zone(row.time_zone), device_ids, list(projects)),
        issuances=issuances_of(session, view, list(projects)),
    )


def _projects(session: Session, site_ids: Iterable[int]) -> dict[int, dict[int, str]]:
    """Return the codes of the projects of sites: by site, by row number of the project."""
    query = (
        select(Project.site_id, Project.id, Project.code)
        .where(Project.site_id.in_(site_ids))
        .order_by(Project.code)
    )
    found: dict[int, dict[int, str]] = {}
    for site_id, project_id, code in session.execute(query):
        found.setdefault(site_id, {})[project_id] = code
    return found


def _item(row: SiteRow, projects: dict[int, str]) -> Site:
    return Site(
        id=row.id,
        code=row.code,
        name=row.name,
        time_zone=row.time_zone,
        country=row.country,
        projects=list(projects.values()),
    )
