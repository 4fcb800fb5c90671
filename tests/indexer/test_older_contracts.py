"""Contracts that an older version deployed, and contracts beside those that the books are kept of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import text, update

from cli.mirror_open import _check_books
from indexer import Indexer
from indexer.reindex import reindex
from indexer.verify import verify
from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.addresses.kept import require_same_books, require_same_contracts
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.db import Database
from ledger.errors import BooksDiffer, WrongChain
from ledger.models import SmartContract
from ledger.reconcile import reconcile
from tests.support.chain import PARTIES, TestChain, _create
from tests.support.forms import long, rest
from tests.support.mirror import dump, running_chain

SHORT_ON_MARIADB = ("test_other_contracts_are_refused_under_another_name_of_their_chain",)

HERE = SmartContract.contract_name == f"{SETTLEMENT}@local"


@pytest.fixture
def chain() -> Iterator[TestChain]:
    with running_chain() as running:
        yield running


@pytest.fixture
def books(tmp_path: Path, sqlite_template: Path) -> Iterator[Database]:
    file = tmp_path / "books.db"
    file.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


def of_another_version(chain: TestChain) -> Deployment:
    """The deployment as a program of other sources reads it; hashed is the code that the chain itself was sent."""
    settlement = chain.deployment.settlement
    sent = chain.client.request("eth_getTransactionByHash", [settlement.tx_hash])
    older = replace(
        settlement,
        source_hash="0x" + "11" * 32,
        init_code_hash="0x" + keccak(hexstr=sent["input"]).hex(),
    )
    return with_settlement(chain.deployment, older)


def with_settlement(deployment: Deployment, item: DeployedContract) -> Deployment:
    return replace(deployment, contracts={**deployment.contracts, SETTLEMENT: item})


def broken(books: Database, chain: TestChain, deployment: Deployment) -> list[str]:
    report = reconcile(books, chain.client, deployment)
    return [rule.name for rule in report.rules if not rule.ok]


def stored(books: Database) -> SmartContract:
    with books.read() as session:
        return session.query(SmartContract).where(HERE).one()


@long
def test_what_an_older_version_stored_of_its_contract_is_no_difference(
    books: Database, chain: TestChain
) -> None:
    """Held against the artifacts of today it differed for ever, and reindex put code there that was never deployed."""
    Indexer(books, chain.client, chain.deployment, 0).run_until("head")
    before, deployment = dump(books), of_another_version(chain)
    # As the version that deployed it wrote it, in an order of its own.
    abi = json.dumps(json.loads(stored(books).abi)[::-1])
    with books.write() as session:
        session.execute(update(SmartContract).where(HERE).values(abi=abi))
    assert verify(books, chain.client, deployment, 0).differences == []
    assert broken(books, chain, deployment) == []
    reindex(books, chain.client, deployment, 0)
    assert (stored(books).abi, stored(books).bytecode) == (abi, artifact(SETTLEMENT).bytecode)
    assert {name for name, rows in dump(books).items() if rows != before[name]} == {
        "smart_contracts"
    }


@long
def test_code_that_did_not_deploy_it_is_found_in_either_version(
    books: Database, chain: TestChain
) -> None:
    Indexer(books, chain.client, chain.deployment, 0).run_until("head")
    deployment = of_another_version(chain)
    with books.write() as session:
        session.execute(
            update(SmartContract).where(HERE).values(bytecode=artifact(CREDIT).bytecode)
        )
    for each in (chain.deployment, deployment):
        found = verify(books, chain.client, each, 0).differences
        assert [(item.table, item.column) for item in found] == [("smart_contracts", "bytecode")]
        assert broken(books, chain, each) == ["contracts"]
    reindex(books, chain.client, deployment, 0)
    assert stored(books).bytecode is None
    assert broken(books, chain, deployment) == []


@long
def test_a_new_mirror_claims_no_code_that_it_does_not_have(
    books: Database, chain: TestChain
) -> None:
    deployment = of_another_version(chain)
    Indexer(books, chain.client, deployment, 0).run_until("head")
    assert stored(books).bytecode is None
    assert verify(books, chain.client, deployment, 0).differences == []
    assert broken(books, chain, deployment) == []


@long
def test_other_contracts_are_refused_by_books_that_are_kept_of_some(
    books: Database, chain: TestChain
) -> None:
    """The mirror had gone on with them: old balances beside new events, and an exit of 0."""
    Indexer(books, chain.client, chain.deployment, 0).run_until("head")
    before = dump(books)
    credit = _create(chain.client, CREDIT, {"admin": PARTIES["admin"], "adminDelay": 0})
    old = chain.deployment.settlement
    beside = _create(chain.client, SETTLEMENT, dict(old.constructor))
    both = replace(chain.deployment, contracts={**chain.deployment.contracts, CREDIT: credit})
    for other, name in (
        (with_settlement(chain.deployment, beside), SETTLEMENT),
        (both, CREDIT),
    ):
        with pytest.raises(WrongChain, match="use another database for other contracts") as refused:
            Indexer(books, chain.client, other, 0).run_until("head")
        assert refused.value.code == "other-contracts"
        assert refused.value.details["contract"] == name
        assert dump(books) == before
    Indexer(books, chain.client, chain.deployment, 0).run_until("head")
    assert verify(books, chain.client, chain.deployment, 0).differences == []


@long
def test_an_altered_address_is_for_the_comparison_to_find(
    books: Database, chain: TestChain
) -> None:
    Indexer(books, chain.client, chain.deployment, 0).run_until("head")
    with books.write() as session:
        session.execute(text("UPDATE smart_contracts SET contract_address = '0x' || id"))
    with books.read() as session:
        require_same_contracts(session, chain.deployment.addresses)
    assert verify(books, chain.client, chain.deployment, 0).differences
    reindex(books, chain.client, chain.deployment, 0)
    assert broken(books, chain, chain.deployment) == []


@long
def test_another_network_is_refused_by_books_that_mirror_one(
    books: Database, chain: TestChain
) -> None:
    """Its blocks went between those of the first, whose numbers are lower or higher; whatever sends sent there."""
    Indexer(books, chain.client, chain.deployment, 0).run_until("head")
    before = dump(books)
    with running_chain(deploys=True) as testnet:
        testnet.mine(chain.client.block_number() + 2)
        number = testnet.client.block_number()
        away = replace(testnet.deployment, network="base-sepolia", deployed_block=number)
        with pytest.raises(BooksDiffer, match="no row of 'base-sepolia', but one of 'local'"):
            Indexer(books, testnet.client, away, 0).run_until("head")
        numbered = replace(away, chain_id=84532)
        with books.read() as session, pytest.raises(WrongChain, match="mirror chain 31337"):
            require_same_books(session, numbered)
    assert dump(books) == before


def test_other_contracts_are_refused_under_another_name_of_their_chain(
    db: Database, chain: TestChain
) -> None:
    """By the name in the file, the books had none of them: other contracts were used beside theirs."""
    Indexer(db, chain.client, chain.deployment, 0).run_until("head")
    beside = _create(chain.client, SETTLEMENT, dict(chain.deployment.settlement.constructor))
    renamed = replace(with_settlement(chain.deployment, beside), network="custom")
    with db.read() as session:
        require_same_books(session, replace(chain.deployment, network="custom"))
        with pytest.raises(WrongChain, match="'local' are kept of VppSettlement") as refused:
            require_same_books(session, renamed)
    assert refused.value.code == "other-contracts"


@long
@pytest.mark.parametrize("name", rest(["base-sepolia", "a-test"]))
def test_books_that_a_second_network_was_let_into_are_mended_by_the_deployment_of_the_first(
    db: Database, chain: TestChain, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each deployment was refused for the contracts of the other, by the very command that mends it."""
    terms = dict(chain.deployment.settlement.constructor)
    by_name = with_settlement(chain.deployment, _create(chain.client, SETTLEMENT, terms))
    Indexer(db, chain.client, chain.deployment, 0).run_until("head")
    before = dump(db)
    with running_chain(deploys=True) as testnet:
        testnet.mine(chain.client.block_number() + 2)
        beside = _create(
            testnet.client, SETTLEMENT, dict(testnet.deployment.settlement.constructor)
        )
        away = replace(
            with_settlement(testnet.deployment, beside),
            network=name,
            deployed_block=testnet.client.block_number(),
        )
        with monkeypatch.context() as earlier:  # versions compared only what had the same name
            earlier.setattr("indexer.loop.require_same_contracts", lambda *_: None)
            earlier.setattr("indexer.cursor.require_none", lambda *_: None)
            Indexer(db, testnet.client, away, 0).run_until("head")
        of_second = replace(away, network="local")
        for compares in (False, True):
            with db.read() as session:
                with pytest.raises(WrongChain):
                    _check_books(session, away, testnet.client, compares)
                # A file that has only the name of the first would have all of it built anew as its own.
                with pytest.raises(WrongChain, match="'local' are kept of VppSettlement at"):
                    _check_books(session, by_name, chain.client, compares)
                with pytest.raises(WrongChain, match="the deployment of 'local' is on another"):
                    _check_books(session, of_second, testnet.client, compares)
    with db.read() as session:
        with pytest.raises(BooksDiffer, match=f"the books of 'local' mirror '{name}' as well"):
            _check_books(session, chain.deployment, chain.client, compares=False)
        _check_books(session, chain.deployment, chain.client, compares=True)
    assert verify(db, chain.client, chain.deployment, 0).differences
    reindex(db, chain.client, chain.deployment, 0)
    assert dump(db) == before
    with db.read() as session:
        _check_books(session, chain.deployment, chain.client, compares=False)
