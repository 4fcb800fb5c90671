"""What the books say of projects. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.credits.asof import view_at
from api.credits.batches import sums_of
from api.credits.then import batches_then
from api.finality import ChainView
from api.pagination import matching, page_of, paged
from api.projects.schemas import (
    Project,
    ProjectAnswer,
    ProjectCredits,
    ProjectPage,
    ProjectParameters,
)
from api.sites.months import issuances_of, months_of
from ledger.errors import NotFound
from ledger.models import CreditBatch, CreditSite, Device, EmissionFactor, Meter, Site
from ledger.models import Project as ProjectRow
from ledger.models.credits import BatchStatus
from ledger.reductions.zones import zone

_AT_ONCE = 500
"""Batches whose past is read at once."""


def list_projects(session: Session, view: ChainView, parameters: ProjectParameters) -> ProjectPage:
    """Return one page of projects.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = (
        select(ProjectRow, Site.code, EmissionFactor.code)
        .join(Site, Site.id == ProjectRow.site_id)
        .join(EmissionFactor, EmissionFactor.id == ProjectRow.factor_id)
    )
    query = matching(
        query, (Site.code, parameters.site), (ProjectRow.methodology, parameters.methodology)
    )
    found = session.execute(paged(query, parameters, ProjectRow.id)).all()
    page = page_of(parameters, found, [row[0].id for row in found])
    return ProjectPage(
        items=[_item(*parts) for parts in page.rows], next_cursor=page.next_cursor, **view.fields()
    )


def show_project(
    session: Session, view: ChainView, code: str, block: int | None = None
) -> ProjectAnswer:
    """Return one project, with its credits, its issuances and what each month brought.

    Parameters
    ----------
    block
        Credits and issuances as they stood at the end of this block; None: as they are.

    Raises
    ------
    NotFound
        If there is no such project.
    BadInput
        If the mirror cannot speak of the block.
    """
    view = view_at(session, view, block)
    query = (
        select(ProjectRow, Site, EmissionFactor)
        .join(Site, Site.id == ProjectRow.site_id)
        .join(EmissionFactor, EmissionFactor.id == ProjectRow.factor_id)
        .where(ProjectRow.code == code)
    )
    found = session.execute(query).first()
    if found is None:
        raise NotFound(f"there is no project {code[:100]!r}; /v1/projects has all of them")
    row, site, factor = found
    devices = session.execute(
        select(Device.id, Device.device_id)
        .join(Meter, Meter.device_id == Device.id)
        .where(Meter.project_id == row.id)
        .order_by(Device.device_id)
    ).all()
    return ProjectAnswer(
        **dict(_item(row, site.code, factor.code)),
        **view.fields(),
        time_zone=site.time_zone,
        factor_version=factor.version,
        factor_value=factor.value,
        factor_unit=factor.unit,
        completeness_min=row.completeness_min,
        leakage_share=row.leakage_share or "0",
        uncertainty_share=row.uncertainty_share or "0",
        credits=credits_of(session, row.code)
        if block is None
        else _credits_then(session, row.code, block),
        devices=[name for _, name in devices],
        months=months_of(
            session, zone(site.time_zone), [number for number, _ in devices], [row.id]
        ),
        issuances=issuances_of(session, view, [row.id], block),
    )


def device_names(session: Session, codes: Sequence[str]) -> dict[str, str]:
    """Return the names that devices have, by their codes."""
    query = select(Device.device_id, Device.name).where(Device.device_id.in_(codes))
    return {code: name for code, name in session.execute(query)}


def credits_of(session: Session, code: str) -> ProjectCredits:
    """Return the sums of a project's batches."""
    return _sums(*sums_of(session, code))


def _credits_then(session: Session, code: str, block: int) -> ProjectCredits:
    """Return the sums of a project's batches as they stood at the end of a block."""
    query = (
        select(CreditBatch)
        .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(CreditSite.code == code, CreditBatch.block_number <= block)
        .order_by(CreditBatch.batch_id)
    )
    batches = [(batch, code) for batch in session.scalars(query)]
    issued = retired = cancelled = 0
    for at in range(0, len(batches), _AT_ONCE):
        for then in batches_then(session, batches[at : at + _AT_ONCE], block):
            whole = then.status is BatchStatus.CANCELLED
            issued += then.batch.issued_kg
            retired += then.retired_kg
            cancelled += then.batch.issued_kg - then.retired_kg if whole else then.cancelled_kg
    return _sums(len(batches), issued, retired, cancelled)


def _sums(batches: int, issued: int, retired: int, cancelled: int) -> ProjectCredits:
    return ProjectCredits(
        batches=batches,
        issued_kg=issued,
        active_kg=issued - retired - cancelled,
        retired_kg=retired,
        cancelled_kg=cancelled,
    )


def _item(row: ProjectRow, site: str, factor: str) -> Project:
    return Project(
        id=row.id,
        code=row.code,
        site=site,
        methodology=row.methodology,
        methodology_version=row.methodology_version,
        factor=factor,
        program=row.program,
    )
