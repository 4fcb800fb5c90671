"""The most that the contract takes from an operator in one call, as the books have it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.contracts.events import SETTLEMENT
from ledger.models import BlockchainTransaction, SettlementTerm, SmartContract
from ledger.settlement.netting import Limits


def caps_set(session: Session) -> tuple[int, int] | None:
    """Return the caps that were set last, in cents and kg, as the mirror has it; None: none was set since the start."""
    query = (
        select(SettlementTerm.notional_cap_cents, SettlementTerm.credit_cap_kg)
        .where(SettlementTerm.notional_cap_cents.is_not(None))
        .order_by(SettlementTerm.block_number.desc(), SettlementTerm.log_index.desc())
    )
    found = session.execute(query.limit(1)).first()
    return None if found is None else (int(found[0] or 0), int(found[1] or 0))


def caps_in_books(session: Session) -> Limits:
    """Return the caps as the mirror has them: as they were set last, or as the contract was made; none, if unknown."""
    found = caps_set(session)
    if found is not None:
        return Limits(cents=found[0], kg=found[1])
    name, at = SmartContract.contract_name, SmartContract.contract_address
    query = (
        select(BlockchainTransaction.parameters)
        .where(
            BlockchainTransaction.function_name == "constructor",
            BlockchainTransaction.contract_address.in_(
                select(at).where(name.startswith(f"{SETTLEMENT}@", autoescape=True))
            ),
        )
        .order_by(BlockchainTransaction.id)  # it stands at the beginning of what is mirrored
    )
    made = session.scalars(query.limit(1)).first()
    if made is None or not {"notionalCap", "creditCap"} <= made.keys():
        return Limits()
    return Limits(cents=int(made["notionalCap"]), kg=int(made["creditCap"]))
