"""A local chain stays one chain, however often its node is started."""

from __future__ import annotations

import json
import os
import signal
import sys
import tracemalloc
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ledger.chain.local import anvil
from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.local.state import (
    STATES_KEPT,
    STATES_LOADED,
    keep_first_genesis,
    place_beside,
    saved_at,
    take_saved,
)
from ledger.chain.node.client import ChainClient, RpcError
from ledger.errors import DependencyDown
from tests.support.forms import long
from tests.support.waiting import until


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


def test_of_years_of_transactions_no_objects_are_made(tmp_path: Path) -> None:
    """They took three times the memory of the file, at each start of a node."""
    state = tmp_path / "state.json"
    sent = [{"info": {"hash": hex(number), "nonce": number}, "out": []} for number in range(20_000)]
    document = {"blocks": [block(0, 2), block(0, 1)], "transactions": sent}
    state.write_text(json.dumps(document))
    tracemalloc.start()
    try:
        assert keep_first_genesis(state) == 1
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * state.stat().st_size
    assert json.loads(state.read_text()) == {**document, "blocks": [block(0, 1)]}


def test_a_chain_that_was_never_saved_is_left_alone(tmp_path: Path) -> None:
    assert keep_first_genesis(tmp_path / "state.json") == 0


def test_what_is_mended_was_saved_when_it_was(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    assert saved_at(state) is None
    state.write_text(json.dumps({"blocks": [block(0, 2), block(0, 1)]}))
    os.utime(state, (1_000_000_000, 1_000_000_000))
    before = saved_at(state)
    assert keep_first_genesis(state) == 1
    assert saved_at(state) == before


def test_no_room_for_what_is_mended_is_said(tmp_path: Path) -> None:
    """It was an internal error, and half of the new one took the rest of the room."""
    state = tmp_path / "state.json"
    state.write_text(text := json.dumps({"blocks": [block(0, 2), block(0, 1)]}))
    state.with_suffix(".new").symlink_to("/dev/full")
    with pytest.raises(DependencyDown, match=r"No space left on device.*needs room .* 1 MiB"):
        keep_first_genesis(state)
    assert list(tmp_path.iterdir()) == [state]
    assert state.read_text() == text


@pytest.mark.parametrize("cut", [None, 0, 1, 10, -1])
def test_only_what_was_saved_whole_is_taken(tmp_path: Path, cut: int | None) -> None:
    state, new = tmp_path / "state.json", json.dumps({"blocks": [block(0, 1)]})
    assert take_saved(state)  # nobody has saved anything
    state.write_text("before")
    place_beside(state).write_text(new[:cut])
    assert take_saved(state) == (cut is None)
    assert state.read_text() == (new if cut is None else "before")
    if cut is None:
        assert not place_beside(state).exists()
    else:  # the room is free for others, and the next start knows
        assert place_beside(state).stat().st_size == 0
        assert not take_saved(state)


@long
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process is Linux's")
def test_a_full_disk_loses_the_last_run_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Anvil wrote over the state that it was started from: 4 KB were left, and no chain."""
    import resource

    state = tmp_path / "state.json"
    with LocalNode(find_anvil(None), state=state) as node:
        node.mine(20)
        assert node.gone_back_to is None
    whole = state.read_bytes()
    assert len(whole) > 4096
    with LocalNode(find_anvil(None), state=state) as node:
        node.mine(7)
        assert node.pid is not None and node.gone_back_to is None
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    assert "could not be saved" in caplog.text
    assert place_beside(state).stat().st_size == 0
    assert state.read_bytes() == whole
    saved = saved_at(state)
    with LocalNode(find_anvil(None), state=state) as node:
        assert node.gone_back_to == saved is not None
        assert head_of(node) == 20
        node.mine(1)
    with LocalNode(find_anvil(None), state=state) as node:
        assert node.gone_back_to is None
        assert head_of(node) == 21


def test_a_node_that_was_killed_is_known_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it left looked as if nothing had been since; and whether the disk has room was asked."""
    state = tmp_path / "state.json"
    with LocalNode(find_anvil(None), state=state) as node:
        node.mine(1)
    node.start()
    assert node.pid is not None
    os.kill(node.pid, 9)
    until(lambda: not node.running)
    node.stop()
    assert "the node of the local chain was killed (SIGKILL)" in caplog.text
    assert "room" not in caplog.text
    for program in (tmp_path / "none", Path("/bin/false")):  # nor does a start that fails forget it
        with pytest.raises(DependencyDown):
            LocalNode(program, state=state).start()
    with LocalNode(find_anvil(None), state=state) as node:
        assert node.gone_back_to is not None


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with LocalNode(find_anvil(None), state=state):
        pass
    for program in (tmp_path / "none", Path("/bin/false")):
        with pytest.raises(DependencyDown):
            LocalNode(program, state=state).start()
        assert list(tmp_path.iterdir()) == [state]


def head_of(node: LocalNode) -> int:
    client = ChainClient(node.rpc_url)
    try:
        return client.block_number()
    finally:
        client.close()


WHOLE = json.dumps({"blocks": [block(0, 1)], "transactions": "a"}).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{}",
        b'{"blocks": []}',
        b'{"blocks": [1]}',
        b"[]",
        WHOLE.replace(b'"a"', b'"\xff"'),
    ],
)
def test_a_file_that_is_no_state_is_named(tmp_path: Path, text: bytes) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(text)
    with pytest.raises(DependencyDown, match=r"state\.json: not the state of a local chain"):
        keep_first_genesis(state)
    assert state.read_bytes() == text


@long
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


def test_a_start_by_a_clock_that_was_set_back_leaves_the_chain_its_first_block(
    tmp_path: Path,
) -> None:
    """The oldest first block was kept: the new one, and the chain was lost for good."""
    state = tmp_path / "state.json"
    with LocalNode(find_anvil(None), state=state) as node:
        node.mine(1)
    saved = json.loads(state.read_text())
    (first,) = (each for each in saved["blocks"] if each["header"]["number"] == "0x0")
    earlier = hex(int(first["header"]["timestamp"], 16) - 3600)
    other = first | {"header": first["header"] | {"timestamp": earlier}}
    state.write_text(json.dumps(saved | {"blocks": [other, *saved["blocks"]]}))
    assert keep_first_genesis(state) == 1
    assert json.loads(state.read_text()) == saved


@long
def test_a_long_chain_keeps_the_latest_states_alone(tmp_path: Path) -> None:
    """With all of them it grew by 200 kB a block, until it could neither be saved nor loaded in time."""
    state, account = tmp_path / "state.json", "0x" + "11" * 20

    def kept(node: LocalNode) -> list[int]:
        """Blocks of which a balance is answered: each is as high as the number of its block."""
        with closing(ChainClient(node.rpc_url)) as client:
            found = []
            for number in range(client.block_number() + 1):
                try:
                    answer = client.request("eth_getBalance", [account, hex(number)])
                except RpcError:
                    continue
                assert int(answer, 16) == number
                found.append(number)
            return found

    def mine(node: LocalNode, blocks: int) -> None:
        with closing(ChainClient(node.rpc_url)) as client:
            sender = client.request("eth_accounts", [])[0]
            for _ in range(blocks):
                sent = {"from": sender, "to": account, "value": "0x1"}
                receipt = (
                    "eth_getTransactionReceipt",
                    [client.request("eth_sendTransaction", [sent])],
                )
                until(partial(client.request, *receipt))

    for blocks in (STATES_KEPT + 20, 30, STATES_LOADED + 20):
        with LocalNode(find_anvil(None), state=state) as node:
            mine(node, blocks)
            found = kept(node)
            head = found[-1]
            assert len(found) <= STATES_KEPT + 1
            assert found[-STATES_LOADED:] == list(range(head - STATES_LOADED + 1, head + 1))
        saved = json.loads(state.read_text())
        assert len(saved["historical_states"]) <= STATES_KEPT
    assert head == STATES_KEPT + 20 + 30 + STATES_LOADED + 20


def test_a_node_saves_at_its_end_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anvil saves each minute unless told otherwise: whoever was killed after one was taken for one that had saved."""
    assert anvil.SAVED_EVERY_S > 365 * 86_400
    state = tmp_path / "state.json"
    with LocalNode(find_anvil(None), state=state) as node:
        node.mine(1)
    monkeypatch.setattr(anvil, "SAVED_EVERY_S", 1)  # the option is what decides
    node = LocalNode(find_anvil(None), state=state).start()
    until(lambda: place_beside(state).stat().st_size > 0)
    node.stop()
    monkeypatch.undo()
    node = LocalNode(find_anvil(None), state=state).start()
    node.mine(5)
    assert node.pid is not None
    os.kill(node.pid, signal.SIGKILL)
    node.stop()
    assert place_beside(state).stat().st_size == 0
    with LocalNode(find_anvil(None), state=state) as again:
        assert (
            again.gone_back_to is not None
        )  # and whoever started it makes it as high as the books
        assert head_of(again) == 1
