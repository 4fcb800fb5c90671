"""A mirror of a node that takes no batches, or short ones, is the mirror of one that takes all."""

import json
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer, asking, ranges
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from tests.indexer.conftest import DEPTH
from tests.support.ahead import small
from tests.support.chain import TestChain
from tests.support.forms import few, long, rest
from tests.support.mirror import dump, fresh
from tests.support.proxy import LyingNode

WAYS: dict[str, dict[str, Any]] = {
    "keeps traces": {},
    "standard": {"version": "Geth/v1.16.0"},
    "old": {"version": "Geth/v1.9.0", "lacks": frozenset({"eth_getBlockReceipts"})},
}


class LimitedNode(LyingNode):
    """A node behind a gateway that takes so many calls in a request, and none as a list where that is 0."""

    def __init__(self, rpc_url: str, most: int, status: int) -> None:
        super().__init__(rpc_url)
        self.most = most
        self.status = status
        self.seen: Counter[str] = Counter()

    def _respond(self, handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        if not isinstance(calls, list) or len(calls) <= self.most:
            self.seen["answered"] += 1
            super()._respond(handler, calls, answers)
            return
        self.seen["refused"] += 1
        refusal = {"code": -32005, "message": "batch limit exceeded"}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": refusal}).encode()
        handler.send_response(self.status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.wfile.flush()


class BusyNode(LyingNode):
    """A node whose blocks are long, as those of a chain that thousands use; it notes of how many it was asked."""

    def __init__(self, rpc_url: str, block_bytes: int) -> None:
        super().__init__(rpc_url)
        self.asked: dict[str, list[int]] = {}
        self._more = {"more": "0" * block_bytes}
        self.tamper = self._longer

    def _longer(self, method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockByNumber" and result:
            return result | self._more
        return result

    def _respond(self, handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        together = calls if isinstance(calls, list) else [calls]
        self.asked.setdefault(together[0]["method"], []).append(len(together))
        super()._respond(handler, calls, answers)


@long
@few(1)
@pytest.mark.parametrize("way", ["standard", "old"])
def test_of_long_blocks_fewer_are_asked_for_in_a_request_and_ranges_stay_long(
    chain: TestChain, sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A range that were one request would wait for the node as often as there are some blocks."""
    monkeypatch.setattr(ranges, "AHEAD_BLOCKS_MIN", 10_000)
    monkeypatch.setattr(asking, "_ANSWER_BYTES_WANTED", 40_000)
    monkeypatch.setattr(ranges, "_BYTES_WANTED", 160_000)
    chain.issue(1000, 1)
    chain.client.request("anvil_mine", ["0x90"])
    read: list[int] = []
    with BusyNode(chain.rpc_url, 4_000) as node:
        for name, value in WAYS[way].items():
            setattr(node, name, value)
        client = ChainClient(node.rpc_url)
        mirror = Indexer(sqlite_db, client, chain.deployment, DEPTH)
        while (tick := mirror.tick()).blocks:
            read.append(tick.blocks)
        client.close()
    # Of some 5,900 bytes: six in an answer, 27 in a range; none is known before the first answers.
    kind, first = (
        ("eth_getBlockReceipts", 16) if way == "standard" else ("eth_getBlockByNumber", 32)
    )
    calls = node.asked[kind]
    later = calls[calls.index(first) + 2 :]
    assert calls[calls.index(first) + 1] == max(calls) == first
    assert max(later) == 6 and later.count(6) > 12
    assert read[0] == 32 and len(read) == 7
    assert set(read[2:-1]) <= {26, 27}  # a little shorter behind one with receipts


@pytest.mark.parametrize("way", rest(WAYS))
@pytest.mark.parametrize(("most", "status"), rest([(0, 413), (1, 200), (7, 413), (20, 200)]))
def test_the_mirror_of_a_node_that_takes_short_batches_is_whole(
    chain: TestChain,
    sqlite_db: Database,
    sqlite_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    most: int,
    status: int,
) -> None:
    """Through a range that is read in the open and those that are read ahead; and at the head."""
    small(monkeypatch.setattr)
    for day in range(4):
        batch = chain.issue(1000, 1 + day)
        chain.transfer("owner", "buyer", batch, 100)
        chain.retire("spare", batch, 1, must=False)
    chain.client.request("anvil_mine", ["0x80"])
    with LimitedNode(chain.rpc_url, most, status) as node:
        for name, value in WAYS[way].items():
            setattr(node, name, value)
        client = ChainClient(node.rpc_url)
        mirror = Indexer(sqlite_db, client, chain.deployment, DEPTH)
        mirror.run_until("head")
        chain.retire("owner", batch, 5)
        mirror.run_until("head")
        assert node.seen["refused"] and node.seen["answered"]
        refused = node.seen["refused"]
        chain.retire("owner", batch, 6)
        mirror.run_until("head")
        assert node.seen["refused"] - refused <= 1, "it has not learnt"
        client.close()
    mine, new = dump(sqlite_db), fresh(sqlite_template, tmp_path, chain, DEPTH)
    for table, expected in new.items():
        assert mine[table] == expected, table
