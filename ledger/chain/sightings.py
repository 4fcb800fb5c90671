"""Contracts that appear in the events of ours: they were given a role, or the administration, or offered it.

A role in the hands of a contract (a timelock, a wallet of several keys, a second settlement contract) is
something that whoever reads the books must know of. Each such event is a row of ``contract_sightings``,
and the contract a row of ``smart_contracts``, with what is known: its address, what it was compiled from
if that is one of ours, and when it appeared. Its own logs are not followed: a contract is followed when
a deployment file names it.

What a contract was compiled from is read from the metadata that the compiler appends to the code. It is
a claim of whoever deployed it, good enough for a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from eth_utils.crypto import keccak
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from ledger.chain.abi import artifact
from ledger.chain.book import Deployment
from ledger.chain.client import ChainClient, RpcError
from ledger.chain.deployment import row_name
from ledger.chain.events import DecodedEvent
from ledger.models import ContractSighting, SmartContract
from ledger.models.blockchain import ContractStatus

_NAMED_BY: Mapping[str, str] = {
    "RoleGranted": "account",
    "DefaultAdminTransferScheduled": "new_admin",
}
"""Events that put an account into an office, and the argument that names it."""
_UNKNOWN = "Contract"
_LENGTH_BYTES = 2
"""The compiler ends a code with its metadata and their length."""
_DELEGATION = "0xef0100"
"""How the code of an ordinary account begins that lends itself a contract's (EIP-7702)."""


@dataclass(frozen=True)
class Sighting:
    """A contract in an event of ours."""

    event: DecodedEvent
    address: str
    kind: str
    """Name of the contract of ours that it was compiled from, or ``Contract``."""
    code_hash: str


def find(
    client: ChainClient, deployment: Deployment, events: Iterable[DecodedEvent]
) -> list[Sighting]:
    """Return the contracts that events put into an office; accounts without code are none.

    Parameters
    ----------
    events
        Decoded events of the mirrored contracts.
    """
    found = []
    for event in events:
        argument = _NAMED_BY.get(event.name)
        if argument is None:
            continue
        address = str(event.values[argument]).lower()
        code = _code(client, address, event.log.block_hash)
        if code == "0x" or code.startswith(_DELEGATION):
            continue
        kind = _kind(code, list(deployment.contracts))
        code_hash = "0x" + keccak(hexstr=code).hex()
        found.append(Sighting(event, address, kind, code_hash))
    return found


def record(
    session: Session,
    deployment: Deployment,
    found: Sequence[Sighting],
    times: Mapping[int, datetime],
) -> None:
    """Store sightings, and every contract that was not known before.

    Parameters
    ----------
    times
        Time of each block that holds a sighting.
    """
    for item in found:
        seen_at = times[item.event.log.block_number]
        name = _register(session, deployment, item, seen_at)
        session.execute(
            insert(ContractSighting).values(
                block_number=item.event.log.block_number,
                log_index=item.event.log.log_index,
                address=item.address,
                contract_name=name,
                giver_address=item.event.log.address,
                event_name=item.event.name,
                role=item.event.values.get("role"),
                code_hash=item.code_hash,
                tx_hash=item.event.log.tx_hash,
                seen_at=seen_at,
            )
        )


def rewind(session: Session, above_block: int) -> None:
    """contract_sightings, smart_contracts: contracts that appeared later are not known yet."""
    later = ContractSighting.block_number > above_block
    names = set(session.scalars(select(ContractSighting.contract_name).where(later)))
    session.execute(delete(ContractSighting).where(later))
    kept = set(
        session.scalars(
            select(ContractSighting.contract_name).where(ContractSighting.contract_name.in_(names))
        )
    )
    gone = [name for name in names - kept if _SEEN_MARK in name]
    session.execute(
        delete(SmartContract)
        .where(SmartContract.contract_name.in_(gone))
        .execution_options(synchronize_session=False)
    )


_SEEN_MARK = ":0x"
"""What the name of a contract has that is known from an event alone, before its address's digits."""


def seen_name(kind: str, network: str, address: str) -> str:
    """Return the unique name of a contract that is known from an event alone."""
    return f"{row_name(kind, network)}:{address}"


def _register(session: Session, deployment: Deployment, item: Sighting, seen_at: datetime) -> str:
    """Store a contract unless its address is known; return the name of its row."""
    known = session.scalar(
        select(SmartContract.contract_name).where(
            SmartContract.network == deployment.network,
            SmartContract.contract_address == item.address,
        )
    )
    if known is not None:
        return known
    name = seen_name(item.kind, deployment.network, item.address)
    abi = [] if item.kind == _UNKNOWN else artifact(item.kind).abi
    session.execute(
        insert(SmartContract).values(
            contract_name=name,
            contract_address=item.address,
            abi=json.dumps(abi, separators=(",", ":")),
            bytecode=None,
            network=deployment.network,
            status=ContractStatus.DEPLOYED,
            deployed_at=seen_at,
        )
    )
    return name


def _code(client: ChainClient, address: str, block_hash: str) -> str:
    """Return the code at an address, as of a block; as of now where the node has forgotten that."""
    try:
        return client.code(address, block_hash)
    except RpcError:
        return client.code(address)


def _kind(code: str, names: Iterable[str]) -> str:
    metadata = _metadata(code)
    for name in names:
        if metadata and metadata == _metadata(artifact(name).deployed_bytecode):
            return name
    return _UNKNOWN


def _metadata(code: str) -> bytes:
    """Return what the compiler appended to a code; nothing where that is not to be seen."""
    raw = bytes.fromhex(code.removeprefix("0x"))
    size = int.from_bytes(raw[-_LENGTH_BYTES:]) if len(raw) > _LENGTH_BYTES else 0
    found = raw[-size - _LENGTH_BYTES : -_LENGTH_BYTES]
    return found if size and len(found) == size and b"ipfs" in found else b""
