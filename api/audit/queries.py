"""What the audit log says. Reads only; the command line uses it too."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from api.audit.schemas import AuditEntry, AuditPage, AuditParameters
from api.pagination import between, matching, page_of, paged
from ledger.models import AuditLink, AuditLog, User


def list_entries(session: Session, parameters: AuditParameters) -> AuditPage:
    """Return one page of the audit log.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = (
        select(AuditLog, User.username, AuditLink)
        .outerjoin(User, User.id == AuditLog.user_id)
        .outerjoin(AuditLink, AuditLink.audit_id == AuditLog.id)
    )
    query = matching(
        query,
        (User.username, parameters.user),
        (AuditLog.action, parameters.action),
    )
    if parameters.resource is not None:
        query = query.where(_is_of(parameters.resource))
    query = between(query, AuditLog.created_at, parameters.done_from, parameters.done_before)
    found = session.execute(paged(query, parameters, AuditLog.id)).all()
    page = page_of(parameters, found, [row.id for row, *_ in found])
    items = [_entry(row, username, link) for row, username, link in page.rows]
    return AuditPage(items=items, next_cursor=page.next_cursor)


def _is_of(resource: str) -> ColumnElement[bool]:
    """Return the condition that an entry is of a row, or of any row of a table whose name stands alone."""
    name = resource.removesuffix("/")
    exact = AuditLog.resource == name
    if "/" in name:
        return exact
    after = chr(ord("/") + 1)
    return or_(exact, and_(AuditLog.resource >= f"{name}/", AuditLog.resource < f"{name}{after}"))


def _entry(row: AuditLog, username: str | None, link: AuditLink | None) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        created_at=row.created_at,
        user_id=row.user_id,
        username=username,
        ip_address=row.ip_address,
        action=row.action,
        resource=row.resource,
        old_values=row.old_values,
        new_values=row.new_values,
        position=None if link is None else link.position,
        previous_hash=None if link is None else link.previous_hash,
        entry_hash=None if link is None else link.entry_hash,
    )
