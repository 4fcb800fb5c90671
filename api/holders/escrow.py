"""What accounts have in the settlement contract, as the mirror says. Reads only."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from api.holders.schemas import Escrowed
from ledger.models import (
    CreditBatch,
    CreditSite,
    SettlementBalance,
    SettlementBatch,
    SettlementMovement,
    SettlementTrade,
)
from ledger.models.escrow import CURRENCY, MovementKind
from ledger.serials import batch_name

ESCROW_MAX = 200
"""Most batches in escrow of one answer."""


def credits_of(session: Session, address: str) -> list[Escrowed]:
    """Return the credits that an account has in the settlement contract, the newest batch first."""
    row = SettlementBalance
    query = (
        select(row.balance, CreditBatch, CreditSite.code)
        .join(CreditBatch, CreditBatch.batch_id == row.asset)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(row.account == address, row.asset != CURRENCY, row.balance != 0)
        .order_by(row.asset.desc())
        .limit(ESCROW_MAX)
    )
    return [
        Escrowed(
            batch_id=batch.batch_id,
            batch=batch_name(code or batch.site_id, batch.vintage, batch.ordinal),
            amount_kg=int(kg),
        )
        for kg, batch, code in session.execute(query)
    ]


def money_of(session: Session, accounts: Collection[str]) -> dict[str, int]:
    """Return the money of each of these accounts, in base units of the currency; 0 for one that has none."""
    row = SettlementBalance
    query = select(row.account, row.balance).where(row.asset == CURRENCY, row.account.in_(accounts))
    found = {account: int(units) for account, units in session.execute(query)}
    return {account: found.get(account, 0) for account in accounts}


def units_per_cent(session: Session) -> int | None:
    """Return how many base units of the settlement currency make a cent, by what the contract took of a debtor.

    The books know it from no other place: None as long as nothing was settled.
    """
    debits = (
        SettlementMovement.kind == MovementKind.DEBIT,
        SettlementMovement.asset == CURRENCY,
    )
    batch = (
        select(SettlementMovement.amount, SettlementMovement.sub_index, SettlementBatch.nets)
        .join(SettlementBatch, SettlementBatch.batch_id == SettlementMovement.batch_id)
        .where(*debits)
        .limit(1)
    )
    found = session.execute(batch).first()
    if found is not None:
        return int(found.amount) // int(found.nets[found.sub_index])
    same_log = and_(
        SettlementTrade.block_number == SettlementMovement.block_number,
        SettlementTrade.log_index == SettlementMovement.log_index,
    )
    single = select(SettlementMovement.amount, SettlementTrade.cents).join(
        SettlementTrade, same_log
    )
    paid = session.execute(single.where(*debits, SettlementTrade.cents != 0).limit(1)).first()
    return None if paid is None else abs(int(paid.amount)) // abs(paid.cents)
