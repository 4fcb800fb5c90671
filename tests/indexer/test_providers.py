"""What providers refuse, each in its own words: how much at once, which methods, and how often."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from indexer import Indexer
from indexer.backoff import LAGS, trouble_of
from indexer.verify import verify
from ledger.chain.addresses.book import TOLD
from ledger.chain.node import requests
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.transports.base import IN_FLIGHT_MAX
from ledger.chain.node.transports.errors import NodeDown
from ledger.db import Database
from ledger.reconcile import reconcile
from tests.indexer.conftest import DEPTH
from tests.indexer.test_real_nodes import _act
from tests.support.chain import CREDIT, TestChain
from tests.support.forms import few, long, rest
from tests.support.proxy import Delivery, LyingNode, NodeError, deliver, recorded

Check = Callable[[], None]
Calls = list[dict[str, Any]]
SLOW = "524 of Cloudflare"
HTML = {"content-type": "text/html"}
PAGES: dict[str, Callable[[bytes], Delivery]] = {
    "502": lambda body: Delivery(b"<html>Bad Gateway</html>", 502, HTML),
    "503": lambda body: Delivery(b"<html>Service Unavailable</html>", 503, HTML),
    SLOW: lambda body: Delivery(b"error code: 524", 524, HTML),
    "cut off": lambda body: Delivery(body[: len(body) // 2]),
    "closed": lambda body: Delivery(body[:500], declared=len(body), close=True),
}


class Gateway(LyingNode):
    """A gateway before a node; what it does not bear, by ``bears``, it answers with a page."""

    def __init__(self, rpc_url: str) -> None:
        super().__init__(rpc_url)
        self.version = "Geth/v1.16.0"
        self.page = "502"
        self.bears: Callable[[Calls], bool] = lambda calls: True

    def _respond(self, handler: Any, calls: Any, answers: Any) -> None:
        if self.bears(calls if isinstance(calls, list) else [calls]):
            super()._respond(handler, calls, answers)
            return
        self.lies += 1
        deliver(handler, PAGES[self.page](msgspec.json.encode(answers)))


@pytest.fixture
def node(chain: TestChain) -> Iterator[Gateway]:
    with Gateway(chain.rpc_url) as started:
        yield started


TOO_MUCH = [
    recorded(-32005, "query returned more than 10000 results"),
    recorded(-32005, "query exceeds max block range 5"),
    recorded(-32602, "eth_getLogs is limited to a 5 range"),
    recorded(-32000, "exceed maximum block range: 5"),
    recorded(-32000, "block range is too large"),
    recorded(
        -32602,
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on "
        "the response size, or you can request any block range with a cap of 10K logs in the response. Based on your "
        "parameters and the response size limit, this block range should work: [0x1, 0x5]",
    ),
    recorded(-32000, "query exceeds max results 20000, retry with the range 1-5"),
    recorded(35, "ranges over 5 blocks are not supported on freetier"),
    recorded(-32614, "eth_getLogs is limited to 0 - 5 blocks range"),
    recorded(-32000, "query timeout exceeded"),
]


@long
@pytest.mark.parametrize("refusal", rest(TOO_MUCH), ids=str)
def test_logs_of_too_many_blocks_are_asked_for_in_fewer(
    node: Gateway, chain: TestChain, sqlite_db: Database, refusal: NodeError
) -> None:
    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
        return refusal if last - first >= 5 else result

    _act(chain)
    chain.mine(40)
    node.tamper = tamper
    client = ChainClient(node.rpc_url)
    told = replace(chain.deployment, receipts=TOLD)
    Indexer(sqlite_db, client, told, DEPTH).run_until("head")
    assert node.lies > 0
    assert verify(sqlite_db, client, told, DEPTH).ok
    assert reconcile(sqlite_db, client, told).ok


NO_BLOCK_RECEIPTS = [
    recorded(-32001, "rpc method is not whitelisted"),
    recorded(-32601, "the method eth_getBlockReceipts does not exist/is not available"),
    recorded(
        -32600, "Unsupported method: eth_getBlockReceipts. See available methods at https://docs"
    ),
    recorded(-32052, "API key is not allowed to access method"),
    recorded(-32000, "eth_getBlockReceipts is not available on the Free tier"),
    recorded(-32004, "This request method is not supported"),
    recorded(-32000, "method disabled"),
]


@long
@pytest.mark.parametrize("refusal", rest(NO_BLOCK_RECEIPTS), ids=str)
def test_receipts_of_a_block_that_are_not_to_be_had_are_asked_for_one_by_one(
    node: Gateway,
    chain: TestChain,
    sqlite_db: Database,
    same_as_fresh: Check,
    refusal: NodeError,
) -> None:
    node.tamper = lambda method, params, result: (
        refusal if method == "eth_getBlockReceipts" else result
    )
    _act(chain)
    client = ChainClient(node.rpc_url)
    Indexer(sqlite_db, client, chain.deployment, DEPTH).run_until("head")
    assert node.lies > 0
    same_as_fresh()
    assert verify(sqlite_db, client, chain.deployment, DEPTH).ok
    assert reconcile(sqlite_db, client, chain.deployment).ok


@pytest.mark.parametrize(
    "said",
    [
        "block range extends beyond current head block",
        "requested block range [4096, 8192] is beyond latest executed block 4000 (node is still syncing)",
        "requested to block 23734227 after last accepted block 23734226",
        "cannot query unfinalized data",
        "request beyond head block",
    ],
)
def test_a_node_that_has_not_come_so_far_lags(said: str) -> None:
    assert trouble_of(RpcError("eth_getLogs", -32602, said, None)) is LAGS


@long
@pytest.mark.parametrize("page", rest([name for name in PAGES if name != SLOW]))
def test_a_gateway_that_bears_no_long_answer_is_asked_for_less(
    node: Gateway, chain: TestChain, sqlite_db: Database, same_as_fresh: Check, page: str
) -> None:
    """Of the head it answers at once: the mirror waited without an end for a node that it called down."""
    node.page, node.bears = page, lambda calls: len(calls) <= 8
    _act(chain)
    chain.mine(40)
    mirror = Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment, DEPTH)
    mirror.run_until("head")
    assert node.lies > 0
    same_as_fresh()


@long
def test_what_waits_for_its_turn_does_not_go_before_the_question_whether_the_node_is_there(
    node: Gateway, chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that takes its time over each refusal was asked for the whole range first, 320 blocks here."""

    def bears(calls: Calls) -> bool:
        methods.append(calls[0]["method"])
        if methods[-1] != "eth_getBlockReceipts":
            return True
        time.sleep(0.2)
        return False

    monkeypatch.setattr("indexer.ranges._RANGE_BLOCKS_FIRST", 320)
    monkeypatch.setattr("indexer.ranges.AHEAD_BLOCKS_MIN", 1000)
    methods: list[str] = []
    node.bears = bears
    chain.mine(320)
    client = ChainClient(node.rpc_url)
    assert not client.keeps_traces  # it is asked once
    mirror = Indexer(sqlite_db, client, chain.deployment, DEPTH)
    with pytest.raises(NodeDown):
        mirror.run_until("head")
    first = methods.index("eth_getBlockReceipts")
    asked = methods[first : methods.index("eth_blockNumber", first)]
    on_their_way = 2 * IN_FLIGHT_MAX  # when the first is refused the next have gone
    assert asked.count("eth_getBlockReceipts") <= on_their_way


@long
def test_a_gateway_that_bears_no_answer_at_all_is_waited_for(
    node: Gateway, chain: TestChain, sqlite_db: Database
) -> None:
    def bears(calls: Calls) -> bool:
        if all(each["method"] != "eth_getBlockReceipts" for each in calls):
            return True
        asked.append(len(calls))
        return False

    asked: list[int] = []
    node.bears = bears
    _act(chain)
    mirror = Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment, DEPTH)
    with pytest.raises(NodeDown, match="HTTP 502: the node behind it is down"):
        mirror.run_until("head")
    assert asked[-1] == 1 and len(asked) < 20


@long
@few(1)
@pytest.mark.parametrize("lacks", ["", "eth_getBlockReceipts"])
def test_a_gateway_that_bears_few_of_the_answers_for_one_block(
    node: Gateway, chain: TestChain, sqlite_db: Database, same_as_fresh: Check, lacks: str
) -> None:
    """No range is shorter than a block: the mirror waited without an end for a node that it called down."""
    node.lacks = frozenset({lacks})
    node.bears = lambda calls: len(calls) <= 8
    batch = chain.issue(1000, 0)
    retire = chain.transaction("owner", CREDIT, "retire", chain.retire_arguments(batch, 2))
    chain.in_one_block(*[retire] * 12)
    mirror = Indexer(sqlite_db, ChainClient(node.rpc_url), chain.deployment, DEPTH)
    mirror.run_until("head")
    assert node.lies > 0
    same_as_fresh()


def _of_few_logs(calls: Calls) -> bool:
    asked = [each["params"][0] for each in calls if each["method"] == "eth_getLogs"]
    return all(int(each["toBlock"], 16) - int(each["fromBlock"], 16) < 5 for each in asked)


def _of_few(calls: Calls) -> bool:
    return len(calls) <= 4


BEARS = {"few blocks of logs": _of_few_logs, "few answers at once": _of_few}


@long
@few(1)
@pytest.mark.parametrize("bears", BEARS.values(), ids=BEARS)
@pytest.mark.parametrize("page", rest(PAGES, SLOW))
def test_books_are_held_against_a_node_whose_gateway_bears_no_long_answer(
    node: Gateway,
    chain: TestChain,
    mirror: Indexer,
    sqlite_db: Database,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    bears: Callable[[Calls], bool],
) -> None:
    """It was asked for the headers of all blocks of some logs, fifty at once, and one refusal was the end."""
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.0)
    node.page, node.bears = page, bears
    _act(chain)
    chain.mine(40)
    mirror.run_until("head")
    client = ChainClient(node.rpc_url)
    assert reconcile(sqlite_db, client, chain.deployment).ok
    assert node.lies > 0
    if bears is _of_few:
        assert verify(sqlite_db, client, chain.deployment, DEPTH).ok


def test_a_limit_with_data_is_none_of_the_call(
    node: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infura says beside it how many calls it takes: what else has data is of a contract, whose words may be any."""
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.0)
    limit = recorded(-32005, "project ID request rate exceeded")
    limit.data = {"rate": {"allowed_rps": 1, "backoff_seconds": 30}}  # type: ignore[assignment]
    left = [2]

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        left[0] -= 1
        return limit if left[0] >= 0 else result

    node.tamper = tamper
    assert [block and block.number for block in ChainClient(node.rpc_url).blocks([0, 1])] == [0, 1]
