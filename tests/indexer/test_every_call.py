"""Every function of both contracts, called on a real chain: the transaction is mirrored with all that is known.

Whoever calls has no role and no credits, so that most calls fail; what the mirror says is held to web3.py and
to the ABI's own list of errors, those of the linked libraries and of OpenZeppelin included.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from sqlalchemy import select
from web3 import HTTPProvider, Web3

from indexer import Indexer
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.failures.reverts import reason_of
from ledger.db import Database
from ledger.models import BlockchainTransaction, ChainBlock, ChainInclusion
from ledger.models.blockchain import TransactionStatus
from tests.support.chain import PARTIES, TestChain, send
from tests.support.forms import few
from tests.support.mirror import running_chain

NAMED = re.compile(r"([A-Za-z0-9]+)\(.*\)", re.DOTALL)
SOLIDITY = {"Panic", "Error"}


def functions(contract: str) -> list[dict[str, Any]]:
    return [
        item
        for item in artifact(contract).abi
        if item["type"] == "function" and item["stateMutability"] in ("nonpayable", "payable")
    ]


EVERY = [
    pytest.param(contract, item, id=f"{contract}.{item['name']}-{len(item['inputs'])}")
    for contract in (CREDIT, SETTLEMENT)
    for item in functions(contract)
]


_SIMPLE: dict[str, Any] = {
    "bool": True,
    "address": PARTIES["spare"],
    "string": "é",
    "bytes": b"\x01",
}


def plain(item: dict[str, Any]) -> Any:
    """Return a value of a type: small numbers, an account, a short text, lists of one."""
    kind = item["type"]
    if kind.endswith("]"):
        return [plain({**item, "type": kind[: kind.rindex("[")]})]
    if kind == "tuple":
        return tuple(plain(part) for part in item["components"])
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    return b"\x01" * int(kind[5:]) if kind.startswith("bytes") else 1


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with running_chain() as made:
        yield made


@pytest.fixture(scope="module")
def books(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Books that follow the chain from call to call."""
    file = tmp_path_factory.mktemp("books") / "books.db"
    shutil.copyfile(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


def bare(name: str) -> str:
    """Return a name without what tells camel case from snake case."""
    return name.replace("_", "").lower()


LIBRARIES = ("BatchMetadata", "Cancellation", "Oversight", "Register", "SignedMessages")


def known_errors() -> set[str]:
    """Names of every custom error of the contracts, their libraries and the currency."""
    return {
        item["name"]
        for name in (CREDIT, SETTLEMENT, *LIBRARIES, "TestCurrency")
        for item in artifact(name).abi
        if item["type"] == "error"
    }


def selectors(name: str) -> dict[str, str]:
    """Selectors of a contract's custom errors, by name; computed here."""
    found = {}
    for item in artifact(name).abi:
        if item["type"] == "error":
            types = ",".join(canonical_type(part) for part in item["inputs"])
            found[item["name"]] = "0x" + keccak(text=f"{item['name']}({types})")[:4].hex()
    return found


@pytest.mark.parametrize("name", [CREDIT, SETTLEMENT, *LIBRARIES, "TestCurrency"])
def test_every_error_has_its_name(name: str) -> None:
    """A library's error reaches the caller of the contract: it is decoded whoever was called."""
    abi = {item["name"]: item for item in artifact(name).abi if item["type"] == "error"}
    for error, selector in selectors(name).items():
        inputs = abi[error]["inputs"]
        body = abi_encode(
            [canonical_type(part) for part in inputs], [plain(part) for part in inputs]
        )
        for called in (CREDIT, SETTLEMENT, None):
            said = reason_of(called, selector + body.hex())
            assert said is not None and said.startswith(f"{error}("), (called, error, said)


@few(12)
@pytest.mark.parametrize(("contract", "item"), EVERY)
def test_a_call_is_mirrored_whole(
    chain: TestChain, books: Database, contract: str, item: dict[str, Any]
) -> None:
    values = [plain(part) for part in item["inputs"]]
    address = chain.deployment.contracts[contract].address
    data = encode_call(contract, item["name"], values)
    receipt = send(chain.client, PARTIES["spare"], address, data, 3_000_000)
    Indexer(books, chain.client, chain.deployment, 64).run_until("head")
    with books.read() as session:
        query = select(BlockchainTransaction).where(
            BlockchainTransaction.tx_hash == receipt.tx_hash
        )
        row = session.scalars(query).one()
        place = session.scalar(
            select(ChainInclusion).where(ChainInclusion.tx_hash == receipt.tx_hash)
        )
        assert place is not None
        block = session.get(ChainBlock, place.block_number)
        assert block is not None
    assert row.status is TransactionStatus.PENDING
    assert (row.contract_address, row.function_name) == (address, item["name"])
    assert row.parameters is not None
    names = [part["name"] or f"argument{at}" for at, part in enumerate(item["inputs"])]
    assert [bare(name) for name in row.parameters] == [bare(name) for name in names]

    web3 = Web3(HTTPProvider(chain.rpc_url))
    theirs: Any = web3.eth.get_transaction_receipt(receipt.tx_hash)  # type: ignore[arg-type]
    assert row.gas_used == theirs["gasUsed"]
    assert row.gas_price == theirs["effectiveGasPrice"] > 0
    assert (place.block_number, place.tx_index) == (theirs["blockNumber"], 0)
    when: Any = web3.eth.get_block(theirs["blockNumber"])
    assert row.created_at == block.block_time == datetime.fromtimestamp(when["timestamp"], UTC)
    assert place.sender == PARTIES["spare"]
    if theirs["status"] == 1:
        assert place.error is None
        return
    assert place.error is not None
    named = NAMED.fullmatch(place.error)
    assert named is not None, f"{item['name']} fails with {place.error!r}, which names no error"
    assert named[1] in known_errors() | SOLIDITY, place.error


def test_once_final_it_is_confirmed_or_failed(chain: TestChain, sqlite_db: Database) -> None:
    good = chain.act("owner", CREDIT, "setApprovalForAll", [PARTIES["spare"], True])
    bad = chain.act("owner", CREDIT, "setApprovalForAll", ["0x" + "0" * 40, True], must=False)
    chain.mine(3)
    Indexer(sqlite_db, chain.client, chain.deployment, 2).run_until("head")
    with sqlite_db.read() as session:
        found = {
            row.tx_hash: row
            for row in session.scalars(select(BlockchainTransaction))
            if row.tx_hash in (good.tx_hash, bad.tx_hash)
        }
        place = session.scalar(select(ChainInclusion).where(ChainInclusion.tx_hash == bad.tx_hash))
    assert found[good.tx_hash].status is TransactionStatus.CONFIRMED
    assert found[bad.tx_hash].status is TransactionStatus.FAILED
    assert found[bad.tx_hash].confirmed_at is not None
    assert place is not None
    assert place.error == f"ERC1155InvalidOperator(operator={'0x' + '0' * 40})"
    assert found[good.tx_hash].parameters == {"operator": PARTIES["spare"], "approved": True}
