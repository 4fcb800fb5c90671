"""The only writer of ``smart_contracts``: the contracts of a deployment, as rows.

The deploy script records what it deployed; a mirror that starts on an empty database records the same
from the deployment file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.chain.abi import artifact
from ledger.chain.book import DeployedContract, Deployment
from ledger.chain.client import ChainClient
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import SmartContract
from ledger.models.blockchain import ContractStatus


def row_name(contract: str, network: str) -> str:
    """Return the unique name of a contract in use, such as ``CarbonCredit@local``."""
    return f"{contract}@{network}"


def record(db: Database, client: ChainClient, deployment: Deployment) -> int:
    """Store the contracts of a deployment; return how many rows were new.

    A contract of the same name that stood at another address before is *deprecated*, and gets its
    address into its name, which is unique.

    Raises
    ------
    DependencyDown
        If the node does not have the block of a deployment.
    """
    times = {item.name: _block_time(client, item.block) for item in deployment.contracts.values()}
    try:
        return db.run(lambda session: _record(session, deployment, times))
    except IntegrityError:  # somebody recorded the same at the same moment: it is there now
        return db.run(lambda session: _record(session, deployment, times))


def mark_verified(session: Session, deployment: Deployment, names: Sequence[str]) -> int:
    """Mark contracts whose recompiled sources gave the deployed code; return how many rows it was."""
    rows = session.scalars(
        select(SmartContract).where(
            SmartContract.contract_name.in_([row_name(name, deployment.network) for name in names]),
            SmartContract.contract_address.in_(
                [deployment.contracts[name].address for name in names]
            ),
        )
    ).all()
    for row in rows:
        row.status = ContractStatus.VERIFIED
    return len(rows)


def expected_row(
    contract: DeployedContract, network: str, deployed_at: datetime
) -> Mapping[str, Any]:
    """Return what the row of a contract in use says; ``status`` aside, which verification changes."""
    compiled = artifact(contract.name)
    return {
        "contract_name": row_name(contract.name, network),
        "contract_address": contract.address,
        "abi": json.dumps(compiled.abi, separators=(",", ":")),
        "bytecode": compiled.bytecode,
        "network": network,
        "deployed_at": deployed_at,
    }


def _record(session: Session, deployment: Deployment, times: Mapping[str, datetime]) -> int:
    new = 0
    for contract in deployment.contracts.values():
        expected = expected_row(contract, deployment.network, times[contract.name])
        query = select(SmartContract).where(
            SmartContract.contract_name == expected["contract_name"]
        )
        present = session.scalars(query).one_or_none()
        if present is not None and present.contract_address == contract.address:
            continue
        if present is not None:
            present.contract_name = f"{present.contract_name}#{present.contract_address}"
            present.status = ContractStatus.DEPRECATED
            session.flush()
        session.add(SmartContract(**expected, status=ContractStatus.DEPLOYED))
        session.flush()
        new += 1
    return new


def _block_time(client: ChainClient, number: int) -> datetime:
    header = client.block(number)
    if header is None:
        raise DependencyDown(
            f"the node has no block {number}, in which a contract was deployed", code="node-behind"
        )
    return datetime.fromtimestamp(header.timestamp, UTC)
