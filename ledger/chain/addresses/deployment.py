"""The only writer of ``smart_contracts``: the contracts of a deployment, as rows.

The deploy script records what it deployed; a mirror that starts on an empty database records the same
from the deployment file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, delete, insert, select, type_coerce, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from tiny_keccak import keccak256

from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.abi_values import encoded
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.models import (
    BlockchainTransaction,
    ChainBlock,
    ChainCursor,
    ChainInclusion,
    SmartContract,
)
from ledger.models.blockchain import ContractStatus

_NO_CODE = "0x"
_IN_USE = (ContractStatus.DEPLOYED, ContractStatus.VERIFIED)


def row_name(contract: str, network: str) -> str:
    """Return the unique name of a contract in use, such as ``CarbonCredit@local``."""
    return f"{contract}@{network}"


def record(db: Database, client: ChainClient, deployment: Deployment) -> int:
    """Store the contracts of a deployment; return how many rows were new.

    A contract of the same name that stood at another address before is *deprecated*, and gets its
    address into its name, which is unique. One at the same address that a chain had which is lost, since a local
    chain's state could not be saved, has the time of its new deployment. One whose deployment is in no block is left
    out: it stands in the file, and not on the chain.

    Raises
    ------
    DependencyDown
        If the node does not have the block of a deployment.
    """
    times = _times(client, deployment)
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
    """Return what the row of a contract in use says; ``status`` aside, which verification changes.

    Of a contract of another version it is the interface by which this one reads it, and no bytecode.
    """
    compiled = artifact(contract.name)
    return {
        "contract_name": row_name(contract.name, network),
        "contract_address": contract.address,
        "abi": compiled.abi_text,
        "bytecode": compiled.bytecode if of_this_version(contract) else None,
        "network": network,
        "deployed_at": deployed_at,
    }


def of_this_version(contract: DeployedContract) -> bool:
    """Return whether a contract was compiled from the sources of this version."""
    return contract.source_hash == artifact(contract.name).source_hash


def differing(
    row: SmartContract, contract: DeployedContract, network: str, deployed_at: datetime
) -> list[str]:
    """Return the columns of a row in use that are not what was deployed.

    The version that deployed a contract stored its interface and its bytecode. Of those a later version of other
    sources can prove the bytecode, and the interface not at all.
    """
    expected = dict(expected_row(contract, network, deployed_at))
    if not of_this_version(contract):
        expected["abi"] = row.abi
        if deployed_from(contract, row.abi, row.bytecode):
            expected["bytecode"] = row.bytecode
    return [name for name, value in expected.items() if getattr(row, name) != value]


def keep_what_was_stored(mirror: Database, books: Database, deployment: Deployment) -> None:
    """Give a mirror that was made anew what the chain does not say, and the books do.

    That is what verifications found, and of contracts of another version what is theirs.
    """
    others = [item for item in deployment.contracts.values() if not of_this_version(item)]
    with books.read() as session:
        # No row as a whole: its status may be none.
        columns = (SmartContract.contract_address, SmartContract.abi, SmartContract.bytecode)
        status = type_coerce(SmartContract.status, String).label("status")
        query = select(SmartContract.contract_name, *columns, status)
        rows = {row.contract_name: row for row in session.execute(query)}
    with mirror.write() as session:
        for name in session.scalars(select(SmartContract.contract_name)).all():
            if name in rows and rows[name].status in _IN_USE:
                session.execute(
                    update(SmartContract)
                    .where(SmartContract.contract_name == name)
                    .values(status=ContractStatus(rows[name].status))
                    .execution_options(synchronize_session=False)
                )
        for item in others:
            row = rows.get(row_name(item.name, deployment.network))
            if row is None or row.contract_address != item.address:
                continue
            kept = {"abi": row.abi}
            if deployed_from(item, row.abi, row.bytecode):
                kept["bytecode"] = str(row.bytecode)
            session.execute(
                update(SmartContract)
                .where(SmartContract.contract_name == row.contract_name)
                .values(kept)
                .execution_options(synchronize_session=False)
            )


def deployed_from(contract: DeployedContract, abi: str, bytecode: str | None) -> bool:
    """Return whether a bytecode, with the arguments of the deployment file, is the code that deployed a contract."""
    try:
        types = [
            str(argument["type"])
            for entry in json.loads(abi)
            if entry["type"] == "constructor"
            for argument in entry["inputs"]
        ]
        arguments = encoded(types, list(contract.constructor.values()))
        code = bytes.fromhex(str(bytecode).removeprefix("0x"))
    except Exception:  # altered rows fail in many ways, and eth_abi has as many kinds of errors
        return False
    return "0x" + keccak256(code + arguments).hex() == contract.init_code_hash.lower()


def _record(session: Session, deployment: Deployment, times: Mapping[str, datetime]) -> int:
    expected = [
        expected_row(item, deployment.network, times[item.name])
        for item in deployment.contracts.values()
        if item.name in times
    ]
    _forget_seen(session, deployment.network, [row["contract_address"] for row in expected])
    present = _addresses(session, [row["contract_name"] for row in expected])
    for row in expected:
        session.execute(
            update(SmartContract)
            .where(
                SmartContract.contract_name == row["contract_name"],
                SmartContract.contract_address == row["contract_address"],
                SmartContract.deployed_at != row["deployed_at"],
            )
            .values(deployed_at=row["deployed_at"])
            .execution_options(synchronize_session=False)
        )
    new = [row for row in expected if present.get(row["contract_name"]) != row["contract_address"]]
    for row in new:
        name = row["contract_name"]
        if name in present:
            session.execute(
                update(SmartContract)
                .where(SmartContract.contract_name == name)
                .values(contract_name=f"{name}#{present[name]}", status=ContractStatus.DEPRECATED)
                .execution_options(synchronize_session=False)
            )
    if new:
        rows = [{**row, "status": ContractStatus.DEPLOYED} for row in new]
        session.connection().execute(insert(SmartContract), rows)
    return len(new)


def _addresses(session: Session, names: Sequence[str]) -> dict[str, str]:
    """Return at which address each contract of these names is in the books."""
    query = select(SmartContract.contract_name, SmartContract.contract_address).where(
        SmartContract.contract_name.in_(names)
    )
    return {name: address for name, address in session.execute(query)}


def _forget_seen(session: Session, network: str, addresses: Sequence[str]) -> None:
    """Delete the rows of contracts that were known from an event before the deployment file named them."""
    session.execute(
        delete(SmartContract)
        .where(
            SmartContract.network == network,
            SmartContract.contract_address.in_(addresses),
            SmartContract.contract_name.like("%@%:0x%"),
        )
        .execution_options(synchronize_session=False)
    )


def restore(session: Session, deployment: Deployment) -> bool:
    """Store contracts of the deployment whose creation is mirrored; return whether all are stored now.

    A reorganisation may have taken a contract away, and brought it back in another block. One that is stored has the
    time of its block from now on: earlier versions left that of a chain that was lost. For the mirror alone, in the
    unit of work that wrote the block.
    """
    wanted = {
        row_name(item.name, deployment.network): item.address
        for item in deployment.contracts.values()
    }
    names = {
        item.tx_hash: item for item in deployment.contracts.values() if item.tx_hash is not None
    }
    query = (
        select(ChainInclusion.tx_hash, ChainBlock.block_time)
        .join(ChainBlock, ChainBlock.number == ChainInclusion.block_number)
        .where(ChainInclusion.tx_hash.in_(list(names)), ChainInclusion.error.is_(None))
    )
    times = {names[tx_hash].name: at for tx_hash, at in session.execute(query)}
    if _addresses(session, list(wanted)) == wanted and not _mistimed(session, deployment, times):
        return True
    _record(session, deployment, times)
    return len(_addresses(session, list(wanted))) == len(wanted)


def forget_later(session: Session, deployment: Deployment) -> None:
    """Delete contracts whose own transaction is in no mirrored block: for a mirror that ends at an earlier one."""
    created = {
        item.tx_hash.lower(): row_name(item.name, deployment.network)
        for item in deployment.contracts.values()
        if item.tx_hash is not None
    }
    query = select(ChainInclusion.tx_hash).where(
        ChainInclusion.tx_hash.in_(list(created)), ChainInclusion.error.is_(None)
    )
    there = set(session.scalars(query))
    later = [name for tx_hash, name in created.items() if tx_hash not in there]
    session.execute(
        delete(SmartContract)
        .where(SmartContract.contract_name.in_(later))
        .execution_options(synchronize_session=False)
    )


def _mistimed(session: Session, deployment: Deployment, times: Mapping[str, datetime]) -> bool:
    """Return whether a contract that is stored has another time than that of its block."""
    expected = {row_name(name, deployment.network): at for name, at in times.items()}
    query = select(SmartContract.contract_name, SmartContract.deployed_at).where(
        SmartContract.contract_name.in_(list(expected))
    )
    return any(expected[name] != at for name, at in session.execute(query))


def rewind(session: Session, above_block: int) -> None:
    """smart_contracts: contracts whose creation came later were never deployed. For the mirror alone."""
    created = (
        select(BlockchainTransaction.contract_address)
        .join(ChainInclusion, ChainInclusion.tx_hash == BlockchainTransaction.tx_hash)
        .where(
            ChainInclusion.block_number > above_block,
            ChainInclusion.error.is_(None),
            BlockchainTransaction.function_name == "constructor",
        )
    )
    session.execute(
        delete(SmartContract)
        .where(
            SmartContract.contract_address.in_(created),
            SmartContract.network.in_(select(ChainCursor.network)),
        )
        .execution_options(synchronize_session=False)
    )


def made_in(client: ChainClient, deployment: Deployment) -> dict[str, int | None]:
    """Return the block of each contract's own transaction, by the contract's name; None: the node has no receipt of it.

    Contracts without such a transaction are left out: another contract asked the factory for them.
    """
    created = [item for item in deployment.contracts.values() if item.tx_hash is not None]
    receipts = client.receipts([str(item.tx_hash) for item in created])
    return {
        item.name: None if receipt is None else receipt.block_number
        for item, receipt in zip(created, receipts, strict=True)
    }


def _times(client: ChainClient, deployment: Deployment) -> dict[str, datetime]:
    """Return when each contract was deployed; those that never were are left out."""
    blocks = made_in(client, deployment)
    numbers = {}
    for item in deployment.contracts.values():
        block = blocks.get(item.name, item.block)
        # A node may have forgotten an old receipt; the code tells whether the contract is there.
        if block is None and client.code(item.address) == _NO_CODE:
            continue
        numbers[item.name] = item.block if block is None else block
    wanted = sorted(set(numbers.values()))
    times = {}
    for number, header in zip(wanted, client.blocks(wanted), strict=True):
        if header is None:
            raise client.without_block(number)
        times[number] = header.time
    return {name: times[number] for name, number in numbers.items()}
