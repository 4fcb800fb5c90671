"""Whose receipts are: a node that gives a failed transaction of ours to somebody else is caught by ``index verify``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from msgspec import structs
from sqlalchemy import update
from web3.types import Nonce
from web3.utils.address import get_create_address

from indexer import Indexer
from indexer.bodies import (
    _differences,
    _held,
    _is_unsigned,
    _pieces,
    _price,
    _require_covered,
    _sender,
    check_transactions,
)
from indexer.report import Report, Scope
from indexer.verify import verify
from indexer.watch import Watch
from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.wrappers import selector_names
from ledger.chain.keys.signed import CURVE_ORDER
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import BlockchainTransaction, ChainInclusion
from ledger.proofs.encoding import created_by, transaction
from ledger.proofs.verifier.trie import EMPTY_ROOT
from ledger.settings import LOCAL_CHAIN_ID
from tests.indexer.conftest import DEPTH
from tests.support.chain import PARTIES, TestChain, wait_for
from tests.support.forms import few, long
from tests.support.mirror import rows, running_chain
from tests.support.proxy import LyingNode
from tests.support.waiting import until

BATCH = 1 << 32 | 1


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with running_chain() as started:
        assert started.issue(1000, 0) == BATCH
        started.retire("owner", BATCH, 5)
        started.retire("owner", BATCH, 2000, must=False)
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
    sampled = verify(sqlite_db, client, chain.deployment, DEPTH, Scope(sample=10**6))
    assert sampled.differences == report.differences
    assert sampled.checked["transactions_in_blocks"] == report.checked["transactions_in_blocks"]

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


@long
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
    # A sample begins with the highest block: what is left out is below it.
    sampled = verify(sqlite_db, client, chain.deployment, DEPTH, Scope(sample=10**6))
    (said,) = [line for line in sampled.not_checked if "against its hash" in line]
    which = (
        f"block {sampled.to_block}, and of each that was to be read after it, against its hash: "
    )
    assert said.startswith(f"the transactions of {which}")
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


@few(1)
@pytest.mark.parametrize("of", ["sender", "price", "receiver"])
def test_who_sent_what_to_whom_at_what_price_is_no_word_of_the_node(
    chain: TestChain, liar: LyingNode, sqlite_db: Database, of: str
) -> None:
    """None of it is in a receipt's bytes: a node that lied was believed, by the mirror and by a fresh one."""
    foreign = {"from": PARTIES["owner"], "to": PARTIES["buyer"], "value": "0x1"}
    lied_of = wait_for(chain.client, chain.client.request("eth_sendTransaction", [foreign]))
    if of != "receiver":
        lied_of = chain.retire("owner", BATCH, 2000, must=False)
    truth = chain.client.request("eth_getTransactionReceipt", [lied_of.tx_hash])
    credit, spare = chain.deployment.credit.address, PARTIES["spare"]
    name, lie, column, mirrored, true = {
        "sender": ("from", spare, "sender", spare, PARTIES["owner"]),
        "price": ("effectiveGasPrice", "0x7", "gas_price", 7, int(truth["effectiveGasPrice"], 16)),
        "receiver": ("to", credit, "contract_address", credit, PARTIES["buyer"]),
    }[of]

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockReceipts" or not result:
            return result
        said = lied_of.tx_hash
        return [each | {name: lie} if each["transactionHash"] == said else each for each in result]

    client = ChainClient(liar.rpc_url)
    liar.tamper = tamper
    Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")
    assert liar.lies > 0
    (found,) = verify(sqlite_db, client, chain.deployment, DEPTH).differences
    assert (found.key, found.column) == (lied_of.tx_hash, column)
    assert (found.mirrored, found.chain) == (mirrored, true)


def test_the_address_of_a_created_contract_follows_from_its_sender_as_web3_has_it() -> None:
    sender = PARTIES["owner"]
    for nonce in (0, 1, 127, 128, 70_000):
        made = get_create_address(to_checksum_address(sender), Nonce(nonce))
        assert created_by(sender, nonce) == made.lower()


_AS_ASKED = {"to": "0x" + "11" * 20, "value": 5, "gas": 100_000, "nonce": 3, "data": "0xabcd"}
_LIST = [{"address": "0x" + "22" * 20, "storageKeys": ["0x" + "33" * 32]}]
_FEE_CAP = {"maxFeePerGas": 50, "maxPriorityFeePerGas": 3}


def _as_a_node_says(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: hex(said) if isinstance(said, int) else said for name, said in fields.items()}


@pytest.mark.parametrize(
    ("special", "price"),
    [
        ({"gasPrice": 9}, 9),  # as before EIP-155
        ({"gasPrice": 9, "chainId": 1}, 9),
        ({"gasPrice": 9, "chainId": 84_532}, 9),
        ({"gasPrice": 9, "chainId": 5, "type": 1, "accessList": _LIST}, 9),
        ({"chainId": 5, "type": 2, "accessList": _LIST, **_FEE_CAP}, 43),
        ({"chainId": 5, "type": 2, "accessList": [], **_FEE_CAP, "maxFeePerGas": 41}, 41),
        ({"chainId": 5, "type": 4, "accessList": [], **_FEE_CAP, "authorizationList": "one"}, 43),
    ],
)
def test_the_signer_of_a_transaction_of_each_type_is_found_as_eth_account_signs(
    special: dict[str, Any], price: int
) -> None:
    account = Account.from_key(keccak(text="of each type"))
    asked = {**_AS_ASKED, **special}
    if "authorizationList" in special:
        code = {"chainId": 5, "address": b"\x11" * 20, "nonce": 1}
        asked["authorizationList"] = [account.sign_authorization(code)]
    sent = account.sign_transaction(asked)
    raw = _as_a_node_says(asked)
    if "authorizationList" in special:
        (one,) = asked["authorizationList"]
        said = {"chainId": 5, "nonce": 1, "yParity": one.y_parity, "r": one.r, "s": one.s}
        raw["authorizationList"] = [_as_a_node_says(said) | {"address": "0x" + "11" * 20}]
    raw |= {"input": raw.pop("data"), "v": hex(sent.v), "r": hex(sent.r), "s": hex(sent.s)}
    raw |= {"from": PARTIES["spare"]}  # which nobody looks at
    if asked.get("type", 0) < 2:
        raw |= {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1"}  # no fields of theirs
    assert keccak(transaction(raw)) == bytes(sent.hash)
    assert _sender(raw) == account.address.lower()
    assert _sender(raw | {"nonce": "0x4"}) != account.address.lower()
    assert _price({"baseFeePerGas": hex(40)}, raw) == price
    # A chain without a base fee takes none of the newer types; one that does is no reason to end without a word.
    assert _price({"baseFeePerGas": None}, raw) == asked.get("maxFeePerGas", price)


def test_a_range_ends_at_the_block_that_was_compared(chain: TestChain, sqlite_db: Database) -> None:
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    end = chain.client.block_there(chain.height())
    report = Report(end.number - 4, end.number)
    check_transactions(sqlite_db, chain.client, chain.deployment, report, [(end.number - 4, end)])
    assert report.ok and report.checked["transactions_in_blocks"] > 0
    forked = structs.replace(end, hash="0x" + "ab" * 32)
    with pytest.raises(DependencyDown, match="the chain moved while it was read") as moving:
        check_transactions(
            sqlite_db, chain.client, chain.deployment, report, [(end.number - 4, forked)]
        )
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
            held = _held(session, number)
        here = list(_differences(held, watch, block | {"transactions": told}))
        tables = dict.fromkeys(("tx_index", "nonce", "sender"), "chain_inclusions")
        for each in here:
            assert each.table == tables.get(str(each.column), "blockchain_transactions")
        return [(each.key, each.column) for each in here]

    assert found(sent) == found(sent | {"hash": tx_hash.upper().replace("X", "x")}) == []
    assert found(sent, foreign, foreign | {"to": None}) == []
    assert found(foreign, sent) == [(tx_hash, "tx_index")]
    # Whatever else a signature were of, another account would have signed it.
    other = (tx_hash, "sender")
    assert found(sent | {"nonce": hex(int(sent["nonce"], 16) + 1)}) == [(tx_hash, "nonce"), other]
    assert found(less) == [other, (tx_hash, "parameters")]
    assert found(sent | {"input": "0x00000000"}) == [
        other,
        (tx_hash, "function_name"),
        (tx_hash, "parameters"),
    ]
    # What a contract of theirs did for us has no call.
    assert found(sent | {"to": stranger}) == [other, (tx_hash, "contract_address")]
    assert found(sent | {"r": "0x0", "s": "0x0"}) == []  # nobody signed it
    assert found(sent | {"s": hex(CURVE_ORDER - int(sent["s"], 16))}) == [other]
    dearer = {name: hex(int(sent[name], 16) + 1) for name in _FEE_CAP}
    assert found(sent | dearer) == [(tx_hash, "gas_price"), other]
    assert found(sent, sent | {"hash": foreign["hash"]}) == [(foreign["hash"], None)]
    assert found() == [(tx_hash, None)]
    with sqlite_db.write() as session:
        gone = BlockchainTransaction.tx_hash == tx_hash
        session.execute(
            update(ChainInclusion).values(tx_index=1).where(ChainInclusion.tx_hash == tx_hash)
        )
        session.execute(update(BlockchainTransaction).where(gone).values(function_name="cancel"))
        session.connection().exec_driver_sql(
            "UPDATE blockchain_transactions SET gas_price = 'much'"
        )
    assert found(sent) == [(tx_hash, name) for name in ("tx_index", "gas_price", "function_name")]


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
