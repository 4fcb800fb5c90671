"""A node that lags, limits or lies: the mirror waits, or stops with a reason; it never skips.

Every lie is asserted to have been told, and after the node is honest again the mirror is what a new one
would be.
"""

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from indexer import Indexer
from ledger.chain.client import ChainClient
from ledger.chain.events import CREDIT
from ledger.db import Database
from ledger.errors import MirrorStopped, TruetonneError, WrongChain
from tests.indexer.conftest import DEPTH
from tests.support.chain import TestChain
from tests.support.mirror import dump, rows
from tests.support.proxy import LyingNode, NodeError, Tamper

Check = Callable[[], None]
NOTHING = {"chain_events": 0, "blockchain_transactions": 0}


KINDS = {
    "keeps traces": {},
    "standard": {"version": "Geth/v1.16.0"},
    "old": {"version": "Geth/v1.9.0", "lacks": frozenset({"eth_getBlockReceipts"})},
}
"""The mirror asks each of these in another way."""


@pytest.fixture(params=KINDS)
def liar(chain: TestChain, request: pytest.FixtureRequest) -> Iterator[LyingNode]:
    with LyingNode(chain.client.rpc_url) as node:
        for name, value in KINDS[request.param].items():
            setattr(node, name, value)
        yield node


@pytest.fixture
def lied_to(liar: LyingNode, chain: TestChain, sqlite_db: Database) -> Indexer:
    batch = chain.issue(1000, 0)
    chain.retire("owner", batch, 10)
    chain.deposit("owner", 500)
    chain.retire("owner", batch, 5)
    return Indexer(sqlite_db, ChainClient(liar.rpc_url), chain.deployment, DEPTH)


def _logs(change: Callable[[list[Any]], Any]) -> Tamper:
    def tamper(method: str, params: list[Any], result: Any) -> Any:
        return change(copy.deepcopy(result)) if method == "eth_getLogs" else result

    return tamper


def _each(**values: Any) -> Callable[[list[Any]], Any]:
    return lambda logs: [{**log, **values} for log in logs]


def _without_event(position: int) -> Tamper:
    """Leave a log out of both the index and its receipt: only the numbered log can tell."""

    def is_it(log: dict[str, Any]) -> bool:
        return bool(log["topics"][0] == target["topic"] and log["transactionHash"] == target["tx"])

    target: dict[str, str] = {}

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        is_last = method == "eth_getLogs" and int(params[0]["toBlock"], 16) > 20
        if is_last and result:
            target.update(
                topic=result[position]["topics"][0], tx=result[position]["transactionHash"]
            )
            return [log for log in result if not is_it(log)]
        return _each_receipt(method, result, without) if target else result

    def without(receipt: dict[str, Any]) -> dict[str, Any]:
        return {**receipt, "logs": [log for log in receipt["logs"] if not is_it(log)]}

    return tamper


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


def _of_another_fork(method: str, params: list[Any], result: Any) -> Any:
    return _each_receipt(method, result, lambda each: {**each, "blockHash": "0x" + "cd" * 32})


def _in_another_block(method: str, params: list[Any], result: Any) -> Any:
    """Hand out the receipts of another transaction."""
    return _each_receipt(method, result, lambda each: {**each, "transactionHash": "0x" + "cd" * 32})


def _no_inputs(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and params[1] is True:
        return {**result, "transactions": []}
    return None if method in ("eth_getTransactionByHash", "trace_block") else result


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


def _orphan(method: str, params: list[Any], result: Any) -> Any:
    if method == "eth_getBlockByNumber" and result and int(result["number"], 16) == 9:
        return {**result, "parentHash": "0x" + "ab" * 32}
    return result


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (_logs(lambda logs: logs[:-1]), "by the node's index"),
        (_logs(lambda logs: []), "by the node's index"),
        (_logs(lambda logs: logs + logs[-1:]), "handed out twice"),
        (_logs(_each(removed=True)), "removed by a reorganisation"),
        (_logs(_each(blockHash="0x" + "cd" * 32)), "comes from another fork"),
        (_logs(_each(blockNumber="0xffff")), "outside the range"),
        (_logs(_each(transactionHash="0x" + "cd" * 32)), "does not hold there"),
        (_receipts, "has no receipt"),
        (_of_another_fork, "comes from another fork"),
        (_in_another_block, "not those of its transactions|that of another transaction"),
        (_no_inputs, "and no trace|and not the transaction|does not hold there"),
        (_last_block_moves(), "changed while it was read"),
        (_orphan, "does not follow the one before it"),
        (_without_event(-4), "credit log"),
        (_without_event(-1), "credit log"),
    ],
    ids=[
        "a log missing",
        "no logs at all",
        "a log twice",
        "logs marked as removed",
        "logs of another fork",
        "logs of another range",
        "logs of another transaction",
        "no receipts",
        "receipts of another fork",
        "receipts of other transactions",
        "nothing of what transactions were given",
        "last block changes",
        "a block with another parent",
        "an event left out everywhere",
        "the last event left out everywhere",
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
    liar.tamper = lie
    with pytest.raises(TruetonneError, match=reason):
        lied_to.run_until("head")
    assert liar.lies > 0
    assert rows(sqlite_db, "chain_events", "seq") == []
    assert rows(sqlite_db, "blockchain_transactions", "id") == []
    liar.tamper = None
    lied_to.run_until("head")
    same_as_fresh()


def test_a_passing_doubt_is_read_again(
    lied_to: Indexer, liar: LyingNode, same_as_fresh: Check
) -> None:
    told = []

    def once(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and not told:
            told.append(True)
            return result[1:]
        return result

    liar.tamper = once
    lied_to.run_until("head")
    assert liar.lies == 1
    same_as_fresh()


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


def test_a_limit_of_the_node_makes_the_ranges_shorter(
    lied_to: Indexer, liar: LyingNode, same_as_fresh: Check
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


def test_a_final_block_of_another_fork_confirms_nothing(
    lied_to: Indexer, liar: LyingNode, chain: TestChain, sqlite_db: Database
) -> None:
    chain.mine()

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
    chain: TestChain, mirror: Indexer, sqlite_db: Database, fresh_dump: Callable[..., Any]
) -> None:
    chain.issue(1000, 0)
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
    assert time.monotonic() - started < 5
    for part in (f"block {receipt.block_number}", receipt.tx_hash, "0x" + "fe" * 32):
        assert part in stopped.value.message
    assert dump(sqlite_db) == before
