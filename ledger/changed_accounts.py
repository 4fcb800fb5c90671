"""Accounts that plants and markets had before: who has changed a key has settled trades with the former one.

Each change is told in the audit log, in the same commit. What was settled with a former account stays settled for
its plant: the trade is found again on chain, and held against it, by all accounts that the plant has had.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import AuditLog, VppSettlementAccount

ACTION = "settlement.account"
"""What the audit log calls a change."""


def resource_of(number: int) -> str:
    """Return how the audit log names an account, by its row."""
    return f"{VppSettlementAccount.__tablename__}/{number}"


def former_addresses(session: Session) -> dict[int, frozenset[str]]:
    """Return the accounts that plants and markets had before, by the row of their account."""
    query = select(AuditLog.resource, AuditLog.old_values).where(AuditLog.action == ACTION)
    found: dict[int, set[str]] = defaultdict(set)
    for resource, old in session.execute(query):
        found[int(resource.rpartition("/")[2])].add(old["address"])
    return {number: frozenset(had) for number, had in found.items()}


def former_of_plant(session: Session, vpp_id: int) -> list[str]:
    """Return the accounts that a plant had before and has no longer, sorted."""
    query = select(VppSettlementAccount).where(VppSettlementAccount.vpp_id == vpp_id)
    row = session.scalars(query).first()
    if row is None:
        return []
    return sorted(former_addresses(session).get(row.id, frozenset()) - {row.address})


def plants_of(session: Session, address: str) -> list[int]:
    """Return the row numbers of the plants whose account an address is, or was; whose it is come first."""
    had = former_addresses(session)
    query = select(VppSettlementAccount).where(VppSettlementAccount.vpp_id.is_not(None))
    rows = session.scalars(query.order_by(VppSettlementAccount.vpp_id)).all()
    now = [row.vpp_id for row in rows if row.vpp_id and row.address == address]
    before = [row.vpp_id for row in rows if row.vpp_id and address in had.get(row.id, ())]
    return list(dict.fromkeys(now + before))
