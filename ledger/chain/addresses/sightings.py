"""Contracts that appear in the events of ours: they were given a role, or the administration, or offered it.

A role in the hands of a contract (a timelock, a wallet of several keys, a second settlement contract) is
something that whoever reads the books must know of. Each such event is a row of ``contract_sightings``,
and the contract a row of ``smart_contracts``, with what is known: its address, what it was compiled from
if that is one of ours, and when it appeared. Its own logs are not followed: a contract is followed when
a deployment file names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from ledger.chain.addresses.book import Deployment
from ledger.chain.addresses.deployment import row_name
from ledger.chain.addresses.sighted import UNKNOWN, Sighting
from ledger.chain.contracts.abi import artifact
from ledger.models import ContractSighting, SmartContract
from ledger.models.blockchain import ContractStatus


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
                role=item.event.args.values.get("role"),
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
    session.execute(
        insert(SmartContract).values(
            contract_name=name,
            contract_address=item.address,
            abi="[]" if item.kind == UNKNOWN else artifact(item.kind).abi_text,
            bytecode=None,
            network=deployment.network,
            status=ContractStatus.DEPLOYED,
            deployed_at=seen_at,
        )
    )
    return name
