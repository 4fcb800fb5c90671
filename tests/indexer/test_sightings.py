"""Contracts that appear in events of roles and ownership; contracts that a reorganisation took away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from sqlalchemy import select, update

from indexer import Indexer
from ledger.chain.addresses.book import Deployment
from ledger.chain.addresses.sighted import find
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, DecodedEvent
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.plain_event import PlainEvent
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import LogRecord
from ledger.chain.node.wire import Call
from ledger.db import Database
from ledger.models import ContractSighting, SmartContract
from ledger.reconcile import reconcile
from tests.support.chain import GAS_DEPLOY, PARTIES, SUSPENDER_ROLE, TestChain, send
from tests.support.forms import long
from tests.support.mirror import dump, fresh, running_chain
from tests.support.proxy import NO_HASH_THERE, LyingNode, by_hash

SHORT_ON_MARIADB = (
    "test_a_contract_that_is_given_a_role_is_registered_and_rewound",
    "test_contracts_that_were_never_deployed",
)
DEPTH = 2
DEEP = 64
"""So that nothing is final that is taken away."""
ADMIN_ROLE = b"\x00" * 32


@pytest.fixture
def chain(request: pytest.FixtureRequest) -> Any:
    with running_chain(deploys=request.node.get_closest_marker("deploys") is not None) as made:
        yield made


def contracts(db: Database) -> dict[str, SmartContract]:
    with db.read() as session:
        return {row.contract_name: row for row in session.scalars(select(SmartContract))}


def sightings(db: Database) -> list[ContractSighting]:
    with db.read() as session:
        return list(
            session.scalars(select(ContractSighting).order_by(ContractSighting.block_number))
        )


def second_settlement(chain: TestChain) -> str:
    """Deploy another settlement contract, with other terms: other immutables, the same source."""
    book = chain.deployment
    compiled = artifact(SETTLEMENT)
    inputs = next(item for item in compiled.abi if item["type"] == "constructor")["inputs"]
    given = {**book.settlement.constructor, "admin": PARTIES["spare"]}
    values = [given[item["name"].removesuffix("_")] for item in inputs]
    data = compiled.bytecode + abi_encode([canonical_type(item) for item in inputs], values).hex()
    receipt = send(chain.client, PARTIES["admin"], None, data, GAS_DEPLOY)
    assert receipt.contract_address is not None
    return receipt.contract_address


def plain_contract(chain: TestChain) -> str:
    """Deploy a contract that is none of ours: its code is one STOP."""
    receipt = send(chain.client, PARTIES["admin"], None, "0x600160005360016000f3", GAS_DEPLOY)
    assert receipt.contract_address is not None
    return receipt.contract_address


def test_a_contract_that_is_given_a_role_is_registered_and_rewound(
    chain: TestChain, db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    mirror = Indexer(db, chain.client, chain.deployment, DEPTH)
    mirror.run_until("head")
    before = set(contracts(db))
    settlement, wallet = second_settlement(chain), plain_contract(chain)
    role = chain.act("admin", CREDIT, "grantRole", [SUSPENDER_ROLE, settlement])
    chain.act("admin", SETTLEMENT, "beginDefaultAdminTransfer", [wallet])
    chain.act("admin", CREDIT, "grantRole", [SUSPENDER_ROLE, PARTIES["spare"]])  # an account
    mirror.run_until("head")

    names = [f"VppSettlement@local:{settlement}", f"Contract@local:{wallet}"]
    assert set(contracts(db)) == before | set(names)
    row = contracts(db)[names[0]]
    header = chain.client.block(role.block_number)
    assert header is not None
    assert row.contract_address == settlement
    assert row.deployed_at == datetime.fromtimestamp(header.timestamp, UTC)
    assert "settleOne" in {item.get("name") for item in json.loads(row.abi)}
    assert contracts(db)[names[1]].abi == "[]"
    first, second = sightings(db)
    assert (first.address, first.contract_name, first.role) == (
        settlement,
        names[0],
        "0x" + SUSPENDER_ROLE.hex(),
    )
    assert first.giver_address == chain.deployment.credit.address
    assert first.code_hash == "0x" + keccak(hexstr=chain.client.code(settlement)).hex()
    assert (second.address, second.role) == (wallet, None)
    assert second.event_name == "DefaultAdminTransferScheduled"
    assert reconcile(db, chain.client, chain.deployment).ok

    chain.reorganise(3)  # the grants are gone, the contracts stay where they are
    mirror.run_until("head")
    assert set(contracts(db)) == before
    assert sightings(db) == []

    # Books of an earlier version, which kept the times of a chain that was lost, have those of this one again.
    with db.write() as session:
        session.execute(update(SmartContract).values(deployed_at=datetime(2025, 1, 1, tzinfo=UTC)))
    chain.mine(1)
    Indexer(db, chain.client, chain.deployment, DEPTH).run_until("head")
    assert dump(db) == fresh(sqlite_template, tmp_path, chain, DEPTH)


def test_a_contract_stays_known_while_one_of_its_offices_stands(
    chain: TestChain, db: Database
) -> None:
    mirror = Indexer(db, chain.client, chain.deployment, DEPTH)
    wallet = plain_contract(chain)
    chain.act("admin", CREDIT, "grantRole", [SUSPENDER_ROLE, wallet])
    chain.act("admin", SETTLEMENT, "beginDefaultAdminTransfer", [wallet])
    mirror.run_until("head")
    assert len(sightings(db)) == 2
    chain.reorganise(1)
    mirror.run_until("head")
    assert [row.event_name for row in sightings(db)] == ["RoleGranted"]
    assert f"Contract@local:{wallet}" in contracts(db)


@long
def test_a_code_is_asked_for_by_number_where_a_node_knows_no_hash_there(
    chain: TestChain, sqlite_db: Database
) -> None:
    """As of its event's block: whoever got a role was no contract then, and is one now."""
    chain.act("admin", CREDIT, "grantRole", [SUSPENDER_ROLE, PARTIES["spare"]])
    chain.client.request("anvil_mine", ["0x1"])
    chain.client.request("anvil_setCode", [PARTIES["spare"], "0x00"])
    chain.client.request("anvil_mine", ["0x1"])
    with LyingNode(chain.rpc_url) as front, closing(ChainClient(front.rpc_url)) as client:
        front.tamper = lambda _, params, result: NO_HASH_THERE if by_hash(params) else result
        Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")
    assert front.lies > 0
    assert sightings(sqlite_db) == []


class Forgetful:
    """A node that says the code of some accounts by some ways of naming a block; ``asked`` keeps its requests."""

    def __init__(self, knows: dict[str, str]) -> None:
        self._knows = knows
        self.asked: list[list[Call]] = []

    def attempt(self, calls: Sequence[Call]) -> list[Any]:
        self.asked += [list(calls)] if calls else []
        return [self._answer(*params) for _, params in calls]

    def _answer(self, account: str, block: Any) -> Any:
        way = "hash" if isinstance(block, dict) else "now" if block == "latest" else "number"
        code = {"hash": "0xaa", "number": "0xbb", "now": "0xcc"}[way]
        refused = RpcError("eth_getCode", -32005, f"no {way}", None)
        return code if way in self._knows.get(account, "") else refused


def given(account: str, block: int) -> DecodedEvent:
    args = PlainEvent({"role": "0x00", "account": account})
    log = LogRecord("0x1", (), "0x", block, f"0xb{block}", "0x2", 0, 0)
    return DecodedEvent(CREDIT, "RoleGranted", args, log, None)


def test_codes_of_a_range_are_asked_for_in_three_requests_at_most() -> None:
    """By hash, by number, as of now: each time those that were refused, all at once."""
    node = Forgetful({"0xa": "hash number now", "0xb": "number now", "0xc": "now", "0xd": "now"})
    client = cast(ChainClient, node)
    nothing = Deployment("local", 1, "0x0", 1, {}, {}, 1, "a class")
    events = [given(account, 7 + place) for place, account in enumerate(("0xa", "0xb", "0xc"))]
    events += [given("0xd", 7), given("0xa", 7), given("0xa", 8)]
    found = find(client, nothing, events)
    said = {"0xa": "0xaa", "0xb": "0xbb", "0xc": "0xcc", "0xd": "0xcc"}
    assert [(item.event, item.code_hash) for item in found] == [
        (event, "0x" + keccak(hexstr=said[event.args.values["account"]]).hex()) for event in events
    ]
    assert [[params for _, params in calls] for calls in node.asked] == [
        [
            ["0xa", {"blockHash": "0xb7"}],
            ["0xb", {"blockHash": "0xb8"}],
            ["0xc", {"blockHash": "0xb9"}],
            ["0xd", {"blockHash": "0xb7"}],
            ["0xa", {"blockHash": "0xb8"}],
        ],
        [["0xb", "0x8"], ["0xc", "0x9"], ["0xd", "0x7"]],
        [["0xc", "latest"], ["0xd", "latest"]],
    ]
    node.asked.clear()
    assert find(client, nothing, []) == [] == node.asked, "nothing is asked for nobody"
    with pytest.raises(RpcError, match="no now"):
        find(client, nothing, [given("0xa", 7), given("0xe", 7)])


@long
def test_a_contract_of_the_deployment_keeps_its_row(chain: TestChain, sqlite_db: Database) -> None:
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, DEPTH)
    mirror.run_until("head")
    before = set(contracts(sqlite_db))
    chain.act("admin", CREDIT, "grantRole", [SUSPENDER_ROLE, chain.deployment.settlement.address])
    mirror.run_until("head")
    assert [row.contract_name for row in sightings(sqlite_db)] == ["VppSettlement@local"]
    assert set(contracts(sqlite_db)) == before
    chain.reorganise(1)
    mirror.run_until("head")
    assert sightings(sqlite_db) == []
    assert set(contracts(sqlite_db)) == before


@long
@pytest.mark.deploys
def test_contracts_that_were_never_deployed(
    chain: TestChain, db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """The chain goes back before the settlement contract: it never was, and neither is its row."""
    mirror = Indexer(db, chain.client, chain.deployment, DEEP)
    mirror.run_until("head")
    assert "VppSettlement@local" in contracts(db)
    depth = chain.client.block_number() - chain.deployment.settlement.block + 1
    chain.roll_back(depth)
    mirror.run_until("head")
    assert "VppSettlement@local" not in contracts(db)
    assert "CarbonCredit@local" in contracts(db)
    assert dump(db) == fresh(sqlite_template, tmp_path, chain, DEEP)
    chain.mine(3)
    mirror.run_until("head")
    assert "VppSettlement@local" not in contracts(db)
    assert dump(db) == fresh(sqlite_template, tmp_path, chain, DEEP)


@long
@pytest.mark.deploys
def test_a_contract_that_comes_back_in_another_block(
    chain: TestChain, sqlite_db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """The same transaction, signed once, is mined again later: the row has the later time."""
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, DEEP)
    mirror.run_until("head")
    created = chain.deployment.settlement
    raw = chain.client.request("eth_getRawTransactionByHash", [created.tx_hash])
    chain.roll_back(chain.client.block_number() - created.block + 1)
    chain.mine(1)
    chain.client.request("evm_increaseTime", [1000])
    mirror.run_until("head")
    assert "VppSettlement@local" not in contracts(sqlite_db)
    assert chain.client.request("eth_sendRawTransaction", [raw]) == created.tx_hash
    chain.mine(1)
    mirror.run_until("head")
    receipt = chain.client.receipt(str(created.tx_hash))
    assert receipt is not None
    header = chain.client.block(receipt.block_number)
    assert header is not None
    row = contracts(sqlite_db)["VppSettlement@local"]
    assert row.deployed_at == datetime.fromtimestamp(header.timestamp, UTC)
    assert receipt.block_number != created.block
    assert dump(sqlite_db) == fresh(sqlite_template, tmp_path, chain, DEEP)
