"""A node that lags, limits or lies: the mirror waits, or stops with a reason; it never skips.

Every lie is asserted to have been told, and after the node is honest again the mirror is what a new one
would be.
"""

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from indexer import Indexer
from indexer.reindex import reindex
from indexer.status import as_document, look
from indexer.ticks import Limits
from indexer.verify import verify
from indexer.watch import Watch
from ledger.chain.addresses.book import PROVEN, TOLD
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, ZERO_HASH, schemas
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import DependencyDown, MirrorStopped, TruetonneError, WrongChain
from ledger.models.sending import IntentState
from ledger.reconcile import reconcile
from tests.indexer.conftest import DEPTH
from tests.support.chain import CURRENCY, PARTIES, TestChain, go_back, wait_for
from tests.support.forms import few, long, rest
from tests.support.mirror import Dump, dump, fresh, rows, running_chain
from tests.support.proxy import LyingNode, NodeError, Tamper
from tests.support.sent import attempt, stored, transaction

Check = Callable[[], None]
NOBODY = "0x" + "00" * 20
NO_BLOOM = "0x" + "00" * 256


KINDS: dict[str, dict[str, Any]] = {
    "keeps traces": {},
    "standard": {"version": "Geth/v1.16.0"},
    "old": {"version": "Geth/v1.9.0", "lacks": frozenset({"eth_getBlockReceipts"})},
    "no traces": {"lacks": frozenset({"trace_block", "trace_transaction"})},  # Anvil by its name
    "told": {"version": "Geth/v1.16.0"},
    "old and told": {"version": "Geth/v1.9.0", "lacks": frozenset({"eth_getBlockReceipts"})},
}
"""The mirror asks each of these in another way; the receipts of the first four are proven."""
TOLD_KINDS = ("told", "old and told")


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    """One chain for all of these; with events of both contracts, and of such without a number."""
    with running_chain() as started:
        batch = started.issue(1000, 0)
        started.retire("owner", batch, 10)
        started.deposit("owner", 500)
        started.transfer("owner", "buyer", batch, 3)
        started.retire("owner", batch, 5)
        started.retire("owner", batch, 2000, must=False)
        started.act("owner", CURRENCY, "mint", [PARTIES["owner"], 700])
        spender = started.deployment.settlement.address
        started.act("owner", CURRENCY, "approve", [spender, 700])
        _in_one_block(started, batch)
        yield started


def _in_one_block(chain: TestChain, batch: int) -> None:
    """Mine a block of transactions of ours, a failed one among them, and a foreign one between them."""
    owner, stranger = PARTIES["owner"], PARTIES["buyer"]
    ours = [
        chain.transaction("owner", CREDIT, "safeTransferFrom", [owner, stranger, batch, kg, b""])
        for kg in (1, 2, 3)
    ]
    ours += [
        chain.transaction("owner", SETTLEMENT, "deposit", [owner, 700]),
        chain.transaction("owner", CREDIT, "retire", chain.retire_arguments(batch, 2)),
        chain.transaction("owner", CREDIT, "safeTransferFrom", [owner, NOBODY, batch, 1, b""]),
    ]
    foreign = {"from": owner, "to": stranger, "value": "0x1"}
    chain.in_one_block(ours[0], foreign, *ours[1:])


@pytest.fixture(autouse=True)
def as_it_was(chain: TestChain) -> Iterator[None]:
    """Put the chain back after each test: to others the newest block is the one with events."""
    snapshot = chain.client.request("evm_snapshot")
    yield
    go_back(chain.client, snapshot)


@pytest.fixture(scope="module")
def truth(
    chain: TestChain, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Dump]:
    """Return a function that mirrors the chain from nothing; again only when it went on."""
    known: dict[str, Dump] = {}

    def mirrored() -> Dump:
        head = chain.head_hash()
        if head not in known:
            known[head] = fresh(sqlite_template, tmp_path_factory.mktemp("fresh"), chain, DEPTH)
        return known[head]

    return mirrored


@pytest.fixture
def same_as_fresh(sqlite_db: Database, truth: Callable[[], Dump]) -> Check:
    return lambda: _same(dump(sqlite_db), truth())


def _same(mine: Dump, new: Dump) -> None:
    for table, expected in new.items():
        assert mine[table] == expected, table


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def liar(chain: TestChain, kind: str) -> Iterator[LyingNode]:
    with LyingNode(chain.rpc_url) as node:
        for name, value in KINDS[kind].items():
            setattr(node, name, value)
        yield node


@pytest.fixture
def lied_to(liar: LyingNode, chain: TestChain, sqlite_db: Database, kind: str) -> Indexer:
    deployment = replace(chain.deployment, receipts=TOLD if kind in TOLD_KINDS else PROVEN)
    return Indexer(sqlite_db, ChainClient(liar.rpc_url), deployment, DEPTH)


def _logs(change: Callable[[list[Any]], Any]) -> Tamper:
    def tamper(method: str, params: list[Any], result: Any) -> Any:
        return change(copy.deepcopy(result)) if method == "eth_getLogs" else result

    return tamper


def _each(**values: Any) -> Callable[[list[Any]], Any]:
    return lambda logs: [{**log, **values} for log in logs]


def _hides(contract: str, event: str, but: str | None = None) -> Tamper:
    """Leave the logs of an event out of everything that would show them: index, receipts, and their blooms.

    Those that name ``but`` are left in.
    """
    topic = next(key for key, known in schemas(contract).items() if known.name == event)

    def without(logs: list[Any]) -> list[Any]:
        return [log for log in logs if log["topics"][0] != topic or but in log["topics"]]

    def receipt(true: dict[str, Any]) -> dict[str, Any]:
        kept = without(true["logs"])
        return {**true, "logs": kept, "logsBloom": true["logsBloom"] if kept else NO_BLOOM}

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        return (
            without(result) if method == "eth_getLogs" else _each_receipt(method, result, receipt)
        )

    return tamper


def _hides_from_blooms(method: str, params: list[Any], result: Any) -> Any:
    """The same for all of our events, and no bloom says that there are any."""
    if method == "eth_getLogs":
        return []
    if method == "eth_getBlockByNumber" and result:
        return {**result, "logsBloom": NO_BLOOM}
    return _each_receipt(method, result, lambda each: {**each, "logs": [], "logsBloom": NO_BLOOM})


def _receipt(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Tamper:
    return lambda method, params, result: _each_receipt(method, result, change)


def _receipt_logs(change: Callable[[list[Any]], list[Any]]) -> Tamper:
    return _receipt(lambda each: {**each, "logs": change(each["logs"])})


def _another_root(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and result:
        return {**result, "receiptsRoot": "0x" + "ab" * 32}
    return result


def _no_header(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and result:
        return {**result, "extraData": "0xzz"}
    return result


def _each_receipt(
    method: str, result: Any, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Any:
    """Change receipts, whether they were asked for one by one or by block."""
    if method == "eth_getTransactionReceipt" and result:
        return change(result)
    if method == "eth_getBlockReceipts" and result:
        return [change(receipt) for receipt in result]
    return result


def _receipts(method: str, params: list[Any], result: Any) -> Any:
    return None if method in ("eth_getTransactionReceipt", "eth_getBlockReceipts") else result


def _last_left_out(method: str, params: list[Any], result: Any) -> Any:
    """Leave out the last receipt of several: where it is of a failure, no bloom tells of it."""
    several = method == "eth_getBlockReceipts" and len(result or ()) > 1
    return result[:-1] if several else result


def _exchanged(method: str, params: list[Any], result: Any) -> Any:
    """Say of two receipts that each is the other's: the root of receipts does not cover whose they are."""
    if method != "eth_getBlockReceipts" or len(result or ()) < 2:
        return result
    one, two = (each["transactionHash"] for each in result[:2])
    exchanged = (
        {**each, "transactionHash": its} for each, its in zip(result[:2], (two, one), strict=True)
    )
    return [*exchanged, *result[2:]]


def _one_more(method: str, params: list[Any], result: Any) -> Any:
    return [*result, result[-1]] if method == "eth_getBlockReceipts" and result else result


def _none_of_all(method: str, params: list[Any], result: Any) -> Any:
    return [] if method == "eth_getBlockReceipts" else result


def _blocks_without_anything(method: str, params: list[Any], result: Any) -> Any:
    """Hide all transactions of a block, which its true header still covers."""
    if method == "eth_getBlockByNumber" and result:
        return {**result, "transactions": []}
    return None if method == "eth_getBlockReceipts" else result


def _of_another_fork(method: str, params: list[Any], result: Any) -> Any:
    return _each_receipt(method, result, lambda each: {**each, "blockHash": "0x" + "cd" * 32})


def _in_another_block(method: str, params: list[Any], result: Any) -> Any:
    """Hand out the receipts of another transaction."""
    return _each_receipt(method, result, lambda each: {**each, "transactionHash": "0x" + "cd" * 32})


def _no_inputs(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and params[1] is True:
        return {**result, "transactions": []}
    return None if method in ("eth_getTransactionByHash", "trace_block") else result


def _transaction(**values: Any) -> Tamper:
    """Change what is handed out for the hash of a transaction."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        asked = method == "eth_getTransactionByHash" and result
        return {**result, **values} if asked else result

    return tamper


_still_waiting = _transaction(blockHash=None, blockNumber=None, transactionIndex=None)
"""Call every transaction one that waits still, as Anvil does for a moment of one that it just mined."""


def _last_block_moves() -> Tamper:
    """Answer with another hash whenever the head is asked for by number a second time."""
    asked: Counter[str] = Counter()
    head: list[str] = []

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockByNumber" or not result:
            return result
        if params[0] == "latest":
            head[:] = [result["number"]]
        elif [params[0]] == head:
            asked[params[0]] += 1
            if asked[params[0]] % 2 == 0:
                return {**result, "hash": "0x" + "ab" * 32}
        return result

    return tamper


def _renumbered(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and params[0] == "0x9":
        return {**result, "number": "0xa"}
    return result


def _orphan(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and result and int(result["number"], 16) == 9:
        return {**result, "parentHash": "0x" + "ab" * 32}
    return result


@long
@few(1)
def test_whatever_the_node_can_do_the_mirror_is_the_same(
    lied_to: Indexer, same_as_fresh: Check
) -> None:
    lied_to.run_until("head")
    same_as_fresh()


def _in_capitals(method: str, params: list[Any], result: Any) -> Any:
    """Write all hexadecimal in capitals, as checksums of addresses have some."""
    if isinstance(result, str):
        return "0x" + result[2:].upper() if result.startswith("0x") else result
    if isinstance(result, dict):
        return {key: _in_capitals(method, params, each) for key, each in result.items()}
    if isinstance(result, list):
        return [_in_capitals(method, params, each) for each in result]
    return result


WRONG_PLACES = _receipt(lambda each: {**each, "transactionIndex": "0x63"})


def _price_left_out(method: str, params: list[Any], result: Any) -> Any:
    """Leave out of receipts what the gas cost: only the transactions say it."""
    return _each_receipt(
        method,
        result,
        lambda each: {key: said for key, said in each.items() if key != "effectiveGasPrice"},
    )


def _long_numbers(logs: list[Any]) -> list[Any]:
    """Write the numbers of logs with a zero before them, which the receipts have not, and their data in capitals."""
    numbers = ("blockNumber", "transactionIndex", "logIndex")
    return [
        {
            **log,
            **{name: "0x0" + log[name][2:] for name in numbers},
            "data": "0x" + log["data"][2:].upper(),
        }
        for log in logs
    ]


HABITS = {
    **{f"{kind}: no price": (kind, _price_left_out) for kind in KINDS if "traces" not in kind},
    **{f"{kind}: numbers": (kind, _logs(_long_numbers)) for kind in TOLD_KINDS},
    **{f"{kind}: capitals": (kind, _in_capitals) for kind in KINDS},
    "standard: places": ("standard", WRONG_PLACES),
    **{f"{kind}: backwards": (kind, _logs(lambda logs: logs[::-1])) for kind in TOLD_KINDS},
}


@few(1)
@pytest.mark.parametrize(("kind", "habit"), HABITS.values(), ids=HABITS)
def test_however_the_node_writes_it_the_mirror_is_the_same(
    lied_to: Indexer,
    liar: LyingNode,
    chain: TestChain,
    sqlite_db: Database,
    same_as_fresh: Check,
    kind: str,
    habit: Tamper,
) -> None:
    """And so is what is compared with it, which asks for whole blocks."""
    liar.tamper = habit
    lied_to.run_until("head")
    assert liar.lies > 0
    same_as_fresh()
    client = ChainClient(liar.rpc_url)
    deployment = replace(chain.deployment, receipts=TOLD if kind in TOLD_KINDS else PROVEN)
    assert verify(sqlite_db, client, deployment, DEPTH).ok
    assert reconcile(sqlite_db, client, deployment).ok is (habit is not WRONG_PLACES)


def test_what_no_node_says_the_price_of_stops_the_mirror(
    chain: TestChain, sqlite_db: Database
) -> None:
    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getTransactionByHash":
            return {name: each for name, each in result.items() if name != "gasPrice"}
        return _price_left_out(method, params, result)

    with LyingNode(chain.rpc_url) as node:
        node.version, node.tamper = "Geth/v1.16.0", tamper
        mirror = Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment, DEPTH)
        with pytest.raises(
            MirrorStopped, match=r"neither 0x[0-9a-f]{64} nor its receipt says what"
        ):
            mirror.run_until("head")


def test_the_bloom_of_each_block_tells_whether_it_has_logs_of_ours(chain: TestChain) -> None:
    """Anvil's blooms; on a chain of so few logs they are right both ways."""
    watch, client = Watch(chain.deployment), chain.client
    found = set()
    for number in range(client.block_number() + 1):
        block = client.request("eth_getBlockByNumber", [hex(number), False])
        has_logs = bool(client.logs(watch.log_addresses, number, number))
        assert watch.may_have_logs(block["logsBloom"]) == has_logs, number
        found.add(has_logs)
    assert found == {True, False}
    assert watch.may_have_logs(None)  # a node without blooms


TWISTED = "not those that its hash covers"
PROVEN_LIES = {
    "a log missing": (_receipt_logs(lambda logs: logs[:-1]), TWISTED),
    "a log twice": (_receipt_logs(lambda logs: logs + logs[-1:]), TWISTED),
    "logs in another order": (_receipt_logs(lambda logs: logs[::-1]), TWISTED),
    "data of a log": (
        _receipt_logs(lambda logs: [{**each, "data": each["data"][:-1] + "f"} for each in logs]),
        TWISTED,
    ),
    "data that is none": (_receipt_logs(_each(data="0xyz")), TWISTED),
    "a failure shown as success": (_receipt(lambda each: {**each, "status": "0x1"}), TWISTED),
    "a failure that is alone in its block shown as success": (
        _receipt(
            lambda each: {**each, "status": "0x1"} if each["transactionIndex"] == "0x0" else each
        ),
        TWISTED,
    ),
    "receipts of another kind": (
        _receipt(lambda each: {**each, "type": "0x7e"}),
        "is of type 0x7e",
    ),
    "gas": (_receipt(lambda each: {**each, "gasUsed": "0x1"}), "do not add up in their gas"),
    "more gas": (
        _receipt(lambda each: {**each, "gasUsed": "0xffffff"}),
        "do not add up in their gas",
    ),
    "a settlement event hidden": (_hides(SETTLEMENT, "Deposited"), TWISTED),
    "a transfer hidden": (_hides(CREDIT, "TransferSingle"), TWISTED),
    "an entry of the credit log hidden": (_hides(CREDIT, "Retired"), TWISTED),
    "everything hidden, from blooms, too": (_hides_from_blooms, "does not have its hash"),
    "a root of one's own": (_another_root, "does not have its hash"),
    "a header that is none": (_no_header, "does not have its hash"),
}
TOLD_LIES = {
    "a log missing": (_logs(lambda logs: logs[:-1]), "by the node's index"),
    "no logs at all": (_logs(lambda logs: []), "by the node's index"),
    "a log twice": (_logs(lambda logs: logs + logs[-1:]), "handed out twice"),
    "logs marked as removed": (_logs(_each(removed=True)), "removed by a reorganisation"),
    "logs of another fork": (_logs(_each(blockHash="0x" + "cd" * 32)), "comes from another fork"),
    "logs of another range": (_logs(_each(blockNumber="0xffff")), "outside the range"),
    "logs of another transaction": (
        _logs(_each(transactionHash="0x" + "cd" * 32)),
        "does not hold there",
    ),
    "logs of a place that no transaction has": (
        _logs(_each(transactionIndex="0xff")),
        "does not hold there",
    ),
    "an entry of the credit log hidden": (_hides(CREDIT, "Retired"), "credit log"),
}
LIES = {
    "no receipts": (_receipts, "has no receipt"),
    "receipts of another fork": (_of_another_fork, "comes from another fork"),
    "receipts of other transactions": (
        _in_another_block,
        "not those of its transactions|that of another transaction",
    ),
    "nothing of what transactions were given": (
        _no_inputs,
        f"and no trace|and not the transaction|does not hold there|{TWISTED}",
    ),
    "last block changes": (_last_block_moves, "changed while it was read"),
    "a block with another parent": (_orphan, "does not follow the one before it"),
    "a block with another number": (_renumbered, "does not follow the one before it"),
}
BY_HASH_LIES = {
    "transactions that wait still": (_still_waiting, "which waits, by its own word"),
    "other transactions": (_transaction(hash="0x" + "cd" * 32), "and not the transaction"),
    "transactions of another fork": (
        _transaction(blockHash="0x" + "cd" * 32),
        "transaction 0x.* comes from another fork",
    ),
}
ALL_LIES = [  # the short form tells each to one kind of node
    *((kind, name, *lie) for kind in KINDS for name, lie in LIES.items()),
    *(  # of old ones transactions come with their blocks
        (kind, name, *lie)
        for kind in KINDS
        if not kind.startswith("old")
        for name, lie in BY_HASH_LIES.items()
    ),
    *(("told", name, *lie) for name, lie in TOLD_LIES.items()),
    *((kind, name, *lie) for kind in ("standard", "old") for name, lie in PROVEN_LIES.items()),
    ("standard", "a receipt fewer than transactions", _last_left_out, "are 6, its transactions 7"),
    ("standard", "a receipt more than transactions", _one_more, "not those of its transactions"),
    ("standard", "two receipts exchanged", _exchanged, "not those of its transactions"),
    ("standard", "none of a block's receipts", _none_of_all, "has no receipts of block"),
    ("standard", "blocks without anything", _blocks_without_anything, "has no receipts of block"),
]


@few(9)
@pytest.mark.parametrize(
    ("kind", "lie", "reason"),
    [
        pytest.param(
            kind,
            lie,
            reason,
            id=f"{kind}: {name}",
            marks=() if kind == "standard" or name in TOLD_LIES else long,
        )
        for kind, name, lie, reason in ALL_LIES
    ],
)
def test_nothing_doubtful_is_written(
    lied_to: Indexer,
    liar: LyingNode,
    sqlite_db: Database,
    same_as_fresh: Check,
    monkeypatch: pytest.MonkeyPatch,
    lie: Tamper,
    reason: str,
) -> None:
    monkeypatch.setattr("indexer.ranges._DOUBT_PAUSE_S", 0)
    liar.tamper = lie() if lie is _last_block_moves else lie
    with pytest.raises(TruetonneError, match=reason):
        lied_to.run_until("head")
    assert liar.lies > 0
    assert rows(sqlite_db, "chain_events", "seq") == []
    assert rows(sqlite_db, "blockchain_transactions", "id") == []
    liar.tamper = None
    lied_to.run_until("head")
    same_as_fresh()


@pytest.mark.parametrize("kind", rest(["standard", "old"], "old"))
def test_what_we_sent_to_others_is_proven_as_well(
    lied_to: Indexer,
    liar: LyingNode,
    chain: TestChain,
    sqlite_db: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A nonce that was filled: no bloom tells of it, and it calls none of our contracts."""
    monkeypatch.setattr("indexer.ranges._DOUBT_PAUSE_S", 0)
    lied_to.run_until("head")
    fill = {"from": PARTIES["owner"], "to": PARTIES["owner"], "value": "0x0"}
    tx_hash = chain.client.request("eth_sendTransaction", [fill])
    wait_for(chain.client, tx_hash)
    with sqlite_db.write() as session:
        key = stored(session, 1, state=IntentState.SUBMITTED, contract_address=NOBODY).key
        attempt(session, key, tx_hash, 1)
        transaction(session, tx_hash, contract_address=NOBODY)
    liar.tamper = _receipt(
        lambda each: each | ({"status": "0x0"} if each["transactionHash"] == tx_hash else {})
    )
    with pytest.raises(TruetonneError, match=TWISTED):
        lied_to.run_until("head")
    assert liar.lies > 0
    liar.tamper = None
    lied_to.run_until("head")
    errors = dict(rows(sqlite_db, "chain_inclusions", "tx_hash", "error"))
    assert tx_hash in errors and errors[tx_hash] is None


HEAD_LIES = (
    *("a log missing", "a failure shown as success", "gas", "a settlement event hidden"),
    *(
        "a transfer hidden",
        "an entry of the credit log hidden",
        "everything hidden, from blooms, too",
    ),
    *("no receipts", "receipts of another fork", "receipts of other transactions"),
)


@few(1)
@pytest.mark.parametrize("kind", ["keeps traces"])
@pytest.mark.parametrize("name", rest(HEAD_LIES, HEAD_LIES[0], HEAD_LIES[6], HEAD_LIES[7]))
def test_nothing_doubtful_is_written_of_the_newest_block(
    lied_to: Indexer,
    liar: LyingNode,
    chain: TestChain,
    sqlite_db: Database,
    same_as_fresh: Check,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Read by itself, its receipts are asked for by their hashes, and proven as those of a range are."""
    monkeypatch.setattr("indexer.ranges._DOUBT_PAUSE_S", 0)
    limits = Limits(chain.client.block_number() - 1, 0)
    Indexer(sqlite_db, chain.client, chain.deployment, limits=limits).run_until(limits.up_to)
    before = dump(sqlite_db)
    lie, reason = (PROVEN_LIES | LIES)[name]
    asked: Counter[str] = Counter()

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        asked[method] += 1
        return lie(method, params, result)

    liar.tamper = tamper
    with pytest.raises(TruetonneError, match=reason):
        lied_to.run_until("head")
    assert liar.lies > 0 and dump(sqlite_db) == before
    assert asked["eth_getTransactionReceipt"] > 0 == asked["eth_getBlockReceipts"]
    liar.tamper = None
    lied_to.run_until("head")
    same_as_fresh()


def _fewer_receipts(method: str, params: list[Any], result: Any) -> Any:
    return result[1:] if method == "eth_getBlockReceipts" and result else result


@pytest.mark.parametrize("kind", ["standard"])
@pytest.mark.parametrize("lie", [_fewer_receipts, _still_waiting])
def test_a_passing_doubt_is_read_again(
    lied_to: Indexer, liar: LyingNode, same_as_fresh: Check, lie: Tamper
) -> None:
    told = []

    def once(method: str, params: list[Any], result: Any) -> Any:
        answer = lie(method, params, result)
        if answer is result or told:
            return result
        told.append(True)
        return answer

    liar.tamper = once
    lied_to.run_until("head")
    assert liar.lies == 1
    same_as_fresh()


@long
@pytest.mark.parametrize("kind", TOLD_KINDS)
def test_a_changed_event_breaks_the_numbered_log(
    lied_to: Indexer, liar: LyingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.ranges._DOUBT_PAUSE_S", 0)

    def change(log: dict[str, Any]) -> dict[str, Any]:
        return {**log, "data": log["data"].replace(b"year 2015".hex(), b"year 2016".hex())}

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            return [change(log) for log in result]
        return _each_receipt(
            method, result, lambda each: {**each, "logs": [change(log) for log in each["logs"]]}
        )

    liar.tamper = tamper
    with pytest.raises(MirrorStopped, match="does not follow from the ones before it"):
        lied_to.run_until("head")
    assert liar.lies > 0


@long
@few(1)
@pytest.mark.parametrize("kind", ["told"])
@pytest.mark.parametrize(
    ("lie", "rule"),
    [
        (_hides(CREDIT, "TransferSingle", but=ZERO_HASH), "holdings-on-chain"),
        (_hides(SETTLEMENT, "Deposited"), "escrow-on-chain"),
    ],
    ids=["a transfer between holders", "a deposit"],
)
def test_what_was_told_without_a_transfer_is_found_in_the_contracts_storage(
    lied_to: Indexer,
    liar: LyingNode,
    chain: TestChain,
    sqlite_db: Database,
    lie: Tamper,
    rule: str,
) -> None:
    """Events without a number, hidden from index and receipts alike: told, they are believed; verified, they lack."""
    liar.tamper = lie
    lied_to.run_until("head")
    assert liar.lies > 0
    deployment = replace(chain.deployment, receipts=TOLD)
    report = verify(sqlite_db, ChainClient(liar.rpc_url), deployment, DEPTH)
    assert rule in {each.table for each in report.differences}


@long
@pytest.mark.parametrize("kind", rest(TOLD_KINDS))
def test_a_limit_of_the_node_makes_the_ranges_shorter(
    lied_to: Indexer, liar: LyingNode, chain: TestChain, sqlite_db: Database, same_as_fresh: Check
) -> None:
    def limited(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        asked = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        return NodeError("query exceeds max block range 3") if asked > 3 else result

    liar.tamper = limited
    reports: list[int] = []
    lied_to.run_until("head", on_tick=lambda report: reports.append(report.blocks))
    assert liar.lies > 0 and max(reports) <= 3
    same_as_fresh()
    chain.client.request("anvil_mine", ["0x40"])
    lied_to.run_until("head")
    before = liar.lies
    assert reconcile(sqlite_db, ChainClient(liar.rpc_url), chain.deployment).ok
    queries = chain.height() // 2
    assert 5 <= liar.lies - before <= 6 + queries // 16, "it asks for too much again and again"


# -------------------------------------------------------------------- pruned nodes


def _pruned(method: str, params: list[Any], result: Any) -> Any:
    """A node that has forgotten all states but the latest, which nobody can name by a hash here."""
    asks_state = method in ("eth_call", "eth_getCode", "eth_getStorageAt", "eth_getBalance")
    if asks_state and params[1] != "latest":
        return NodeError("missing trie node 5ab1 (path ) state 0x5ab1 is not available")
    return result


@long
@pytest.mark.parametrize("kind", rest(["standard", "old", "told"], "told"))
def test_a_node_that_has_forgotten_old_states_serves(
    lied_to: Indexer, liar: LyingNode, chain: TestChain, sqlite_db: Database, kind: str
) -> None:
    """What could not be checked is said, by the mirror, its status and its verification, until it could."""
    liar.tamper = _pruned
    report = lied_to.run_until("head")
    assert liar.lies > 0 and report.tip == chain.client.block_number()
    told = kind in TOLD_KINDS
    said = _not_checked(sqlite_db)
    assert list(report.not_checked) == said
    assert [("receipts were believed" in each) for each in said] == [True, False][not told :]
    assert "missing trie node" in said[-1] and "end of the credit log" in said[-1]
    deployment = replace(chain.deployment, receipts=TOLD if told else PROVEN)
    client = ChainClient(liar.rpc_url)
    restarted = Indexer(sqlite_db, client, deployment, DEPTH).run_until("head")
    assert list(restarted.not_checked) == said  # also by a run that finds nothing to read
    verified = verify(sqlite_db, client, deployment, DEPTH)
    assert verified.ok and verified.checked["chain_events"] > 0
    assert "missing trie node" in verified.not_checked[-1]
    assert ["told" in each for each in verified.not_checked] == [True, False][not told :]

    liar.tamper = None
    chain.mine(1)
    assert len(lied_to.run_until("head").not_checked) == told
    assert len(_not_checked(sqlite_db)) == told
    assert [
        each for each in verify(sqlite_db, client, deployment, DEPTH).not_checked if not told
    ] == []
    if told:
        before = _not_checked(sqlite_db)
        chain.mine(1)
        report = Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")
        # That newer ones are proven proves nothing of the older.
        assert list(report.not_checked) == _not_checked(sqlite_db) == before
        following = Indexer(sqlite_db, client, chain.deployment, DEPTH)
        assert list(following.tick().not_checked) == before
        reindex(sqlite_db, client, chain.deployment, DEPTH)
        assert _not_checked(sqlite_db) == []
        assert following.tick().not_checked == ()  # nor by one that follows meanwhile
        chain.mine(1)
        assert following.tick().not_checked == ()
        assert _not_checked(sqlite_db) == []


def _not_checked(db: Database) -> list[str]:
    with db.read() as session:
        found = as_document(look(session, "local"), None)["not_checked"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("kind", ["standard"])
def test_a_node_that_does_not_know_blocks_by_hash_is_asked_by_number(
    lied_to: Indexer, liar: LyingNode
) -> None:
    def no_hashes(method: str, params: list[Any], result: Any) -> Any:
        by_hash = method in ("eth_call", "eth_getCode") and isinstance(params[1], dict)
        return NodeError("invalid argument 1: cannot unmarshal object") if by_hash else result

    liar.tamper = no_hashes
    assert lied_to.run_until("head").not_checked == ()
    assert liar.lies > 0


_LOG_HEAD = "0x" + keccak(b"logHead()")[:4].hex()


def _end_of_log(said: Callable[[str], Any]) -> Tamper:
    """Answer with something else where it is asked for the contract's own end of the credit log."""
    return lambda method, params, result: (
        said(result) if method == "eth_call" and params[0]["data"] == _LOG_HEAD else result
    )


@pytest.mark.parametrize("kind", ["standard"])
def test_the_end_of_the_log_is_asked_of_the_block_by_its_hash(
    lied_to: Indexer, liar: LyingNode, chain: TestChain
) -> None:
    """Of its number another fork may have another, with an end of its own."""
    asked: list[Any] = []

    def note(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_call" and params[0]["data"] == _LOG_HEAD:
            asked.append(params[1])
        return result

    liar.tamper = note
    assert lied_to.run_until("head").not_checked == ()
    assert asked and {each["blockHash"] for each in asked} == {chain.head_hash()}


@few(1)
@pytest.mark.parametrize("kind", ["standard"])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (lambda true: None, "contract says None of the end of its log"),
        (lambda true: true + "00", "contract says 0x0{62}.* of the end of its log"),
        (lambda true: "0x" + "zz" * 64, "contract says 0xz{78} of the end of its log"),
        (lambda true: "0x" + "_1" * 64, "contract says 0x(_1){39} of the end of its log"),
        (lambda true: "0x", "log ends at entry 0 on chain, and at entry"),
        (lambda true: f"0x{1:064x}{true[66:]}", "log ends at entry 1 on chain, and at entry"),
        (lambda true: true[:66] + "ab" * 32, r"log ends at entry (\d+) on chain, and at entry \1 "),
    ],
)
def test_an_end_of_the_log_that_is_none_stops_the_mirror(
    lied_to: Indexer,
    liar: LyingNode,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[str], Any],
    reason: str,
) -> None:
    """Of the right length and no number, it ended the run as a defect of ours."""
    monkeypatch.setattr("indexer.ranges._DOUBT_PAUSE_S", 0)
    liar.tamper = _end_of_log(said)
    with pytest.raises(MirrorStopped, match=f"the credit {reason}"):
        lied_to.run_until("head")


@few(1)
@pytest.mark.parametrize("kind", ["standard", "told"])
def test_a_node_that_does_not_say_where_the_log_ends(
    lied_to: Indexer,
    liar: LyingNode,
    chain: TestChain,
    sqlite_db: Database,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Proven receipts show that the log is whole; where they are told, nothing else does, and it is waited for."""
    monkeypatch.setattr("indexer.ranges._DOUBT_PAUSE_S", 0)
    liar.tamper = _end_of_log(lambda true: NodeError("busy with something else"))
    if kind == "standard":
        (said,) = lied_to.run_until("head").not_checked
        assert said.endswith("own at the head: the node refused eth_call: busy with something else")
        assert _not_checked(sqlite_db) == [said]
        liar.tamper = None
        chain.mine(1)
        assert lied_to.run_until("head").not_checked == ()
        assert _not_checked(sqlite_db) == []
        return
    with pytest.raises(DependencyDown, match="cannot be asked: the node refused") as waited_for:
        lied_to.run_until("head")
    assert waited_for.value.code == "node-behind"


@long
@pytest.mark.parametrize("kind", ["standard"])
def test_a_block_that_is_away_below_the_head_was_not_taken_back(
    lied_to: Indexer,
    liar: LyingNode,
    chain: TestChain,
    sqlite_db: Database,
    same_as_fresh: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a node takes one call at a time, another one may answer each: of these, one knows the head and one lags."""
    monkeypatch.setattr("indexer.loop._LOOK_PAUSE_S", 0)
    tip, left = lied_to.run_until("head").tip, [3]

    def away(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockByNumber" or params[0] != hex(tip) or not left[0]:
            return result
        left[0] -= 1
        return None

    chain.mine(1)
    liar.tamper = away
    report = lied_to.tick()
    assert (report.rewound_to, report.tip, left) == (None, tip + 1, [0])
    left[0], tip = -1, tip + 1
    before = dump(sqlite_db)
    with pytest.raises(DependencyDown, match=f"has no block {tip};") as told:
        lied_to.tick()
    assert told.value.code == "node-behind" and dump(sqlite_db) == before
    chain.reorganise(1)  # and so is one below a block that was
    tip -= 1
    with pytest.raises(DependencyDown, match=f"has no block {tip};"):
        lied_to.tick()
    assert dump(sqlite_db) == before and rows(sqlite_db, "mirror_reorganisations", "id") == []
    liar.tamper = None
    assert lied_to.tick().rewound_to == tip
    lied_to.run_until("head")
    same_as_fresh()


@pytest.mark.parametrize("kind", ["standard"])
def test_a_node_is_named_without_its_password(
    liar: LyingNode, chain: TestChain, sqlite_db: Database
) -> None:
    client = ChainClient(liar.rpc_url.replace("://", "://user:hush@"))
    mirror = Indexer(sqlite_db, client, chain.deployment, DEPTH)
    mirror.run_until("head")
    liar.tamper = lambda method, params, result: None if params[:1] == ["latest"] else result
    with pytest.raises(DependencyDown, match="has no latest block") as headless:
        mirror.tick()
    liar.tamper = lambda method, params, result: "0x0" if method == "eth_blockNumber" else result
    with pytest.raises(DependencyDown, match="is behind the mirror's block") as behind:
        reconcile(sqlite_db, client, chain.deployment)
    assert "hush" not in f"{headless.value} {behind.value}"


@pytest.mark.parametrize("kind", ["standard"])
def test_another_chain(lied_to: Indexer, liar: LyingNode, sqlite_db: Database) -> None:
    liar.tamper = lambda method, params, result: "0x1" if method == "eth_chainId" else result
    with pytest.raises(WrongChain, match="serves chain id 1"):
        lied_to.run_until("head")
    liar.tamper = None
    lied_to.run_until("head")
    before = dump(sqlite_db)

    def other_genesis(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "0x0":
            return {**result, "hash": "0x" + "ee" * 32}
        return result

    liar.tamper = other_genesis
    with pytest.raises(WrongChain, match="its first block is"):
        lied_to.tick()
    assert dump(sqlite_db) == before


@pytest.mark.parametrize("kind", ["standard"])
def test_a_final_block_of_another_fork_confirms_nothing(
    lied_to: Indexer, liar: LyingNode, chain: TestChain, sqlite_db: Database
) -> None:
    chain.mine()
    lied_to.run_until("head")

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            return {**result, "hash": "0x" + "ab" * 32}
        return result

    liar.tamper = tamper
    mirror = Indexer(sqlite_db, ChainClient(liar.rpc_url), chain.deployment)
    assert mirror.run_until("head").final == 0
    assert liar.lies > 0
    liar.tamper = None
    assert mirror.run_until("head").final == chain.client.block_number() - 2


def test_an_unknown_event_of_ours_stops_the_mirror(
    chain: TestChain, mirror: Indexer, sqlite_db: Database
) -> None:
    mirror.run_until("head")
    before = dump(sqlite_db)
    # PUSH32 0xfe..fe, PUSH0, PUSH0, LOG1: a contract at our address that speaks another language
    chain.client.request(
        "anvil_setCode", [chain.deployment.credit.address, "0x7f" + "fe" * 32 + "5f5fa1"]
    )
    receipt = chain.act("owner", CREDIT, "pause", [])
    started = time.monotonic()
    with pytest.raises(MirrorStopped) as stopped:
        mirror.run_until("head")
    assert time.monotonic() - started < 60  # it is told at once, and not tried again
    for part in (f"block {receipt.block_number}", receipt.tx_hash, "0x" + "fe" * 32):
        assert part in stopped.value.message
    assert dump(sqlite_db) == before
