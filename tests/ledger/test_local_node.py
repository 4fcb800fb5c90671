"""The local Anvil: keeps its state, takes no port of others, and leaves no orphan behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from ledger.chain.local.anvil import KeptPort, LocalNode, find_anvil, port_is_free
from ledger.chain.local.state import place_beside
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput, DependencyDown
from tests.support.chain import PARTIES, send
from tests.support.forms import long, rest
from tests.support.waiting import comes_true, runs

ANVIL = find_anvil(None)
ROOT = Path(__file__).resolve().parents[2]


def test_a_node_runs_from_start_to_stop() -> None:
    node = LocalNode(ANVIL)
    assert (node.running, node.pid) == (False, None)
    node.stop()  # harmless
    with node:
        pid = node.pid
        assert pid is not None
        assert runs(pid)
        assert not port_is_free(node.port)
        client = ChainClient(node.rpc_url)
        assert client.chain_id() == 31337
        client.close()
    assert not runs(pid)
    assert port_is_free(node.port)


def test_two_empty_blocks_make_a_transaction_final() -> None:
    with LocalNode(ANVIL) as node:
        client = ChainClient(node.rpc_url)
        receipt = send(client, PARTIES["buyer"], PARTIES["spare"], "0x")

        def final() -> int:
            header = client.block("finalized")
            assert header is not None
            return header.number

        assert final() < receipt.block_number
        node.mine(1)
        assert final() < receipt.block_number
        node.mine(1)
        assert final() == receipt.block_number
        client.close()


def test_the_state_survives(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state.json"
    with LocalNode(ANVIL, state=state) as node:
        client = ChainClient(node.rpc_url)
        receipt = send(client, PARTIES["buyer"], PARTIES["spare"], "0x")
        genesis = client.block(0)
        node.mine(3)
        client.close()
    assert state.is_file()
    with LocalNode(ANVIL, state=state) as node:
        client = ChainClient(node.rpc_url)
        assert client.block(0) == genesis
        assert client.block_number() == receipt.block_number + 3
        assert client.receipt(receipt.tx_hash) == receipt
        assert client.transaction_count(PARTIES["buyer"]) == 1
        # Balances of the past, too: a mirror's calls are pinned to blocks.
        assert client.transaction_count(PARTIES["buyer"], receipt.block_number - 1) == 0
        client.close()


def test_what_anvil_leaves_below_home_goes_with_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States of old blocks stayed in the home folder: a hundred megabytes in a run of these tests."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    for folder in (home, scratch):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with LocalNode(ANVIL) as node:
        node.mine(600)  # of the last 500 it has the states in memory
        assert len(list(scratch.glob("anvil-*/.foundry/anvil/tmp/*/*.json"))) > 50
    assert (list(home.iterdir()), list(scratch.iterdir())) == ([], [])
    # With a state it is beside that, where there is room for it; the next start removes what is left.
    state = tmp_path / "books" / "state.json"
    old = state.parent / ".foundry" / "anvil" / "tmp" / "anvil-state-old" / "0x01.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    with LocalNode(ANVIL, state=state):
        assert not old.parent.exists()
    assert (list(home.iterdir()), list(scratch.iterdir())) == ([], [])


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        node = LocalNode(ANVIL, port=port)
        with pytest.raises(BadInput) as caught:
            node.start()
        assert caught.value.message == (
            f"port {port} is in use; name another, or end what listens there"
        )
        assert node.pid is None


def test_a_port_of_one_s_choice() -> None:
    port = KeptPort()
    with LocalNode(ANVIL, port=port.number) as node:
        assert node.rpc_url == f"http://127.0.0.1:{port.number}"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a place has one socket alone")
def test_a_kept_port_is_nobody_else_s() -> None:
    """Before, while and after a node listens there, nobody else can be given it."""

    def is_taken() -> bool:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", kept.number))
            except OSError:
                return True
            return False

    kept = KeptPort()
    assert is_taken()
    with LocalNode(ANVIL, port=kept.number):
        assert is_taken()
    assert is_taken()
    assert port_is_free(kept.number)  # for a server: nobody listens
    other = KeptPort()
    other.close()
    kept, other = other, kept
    assert not is_taken()


def test_a_program_that_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "anvil"
    broken.write_text("not a program")
    with pytest.raises(DependencyDown, match="does not start"):
        LocalNode(broken).start()
    with pytest.raises(DependencyDown, match="does not start"):
        LocalNode(tmp_path / "none").start()
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    with pytest.raises(DependencyDown, match=r"/killed was killed \(SIGKILL\).*; try again"):
        LocalNode(killed).start()


@pytest.mark.parametrize("saved_before", [False, True])
def test_an_interrupted_start_is_no_node_that_could_not_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved_before: bool
) -> None:
    """Ctrl-C while the program was launched had the next start say that a full disk or a kill lost what came later."""
    state = tmp_path / "state.json"
    state.write_text('{"blocks": [{"header": {"number": "0x0", "timestamp": "0x1"}}]}')
    if saved_before:
        place_beside(state).write_text(state.read_text())

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ledger.chain.local.anvil.subprocess.Popen", interrupted)
    node = LocalNode(ANVIL, state=state)
    with pytest.raises(KeyboardInterrupt):
        node.start()
    assert list(tmp_path.iterdir()) == [state]
    # And what the last node has saved is not forgotten where it is not yet taken.
    place_beside(state).write_text("{}")
    monkeypatch.setattr("ledger.chain.local.anvil.take_saved", interrupted)
    with pytest.raises(KeyboardInterrupt):
        node.start()
    assert place_beside(state).read_text() == "{}"


def test_a_program_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "anvil.log"
    started = time.monotonic()
    with pytest.raises(DependencyDown, match=r"did not answer on port \d+; see .*anvil.log"):
        LocalNode(ANVIL, log=log, options=["--no-such-option"], patience_s=600).start()
    assert time.monotonic() - started < 60  # nobody waits for a program that has ended
    assert "no-such-option" in log.read_text()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage._replace(free=4096))
    # Anvil cannot write its log then, and ends; the line named the log, which is empty.
    with pytest.raises(DependencyDown, match=r"\d; .* has no room, 4096 bytes are free: make some"):
        LocalNode(ANVIL, log=log, options=["--no-such-option"]).start()


def test_the_log_of_a_node_does_not_grow_with_the_questions(tmp_path: Path) -> None:
    """It had a line for each: some MB a day where nothing happened, for as long as `up` runs."""
    log = tmp_path / "anvil.log"
    with LocalNode(ANVIL, log=log) as node:
        client = ChainClient(node.rpc_url)
        try:
            for _ in range(50):
                assert client.chain_id() == 31337
        finally:
            client.close()
    assert log.stat().st_size == 0


def test_where_the_program_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_anvil(ANVIL) == ANVIL
    with pytest.raises(DependencyDown, match="does not exist; correct the setting"):
        find_anvil(tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_anvil(None) == ANVIL  # beside the checkout's own sources
    monkeypatch.setattr("ledger.chain.local.anvil._CHECKOUT", tmp_path)
    with pytest.raises(DependencyDown, match=r"no anvil found; install Foundry, or"):
        find_anvil(None)  # an installed program has no ./dev
    (tmp_path / "dev").touch()
    with pytest.raises(DependencyDown, match=r"no anvil found; run ./dev sync, install Foundry"):
        find_anvil(None)
    own = tmp_path / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_anvil(None) == own


CHILD = """
import sys, time
from pathlib import Path
from ledger.chain.local.anvil import LocalNode
node = LocalNode(Path(sys.argv[1]), state=Path(sys.argv[2]))
node.start()
node.mine(5)
print(node.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("number", rest([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
def test_a_parent_that_is_killed_leaves_no_orphan(tmp_path: Path, number: signal.Signals) -> None:
    state = tmp_path / "state.json"
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(ANVIL), str(state)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert runs(pid)
        parent.send_signal(number)
        assert parent.wait(50) != 0
        assert comes_true(lambda: not runs(pid)), "the node lives on without its parent"
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()  # type: ignore[union-attr]
    with LocalNode(ANVIL, state=state) as node:  # it was ended in order
        client = ChainClient(node.rpc_url)
        assert client.block_number() == 5
        client.close()


def test_ctrl_c_reaches_us_and_not_the_node() -> None:
    with LocalNode(ANVIL) as node:
        assert node.pid is not None
        assert os.getpgid(node.pid) == node.pid != os.getpgid(0)


@long
def test_many_nodes_from_many_threads_do_not_lock_each_other() -> None:
    """What runs between fork and exec takes no lock that another thread may hold."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            bytearray(100_000)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            with LocalNode(ANVIL) as node:
                assert node.running
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_of_a_wrapper_of_npm_the_native_program_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``npm install -g`` lays it out: a link on PATH to a script, and the native program in a package beside it."""
    scope = tmp_path / "lib" / "node_modules" / "@foundry-rs"
    wrapper, native = scope / "anvil" / "bin.mjs", scope / "anvil-linux-amd64" / "bin" / "anvil"
    for file in (wrapper, native):
        file.parent.mkdir(parents=True)
        file.write_text("#!/usr/bin/env node\n")
        file.chmod(0o755)
    link = tmp_path / "bin" / "anvil"
    link.parent.mkdir()
    link.symlink_to(wrapper)
    monkeypatch.chdir(tmp_path)  # where no node_modules is
    monkeypatch.setattr("ledger.chain.local.anvil._CHECKOUT", tmp_path)  # as in an installation
    monkeypatch.setenv("PATH", str(link.parent))
    assert (find_anvil(None), find_anvil(link), find_anvil(native)) == (native, native, native)
    native.unlink()
    with pytest.raises(DependencyDown, match="is the wrapper of npm"):
        find_anvil(None)
    link.unlink()
    link.write_text("#!/bin/sh\nexec native-anvil\n")  # somebody's own, which steps aside
    link.chmod(0o755)
    assert find_anvil(None) == link
