"""Accounts of plants and markets: each change is told in the audit log, in the same commit (``changed_accounts``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from ledger import audit
from ledger.changed_accounts import ACTION, resource_of
from ledger.models import VppSettlementAccount
from ledger.sites.application import Application


def put_account(work: Application, key: Mapping[str, Any], address: str, label: str) -> None:
    """Give a plant or a market its account; the audit log tells of another one than it had."""
    query = select(VppSettlementAccount.address).filter_by(**key)
    before = work.session.scalars(query).first()
    row = work.put(VppSettlementAccount, key, {"address": address}, label)
    if before not in (None, address):
        old, new = {"address": before}, {"address": address, "of": label}
        audit.record(work.session, ACTION, resource_of(row.id), old, new)
