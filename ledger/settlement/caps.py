"""What the contract takes from an operator in one call, as the books have it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import BlockchainTransaction, SettlementTerm
from ledger.settlement.netting import Limits

_BEGINNING = 100
"""Transactions among which those are looked for that made the contracts."""


def caps_in_books(session: Session) -> Limits:
    """Return the caps as the mirror has them: as they were set last, or as the contract was made; none, if unknown."""
    query = (
        select(SettlementTerm.notional_cap_cents, SettlementTerm.credit_cap_kg)
        .where(SettlementTerm.notional_cap_cents.is_not(None))
        .order_by(SettlementTerm.block_number.desc(), SettlementTerm.log_index.desc())
    )
    found = session.execute(query.limit(1)).first()
    if found is not None:
        cents, kg = found
        return Limits(cents=int(cents or 0), kg=int(kg or 0))
    # It stands at the beginning of what is mirrored, which may be long.
    first = select(BlockchainTransaction.id, BlockchainTransaction.function_name)
    begun = session.execute(first.order_by(BlockchainTransaction.id).limit(_BEGINNING)).all()
    for number in (number for number, function in begun if function == "constructor"):
        parameters = session.get_one(BlockchainTransaction, number).parameters
        if parameters and {"notionalCap", "creditCap"} <= parameters.keys():
            return Limits(cents=int(parameters["notionalCap"]), kg=int(parameters["creditCap"]))
    return Limits()
