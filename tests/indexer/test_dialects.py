"""How nodes write what they answer: in capitals, with noughts in front, with more fields or with fewer."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from indexer import Indexer
from indexer.verify import verify
from ledger.chain.addresses.book import TOLD
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.reconcile import reconcile
from tests.indexer.conftest import DEPTH
from tests.support.chain import TestChain
from tests.support.forms import few, rest
from tests.support.proxy import LyingNode

Check = Callable[[], None]
_QUANTITIES = frozenset(
    [
        *("number", "timestamp", "gasLimit", "baseFeePerGas", "difficulty", "size", "blobGasUsed"),
        *("blockNumber", "transactionIndex", "logIndex", "status", "gasUsed", "cumulativeGasUsed"),
        *("effectiveGasPrice", "type", "gas", "gasPrice", "nonce", "value", "maxFeePerGas"),
        *("maxPriorityFeePerGas", "chainId", "v", "r", "s", "yParity", "excessBlobGas"),
    ]
)
_SPARE = ("effectiveGasPrice", "contractAddress", "removed", "to", "size", "chainId", "gasPrice")


def _each(change: Callable[[str, Any], Any], said: Any, name: str = "") -> Any:
    """Return an answer with each of its values changed, by the name of its field."""
    if isinstance(said, dict):
        found = {key: _each(change, value, key) for key, value in said.items()}
        return {key: value for key, value in found.items() if value is not ...}
    if isinstance(said, list):
        return [_each(change, value, name) for value in said]
    return change(name, said)


def _capitals(name: str, said: Any) -> Any:
    is_hex = isinstance(said, str) and re.fullmatch(r"0x[0-9a-f]*", said)
    return "0x" + said[2:].upper() if is_hex else said


def _noughts(name: str, said: Any) -> Any:
    is_number = name in _QUANTITIES and isinstance(said, str) and len(said) < 18
    return "0x00" + said[2:] if is_number else said


def _fewer(name: str, said: Any) -> Any:
    if name == "type" and said == "0x0":
        return ...
    return ... if name in _SPARE and (said is None or name in _SPARE[:1]) else said


def _more(said: Any) -> Any:
    if isinstance(said, list):
        return [_more(each) for each in said]
    if not isinstance(said, dict):
        return said
    strange = {"l1Fee": "0x1", "author": None, "timeboosted": False, "extra": {"deep": [1, 2.5]}}
    return {key: _more(value) for key, value in said.items()} | strange


DIALECTS: dict[str, Callable[[Any], Any]] = {
    "capitals": lambda said: _each(_capitals, said),
    "noughts in front": lambda said: _each(_noughts, said),
    "fewer fields": lambda said: _each(_fewer, said),
    "more fields": _more,
}
WAYS: dict[str, tuple[str | None, frozenset[str]]] = {
    "keeps traces": (None, frozenset()),
    "standard": ("Geth/v1.16.0", frozenset()),
    "old": ("Geth/v1.9.0", frozenset({"eth_getBlockReceipts"})),
}


@pytest.fixture
def node(chain: TestChain) -> Iterator[LyingNode]:
    with LyingNode(chain.rpc_url) as started:
        yield started


@few(1)
@pytest.mark.parametrize(
    ("dialect", "way", "told"),
    rest(
        [(dialect, way, told) for dialect in DIALECTS for way in WAYS for told in (False, True)],
        ("capitals", "standard", False),
        ("noughts in front", "old", False),
        ("fewer fields", "standard", False),
        ("more fields", "standard", True),
    ),
)
def test_a_mirror_of_a_node_that_writes_otherwise_is_the_same(
    node: LyingNode,
    chain: TestChain,
    sqlite_db: Database,
    same_as_fresh: Check,
    dialect: str,
    way: str,
    told: bool,
) -> None:
    batch = chain.issue(1000, 1)
    chain.retire("owner", batch, 10)
    chain.retire("owner", batch, 2000, must=False)
    chain.mine(2)
    if (dialect, way) == ("fewer fields", "keeps traces"):
        pytest.skip("only Anvil does, and it leaves out no price")
    node.version, node.lacks = WAYS[way]
    node.tamper = lambda method, params, result: DIALECTS[dialect](result)
    client = ChainClient(node.rpc_url)
    deployment = replace(chain.deployment, receipts=TOLD) if told else chain.deployment
    Indexer(sqlite_db, client, deployment, DEPTH).run_until("head")
    assert node.lies > 0
    if not told:
        same_as_fresh()
    found = verify(sqlite_db, client, deployment, DEPTH)
    assert found.ok, found
    said = reconcile(sqlite_db, client, deployment)
    assert said.ok, [rule for rule in said.rules if rule.differences]
