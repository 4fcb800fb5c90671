"""What nodes of the world do: methods that are not served, answers of several moments, limits of every kind.

Nothing of it ends the mirror or comes into its rows; it waits, asks for less or in another way, and then it is whole.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, update

from indexer import Indexer, finality, inputs, place, ranges
from indexer.finality import FINALIZED, FinalityClaim
from indexer.reindex import reindex
from indexer.ticks import TickReport
from indexer.verify import verify
from ledger.chain.addresses.book import TOLD
from ledger.chain.contracts.events import CREDIT
from ledger.chain.failures import traces
from ledger.chain.node import requests
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.transports.errors import NodeLimits
from ledger.db import Database
from ledger.errors import DependencyDown, MirrorStopped
from ledger.models import ChainBlock, ChainCursor
from ledger.reconcile import reconcile
from tests.indexer.conftest import DEPTH
from tests.support.chain import MEMBER_ROLE, TestChain
from tests.support.forms import few, long, rest
from tests.support.mirror import dump, rows
from tests.support.proxy import Delivery, LyingNode, NodeError, Tamper, deliver, recorded
from tests.support.rollup import MAKES, Rollup
from tests.support.waiting import until

Check = Callable[[], None]
STANDARD = "Geth/v1.16.0"
_BY_NUMBER = "eth_getBlockByNumber"
HEADER_NOT_FOUND = recorded(-32000, "header not found")


@pytest.fixture
def node(chain: TestChain) -> Iterator[LyingNode]:
    with LyingNode(chain.rpc_url) as started:
        started.version = STANDARD
        yield started


@pytest.fixture
def followed(node: LyingNode, chain: TestChain, sqlite_db: Database) -> Indexer:
    return Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment, DEPTH)


def _act(chain: TestChain, day: int = 0) -> None:
    batch = chain.issue(1000, day)
    chain.retire("owner", batch, 10)
    chain.retire("owner", batch, 2000, must=False)


def _follow(mirror: Indexer, chain: TestChain, work: Callable[[], None]) -> list[TickReport]:
    """Follow the chain while something happens there, until the mirror is at its head; return what was done."""
    stop, ticks, ended = threading.Event(), list[TickReport](), list[BaseException]()

    def run() -> None:
        try:
            mirror.follow(stop, ticks.append)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        work()
        head = chain.client.block_number()
        until(lambda: ended or (ticks and ticks[-1].tip >= head))
    finally:
        stop.set()
        thread.join()
    assert not ended, ended
    return ticks


# ------------------------------------------------------------------- methods and tags


@long
@pytest.mark.parametrize(
    "refusal",
    rest(
        [
            recorded(-32601, "the method web3_clientVersion does not exist/is not available"),
            recorded(-32600, "Unsupported method: web3_clientVersion"),
            recorded(-32604, "Method not enabled"),
        ]
    ),
)
def test_a_node_that_does_not_say_what_it_is(
    node: LyingNode, followed: Indexer, chain: TestChain, same_as_fresh: Check, refusal: NodeError
) -> None:
    """Many serve the name space `eth` alone."""
    node.version = None
    node.tamper = lambda method, params, result: refusal if method.startswith("web3") else result
    _act(chain)
    followed.run_until("head")
    assert node.lies == 1, "it is asked once"
    same_as_fresh()


@long
@pytest.mark.parametrize("said", rest([recorded(4444, "pruned history unavailable"), None]))
def test_a_first_block_that_is_kept_no_more(
    node: LyingNode,
    followed: Indexer,
    chain: TestChain,
    sqlite_db: Database,
    said: NodeError | None,
) -> None:
    """The execution API has an error for that since EIP-4444, others say null.

    `reconcile` ended with that error, or called the books those of another chain.
    """
    followed.run_until("head")
    chain.mine(1)
    node.tamper = lambda method, params, result: said if params[:1] == ["0x0"] else result
    assert followed.run_until("head").tip == chain.client.block_number()
    assert node.lies > 0
    client = ChainClient(node.rpc_url)
    with sqlite_db.write() as session:
        # As where the contracts stand later: then the mirror does not begin there.
        session.execute(delete(ChainBlock).where(ChainBlock.number == 0))
    assert reconcile(sqlite_db, client, chain.deployment).ok
    other = "0x" + "ab" * 32
    with sqlite_db.write() as session:
        session.execute(update(ChainCursor).values(genesis_hash=other))
    told = " ".join(reconcile(sqlite_db, client, chain.deployment).rules[0].differences)
    assert f"genesis_hash is {other}, the chain says {chain.deployment.genesis_hash}" in told


@long
@pytest.mark.parametrize(
    "said", rest(["block not found", "header not found", "old data not available"])
)
def test_a_block_that_is_not_found_is_no_method(
    node: LyingNode, followed: Indexer, chain: TestChain, said: str
) -> None:
    """A node that lags is asked for receipts by block again: one by one they cost fifty times as much."""
    asked: list[str] = []

    def passing(method: str, params: list[Any], result: Any) -> Any:
        asked.append(method)
        refused = method == "eth_getBlockReceipts" and asked.count(method) == 1
        return recorded(-32000, said) if refused else result

    followed.run_until("head")
    node.tamper = passing
    _follow(followed, chain, lambda: _act(chain))
    assert node.lies == 1 and "eth_getTransactionReceipt" not in asked


@pytest.mark.parametrize("answer", rest([recorded(-39001, "Unknown block"), None]))
def test_a_node_that_names_no_final_block(
    node: LyingNode, chain: TestChain, sqlite_db: Database, answer: Any
) -> None:
    """That nothing will be confirmed is said; when it names one, nothing more is."""
    node.tamper = lambda method, params, result: answer if params[:1] == [FINALIZED] else result
    mirror = Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment)
    report = mirror.run_until("head")
    assert report.final == 0 and "nothing is confirmed until it does" in report.not_checked[0]
    assert mirror.tick().not_checked == report.not_checked
    node.tamper = None
    report = mirror.tick()
    assert report.final > 0 and report.not_checked == ()


def test_a_limit_of_a_moment_is_no_chain_without_a_final_block(
    node: LyingNode, chain: TestChain
) -> None:
    limit = recorded(-32005, "daily request count exceeded, request rate limited")
    node.tamper = lambda method, params, result: limit if params[:1] == [FINALIZED] else result
    with pytest.raises(RpcError, match="rate limited"):
        finality.claimed(ChainClient(node.rpc_url), FINALIZED)


@pytest.mark.parametrize(
    ("claim", "final"),
    [
        (FinalityClaim(5, "0x" + "aa" * 32), 5),
        (FinalityClaim(5, "0x" + "bb" * 32), 0),  # of another fork
        (FinalityClaim(5), 5),  # a number of blocks below the head: the node names no hash
        (FinalityClaim(3, "0x" + "bb" * 32), 3),  # is forgotten here
        (FinalityClaim(9, "0x" + "bb" * 32), 6),  # is not here yet
        (FinalityClaim(lacks="unknown block"), 0),
    ],
)
def test_what_is_final_of_what_is_mirrored(
    sqlite_db: Database, claim: FinalityClaim, final: int
) -> None:
    with sqlite_db.write() as session:
        digest, at = "0x" + "aa" * 32, datetime.fromtimestamp(5, UTC)
        session.add(ChainBlock(number=5, hash=digest, parent_hash=digest, block_time=at))
        session.flush()
        assert finality.final_number(session, claim, 6) == final


@long
@pytest.mark.parametrize("answer", rest([recorded(-39001, "Unknown block"), None]))
def test_nothing_is_compared_with_a_node_that_names_no_final_block_any_more(
    node: LyingNode, chain: TestChain, sqlite_db: Database, answer: Any
) -> None:
    """What is confirmed would look wrong to `verify`, and `reindex` would make it pending."""
    _act(chain)
    client = ChainClient(node.rpc_url)
    Indexer(sqlite_db, client, chain.deployment).run_until("head")
    before = dump(sqlite_db)
    node.tamper = lambda method, params, result: answer if params[:1] == [FINALIZED] else result
    for compare in verify, reindex:
        with pytest.raises(DependencyDown, match=r"names no final block .* was final already"):
            compare(sqlite_db, client, chain.deployment)
    assert dump(sqlite_db) == before
    node.tamper = None
    assert verify(sqlite_db, client, chain.deployment).ok


@long
def test_a_final_block_that_lags_is_asked_for_again(
    node: LyingNode, chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the mirror confirmed by another node's word looked wrong to `verify`, and `reindex` made it pending."""
    monkeypatch.setattr(place, "_LAG_PAUSES_S", (0.01, 0.01))
    _act(chain)
    chain.mine(3)
    client = ChainClient(node.rpc_url)
    final = Indexer(sqlite_db, client, chain.deployment).run_until("head").final
    older = chain.client.request("eth_getBlockByNumber", [hex(final - 2), False])
    left = 0

    def lags(method: str, params: list[Any], result: Any) -> Any:
        nonlocal left
        if params[:1] != [FINALIZED] or not left:
            return result
        left -= 1
        return older

    node.tamper = lags
    left = 2
    assert verify(sqlite_db, client, chain.deployment).ok
    left = 2
    assert reindex(sqlite_db, client, chain.deployment).tables == {}
    left = 99  # a cursor that somebody altered looks so for good
    (told,) = verify(sqlite_db, client, chain.deployment).differences
    assert (told.column, told.mirrored, told.chain) == ("final_number", final, final - 2)


# ------------------------------------------------------------------------ two moments


@long
@pytest.mark.parametrize(
    ("method", "empty"),
    rest(
        [
            ("eth_getBlockReceipts", None),
            ("eth_getBlockReceipts", []),
            ("eth_getTransactionByHash", None),
        ]
    ),
)
def test_what_a_node_indexes_later_than_it_announces_is_waited_for(
    node: LyingNode,
    followed: Indexer,
    chain: TestChain,
    same_as_fresh: Check,
    method: str,
    empty: Any,
) -> None:
    """Longer than the five attempts take, which are for a node that contradicts itself."""
    node.tamper = _later(method, 1.5, empty)
    _follow(followed, chain, lambda: _act(chain))
    assert node.lies > 5
    node.tamper = None
    same_as_fresh()


def _later(asked: str, wait_s: float, empty: Any) -> Tamper:
    """Hand something out some seconds after it was asked for first."""
    first: dict[str, float] = {}

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != asked or not result:
            return result
        since = first.setdefault(str(params[0]), time.monotonic())
        return result if time.monotonic() - since >= wait_s else empty

    return tamper


@long
def test_receipts_that_a_node_has_dropped_are_not_waited_for(
    node: LyingNode, followed: Indexer, chain: TestChain
) -> None:
    _act(chain)
    chain.mine(200)
    node.tamper = lambda method, params, result: (
        None if method == "eth_getBlockReceipts" else result
    )
    with pytest.raises(MirrorStopped, match="the node has no receipts of block"):
        followed.run_until("head")


class Balancer(LyingNode):
    """Two nodes behind one address, one of which lags some blocks; chance says which of them answers a request."""

    def __init__(self, rpc_url: str, lag: int) -> None:
        super().__init__(rpc_url)
        self._lag = lag
        self._chance = random.Random(lag)
        self.version = STANDARD

    def _respond(self, handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        changed = self._changed(calls, answers)
        if self._lags(calls if isinstance(calls, list) else [calls]):
            (head,) = self._node.ask([("eth_blockNumber", [])])
            older = int(head, 16) - self._lag
            if isinstance(calls, list):
                by_id = {answer["id"]: answer for answer in changed}
                changed = [self._older(call, by_id[call["id"]], older) for call in calls]
            else:
                changed = self._older(calls, changed, older)
        deliver(handler, Delivery(msgspec.json.encode(changed)))

    def _lags(self, _calls: list[Any]) -> bool:
        return self._chance.random() < 0.5

    def _older(self, call: Any, answer: Any, head: int) -> Any:
        method, params, result = call["method"], call["params"], answer.get("result")
        if params[:1] == ["latest"]:
            self.lies += 1
            return {**answer, "result": self._node.ask([(method, [hex(head), *params[1:]])])[0]}
        if method == "eth_call" and not isinstance(params[1], dict) and params[1] != "latest":
            number = int(params[1], 16)
        elif isinstance(result, list) and result:
            number = int(result[0]["blockNumber"], 16)
        elif isinstance(result, dict):
            number = int(result.get("number") or result.get("blockNumber") or "0x0", 16)
        else:
            return answer
        if number <= head:
            return answer
        self.lies += 1
        if method == "eth_call":
            error = {"code": HEADER_NOT_FOUND.code, "message": str(HEADER_NOT_FOUND)}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return {**answer, "result": None}


def _lied(balancer: Balancer, times: int) -> bool:
    return balancer.lies > times


@pytest.mark.parametrize("lag", rest([1, 3], 3))
def test_a_node_that_lags_behind_another_takes_nothing_back(
    chain: TestChain, sqlite_db: Database, same_as_fresh: Check, lag: int
) -> None:
    """No row disappears and comes back, and nothing is noted as a reorganisation that was none."""

    def work() -> None:
        for day in range(2):
            before = balancer.lies
            _act(chain, day)
            until(partial(_lied, balancer, before + 5))

    with Balancer(chain.rpc_url, lag) as balancer:
        client = ChainClient(balancer.rpc_url)
        ticks = _follow(Indexer(sqlite_db, client, chain.deployment, DEPTH), chain, work)
        client.close()
        assert balancer.lies > 10
    assert sum(tick.rewound_blocks for tick in ticks) == 0
    assert rows(sqlite_db, "mirror_reorganisations", "id") == []
    same_as_fresh()


class LagsInSome(Balancer):
    """Of two nodes behind one address it is always the one that lags that answers requests with such a call."""

    def __init__(self, rpc_url: str, lag: int) -> None:
        super().__init__(rpc_url, lag)
        self.asked: Callable[[str, list[Any]], bool] = lambda _method, _params: False

    def _lags(self, calls: list[Any]) -> bool:
        return any(self.asked(call["method"], call["params"]) for call in calls)

    def _older(self, call: Any, answer: Any, head: int) -> Any:
        if call["method"] != "eth_getLogs":
            return super()._older(call, answer, head)
        older = [log for log in answer["result"] if int(log["blockNumber"], 16) <= head]
        self.lies += older != answer["result"]
        return {**answer, "result": older}


LAGGING: dict[str, tuple[Callable[[str, list[Any]], bool], bool]] = {
    "logs": (lambda method, _: method == "eth_getLogs", False),
    "whole blocks": (lambda method, params: method == _BY_NUMBER and params[1], False),
    "headers": (
        lambda method, params: method == _BY_NUMBER and not params[1] and params[0] != "latest",
        False,
    ),
    "receipts": (lambda method, _: method == "eth_getTransactionReceipt", True),
    "transactions": (lambda method, _: method == "eth_getTransactionByHash", True),
}
"""Requests that the node that lags answers, and whether the others tell all the same what these leave out."""


@pytest.mark.parametrize("name", rest(LAGGING))
def test_books_are_not_held_against_a_node_that_lags(
    chain: TestChain, sqlite_db: Database, name: str
) -> None:
    """Where it came to the newest events, `reconcile` found differences that were none, missed some, or ended."""
    _act(chain)
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    with LagsInSome(chain.rpc_url, 3) as node:
        node.asked, told = LAGGING[name]
        client = ChainClient(node.rpc_url)
        if told:
            assert reconcile(sqlite_db, client, chain.deployment).ok
        else:
            with pytest.raises(DependencyDown, match="has no block") as said:
                reconcile(sqlite_db, client, chain.deployment)
            assert said.value.code == "node-behind"
        assert node.lies > 0


# ----------------------------------------------------------------------------- limits


@long
@pytest.mark.parametrize(
    "refusal",
    rest([recorded(429, "exceeded its compute units per second capacity"), HEADER_NOT_FOUND]),
)
def test_no_limit_of_a_moment_is_written_as_the_reason_of_a_failure(
    node: LyingNode, followed: Indexer, chain: TestChain, same_as_fresh: Check, refusal: NodeError
) -> None:
    refused = 0

    def passing(calls: Any, answers: Any) -> Any:
        nonlocal refused
        if isinstance(calls, dict) and calls["method"] == "eth_call" and "from" in str(calls):
            refused += 1
            if refused <= 3:
                error = {"code": refusal.code, "message": str(refusal)}
                return {"jsonrpc": "2.0", "id": calls["id"], "error": error}
        return honest(calls, answers)

    honest, node._changed = node._changed, passing  # type: ignore[method-assign]
    _follow(followed, chain, lambda: _act(chain))
    assert refused > 3
    same_as_fresh()


@long
def test_failures_are_asked_about_together(
    node: LyingNode,
    followed: Indexer,
    chain: TestChain,
    sqlite_db: Database,
    same_as_fresh: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anybody may send thousands of calls that fail: one question each had the mirror fall behind for ever.

    As many as make a request that nodes take, which close the connection at one that is longer.
    """
    requests = Counter[int]()

    def counted(calls: Any, answers: Any) -> Any:
        if isinstance(calls, list):
            requests[sum(each["method"] == "eth_call" for each in calls)] += 1
        return honest(calls, answers)

    honest, node._changed = node._changed, counted  # type: ignore[method-assign]
    batch = chain.issue(1000, 0)
    chain.client.request("evm_setAutomine", [False])
    call = chain.transaction("owner", CREDIT, "retire", chain.retire_arguments(batch, 2000))
    monkeypatch.setattr(traces, "_REQUEST_BYTES_MAX", 20 * len(call["data"]))
    chain.client.request_batch([("eth_sendTransaction", [call])] * 60)
    chain.mine(1)
    followed.run_until("head")
    assert requests[20] == 3
    reasons = [error for (error,) in rows(sqlite_db, "chain_inclusions", "error") if error]
    assert len(reasons) == 60 and "ERC1155InsufficientBalance" in min(reasons)
    same_as_fresh()


@long
def test_what_calls_were_given_is_held_for_few_blocks_where_it_is_long(
    node: LyingNode,
    followed: Indexer,
    chain: TestChain,
    same_as_fresh: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of some thousand calls of 100 kB, which anybody may send, a range took gigabytes."""
    monkeypatch.setattr(inputs, "_INPUTS_MAX", 60_000)  # the contracts' own code is more
    monkeypatch.setattr(inputs, "_AT_ONCE", 2)
    refused = list[int]()
    honest = ranges.Length.refused

    def noted(self: ranges.Length, blocks: int) -> None:
        refused.append(blocks)
        honest(self, blocks)

    monkeypatch.setattr(ranges.Length, "refused", noted)
    followed.run_until("head")
    assert refused and min(refused) > 1
    same_as_fresh()


class Bucket(LyingNode):
    """A node that takes eight calls at once, and a hundred in a second; in one of the ways of refusing others."""

    def __init__(self, rpc_url: str, way: str) -> None:
        super().__init__(rpc_url)
        self.version = STANDARD
        self._way = way
        self._left, self._at = 8.0, time.monotonic()
        self._taking = threading.Lock()

    def _takes(self, calls: int) -> bool:
        with self._taking:
            now = time.monotonic()
            self._left, self._at = min(8.0, self._left + 100 * (now - self._at)), now
            taken = self._left >= calls
            self._left -= calls if taken else 0
            self.lies += not taken
            return taken

    def _respond(self, handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        listed = calls if isinstance(calls, list) else [calls]
        told = self._changed(listed, answers if isinstance(calls, list) else [answers])
        refusal = {"jsonrpc": "2.0", "error": {"code": 429, "message": "compute units per second"}}
        if self._way == "each call":
            told = [each if self._takes(1) else {**refusal, "id": each["id"]} for each in told]
        elif not self._takes(len(listed)):
            if self._way == "HTTP 429":
                deliver(handler, Delivery(b"Too Many Requests", 429))
            else:
                deliver(handler, Delivery(msgspec.json.encode({**refusal, "id": None})))
            return
        deliver(
            handler, Delivery(msgspec.json.encode(told if isinstance(calls, list) else told[0]))
        )


@long
@pytest.mark.parametrize("way", rest(["each call", "one error", "HTTP 429"]))
def test_a_node_that_takes_few_calls_a_second_is_mirrored_all_the_same(
    chain: TestChain,
    sqlite_db: Database,
    same_as_fresh: Check,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """More calls in a request than it ever takes at once would be refused for ever; none is lost, nothing ends."""
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.05)
    _act(chain)
    with Bucket(chain.rpc_url, way) as node:
        client = ChainClient(node.rpc_url)
        Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")
        client.close()
        assert node.lies > 0
    same_as_fresh()


def test_a_limit_that_does_not_pass_is_said(
    node: LyingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each length was tried twice: so often, and no more."""
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.0)
    asked: list[int] = []

    def respond(handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        asked.append(len(calls) if isinstance(calls, list) else 1)
        deliver(handler, Delivery(b"Too Many Requests", 429))

    monkeypatch.setattr(node, "_respond", respond)
    with pytest.raises(NodeLimits):
        ChainClient(node.rpc_url).blocks(range(40))
    assert asked[::2] == asked[1::2] == [40, 20, 10, 5, 2, 1]


@long
@pytest.mark.parametrize("kind", rest(["silent", "504 of a gateway"], "504 of a gateway"))
def test_a_range_that_takes_too_long_is_asked_for_in_shorter_ones(
    node: LyingNode, chain: TestChain, sqlite_db: Database, same_as_fresh: Check, kind: str
) -> None:
    hasty = Indexer(sqlite_db, ChainClient(node.rpc_url, 1.0), chain.deployment, DEPTH)
    page = Delivery(b"<html>Gateway Time-out</html>", 504, {"content-type": "text/html"})

    def respond(handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        if not isinstance(calls, list) or len(calls) <= 8:
            honest(handler, calls, answers)
            return
        node.lies += 1
        silence = Delivery(b"", silent=True, pause_s=1.2, close=True)
        deliver(handler, silence if kind == "silent" else page)

    honest, node._respond = node._respond, respond  # type: ignore[method-assign]
    _act(chain)
    _follow(hasty, chain, lambda: None)
    assert node.lies > 0
    same_as_fresh()


# ------------------------------------------------------------------------------ times


@pytest.mark.parametrize("stamp", rest([253_402_300_800, 1_764_352_532_000, 1_764_352_532 * 10**9]))
def test_a_time_that_is_no_date_stops_the_mirror(
    followed: Indexer, chain: TestChain, stamp: int
) -> None:
    """Some private chains count milliseconds or nanoseconds."""
    followed.run_until("head")
    chain.client.request("evm_setNextBlockTimestamp", [hex(stamp)])
    chain.mine(1)
    said = rf"block {chain.client.block_number()} has the time {stamp}"
    with pytest.raises(MirrorStopped, match=said):
        followed.run_until("head")
    # As where a mirror begins, or contracts are recorded.
    with pytest.raises(MirrorStopped, match=said):
        chain.client.head().time  # noqa: B018


# ---------------------------------------------------------------------------- rollups


@pytest.mark.parametrize("lacks", rest([frozenset(), frozenset({"eth_getBlockReceipts"})]))
@pytest.mark.parametrize("name", rest(MAKES))
def test_the_chain_of_a_rollup_is_mirrored_as_it_is_told(
    node: LyingNode, chain: TestChain, sqlite_db: Database, name: str, lacks: frozenset[str]
) -> None:
    """And named as what it is where receipts are to be proven: its own transactions are under no root known here."""
    node.lacks, node.tamper = lacks, Rollup(chain.client, MAKES[name])
    _act(chain)
    client = ChainClient(node.rpc_url)
    with pytest.raises(MirrorStopped) as stopped:
        Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")
    kind = MAKES[name].kind
    assert f"a receipt is of type {kind}, which is none of Ethereum's" in stopped.value.message
    assert "set `receipts` to `told`" in stopped.value.message
    told = replace(chain.deployment, receipts=TOLD)
    Indexer(sqlite_db, client, told, DEPTH).run_until("head")
    head = chain.client.block_number()
    (event,) = rows(sqlite_db, "credit_retirements", "block_number", "amount_kg")
    assert event == (head - 1, 10)
    found = rows(sqlite_db, "chain_inclusions", "block_number", "tx_index", "error")
    assert {place for _, place, _ in found} == {1}
    (why,) = (error for number, _, error in found if number == head)
    assert why.startswith("ERC1155InsufficientBalance(")
    assert verify(sqlite_db, client, told, DEPTH).ok
    assert reconcile(sqlite_db, client, told).ok


# ---------------------------------------------------------------------------- writing


@few(1)
@pytest.mark.parametrize(
    ("method", "field"),
    rest(
        [
            ("eth_getBlockByNumber", "number"),
            ("eth_getBlockByNumber", "baseFeePerGas"),
            ("eth_getTransactionByHash", "nonce"),
            ("eth_getCode", ""),
        ],
        ("eth_getBlockByNumber", "number"),
        ("eth_getCode", ""),
    ),
)
def test_what_is_no_number_stops_the_mirror_and_is_said(
    node: LyingNode, followed: Indexer, chain: TestChain, method: str, field: str
) -> None:
    """Some nodes have written an empty number as `0x`; there is no traceback."""
    followed.run_until("head")

    def tamper(asked: str, params: list[Any], result: Any) -> Any:
        if asked != method or params[:1] in (["0x0"], ["latest"], [last]) or not result:
            return result
        return {**result, field: "0x"} if field else None

    last = hex(chain.client.block_number())
    chain.act("admin", CREDIT, "grantRole", [MEMBER_ROLE, chain.deployment.settlement.address])
    _act(chain)
    node.tamper = tamper
    with pytest.raises(MirrorStopped, match="the node writes what cannot be read"):
        followed.run_until("head")


@long
def test_a_type_may_be_written_with_two_digits(
    node: LyingNode, followed: Indexer, chain: TestChain, same_as_fresh: Check
) -> None:
    """As the execution API allows; and roots in capitals, which it does not."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockReceipts":
            return [{**each, "type": "0x0" + each["type"][2:]} for each in result]
        if method == "eth_getBlockByNumber" and result:
            return {**result, "receiptsRoot": "0x" + result["receiptsRoot"][2:].upper()}
        return result

    _act(chain)
    node.tamper = tamper
    followed.run_until("head")
    assert node.lies > 0
    same_as_fresh()
