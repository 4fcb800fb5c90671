"""What was done by hand to the books, and why: written in the unit of work that did it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from ledger import audit_chain
from ledger.models import AuditLog

ACTIONS = (
    "alerts.acknowledge",
    "alerts.resolve",
    "archive.forget",
    "archive.move",
    "books.copy",
    "config.set",
    "config.unset",
    "factors.import",
    "jobs.pause",
    "jobs.resume",
    "keys.make",
    "keys.revoke",
    "park.add",
    "park.change",
    "park.import",
    "permissions.decide",
    "permissions.leave-to-role",
    "readings.import",
    "readings.restore",
    "readings.withdraw",
    "sealing.reseal",
    "sending.displace",
    "sessions.begin",
    "sessions.end",
    "sessions.forget",
    "settlement.account",
    "settlement.withdraw",
    "site.apply",
    "site.change",
    "site.remove",
    "trades.cancel",
    "trades.execute",
    "trades.import",
    "trades.renumber",
    "trades.reopen",
    "users.add",
    "users.change",
    "users.password",
    "users.profile",
    "webhooks.add",
    "webhooks.change",
    "webhooks.disable",
    "webhooks.remove",
    "webhooks.replay",
    "webhooks.rotate",
)
"""All that is noted, by its names; a log may have others, of an earlier version or of another program."""


@dataclass(frozen=True)
class By:
    """Who does something, for the audit log.

    Parameters
    ----------
    user_id
        Row number of the user; None: whoever may run commands here, or a job.
    ip_address
        Address that the request came from; None: from this machine's command line.
    api_key_id
        Row number of the API key that acted for the user; None: the user in person.
    """

    user_id: int | None = None
    ip_address: str | None = None
    api_key_id: int | None = None


HOUSE = By()
"""A command or a job."""


def record(
    session: Session,
    action: str,
    resource: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    by: By = HOUSE,
) -> None:
    """Add an entry to the audit log, which only grows; at the commit it gets its place in ``ledger.audit_chain``.

    Parameters
    ----------
    action
        What was done, such as ``trades.cancel``: one of ``ACTIONS``.
    resource
        What it was done to: ``<table>/<row number>``.
    old, new
        Values before and after, without secrets; the new ones with the reason.
    by
        Who did it; an API key stands among the new values, as ``by_api_key``.
    """
    after = dict(new)
    if by.api_key_id is not None:
        after["by_api_key"] = by.api_key_id
    row = AuditLog(
        user_id=by.user_id,
        action=action,
        resource=resource,
        old_values=dict(old),
        new_values=after,
        ip_address=by.ip_address,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    audit_chain.follow(session, row.id)
