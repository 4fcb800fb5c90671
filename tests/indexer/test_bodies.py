"""Whose receipts are: a node that gives a failed transaction of ours to somebody else is caught by ``index verify``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from msgspec import structs
from sqlalchemy import update

from indexer import Indexer
from indexer.bodies import _differences, _is_unsigned, _pieces, _require_covered, check_transactions
from indexer.report import Report
from indexer.verify import verify
from indexer.watch import Watch
from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.wrappers import selector_names
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import BlockchainTransaction, ChainInclusion
from ledger.proofs.verifier.trie import EMPTY_ROOT
from ledger.settings import LOCAL_CHAIN_ID
from tests.indexer.conftest import DEPTH
from tests.support.chain import PARTIES, TestChain, wait_for
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


def _send(chain: TestChain, sender: Any, special: dict[str, Any], **beside: Any) -> None:
    """Have an account send its first transaction, of some special type, and wait until it is mined."""
    sent = {
        "chainId": LOCAL_CHAIN_ID,
        "nonce": 0,
        "to": "0x" + "11" * 20,
        "value": 0,
        "gas": 100_000,
        "maxFeePerGas": 10**12,
        "maxPriorityFeePerGas": 10**9,
        **special,
    }
    raw = sender.sign_transaction(sent, **beside).raw_transaction
    tx_hash = chain.client.request("eth_sendRawTransaction", ["0x" + bytes(raw).hex()])
    until(lambda: chain.client.request("eth_getTransactionReceipt", [tx_hash]))


def _blocks_of_ours(chain: TestChain) -> list[dict[str, Any]]:
    """Return whole blocks with a transaction each, the newest first."""
    numbers = range(chain.height(), 0, -1)
    calls = [("eth_getBlockByNumber", [hex(number), True]) for number in numbers]
    return [block for block in chain.client.request_batch(calls) if block["transactions"]]


def test_a_block_is_held_to_its_hash_field_by_field_and_transaction_by_transaction(
    chain: TestChain,
) -> None:
    block = _blocks_of_ours(chain)[0]
    number, parent = int(block["number"], 16), block["parentHash"]
    _require_covered(number, block, parent)
    _require_covered(number, block, None)  # the first of a range
    _require_covered(number, block | {"told": "0x1"}, parent)  # no field of the header
    with pytest.raises(DependencyDown, match="the chain moved") as moving:
        _require_covered(number, block, block["hash"])
    assert moving.value.code == "node-moving"
    (sent,) = block["transactions"]
    for other in (
        {"extraData": "0x01"},
        {"hash": "0x" + "ab" * 32},
        {"transactionsRoot": "0x" + EMPTY_ROOT.hex()},
        {"transactions": []},
        {"transactions": [sent, sent]},
        {"transactions": [sent | {"hash": "0x" + "ab" * 32}]},
        {"transactions": [sent | {"nonce": hex(int(sent["nonce"], 16) + 1)}]},
        {"transactions": [{}]},
        {"transactions": None},
        {"number": "no number"},
    ):
        with pytest.raises(DependencyDown, match="are not those that its hash covers") as said:
            _require_covered(number, block | other, parent)
        assert said.value.code == "node-answer"


def test_a_block_may_be_written_in_capitals(chain: TestChain) -> None:
    """As the mirror takes it: the node was said to have left a transaction out, or changed it."""
    block = _blocks_of_ours(chain)[0]
    (sent,) = block["transactions"]

    def capitals(raw: dict[str, Any]) -> dict[str, Any]:
        return {
            key: "0x" + said[2:].upper() if isinstance(said, str) else said
            for key, said in raw.items()
        }

    written = capitals(block) | {"transactions": [capitals(sent)]}
    _require_covered(int(block["number"], 16), written, block["parentHash"])


@long
def test_who_takes_on_code_may_have_signed_by_the_older_name() -> None:
    """Which of two keys signed an authorization (EIP-7702) was called `v` before it was called `yParity`."""
    with running_chain() as chain:
        sender = Account.from_key(keccak(text="code"))
        chain.client.request("anvil_setBalance", [sender.address, hex(10**18)])
        code = {"chainId": LOCAL_CHAIN_ID, "address": b"\x11" * 20, "nonce": 1}
        _send(chain, sender, {"authorizationList": [sender.sign_authorization(code)]})
        block = _blocks_of_ours(chain)[0]
    (found,) = block["transactions"]
    (signed,) = found["authorizationList"]
    older = {"v" if name == "yParity" else name: each for name, each in signed.items()}
    assert found["type"] == "0x4" and older != signed
    for item in signed, older:
        written = block | {"transactions": [found | {"authorizationList": [item]}]}
        _require_covered(int(block["number"], 16), written, block["parentHash"])


def test_what_nobody_signed_has_no_hash_of_its_own(chain: TestChain) -> None:
    """A development node makes it up for an account whose key nobody has."""
    nobody = "0x" + "12" * 20
    chain.client.request("anvil_setBalance", [nobody, hex(10**18)])
    chain.client.request("anvil_impersonateAccount", [nobody])
    sent = {"from": nobody, "to": PARTIES["spare"], "value": "0x1"}
    wait_for(chain.client, chain.client.request("eth_sendTransaction", [sent]))
    block = _blocks_of_ours(chain)[0]
    assert block["transactions"][0]["from"] == nobody and _is_unsigned(block["transactions"][0])
    _require_covered(int(block["number"], 16), block, block["parentHash"])


def test_a_range_ends_at_the_block_that_was_compared(chain: TestChain, sqlite_db: Database) -> None:
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    end = chain.client.block_there(chain.height())
    report = Report(end.number - 4, end.number)
    check_transactions(sqlite_db, chain.client, chain.deployment, report, end)
    assert report.ok and report.checked["transactions_in_blocks"] > 0
    forked = structs.replace(end, hash="0x" + "ab" * 32)
    with pytest.raises(DependencyDown, match="the chain moved while it was read") as moving:
        check_transactions(sqlite_db, chain.client, chain.deployment, report, forked)
    assert moving.value.code == "node-moving"


def test_only_what_nobody_signed_has_another_hash_than_its_bytes() -> None:
    signed = [
        _is_unsigned({"r": r, "s": s}) for r, s in (("0x0", "0x1"), ("0x1", "0x0"), ("0x1", "0x1"))
    ]
    assert (_is_unsigned({"r": "0x0", "s": "0x0"}), signed) == (True, [False] * 3)


def test_every_block_of_a_range_is_asked_for_once() -> None:
    for first, last in ((3, 3), (3, 6), (3, 7), (3, 11)):
        pieces = list(_pieces(first, last))
        assert [number for piece in pieces for number in piece] == list(range(first, last + 1))
        assert max(map(len, pieces)) <= 4


def test_what_a_block_holds_for_us_is_held_against_the_mirror(
    chain: TestChain, sqlite_db: Database
) -> None:
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    watch = Watch(chain.deployment)
    retire = next(key for key, name in selector_names(CREDIT).items() if name == "retire")
    block = next(
        each for each in _blocks_of_ours(chain) if each["transactions"][0]["input"][:10] == retire
    )
    number, (sent,) = int(block["number"], 16), block["transactions"]
    tx_hash, stranger = sent["hash"], PARTIES["spare"]
    foreign = sent | {"hash": "0x" + "ab" * 32, "to": stranger}
    less = sent | {"input": sent["input"][:10]}  # a call that cannot be read

    def found(*told: dict[str, Any]) -> list[tuple[str, str | None]]:
        with sqlite_db.read() as session:
            here = list(_differences(session, watch, number, told))
        tables = {"tx_index": "chain_inclusions", "nonce": "chain_inclusions"}
        for each in here:
            assert each.table == tables.get(str(each.column), "blockchain_transactions")
        return [(each.key, each.column) for each in here]

    assert found(sent) == found(sent | {"hash": tx_hash.upper().replace("X", "x")}) == []
    assert found(sent, foreign, foreign | {"to": None}) == []
    assert found(foreign, sent) == [(tx_hash, "tx_index")]
    assert found(sent | {"nonce": hex(int(sent["nonce"], 16) + 1)}) == [(tx_hash, "nonce")]
    assert found(less) == [(tx_hash, "parameters")]
    assert found(sent | {"input": "0x00000000"}) == [
        (tx_hash, "function_name"),
        (tx_hash, "parameters"),
    ]
    assert found(sent | {"to": stranger}) == []  # what a contract of theirs did for us has no call
    assert found(sent, sent | {"hash": foreign["hash"]}) == [(foreign["hash"], None)]
    assert found() == [(tx_hash, None)]
    with sqlite_db.write() as session:
        gone = BlockchainTransaction.tx_hash == tx_hash
        session.execute(
            update(ChainInclusion).values(tx_index=1).where(ChainInclusion.tx_hash == tx_hash)
        )
        session.execute(update(BlockchainTransaction).where(gone).values(function_name="cancel"))
    assert found(sent) == [(tx_hash, "tx_index"), (tx_hash, "function_name")]


@long
def test_a_block_with_blobs_is_covered(sqlite_db: Database) -> None:
    """Anvil's root covers them, too: it was said to have left a transaction out."""
    with running_chain() as chain:
        sender = Account.from_key(keccak(text="blobs"))
        chain.client.request("anvil_setBalance", [sender.address, hex(10**18)])
        blob = {"type": 3, "maxFeePerBlobGas": 10**10}
        _send(chain, sender, blob, blobs=[bytes(131_072)])
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
