"""What a hash, an address or a number may be the name of, and on whose behalf something was retired. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import quote

from sqlalchemy import String, or_, select, type_coerce
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.search.schemas import Hit, HitKind
from ledger.changed_accounts import markets_of, plants_of
from ledger.db.sqltext import holds
from ledger.models import (
    BlockchainTransaction,
    ChainIntent,
    CreditHolding,
    CreditRetirement,
    SettlementBalance,
    SettlementBatch,
    SmartContract,
    VppDefinition,
    VppSettlementAccount,
    VppSettlementBatch,
)
from ledger.units import tonnes_of_kg

_RESULTS_MAX = 20


def of_hash(session: Session, text: str) -> Iterator[Hit]:
    """Yield transactions, retirements and settlement batches with a hash or a key in lower case."""
    query = select(BlockchainTransaction).where(BlockchainTransaction.tx_hash == text)
    for row in session.scalars(query):
        yield _transaction(row)
    retirements = select(CreditRetirement).where(CreditRetirement.key == text)
    for retirement in session.scalars(retirements.limit(_RESULTS_MAX)):
        yield _retirement(retirement)
    batch = session.scalars(
        select(VppSettlementBatch).where(VppSettlementBatch.batch_key == text)
    ).first()
    if batch is not None:
        yield _settlement(batch)
    other = session.scalars(select(SettlementBatch).where(SettlementBatch.key == text)).first()
    if other is not None and batch is None:
        yield _others_settlement(other)
    intent = session.get(ChainIntent, text)
    if intent is not None and intent.tx_hash is not None:
        query = select(BlockchainTransaction).where(BlockchainTransaction.tx_hash == intent.tx_hash)
        for row in session.scalars(query):
            yield _transaction(row)


def of_address(session: Session, text: str, view: ChainView) -> Iterator[Hit]:
    """Yield contracts at an address in lower case, plants whose account it is or was, and who else holds anything."""
    contracts = select(SmartContract).where(
        SmartContract.contract_address == text, SmartContract.network == view.network
    )
    for contract in session.scalars(contracts):
        yield contract_hit(contract, exact=True)
    for number in plants_of(session, text)[:_RESULTS_MAX]:
        yield plant_hit(session.get_one(VppDefinition, number), exact=True)
    if _has_anything(session, text) or markets_of(session, text):
        yield Hit(
            kind=HitKind.HOLDER,
            id=text,
            title=f"holder {text}",
            link=f"/v1/holders/{text}",
            exact=True,
        )


def of_cut(session: Session, view: ChainView, head: str, tail: str) -> Iterator[Hit]:
    """Yield what has a hash or an address that begins and ends so, in lower case."""
    for column, hits_of in (
        (BlockchainTransaction.tx_hash, of_hash),
        (CreditRetirement.key, of_hash),
        (VppSettlementBatch.batch_key, of_hash),
        (SettlementBatch.key, of_hash),
        (SmartContract.contract_address, partial(of_address, view=view)),
        (VppSettlementAccount.address, partial(of_address, view=view)),
        (CreditHolding.holder, partial(of_address, view=view)),
    ):
        part = type_coerce(column, String())  # which the column itself refuses, as no hash
        query = select(part).where(part >= head, part < f"{head}g", part.endswith(tail))
        for whole in session.scalars(query.distinct().order_by(part).limit(_RESULTS_MAX)):
            for hit in hits_of(session, whole):
                yield hit.model_copy(update={"exact": False})


def _has_anything(session: Session, account: str) -> bool:
    held = select(CreditHolding.batch_id).where(CreditHolding.holder == account)
    row = SettlementBalance
    paid_in = select(row.asset).where(row.account == account, row.balance != 0)
    return any(session.scalars(query.limit(1)).first() is not None for query in (held, paid_in))


def of_number(session: Session, number: int) -> Iterator[Hit]:
    """Yield the retirement and the settlement batch with a number."""
    retirement = session.get(CreditRetirement, number)
    if retirement is not None:
        yield _retirement(retirement)
    batch = session.scalars(
        select(VppSettlementBatch).where(
            or_(VppSettlementBatch.id == number, VppSettlementBatch.chain_batch_id == number)
        )
    ).all()
    for row in batch:
        yield _settlement(row)


def of_beneficiary(session: Session, text: str, limit: int) -> Iterator[Hit]:
    """Yield the retirements on behalf of whom a text names, wholly or in part, the latest first."""
    row = CreditRetirement
    query = select(row).where(holds(session, row.beneficiary, text))
    for retirement in session.scalars(query.order_by(row.retirement_id.desc()).limit(limit)):
        yield _retirement(retirement).model_copy(update={"exact": False})


def plant_hit(plant: VppDefinition, *, exact: bool) -> Hit:
    """Return a virtual power plant as a result."""
    return Hit(
        kind=HitKind.PLANT,
        id=plant.vpp_id,
        title=f"virtual power plant {plant.vpp_id}: {plant.name}",
        link=f"/v1/plants/{quote(plant.vpp_id, safe='')}",
        exact=exact,
    )


def market_hit(row: VppSettlementAccount, *, exact: bool) -> Hit:
    """Return the settlement account of a market as a result."""
    return Hit(
        kind=HitKind.HOLDER,
        id=row.address,
        title=f"holder {row.address}, the account of market {row.market}",
        link=f"/v1/holders/{row.address}",
        exact=exact,
    )


def contract_hit(contract: SmartContract, *, exact: bool) -> Hit:
    """Return a contract as a result."""
    return Hit(
        kind=HitKind.CONTRACT,
        id=contract.contract_address,
        title=f"contract {contract.contract_name} on {contract.network}",
        link=f"/v1/contracts?contract_address={contract.contract_address}",
        exact=exact,
    )


def _transaction(row: BlockchainTransaction) -> Hit:
    what = row.function_name or "transaction"
    return Hit(
        kind=HitKind.TRANSACTION,
        id=row.tx_hash,
        title=f"{what} {row.tx_hash}, {row.status.value}",
        link=f"/v1/transactions?tx_hash={row.tx_hash}",
        exact=True,
    )


def _retirement(row: CreditRetirement) -> Hit:
    whom = f" for {row.beneficiary[:80]}" if row.beneficiary else ""
    return Hit(
        kind=HitKind.RETIREMENT,
        id=str(row.retirement_id),
        title=f"retirement {row.retirement_id}, {tonnes_of_kg(row.amount_kg):f} t CO2e{whom}",
        link=f"/v1/retirements/{row.retirement_id}",
        exact=True,
    )


def _settlement(row: VppSettlementBatch) -> Hit:
    return Hit(
        kind=HitKind.SETTLEMENT,
        id=row.batch_key,
        title=f"settlement of {row.trade_count} trades on {row.market}, {row.state.value}",
        link=f"/v1/settlements/{row.batch_key}",
        exact=True,
    )


def _others_settlement(row: SettlementBatch) -> Hit:
    return Hit(
        kind=HitKind.SETTLEMENT,
        id=row.key,
        title=f"settlement of {row.trade_count} trades of others, {row.status.value}",
        link=f"/v1/settlements/{row.key}",
        exact=True,
    )
