"""What the books say of contracts. Reads only."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from api.contracts.schemas import Contract, ContractPage, ContractParameters
from api.finality import ChainView
from api.pagination import matching, page_of, paged
from ledger.models.blockchain import SmartContract


def list_contracts(
    session: Session, view: ChainView, parameters: ContractParameters
) -> ContractPage:
    """Return one page of contracts.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = select(SmartContract).options(defer(SmartContract.bytecode))
    query = matching(
        query,
        (SmartContract.network, parameters.network),
        (SmartContract.status, parameters.status),
        (SmartContract.contract_name, parameters.contract_name),
        (SmartContract.contract_address, parameters.contract_address),
    )
    found = session.scalars(paged(query, parameters, SmartContract.id)).all()
    page = page_of(parameters, found, [row.id for row in found])
    items = [_item(row, parameters.with_abi) for row in page.rows]
    return ContractPage(items=items, next_cursor=page.next_cursor, **view.fields())


def _item(row: SmartContract, with_abi: bool) -> Contract:
    return Contract(
        id=row.id,
        contract_name=row.contract_name,
        contract_address=row.contract_address,
        network=row.network,
        status=row.status,
        abi_sha256=hashlib.sha256(row.abi.encode()).hexdigest(),
        abi=json.loads(row.abi) if with_abi else None,
        deployed_at=row.deployed_at,
    )
