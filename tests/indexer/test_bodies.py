"""Whose receipts are: a node that gives a failed transaction of ours to somebody else is caught by ``index verify``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from indexer import Indexer
from indexer.verify import verify
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.settings import LOCAL_CHAIN_ID
from tests.indexer.conftest import DEPTH
from tests.support.chain import PARTIES, TestChain
from tests.support.forms import long
from tests.support.mirror import rows, running_chain
from tests.support.proxy import LyingNode
from tests.support.waiting import until


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with running_chain() as started:
        batch = started.issue(1000, 0)
        started.retire("owner", batch, 5)
        started.retire("owner", batch, 2000, must=False)
        yield started


@pytest.fixture
def liar(chain: TestChain) -> Iterator[LyingNode]:
    with LyingNode(chain.rpc_url) as node:
        node.version = "Geth/v1.16.0"
        yield node


def _in_receipts(chain: TestChain) -> Callable[[str, list[Any], Any], Any]:
    """The receipts of failed transactions name another receiver."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockReceipts" or not result:
            return result
        return [
            {**each, "to": PARTIES["spare"]} if each["status"] == "0x0" else each for each in result
        ]

    return tamper


def test_a_failed_transaction_that_was_hidden_is_missed(
    chain: TestChain, liar: LyingNode, sqlite_db: Database
) -> None:
    client = ChainClient(liar.rpc_url)
    liar.tamper = hide = _in_receipts(chain)
    Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")
    assert liar.lies > 0
    assert "failed" not in {row[0] for row in rows(sqlite_db, "blockchain_transactions", "status")}
    report = verify(sqlite_db, client, chain.deployment, DEPTH)
    (found,) = report.differences
    assert (found.table, found.column, found.mirrored) == ("blockchain_transactions", None, None)
    assert found.chain["to"] == chain.deployment.credit.address
    assert report.checked["transactions_in_blocks"] > 20

    def hide_everywhere(method: str, params: list[Any], result: Any) -> Any:
        whole = method == "eth_getBlockByNumber" and params[1] and result
        if not whole or not result["transactions"]:
            return hide(method, params, result)
        told = copy.deepcopy(result)
        told["transactions"][-1]["to"] = PARTIES["spare"]
        return told

    liar.tamper = hide_everywhere
    with pytest.raises(DependencyDown, match="are not those that its hash covers"):
        verify(sqlite_db, client, chain.deployment, DEPTH)


def test_a_header_of_a_newer_fork_is_told_by_its_fields(
    chain: TestChain, liar: LyingNode, sqlite_db: Database
) -> None:
    """Nodes were said to have left a transaction out, or changed it, where a fork had brought a field."""
    client = ChainClient(liar.rpc_url)
    Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")

    def newer(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockByNumber" or not params[1] or not result:
            return result
        return {**result, "extraData": "0x01", "blockAccessListHash": "0x" + "11" * 32}

    liar.tamper = newer
    report = verify(sqlite_db, client, chain.deployment, DEPTH)
    assert "transactions_in_blocks" not in report.checked
    (said,) = [line for line in report.not_checked if "against its hash" in line]
    assert said.endswith(
        "its header has fields that are not known here (blockAccessListHash): the chain has a newer fork than this "
        "version"
    )


@long
def test_a_block_with_blobs_is_covered(sqlite_db: Database) -> None:
    """Anvil's root covers them, too: it was said to have left a transaction out."""
    with running_chain() as chain:
        sender = Account.from_key(keccak(text="blobs"))
        chain.client.request("anvil_setBalance", [sender.address, hex(10**18)])
        sent = {
            "type": 3,
            "chainId": LOCAL_CHAIN_ID,
            "nonce": 0,
            "to": "0x" + "11" * 20,
            "value": 0,
            "gas": 100_000,
            "maxFeePerGas": 10**12,
            "maxPriorityFeePerGas": 10**9,
            "maxFeePerBlobGas": 10**10,
        }
        raw = sender.sign_transaction(sent, blobs=[bytes(131_072)]).raw_transaction
        tx_hash = chain.client.request("eth_sendRawTransaction", ["0x" + bytes(raw).hex()])
        until(lambda: chain.client.request("eth_getTransactionReceipt", [tx_hash]))
        chain.issue(1000, 0)
        Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
        report = verify(sqlite_db, chain.client, chain.deployment, DEPTH)
        assert report.ok and report.not_checked == []


@long
def test_the_calls_of_a_true_mirror_are_those_of_its_blocks(
    chain: TestChain, sqlite_db: Database
) -> None:
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    report = verify(sqlite_db, chain.client, chain.deployment, DEPTH)
    assert report.ok and report.not_checked == []
    with sqlite_db.write() as session:
        session.connection().exec_driver_sql("UPDATE chain_inclusions SET nonce = nonce + 1")
    assert {
        each.column for each in verify(sqlite_db, chain.client, chain.deployment, DEPTH).differences
    } == {"nonce"}
