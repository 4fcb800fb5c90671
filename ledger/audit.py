"""What was done by hand to the books, and why: written in the unit of work that did it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from ledger.models import AuditLog


def record(
    session: Session, action: str, resource: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Add an entry to the audit log, which only grows.

    Parameters
    ----------
    action
        What was done, such as ``trades.cancel``.
    resource
        What it was done to: ``<table>/<row number>``.
    old, new
        Values before and after; the new ones with the reason.
    """
    session.add(
        AuditLog(
            user_id=None,
            action=action,
            resource=resource,
            old_values=dict(old),
            new_values=dict(new),
            ip_address=None,
            created_at=datetime.now(UTC),
        )
    )
    session.flush()
