"""Our own transactions: pending before they leave, confirmed when final, pending again after a fork."""

from collections.abc import Callable, Collection
from typing import Any

import pytest
from sqlalchemy import select, update

from indexer import Indexer
from indexer.cursor import Cursor
from indexer.ranges import RangeReader
from indexer.reading import Read
from indexer.reindex import reindex
from ledger.chain.contracts.events import CREDIT
from ledger.chain.keys.signers import ANVIL_ROLES, Keyring, anvil_signer
from ledger.chain.node.client import ChainClient
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent
from ledger.chain.sending.sender import Sender
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import BlockchainTransaction, ChainAttempt, ChainInclusion, Issuance
from ledger.models.blockchain import TransactionStatus
from ledger.models.issuance import IssuanceState
from ledger.models.sending import IntentState
from tests.indexer.conftest import DEPTH
from tests.support.chain import PARTIES, TestChain, wait_for
from tests.support.forms import few, long
from tests.support.mirror import rows
from tests.support.plant import apply, issue
from tests.support.proxy import LyingNode

BATCH = 1 << 32 | 1


@pytest.fixture
def sender(chain: TestChain, sqlite_db: Database) -> Sender:
    signers = [anvil_signer(number) for number in ANVIL_ROLES.values()]
    keyring = Keyring({signer.address: signer for signer in signers})
    return Sender(sqlite_db, chain.client, keyring, chain.deployment.chain_id, 200)


@pytest.fixture
def final_mirror(chain: TestChain, sqlite_db: Database) -> Indexer:
    return Indexer(sqlite_db, chain.client, chain.deployment)


@pytest.fixture
def plan(chain: TestChain, sqlite_db: Database) -> Callable[..., str]:
    def plan(
        function: str, arguments: list[Any], party: str = "owner", key: str | None = None
    ) -> str:
        intent = NewIntent(
            key or intents.new_key(),
            function,
            CREDIT,
            chain.deployment.credit.address,
            function,
            arguments,
            PARTIES[party],
        )
        return sqlite_db.run(
            lambda session: intents.plan(session, chain.deployment.chain_id, intent)
        )

    return plan


def _intent(db: Database, key: str) -> tuple[IntentState, int | None, str | None]:
    with db.read() as session:
        found = intents.get(session, key)
        return found.state, found.block_number, found.error


def _status(db: Database, tx_hash: str) -> TransactionStatus | None:
    with db.read() as session:
        return session.scalar(
            select(BlockchainTransaction.status).where(BlockchainTransaction.tx_hash == tx_hash)
        )


def _issuance(db: Database) -> IssuanceState | None:
    with db.read() as session:
        return session.scalar(select(Issuance.state))


def test_planned_pending_included_confirmed(
    chain: TestChain,
    sender: Sender,
    final_mirror: Indexer,
    plan: Callable[..., str],
    sqlite_db: Database,
) -> None:
    chain.issue(1000, 0)
    key = plan("retire", chain.retire_arguments(BATCH, 5))
    tx_hash = sender.submit(key, CREDIT)
    wait_for(chain.client, tx_hash)
    assert _status(sqlite_db, tx_hash) is TransactionStatus.PENDING
    final_mirror.run_until("head")
    assert _intent(sqlite_db, key) == (IntentState.SUBMITTED, None, None)
    included = rows(sqlite_db, "chain_inclusions", "tx_hash", "intent_key")
    assert (tx_hash, key) in included
    chain.mine()
    final_mirror.run_until("head")
    block = chain.client.block_number() - 2
    assert _intent(sqlite_db, key) == (IntentState.CONFIRMED, block, None)
    assert _status(sqlite_db, tx_hash) is TransactionStatus.CONFIRMED


def test_back_to_pending_and_sent_again_after_a_fork(
    chain: TestChain, sender: Sender, mirror: Indexer, plan: Callable[..., str], sqlite_db: Database
) -> None:
    chain.issue(1000, 0)
    key = plan("retire", chain.retire_arguments(BATCH, 5))
    tx_hash = sender.submit(key, CREDIT)
    wait_for(chain.client, tx_hash)
    mirror.run_until("head")
    chain.reorganise(1)
    assert chain.client.receipt(tx_hash) is None, "the fork kept the transaction"
    mirror.run_until("head")
    with sqlite_db.read() as session:
        assert (
            session.scalar(select(ChainInclusion).where(ChainInclusion.tx_hash == tx_hash)) is None
        )
        row = session.scalars(
            select(BlockchainTransaction).where(BlockchainTransaction.tx_hash == tx_hash)
        ).one()
        assert (row.status, row.gas_used, row.gas_price) == (TransactionStatus.PENDING, None, None)
        assert row.function_name == "retire"
    assert sender.rebroadcast() == 1
    wait_for(chain.client, tx_hash)
    mirror.run_until("head")
    with sqlite_db.read() as session:
        assert (
            session.scalar(select(ChainInclusion).where(ChainInclusion.tx_hash == tx_hash))
            is not None
        )


@few(1)
@pytest.mark.parametrize("follower", ["the mirror", "reindex"])
def test_what_was_confirmed_is_submitted_again_when_final_blocks_fall(
    follower: str,
    chain: TestChain,
    sender: Sender,
    sqlite_db: Database,
    plan: Callable[..., str],
) -> None:
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 0)
    claim = chain.claim(1000, 0)
    key = plan("issue", chain.issue_arguments(claim), "issuer", claim.key)
    apply(sqlite_db)
    issue(sqlite_db, state=IssuanceState.PLANNED)
    with sqlite_db.write() as session:  # which is of the same act
        session.execute(update(Issuance).values(key=key))
    tx_hash = sender.submit(key, CREDIT)
    wait_for(chain.client, tx_hash)
    mirror.run_until("head")
    assert _intent(sqlite_db, key)[0] is IntentState.CONFIRMED
    assert _issuance(sqlite_db) is IssuanceState.ISSUED
    chain.reorganise(1)
    if follower == "reindex":
        reindex(sqlite_db, chain.client, chain.deployment, 0)
    else:
        mirror.run_until("head")
    assert _intent(sqlite_db, key) == (IntentState.SUBMITTED, None, None)
    assert _status(sqlite_db, tx_hash) is TransactionStatus.PENDING
    assert _issuance(sqlite_db) is IssuanceState.PLANNED


@long
def test_a_failure_in_a_block_fails_the_intent_once_it_is_final(
    chain: TestChain,
    sender: Sender,
    final_mirror: Indexer,
    plan: Callable[..., str],
    sqlite_db: Database,
) -> None:
    chain.issue(10, 0)
    key = plan("retire", chain.retire_arguments(BATCH, 8))
    chain.client.request("evm_setAutomine", [False])
    tx_hash = sender.submit(key, CREDIT)
    assert chain.client.request("anvil_dropTransaction", [tx_hash]) == tx_hash
    chain.client.request("evm_setAutomine", [True])
    chain.act("pauser", CREDIT, "suspend", [BATCH])  # while it was lost on the way
    assert sender.rebroadcast() == 1
    wait_for(chain.client, tx_hash)
    final_mirror.run_until("head")
    assert _intent(sqlite_db, key) == (IntentState.SUBMITTED, None, None)
    assert _status(sqlite_db, tx_hash) is TransactionStatus.PENDING
    chain.mine(2)
    final_mirror.run_until("head")
    state, block, error = _intent(sqlite_db, key)
    assert (state, block) == (IntentState.FAILED, chain.client.block_number() - 2)
    assert error == f"NotActive(batchId={BATCH}, status=2)"
    assert _status(sqlite_db, tx_hash) is TransactionStatus.FAILED


@long
@pytest.mark.parametrize("keeps_traces", [True, False])
def test_a_failure_that_only_its_own_block_explains(
    chain: TestChain,
    sender: Sender,
    plan: Callable[..., str],
    sqlite_db: Database,
    keeps_traces: bool,
) -> None:
    chain.issue(10, 0)
    key = plan("retire", chain.retire_arguments(BATCH, 8))
    chain.client.request("evm_setAutomine", [False])
    tx_hash = sender.submit(key, CREDIT)
    suspension = chain.transaction("pauser", CREDIT, "suspend", [BATCH])
    fees = {"maxFeePerGas": hex(90 * 10**9), "maxPriorityFeePerGas": hex(80 * 10**9)}
    chain.client.request("eth_sendTransaction", [suspension | fees])  # dearer, so it goes first
    chain.mine(1)
    chain.client.request("evm_setAutomine", [True])
    with LyingNode(chain.rpc_url) as node:
        node.version = None if keeps_traces else "Geth/v1.16.0"
        Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment, DEPTH).run_until("head")
    error = dict(rows(sqlite_db, "chain_inclusions", "tx_hash", "error"))
    assert error[tx_hash] == (
        f"NotActive(batchId={BATCH}, status=2)"
        if keeps_traces
        else "reverted; the reason does not show at the state of the block before"
    )


@long
def test_an_attempt_that_was_replaced_failed(
    chain: TestChain, sender: Sender, plan: Callable[..., str], sqlite_db: Database
) -> None:
    """Two attempts of one intent share its nonce: when one is final, the other never comes true."""
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 0)
    chain.issue(10, 0)
    key = plan("retire", chain.retire_arguments(BATCH, 8))
    chain.client.request("evm_setAutomine", [False])
    first = sender.submit(key, CREDIT)
    with sqlite_db.write() as session:
        intent = intents.get(session, key)
        raw, second = anvil_signer(ANVIL_ROLES["owner"]).sign_transaction(
            {
                "type": 2,
                "chainId": chain.deployment.chain_id,
                "nonce": intent.nonce,
                "to": _checksum(intent.contract_address),
                "value": 0,
                "data": intent.call_data,
                "gas": 300_000,
                "maxFeePerGas": 50 * 10**9,
                "maxPriorityFeePerGas": 40 * 10**9,
            }
        )
        attempt = intents.SignedAttempt(second, raw, intent.nonce or 0, 50 * 10**9, 40 * 10**9)
        intents.store_attempt(session, intent, attempt)
    chain.client.send_raw(raw)
    chain.mine(1)
    chain.client.request("evm_setAutomine", [True])
    mirror.run_until("head")
    assert _status(sqlite_db, second) is TransactionStatus.CONFIRMED
    assert _status(sqlite_db, first) is TransactionStatus.FAILED
    chain.reorganise(1)
    mirror.run_until("head")
    assert {_status(sqlite_db, item) for item in (first, second)} == {TransactionStatus.PENDING}
    with sqlite_db.read() as session:
        assert len(session.scalars(select(ChainAttempt)).all()) == 2


@long
def test_calls_of_ours_to_foreign_contracts_are_seen(
    chain: TestChain, sender: Sender, mirror: Indexer, sqlite_db: Database
) -> None:
    """An approval on a currency that we did not deploy is confirmed like everything that we send."""
    foreign = PARTIES["spare"]  # an address without code takes any call
    intent = NewIntent(
        intents.new_key(),
        "approve",
        "TestCurrency",
        foreign,
        "approve",
        [PARTIES["buyer"], 5],
        PARTIES["owner"],
    )
    key = sqlite_db.run(lambda session: intents.plan(session, chain.deployment.chain_id, intent))
    tx_hash = sender.submit(key, "TestCurrency")
    wait_for(chain.client, tx_hash)
    mirror.run_until("head")
    with sqlite_db.read() as session:
        row = session.scalars(
            select(BlockchainTransaction).where(BlockchainTransaction.tx_hash == tx_hash)
        ).one()
        assert row.contract_address == foreign and row.function_name == "approve"
        assert row.gas_used is not None


@long
def test_what_is_sent_while_a_range_is_read_is_seen_where_the_chain_turns(
    chain: TestChain,
    sender: Sender,
    mirror: Indexer,
    sqlite_db: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A block that was there gives way to another of its height, and that has a call of ours to a foreign contract.

    It was signed after the mirror had asked what may be in the range, and a call to somebody else shows by its hash
    alone.
    """
    intent = NewIntent(
        intents.new_key(),
        "approve",
        "TestCurrency",
        PARTIES["spare"],
        "approve",
        [PARTIES["buyer"], 5],
        PARTIES["owner"],
    )
    key = sqlite_db.run(lambda session: intents.plan(session, chain.deployment.chain_id, intent))
    chain.mine(3)
    sent: list[str] = []

    def turn() -> None:
        head = chain.client.block_number()
        sent.append(sender.submit(key, "TestCurrency"))
        wait_for(chain.client, sent[0])
        chain.roll_back(3)
        with sqlite_db.read() as session:
            (attempt,) = intents.attempts_of(session, key)
        assert chain.client.send_raw(attempt.raw_transaction) == sent[0]
        assert wait_for(chain.client, sent[0]).block_number < head
        chain.mine(1)

    true, turns = RangeReader._read_now, iter([turn])

    def read_now(
        reader: RangeReader, cursor: Cursor, head: int, open_hashes: Collection[str]
    ) -> Read:
        next(turns, lambda: None)()
        return true(reader, cursor, head, open_hashes)

    monkeypatch.setattr(RangeReader, "_read_now", read_now)
    report = mirror.run_until("head")
    assert (sent[0], key) in rows(sqlite_db, "chain_inclusions", "tx_hash", "intent_key")
    assert report.tip == chain.client.block_number()


def _checksum(address: str) -> str:
    from eth_utils.address import to_checksum_address

    return to_checksum_address(address)


def test_a_node_that_is_down_keeps_the_pending_row(
    chain: TestChain, sqlite_db: Database, plan: Callable[..., str]
) -> None:
    keyring = Keyring({PARTIES["owner"]: anvil_signer(ANVIL_ROLES["owner"])})
    from ledger.chain.node.client import ChainClient

    down = Sender(sqlite_db, ChainClient("http://127.0.0.1:9"), keyring, 31337, 200)
    key = plan("retire", chain.retire_arguments(BATCH, 5))
    with pytest.raises(DependencyDown):
        down.submit(key, CREDIT)
    assert _intent(sqlite_db, key) == (IntentState.PLANNED, None, None)
    assert rows(sqlite_db, "blockchain_transactions", "id") == []
