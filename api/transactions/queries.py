"""What the books say of transactions. Reads only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, func, select, union
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.pagination import matching, page_of, paged
from api.transactions.schemas import (
    ContractError,
    Transaction,
    TransactionPage,
    TransactionParameters,
)
from ledger.chain.failures.explanations import explain
from ledger.models.blockchain import BlockchainTransaction, SmartContract
from ledger.models.mirror import ChainInclusion
from ledger.models.sending import ChainAttempt


def list_transactions(
    session: Session, view: ChainView, parameters: TransactionParameters
) -> TransactionPage:
    """Return one page of transactions.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    row = BlockchainTransaction
    # A pending transaction is in no block yet: its key stands with the sender's attempt.
    key = func.coalesce(ChainInclusion.intent_key, ChainAttempt.intent_key)
    query = (
        select(row, ChainInclusion, SmartContract.contract_name, key.label("key"))
        .outerjoin(ChainInclusion, ChainInclusion.tx_hash == row.tx_hash)
        .outerjoin(ChainAttempt, ChainAttempt.tx_hash == row.tx_hash)
        .outerjoin(
            SmartContract,
            and_(
                SmartContract.contract_address == row.contract_address,
                SmartContract.network == view.network,
            ),
        )
    )
    query = matching(
        query,
        (row.status, parameters.status),
        (row.contract_address, parameters.contract_address),
        (row.function_name, parameters.function_name),
        (row.tx_hash, parameters.tx_hash),
    )
    if parameters.key is not None:
        places = (ChainInclusion, ChainAttempt)
        mine = (select(each.tx_hash).where(each.intent_key == parameters.key) for each in places)
        # Sought before: MariaDB would ask a union of both again for each transaction.
        query = query.where(row.tx_hash.in_(session.scalars(union(*mine)).all()))
    found = session.execute(paged(query, parameters, row.id)).all()
    page = page_of(parameters, found, [item.BlockchainTransaction.id for item in found])
    items = [_item(view, *parts) for parts in page.rows]
    return TransactionPage(items=items, next_cursor=page.next_cursor, **view.fields())


def _item(
    view: ChainView,
    row: BlockchainTransaction,
    inclusion: ChainInclusion | None,
    contract_name: str | None,
    key: Any,
) -> Transaction:
    block = inclusion.block_number if inclusion is not None else None
    error = inclusion.error if inclusion is not None else None
    return Transaction(
        id=row.id,
        tx_hash=row.tx_hash,
        key=key,
        contract_address=row.contract_address,
        contract_name=contract_name,
        function_name=row.function_name,
        parameters=row.parameters,
        status=row.status,
        error=error,
        explanation=_explained(error),
        sender=inclusion.sender if inclusion is not None else None,
        block_number=block,
        gas_used=row.gas_used,
        gas_price=row.gas_price,
        created_at=row.created_at,
        confirmed_at=row.confirmed_at,
        final=view.is_final(block),
    )


def _explained(error: str | None) -> ContractError | None:
    found = explain(error)
    return None if found is None else ContractError(**asdict(found))
