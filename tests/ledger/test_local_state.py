"""A local chain stays one chain, however often its node is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.local.state import keep_first_genesis
from ledger.chain.node.client import ChainClient
from ledger.errors import DependencyDown


def block(number: int, time: int) -> dict[str, object]:
    return {"header": {"number": hex(number), "timestamp": hex(time)}, "ommers": []}


def test_the_oldest_first_block_is_kept(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    blocks = [block(0, 300), block(2, 120), block(0, 100), block(1, 110), block(0, 200)]
    state.write_text(json.dumps({"best_block_number": 2, "blocks": blocks}))
    assert keep_first_genesis(state) == 2
    assert json.loads(state.read_text()) == {
        "best_block_number": 2,
        "blocks": [block(2, 120), block(0, 100), block(1, 110)],
    }
    assert keep_first_genesis(state) == 0
    assert list(tmp_path.iterdir()) == [state]


def test_a_chain_that_was_never_saved_is_left_alone(tmp_path: Path) -> None:
    assert keep_first_genesis(tmp_path / "state.json") == 0


@pytest.mark.parametrize("text", ["", "{", "{}", '{"blocks": []}', '{"blocks": [1]}', "[]"])
def test_a_file_that_is_no_state_is_named(tmp_path: Path, text: str) -> None:
    state = tmp_path / "state.json"
    state.write_text(text)
    with pytest.raises(DependencyDown, match=r"state\.json: not the state of a local chain"):
        keep_first_genesis(state)
    assert state.read_text() == text


def test_a_node_started_many_times_serves_one_chain(tmp_path: Path) -> None:
    # Without the mending, block 0 is another one after the third start or so.
    seen = set()
    for height in range(5):
        with LocalNode(find_anvil(None), state=tmp_path / "state.json") as node:
            client = ChainClient(node.rpc_url)
            first, second = client.blocks([0, 1])
            assert client.block_number() == height
            assert first is not None
            assert second is None or second.parent_hash == first.hash
            seen.add(first.hash)
            client.close()
            node.mine(1)
    assert len(seen) == 1
