"""The rows of ``smart_contracts``: what a deployment file names, once, and what stood there before it."""

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import insert, select, update

from ledger.chain.addresses.deployment import record, restore
from ledger.chain.addresses.sighted import UNKNOWN
from ledger.chain.addresses.sightings import seen_name
from ledger.db import Database
from ledger.models import SmartContract
from ledger.models.blockchain import ContractStatus
from tests.support.chain import TestChain

ELSEWHERE = "0x" + "12" * 20


def stored(db: Database) -> dict[str, tuple[str, ContractStatus]]:
    """Return address and status of each contract in the books, by its name."""
    query = select(
        SmartContract.contract_name, SmartContract.contract_address, SmartContract.status
    )
    with db.read() as session:
        return {name: (address, status) for name, address, status in session.execute(query)}


def test_each_contract_is_stored_once(chain: TestChain, db: Database) -> None:
    deployment = chain.deployment
    assert record(db, chain.client, deployment) == len(deployment.contracts)
    expected = {
        f"{name}@local": (item.address, ContractStatus.DEPLOYED)
        for name, item in deployment.contracts.items()
    }
    assert stored(db) == expected
    assert record(db, chain.client, deployment) == 0
    assert db.run(lambda session: restore(session, deployment)) is True
    assert stored(db) == expected


def test_the_times_are_those_of_the_blocks(chain: TestChain, sqlite_db: Database) -> None:
    """Of this chain: one that was lost before it was saved had the same contracts at the same addresses, earlier."""
    record(sqlite_db, chain.client, chain.deployment)
    with sqlite_db.write() as session:
        session.execute(update(SmartContract).values(deployed_at=datetime(2025, 1, 1, tzinfo=UTC)))
    assert record(sqlite_db, chain.client, chain.deployment) == 0
    query = select(SmartContract.contract_name, SmartContract.deployed_at)
    with sqlite_db.read() as session:
        times = {name: at for name, at in session.execute(query)}
    for name, item in chain.deployment.contracts.items():
        header = chain.client.block(item.block)
        assert header is not None and times[f"{name}@local"] == header.time


def test_another_of_the_same_name_is_the_one_in_use(chain: TestChain, db: Database) -> None:
    """The old one keeps its row, with its address in its name."""
    record(db, chain.client, chain.deployment)
    old = chain.deployment.contracts["CarbonCredit"]
    moved = {**chain.deployment.contracts, "CarbonCredit": replace(old, address=ELSEWHERE)}
    assert record(db, chain.client, replace(chain.deployment, contracts=moved)) == 1
    found = stored(db)
    assert found["CarbonCredit@local"] == (ELSEWHERE, ContractStatus.DEPLOYED)
    assert found[f"CarbonCredit@local#{old.address}"] == (old.address, ContractStatus.DEPRECATED)
    assert len(found) == len(moved) + 1


def test_one_that_was_known_from_an_event_is_stored_anew(
    chain: TestChain, sqlite_db: Database
) -> None:
    """Its row under a name of its own goes; that of another network stays."""
    address = chain.deployment.settlement.address
    first = chain.client.block(1)
    assert first is not None
    rows = [
        {
            "contract_name": seen_name(UNKNOWN, network, address),
            "contract_address": address,
            "abi": "[]",
            "network": network,
            "status": ContractStatus.DEPLOYED,
            "deployed_at": first.time,
        }
        for network in ("local", "sepolia")
    ]
    with sqlite_db.write() as session:
        session.execute(insert(SmartContract), rows)
    record(sqlite_db, chain.client, chain.deployment)
    found = stored(sqlite_db)
    assert seen_name(UNKNOWN, "local", address) not in found
    assert seen_name(UNKNOWN, "sepolia", address) in found
    assert found["VppSettlement@local"] == (address, ContractStatus.DEPLOYED)


def test_one_that_is_not_on_the_chain_is_left_out(chain: TestChain, sqlite_db: Database) -> None:
    old = chain.deployment.contracts["CarbonCredit"]
    absent = replace(old, address=ELSEWHERE, tx_hash="0x" + "ab" * 32)
    contracts = {**chain.deployment.contracts, "CarbonCredit": absent}
    deployment = replace(chain.deployment, contracts=contracts)
    assert record(sqlite_db, chain.client, deployment) == len(contracts) - 1
    assert "CarbonCredit@local" not in stored(sqlite_db)
    assert sqlite_db.run(lambda session: restore(session, deployment)) is False
