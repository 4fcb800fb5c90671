"""Accounts that plants and markets had before: who has changed a key has settled trades with the former one.

Each change is told in the audit log, in the same commit. What was settled with a former account stays settled for
its plant: the trade is found again on chain, and held against it, by all accounts that the plant has had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

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
    return [] if row is None else former_of(session, [row])[row.id]


def former_of(session: Session, rows: Iterable[VppSettlementAccount]) -> dict[int, list[str]]:
    """Return the accounts that whoever has these had before and has no longer, sorted, by the number of the row."""
    had = former_addresses(session)
    return {row.id: sorted(had.get(row.id, frozenset()) - {row.address}) for row in rows}


def plants_of(session: Session, address: str) -> list[int]:
    """Return the row numbers of the plants whose account an address is, or was; whose it is come first."""
    return [row.vpp_id for row in _owners(session, address) if row.vpp_id is not None]


def markets_of(session: Session, address: str) -> list[str]:
    """Return the markets whose account an address is, or was; whose it is come first."""
    return [row.market for row in _owners(session, address) if row.market is not None]


def _owners(session: Session, address: str) -> list[VppSettlementAccount]:
    had = former_addresses(session)
    query = select(VppSettlementAccount).order_by(
        VppSettlementAccount.vpp_id, VppSettlementAccount.market
    )
    rows = session.scalars(query).all()
    now = [row for row in rows if row.address == address]
    before = [row for row in rows if row.address != address and address in had.get(row.id, ())]
    return now + before
