"""What the books say of transactions. Reads only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.pagination import LIMIT_DEFAULT, Page, fitting, in_order, matching, page_of, paged
from api.transactions.schemas import (
    ContractError,
    Transaction,
    TransactionPage,
    TransactionParameters,
)
from ledger.chain.failures.explanations import explain
from ledger.jsontext import integers_as_text
from ledger.models.blockchain import BlockchainTransaction, SmartContract
from ledger.models.mirror import ChainInclusion
from ledger.models.sending import ChainAttempt

PARAMETERS_MAX = 2 * 2**20
"""Characters that the parameters of a page have together, unless it is a single transaction that has more."""


def list_transactions(
    session: Session, view: ChainView, parameters: TransactionParameters
) -> TransactionPage:
    """Return one page of transactions. It ends before ``limit`` where their parameters are long.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    row = BlockchainTransaction
    asked = (
        (row.status, parameters.status),
        (row.contract_address, parameters.contract_address),
        (row.function_name, parameters.function_name),
        (row.tx_hash, parameters.tx_hash),
    )
    sizes = matching(select(row.id, func.coalesce(func.length(row.parameters), 0)), *asked)
    if parameters.key is not None:
        # Whatever is in a block with a key was signed before. Inclusions have no index of their keys.
        mine = select(ChainAttempt.tx_hash).where(ChainAttempt.intent_key == parameters.key)
        sizes = sizes.where(row.tx_hash.in_(session.scalars(mine).all()))
    page = _fitting(session, sizes, parameters)
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
        .where(row.id.in_(page.rows))
    )
    rows = session.execute(in_order(query, parameters, row.id))
    items = [_item(view, *parts) for parts in rows]
    return TransactionPage(items=items, next_cursor=page.next_cursor, **view.fields())


def _fitting(
    session: Session, sizes: Select[int, int], parameters: TransactionParameters
) -> Page[int]:
    """Return the numbers of the rows of a page: anybody may send long inputs, so lengths are looked at before.

    Parameters
    ----------
    sizes
        Query of numbers and lengths, with all filters.
    """
    found: list[tuple[int, int]] = []
    step = parameters.model_copy(update={"limit": min(parameters.limit, LIMIT_DEFAULT)})
    while True:
        some = session.execute(paged(sizes, step, BlockchainTransaction.id)).all()
        found += [(number, size) for number, size in some]
        long = sum(size for _, size in found) > PARAMETERS_MAX
        if len(some) <= step.limit or len(found) > parameters.limit or long:
            break
        # Not all at once, since a database reads what it says the length of.
        after = parameters.cursor_after(found[-1][0])
        step = parameters.model_copy(update={"limit": len(found), "cursor": after})
    held = fitting([size for _, size in found[: parameters.limit]], PARAMETERS_MAX)
    numbers = [number for number, _ in found]
    return page_of(parameters.model_copy(update={"limit": held}), numbers, numbers)


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
        parameters=integers_as_text(row.parameters),
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
