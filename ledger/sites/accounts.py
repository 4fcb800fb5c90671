"""Accounts of plants and markets, and those that they had before: a key that was changed has settled trades.

Each change is told in the audit log, in the same commit. What was settled with a former account stays settled for
its plant: the trade is found again on chain, and held against it, by all accounts that the plant has had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.models import AuditLog, VppSettlementAccount
from ledger.sites.application import Application

ACTION = "settlement.account"
"""What the audit log calls it."""


def put_account(work: Application, key: Mapping[str, Any], address: str, label: str) -> None:
    """Give a plant or a market its account; the audit log tells of another one than it had."""
    query = select(VppSettlementAccount.address).filter_by(**key)
    before = work.session.scalars(query).first()
    row = work.put(VppSettlementAccount, key, {"address": address}, label)
    if before not in (None, address):
        old, new = {"address": before}, {"address": address, "of": label}
        audit.record(work.session, ACTION, _resource(row.id), old, new)


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


def _resource(number: int) -> str:
    return f"{VppSettlementAccount.__tablename__}/{number}"
