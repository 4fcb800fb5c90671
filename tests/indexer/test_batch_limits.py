"""A mirror of a node that takes no batches, or short ones, is the mirror of one that takes all."""

import json
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from indexer import Indexer
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from tests.indexer.conftest import DEPTH
from tests.support.ahead import small
from tests.support.chain import TestChain
from tests.support.forms import rest
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
